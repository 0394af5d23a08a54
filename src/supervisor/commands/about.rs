//! `version`, `completions` and `man`: what the program says of itself.

use std::io::Write;

use clap::CommandFactory;
use serde_json::json;

use super::{
    CommandError, OK,
    args::{Args, Completions, Format, Man, Version},
    json as write_json,
};

const NAME: &str = "opamp-supervisor";

pub(super) fn version(wanted: &Version, out: &mut dyn Write) -> Result<u8, CommandError> {
    let version = env!("CARGO_PKG_VERSION");
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    match wanted.output {
        Format::Text => writeln!(out, "{NAME} {version} ({os}, {arch})")?,
        Format::Json => {
            write_json(&json!({ "name": NAME, "version": version, "os": os, "arch": arch }), out)?
        }
    }
    Ok(OK)
}

pub(super) fn completions(wanted: &Completions, out: &mut dyn Write) -> Result<u8, CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(wanted.shell, &mut Args::command(), NAME, &mut script);
    out.write_all(&script)?;
    Ok(OK)
}

/// One page for the program, and one for each command.
pub(super) fn man(wanted: &Man, out: &mut dyn Write) -> Result<u8, CommandError> {
    let mut program = Args::command();
    program.build();
    let page = match &wanted.of {
        None => program,
        Some(name) => {
            let found = program.get_subcommands().find(|command| command.get_name() == name);
            let Some(command) = found else { return Err(CommandError::NoSuchCommand(name.clone())) };
            command.clone()
        }
    };
    clap_mangen::Man::new(page).render(out)?;
    Ok(OK)
}
