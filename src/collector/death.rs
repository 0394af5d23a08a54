//! Why a Collector died, from the end of what it printed: the cause, not the log around it.
//!
//! A Collector says its cause once on a line of its own (`Error: …`, or Go's `panic: …`), in between log
//! records with stack traces. Called by the supervisor for health, status and log.

use serde::Deserialize;

use super::reason;

/// Lines of a text without any form that is known.
const PLAIN_LINES: usize = 5;

/// Words of the operating system for trouble that is not the config's.
const OF_HOST: [&str; 8] = [
    "address already in use",
    "no space left on device",
    "too many open files",
    "cannot allocate memory",
    "out of memory",
    "resource temporarily unavailable",
    "no such file or directory",
    "permission denied",
];

/// Whether a reason names trouble of the host: the same config may do once that is mended.
#[must_use]
pub fn is_of_host(reason: &str) -> bool {
    OF_HOST.iter().any(|words| reason.contains(words))
}

/// The cause among a Collector's last words, if one is stated.
#[must_use]
pub fn stated_cause(last_words: &str) -> Option<String> {
    let (at, line) = lines_from_last(last_words).find(|(_, line)| {
        ["Error: ", "panic: ", "fatal error: "].iter().any(|start| line.starts_with(start))
    })?;
    let cause = if line.starts_with("Error: ") { &last_words[at..] } else { line };
    Some(reason::of_refusal(cause.as_bytes(), b""))
}

/// The cause, else what was said last.
#[must_use]
pub fn cause(last_words: &str) -> String {
    if let Some(stated) = stated_cause(last_words).or_else(|| logged_cause(last_words)) {
        return stated;
    }
    let mut lines: Vec<&str> =
        last_words.lines().rev().filter(|line| !line.trim().is_empty()).take(PLAIN_LINES).collect();
    lines.reverse();
    reason::printable(lines.join("\n").as_bytes())
}

/// Where each line begins, and the line, the last one first.
fn lines_from_last(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut end = text.len();
    text.split('\n').rev().map(move |line| {
        let start = end - line.len();
        end = start.saturating_sub(1);
        (start, line)
    })
}

/// A log record in JSON, as the Collector writes it.
#[derive(Deserialize)]
struct Record {
    level: String,
    msg: String,
    #[serde(default)]
    error: String,
}

fn logged_cause(text: &str) -> Option<String> {
    let records = lines_from_last(text).filter_map(|(_, line)| serde_json::from_str::<Record>(line).ok());
    let mut errors =
        records.filter(|record| matches!(&*record.level, "error" | "fatal" | "panic" | "dpanic"));
    let Record { msg, error, .. } = errors.next()?;
    let text = if error.is_empty() { msg } else { format!("{msg}: {error}") };
    Some(reason::printable(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDS: &str = r#"{"level":"info","ts":"t","msg":"Starting"}
{"level":"error","ts":"t","msg":"Failed to start component","error":"listen tcp 127.0.0.1:1: bind: address already in use","stacktrace":"go.opentelemetry.io/x\n\tgo:1"}
{"level":"info","ts":"t","msg":"Shutdown complete."}
"#;

    #[test]
    fn f_71_the_stated_cause_is_told_and_the_log_around_it_is_not() {
        let stated = "Error: failed to get config: cannot start pipelines: bind: address already in use\n\
            2026/11/21 06:00:00 collector server run finished with error: cannot start pipelines\n";
        let told = cause(&format!("{RECORDS}{stated}"));
        assert_eq!(told, "cannot start pipelines: bind: address already in use");
        assert!(is_of_host(&told) && !is_of_host("unknown type: x"));
        let panic = format!("{RECORDS}panic: oh no\n\ngoroutine 1 [running]:\nmain.main()\n\t/x.go:1 +0x1\n");
        assert_eq!(stated_cause(&panic).as_deref(), Some("panic: oh no"));
    }

    #[test]
    fn without_a_statement_the_last_error_of_the_log_or_the_last_lines_are_told() {
        let told = cause(RECORDS);
        assert_eq!(told, "Failed to start component: listen tcp 127.0.0.1:1: bind: address already in use");
        assert_eq!(stated_cause(RECORDS), None);
        assert_eq!(cause("1\n2\n\n3\n4\x1b\n5\n6\n"), "2\n3\n4\n5\n6");
        assert_eq!(cause(""), "");
    }
}
