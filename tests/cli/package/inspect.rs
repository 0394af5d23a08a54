//! What is told of signed artefacts, good ones and bad ones.

use serde_json::Value;

use super::Desk;

const WITH_KEY: [&str; 4] = ["inspect", "otelcol", "--public-key", "minisign.pub"];

/// Shows it, and ends with 1 and the reason.
fn refused(desk: &Desk, reason: &str) {
    let said = desk.run(&WITH_KEY);
    assert_eq!(said.code, 1, "{said:?}");
    for text in [&said.out, &said.err] {
        assert!(
            text.contains("a host with these keys refuses it: ") && text.contains(reason),
            "{reason}: {said:?}"
        );
    }
}

#[test]
fn inspect_says_what_is_signed_by_whom_and_that_it_is_proven() {
    let desk = Desk::with_keys();
    assert_eq!(desk.sign(&["--expires", "100d", "--epoch", "3"]).code, 0);
    let said = desk.run(&WITH_KEY);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<_> = said.out.lines().map(words).collect();
    let public = desk.read("minisign.pub");
    let id = public.lines().next().unwrap().rsplit(' ').next().unwrap();
    for (what, value) in [
        ("name", "otelcol"),
        ("version", "0.150.0"),
        ("os", "linux"),
        ("arch", "amd64"),
        ("size", "33"),
        ("epoch", "3"),
        ("key", id),
        ("verdict", "good:"),
    ] {
        assert!(lines.iter().any(|line| line[0] == what && line[1] == value), "{what} {value}: {}", said.out);
    }
    assert!(said.out.contains("(in 99 days)") || said.out.contains("(in 100 days)"), "{}", said.out);
    assert!(said.out.contains("(minisign.pub)"), "{}", said.out);
}

#[test]
fn json_and_yaml_have_it_all_for_programs() {
    let desk = Desk::with_keys();
    assert_eq!(desk.sign(&["--expires", "2126-06-01T00:00:00Z"]).code, 0);
    let said = desk.run(&[&WITH_KEY[..], &["-o", "json"]].concat());
    let json: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, &json["verified"], &json["reason"]), (0, &Value::Bool(true), &Value::Null));
    assert_eq!(json["claims"]["version"], "0.150.0");
    assert_eq!(json["claims"]["expires"], "2126-06-01T00:00:00Z");
    assert_eq!(json["claims"]["sha256"], json["file"]["sha256"]);
    assert_eq!(json["signature"]["publicKeyFile"], "minisign.pub");
    assert_eq!(json["signature"]["trustedComment"], desk.comment());
    let said = desk.run(&["inspect", "otelcol", "-o", "yaml"]);
    let yaml: Value = serde_yaml::from_str(&said.out).unwrap();
    assert_eq!(
        (said.code, &yaml["verified"], &yaml["expired"]),
        (1, &Value::Bool(false), &Value::Bool(false))
    );
}

#[test]
fn without_a_public_key_the_claims_are_shown_and_the_exit_code_says_that_nothing_is_proven() {
    let desk = Desk::with_keys();
    assert_eq!(desk.sign(&[]).code, 0);
    let said = desk.run(&["inspect", "otelcol"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("version  0.150.0\n"), "{}", said.out);
    assert!(
        said.err.contains("nothing is proven without the signer's public key; give --public-key"),
        "{said:?}"
    );
    // That much can be seen without a key, too.
    desk.write("otelcol", b"\x7fELF something else");
    let said = desk.run(&["inspect", "otelcol"]);
    assert!(said.err.contains("a host refuses it whatever its keys are: signed is the SHA-256"), "{said:?}");
    assert!(said.out.contains("(the file has "), "{}", said.out);
}

#[test]
fn f_24_inspect_says_what_is_wrong_with_a_signature_and_exits_1() {
    let desk = Desk::with_keys();
    let said = desk.run(&WITH_KEY);
    assert!(
        said.code == 1 && said.err.contains("otelcol.minisig: there is no such signature"),
        "missing: {said:?}"
    );
    desk.write("otelcol.minisig", b"garbage");
    let said = desk.run(&WITH_KEY);
    assert!(said.code == 1 && said.err.contains("not the text of a minisign signature"), "garbage: {said:?}");

    assert_eq!(desk.sign(&[]).code, 0);
    let good = desk.read("otelcol.minisig");
    desk.write("otelcol.minisig", good.replace("version=0.150.0", "version=0.151.0").as_bytes());
    refused(&desk, "the signature does not fit the file or its trusted comment");
    desk.write("otelcol.minisig", good.as_bytes());
    let artefact = std::fs::read(desk.path("otelcol")).unwrap();
    desk.write("otelcol", &[&artefact[..], b"!"].concat());
    refused(&desk, "the signature does not fit the file or its trusted comment");
    desk.write("otelcol", &artefact);

    assert_eq!(desk.run(&["keygen", "-o", "others", "--no-password"]).code, 0);
    let said = desk.run(&["inspect", "otelcol", "--public-key", "others/minisign.pub"]);
    assert!(
        said.code == 1 && said.err.contains("a key that this host does not have; it has others/minisign.pub")
    );
    // During a rotation a host has both.
    let both = [&WITH_KEY[..], &["--public-key", "others/minisign.pub"]].concat();
    assert_eq!(desk.run(&both).code, 0);

    let comment = desk.comment();
    let legacy = desk.minisign(&["-S", "-l", "-s", "minisign.key", "-m", "otelcol", "-t", &comment]);
    assert_eq!(legacy.code, 0, "{legacy:?}");
    refused(&desk, "minisign's old kind");
}

#[test]
fn f_25_inspect_refuses_a_signature_that_says_too_little_or_is_about_another_file() {
    let desk = Desk::with_keys();
    let comment = desk.comment();
    desk.minisign_says("signed with love");
    refused(&desk, "the trusted comment has \"signed\", which is not KEY=VALUE");
    desk.minisign_says(&comment.replace(" arch=amd64", ""));
    refused(&desk, "no `arch=`");
    desk.minisign_says(&comment.replace("size=33", "size=34"));
    refused(&desk, "signed is size 34, that of the file is 33");
}

#[test]
fn f_26_inspect_says_that_a_signature_expired() {
    let desk = Desk::with_keys();
    desk.minisign_says(&desk.comment().replace("2126-", "2026-"));
    refused(&desk, "the signature expired at 2026-06-01T00:00:00Z");
    let said = desk.run(&[&WITH_KEY[..], &["-o", "json"]].concat());
    let json: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, &json["expired"]), (1, &Value::Bool(true)));
    assert!(desk.run(&["inspect", "otelcol"]).out.contains("2026-06-01T00:00:00Z (past, "));
}

#[test]
fn what_a_signature_says_cannot_steer_the_terminal() {
    let desk = Desk::with_keys();
    desk.minisign_says("a\u{1b}]0;owned\u{7}");
    for format in ["text", "json", "yaml"] {
        let said = desk.run(&[&WITH_KEY[..], &["-o", format]].concat());
        let harmful = |text: &str| text.chars().any(|c| c.is_control() && c != '\n');
        assert!(said.code == 1 && !harmful(&said.out) && !harmful(&said.err), "{format}: {said:?}");
    }
}

#[test]
fn a_file_that_is_no_public_key_is_named() {
    let desk = Desk::with_keys();
    assert_eq!(desk.sign(&[]).code, 0);
    let said = desk.run(&["inspect", "otelcol", "--public-key", "minisign.key"]);
    assert!(said.code == 1 && said.err.contains("minisign.key is no public key of minisign's"), "{said:?}");
    assert!(!said.err.contains(desk.read("minisign.key").lines().nth(1).unwrap()));
}
