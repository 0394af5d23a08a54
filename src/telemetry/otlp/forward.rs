//! Events of the log as OTLP records, put into the queues of whoever exports them.

use std::fmt::{self, Write};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use super::{attribute, now, queues::Queues, text};
use crate::{
    telemetry::logs::Listener,
    wire::otlp::{AnyValue, KeyValue, LogRecord, any_value::Value},
};

/// The longest message or field; what is longer is cut.
const MOST_TEXT: usize = 8 * 1024;

/// A layer of the log. Without a queue it does nothing.
#[derive(Debug)]
pub struct Forward {
    pub(super) queues: Queues<LogRecord>,
}

impl Forward {
    /// For the log's setup.
    #[must_use]
    pub fn into_listener(self) -> Listener {
        self.boxed()
    }
}

impl<S: Subscriber> Layer<S> for Forward {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if self.queues.is_empty() {
            return;
        }
        self.queues.put(&record(event));
    }
}

fn record(event: &Event<'_>) -> LogRecord {
    let (severity_number, severity_text) = match *event.metadata().level() {
        Level::TRACE => (1, "TRACE"),
        Level::DEBUG => (5, "DEBUG"),
        Level::INFO => (9, "INFO"),
        Level::WARN => (13, "WARN"),
        Level::ERROR => (17, "ERROR"),
    };
    let mut fields = Fields::default();
    event.record(&mut fields);
    fields.attributes.push(text("code.namespace", event.metadata().target()));
    let at = now();
    LogRecord {
        time_unix_nano: at,
        observed_time_unix_nano: at,
        severity_number,
        severity_text: severity_text.to_owned(),
        body: Some(AnyValue { value: Some(Value::StringValue(fields.message)) }),
        attributes: fields.attributes,
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    attributes: Vec<KeyValue>,
}

impl Fields {
    fn add(&mut self, field: &Field, mut value: String) {
        value.truncate(value.floor_char_boundary(MOST_TEXT));
        if field.name() == "message" {
            self.message = value;
        } else {
            self.attributes.push(text(field.name(), value));
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing to a String does not fail; a Debug that does is worth no line.
        let _ = write!(text, "{value:?}");
        self.add(field, text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.attributes.push(attribute(field.name(), Value::IntValue(value)));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.attributes.push(attribute(field.name(), Value::IntValue(value)));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.attributes.push(attribute(field.name(), Value::BoolValue(value)));
    }
}
