//! The tour: each step does what a person would, waits for what was promised, and is a row with what it saw.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;

use super::http;
use super::process::{self, until};
use super::rest::{Agent, Rest};
use super::stand::Stand;

const SOON: Duration = Duration::from_secs(15);
const GONE: Duration = Duration::from_secs(2);

/// What is broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sabotage {
    None,
    WrongComponentAccepted,
    DeadCollector,
}

impl Sabotage {
    pub(super) fn from_environment() -> Result<Self> {
        match std::env::var("QUICKSTART_SABOTAGE").as_deref() {
            Err(_) | Ok("") => Ok(Self::None),
            Ok("wrong-component-accepted") => Ok(Self::WrongComponentAccepted),
            Ok("dead-collector") => Ok(Self::DeadCollector),
            Ok(other) => bail!("QUICKSTART_SABOTAGE={other}: say wrong-component-accepted or dead-collector"),
        }
    }
}

pub(super) struct Tour<'a> {
    stand: &'a mut Stand,
    sabotage: Sabotage,
    uid: String,
    /// The Collector that should run.
    pid: u32,
    collectors: Vec<u32>,
    spans: u32,
    rows: usize,
}

type Step<'a> = (&'static str, fn(&mut Tour<'a>) -> Result<String>);

impl<'a> Tour<'a> {
    pub(super) fn new(stand: &'a mut Stand, sabotage: Sabotage) -> Self {
        Self { stand, sabotage, uid: String::new(), pid: 0, collectors: Vec::new(), spans: 0, rows: 0 }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Every step, each printed when it is done; the first miss ends it.
    pub(super) fn run(&mut self) -> Result<()> {
        let steps: [Step<'a>; 8] = [
            ("server starts", Self::server_starts),
            ("agent appears by itself", Self::agent_appears),
            ("pipeline pushed", Self::pipeline_pushed),
            ("spans in, spans out", Self::spans_flow),
            ("Collector killed -9", Self::collector_killed),
            ("missing component", Self::missing_component),
            ("server away and back", Self::server_away),
            ("SIGTERM", Self::supervisor_stopped),
        ];
        for (name, step) in steps {
            let start = Instant::now();
            let saw = step(self).context(name)?;
            self.rows += 1;
            let took = start.elapsed().as_secs_f64();
            println!("{:>2}  {name:<24} {took:>7.3} s  {saw}", self.rows);
        }
        Ok(())
    }

    fn rest(&self) -> Result<Rest> {
        self.stand.rest()
    }

    fn agent(&self) -> Result<Agent> {
        self.rest()?.agent(&self.uid)
    }

    fn server_starts(&mut self) -> Result<String> {
        self.stand.start_server()?;
        let anonymous = http::get(self.rest()?.to, "/api/v1/namespaces/default/agents", None)?;
        ensure!(anonymous.status == 401, "without the token the API says {}, not 401", anonymous.status);
        Ok(format!("/readyz says 200 at {}, the API without the token 401", self.stand.api_url()))
    }

    /// Identity, facts about the host, version, components with their hash, health as a tree.
    fn agent_appears(&mut self) -> Result<String> {
        self.stand.start_supervisor()?;
        let rest = self.rest()?;
        let stand = &mut *self.stand;
        let (agent, saw) = until(SOON, "the agent is in the server", || {
            stand.supervisor()?.check_alive()?;
            let agent = rest.only_agent()?;
            let saw = introduction(&agent)?;
            Ok((agent, saw))
        })?;
        agent.text("/metadata/instanceUid")?.clone_into(&mut self.uid);
        self.pid = self.stand.collector_pid()?;
        self.collectors.push(self.pid);
        Ok(format!("{saw}; PID {}", self.pid))
    }

    fn pipeline_pushed(&mut self) -> Result<String> {
        let (file, told) = (self.stand.pipeline_file(), Instant::now());
        self.push(&file, "pipeline")?;
        let took = told.elapsed().as_millis();
        let (agent, tree) =
            until(SOON, "the effective config shows the pipeline, and it is healthy", || {
                let agent = self.agent()?;
                let effective = agent.effective_config();
                ensure!(
                    effective.contains("debug/tour"),
                    "the effective config lacks debug/tour:\n{effective}"
                );
                ensure!(agent.healthy(), "it is not healthy");
                let tree = agent.health_tree()?;
                Ok((agent, tree))
            })?;
        let hash = agent.config_is("APPLIED")?;
        self.follow_collector()?;
        Ok(format!("APPLIED {hash} after {took} ms; the effective config names debug/tour; healthy: {tree}"))
    }

    fn spans_flow(&mut self) -> Result<String> {
        let (name, took) = self.send_span()?;
        Ok(format!("OTLP/HTTP at {} took {name}, debug/tour wrote it {took} ms later", self.stand.otlp()))
    }

    fn collector_killed(&mut self) -> Result<String> {
        let old = self.pid;
        let before = self.agent()?.sequence_num();
        if self.sabotage == Sabotage::DeadCollector {
            self.stand.supervisor()?.signal(Signal::SIGSTOP)?;
        }
        process::send(old, Signal::SIGKILL)?;
        let killed = Instant::now();
        let agent = until(SOON, "another Collector is healthy in the server", || {
            let agent = self.agent()?;
            ensure!(agent.healthy(), "it is not healthy");
            ensure!(self.stand.collector_pid()? != old, "PID {old} is still there");
            ensure!(agent.sequence_num() > before, "the server has heard nothing since");
            Ok(agent)
        })?;
        let took = killed.elapsed().as_millis();
        self.follow_collector()?;
        let hash = agent.config_is("APPLIED")?;
        ensure!(agent.effective_config().contains("debug/tour"), "the effective config has lost debug/tour");
        let (name, _) = self.send_span()?;
        Ok(format!(
            "PID {old} -> {}, healthy after {took} ms, config {hash} kept, {name} went through",
            self.pid
        ))
    }

    /// The supervisor refuses it; nothing restarts; the good config goes on.
    fn missing_component(&mut self) -> Result<String> {
        let file = match self.sabotage {
            Sabotage::WrongComponentAccepted => self.stand.other_file(),
            _ => self.stand.bad_file(),
        };
        let path = file.to_string_lossy().into_owned();
        let push =
            self.stand.opampctl(&["config", "push", "-f", &path, "--name", "wrong", "--agent", &self.uid])?;
        let said = String::from_utf8_lossy(&push.stdout).into_owned();
        ensure!(push.status.code() == Some(1), "opampctl ended with {}, not 1:\n{said}", push.status);
        let agent = self.agent()?;
        let hash = agent.config_is("FAILED")?;
        let why = agent.text("/status/remoteConfigStatus/errorMessage")?;
        let line = fs::read_to_string(&file)?.lines().position(|line| line.contains("nosuchexporter:"));
        let line = line.context("the wrong config names no nosuchexporter")? + 1;
        ensure!(why.contains("nosuchexporter"), "the reason does not name the component: {why}");
        ensure!(why.contains(&format!(":{line}:")), "the reason does not name line {line}: {why}");
        ensure!(why.contains("debug"), "the reason does not say what is available: {why}");
        ensure!(self.stand.collector_pid()? == self.pid, "the Collector was restarted");
        let why = why.lines().next().unwrap_or(why).to_owned();
        let (name, _) = self.send_span()?;
        let pipeline = self.stand.pipeline_file();
        self.push(&pipeline, "pipeline")?;
        self.follow_collector()?;
        Ok(format!("FAILED {hash}: {why}; PID {} stayed, {name} went through", self.pid))
    }

    fn server_away(&mut self) -> Result<String> {
        let before = self.agent()?.sequence_num();
        self.stand.stop_server()?;
        ensure!(self.stand.collector_pid()? == self.pid, "the Collector was restarted");
        let (name, _) = self.send_span()?;
        self.stand.start_server()?;
        let agent = until(Duration::from_secs(60), "the supervisor is back", || {
            let agent = self.agent()?;
            ensure!(agent.connected(), "it is not connected");
            Ok(agent)
        })?;
        ensure!(self.stand.collector_pid()? == self.pid, "the Collector was restarted");
        let hash = agent.config_is("APPLIED")?;
        let (after, rest) = (agent.sequence_num(), self.rest()?);
        let (full, messages) = (rest.counter("full_state_requests")?, rest.counter("server_messages")?);
        ensure!(full == 0, "the server asked {full} times for the full state");
        ensure!(after > before, "the sequence went from {before} to {after}");
        Ok(format!(
            "{name} went through without it; back with {messages} message(s), sequence {before} -> {after}, \
             {full} full states asked for, config {hash}; PID {} stayed",
            self.pid
        ))
    }

    fn supervisor_stopped(&mut self) -> Result<String> {
        let log = self.agent_log();
        let before = fs::metadata(&log).map_or(0, |metadata| metadata.len());
        let told = Instant::now();
        self.stand.stop_supervisor()?;
        let took = told.elapsed().as_millis();
        until(GONE, "the server sees the goodbye", || {
            ensure!(!self.agent()?.connected(), "it is still connected");
            Ok(())
        })?;
        let last = fs::read_to_string(&log)?;
        let last = last.get(usize::try_from(before)?..).unwrap_or(&last);
        ensure!(last.contains("Shutdown complete"), "the Collector did not say that it shut down in order");
        let alive: Vec<u32> = self.collectors.iter().copied().filter(|pid| process::is_alive(*pid)).collect();
        ensure!(alive.is_empty(), "Collectors are still there: {alive:?}");
        let storage = self.stand.dir().join("supervisor");
        let storage = storage.to_string_lossy();
        if let Some(left) = process::all().iter().find(|process| process.command_line.contains(&*storage)) {
            bail!("left behind: {} {}", left.pid, left.command_line);
        }
        Ok(format!(
            "supervisor ended with 0 after {took} ms, Collector {} \"Shutdown complete\", connected: false, \
             no process left",
            self.pid
        ))
    }

    fn push(&self, file: &Path, name: &str) -> Result<()> {
        let file = file.to_string_lossy();
        let push =
            self.stand.opampctl(&["config", "push", "-f", &file, "--name", name, "--agent", &self.uid])?;
        let (out, err) = (String::from_utf8_lossy(&push.stdout), String::from_utf8_lossy(&push.stderr));
        ensure!(push.status.success(), "opampctl config push ended with {}:\n{out}{err}", push.status);
        Ok(())
    }

    /// Takes note of the Collector that runs now.
    fn follow_collector(&mut self) -> Result<()> {
        let stand = &mut *self.stand;
        self.pid = until(SOON, "one Collector runs", || stand.collector_pid())?;
        self.collectors.push(self.pid);
        Ok(())
    }

    fn agent_log(&self) -> std::path::PathBuf {
        self.stand.dir().join("supervisor/logs/agent.log")
    }

    /// Sends a span of a new name and waits until the debug exporter has written it.
    fn send_span(&mut self) -> Result<(String, u128)> {
        self.spans += 1;
        let name = format!("tour-span-{}", self.spans);
        let body = serde_json::json!({"resourceSpans": [{
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "tour"}}]},
            "scopeSpans": [{"scope": {"name": "tour"}, "spans": [{
                "traceId": format!("{:032x}", self.spans), "spanId": format!("{:016x}", self.spans),
                "name": name, "kind": 1,
                "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000000001000000",
            }]}],
        }]});
        let to = self.stand.otlp();
        until(SOON, "the Collector takes a span", || {
            let answer = http::post_json(to, "/v1/traces", &body.to_string())?;
            ensure!(answer.status == 200, "/v1/traces says {}: {}", answer.status, answer.body);
            Ok(())
        })?;
        let (sent, log) = (Instant::now(), self.agent_log());
        until(SOON, "the exporter writes the span", || {
            let text = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
            ensure!(String::from_utf8_lossy(&text).contains(&name), "{name} is not in {}", log.display());
            Ok(())
        })?;
        Ok((name, sent.elapsed().as_millis()))
    }
}

/// All that an agent must have said of itself.
fn introduction(agent: &Agent) -> Result<String> {
    ensure!(agent.connected(), "the agent is not connected");
    let uid = agent.text("/metadata/instanceUid")?;
    let (name, version) = (agent.attribute("service.name")?, agent.attribute("service.version")?);
    let (host, os) = (agent.attribute("host.name")?, agent.attribute("os.type")?);
    let arch = agent.attribute("host.arch")?;
    let hash = agent.text("/status/availableComponents/hash")?;
    let sections = agent.0.pointer("/status/availableComponents/components").and_then(|c| c.as_object());
    let sections = sections.context("no component list yet")?;
    let count: usize =
        sections.values().filter_map(|section| Some(section.get("components")?.as_object()?.len())).sum();
    ensure!(count > 0, "the component list is empty");
    let tree = agent.health_tree().context("no health tree yet")?;
    ensure!(agent.healthy(), "the agent is not healthy yet");
    Ok(format!(
        "{uid} is {name} {version} on {host} ({os}/{arch}), {count} components with hash {}, healthy: {}",
        hash.get(..12).unwrap_or(hash),
        tree
    ))
}
