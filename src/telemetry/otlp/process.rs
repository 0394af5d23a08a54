//! What the agent's process uses, under the names of the semantic conventions for processes (C-OT-03, C-OT-04).

use super::meters::{double, gauge, metric, point};
use super::{now, text};
use crate::{
    os::usage::Usage,
    wire::otlp::{Metric, number_data_point::Value},
};

/// Of this process as of now; of one that is gone, nothing.
pub(super) fn metrics(pid: i32) -> Vec<Metric> {
    let Ok(usage) = Usage::of(pid) else { return Vec::new() };
    let began = now().saturating_sub(u64::try_from(usage.uptime.as_nanos()).unwrap_or(0));
    let int = |value: u64| Value::AsInt(i64::try_from(value).unwrap_or(i64::MAX));
    let one = |value| vec![point(value, began, Vec::new())];
    let cpu = [("user", usage.user), ("system", usage.system)]
        .map(|(mode, time)| point(double(time), began, vec![text("cpu.mode", mode)]));
    let sums = [
        ("process.cpu.time", "CPU time, by mode", "s", true, cpu.into()),
        ("process.memory.usage", "Physical memory in use", "By", false, one(int(usage.resident_bytes))),
        ("process.memory.virtual", "Committed virtual memory", "By", false, one(int(usage.virtual_bytes))),
        ("process.thread.count", "Threads", "{thread}", false, one(int(usage.threads))),
    ];
    let mut metrics: Vec<_> = sums
        .into_iter()
        .map(|(name, description, unit, monotonic, points)| {
            metric(name, description, unit, monotonic, points)
        })
        .collect();
    if let Some(count) = usage.open_files {
        let (name, unit) = ("process.unix.file_descriptor.count", "{file_descriptor}");
        metrics.push(metric(name, "Open file descriptors", unit, false, one(int(count))));
    }
    metrics.push(gauge("process.uptime", "Time since the start", "s", one(double(usage.uptime))));
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_ot_03_04_a_process_is_measured_by_the_semantic_conventions() {
        let me = i32::try_from(std::process::id()).unwrap();
        let all = metrics(me);
        let told: Vec<_> = all.iter().map(|metric| (metric.name.as_str(), metric.unit.as_str())).collect();
        let expected = [
            ("process.cpu.time", "s"),
            ("process.memory.usage", "By"),
            ("process.memory.virtual", "By"),
            ("process.thread.count", "{thread}"),
            ("process.unix.file_descriptor.count", "{file_descriptor}"),
            ("process.uptime", "s"),
        ];
        assert_eq!(told, expected);
        let cpu = all[0].sum.as_ref().unwrap();
        assert!(
            cpu.is_monotonic && cpu.data_points.iter().all(|point| point.attributes[0].key == "cpu.mode")
        );
        assert!(!all[1].sum.as_ref().unwrap().is_monotonic, "an UpDownCounter");
        let uptime = &all[5].gauge.as_ref().unwrap().data_points[0];
        assert!(matches!(uptime.value, Some(Value::AsDouble(seconds)) if seconds > 0.0));
        assert_eq!(metrics(i32::MAX), []);
    }
}
