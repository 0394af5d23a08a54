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
use nix::sys::signal::{SigSet, Signal};

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
    let signals = stop_signals();
    // Before any thread is there: the one that waits below gets them, nobody is killed by them.
    if let Err(e) = signals.thread_block() {
        eprintln!("cannot block signals: {e}");
        return ExitCode::FAILURE;
    }
    match if args.once { once(&args, signals) } else { stay(&args, &signals) } {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

fn stop_signals() -> SigSet {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals
}

fn once(args: &Args, signals: SigSet) -> Result<()> {
    let sabotage = Sabotage::from_environment()?;
    let mut stand = Stand::new(&args.programs, &args.collector)?;
    let emergency = stand.emergency_stop();
    std::thread::spawn(move || {
        let signal = signals.wait();
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
            bail!("the tour failed; its directory is {}", stand.dir().display())
        }
    }
}

fn stay(args: &Args, signals: &SigSet) -> Result<()> {
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
    let signal = signals.wait().context("cannot wait for a signal")?;
    println!("{signal}: stopping the supervisor with its Collector, then the server");
    stand.stop()?;
    stand.remove();
    println!("all stopped");
    Ok(())
}
