//! `opampctl`: arguments, runtime, run, exit code. Everything else is in `opamp::cli`.

use std::process::ExitCode;

use clap::Parser;
use opamp::cli::{self, Args};

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(help_or_error) => {
            let code = if help_or_error.use_stderr() { cli::EXIT_USAGE } else { 0 };
            // Nothing is left to tell anyone when even this cannot be written.
            let _ = help_or_error.print();
            return ExitCode::from(code);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("opampctl: cannot start its runtime: {e}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(cli::run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            if let Some(text) = e.report() {
                eprintln!("opampctl: {text}");
            }
            ExitCode::from(e.exit_code())
        }
    }
}
