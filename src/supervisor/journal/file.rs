//! The bytes of `state.json`.
//!
//! JSON whose first line carries a checksum of every byte after that line. That much holds in every
//! schema, so an altered file is never taken for one of a newer supervisor.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::state::State;
use crate::wire::InstanceUid;

/// The schema this supervisor writes.
pub(super) const SCHEMA: u64 = 1;

const HEAD: &str = "{\n  \"crc32\": \"";
const HEAD_END: &str = "\",\n";

/// What a file holds.
#[derive(Debug, PartialEq)]
pub(super) enum Content {
    Ours {
        seq: u64,
        state: Box<State>,
    },
    /// Intact, and from a newer supervisor; the state is what of it is understood.
    Newer {
        schema: u64,
        state: Option<Box<State>>,
    },
    /// Not a state; says why.
    Bad(String),
}

#[derive(Serialize)]
struct Out<'a> {
    schema: u64,
    seq: u64,
    #[serde(flatten)]
    state: &'a State,
}

#[derive(Deserialize)]
struct In {
    #[serde(rename = "crc32")]
    _crc32: String,
    #[serde(rename = "schema")]
    _schema: u64,
    seq: u64,
    #[serde(flatten)]
    state: State,
}

#[derive(Deserialize)]
struct Versioned {
    schema: u64,
}

pub(super) fn encode(seq: u64, state: &State) -> Result<Vec<u8>, serde_json::Error> {
    let json = serde_json::to_string_pretty(&Out { schema: SCHEMA, seq, state })?;
    // The pretty form of an object begins with a brace and a newline; ours has another first line.
    let body = json.strip_prefix("{\n").unwrap_or(&json);
    let sum = crc32fast::hash(body.as_bytes());
    Ok(format!("{HEAD}{sum:08x}{HEAD_END}{body}").into_bytes())
}

pub(super) fn decode(bytes: &[u8]) -> Content {
    if bytes.is_empty() {
        return Content::Bad("it is empty".into());
    }
    let Some((sum, body)) = split(bytes) else {
        return Content::Bad("it does not begin with a checksum".into());
    };
    let found = crc32fast::hash(body);
    if sum != found {
        return Content::Bad(format!("its checksum is {found:08x}, not {sum:08x} as it says"));
    }
    match serde_json::from_slice::<Versioned>(bytes) {
        Ok(Versioned { schema }) if schema > SCHEMA => {
            return Content::Newer { schema, state: understood(bytes).map(Box::new) };
        }
        Ok(_) => {}
        Err(error) => return Content::Bad(format!("it is no state: {error}")),
    }
    match serde_json::from_slice::<In>(bytes) {
        Ok(read) => Content::Ours { seq: read.seq, state: Box::new(read.state) },
        Err(error) => Content::Bad(format!("it is no state: {error}")),
    }
}

fn split(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (sum, rest) = bytes.strip_prefix(HEAD.as_bytes())?.split_at_checked(8)?;
    // Exactly as it is written: lower case, no sign.
    let sum = std::str::from_utf8(sum).ok()?;
    let number = u32::from_str_radix(sum, 16).ok()?;
    (format!("{number:08x}") == sum).then_some((number, rest.strip_prefix(HEAD_END.as_bytes())?))
}

/// The identity and the configs of a newer schema, as far as they still have the form known here.
fn understood(bytes: &[u8]) -> Option<State> {
    if let Ok(read) = serde_json::from_slice::<In>(bytes) {
        return Some(read.state);
    }
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let uid: InstanceUid = serde_json::from_value(value.get("instance_uid")?.clone()).ok()?;
    let mut state = State::new(uid);
    if let Some(config) = value.get("config") {
        let hash = |name: &str| serde_json::from_value(config.get(name)?.clone()).ok();
        state.config.live = hash("live");
        state.config.last_good = hash("last_good");
    }
    if let Some(packages) = value.get("packages") {
        state.packages = serde_json::from_value(packages.clone()).unwrap_or_default();
    }
    Some(state)
}
