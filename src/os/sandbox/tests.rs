//! The sandbox from within, by short runs of programs that every host has.

use std::time::Duration;

use super::*;
use crate::os::{
    child::Spec,
    run,
    testing::{in_time, shell},
};

const LIMITS: run::Limits = run::Limits { deadline: Duration::from_secs(20), output: 4096 };

#[test]
fn an_account_is_named_or_numbered() {
    let root = nix::unistd::geteuid().is_root();
    match Account::find("54321:54322") {
        Ok(account) => {
            assert_eq!((account.uid, account.gid, &*account.groups), (54321, 54322, &[54322][..]));
            assert_eq!(account.reader(), Some(54322));
        }
        Err(error) => assert!(!root && matches!(error, AccountError::NotRoot), "{error}"),
    }
    for (written, said) in
        [("no-such-user", "no user"), ("54321", "write user:group"), ("0:no-such-group", "no group")]
    {
        assert!(Account::find(written).unwrap_err().to_string().contains(said), "{written}");
    }
    let own = Account::find(&nix::unistd::geteuid().to_string()).unwrap();
    assert_eq!(own.reader(), None, "files of our own need no other reader");
}

/// Whether a shell in this sandbox can do it.
async fn can(access: FileAccess, script: &str) -> bool {
    let confinement = Confinement { access: Some(access), ..Confinement::default() };
    let spec = Spec { confinement, ..shell(script) };
    in_time(run::run(&spec, LIMITS)).await.unwrap().exit.success()
}

#[tokio::test]
async fn only_what_is_allowed_can_be_read_written_and_run() {
    if landlock_version().is_none() {
        // Nothing is kept here; the supervisor's own test asserts that it is said.
        return assert!(can(FileAccess::default(), "read a < /proc/1/stat").await);
    }
    let dir = tempfile::tempdir().unwrap();
    for name in ["open", "closed"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        std::fs::write(dir.path().join(name).join("file"), "text\n").unwrap();
    }
    std::os::unix::fs::symlink(dir.path().join("closed"), dir.path().join("open/link")).unwrap();
    let open = || vec![dir.path().join("open")];
    let read = || FileAccess { read: open(), ..FileAccess::default() };
    let write = || FileAccess { write: open(), ..FileAccess::default() };
    for (access, script, works) in [
        (read(), "read a < $d/open/file", true),
        (read(), "read a < $d/closed/file", false),
        (read(), "read a < $d/open/../closed/file", false),
        (read(), "read a < $d/open/link/file", false),
        (read(), "echo x > $d/open/file", false),
        (write(), "echo x > $d/open/file && echo y > $d/open/new && read a < $d/open/new", true),
        (write(), "echo x > $d/closed/file", false),
        (read(), "echo x > /dev/null && read a < /proc/self/stat && read a < /proc/sys/kernel/ostype", true),
        (read(), "read a < /proc/1/stat", false),
        (read(), "/bin/cat /dev/null", false),
        (FileAccess { execute: vec!["/bin/cat".into()], ..read() }, "/bin/cat $d/open/file", true),
    ] {
        let script = format!("d={}; {script}", dir.path().display());
        assert_eq!(can(access, &script).await, works, "{script}");
    }
}

#[tokio::test]
async fn a_program_that_may_not_run_is_told_apart_from_one_that_cannot() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script");
    std::fs::write(&script, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let confinement = Confinement { access: Some(FileAccess::default()), ..Confinement::default() };
    let spec = Spec { confinement, ..Spec::new(&script) };
    match in_time(run::run(&spec, LIMITS)).await {
        Err(error) => assert!(error.to_string().contains("agent.access_dirs.execute.allow"), "{error}"),
        Ok(finished) => assert!(landlock_version().is_none() && finished.exit.success()),
    }
}
