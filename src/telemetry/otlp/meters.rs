//! The numbers, and the task that sends them now and then.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering},
    },
    time::Duration,
};

use prost::Message;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval_at},
};

use super::{Frame, deliver::Delivery, now, process, text};
use crate::wire::otlp::{
    ExportMetrics, Gauge, KeyValue, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
    number_data_point::Value,
};

const CUMULATIVE: i32 = 2;

/// What is counted. Written by the supervisor, read by whoever exports.
#[derive(Debug, Default)]
pub struct Meters {
    healthy: AtomicBool,
    connected: AtomicBool,
    starts: AtomicU64,
    applied: AtomicU64,
    failed: AtomicU64,
    /// The Collector's process; 0 while there is none.
    agent: AtomicI32,
    custom_to_server: AtomicU64,
    custom_to_collector: AtomicU64,
}

/// Which way a custom message would have gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToCollector,
}

impl Meters {
    /// Whether the Collector is healthy.
    pub fn healthy(&self, healthy: bool) {
        self.healthy.store(healthy, Ordering::Relaxed);
    }

    /// Whether there is a session with the OpAMP server.
    pub fn connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Relaxed);
    }

    /// A Collector was started.
    pub fn started(&self) {
        self.starts.fetch_add(1, Ordering::Relaxed);
    }

    /// A remote config came to its end.
    pub fn config_ended(&self, applied: bool) {
        if applied { &self.applied } else { &self.failed }.fetch_add(1, Ordering::Relaxed);
    }

    /// The Collector's process, whose use of the host is measured.
    pub fn agent_process(&self, pid: Option<i32>) {
        self.agent.store(pid.unwrap_or_default(), Ordering::Relaxed);
    }

    /// A custom message was dropped.
    pub fn custom_dropped(&self, direction: Direction) {
        match direction {
            Direction::ToServer => &self.custom_to_server,
            Direction::ToCollector => &self.custom_to_collector,
        }
        .fetch_add(1, Ordering::Relaxed);
    }

    fn metrics(&self, since: u64) -> Vec<Metric> {
        let read = |counter: &AtomicU64| {
            Value::AsInt(i64::try_from(counter.load(Ordering::Relaxed)).unwrap_or(i64::MAX))
        };
        let flag = |flag: &AtomicBool| Value::AsInt(i64::from(flag.load(Ordering::Relaxed)));
        let state = |name, description, value| {
            metric(name, description, "1", false, vec![point(value, since, Vec::new())])
        };
        let results = [("applied", &self.applied), ("failed", &self.failed)]
            .map(|(result, count)| point(read(count), since, vec![text("result", result)]));
        let dropped = [("server", &self.custom_to_server), ("collector", &self.custom_to_collector)]
            .map(|(to, count)| point(read(count), since, vec![text("to", to)]));
        vec![
            state(
                "supervisor.agent.health_status",
                "1 while the Collector is healthy, else 0",
                flag(&self.healthy),
            ),
            state(
                "supervisor.server.connected",
                "1 while there is a session with the OpAMP server, else 0",
                flag(&self.connected),
            ),
            metric(
                "supervisor.collector.starts",
                "Starts of the Collector's process",
                "{start}",
                true,
                vec![point(read(&self.starts), since, Vec::new())],
            ),
            metric(
                "supervisor.config.applies",
                "Remote configs that came to an end, by result",
                "{config}",
                true,
                results.into(),
            ),
            metric(
                "supervisor.custom_messages.dropped",
                "Custom messages that were dropped on their way, by whom they were for",
                "{message}",
                true,
                dropped.into(),
            ),
        ]
    }
}

pub(super) fn metric(
    name: &str,
    description: &str,
    unit: &str,
    is_monotonic: bool,
    data_points: Vec<NumberDataPoint>,
) -> Metric {
    Metric {
        name: name.to_owned(),
        description: description.to_owned(),
        unit: unit.to_owned(),
        sum: Some(Sum { data_points, aggregation_temporality: CUMULATIVE, is_monotonic }),
        gauge: None,
    }
}

pub(super) fn gauge(name: &str, description: &str, unit: &str, data_points: Vec<NumberDataPoint>) -> Metric {
    Metric {
        gauge: Some(Gauge { data_points }),
        sum: None,
        ..metric(name, description, unit, false, Vec::new())
    }
}

/// Seconds.
pub(super) const fn double(time: Duration) -> Value {
    Value::AsDouble(time.as_secs_f64())
}

pub(super) fn point(value: Value, since: u64, attributes: Vec<KeyValue>) -> NumberDataPoint {
    NumberDataPoint { start_time_unix_nano: since, time_unix_nano: now(), value: Some(value), attributes }
}

/// Sends the numbers at each interval, and once more at the end.
pub(super) async fn report(
    meters: Arc<Meters>,
    mut delivery: Delivery,
    interval: Duration,
    frame: Frame,
    mut ending: watch::Receiver<bool>,
) {
    let since = now();
    let mut ticks = interval_at(tokio::time::Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = ending.wait_for(|ending| *ending) => {}
        }
        let last = *ending.borrow();
        let scope = Some(frame.scope.clone());
        let mut all = meters.metrics(since);
        let agent = meters.agent.load(Ordering::Relaxed);
        if frame.of_agent && agent != 0 {
            all.extend(process::metrics(agent));
        }
        let metrics = ResourceMetrics {
            resource: Some(frame.resource.clone()),
            scope_metrics: vec![ScopeMetrics { scope, metrics: all }],
            schema_url: frame.schema_url.clone(),
        };
        let body = ExportMetrics { resource_metrics: vec![metrics] }.encode_to_vec();
        delivery.deliver(body, 1, &mut ending).await;
        if last {
            return;
        }
    }
}
