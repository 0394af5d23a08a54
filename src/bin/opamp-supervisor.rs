//! `opamp-supervisor`: runs one OpenTelemetry Collector beside it and speaks OpAMP for it; its commands are for
//! people on the same host.

use std::{io, path::Path, process::ExitCode};

use clap::{CommandFactory, Parser, error::ErrorKind};
use opamp::{
    os::signals::leave_to_main_thread,
    supervisor::{
        commands::{
            self, CONFIG, USAGE,
            args::{Args, go_style},
        },
        config::{self, LogEncoding, LogOutput, LogsConfig, Notice},
        export,
        startup::{self, Origin},
        succession::Arrival,
    },
    telemetry::logs::{self, Encoding, LevelSwitch, Listener, LogError, LogOptions, Output},
};

fn main() -> ExitCode {
    let arrival = Arrival::of_process();
    let args = match Args::try_parse_from(go_style(std::env::args_os())) {
        Ok(args) => args,
        Err(error) => return wrong_arguments(&error),
    };
    match (&args.command, &args.config) {
        (Some(command), _) => match commands::run(&args, command, &mut io::stdout().lock()) {
            Ok(code) => ExitCode::from(code),
            Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
            Err(error) => fail(error.exit_code(), &error.to_string()),
        },
        (None, Some(config)) => daemon(config, arrival),
        (None, None) => {
            let needed = "--config FILE starts the supervisor; the other commands are listed by --help";
            wrong_arguments(&Args::command().error(ErrorKind::MissingRequiredArgument, needed))
        }
    }
}

/// Why the daemon is over, and the exit code.
type Ended = (u8, String);

fn daemon(path: &Path, mut arrival: Arrival) -> ExitCode {
    let Err((code, why)) = supervise(path, &mut arrival) else { return ExitCode::SUCCESS };
    match arrival.go_back(&why) {
        Some(no_way_back) => fail(code, &format!("{why}; {no_way_back}")),
        None => fail(code, &why),
    }
}

fn supervise(path: &Path, arrival: &mut Arrival) -> Result<(), Ended> {
    let wrong = |error: &dyn std::fmt::Display| (CONFIG, error.to_string());
    let loaded = config::load(path, &|name| std::env::var(name).ok()).map_err(|error| wrong(&error))?;
    let (exports, instruments) =
        export::prepare(&loaded.config.telemetry.exports).map_err(|error| wrong(&error))?;
    let log_level = init_logs(&loaded.config.telemetry.logs, instruments.forward().into_listener())
        .map_err(|error| wrong(&error))?;
    loaded.notices.iter().for_each(|notice: &Notice| {
        tracing::warn!("{}:{}:{}: {notice}", path.display(), notice.at.line, notice.at.column);
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Names are looked up and files read there, one of each at a time; every thread more is memory for good.
        .max_blocking_threads(2)
        .on_thread_start(leave_to_main_thread)
        .build()
        .map_err(|error| (1, format!("cannot start: {error}")))?;
    let origin = Origin { path: path.to_owned(), log_level, notices: loaded.notices };
    let ended = runtime.block_on(startup::run(loaded.config, origin, arrival, exports, instruments));
    // A disk or a name server that does not answer keeps nobody from ending.
    runtime.shutdown_background();
    ended.map_err(|error| (error.exit_code(), error.to_string()))
}

fn init_logs(config: &LogsConfig, listener: Listener) -> Result<LevelSwitch, LogError> {
    let output = |output: &LogOutput| match output {
        LogOutput::Stdout => Output::Stdout,
        LogOutput::Stderr => Output::Stderr,
        LogOutput::File(path) => Output::File(path.clone()),
    };
    let options = LogOptions {
        level: config.level.into(),
        encoding: match config.encoding {
            LogEncoding::Json => Encoding::Json,
            LogEncoding::Console => Encoding::Console,
        },
        outputs: config.output_paths.iter().map(output).collect(),
    };
    logs::init(&options, Some(listener))
}

fn wrong_arguments(error: &clap::Error) -> ExitCode {
    // There is nobody left to tell when printing fails.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { USAGE } else { 0 })
}

fn fail(code: u8, why: &str) -> ExitCode {
    eprintln!("opamp-supervisor: {why}");
    ExitCode::from(code)
}
