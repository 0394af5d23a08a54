//! Changes of agents as server-sent events, in the words of a Kubernetes watch: `ADDED` for each agent there is,
//! a `BOOKMARK` when that is all, then what changes. A watcher that falls behind gets an `ERROR` and the end of its
//! stream, and starts over.

use std::{collections::BTreeSet, time::Duration};

use axum::{
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event as Sse, KeepAlive, Sse as Stream},
    },
};
use serde_json::{Value, json};
use tokio::sync::{broadcast::error::RecvError, broadcast::error::TryRecvError, mpsc};

use super::{
    Api,
    problem::Problem,
    query::{Filter, Query},
    view::{self, Detail},
};
use crate::{server::listen::stopped, wire::InstanceUid};

/// Events on their way to one watcher; beyond it, the sender waits and changes of one agent become one.
const QUEUE: usize = 16;
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A watcher whose connection takes nothing for so long is dropped.
const STUCK: Duration = Duration::from_secs(60);

pub(super) async fn all(State(api): State<Api>, query: Query) -> Result<Response, Problem> {
    stream(&api, None, &query)
}

/// The stream for all agents, or those of one namespace, that the query asks for.
pub(super) fn stream(api: &Api, namespace: Option<String>, query: &Query) -> Result<Response, Problem> {
    let detail = match query.get("view") {
        None | Some("summary") => Detail::Summary,
        Some("full") => Detail::Full,
        Some(other) => return Err(Problem::bad_parameter("view", other, "say full or summary")),
    };
    let (sender, receiver) = mpsc::channel(QUEUE);
    let watcher = Watcher {
        api: api.clone(),
        namespace,
        filter: query.filter()?,
        detail,
        sender,
        shown: BTreeSet::new(),
    };
    tokio::spawn(watcher.run());
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async {
        let value: Value = receiver.recv().await?;
        let event = Sse::default().data(value.to_string());
        Some((Ok::<_, std::convert::Infallible>(event), receiver))
    });
    Ok(Stream::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

struct Watcher {
    api: Api,
    namespace: Option<String>,
    filter: Filter,
    detail: Detail,
    sender: mpsc::Sender<Value>,
    /// What the watcher was told of and not told to forget.
    shown: BTreeSet<InstanceUid>,
}

/// The watcher is gone, or is to go.
struct End;

impl Watcher {
    async fn run(mut self) {
        let mut stop = self.api.stop.clone();
        let sender = self.sender.clone();
        let ended = tokio::select! {
            ended = self.follow() => ended,
            () = sender.closed() => return,
            () = stopped(&mut stop) => return,
        };
        if matches!(ended, Err(Behind::Lagged)) {
            let status = json!({"kind": "Status", "code": 410, "reason": "Expired",
                "message": "The watcher fell behind; start over."});
            let _ = self.send(json!({"type": "ERROR", "object": status})).await;
        }
    }

    async fn follow(&mut self) -> Result<(), Behind> {
        let mut events = self.api.hub.watch();
        let uids: Vec<_> = self.api.hub.look(|fleet| fleet.agents.keys().copied().collect());
        for uid in uids {
            self.show(uid).await?;
        }
        self.send(json!({"type": "BOOKMARK", "object": {"kind": "Agent"}})).await?;
        loop {
            let first = match events.recv().await {
                Ok(event) => event,
                Err(RecvError::Lagged(_)) => return Err(Behind::Lagged),
                Err(RecvError::Closed) => return Err(Behind::Gone),
            };
            // Several changes of one agent that are waiting are one.
            let mut waiting = BTreeSet::from([first.uid]);
            loop {
                match events.try_recv() {
                    Ok(event) => drop(waiting.insert(event.uid)),
                    Err(TryRecvError::Lagged(_)) => return Err(Behind::Lagged),
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
            for uid in waiting {
                self.show(uid).await?;
            }
        }
    }

    /// Sends an agent as it is now, or that it is gone: deleted, or no longer one that was asked for.
    async fn show(&mut self, uid: InstanceUid) -> Result<(), Behind> {
        let object = self.api.hub.look(|fleet| {
            let agent = fleet.agents.get(&uid)?;
            let wanted = self.namespace.as_ref().is_none_or(|ns| *ns == agent.namespace);
            (wanted && self.filter.holds(agent)).then(|| view::agent(agent, self.detail))
        });
        let (word, object) = match object {
            Some(object) if self.shown.insert(uid) => ("ADDED", object),
            Some(object) => ("MODIFIED", object),
            None if self.shown.remove(&uid) => ("DELETED", json!({"metadata": {"instanceUid": uid}})),
            None => return Ok(()),
        };
        Ok(self.send(json!({"type": word, "object": object})).await?)
    }

    async fn send(&self, value: Value) -> Result<(), End> {
        match tokio::time::timeout(STUCK, self.sender.send(value)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End),
        }
    }
}

enum Behind {
    Lagged,
    Gone,
}

impl From<End> for Behind {
    fn from(_: End) -> Self {
        Self::Gone
    }
}
