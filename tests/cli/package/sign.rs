//! Signatures.

use std::{
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use super::{Desk, elf, in_directory};
use crate::stub::said;

#[test]
fn sign_reads_off_the_file_what_it_can_and_says_what_it_signed() {
    let desk = Desk::with_keys();
    let said = desk.sign(&["--expires", "2126-06-01T00:00:00Z"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    let size = std::fs::metadata(desk.path("otelcol")).unwrap().len();
    let told = format!(
        "otelcol.minisig: otelcol 0.150.0 for linux/amd64, {size} bytes, until 2126-06-01T00:00:00Z, epoch 1, signed by "
    );
    assert!(said.out.starts_with(&told), "{}", said.out);
    let signature = desk.read("otelcol.minisig");
    assert_eq!(signature.lines().nth(2).unwrap(), format!("trusted comment: {}", desk.comment()));
    // Signed anew, with another end and epoch: the older signature is replaced, nothing is left beside it.
    let again = desk.sign(&["--expires", "30d", "--epoch", "7", "--os", "linux"]);
    assert!(again.code == 0 && desk.read("otelcol.minisig").contains("epoch=7"), "{again:?}");
    let files = std::fs::read_dir(desk.0.path()).unwrap().count();
    assert_eq!(files, 4, "artefact, signature and two keys");
}

#[test]
fn the_architecture_is_read_off_the_programs_and_asked_for_where_there_are_none() {
    let desk = Desk::with_keys();
    let archive = |entries: &[(&str, Vec<u8>)]| {
        let mut builder =
            tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for (path, bytes) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, path, &bytes[..]).unwrap();
        }
        desk.write("otelcol", &builder.into_inner().unwrap().finish().unwrap());
    };
    archive(&[("README", b"x".to_vec()), ("bin/otelcol", elf(183, b"x"))]);
    let said = desk.sign(&[]);
    assert!(said.code == 0 && said.out.contains("for linux/arm64"), "{said:?}");
    let said = desk.sign(&["--arch", "amd64"]);
    assert!(
        said.code == 1 && said.err.contains("--arch says amd64, but there is bin/otelcol for arm64"),
        "{said:?}"
    );

    archive(&[("a", elf(62, b"x")), ("b", elf(183, b"x"))]);
    let said = desk.sign(&[]);
    assert!(
        said.code == 1 && said.err.contains("a for amd64 and b for arm64 in it; say with --arch"),
        "{said:?}"
    );
    assert_eq!(desk.sign(&["--arch", "arm64"]).code, 0);

    archive(&[("geoip.mmdb", vec![1; 100])]);
    let said = desk.sign(&[]);
    assert!(said.code == 1 && said.err.contains("give --arch"), "{said:?}");
    assert_eq!(desk.sign(&["--arch", "amd64"]).code, 0);
}

#[test]
fn what_no_host_would_take_is_not_signed_and_it_is_said_what_to_do() {
    let desk = Desk::with_keys();
    let line = |name: &str, version: &str, more: &[&str]| {
        let usual = ["sign", "otelcol", "--secret-key", "minisign.key", "--name", name, "--version", version];
        desk.run(&[&usual[..], more].concat())
    };
    for (said, told) in [
        (line("../otelcol", "0.150.0", &[]), "'--name <NAME>': \"../otelcol\" is no name of a package"),
        (line("otelcol", "v0.150.0", &[]), "'--version <VERSION>': write 0.150.0, without the v"),
        (line("otelcol", "latest", &[]), "such as 0.150.0"),
        (line("otelcol", "0.150.0", &["--arch", "x86_64"]), "write amd64"),
        (line("otelcol", "0.150.0", &["--expires", "1y"]), "a number of days such as 365d"),
        (line("otelcol", "0.150.0", &["--expires", "2026-01-01T00:00:00Z"]), "that time is past"),
    ] {
        assert!(said.code == 64 && said.err.contains(told), "{told}: {said:?}");
    }
    desk.write("otelcol", b"PK\x03\x04 a zip");
    let said = desk.sign(&["--arch", "amd64"]);
    assert!(
        said.code == 1 && said.err.contains("otelcol: hosts take .tar.gz, .tar.zst or one bare"),
        "{said:?}"
    );
    std::fs::remove_file(desk.path("otelcol")).unwrap();
    let said = desk.sign(&[]);
    assert!(said.code == 1 && said.err.contains("cannot read otelcol: No such file"), "{said:?}");
    assert!(!desk.exists("otelcol.minisig"));
}

#[test]
fn a_wrong_key_file_is_named_with_what_is_wrong() {
    let desk = Desk::with_keys();
    let by = |key: &str| {
        desk.run(&["sign", "otelcol", "--secret-key", key, "--name", "otelcol", "--version", "0.150.0"])
    };
    let said = by("minisign.pub");
    assert!(
        said.code == 1 && said.err.contains("minisign.pub: this is no secret key of minisign's"),
        "{said:?}"
    );
    assert!(said.err.contains("is it the public key?"), "{}", said.err);
    let said = by("none.key");
    assert!(said.code == 1 && said.err.contains("cannot read none.key: No such file"), "{said:?}");
    let said = by(".");
    assert!(said.code == 1 && said.err.contains("cannot read .: is a directory"), "{said:?}");
    // One that others may read works, with a word of warning.
    std::fs::set_permissions(desk.path("minisign.key"), std::fs::Permissions::from_mode(0o640)).unwrap();
    let said = by("minisign.key");
    assert!(said.code == 0 && said.err.contains("warning: minisign.key: others than its owner"), "{said:?}");
}

/// Sparse, of 48 MiB, with 24 MiB for all data of the process.
#[test]
fn a_large_artefact_is_signed_and_inspected_without_being_held_in_memory() {
    let desk = Desk::with_keys();
    std::fs::OpenOptions::new().write(true).open(desk.path("otelcol")).unwrap().set_len(48 << 20).unwrap();
    let within = |arguments: &[&str]| {
        let mut command = Command::new("prlimit");
        let data = 24 << 20;
        command
            .arg(format!("--data={data}"))
            .arg(env!("CARGO_BIN_EXE_opampctl"))
            .arg("package")
            .args(arguments);
        in_directory(&mut command, desk.0.path());
        said(command.stderr(Stdio::piped()).output().unwrap())
    };
    let sign =
        ["sign", "otelcol", "--secret-key", "minisign.key", "--name", "otelcol", "--version", "0.150.0"];
    let signed = within(&sign);
    assert!(signed.code == 0 && signed.out.contains("50331648 bytes"), "{signed:?}");
    let inspected = within(&["inspect", "otelcol", "--public-key", "minisign.pub"]);
    assert!(inspected.code == 0 && inspected.out.contains("50331648 bytes"), "{inspected:?}");
}
