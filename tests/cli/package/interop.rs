//! Keys and signatures go both ways between `opampctl package` and the `minisign` tool.

use std::{io::Write, process::Stdio};

use super::{Desk, PASSWORD, in_directory};
use crate::stub::said;

/// The tool, with answers on its standard input where it asks for passwords.
fn answered(desk: &Desk, arguments: &[&str], answers: &str) {
    let mut command = std::process::Command::new("minisign");
    in_directory(command.args(arguments), desk.0.path());
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("minisign, which tests/run.sh installs");
    child.stdin.take().unwrap().write_all(answers.as_bytes()).unwrap();
    let said = said(child.wait_with_output().unwrap());
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn minisign_verifies_what_we_sign_and_we_what_it_signs() {
    let desk = Desk::with_keys();
    assert_eq!(desk.sign(&["--expires", "2126-06-01T00:00:00Z"]).code, 0);
    // -H: prehashed, or else refused.
    let said = desk.minisign(&["-V", "-H", "-p", "minisign.pub", "-m", "otelcol"]);
    assert_eq!(said.code, 0, "{said:?}");
    let comment = format!("Trusted comment: {}\n", desk.comment());
    assert!(said.out.contains(&comment), "{said:?}");

    std::fs::remove_file(desk.path("otelcol.minisig")).unwrap();
    desk.minisign_says(&desk.comment());
    let said = desk.run(&["inspect", "otelcol", "--public-key", "minisign.pub"]);
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn our_key_with_a_password_signs_in_minisign() {
    let desk = Desk::new();
    assert_eq!(desk.run_with_password(&["keygen"]).code, 0);
    let sign = ["-S", "-s", "minisign.key", "-m", "otelcol", "-t", &desk.comment()];
    answered(&desk, &sign, &format!("{PASSWORD}\n"));
    let said = desk.run(&["inspect", "otelcol", "--public-key", "minisign.pub"]);
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn keys_of_minisign_sign_here_with_and_without_a_password() {
    let desk = Desk::new();
    answered(&desk, &["-G", "-p", "a.pub", "-s", "a.key"], &format!("{PASSWORD}\n{PASSWORD}\n"));
    answered(&desk, &["-G", "-W", "-p", "b.pub", "-s", "b.key"], "");
    for (key, public) in [("a.key", "a.pub"), ("b.key", "b.pub")] {
        let sign = ["sign", "otelcol", "--secret-key", key, "--name", "otelcol", "--version", "0.150.0"];
        let said = desk.run_with_password(&sign);
        assert_eq!(said.code, 0, "{said:?}");
        assert_eq!(desk.minisign(&["-V", "-H", "-p", public, "-m", "otelcol"]).code, 0, "{key}");
        let said = desk.run(&["inspect", "otelcol", "--public-key", public]);
        assert_eq!(said.code, 0, "{said:?}");
    }
}
