//! Custom messages of one agent: sending one, looking at those that came, and following them.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    Api,
    agents::{find, parse},
    body::Body,
    problem::{Problem, Reason},
    query::Query,
};
use crate::{
    server::{
        fleet::messages::{Received, Refused},
        hub::Unsent,
        listen::stopped,
    },
    wire::{InstanceUid, proto::CustomMessage},
};

const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A follower whose connection takes nothing for so long is dropped.
const STUCK: Duration = Duration::from_secs(60);

/// A message to send. Its data is given in one of three ways, or there is none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    capability: String,
    r#type: String,
    /// In base64.
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    json: Option<Value>,
}

impl Given {
    fn message(self) -> Result<CustomMessage, Problem> {
        let wrong = |field: &str, why: &str| {
            Problem::new(Reason::BadRequest, format!("{field}: {why}")).at(&format!("body.{field}"), why)
        };
        if self.capability.is_empty() {
            return Err(wrong("capability", "is empty; give one that both this server and the agent have"));
        }
        let data = match (self.data, self.text, self.json) {
            (None, None, None) => Vec::new(),
            (Some(data), None, None) => {
                BASE64.decode(data).map_err(|error| wrong("data", &format!("is no base64: {error}")))?
            }
            (None, Some(text), None) => text.into_bytes(),
            (None, None, Some(json)) => json.to_string().into_bytes(),
            _ => return Err(wrong("data", "give only one of data, text and json")),
        };
        Ok(CustomMessage { capability: self.capability, r#type: self.r#type, data })
    }
}

pub(super) async fn post(
    State(api): State<Api>,
    Path((ns, uid)): Path<(String, String)>,
    Body(given): Body<Given>,
) -> Result<Response, Problem> {
    let uid = known(&api, &ns, &uid)?;
    let message = given.message()?;
    let after = api.hub.send_custom(uid, message).map_err(|unsent| problem(uid, &unsent))?;
    Ok((StatusCode::ACCEPTED, Json(json!({"continue": key(after)}))).into_response())
}

/// What keeps a message from an agent, in an operator's words.
pub(super) fn problem(uid: InstanceUid, unsent: &Unsent) -> Problem {
    let (reason, place) = match unsent {
        Unsent::Missing => return Problem::missing("agent", &uid.to_string()),
        Unsent::Away => (Reason::Conflict, "path.uid"),
        Unsent::NotOurs(_) | Unsent::NotTheirs(_) => (Reason::Conflict, "body.capability"),
        Unsent::Refused(Refused::TooLarge { .. }) => (Reason::TooLarge, "body"),
        Unsent::Refused(Refused::Full) => (Reason::TooMany, "path.uid"),
    };
    Problem::new(reason, unsent.to_string()).at(place, unsent.to_string())
}

/// The agent that a path names.
pub(super) fn known(api: &Api, ns: &str, uid: &str) -> Result<InstanceUid, Problem> {
    let uid = parse(uid)?;
    api.hub.look(|fleet| find(fleet, ns, uid).map(|_| uid))
}

pub(super) async fn list(
    State(api): State<Api>,
    Path((ns, uid)): Path<(String, String)>,
    query: Query,
) -> Result<Response, Problem> {
    let uid = known(&api, &ns, &uid)?;
    let filter = Filter {
        capability: query.get("capability").map(str::to_owned),
        kind: query.get("type").map(str::to_owned),
    };
    if query.flag("watch")? == Some(true) {
        let after = match query.get("continue") {
            None => 0,
            Some(text) => text
                .parse()
                .map_err(|_| Problem::bad_parameter("continue", text, "give the value of an answer"))?,
        };
        return Ok(follow(api, uid, after, filter));
    }
    let messages = api.hub.received_custom(uid, 0);
    let wanted = messages.iter().filter(|received| filter.holds(received));
    query
        .page("CustomMessage", wanted.map(|received| (key(received.number), received)), shown)
        .map(|page| Json(page).into_response())
}

struct Filter {
    capability: Option<String>,
    kind: Option<String>,
}

impl Filter {
    fn holds(&self, received: &Received) -> bool {
        let message = &received.message;
        self.capability.as_ref().is_none_or(|wanted| *wanted == message.capability)
            && self.kind.as_ref().is_none_or(|wanted| *wanted == message.r#type)
    }
}

/// A number as text that sorts as the numbers do.
fn key(number: u64) -> String {
    format!("{number:020}")
}

fn shown(received: &Received) -> Value {
    let message = &received.message;
    let mut shown = json!({
        "number": key(received.number),
        "receivedAt": received.at.to_string(),
        "capability": message.capability,
        "type": message.r#type,
        "data": BASE64.encode(&message.data),
    });
    if let Ok(text) = std::str::from_utf8(&message.data) {
        shown["text"] = json!(text);
    }
    shown
}

/// Those that are kept, then each as it comes, until the follower or the server goes.
fn follow(api: Api, uid: InstanceUid, mut after: u64, filter: Filter) -> Response {
    let (sender, receiver) = mpsc::channel::<Value>(1);
    let mut stop = api.stop.clone();
    let following = async move {
        let mut news = api.hub.custom_news();
        loop {
            news.borrow_and_update();
            for received in api.hub.received_custom(uid, after) {
                after = received.number;
                if !filter.holds(&received) {
                    continue;
                }
                let event = json!({"type": "ADDED", "object": shown(&received)});
                let sent = tokio::time::timeout(STUCK, sender.send(event)).await;
                if !matches!(sent, Ok(Ok(()))) {
                    return;
                }
            }
            tokio::select! {
                changed = news.changed() => if changed.is_err() { return },
                () = sender.closed() => return,
            }
        }
    };
    tokio::spawn(async move {
        tokio::select! {
            () = following => {}
            () = stopped(&mut stop) => {}
        }
    });
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async {
        let value = receiver.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(Event::default().data(value.to_string())), receiver))
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}
