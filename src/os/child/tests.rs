//! With real processes: how they end, what is left, who is told.

use std::{
    env, fs,
    os::{fd::AsFd, unix::fs::PermissionsExt},
    process::{Command, Stdio},
};

use nix::sys::wait::waitpid;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process as tokio_process,
};

use super::*;
use crate::os::testing::{in_time, line, shell};

async fn ended(script: &str) -> Exit {
    let spawned = Child::spawn(&shell(script)).unwrap();
    in_time(spawned.child.wait()).await.unwrap()
}

#[tokio::test]
async fn codes_and_signals_are_different_ends() {
    assert_eq!(ended("exit 0").await, Exit::Code(0));
    assert_eq!(ended("exit 137").await, Exit::Code(137));
    assert_eq!(ended("kill -9 $$").await, Exit::Signal { number: 9, core: false });
    let segv = ended("ulimit -c 0; kill -SEGV $$").await;
    assert_eq!(segv, Exit::Signal { number: 11, core: false });
    assert_eq!(segv.to_string(), "killed by SIGSEGV");
    let real_time = ended("kill -40 $$").await;
    assert_eq!(real_time.to_string(), "killed by SIGRTMIN+6");
    assert_eq!(Exit::Code(1).to_string(), "exited with code 1");
    assert!(Exit::Code(0).success() && !segv.success());
}

#[tokio::test]
async fn the_end_is_told_again_to_whoever_asks_later() {
    let spawned = Child::spawn(&shell("exit 7")).unwrap();
    let (first, second) = tokio::join!(spawned.child.wait(), spawned.child.wait());
    assert_eq!((first.unwrap(), second.unwrap()), (Exit::Code(7), Exit::Code(7)));
    assert_eq!(spawned.child.try_wait().unwrap(), Some(Exit::Code(7)));
    // Reaped: nobody is signalled any more, and that is no error.
    spawned.child.signal(Signal::SIGKILL).unwrap();
    spawned.child.signal_group(Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn environment_arguments_directory_and_no_stdin() {
    let mut spec = shell("echo \"$A $1 $PWD $(cat) $HOME\"");
    spec.args.extend(["name", "arg"].map(Into::into));
    spec.env.push(("A".into(), "value".into()));
    spec.cwd = Some("/".into());
    assert!(!format!("{spec:?}").contains("value"), "a value is shown");
    let mut spawned = Child::spawn(&spec).unwrap();
    let home = env::var("HOME").unwrap_or_default();
    assert_eq!(line(&mut spawned.stdout).await, format!("value arg /  {home}"));
}

#[tokio::test]
async fn a_group_of_its_own_default_signals_and_no_inherited_descriptor() {
    // A descriptor without close-on-exec, as a careless parent would leave one.
    let file = tempfile::NamedTempFile::new().unwrap();
    let leaked = nix::unistd::dup(&file).unwrap();
    let script = "grep -E '^Sig(Blk|Ign)' /proc/self/status; exec sleep 600";
    let mut spawned = Child::spawn(&shell(script)).unwrap();
    let facts = spawned.child.facts().unwrap();
    assert_eq!(facts.pgid, spawned.child.pid());
    assert_eq!(line(&mut spawned.stdout).await, "SigBlk:\t0000000000000000");
    // Signals 32 and 33 are the C library's own and stay as they were inherited.
    let ignored = line(&mut spawned.stdout).await;
    let mask = u64::from_str_radix(ignored.trim_start_matches("SigIgn:\t"), 16).unwrap();
    assert_eq!(mask & !(3 << 31), 0, "{ignored}");
    // It goes on, with whatever it was given.
    let open = |pid: i32| -> Vec<_> {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        entries.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok()).collect()
    };
    let path = file.path().to_owned();
    assert!(open(std::process::id().cast_signed()).contains(&path));
    assert!(!open(spawned.child.pid()).contains(&path));
    drop(leaked);
}

#[tokio::test]
async fn f_65_a_grandchild_goes_with_the_group() {
    // The grandchild holds the output pipe: its end is seen as the end of the pipe.
    let mut spawned = Child::spawn(&shell("sleep 600 & echo started; exit 1")).unwrap();
    assert_eq!(line(&mut spawned.stdout).await, "started");
    assert_eq!(in_time(spawned.child.wait()).await.unwrap(), Exit::Code(1));
    let mut rest = Vec::new();
    in_time(spawned.stdout.read_to_end(&mut rest)).await.unwrap();
    in_time(spawned.child.group_gone()).await.unwrap();
}

#[tokio::test]
async fn a_stop_in_order_is_not_a_kill() {
    let mut spawned = Child::spawn(&shell("trap 'exit 3' TERM; echo ready; sleep 600 & wait")).unwrap();
    line(&mut spawned.stdout).await;
    let stopped = in_time(spawned.child.stop(Duration::from_secs(20))).await.unwrap();
    assert_eq!(stopped, Stopped { exit: Exit::Code(3), killed: false });
}

#[tokio::test]
async fn f_64_who_ignores_sigterm_is_killed_when_the_grace_is_over() {
    let mut spawned = Child::spawn(&shell("trap '' TERM; echo ready; while :; do sleep 600; done")).unwrap();
    line(&mut spawned.stdout).await;
    let stopped = in_time(spawned.child.stop(Duration::from_millis(50))).await.unwrap();
    assert_eq!(stopped, Stopped { exit: Exit::Signal { number: 9, core: false }, killed: true });
}

#[tokio::test]
async fn dropped_alive_it_dies_with_its_group() {
    let spawned = Child::spawn(&shell("sleep 600 & sleep 600")).unwrap();
    let mut stdout = spawned.stdout;
    drop(spawned.child);
    in_time(stdout.read_to_end(&mut Vec::new())).await.unwrap();
}

#[tokio::test]
async fn what_does_not_start_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, body: &str, mode| {
        let path = dir.path().join(name);
        fs::write(&path, body).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let why = |spec: Spec| Child::spawn(&spec).map(|_| ()).unwrap_err();
    let absent = why(Spec::new(dir.path().join("absent")));
    assert!(
        matches!(absent, SpawnError::Missing { .. }) && absent.to_string().contains("absent does not exist")
    );
    let plain = why(Spec::new(file("plain", "x", 0o644)));
    assert!(matches!(plain, SpawnError::NotExecutable { .. }), "{plain}");
    let format = why(Spec::new(file("format", "\x7fELF nonsense", 0o755)));
    assert!(matches!(format, SpawnError::WrongFormat { .. }), "{format}");
    let interpreter = why(Spec::new(file("script", "#!/no/such/shell\n", 0o755)));
    assert!(matches!(interpreter, SpawnError::MissingInterpreter { .. }), "{interpreter}");
    assert!(matches!(why(Spec::new(dir.path())), SpawnError::IsDirectory { .. }));
    let mut cwd = shell("true");
    cwd.cwd = Some(dir.path().join("nowhere"));
    assert!(matches!(why(cwd), SpawnError::WorkingDirectory { .. }));
}

#[tokio::test]
async fn an_executable_still_open_for_writing_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("true");
    fs::copy("/bin/true", &path).unwrap();
    let writer = fs::OpenOptions::new().append(true).open(&path).unwrap();
    let error = Child::spawn(&Spec::new(&path)).map(|_| ()).unwrap_err();
    assert!(matches!(error, SpawnError::Busy { .. }) && error.is_transient(), "{error}");
    drop(writer);
    let spawned = Child::spawn(&Spec::new(&path)).unwrap();
    assert_eq!(in_time(spawned.child.wait()).await.unwrap(), Exit::Code(0));
}

/// Runs one ignored test of this file in a process of its own.
fn in_another_process(test: &str) -> tokio_process::Child {
    let mut command = tokio_process::Command::new(env::current_exe().unwrap());
    command.args(["--exact", "--ignored", "--nocapture", &format!("os::child::tests::{test}")]);
    command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap()
}

#[tokio::test]
async fn f_62_the_child_ends_when_the_supervisor_is_killed() {
    let mut supervisor = in_another_process("helper_that_is_killed");
    let mut lines = BufReader::new(supervisor.stdout.take().unwrap()).lines();
    let pid: i32 = loop {
        let line = in_time(lines.next_line()).await.unwrap().expect("the helper ended");
        if let Some(pid) = line.split("child=").nth(1) {
            break pid.parse().unwrap();
        }
    };
    let orphan = pidfd::watch(pidfd::open(pid).unwrap()).unwrap();
    pidfd::send(orphan.get_ref().as_fd(), Signal::SIGCONT).unwrap();
    supervisor.start_kill().unwrap();
    in_time(supervisor.wait()).await.unwrap();
    drop(in_time(orphan.readable()).await.unwrap());
}

#[tokio::test]
#[ignore = "run by f_62_the_child_ends_when_the_supervisor_is_killed"]
async fn helper_that_is_killed() {
    let mut spawned = Child::spawn(&shell("echo up; exec sleep 600")).unwrap();
    line(&mut spawned.stdout).await;
    println!("\nchild={}", spawned.child.pid());
    in_time(spawned.child.wait()).await.unwrap();
}

#[tokio::test]
async fn f_86_strangers_are_reaped_and_the_child_s_status_is_not_stolen() {
    let mut other = in_another_process("helper_that_inherits_orphans");
    let status = in_time(other.wait()).await.unwrap();
    let mut output = String::new();
    other.stdout.take().unwrap().read_to_string(&mut output).await.unwrap();
    assert!(status.success(), "{output}");
}

/// In a process of its own, because it reaps whatever it has.
#[tokio::test]
#[ignore = "run by f_86_strangers_are_reaped_and_the_child_s_status_is_not_stolen"]
async fn helper_that_inherits_orphans() {
    reaper::become_subreaper().unwrap();
    let mut ours = Child::spawn(&shell("read line < /dev/null; echo up; kill -TERM $$")).unwrap();
    line(&mut ours.stdout).await;
    // A hundred orphans, and a stranger that is our direct child.
    let script = "i=0; while [ $i -lt 100 ]; do (sh -c 'exit 5' &); i=$((i+1)); done";
    #[allow(clippy::zombie_processes, reason = "the reaper is to reap it")]
    let fork = Command::new("/bin/sh").args(["-c", script]).spawn().unwrap();
    let mut signals = crate::os::signals::Signals::listen().unwrap();
    let mut reaped = reaper::reap_strangers().unwrap();
    while reaped < 101 {
        // Ours has ended too and is in the way until its owner asked.
        if ours.child.try_wait().unwrap().is_none() {
            in_time(signals.next()).await;
        }
        let more = reaper::reap_strangers().unwrap();
        if more == 0 {
            in_time(signals.next()).await;
        }
        reaped += more;
    }
    assert_eq!(ours.child.wait().await.unwrap(), Exit::Signal { number: 15, core: false });
    assert_eq!(waitpid(Pid::from_raw(fork.id().cast_signed()), None), Err(Errno::ECHILD));
}
