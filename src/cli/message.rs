//! `message`: sends an agent a custom message, and prints what it answers.

use std::io::Read;
use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::args::{Message, MessageFormat};
use super::client::Client;
use super::error::Error;
use super::kind::Kind;
use super::output;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// The server takes no more.
const DATA_LIMIT: u64 = 1024 * 1024;

pub(super) async fn run(client: &Client, message: &Message) -> Result<(), Error> {
    let namespace = message.namespace.name();
    let mut path = Kind::Agent.object(namespace, &message.agent);
    path.push("messages");
    let body = json!({
        "capability": message.capability,
        "type": message.kind,
        "data": BASE64.encode(data(message.data.as_deref())?),
    });
    let answer = client.post(&path, &body).await?;
    let Some(wait) = message.wait else {
        return output::print(&format!("agent/{} message sent\n", output::cell(&message.agent)));
    };
    let next = answer.get("continue").and_then(Value::as_str).unwrap_or("");
    replies(client, message, &path, next, wait).await
}

/// `@file`, `-` for standard input, or the text itself.
fn data(given: Option<&str>) -> Result<Vec<u8>, Error> {
    let path = match given {
        None => return Ok(Vec::new()),
        Some("-") => std::path::Path::new("-"),
        Some(text) => match text.strip_prefix('@') {
            None => return Ok(text.as_bytes().to_vec()),
            Some(file) => std::path::Path::new(file),
        },
    };
    let wrong = |source| Error::Read { path: path.to_owned(), source };
    let mut data = Vec::new();
    let input: Box<dyn Read> = if path == std::path::Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(wrong)?)
    };
    input.take(DATA_LIMIT + 1).read_to_end(&mut data).map_err(wrong)?;
    if data.len() as u64 > DATA_LIMIT {
        let what = format!("is longer than {DATA_LIMIT} bytes");
        return Err(Error::Content { origin: super::manifest::origin(path), what });
    }
    Ok(data)
}

/// Prints the agent's messages of this capability until there are as many as wanted.
async fn replies(
    client: &Client,
    message: &Message,
    path: &[&str],
    next: &str,
    wait: Duration,
) -> Result<(), Error> {
    let deadline = Instant::now() + wait;
    let mut next = next.to_owned();
    let mut pause = FIRST_PAUSE;
    let mut missing = message.replies;
    loop {
        let query = [("continue", next.clone()), ("capability", message.capability.clone())];
        for reply in client.list(path, &query).await? {
            if missing == 0 {
                break;
            }
            missing -= 1;
            show(message, &reply)?;
            if let Some(number) = reply.get("number").and_then(Value::as_str) {
                number.clone_into(&mut next);
            }
        }
        if missing == 0 {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::NoReply { agent: message.agent.clone(), missing, wait });
        }
        sleep(pause.min(left)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn show(message: &Message, reply: &Value) -> Result<(), Error> {
    if message.output == MessageFormat::Json {
        return output::print(&output::json(reply));
    }
    let text = |key: &str| reply.get(key).and_then(Value::as_str);
    let kind = output::cell(text("type").unwrap_or(""));
    match text("text") {
        Some(said) => output::print(&format!("{kind}: {}\n", output::clean(said))),
        None => {
            let data = output::cell(text("data").unwrap_or(""));
            output::print(&format!("{kind} (base64): {data}\n"))
        }
    }
}
