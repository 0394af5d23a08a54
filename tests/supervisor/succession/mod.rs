//! Another supervisor in the place of the running one, and a Collector that never notices.
//!
//! - `exchange`: from one to another, with a fake and with real Collectors; `output`: nothing it prints is lost
//! - `refused`: what is never run; `undone`: what fails once it runs
//! - `starts`: which one a start ends up with

mod exchange;
mod output;
mod refused;
mod starts;
mod undone;

use std::{
    fs,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::harness::{Host, Said, Supervisor, built_supervisor};

/// A supervisor that is another file: a copy with something behind its end.
fn another(host: &Host, name: &str) -> PathBuf {
    let path = host.dir.path().join(name);
    fs::copy(built_supervisor(), &path).unwrap();
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(name.as_bytes()).unwrap();
    path
}

/// A script that is taken for a supervisor: it verifies as the real one does, and runs like this.
fn script(host: &Host, name: &str, runs: &str) -> PathBuf {
    let path = host.dir.path().join(name);
    let real = built_supervisor();
    let real = real.display();
    let text =
        format!("#!/bin/sh\nreal={real}\nif [ \"$1\" = verify ]; then exec {real} \"$@\"; fi\n{runs}\n");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A value of `supervisor.yaml` that is handed out once to each who reads the file: in this order.
struct Dole {
    path: PathBuf,
}

impl Dole {
    fn start(host: &Host, values: &'static [&'static str]) -> Self {
        let path = host.dir.path().join("dole");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let from = path.clone();
        std::thread::spawn(move || {
            for value in values {
                // Waits for a reader.
                fs::write(&from, value).unwrap();
                let nobody = || {
                    let flags = nix::libc::O_NONBLOCK;
                    fs::OpenOptions::new().write(true).custom_flags(flags).open(&from).is_err()
                };
                while !nobody() {
                    std::thread::yield_now();
                }
            }
        });
        Self { path }
    }

    fn server(&self, endpoint: &str) -> String {
        format!("endpoint: \"{endpoint}\", headers: {{x-dole: [\"${{file:{}}}\"]}}", self.path.display())
    }
}

/// A command that does not read the file.
async fn without_file(host: &Host, words: &[&str]) -> Said {
    let socket = host.state().join("run/control.sock");
    host.command(&[words, &["--socket", socket.to_str().unwrap()]].concat()).await
}

fn runs(supervisor: &Supervisor) -> PathBuf {
    fs::read_link(format!("/proc/{}/exe", supervisor.pid())).unwrap()
}

async fn status(host: &Host) -> Value {
    without_file(host, &["status", "-o", "json"]).await.json()
}

/// Puts another one in place, and waits until it has proven itself.
async fn exchange(host: &Host, to: &Path) -> String {
    host.command(&["reexec", "--executable", to.to_str().unwrap()]).await.with(0)
}
