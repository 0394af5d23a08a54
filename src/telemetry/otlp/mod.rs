//! Logs, metrics and spans on their way to endpoints of OTLP over HTTP.
//!
//! Each way out is one task with a queue of its own; ways may come and go while the supervisor runs. Whoever has something to say never waits: what finds the
//! queue full is dropped and counted, and the log tells once that it happens and once that it is over. Where
//! nothing is to go anywhere there is no task, no client and no queue.
//!
//! - `forward`: log events to records; `meters`: the numbers; `spans`: what took how long
//! - `queues`: those that there are; `process`: what the agent's process uses
//! - `batch`: items to requests; `deliver`: requests to the endpoint, tried again where that helps
//!
//! Not here: what is configured and whom to trust (`supervisor::export`), OTLP from the Collector itself.

mod batch;
mod deliver;
mod forward;
mod meters;
mod process;
mod queues;
mod spans;

use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use url::Url;

pub use crate::wire::otlp::KeyValue;
pub use crate::wire::otlp::any_value as value;
use crate::wire::otlp::{AnyValue, ArrayValue, LogRecord, Resource, Scope, Span, any_value::Value};
use deliver::Delivery;
pub use forward::Forward;
pub use meters::{Direction, Meters};
use queues::Queues;
pub use spans::{Begun, Spans};

/// What is in the queues at the end has this long to get out.
const LAST_FLUSH: Duration = Duration::from_secs(2);

/// Where to send, and as whom.
#[derive(Clone)]
pub struct Destination {
    /// With its path.
    pub url: Url,
    /// Never shown.
    pub headers: HeaderMap,
    /// Whom to trust with `https`; needed by the client in any case.
    pub tls: Arc<rustls::ClientConfig>,
    pub gzip: bool,
    pub timeout: Duration,
}

/// How items are gathered to requests.
#[derive(Clone, Copy, Debug)]
pub struct Batching {
    /// How long the first item of a request may wait for others.
    pub delay: Duration,
    pub most: usize,
    pub queue: usize,
}

/// Everything that is to be exported, and where to.
pub struct Plan {
    pub attributes: Vec<KeyValue>,
    pub schema_url: String,
    pub logs: Vec<(Destination, Batching)>,
    pub spans: Vec<(Destination, Batching)>,
    pub metrics: Vec<(Destination, Duration)>,
    /// It is the agent's telemetry, not only the supervisor's: its process is measured too.
    pub of_agent: bool,
}

/// What stands around the items of each request.
#[derive(Clone)]
struct Frame {
    resource: Resource,
    scope: Scope,
    schema_url: String,
    of_agent: bool,
}

/// The queues, and what will empty them once there is a runtime.
pub struct Exports {
    frame: Frame,
    logs: Vec<(Delivery, Batching, mpsc::Receiver<LogRecord>)>,
    spans: Vec<(Delivery, Batching, mpsc::Receiver<Span>)>,
    metrics: Vec<(Delivery, Duration)>,
    meters: Arc<Meters>,
}

/// Where the supervisor says what happens to it. Cheap to call, whatever is configured.
#[derive(Clone, Debug, Default)]
pub struct Instruments {
    pub meters: Arc<Meters>,
    pub spans: Spans,
    logs: Queues<LogRecord>,
}

impl Instruments {
    /// For the log's setup.
    #[must_use]
    pub fn forward(&self) -> Forward {
        Forward { queues: self.logs.clone() }
    }
}

/// The HTTP client cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("telemetry cannot be exported: the HTTP client cannot be made: {0}")]
pub struct NoClient(#[from] reqwest::Error);

impl Exports {
    /// Makes clients, and queues into which the instruments put what there is from now on; nothing is sent yet.
    pub fn new(plan: Plan, instruments: &Instruments) -> Result<Self, NoClient> {
        let frame = Frame {
            resource: Resource { attributes: plan.attributes },
            scope: Scope { name: "opamp-supervisor".into(), version: env!("CARGO_PKG_VERSION").into() },
            schema_url: plan.schema_url,
            of_agent: plan.of_agent,
        };
        let mut logs = Vec::new();
        for (destination, batching) in plan.logs {
            let (queue, records) = mpsc::channel(batching.queue.max(1));
            let delivery = Delivery::new(destination, "logs")?;
            instruments.logs.add(queue, delivery.dropped.clone());
            logs.push((delivery, batching, records));
        }
        let mut spans = Vec::new();
        for (destination, batching) in plan.spans {
            let (queue, ended) = mpsc::channel(batching.queue.max(1));
            let delivery = Delivery::new(destination, "spans")?;
            instruments.spans.queues.add(queue, delivery.dropped.clone());
            spans.push((delivery, batching, ended));
        }
        let mut metrics = Vec::new();
        for (destination, interval) in plan.metrics {
            metrics.push((Delivery::new(destination, "metrics")?, interval));
        }
        Ok(Self { frame, logs, spans, metrics, meters: instruments.meters.clone() })
    }

    /// Starts sending. In a runtime.
    #[must_use]
    pub fn start(self) -> Exporting {
        let (end, ending) = watch::channel(false);
        let mut tasks = Vec::new();
        for (delivery, batching, records) in self.logs {
            tasks.push(tokio::spawn(batch::run(
                records,
                delivery,
                batching,
                self.frame.clone(),
                ending.clone(),
            )));
        }
        for (delivery, batching, ended) in self.spans {
            tasks.push(tokio::spawn(batch::run(
                ended,
                delivery,
                batching,
                self.frame.clone(),
                ending.clone(),
            )));
        }
        for (delivery, interval) in self.metrics {
            let meters = self.meters.clone();
            let report = meters::report(meters, delivery, interval, self.frame.clone(), ending.clone());
            tasks.push(tokio::spawn(report));
        }
        Exporting { end, tasks }
    }
}

/// The tasks that send.
#[derive(Debug)]
pub struct Exporting {
    end: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Exporting {
    /// Sends what is left, as far as that is quickly done.
    pub async fn finish(mut self) {
        self.end.send_replace(true);
        let until = Instant::now() + LAST_FLUSH;
        for task in &mut self.tasks {
            // One that hangs is given up with all that it holds.
            let _ = timeout_at(until, task).await;
        }
    }
}

impl Drop for Exporting {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// An attribute with text.
#[must_use]
pub fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

/// A list of texts, as a value.
#[must_use]
pub fn list(texts: &[String]) -> Value {
    let values = texts.iter().map(|text| AnyValue { value: Some(Value::StringValue(text.clone())) });
    Value::ArrayValue(ArrayValue { values: values.collect() })
}

/// An attribute of any type.
#[must_use]
pub fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

/// Nanoseconds of the wall clock.
fn now() -> u64 {
    crate::os::clock::wall_millis().saturating_mul(1_000_000)
}
