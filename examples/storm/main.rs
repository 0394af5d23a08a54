//! A storm of agents: thousands of them, over real WebSockets, against the built opamp-server in a process of its
//! own. All connect; the server is restarted in order; then it is killed with SIGKILL. A table says how long it
//! took until all were back, how many were asked for their full state, how many bytes went each way, and how long
//! the server took for a message. The exit code is 1 when an expectation does not hold.
//!
//! ```text
//! cargo build --release --bin opamp-server --example storm
//! target/release/examples/storm --agents 5000
//! ```

mod agents;
mod server;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use agents::Agents;
use anyhow::{Context, Result};
use clap::Parser;
use server::{Figures, Server};
use tokio::time::{Instant, timeout};

/// Many agents and one server that restarts.
#[derive(Parser)]
struct Args {
    #[arg(long, default_value_t = 5000)]
    agents: usize,
    /// The server's program [default: beside this one]
    #[arg(long)]
    server: Option<PathBuf>,
    /// Seconds between two heartbeats of an agent
    #[arg(long, default_value_t = 30)]
    heartbeat: u64,
    /// Agents that may connect in a second, for the server
    #[arg(long, default_value_t = 500)]
    connect_rate: u32,
    /// All must be back within so many seconds
    #[arg(long, default_value_t = 60)]
    within: u64,
    /// Of a hundred agents, so many may be asked for their full state after SIGKILL
    #[arg(long, default_value_t = 5)]
    asked_after_kill: u64,
}

/// One line of the table.
struct Round {
    name: &'static str,
    back_after: Duration,
    figures: Figures,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(broken) if broken.is_empty() => ExitCode::SUCCESS,
        Ok(broken) => {
            broken.iter().for_each(|line| println!("NOT as expected: {line}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("storm: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<Vec<String>> {
    let dir = tempfile::tempdir()?;
    let program = match &args.server {
        Some(path) => path.clone(),
        None => beside_this()?,
    };
    let mut server = Server::start(&program, dir.path(), args.connect_rate).await?;
    let agents = Agents::new(args.agents, &server, Duration::from_secs(args.heartbeat))?;
    let mut rounds = Vec::new();

    let began = Instant::now();
    all_back(&agents, 1, args).await.context("the first connections")?;
    rounds.push(Round {
        name: "first connect",
        back_after: began.elapsed(),
        figures: server.figures().await?,
    });

    beats(&agents, &mut server, args).await?;
    let began = Instant::now();
    server.terminate().await?;
    server.start_again(&program).await?;
    all_back(&agents, 2, args).await.context("after a restart in order")?;
    rounds.push(Round {
        name: "clean restart",
        back_after: began.elapsed(),
        figures: server.figures().await?,
    });

    beats(&agents, &mut server, args).await?;
    let began = Instant::now();
    server.kill().await?;
    server.start_again(&program).await?;
    all_back(&agents, 3, args).await.context("after SIGKILL")?;
    rounds.push(Round { name: "kill -9", back_after: began.elapsed(), figures: server.figures().await? });

    show(args.agents, &rounds);
    server.terminate().await?;
    Ok(judge(args, &rounds))
}

fn beside_this() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let directory =
        this.parent().and_then(std::path::Path::parent).context("no directory above this program")?;
    let path = directory.join("opamp-server");
    anyhow::ensure!(path.exists(), "{} is not there; build it, or give --server", path.display());
    Ok(path)
}

/// Waits until each agent was answered on so many connections and is online. An agent that was turned away and
/// told when to come back counts with the time that it waited.
async fn all_back(agents: &Agents, connections: usize, args: &Args) -> Result<()> {
    let within = Duration::from_secs(args.within * 4);
    let waited = timeout(within, agents.until_answered(connections)).await;
    waited.map_err(|_| anyhow::anyhow!("of {} agents {} are there", args.agents, agents.online()))
}

/// Waits until the agents have sent as many heartbeats as there are agents, so that their sequence numbers moved.
async fn beats(agents: &Agents, server: &mut Server, args: &Args) -> Result<()> {
    let before = server.figures().await?.messages;
    let within = Duration::from_secs(args.heartbeat * 3 + 10);
    let enough = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(500));
        loop {
            ticks.tick().await;
            if server.figures().await?.messages >= before + args.agents as u64 {
                return anyhow::Ok(());
            }
        }
    };
    timeout(within, enough).await.context("heartbeats")??;
    anyhow::ensure!(agents.online() == args.agents, "an agent was lost in quiet times");
    Ok(())
}

fn show(agents: usize, rounds: &[Round]) {
    println!("{agents} agents over WebSocket");
    println!(
        "{:<14} {:>10} {:>11} {:>12} {:>12} {:>12} {:>10} {:>9}",
        "", "all back", "full state", "turned away", "received", "sent", "p99 of a", "RSS"
    );
    println!(
        "{:<14} {:>10} {:>11} {:>12} {:>12} {:>12} {:>10} {:>9}",
        "", "s", "requests", "times", "bytes", "bytes", "message", "MiB"
    );
    for Round { name, back_after, figures } in rounds {
        println!(
            "{name:<14} {:>10.1} {:>11} {:>12} {:>12} {:>12} {:>10} {:>9.1}",
            back_after.as_secs_f64(),
            figures.full_state_requests,
            figures.turned_away,
            figures.received_bytes,
            figures.sent_bytes,
            figures.p99,
            figures.rss_kib as f64 / 1024.0,
        );
    }
}

fn judge(args: &Args, rounds: &[Round]) -> Vec<String> {
    let mut broken = Vec::new();
    for round in rounds {
        let most = match round.name {
            "kill -9" => args.agents as u64 * args.asked_after_kill / 100,
            // Nothing is stored yet: whose first message was lost with its connection is asked for it.
            "first connect" => args.agents as u64 / 100,
            _ => 0,
        };
        if round.figures.full_state_requests > most {
            let asked = round.figures.full_state_requests;
            broken.push(format!("{}: {asked} full-state requests, at most {most}", round.name));
        }
        if round.back_after > Duration::from_secs(args.within) {
            broken.push(format!("{}: all back only after {:?}", round.name, round.back_after));
        }
    }
    broken
}
