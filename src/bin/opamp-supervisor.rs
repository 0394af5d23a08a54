//! `opamp-supervisor`: runs one OpenTelemetry Collector beside it and speaks OpAMP for it.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use opamp::{
    supervisor::{
        config::{self, LogEncoding, LogLevel, LogOutput, LogsConfig, Notice},
        startup,
    },
    telemetry::logs::{self, Encoding, Level, LogError, LogOptions, Output},
};

/// Exit codes, as sysexits(3) names them.
const USAGE: u8 = 64;
const CONFIG: u8 = 78;

/// Runs an OpenTelemetry Collector under management by OpAMP.
#[derive(Parser)]
#[command(name = "opamp-supervisor", version, about)]
struct Args {
    /// The supervisor.yaml to load.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { 0 };
            // There is nobody left to tell when printing fails.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let loaded = match config::load(&args.config, &|name| std::env::var(name).ok()) {
        Ok(loaded) => loaded,
        Err(error) => return fail(CONFIG, &error.to_string()),
    };
    if let Err(error) = init_logs(&loaded.config.telemetry.logs) {
        return fail(CONFIG, &error.to_string());
    }
    loaded.notices.iter().for_each(|notice: &Notice| {
        tracing::warn!("{}:{}:{}: {notice}", args.config.display(), notice.at.line, notice.at.column);
    });
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &format!("cannot start: {error}")),
    };
    match runtime.block_on(startup::run(loaded.config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error.exit_code(), &error.to_string()),
    }
}

fn init_logs(config: &LogsConfig) -> Result<(), LogError> {
    let output = |output: &LogOutput| match output {
        LogOutput::Stdout => Output::Stdout,
        LogOutput::Stderr => Output::Stderr,
        LogOutput::File(path) => Output::File(path.clone()),
    };
    logs::init(&LogOptions {
        level: match config.level {
            LogLevel::Debug => Level::DEBUG,
            LogLevel::Info => Level::INFO,
            LogLevel::Warn => Level::WARN,
            LogLevel::Error => Level::ERROR,
        },
        encoding: match config.encoding {
            LogEncoding::Json => Encoding::Json,
            LogEncoding::Console => Encoding::Console,
        },
        outputs: config.output_paths.iter().map(output).collect(),
    })
}

fn fail(code: u8, why: &str) -> ExitCode {
    eprintln!("opamp-supervisor: {why}");
    ExitCode::from(code)
}
