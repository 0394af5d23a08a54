//! Items of a queue to requests: when enough are there, or when the first has waited long enough.

use prost::Message;
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

use super::{Batching, Frame, deliver::Delivery};
use crate::wire::otlp::{
    ExportLogs, ExportTraces, LogRecord, ResourceLogs, ResourceSpans, ScopeLogs, ScopeSpans, Span,
};

/// What can be sent in batches.
pub(super) trait Item: Sized {
    fn request(items: Vec<Self>, frame: &Frame) -> Vec<u8>;
}

impl Item for LogRecord {
    fn request(log_records: Vec<Self>, frame: &Frame) -> Vec<u8> {
        let scope_logs = vec![ScopeLogs { scope: Some(frame.scope.clone()), log_records }];
        let resource = Some(frame.resource.clone());
        let logs = ResourceLogs { resource, scope_logs, schema_url: frame.schema_url.clone() };
        ExportLogs { resource_logs: vec![logs] }.encode_to_vec()
    }
}

impl Item for Span {
    fn request(spans: Vec<Self>, frame: &Frame) -> Vec<u8> {
        let scope_spans = vec![ScopeSpans { scope: Some(frame.scope.clone()), spans }];
        let resource = Some(frame.resource.clone());
        let spans = ResourceSpans { resource, scope_spans, schema_url: frame.schema_url.clone() };
        ExportTraces { resource_spans: vec![spans] }.encode_to_vec()
    }
}

/// Sends until the queue is closed, or until the end is announced; then what is left.
pub(super) async fn run<T: Item>(
    mut items: mpsc::Receiver<T>,
    mut delivery: Delivery,
    batching: Batching,
    frame: Frame,
    mut ending: watch::Receiver<bool>,
) {
    let most = batching.most.max(1);
    loop {
        let mut batch = Vec::new();
        tokio::select! {
            first = items.recv() => match first {
                Some(first) => batch.push(first),
                None => return,
            },
            _ = ending.wait_for(|ending| *ending) => {}
        }
        let due = sleep(batching.delay);
        tokio::pin!(due);
        while batch.len() < most && !*ending.borrow() {
            tokio::select! {
                biased;
                more = items.recv() => match more {
                    Some(more) => batch.push(more),
                    None => break,
                },
                () = &mut due => break,
                _ = ending.wait_for(|ending| *ending) => {}
            }
        }
        while batch.len() < most
            && let Ok(more) = items.try_recv()
        {
            batch.push(more);
        }
        if batch.is_empty() {
            return;
        }
        let count = batch.len();
        delivery.deliver(T::request(batch, &frame), count, &mut ending).await;
    }
}
