//! What the running supervisor is told to do.

use std::{
    io::Write,
    thread::sleep,
    time::{Duration, Instant},
};

use super::{CommandError, OK, WELL_WITHIN, ask, place::Place};
use crate::supervisor::{
    control::{Answer, AskError, Request, Status},
    mask::printable,
};

/// How often it is looked whether the Collector is well again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Gives an order that is done once it is answered.
pub(super) fn give(place: &Place, order: &Request, out: &mut dyn Write) -> Result<u8, CommandError> {
    writeln!(out, "{}", said(place, order)?)?;
    Ok(OK)
}

/// Goes back, and waits until the Collector is well again.
pub(super) fn roll_back(place: &Place, order: &Request, out: &mut dyn Write) -> Result<u8, CommandError> {
    let done = said(place, order)?;
    match well(place)? {
        Ok(status) => {
            let pid = status.collector.pid.map(|pid| format!(", pid {pid}")).unwrap_or_default();
            writeln!(out, "{done}; the Collector is healthy with it{pid}")?;
            Ok(OK)
        }
        Err(why) => Err(CommandError::NotWell { done, why }),
    }
}

fn said(place: &Place, order: &Request) -> Result<String, CommandError> {
    match ask(&place.socket, order)? {
        Answer::Done { said } => Ok(printable(&said)),
        Answer::Refused { why } => Err(CommandError::Refused(printable(&why))),
        Answer::Unfit { why } => Err(CommandError::NotTaken(printable(&why))),
        Answer::Status(_) | Answer::Masked { .. } => Err(AskError::Unexpected.into()),
    }
}

/// Looks until the Collector is well; else why it is not.
fn well(place: &Place) -> Result<Result<Status, String>, CommandError> {
    let until = Instant::now() + WELL_WITHIN;
    loop {
        let why = match ask(&place.socket, &Request::Status)? {
            Answer::Status(status) if status.collector.healthy => return Ok(Ok(*status)),
            Answer::Status(status) => status.collector.error,
            Answer::Refused { why } => why,
            _ => return Err(AskError::Unexpected.into()),
        };
        if Instant::now() >= until {
            return Ok(Err(printable(&why)));
        }
        sleep(LOOK_AGAIN);
    }
}
