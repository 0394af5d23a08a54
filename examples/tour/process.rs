//! Processes: our own children with their logs, and a look at everyone's in `/proc`.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Asks until there is an answer; at the deadline the last reason why there was none is the error.
pub(super) fn until<T>(deadline: Duration, what: &str, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(e) if start.elapsed() >= deadline => {
                return Err(e.context(format!("not within {} s: {what}", deadline.as_secs())));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// One of our programs, in a process group of its own so that Ctrl-C reaches only us and the order is ours.
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) log: PathBuf,
    child: Child,
}

impl Program {
    pub(super) fn start(name: &'static str, mut command: Command, log: &Path) -> Result<Self> {
        let out: File = OpenOptions::new().create(true).append(true).open(log)?;
        let err = out.try_clone()?;
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, log: log.to_owned(), child })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error that says how it ended, if it has.
    pub(super) fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}; its log is {}", self.name, self.log.display()),
        }
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        send(self.pid(), signal)
    }

    /// SIGTERM, then the exit status; SIGKILL at the deadline.
    pub(super) fn terminate(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        // In case it was stopped, by us or a person.
        self.signal(Signal::SIGCONT)?;
        let name = self.name;
        let ended = until(deadline, &format!("{name} stops after SIGTERM"), || {
            self.child.try_wait()?.with_context(|| format!("{name} still runs"))
        });
        if ended.is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        ended
    }
}

pub(super) fn send(pid: u32, signal: Signal) -> Result<()> {
    let raw = i32::try_from(pid).context("a pid out of range")?;
    kill(Pid::from_raw(raw), signal).with_context(|| format!("cannot send {signal} to {pid}"))
}

/// Living processes (no zombies) by pid, parent and command line.
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) parent: u32,
    pub(super) command_line: String,
}

pub(super) fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| look(entry.file_name().to_str()?.parse().ok()?)).collect()
}

fn look(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so the fields are counted from its end.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let command_line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let command_line = String::from_utf8_lossy(&command_line).replace('\0', " ");
    (state != "Z").then_some(Process { pid, parent, command_line })
}

pub(super) fn is_alive(pid: u32) -> bool {
    look(pid).is_some()
}

/// The one child of `parent` that runs `executable` as an agent, and not to `validate` or to print something.
pub(super) fn child_of(parent: u32, executable: &Path) -> Result<u32> {
    let executable = format!("{} --", executable.display());
    let all = all();
    let mut children = all.iter().filter(|p| p.parent == parent && p.command_line.starts_with(&executable));
    match (children.next(), children.next()) {
        (Some(child), None) => Ok(child.pid),
        (None, _) => bail!("process {parent} has no Collector"),
        (Some(a), Some(b)) => bail!("process {parent} has two Collectors, {} and {}", a.pid, b.pid),
    }
}
