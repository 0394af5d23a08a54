//! `reexec`: another supervisor takes the place of the running one, and is waited for.

use std::{
    io::Write,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use super::{CommandError, OK, ask, place::Place};
use crate::supervisor::{
    control::{Answer, AskError, LastSuccession, Request, Status},
    mask::printable,
};

/// How often it is looked who runs.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long nobody may answer, and how long an outcome is waited for.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
const ENDS_WITHIN: Duration = Duration::from_secs(90);

pub(super) fn run(place: &Place, executable: Option<&Path>, out: &mut dyn Write) -> Result<u8, CommandError> {
    let before = number(&status(place)?);
    let executable = executable.map(std::path::absolute).transpose()?;
    match ask(&place.socket, &Request::Reexec { executable }) {
        Ok(Answer::Refused { why } | Answer::Unfit { why }) => {
            return Err(CommandError::Refused(printable(&why)));
        }
        Ok(_) => return Err(AskError::Unexpected.into()),
        // Who was asked is not there any more.
        Err(AskError::HungUp(_)) => {}
        Err(error) => return Err(error.into()),
    }
    writeln!(out, "{}", printable(&outcome(place, before)?))?;
    Ok(OK)
}

/// What came of it, in words.
fn outcome(place: &Place, before: u64) -> Result<String, CommandError> {
    let until = Instant::now() + ENDS_WITHIN;
    let mut answered = Instant::now();
    loop {
        match status(place) {
            Ok(status) => {
                answered = Instant::now();
                match status.supervisor.last.as_ref().filter(|last| last.number > before) {
                    Some(last) => return ended(last, &status),
                    None if Instant::now() >= until => return Ok(still_on_trial(&status)),
                    None => {}
                }
            }
            Err(error) if answered.elapsed() >= ANSWERS_WITHIN => return Err(error),
            Err(_) => {}
        }
        sleep(LOOK_AGAIN);
    }
}

fn ended(last: &LastSuccession, status: &Status) -> Result<String, CommandError> {
    match last.outcome.as_str() {
        "committed" => Ok(format!("{}; it has proven itself", runs(status))),
        "undone" => Err(CommandError::Undone(printable(&format!(
            "{} was undone: {}; {}",
            last.executable,
            last.error,
            runs(status)
        )))),
        _ => Err(CommandError::Refused(printable(&last.error))),
    }
}

fn still_on_trial(status: &Status) -> String {
    let left = status.supervisor.trial.as_ref().and_then(|trial| trial.left_s).unwrap_or_default();
    format!(
        "{}; it has {left} s more to prove itself, `opamp-supervisor status` tells how it ends",
        runs(status)
    )
}

fn runs(status: &Status) -> String {
    let supervisor = &status.supervisor;
    let name = supervisor.executable.as_deref().unwrap_or("a supervisor");
    let version = supervisor.version.as_deref().unwrap_or("?");
    let collector = match status.collector.pid {
        Some(pid) => format!(", the Collector's is {pid}"),
        None => String::new(),
    };
    format!("{name} runs, version {version}, pid {}{collector}", supervisor.pid.unwrap_or_default())
}

fn number(status: &Status) -> u64 {
    let last = status.supervisor.last.as_ref().map(|last| last.number);
    last.unwrap_or_default()
}

fn status(place: &Place) -> Result<Status, CommandError> {
    match ask(&place.socket, &Request::Status)? {
        Answer::Status(status) => Ok(*status),
        Answer::Refused { why } => Err(CommandError::Refused(printable(&why))),
        _ => Err(AskError::Unexpected.into()),
    }
}
