//! The map in `src/lib.rs`, enforced on the text of `src/`: arrows between rooms, what pure rooms may
//! not know, where `unsafe` and printing may stand, how long a file may be.

#[path = "architecture/lexer.rs"]
mod lexer;
#[path = "architecture/rules.rs"]
mod rules;

use std::{fs, path::Path};

use rules::violations;

#[test]
fn the_tree_keeps_its_rules() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    assert!(files.len() > 30, "only {} files were found", files.len());
    let found: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let name = file.strip_prefix(&src).unwrap().to_str().unwrap();
            violations(name, &fs::read_to_string(file).unwrap())
        })
        .collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

fn collect(directory: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn caught(file: &str, text: &str, named: &str) {
    let found = violations(file, text);
    assert!(found.iter().any(|line| line.contains(named)), "{file}: {text}\nfound: {found:?}");
}

fn fine(file: &str, text: &str) {
    assert_eq!(violations(file, text), [""; 0], "{file}: {text}");
}

#[test]
fn arrows_that_point_up_or_sideways_are_caught() {
    caught("wire/frame.rs", "use crate::protocol::client::Client;", "wire must not use protocol");
    caught("transport/ws.rs", "use crate::{wire::frame, supervisor};", "transport must not use supervisor");
    caught("server/api/mod.rs", "use crate::supervisor::config::Config;", "server must not use supervisor");
    caught("cli/get.rs", "fn x() { let _ = crate::server::LIMIT; }", "cli must not use server");
    caught("protocol/mod.rs", "use crate::os::clock;", "protocol must not use os");
    caught("collector/probe.rs", "use crate::{\n    wire,\n    transport::{self, tls},\n};", "probe.rs:3: ");
    caught(
        "os/fs.rs",
        "use super::super::wire::X;\nuse super::super::telemetry as t;",
        "os must not use telemetry",
    );
    caught("os/mod.rs", "mod a { mod b { use super::super::super::cli; } }", "os must not use cli");
    caught(
        "wire/mod.rs",
        "#[cfg(test)] mod tests { use crate::transport::ws; }",
        "wire must not use transport",
    );
    caught("wire/ids.rs", "pub(crate) use crate::protocol;", "wire must not use protocol");
    fine("supervisor/driver.rs", "use crate::{collector::lint, os::{child, fs}, protocol::client, wire};");
    fine("collector/validate.rs", "use crate::os::run; use super::lint; use crate::collector::binary;");
    fine("os/child/mod.rs", "use super::{super::wire::InstanceUid, pidfd}; mod a { use super::super::fs; }");
    fine("bin/opampctl.rs", "use opamp::cli; use opamp::telemetry::logs;");
    fine(
        "wire/mod.rs",
        "/// crate::server\n// use crate::cli;\n/* crate::os */ const A: &str = \"crate::supervisor\";",
    );
}

#[test]
fn what_pure_rooms_must_not_know_is_caught() {
    for (text, named) in [
        ("use tokio::sync::mpsc;", "tokio"),
        ("use std::time::{Duration, Instant};", "std::time::Instant"),
        ("use std::{fs, time::Duration};", "std::fs"),
        ("use std::time::*;", "std::time"),
        ("use std::time;", "std::time"),
        ("fn f() { std::time::SystemTime::now(); }", "std::time::SystemTime"),
        ("use std::net::TcpStream;", "std::net"),
        ("use rand::Rng;", "rand"),
        ("fn f() { let at = jiff::Timestamp::now(); }", "Timestamp::now"),
        ("fn f() { let id = Uuid::now_v7(); }", "Uuid::now_v7"),
    ] {
        for file in ["wire/a.rs", "protocol/client/a.rs", "supervisor/machine/a.rs", "server/fleet/a.rs"] {
            caught(file, text, &format!("must not use {named}"));
        }
        fine("supervisor/driver.rs", text);
    }
    fine("supervisor/machine/mod.rs", "use std::{fmt, time::Duration}; fn f(x: std::time::Duration) {}");
    fine("protocol/a.rs", "#[cfg(test)]\nmod tests { use std::time::Instant; }");
    fine("protocol/client/tests.rs", "use rand::Rng;");
    caught("protocol/a.rs", "#[cfg(test)]\nmod tests { }\nuse std::time::Instant;", "a.rs:3: ");
}

#[test]
fn unsafe_printing_and_length_are_caught() {
    caught("wire/frame.rs", "fn f() { unsafe { g() } }", "unsafe");
    fine("os/pidfd.rs", "fn f() { unsafe { g() } }");
    fine("wire/frame.rs", "#![deny(unsafe_code)] // unsafe\nconst A: &str = r#\"unsafe \" { \"#;");
    caught("server/mod.rs", "fn f() { println!(\"x\") }", "println!");
    caught("os/lock.rs", "fn f() { std::eprintln!(\"x\") }", "eprintln!");
    fine("cli/get.rs", "fn f() { println!(\"x\") }");
    fine("bin/opampctl.rs", "fn f() { eprintln!(\"x\") }");
    fine("os/a.rs", "#[cfg(test)] mod tests { fn f() { println!() } }");
    fine("wire/a.rs", &"// a line\n".repeat(400));
    caught("wire/a.rs", &"// a line\n".repeat(401), "401 lines: split it");
}

#[test]
fn literals_and_lifetimes_do_not_confuse_it() {
    let text = "fn f<'a>(x: &'a str) -> char { '\"' }\nfn g() -> char { '\\'' }\nconst B: &[u8] = b\"\\\"\";\n\
                const R: &str = r##\"a \"# b\"##;\nuse crate::cli;";
    caught("os/a.rs", text, "a.rs:5: ");
}

/// The server must not be able to sign what hosts run: whoever takes it over would bring programs of their own.
#[test]
fn s_se_01_the_server_has_nothing_to_sign_with() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let (_, of_server) = manifest.split_once("\nserver = [").unwrap();
    let (of_server, _) = of_server.split_once("\n]").unwrap();
    assert!(
        of_server.contains("\"dep:minisign-verify\"") && !of_server.contains("\"dep:minisign\""),
        "{of_server}"
    );
    let mut files = Vec::new();
    collect(&root.join("src/server"), &mut files);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains("SigningKey") && !text.contains("NewKeys"), "{}", file.display());
    }
}
