//! What one supervisor leaves the next in the same process, the exec, and taking it up.

use std::{io, path::Path};

use prost::Message;

use super::{
    Driver, Prepared,
    process::{Collector, Output},
    wall_nanos,
};
use crate::{
    os::{
        child::Child,
        handover::Handover,
        output::Sources,
        reaper,
        signals::{self, Received},
    },
    supervisor::{
        compose::{Composed, LiveFile},
        machine::{Generation, Input, Layers},
        succession::{Bytes, CollectorNote, Errand, File, Files, LISTENER, LOCK, Note, STDERR, STDOUT},
    },
};

/// The Collector that the supervisor before in this process left.
pub(in crate::supervisor) struct Inheritance {
    pub(in crate::supervisor) child: Child,
    pub(in crate::supervisor) from: Sources,
    pub(in crate::supervisor) note: CollectorNote,
}

impl Driver {
    /// From here on, signals are the next one's; unless there is still one to answer.
    pub(super) async fn hold_signals(&mut self) -> Result<signals::Held, Received> {
        let held = signals::hold();
        loop {
            // What was delivered before is heard after one turn of the runtime.
            tokio::task::yield_now().await;
            let heard = tokio::select! {
                biased;
                heard = self.parts.signals.next() => heard,
                () = std::future::ready(()) => return Ok(held),
            };
            match heard {
                Received::ChildEnded => {
                    // The next one reaps what this one does not.
                    let _ = reaper::reap_strangers();
                }
                other => return Err(other),
            }
        }
    }

    /// Becomes that program. Returns only to say why not; then all is as before.
    pub(super) async fn exec(&mut self, executable: &Path, errand: Errand) -> String {
        self.announcer.reloading();
        let output = match &mut self.collector {
            Some(collector) => collector.hush().await,
            None => None,
        };
        let error = match self.pack(errand, output.as_ref()) {
            Ok(handover) => handover.become_program(executable),
            Err(error) => error,
        };
        if let (Some(collector), Some(output)) = (&mut self.collector, output) {
            collector.read_on(output);
        }
        self.announcer.ready();
        format!("{} cannot be executed: {error}", executable.display())
    }

    /// All that the next one is to have.
    fn pack(&self, errand: Errand, output: Option<&Output>) -> io::Result<Handover> {
        let mut handover = Handover::default();
        handover.add(LOCK, &self.parts.lock)?;
        let mut token = None;
        if let Some((listener, known)) = self.parts.endpoint.listener() {
            handover.add(LISTENER, listener)?;
            token = known.map(str::to_owned);
        }
        let collector = self.collector.as_ref().zip(output).zip(self.parts.machine.inheritance());
        let collector = collector.map(|((collector, output), inherited)| {
            let Sources { stdout, stderr } = output.sources();
            handover.add(STDOUT, stdout)?;
            handover.add(STDERR, stderr)?;
            let (health, started) = self.health.word();
            Ok::<_, io::Error>(CollectorNote {
                pid: collector.pid(),
                inherited,
                files: self.current.as_ref().map(files),
                stdout: Bytes(stdout.begun().to_vec()),
                stderr: Bytes(stderr.begun().to_vec()),
                printed: collector.printed(),
                health: Bytes(health.map(Message::encode_to_vec).unwrap_or_default()),
                started,
                description: Bytes(self.said.as_ref().map(Message::encode_to_vec).unwrap_or_default()),
            })
        });
        handover.note = serde_json::to_value(Note { errand, token, collector: collector.transpose()? })?;
        Ok(handover)
    }

    /// Takes the Collector over as it is.
    pub(super) fn take_over(&mut self, Inheritance { child, from, note }: Inheritance) {
        let CollectorNote { inherited, files, printed, health, started, description, .. } = note;
        let log = self.parts.storage.join("logs").join("agent.log");
        let snippet = self.parts.config.agent.crash_log_snippet;
        let mut collector =
            Collector::adopt(child, from, self.destination(&log), printed.as_bytes(), snippet);
        tracing::info!(pid = collector.pid(), "the Collector runs on under this supervisor");
        self.current = files.and_then(|files| self.as_it_is_on_disk(&inherited.layers, files));
        self.said = CollectorNote::message(&description);
        self.health.inherit(CollectorNote::message(&health), started, wall_nanos());
        self.generation = Generation(1);
        self.parts.endpoint.expect(self.generation);
        self.parts.instruments.meters.agent_process(Some(collector.pid()));
        if let Some(current) = &self.current {
            self.watches += 1;
            collector.watch(&current.contact, self.generation, self.watches, self.probes.0.clone());
        }
        self.collector = Some(collector);
        // Its extension lost its connection, and dials again by itself.
        self.expect_another_word();
        self.tell(Input::Inherit(inherited));
    }

    /// What the Collector read. Where a file of it is gone, nothing is known, and the next config is another list.
    fn as_it_is_on_disk(&self, layers: &Layers, files: Files) -> Option<Prepared> {
        let Files { contact, files, missing } = files;
        let read = |File { name, label, remote }: File| {
            let contents = self.parts.live.read(&name)?;
            Some(LiveFile { name, label, contents, remote })
        };
        let files = files.into_iter().map(read).collect::<Option<Vec<_>>>()?;
        Some(Prepared { layers: layers.clone(), composed: Composed { files, missing }, contact })
    }
}

fn files(current: &Prepared) -> Files {
    let file =
        |file: &LiveFile| File { name: file.name.clone(), label: file.label.clone(), remote: file.remote };
    Files {
        contact: current.contact.clone(),
        files: current.composed.files.iter().map(file).collect(),
        missing: current.composed.missing.clone(),
    }
}
