//! The systemd units: well formed, hardened, and true to the programs they start.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use opamp::supervisor::config::DEFAULT_STORAGE_DIRECTORY;

const SUPERVISOR: &str = env!("CARGO_BIN_EXE_opamp-supervisor");
const SERVER: &str = env!("CARGO_BIN_EXE_opamp-server");

fn unit(program: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("systemd/{program}.service"))
}

/// The values of a key, in the order of the file.
fn values(program: &str, key: &str) -> Vec<String> {
    let text = fs::read_to_string(unit(program)).unwrap();
    let value = |line: &str| line.strip_prefix(key)?.strip_prefix('=').map(str::to_owned);
    text.lines().filter_map(value).collect()
}

/// What systemd-analyze says, or `None` where there is none.
fn analyze(args: &[&str]) -> Option<Output> {
    let output = Command::new("systemd-analyze").args(args).output();
    match output {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("systemd-analyze is not there: not checked");
            None
        }
        Err(error) => panic!("systemd-analyze: {error}"),
    }
}

fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]].map(|text| String::from_utf8_lossy(text).into_owned()).concat()
}

/// The threshold is ten times the exposure level.
fn is_hardened(program: &str, threshold: u8) {
    let threshold = format!("--threshold={threshold}");
    let path = unit(program);
    let path = path.to_str().unwrap();
    let Some(output) = analyze(&["security", "--offline=true", "--no-pager", &threshold, path]) else {
        return;
    };
    assert!(output.status.success(), "{}", said(&output));
}

/// systemd finds nothing to say of it once its program is there.
fn is_well_formed(program: &str, built: &str) {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join(format!("{program}.service"));
    let text = fs::read_to_string(unit(program)).unwrap();
    let installed = format!("/usr/bin/{program} ");
    assert!(text.contains(&installed), "{text}");
    fs::write(&copy, text.replace(&installed, &format!("{built} "))).unwrap();
    let Some(output) = analyze(&["verify", "--man=no", copy.to_str().unwrap()]) else { return };
    assert!(output.status.success() && said(&output).is_empty(), "{}", said(&output));
}

/// Each flag that the unit gives is one that the program has.
fn flags_exist(program: &str, built: &str) {
    let [command] = &values(program, "ExecStart")[..] else { panic!("one ExecStart") };
    let help = Command::new(built).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let known: Vec<&str> = help.split([' ', ',', '\n']).collect();
    let flags: Vec<&str> = command.split(' ').filter(|word| word.starts_with('-')).collect();
    assert!(!flags.is_empty(), "{command}");
    for flag in flags {
        assert!(known.contains(&flag), "{program} has no {flag}:\n{help}");
    }
}

#[test]
fn units_are_hardened() {
    is_hardened("opamp-server", 12);
    is_hardened("opamp-supervisor", 21);
}

#[test]
fn units_are_well_formed() {
    is_well_formed("opamp-server", SERVER);
    is_well_formed("opamp-supervisor", SUPERVISOR);
}

#[test]
fn units_give_flags_that_the_programs_have() {
    flags_exist("opamp-server", SERVER);
    flags_exist("opamp-supervisor", SUPERVISOR);
}

#[test]
fn units_keep_what_the_supervisor_counts_on() {
    for program in ["opamp-server", "opamp-supervisor"] {
        let is = |key: &str, value: &str| assert_eq!(values(program, key), [value], "{program}: {key}");
        is("Type", "notify");
        is("KillMode", "mixed");
        is("Restart", "on-failure");
        is("RestartPreventExitStatus", "64 78");
        is("StateDirectoryMode", "0700");
        assert_eq!(values(program, "WatchdogSec").len(), 1, "{program}");
    }
    assert_eq!(values("opamp-supervisor", "ExecReload"), ["/bin/kill -HUP $MAINPID"]);
    let state = values("opamp-supervisor", "StateDirectory");
    assert_eq!(format!("/var/lib/{}", state[0]), DEFAULT_STORAGE_DIRECTORY);
    assert_eq!(values("opamp-server", "StateDirectory").len(), 1, "its --data-dir is one directory");
}
