//! `telemetry`: the supervisor's own log; what leaves over OTLP is in `exports`.

use std::path::PathBuf;

use super::{
    super::{
        context::{Context, short},
        model::{LogEncoding, LogLevel, LogOutput, LogsConfig, TelemetryConfig},
    },
    exports,
};

pub(super) fn decode(context: &mut Context<'_>) -> TelemetryConfig {
    let level = level(context);
    let output_paths = output_paths(context);
    let encoding = match context.text("telemetry.logs.encoding") {
        Some(text) if text.eq_ignore_ascii_case("console") => LogEncoding::Console,
        _ => LogEncoding::Json,
    };
    let exports = exports::decode(context);
    TelemetryConfig { logs: LogsConfig { level, output_paths, encoding }, exports }
}

fn level(context: &mut Context<'_>) -> LogLevel {
    let key = "telemetry.logs.level";
    let Some(text) = context.text(key) else { return LogLevel::Info };
    match text.to_ascii_lowercase().as_str() {
        "debug" | "-1" => LogLevel::Debug,
        "info" | "0" | "" => LogLevel::Info,
        "warn" | "warning" | "1" => LogLevel::Warn,
        "error" | "2" | "dpanic" | "3" | "panic" | "4" | "fatal" | "5" => LogLevel::Error,
        _ => {
            let got = context.got(key);
            context.problem(
                key,
                format!("{key} must be one of debug, info, warn, error, or a number from -1 to 5, got {got}"),
            );
            LogLevel::Info
        }
    }
}

fn output_paths(context: &mut Context<'_>) -> Vec<LogOutput> {
    let key = "telemetry.logs.output_paths";
    let Some(texts) = context.texts(key) else { return vec![LogOutput::Stdout] };
    let mut outputs = Vec::new();
    for (at, text) in texts {
        let path = text.strip_prefix("file://").unwrap_or(text);
        if path.is_empty() || path.contains("://") {
            let message = format!("{key} takes stdout, stderr or the path of a file, got {:?}", short(text));
            context.problem_at(at, key, message);
            continue;
        }
        outputs.push(match path {
            "stdout" => LogOutput::Stdout,
            "stderr" => LogOutput::Stderr,
            path => LogOutput::File(PathBuf::from(path)),
        });
    }
    outputs
}
