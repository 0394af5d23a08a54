//! Texts in, verdicts out: a pretended environment, pretended files, and an executable that is always there.

use std::{io, path::Path};

use opamp::supervisor::config::{ConfigError, Loaded, Sources, SupervisorConfig, parse};

pub(crate) const NAME: &str = "supervisor.yaml";

/// The least that loads.
pub(crate) const LEAST: &str =
    "server: {endpoint: ws://127.0.0.1:4320/v1/opamp}\nagent: {executable: /col}\n";

fn env(name: &str) -> Option<String> {
    let value = match name {
        "HOST" => "opamp.example.com",
        "PORT" => "4321",
        "WORD" => "word",
        "NOTHING" => "",
        "TOKEN" => "s3cr3t-token",
        "LIST" => "[one, two]",
        "COMMAS" => "one,two",
        "DOLLAR" => "a$$b",
        "NESTED" => "${WORD}-${PORT}",
        "CIRCLE" => "${CIRCLE}",
        "BOOL" => "true",
        _ => return None,
    };
    Some(value.to_owned())
}

fn read(path: &Path) -> io::Result<String> {
    match path.to_str() {
        Some("/run/token" | "/etc/opamp/token") => Ok("s3cr3t-file\n".to_owned()),
        Some("/run/headers.yaml") => Ok("Authorization: Bearer ${TOKEN}\nX-Two: [a, b]\n".to_owned()),
        Some("/etc/opamp/packages.pub") => Ok(PUBLIC_KEY.to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

const PUBLIC_KEY: &str = "untrusted comment: minisign public key 77FF23DA1C7CEE0E\n\
                          RWQO7nwc2iP/dxETDbvI2cOBkD6UbaYhzejmEBmCLdFGOUxmuvmQOznX\n";

fn stat(path: &Path) -> io::Result<()> {
    if path == Path::new("/missing") { Err(io::ErrorKind::NotFound.into()) } else { Ok(()) }
}

pub(crate) fn verdict(text: &str) -> Result<Loaded, ConfigError> {
    parse(text, NAME, Sources { env: &env, read: &read, stat: &stat })
}

pub(crate) fn good(text: &str) -> Loaded {
    verdict(text).unwrap_or_else(|error| panic!("does not load:\n{error}\n--- text:\n{text}"))
}

pub(crate) fn config(text: &str) -> SupervisorConfig {
    good(text).config
}

/// The messages of a text that must not load, one per line.
pub(crate) fn bad(text: &str) -> Vec<String> {
    match verdict(text) {
        Ok(loaded) => panic!("loads, and should not:\n{text}\n{loaded:?}"),
        Err(error) => error.to_string().lines().map(str::to_owned).collect(),
    }
}

/// [`LEAST`] in block form with lines added: `server` keys from line 3 on, `agent` keys from the line after its
/// `executable`, and whole sections at the end.
pub(crate) fn with(server: &str, agent: &str, rest: &str) -> String {
    let block = |lines: &str| lines.lines().map(|line| format!("  {line}\n")).collect::<String>();
    format!(
        "server:\n  endpoint: wss://opamp.example.com/v1/opamp\n{}agent:\n  executable: /col\n{}{rest}",
        block(server),
        block(agent),
    )
}

pub(crate) fn notices(text: &str) -> Vec<String> {
    good(text)
        .notices
        .iter()
        .map(|notice| format!("{}:{}: {notice}", notice.at.line, notice.at.column))
        .collect()
}
