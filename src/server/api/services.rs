//! Service discovery: asks an agent what listens on its host, and waits for its answer (`docs/discovery.md`).

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::timeout;

use super::{
    Api,
    messages::{known, problem},
    problem::{Problem, Reason},
    query::Query,
};
use crate::{
    protocol::custom::DISCOVERY,
    server::{fleet::messages::Received, hub::Unsent},
    wire::{InstanceUid, proto::CustomMessage},
};

/// Enough for an agent that polls each half minute.
const LONGEST_WAIT: u64 = 90;
const WAIT: u64 = 20;

/// What the agent found. It is read into these fields, so that nothing else of it gets to operators.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub(super) struct Found {
    #[serde(default, skip_serializing)]
    id: String,
    services: Vec<Service>,
    #[serde(default)]
    notes: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
struct Service {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    product: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    known_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pid: Option<i64>,
    #[serde(default)]
    listens: Vec<Listens>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    receiver: Option<Receiver>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Listens {
    transport: String,
    address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Receiver {
    r#type: String,
    config: String,
}

#[derive(Debug, Deserialize)]
struct Failure {
    #[serde(default)]
    id: String,
    error: String,
}

pub(super) async fn get(
    State(api): State<Api>,
    Path((ns, uid)): Path<(String, String)>,
    query: Query,
) -> Result<Json<Found>, Problem> {
    let uid = known(&api, &ns, &uid)?;
    let wait = match query.get("wait") {
        None => WAIT,
        Some(text) => match text.parse() {
            Ok(seconds @ 1..=LONGEST_WAIT) => seconds,
            _ => {
                let wanted = format!("give a number of seconds, 1 to {LONGEST_WAIT}");
                return Err(Problem::bad_parameter("wait", text, wanted));
            }
        },
    };
    let id = format!("{:016x}", rand::random::<u64>());
    let mut news = api.hub.custom_news();
    let after = ask(&api, uid, &id)?;
    let answer = async {
        loop {
            news.borrow_and_update();
            let received = api.hub.received_custom(uid, after);
            if let Some(answer) = received.iter().find_map(|received| read(received, &id)) {
                return answer;
            }
            if news.changed().await.is_err() {
                return Err(Problem::new(Reason::Unavailable, "The server stops."));
            }
        }
    };
    let late = |_| {
        let detail = format!(
            "The agent did not answer within {wait} s. One that polls over plain HTTP hears the question with its next \
             poll only: ask with a longer wait."
        );
        Problem::new(Reason::NoAnswer, detail)
    };
    timeout(Duration::from_secs(wait), answer).await.map_err(late)?.map(Json)
}

fn ask(api: &Api, uid: InstanceUid, id: &str) -> Result<u64, Problem> {
    let data = json!({"id": id}).to_string().into_bytes();
    let question = CustomMessage { capability: DISCOVERY.to_owned(), r#type: "request".to_owned(), data };
    api.hub.send_custom(uid, question).map_err(|unsent| match unsent {
        Unsent::NotTheirs(_) => {
            let detail = "The agent does not tell what listens on its host; in its supervisor's file, \
                          capabilities.reports_services allows it.";
            Problem::new(Reason::Conflict, detail).at("path.uid", detail)
        }
        unsent => problem(uid, &unsent),
    })
}

/// The answer to the question, if that is one.
fn read(received: &Received, id: &str) -> Option<Result<Found, Problem>> {
    let message = &*received.message;
    if message.capability != DISCOVERY {
        return None;
    }
    let unreadable = |error: serde_json::Error| {
        Problem::new(Reason::BadAnswer, format!("The agent's answer cannot be read: {error}"))
    };
    match message.r#type.as_str() {
        "services" => match serde_json::from_slice::<Found>(&message.data) {
            Ok(found) if found.id == id => Some(Ok(found)),
            Ok(_) => None,
            Err(error) => Some(Err(unreadable(error))),
        },
        "error" => match serde_json::from_slice::<Failure>(&message.data) {
            Ok(failure) if failure.id == id || failure.id.is_empty() => {
                let detail = format!("The agent does not answer: {}", failure.error);
                Some(Err(Problem::new(Reason::BadAnswer, detail)))
            }
            Ok(_) => None,
            Err(error) => Some(Err(unreadable(error))),
        },
        _ => None,
    }
}
