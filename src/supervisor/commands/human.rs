//! A status in words: one topic per line, what goes with it indented below.

use std::fmt::Write;

use jiff::Timestamp;

use crate::supervisor::{
    control::{
        CollectorStatus, ConfigStatus, OFFER, OnTrial, PackagesStatus, ServerStatus, Status, SupervisorStatus,
    },
    mask::printable,
};

/// Where the words begin.
const INDENT: usize = 12;

pub(super) fn status(status: &Status) -> String {
    let mut page = Page::default();
    let supervisor = &status.supervisor;
    let version = supervisor.version.as_deref().unwrap_or("?");
    page.topic(
        "supervisor",
        &match (supervisor.running, supervisor.pid) {
            (true, Some(pid)) => {
                format!("runs{}, pid {pid}, version {version}", since(supervisor.since.as_deref()))
            }
            _ => "does not run; below is what it left".to_owned(),
        },
    );
    if let Some(executable) = &supervisor.executable {
        page.more(executable);
    }
    succession(&mut page, supervisor);
    page.more(&format!("state in {}", supervisor.storage));
    agent(&mut page, status);
    if let Some(status) = &status.server {
        page.topic("server", &server(status));
    }
    if supervisor.running {
        collector(&mut page, &status.collector);
    }
    if supervisor.running || !status.agent.instance_uid.is_empty() {
        config(&mut page, &status.config);
    }
    if let Some(known) = &status.packages {
        packages(&mut page, known);
    }
    for notice in &status.notices {
        page.topic("note", notice);
    }
    page.0
}

/// Who is on trial, or failed it last.
fn succession(page: &mut Page, supervisor: &SupervisorStatus) {
    if let Some(trial) = &supervisor.trial {
        let left = match trial.left_s {
            Some(left) => format!("{left} s more to reach the server"),
            None => format!("{} more starts to prove itself", trial.tries_left),
        };
        let OnTrial { executable, version, previous, .. } = trial;
        page.more(&format!(
            "on trial: {executable}, version {version}, has {left}, else {previous} runs again"
        ));
    }
    if let Some(last) = supervisor.last.as_ref().filter(|last| last.outcome != "committed") {
        page.more(&format!("{}: {}\n{}", last.outcome, last.executable, last.error));
    }
}

fn agent(page: &mut Page, status: &Status) {
    let agent = &status.agent;
    if agent.instance_uid.is_empty() {
        return;
    }
    page.topic("agent", &agent.instance_uid);
    let name = match (&agent.name, &agent.version) {
        (Some(name), Some(version)) => format!("{name} {version}"),
        _ => "the binary did not say what it is".to_owned(),
    };
    page.more(&match &agent.executable {
        Some(executable) => format!("{name}, {executable}"),
        None => name,
    });
}

fn server(server: &ServerStatus) -> String {
    let since = since(Some(&server.since));
    let mut said = match &server.why {
        None => format!("connected{since}: {}", server.endpoint),
        Some(why) => format!("not connected{since}: {}\n{why}", server.endpoint),
    };
    if server.source == OFFER {
        said.push_str("\nas offered by the server; server in supervisor.yaml, once changed, takes its place");
    }
    if let Some(end) = &server.certificate_expires {
        said.push_str(&format!("\nclient certificate expires at {end}"));
    }
    match &server.offer {
        Some(offer) if offer.outcome == "failed" => {
            said.push_str(&format!("\nconnection settings {} failed: {}", offer.hash, offer.error));
        }
        Some(offer) => said.push_str(&format!("\nconnection settings {}: {}", offer.hash, offer.outcome)),
        None => {}
    }
    said
}

fn collector(page: &mut Page, collector: &CollectorStatus) {
    let process = match collector.pid {
        Some(pid) => format!("pid {pid}{}", since(collector.since.as_deref())),
        None => "no process".to_owned(),
    };
    let health = if collector.healthy { "healthy" } else { "not healthy" };
    page.topic("Collector", &format!("{health}, {process}"));
    if !collector.healthy {
        page.more(&format!("{}: {}", collector.status, collector.error));
    }
    for unwell in &collector.unwell {
        page.more(&format!("- {}  {}  {}", unwell.component, unwell.status, unwell.error));
    }
    if collector.unwell_more > 0 {
        page.more(&format!("- and {} more", collector.unwell_more));
    }
    page.more(&match &collector.log {
        Some(log) => format!("output in {log}"),
        None => "output in the supervisor's own log".to_owned(),
    });
}

fn config(page: &mut Page, config: &ConfigStatus) {
    let name = |hash: &Option<String>| hash.clone().unwrap_or_else(|| "the host's own".to_owned());
    page.topic(
        "config",
        &match (&config.live, config.probation_left_s) {
            (live, Some(left)) => format!("{}, on probation for {left} s more", name(live)),
            (live, None) => name(live),
        },
    );
    if config.last_good != config.live {
        page.more(&format!("last good: {}", name(&config.last_good)));
    }
    if let Some(at_work) = &config.at_work {
        page.more(&format!("at work: {at_work}"));
    }
    let last = config.last.as_ref().filter(|last| last.outcome == "failed");
    if let Some(last) = last {
        page.more(&format!("failed: {}\n{}", last.hash, last.error));
    }
    let earlier = config.failed.iter().filter(|failed| last.is_none_or(|last| last.hash != failed.hash));
    match earlier.count() {
        0 => {}
        count => page.more(&format!("{count} that failed earlier are not tried again (all with -o json)")),
    }
    if config.paused {
        page.topic("paused", "offers of the server are held; `opamp-supervisor resume` takes them again");
    }
    for missing in &config.missing {
        page.topic("missing", missing);
    }
}

fn packages(page: &mut Page, known: &PackagesStatus) {
    for (number, package) in known.packages.iter().enumerate() {
        let topic = if number == 0 { "packages" } else { "" };
        let version = package.version.as_deref().unwrap_or("not installed");
        let status = package.status.replace('_', " ");
        let offered =
            package.offered.as_deref().filter(|offered| package.version.as_deref() != Some(*offered));
        let offered = offered.map_or_else(String::new, |offered| format!(", offered {offered}"));
        let percent = package.percent.map_or_else(String::new, |percent| format!(" {percent} %"));
        page.topic(topic, &format!("{} {version}{offered}: {status}{percent}", package.name));
        if !package.error.is_empty() {
            page.more(&package.error);
        }
    }
    if !known.error.is_empty() {
        page.topic("packages", &known.error);
    }
    if let Some(trial) = &known.trial {
        let left = trial.healthy_left_s.map_or_else(String::new, |left| format!(", {left} s to be healthy"));
        page.topic("on trial", &format!("{}{left}; `opamp-supervisor rollback` ends it", trial.version));
    } else if let Some(previous) = &known.previous {
        page.more(&format!("`rollback --package` goes back to {previous}"));
    }
}

/// `, since 2026-11-21T10:00:00Z (3h 20m)`, or nothing.
fn since(time: Option<&str>) -> String {
    let Some(time) = time.filter(|time| !time.is_empty()) else { return String::new() };
    let Ok(then) = time.parse::<Timestamp>() else { return format!(" since {time}") };
    let seconds = Timestamp::now().as_second().saturating_sub(then.as_second()).max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let long = match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, ..) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    };
    format!(" since {time} ({long})")
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn topic(&mut self, name: &str, text: &str) {
        let text = printable(text);
        for (number, line) in text.lines().enumerate() {
            let name = if number == 0 { name } else { "" };
            // Writing to a string cannot fail.
            let _ = writeln!(self.0, "{name:<INDENT$}{line}");
        }
    }

    fn more(&mut self, text: &str) {
        self.topic("", text);
    }
}
