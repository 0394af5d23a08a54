//! The Collector's own log lines as lines of the supervisor's log, each at the level it was written with
//! (`agent.passthrough_logs`).

use crate::os::output::Stream;

/// Below the library's own name, or the log would take it for a library's chatter and keep warnings only.
const TARGET: &str = "opamp::collector_output";

/// Logs one line of the Collector.
pub(super) fn log(stream: Stream, line: &str) {
    if line.trim().is_empty() {
        return;
    }
    match level(line) {
        Some("debug") => tracing::debug!(target: TARGET, "{line}"),
        Some("warn") => tracing::warn!(target: TARGET, "{line}"),
        Some("error" | "dpanic" | "panic" | "fatal") => tracing::error!(target: TARGET, "{line}"),
        Some(_) => tracing::info!(target: TARGET, "{line}"),
        None if stream == Stream::Stderr => tracing::error!(target: TARGET, "{line}"),
        None => tracing::info!(target: TARGET, "{line}"),
    }
}

/// The `level` of a JSON record; the Collector writes it near the start.
fn level(line: &str) -> Option<&str> {
    let after = line.strip_prefix('{')?.split_once("\"level\":\"")?.1;
    after.split_once('"').map(|(level, _)| level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_records_level_is_found() {
        assert_eq!(level(r#"{"level":"warn","ts":"x","msg":"y"}"#), Some("warn"));
        assert_eq!(level("panic: something"), None);
    }
}
