//! What the supervisor costs and how fast it is, with a real Collector: one line of JSON for each figure.
//!
//! ```text
//! cargo build --profile small --bin opamp-supervisor --no-default-features --features supervisor
//! cargo bench --bench supervisor
//! ```
//!
//! Measured is the supervisor as it ships (`target/small`), beside a release server, over ws://, with rustls
//! linked. The Collector is `$OTELCOL`, else the one that `packaging/collector/build.sh` builds.
//! `OPAMP_BENCH_ROUNDS` (20), `OPAMP_BENCH_IDLE` (60, in seconds) and `OPAMP_BENCH_GROWTH` (1000, configs and
//! restarts) make it shorter while working on it. What depends on the size of the Collector's binary is measured
//! once more with one of 350 MB; `collector_bytes` tells which it was.

#[allow(dead_code, reason = "shared with the tour, which uses all of it")]
#[path = "../../examples/tour/http.rs"]
mod http;
#[allow(dead_code, reason = "shared with the tour, which uses all of it")]
#[path = "../../examples/tour/process.rs"]
mod process;
#[allow(dead_code, reason = "shared with the tour, which uses all of it")]
#[path = "../../examples/tour/rest.rs"]
mod rest;
#[allow(dead_code, reason = "shared with the tour, which uses all of it")]
#[path = "../../examples/tour/stand.rs"]
mod stand;

mod figures;
mod growth;
mod offline;

use std::{
    env, fs,
    io::Write,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use figures::{Figures, cpu_time, memory};
use nix::sys::signal::Signal;
use rest::{Agent, Rest};
use serde_json::json;
use stand::Stand;

/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(30);
/// Between two looks at the server.
const LOOK: Duration = Duration::from_millis(1);

fn main() -> Result<()> {
    let rounds = number("OPAMP_BENCH_ROUNDS", 20)?;
    let idle = Duration::from_secs(number("OPAMP_BENCH_IDLE", 60)?);
    let growth = number("OPAMP_BENCH_GROWTH", 1000)?;
    let supervisor = supervisor()?;
    let programs = tempfile::tempdir()?;
    symlink(&supervisor, programs.path().join("opamp-supervisor"))?;
    symlink(env!("CARGO_BIN_EXE_opamp-server"), programs.path().join("opamp-server"))?;
    let collector = collector()?;
    let figures = Figures::of(&supervisor, &collector)?;
    figures.one("binary_bytes", fs::metadata(&supervisor)?.len());
    on_a_stand(programs.path(), &collector, |stand| offline::starts(stand, &figures, rounds))?;
    on_a_stand(programs.path(), &collector, |stand| measure(stand, &figures, rounds, Some(idle)))?;
    on_a_stand(programs.path(), &collector, |stand| growth::measure(stand, &figures, growth))?;
    let large = programs.path().join("otelcol-large");
    pad(&collector, &large)?;
    let figures = Figures::of(&supervisor, &large)?;
    on_a_stand(programs.path(), &large, |stand| measure(stand, &figures, rounds, None))
}

/// The size of the large Collector.
const LARGE: u64 = 350_000_000;

/// A copy that does the same and is larger: what stands behind an ELF file's own end is not loaded.
fn pad(collector: &Path, large: &Path) -> Result<()> {
    fs::copy(collector, large)?;
    let mut file = fs::OpenOptions::new().append(true).open(large)?;
    let chunk = vec![0x5a; 1 << 20];
    while file.metadata()?.len() < LARGE {
        file.write_all(&chunk)?;
    }
    Ok(())
}

fn on_a_stand(
    programs: &Path,
    collector: &Path,
    measure: impl FnOnce(&mut Stand) -> Result<()>,
) -> Result<()> {
    let mut stand = Stand::new(programs, collector)?;
    let stop = stand.emergency_stop();
    let measured = measure(&mut stand);
    if measured.is_err() {
        stand.print_logs();
    }
    stand.stop().inspect_err(|_| stop.stop())?;
    stand.remove();
    measured
}

fn number(variable: &str, default: u64) -> Result<u64> {
    env::var(variable)
        .map_or(Ok(default), |text| text.parse().with_context(|| format!("{variable}={text:?} is no number")))
}

fn supervisor() -> Result<PathBuf> {
    let path =
        env::var_os("OPAMP_SUPERVISOR").map_or_else(|| root("target/small/opamp-supervisor"), PathBuf::from);
    ensure!(
        path.is_file(),
        "no {}: cargo build --profile small --bin opamp-supervisor --no-default-features --features supervisor",
        path.display()
    );
    Ok(path)
}

fn collector() -> Result<PathBuf> {
    let path = env::var_os("OTELCOL").map_or_else(|| root("target/collector/otelcol-example"), PathBuf::from);
    ensure!(
        path.is_file(),
        "no Collector at {}: packaging/collector/build.sh, or set OTELCOL",
        path.display()
    );
    Ok(path)
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn measure(stand: &mut Stand, figures: &Figures, rounds: u64, idle: Option<Duration>) -> Result<()> {
    stand.start_server()?;
    let rest = stand.rest()?;
    starts(stand, &rest, figures, rounds)?;
    let agent = look(&rest, "the agent is healthy", Agent::healthy)?;
    let uid = agent.text("/metadata/instanceUid")?.to_owned();
    if let Some(idle) = idle {
        idles(stand, figures, idle)?;
    }
    pushes(&rest, &uid, figures, rounds)?;
    figures.one("rss_kib_after_pushes", memory(stand.supervisor()?.pid())?);
    crashes(stand, &rest, &uid, figures, rounds)
}

/// From the start of the process to the agent in REST. The first start learns what the binary is.
fn starts(stand: &mut Stand, rest: &Rest, figures: &Figures, rounds: u64) -> Result<()> {
    let mut took = Vec::new();
    for round in 0..=rounds {
        let start = Instant::now();
        stand.start_supervisor()?;
        look(rest, "the agent is there", |agent| agent.connected())?;
        let taken = start.elapsed();
        look(rest, "the agent is healthy", Agent::healthy)?;
        if round == 0 {
            figures.one("first_start_to_first_report_ms", taken.as_secs_f64() * 1e3);
        } else {
            took.push(taken);
        }
        if round < rounds {
            stand.stop_supervisor()?;
            look(rest, "the goodbye", |agent| !agent.connected())?;
        }
    }
    figures.spread("start_to_first_report_ms", &took);
    Ok(())
}

fn idles(stand: &mut Stand, figures: &Figures, idle: Duration) -> Result<()> {
    let pid = stand.supervisor()?.pid();
    let before = cpu_time(pid)?;
    std::thread::sleep(idle);
    let used = cpu_time(pid)? - before;
    figures.one("rss_idle_kib", memory(pid)?);
    figures.one("idle_cpu_percent", used.as_secs_f64() / idle.as_secs_f64() * 100.0);
    Ok(())
}

/// From the request to APPLIED in REST, checks on; each config differs from the one before.
fn pushes(rest: &Rest, uid: &str, figures: &Figures, rounds: u64) -> Result<()> {
    let mut took = Vec::new();
    for round in 0..rounds {
        took.push(push(rest, uid, &round.to_string())?);
    }
    figures.spread("push_to_applied_ms", &took);
    Ok(())
}

/// Posts a config that nobody has seen yet; how long it took to be APPLIED.
fn push(rest: &Rest, uid: &str, nonce: &str) -> Result<Duration> {
    let config = format!(
        "receivers: {{nop: {{}}}}\nexporters: {{debug: {{}}}}\n\
         service: {{pipelines: {{traces: {{receivers: [nop], exporters: [debug]}}}}}}\n# {nonce}\n"
    );
    let body = json!({ "value": config, "contentType": "text/yaml" });
    let start = Instant::now();
    put(rest, &format!("/api/v1/agents/{uid}/update-agent-config"), &body)?;
    look_at(rest, uid, "the config is applied", |agent| {
        ensure!(agent.text("/status/remoteConfigStatus/status")? != "FAILED", "the config FAILED");
        agent.config_is("APPLIED").map(drop)
    })?;
    Ok(start.elapsed())
}

fn put(rest: &Rest, path: &str, body: &serde_json::Value) -> Result<()> {
    let head = format!(
        "PUT {path} HTTP/1.1\r\nContent-Type: application/json\r\nAuthorization: Bearer {}\r\n",
        rest.token
    );
    let answer = http::exchange(rest.to, &head, &body.to_string())?;
    ensure!(answer.status < 300, "PUT {path} says {}: {}", answer.status, answer.body);
    Ok(())
}

/// From kill(2) to healthy again in REST. Only the first death in a minute is answered at once, so each round
/// has a supervisor of its own.
fn crashes(stand: &mut Stand, rest: &Rest, uid: &str, figures: &Figures, rounds: u64) -> Result<()> {
    let mut took = Vec::new();
    for _ in 0..rounds {
        stand.stop_supervisor()?;
        look(rest, "the goodbye", |agent| !agent.connected())?;
        stand.start_supervisor()?;
        let agent = look(rest, "the agent is healthy", |agent| agent.connected() && agent.healthy())?;
        let before = agent.sequence_num();
        settle(rest, uid, before)?;
        let before = rest.agent(uid)?.sequence_num();
        let old = stand.collector_pid()?;
        let start = Instant::now();
        process::send(old, Signal::SIGKILL)?;
        look_at(rest, uid, "it is healthy again", |agent| {
            ensure!(agent.healthy() && agent.sequence_num() > before, "not yet");
            Ok(())
        })?;
        took.push(start.elapsed());
        ensure!(stand.collector_pid()? != old, "PID {old} is still there");
    }
    figures.spread("crash_to_healthy_ms", &took);
    Ok(())
}

/// Waits until the agent has nothing left to say: the same sequence number for a fifth of a second.
fn settle(rest: &Rest, uid: &str, mut last: u64) -> Result<()> {
    let mut since = Instant::now();
    let start = since;
    while since.elapsed() < Duration::from_millis(200) {
        let now = rest.agent(uid)?.sequence_num();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        ensure!(start.elapsed() < DEADLINE, "the agent does not come to rest");
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn look(rest: &Rest, what: &str, so: impl Fn(&Agent) -> bool) -> Result<Agent> {
    let start = Instant::now();
    while start.elapsed() < DEADLINE {
        if let Ok(agent) = rest.only_agent()
            && so(&agent)
        {
            return Ok(agent);
        }
        std::thread::sleep(LOOK);
    }
    bail!("not within {} s: {what}", DEADLINE.as_secs())
}

fn look_at(rest: &Rest, uid: &str, what: &str, so: impl Fn(&Agent) -> Result<()>) -> Result<()> {
    let start = Instant::now();
    loop {
        match so(&rest.agent(uid)?) {
            Ok(()) => return Ok(()),
            Err(why) if start.elapsed() >= DEADLINE => {
                return Err(why.context(format!("not within {} s: {what}", DEADLINE.as_secs())));
            }
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}
