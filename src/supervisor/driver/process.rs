//! The running Collector: its process, what it prints, and how it is watched when it does not dial in.

use std::{net::Ipv4Addr, path::Path, time::Duration};

use nix::libc;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::LIVES;
use crate::{
    collector::{
        death,
        probe::{Probe, probe},
    },
    os::{
        child::{Child, Exit, Signal, SpawnError, Spawned, Spec},
        oom::OomCount,
        orphan::ProcessFacts,
        output::{RotatingFile, Sink, Sources, Tail, pump},
    },
    supervisor::{
        compose::Contact,
        local::{Heard, PATIENCE, Word},
        machine::{Blame, Generation},
        passthrough,
    },
    wire::proto::ComponentHealth,
};

/// How far back the cause of a death is looked for.
const LAST_WORDS: usize = 16 * 1024;
/// How long the end of the output is waited for after the end of the process.
const DRAIN_WITHIN: Duration = Duration::from_millis(100);
/// What the kernel did, and did not say.
const OUT_OF_MEMORY: &str = "out of memory (by the kernel, at the limit of its control group or of the host)";
/// Between probes: while waiting for the first good answer, and afterwards.
const PROBE_FAST: Duration = Duration::from_millis(20);
const PROBE_SLOW: Duration = Duration::from_secs(5);
const PROBE_WITHIN: Duration = Duration::from_secs(2);

/// Where the Collector's output goes, beside the tail.
#[derive(Clone, Copy, Debug)]
pub(super) enum Destination<'a> {
    File(&'a Path),
    Passthrough,
}

/// What is left of a Collector.
pub(super) struct Epitaph {
    pub(super) how: String,
    pub(super) blame: Blame,
    /// The end of its output, as long as was asked for.
    pub(super) snippet: String,
}

pub(super) struct Collector {
    child: Child,
    tail: Tail,
    /// How much of it is told with its death, in bytes.
    snippet: usize,
    /// None while nobody reads.
    pump: Option<Pump>,
    watch: Option<JoinHandle<()>>,
    out_of_memory: Option<OomCount>,
}

/// The task that drains the output.
struct Pump {
    task: JoinHandle<(Sources, Sink)>,
    stop: oneshot::Sender<()>,
}

impl Pump {
    fn start(mut from: Sources, tail: Tail, mut sink: Sink) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            tokio::select! {
                pumped = pump(&mut from, &tail, &mut sink) => {
                    tracing::debug!(?pumped, "the Collector's output ended");
                }
                // Without anybody left to stop it, it goes on.
                Ok(()) = &mut stopped => {}
            }
            (from, sink)
        });
        Self { task, stop }
    }
}

/// The output while nobody reads it, for whoever does next.
pub(super) struct Output {
    from: Sources,
    sink: Sink,
}

impl Output {
    pub(super) const fn sources(&self) -> &Sources {
        &self.from
    }
}

impl Collector {
    pub(super) fn start(spec: &Spec, into: Destination<'_>, snippet: usize) -> Result<Self, SpawnError> {
        let Spawned { child, stdout, stderr } = Child::spawn(spec)?;
        let from = Sources { stdout: stdout.into(), stderr: stderr.into() };
        Ok(Self::run(child, from, into, Tail::of(snippet), snippet))
    }

    /// Takes up one that the program before in this process started, with the end of what it printed.
    pub(super) fn adopt(
        child: Child,
        from: Sources,
        into: Destination<'_>,
        printed: &[u8],
        snippet: usize,
    ) -> Self {
        let tail = Tail::of(snippet);
        tail.push(printed);
        Self::run(child, from, into, tail, snippet)
    }

    fn run(child: Child, from: Sources, into: Destination<'_>, tail: Tail, snippet: usize) -> Self {
        let out_of_memory = OomCount::of(child.pid());
        let sink = match into {
            Destination::File(path) => Sink::File(RotatingFile::new(path)),
            Destination::Passthrough => Sink::Lines(Box::new(passthrough::log)),
        };
        let pump = Some(Pump::start(from, tail.clone(), sink));
        Self { child, tail, snippet, pump, watch: None, out_of_memory }
    }

    /// Stops reading the output; nothing of it is lost.
    pub(super) async fn hush(&mut self) -> Option<Output> {
        let Pump { task, stop } = self.pump.take()?;
        // It ended by itself where nobody hears.
        let _ = stop.send(());
        task.await.ok().map(|(from, sink)| Output { from, sink })
    }

    /// Reads it on.
    pub(super) fn read_on(&mut self, Output { from, sink }: Output) {
        self.pump = Some(Pump::start(from, self.tail.clone(), sink));
    }

    /// The end of what it printed.
    pub(super) fn printed(&self) -> String {
        self.tail.last(LAST_WORDS.max(self.snippet))
    }

    pub(super) const fn pid(&self) -> i32 {
        self.child.pid()
    }

    /// What names this process for a later supervisor.
    pub(super) fn facts(&self) -> std::io::Result<ProcessFacts> {
        self.child.facts()
    }

    pub(super) async fn ended(&self) -> Exit {
        loop {
            match self.child.wait().await {
                Ok(exit) => return exit,
                Err(error) => {
                    tracing::error!(%error, "waiting for the Collector failed");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        let sent = match signal {
            Signal::SIGKILL => self.child.signal_group(signal),
            _ => self.child.signal(signal),
        };
        if let Err(error) = sent {
            tracing::error!(%error, "the Collector could not be signalled");
        }
    }

    /// How it ended and why, and what that is held against.
    pub(super) async fn epitaph(mut self, exit: Exit) -> Epitaph {
        if let Some(pump) = &mut self.pump {
            let _ = timeout(DRAIN_WITHIN, &mut pump.task).await;
        }
        let words = self.tail.last(LAST_WORDS);
        let cause = match exit {
            Exit::Code(0) => None,
            Exit::Code(_) => Some(death::cause(&words)),
            // Killed from outside it has nothing to say about it.
            Exit::Signal { .. } => death::stated_cause(&words),
        };
        let snippet = self.tail.last(self.snippet);
        let killed = matches!(exit, Exit::Signal { number: libc::SIGKILL, .. });
        if killed && self.out_of_memory.as_ref().is_some_and(OomCount::has_grown) {
            return Epitaph { how: format!("{exit}: {OUT_OF_MEMORY}"), blame: Blame::Host, snippet };
        }
        let Some(cause) = cause.filter(|cause| !cause.is_empty()) else {
            return Epitaph { how: exit.to_string(), blame: blame_without_words(exit), snippet };
        };
        let blame = if death::is_of_host(&cause) { Blame::Host } else { Blame::Config };
        Epitaph { how: format!("{exit}: {cause}"), blame, snippet }
    }

    /// Watches a Collector that does not dial in; what is seen is told as if the Collector had said it.
    pub(super) fn watch(
        &mut self,
        contact: &Contact,
        generation: Generation,
        session: u64,
        tell: mpsc::Sender<Heard>,
    ) {
        let watch = match contact {
            Contact::Extension { .. } => None,
            Contact::HealthCheck { port } => {
                Some(tokio::spawn(probe_forever(*port, generation, session, tell)))
            }
            Contact::Process => Some(tokio::spawn(async move {
                tokio::time::sleep(LIVES).await;
                say(&tell, generation, session, &Probe::Up).await;
            })),
        };
        if let Some(old) = std::mem::replace(&mut self.watch, watch) {
            old.abort();
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
    }
}

/// A Collector ends in order only when it is told to, and these signals somebody sent.
const fn blame_without_words(exit: Exit) -> Blame {
    match exit {
        Exit::Code(0) => Blame::Outside,
        Exit::Signal { number: libc::SIGKILL | libc::SIGTERM | libc::SIGINT | libc::SIGHUP, .. } => {
            Blame::Outside
        }
        Exit::Code(_) | Exit::Signal { .. } => Blame::Config,
    }
}

async fn probe_forever(port: u16, generation: Generation, session: u64, tell: mpsc::Sender<Heard>) {
    let mut last = None;
    let mut answered = Instant::now();
    loop {
        let seen = probe((Ipv4Addr::LOCALHOST, port).into(), "/", PROBE_WITHIN).await;
        let starting = last.is_none() && seen != Probe::Up;
        if !matches!(seen, Probe::Silent { .. }) {
            answered = Instant::now();
        } else if !starting && answered.elapsed() >= PATIENCE.silent_after {
            let why = format!("has not answered for {} s", PATIENCE.silent_after.as_secs());
            // The driver is gone only when everything ends.
            let _ = tell.send(Heard { generation, session, word: Word::Silent { why } }).await;
            return;
        }
        if !starting && last.as_ref() != Some(&seen) {
            say(&tell, generation, session, &seen).await;
            last = Some(seen);
        }
        tokio::time::sleep(if starting { PROBE_FAST } else { PROBE_SLOW }).await;
    }
}

async fn say(tell: &mpsc::Sender<Heard>, generation: Generation, session: u64, seen: &Probe) {
    let health = match seen {
        Probe::Up => ComponentHealth { healthy: true, ..Default::default() },
        Probe::Down { reason } | Probe::Silent { reason } => {
            ComponentHealth { last_error: reason.clone(), ..Default::default() }
        }
    };
    // The driver is gone only when everything ends.
    let _ = tell.send(Heard { generation, session, word: Word::Health(health) }).await;
}
