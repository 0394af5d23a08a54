//! `export-legacy`: what the established supervisor needs to take over.

use std::{io::Write, path::Path};

use super::{CommandError, OK, ask, place::Place};
use crate::supervisor::{
    control::{AskError, Request},
    journal::peek,
    legacy::export,
};

pub(super) fn run(place: &Place, to: Option<&Path>, out: &mut dyn Write) -> Result<u8, CommandError> {
    let Some(peeked) = peek(&place.storage)? else {
        return Err(CommandError::NothingKept(place.storage.clone()));
    };
    for path in export(&place.storage, &peeked, to.unwrap_or(&place.storage))? {
        writeln!(out, "wrote {}", path.display())?;
    }
    if !matches!(ask(&place.socket, &Request::Status), Err(AskError::NotRunning(_))) {
        writeln!(out, "this supervisor still runs: stop it before the other one starts, and export again")?;
    }
    Ok(OK)
}
