//! New key pairs.

use std::{
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{Desk, PASSWORD, in_directory};

#[test]
fn keygen_writes_a_pair_and_says_where_each_half_belongs() {
    let desk = Desk::new();
    let said = desk.run_with_password(&["keygen", "-o", "new/keys"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    let mode = |name: &str| std::fs::metadata(desk.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("new/keys/minisign.key"), mode("new/keys/minisign.pub") & 0o600), (0o600, 0o600));
    let public = desk.read("new/keys/minisign.pub");
    let line = public.lines().nth(1).unwrap();
    assert!(line.starts_with("RW") && said.out.lines().any(|told| told == line), "{}", said.out);
    for told in [
        "new/keys/minisign.key: the secret key, for whoever signs",
        "new/keys/minisign.pub: the public key ",
        "packages.signature.public_key_files",
    ] {
        assert!(said.out.contains(told), "{}", said.out);
    }
    let secret = desk.read("new/keys/minisign.key");
    assert!(!said.out.contains(secret.lines().nth(1).unwrap()) && !said.out.contains(PASSWORD));
}

#[test]
fn keygen_overwrites_nothing() {
    let desk = Desk::with_keys();
    let before = (desk.read("minisign.key"), desk.read("minisign.pub"));
    let said = desk.run(&["keygen", "--no-password"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("minisign.key: is there already and is not overwritten"), "{}", said.err);
    // Nor is there half a pair when only the public key is in the way.
    let said =
        desk.run(&["keygen", "--no-password", "--secret-key", "b.key", "--public-key", "minisign.pub"]);
    assert!(said.code == 1 && said.err.contains("minisign.pub: is there already"), "{said:?}");
    assert!(!desk.exists("b.key"));
    assert_eq!((desk.read("minisign.key"), desk.read("minisign.pub")), before);
}

#[test]
fn a_password_comes_from_a_file_or_the_environment_and_without_a_terminal_it_is_said_how() {
    let desk = Desk::new();
    desk.write("password", b"of the file\n");
    let said = desk.run_with_password(&["keygen", "--password-file", "password"]);
    assert_eq!(said.code, 0, "{said:?}");
    // The file's it is, not that of the environment.
    let sign = ["sign", "otelcol", "--secret-key", "minisign.key", "--name", "a", "--version", "1.0.0"];
    let wrong = desk.run_with_password(&sign);
    assert!(wrong.code == 1 && wrong.err.contains("minisign.key: the password is wrong"), "{wrong:?}");
    assert!(!wrong.err.contains(PASSWORD) && !desk.exists("otelcol.minisig"));
    let right = desk.run(&[&sign[..], &["--password-file", "password"]].concat());
    assert_eq!(right.code, 0, "{right:?}");

    for line in [&["keygen", "-o", "other"][..], &sign] {
        let said = desk.run(line);
        assert_eq!(said.code, 78, "{said:?}");
        assert!(said.err.contains("--password-file FILE, OPAMPCTL_KEY_PASSWORD"), "{}", said.err);
        assert_eq!(said.err.contains("--no-password"), line[0] == "keygen", "{}", said.err);
    }
    assert!(!desk.exists("other"));
    desk.write("password", b"\n");
    let said = desk.run(&["keygen", "-o", "other", "--password-file", "password"]);
    assert!(said.code == 1 && said.err.contains("password: holds no password"), "{said:?}");
}

/// A shell's line on a terminal of its own, in which `$package` is `opampctl package`. Each answer is typed after its
/// question, once what is typed is not shown. What the terminal showed, and the exit code.
fn typed(desk: &Desk, line: &str, answers: &[(&str, &str)]) -> (String, i32) {
    let mut command = Command::new("script");
    let package = format!("package='{} package'; ", env!("CARGO_BIN_EXE_opampctl"));
    command.args(["-qec", &(package + line), "/dev/null"]);
    in_directory(&mut command, desk.0.path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script");
    let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut shown = Vec::new();
    for (question, answer) in answers {
        let mut byte = [0];
        let from = shown.len();
        while !String::from_utf8_lossy(&shown[from..]).contains(question) {
            assert_eq!(screen.read(&mut byte).unwrap(), 1, "no {question:?} in {shown:?}");
            shown.push(byte[0]);
        }
        wait_for_silence(child.id());
        keyboard.write_all(answer.as_bytes()).unwrap();
    }
    screen.read_to_end(&mut shown).unwrap();
    (String::from_utf8_lossy(&shown).into_owned(), child.wait().unwrap().code().unwrap())
}

/// Until the terminal that `script` made shows nothing of what is typed.
fn wait_for_silence(script: u32) {
    let inside = std::fs::read_to_string(format!("/proc/{script}/task/{script}/children")).unwrap();
    let terminal = std::fs::read_link(format!("/proc/{}/fd/0", inside.trim())).unwrap();
    let start = Instant::now();
    loop {
        let settings = Command::new("stty").arg("-F").arg(&terminal).arg("-a").output().unwrap();
        if String::from_utf8_lossy(&settings.stdout).contains(" -echo ") {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{settings:?}");
    }
}

#[test]
fn on_a_terminal_a_new_password_is_asked_for_twice_and_an_old_one_once() {
    let desk = Desk::new();
    let twice = |first: &str, second: &str| {
        typed(&desk, "$package keygen", &[("new secret key: ", first), ("The same again: ", second)])
    };
    let password = &format!("{PASSWORD}\n");
    let (shown, code) = twice(password, "correct horst\n");
    assert_eq!(code, 64, "{shown}");
    assert!(shown.contains("the two passwords differ; nothing was written"), "{shown}");
    assert!(!desk.exists("minisign.key"));
    let (shown, code) = typed(&desk, "$package keygen", &[("new secret key: ", "\n")]);
    assert!(code == 64 && shown.contains("an empty password protects nothing"), "{shown}");

    let (shown, code) = twice(password, password);
    assert_eq!(code, 0, "{shown}");
    let sign = "$package sign otelcol --secret-key minisign.key --name otelcol --version 0.150.0";
    let (shown, code) = typed(&desk, sign, &[("Password of minisign.key: ", password)]);
    assert!(code == 0 && shown.contains("otelcol 0.150.0 for linux/amd64"), "{shown}");
    assert!(!shown.contains(PASSWORD), "{shown}");
}

#[test]
fn who_interrupts_the_question_has_the_terminal_as_it_was_and_no_key() {
    let desk = Desk::new();
    // Ctrl-C in the middle of a word, and Ctrl-D at the beginning.
    for answer in ["corr\u{3}", "\u{4}"] {
        let line = "$package keygen; echo code $?; stty -a";
        let (shown, _) = typed(&desk, line, &[("new secret key: ", answer)]);
        assert!(shown.contains("opampctl: nothing was changed"), "{shown}");
        assert!(
            shown.contains("code 1\r\n") && shown.contains(" echo ") && shown.contains("isig "),
            "{shown}"
        );
        assert!(!desk.exists("minisign.key") && !shown.contains("corr"), "{shown}");
    }
}
