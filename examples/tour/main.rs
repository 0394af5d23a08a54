//! The quickstart's driver: starts a server, a supervisor and with it a real Collector in a private directory, and
//! either stays until Ctrl-C or takes the tour through the main job and prints what it saw.
//!
//! `examples/quickstart.sh` builds everything and runs this. It uses the programs as a person does (`opampctl`, REST,
//! OTLP over HTTP, signals) and nothing of the library.
//!
//! `QUICKSTART_SABOTAGE` breaks one step on purpose, so that the tests can show that a miss is a failure:
//! `wrong-component-accepted` pushes a good config where a bad one belongs, `dead-collector` keeps the supervisor from
//! bringing the Collector back.

mod http;
mod process;
mod rest;
mod stand;
mod steps;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use stand::Stand;
use steps::{Sabotage, Tour};

#[derive(Parser)]
struct Args {
    /// Where opamp-server, opamp-supervisor and opampctl are
    #[arg(long)]
    programs: PathBuf,
    /// The Collector
    #[arg(long)]
    collector: PathBuf,
    /// Take the tour and stop, instead of staying
    #[arg(long)]
    once: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match if args.once { once(&args) } else { stay(&args) } {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the name of the first signal that asks us to stop. Handled and not blocked, since children inherit a block.
fn stop_signal() -> Result<&'static str> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        Ok(tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
            _ = hangup.recv() => "SIGHUP",
        })
    })
}

fn once(args: &Args) -> Result<()> {
    let sabotage = Sabotage::from_environment()?;
    let mut stand = Stand::new(&args.programs, &args.collector)?;
    let emergency = stand.emergency_stop();
    std::thread::spawn(move || {
        let signal = stop_signal();
        emergency.stop();
        eprintln!("stopped by {signal:?}; every process of the tour was killed");
        std::process::exit(130);
    });
    println!("The tour, with {}", args.collector.display());
    let mut tour = Tour::new(&mut stand, sabotage);
    let result = tour.run();
    let rows = tour.rows();
    match result {
        Ok(()) => {
            stand.stop()?;
            stand.remove();
            println!("{rows} of {rows} as promised");
            Ok(())
        }
        Err(miss) => {
            println!("MISSED after {rows} good rows: {miss:#}");
            stand.print_logs();
            stand.stop().context("and stopping failed")?;
            if sabotage != Sabotage::None {
                stand.remove();
                bail!("the tour failed, as it was made to");
            }
            bail!("the tour failed; its directory is {}", stand.dir().display())
        }
    }
}

fn stay(args: &Args) -> Result<()> {
    let mut stand = Stand::new(&args.programs, &args.collector)?;
    let started = stand.start_server().and_then(|()| stand.start_supervisor());
    if let Err(e) = started {
        stand.print_logs();
        stand.stop()?;
        return Err(e);
    }
    let (api, token, ctl) = (stand.api_url(), stand.token_file(), stand.program("opampctl"));
    let (token, ctl) = (token.display(), ctl.display());
    println!("Page:        {api}/");
    println!("Login token: {token}");
    println!("Try:         {ctl} --server {api} --token-file {token} get agents");
    println!(
        "             {ctl} --server {api} --token-file {token} config push --all -f {}",
        stand.pipeline_file().display()
    );
    println!("Ctrl-C stops everything.");
    let signal = stop_signal().context("cannot wait for a signal")?;
    println!("{signal}: stopping the supervisor with its Collector, then the server");
    stand.stop()?;
    stand.remove();
    println!("all stopped");
    Ok(())
}
