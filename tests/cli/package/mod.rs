//! `opampctl package`: a person makes keys, signs, and looks at what is signed.

mod inspect;
mod interop;
mod keygen;
mod sign;

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::stub::{Said, bare, said};

const PASSWORD: &str = "correct horse";

/// A directory with an artefact and, when asked for, keys; nothing of the person's own environment, and no server.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        desk.write("otelcol", &elf(62, b"a program"));
        desk
    }

    /// With `minisign.key` (no password) and `minisign.pub`.
    fn with_keys() -> Self {
        let desk = Self::new();
        let said = desk.run(&["keygen", "--no-password"]);
        assert_eq!(said.code, 0, "{said:?}");
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn exists(&self, name: &str) -> bool {
        self.path(name).symlink_metadata().is_ok()
    }

    /// `opampctl package` in this directory, in a session without a terminal.
    fn command(&self, arguments: &[&str]) -> Command {
        let own = bare(self.0.path());
        let mut command = Command::new("setsid");
        command.arg("--wait").arg(own.get_program()).arg("package").args(arguments);
        in_directory(&mut command, self.0.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        said(self.command(arguments).output().unwrap())
    }

    fn run_with_password(&self, arguments: &[&str]) -> Said {
        said(self.command(arguments).env("OPAMPCTL_KEY_PASSWORD", PASSWORD).output().unwrap())
    }

    /// Signs the artefact as otelcol 0.150.0 with the key without a password.
    fn sign(&self, more: &[&str]) -> Said {
        let usual = ["sign", "otelcol", "--secret-key", "minisign.key", "--name", "otelcol"];
        self.run(&[&usual[..], &["--version", "0.150.0"], more].concat())
    }

    /// The real tool.
    fn minisign<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Said {
        let mut command = Command::new("minisign");
        in_directory(command.args(arguments), self.0.path());
        said(command.output().expect("minisign, which tests/run.sh installs"))
    }

    /// Signed by the real tool with our key, saying this.
    fn minisign_says(&self, comment: &str) {
        let signed = self.minisign(&["-S", "-s", "minisign.key", "-m", "otelcol", "-t", comment]);
        assert_eq!(signed.code, 0, "{signed:?}");
    }

    /// What a good signature of the artefact says.
    fn comment(&self) -> String {
        use sha2::{Digest, Sha256};
        let bytes = std::fs::read(self.path("otelcol")).unwrap();
        let (hash, size) = (data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes)), bytes.len());
        format!(
            "name=otelcol version=0.150.0 os=linux arch=amd64 sha256={hash} size={size} expires=2126-06-01T00:00:00Z epoch=1"
        )
    }
}

fn in_directory(command: &mut Command, directory: &Path) {
    let path = std::env::var_os("PATH").unwrap();
    command.env_clear().env("HOME", directory).env("PATH", path);
    command.current_dir(directory).stdin(Stdio::null());
}

/// A program of 64 bits for the machine (62 is amd64, 183 arm64), as far as its header goes.
fn elf(machine: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend([2, 0, machine, 0, 1, 0, 0, 0]);
    bytes.extend(rest);
    bytes
}
