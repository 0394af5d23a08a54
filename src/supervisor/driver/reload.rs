//! Another `supervisor.yaml` while everything runs: when it is read, and how it comes into force.
//!
//! One reading is at work at a time; whatever asks for one meanwhile is one more run after it (F-84). A remote
//! config on its way is finished first, and an offer that comes during a reading waits for its end: each is
//! judged with the other as it is.

use std::{path::Path, time::Duration};

use tokio::sync::mpsc;

use super::{Driver, Prepared, happenings::Happening, package_rules, wall_nanos};
use crate::{
    os::watch::FileWatch,
    supervisor::{
        agent,
        config::ServerConfig,
        connection::outdated,
        control::Answer,
        machine::{Input, Layers, Refresh, Running},
        record,
        reload::{Cause, Examination, Fit, Found, InPlace, Touch, examine},
        setup::Outfit,
        startup::Origin,
        target::{self, Fingerprint},
        upgrade::machine::Input as Told,
    },
    wire::proto::AgentRemoteConfig,
};

/// How long a write of the file may take to settle.
const SETTLE: Duration = Duration::from_millis(200);

/// The file, and where reading it again stands.
pub(in crate::supervisor) struct Reloads {
    origin: Origin,
    watch: Option<FileWatch>,
    /// The server as it is dialled.
    server: Fingerprint,
    wanted: Option<Cause>,
    at_work: Option<AtWork>,
    found: (mpsc::Sender<Found>, mpsc::Receiver<Found>),
    /// Why the file on disk is not in force.
    pub(super) refused: Option<String>,
    /// The newest offer that came during a reading.
    held: Option<AgentRemoteConfig>,
}

struct AtWork {
    cause: Cause,
    /// The remote config that it is judged with.
    with: Running,
}

impl Reloads {
    /// Watches the file from here on.
    pub(in crate::supervisor) fn new(origin: Origin, server: &ServerConfig) -> Self {
        let watch = FileWatch::start(&origin.path, SETTLE);
        let watch = watch.map_err(|error| {
            let path = origin.path.display();
            tracing::warn!("{path} cannot be watched: {error}; after a change of it, send SIGHUP");
        });
        Self {
            watch: watch.ok(),
            server: target::fingerprint(server),
            origin,
            wanted: None,
            at_work: None,
            found: mpsc::channel(1),
            refused: None,
            held: None,
        }
    }

    /// The file was written, or a reading ended.
    pub(super) async fn next(&mut self) -> Happening {
        let written = async {
            match &self.watch {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(found) = self.found.1.recv() => Happening::Reread(found),
            () = written => Happening::Written,
        }
    }

    /// What the reader of the file in force should know, with its place.
    pub(super) fn notices(&self) -> impl Iterator<Item = String> {
        let path = self.path().display();
        let notices = self.origin.notices.iter();
        notices.map(move |notice| format!("{path}:{}:{}: {notice}", notice.at.line, notice.at.column))
    }

    /// Another server is dialled.
    pub(super) fn dials(&mut self, server: &ServerConfig) {
        self.server = target::fingerprint(server);
    }

    pub(super) fn path(&self) -> &Path {
        &self.origin.path
    }

    /// Takes an offer into custody while the file is read; the newest wins.
    pub(super) fn hold(&mut self, offer: AgentRemoteConfig) -> Option<AgentRemoteConfig> {
        if self.at_work.is_none() {
            return Some(offer);
        }
        self.held = Some(offer);
        None
    }
}

impl Driver {
    /// Somebody wants the file to be read again.
    pub(super) fn want_reload(&mut self, cause: Cause) {
        let reloads = &mut self.parts.reloads;
        if reloads.wanted.is_none() && reloads.at_work.is_none() {
            self.announcer.reloading();
        }
        reloads.wanted = reloads.wanted.max(Some(cause));
    }

    /// Whether nothing is on its way that a change of the host's part would have to be judged with.
    pub(super) fn may_change_host(&self) -> bool {
        self.parts.reloads.at_work.is_none() && self.parts.machine.is_at_rest()
    }

    /// Begins a reading if one is wanted and nothing stands in its way.
    pub(super) fn begin_reload(&mut self) {
        if self.stopping || self.telemetry.is_checking() || !self.may_change_host() {
            return;
        }
        let Some(cause) = self.parts.reloads.wanted.take() else { return };
        let with = self.parts.machine.live().clone();
        let examination = self.examination(cause, &with);
        self.parts.reloads.at_work = Some(AtWork { cause, with });
        self.askers.reading_begins();
        let tell = self.parts.reloads.found.0.clone();
        tokio::spawn(async move {
            // The driver is gone only when everything ends.
            let _ = tell.send(examine(examination).await).await;
        });
    }

    fn examination(&self, cause: Cause, with: &Running) -> Examination {
        let of = Layers::Config(with.clone());
        let running = match &self.current {
            Some(current) if current.layers == of => {
                Some(InPlace::Config(current.composed.clone(), current.contact.clone()))
            }
            Some(current) if current.layers == Layers::Fallback => Some(InPlace::Fallback),
            _ => None,
        };
        let stored = self.parts.state.configs().into_iter().filter(|hash| with.as_ref() != Some(hash));
        Examination {
            // Only a look at everything can find that what was refused is mended.
            whole: cause >= Cause::Signal || self.parts.reloads.refused.is_some(),
            path: self.parts.reloads.path().to_owned(),
            in_force: self.parts.config.clone(),
            server: self.parts.reloads.server,
            connection: self.parts.state.connection.clone(),
            telemetry: self.telemetry.rule(),
            outfit: self.parts.outfit.clone(),
            package: self.packaged_program(),
            components: self.parts.components.clone(),
            local: self.parts.endpoint.url().to_owned(),
            instance_uid: self.parts.state.instance_uid,
            stored: stored.filter_map(|hash| self.body_of(&hash)).collect(),
            remote: with.as_ref().and_then(|hash| self.body_of(hash)),
            running,
            storage: self.parts.storage.clone(),
        }
    }

    pub(super) fn reload_found(&mut self, found: Found) {
        let Some(work) = self.parts.reloads.at_work.take() else { return };
        if self.stopping {
            return;
        }
        if self.parts.machine.is_at_rest() && *self.parts.machine.live() == work.with {
            let answer = self.conclude(work.cause, found);
            self.askers.hear(answer);
            self.announcer.ready();
            if self.parts.reloads.wanted.is_some() {
                self.announcer.reloading();
            }
        } else {
            // It was judged with what does not run any more.
            let wanted = &mut self.parts.reloads.wanted;
            *wanted = (*wanted).max(Some(work.cause));
            self.askers.reading_begins_again();
        }
        if let Some(offer) = self.parts.reloads.held.take() {
            self.offered(offer);
        }
    }

    /// What came of it, for whoever asked.
    fn conclude(&mut self, cause: Cause, found: Found) -> Answer {
        let (path, cause) = (self.parts.reloads.path().display().to_string(), cause.name());
        let (answer, refused) = match found {
            Found::Nothing => {
                tracing::info!("{path} was read again ({cause}): nothing changed");
                (Answer::Done { said: format!("{path}: nothing changed") }, None)
            }
            Found::Refused(why) => {
                tracing::error!(
                    "{path} was read again ({cause}) and is not taken; all runs on as before: {why}"
                );
                (Answer::Unfit { why: why.clone() }, Some(why))
            }
            Found::Fit(fit) => {
                let done = self.bring_into_force(*fit, &path);
                tracing::info!("{path} was read again ({cause}): {done}");
                (Answer::Done { said: format!("{path}: {done}") }, None)
            }
        };
        self.refused(refused);
        answer
    }

    /// For whoever looks at the agent: the file on disk is another one than what runs.
    pub(super) fn refused(&mut self, why: Option<String>) {
        let told = why.as_ref().map(|why| format!("supervisor.yaml on disk is not in force: {why}"));
        self.health.remark("supervisor.yaml", told, wall_nanos());
        self.parts.reloads.refused = why;
        self.report_health();
    }

    /// What was done, in words.
    fn bring_into_force(&mut self, fit: Fit, path: &str) -> String {
        let Fit { config, notices, changes, server, outfit, collector } = fit;
        let before = self.as_it_is();
        // What is as it was, was said before.
        for notice in notices.iter().filter(|_| !changes.is_empty()) {
            tracing::warn!("{path}:{}:{}: {notice}", notice.at.line, notice.at.column);
        }
        for (key, why) in changes.kept() {
            tracing::warn!("{key} changed in {path}; {why}");
        }
        let mut done = Vec::new();
        match changes.names() {
            names if names.is_empty() => {}
            names => done.push(format!("{names} changed")),
        }
        self.parts.reloads.origin.notices = notices;
        self.parts.reloads.origin.log_level.set(config.telemetry.logs.level.into());
        let allows = config.capabilities != self.parts.config.capabilities
            || config.packages != self.parts.config.packages;
        if allows {
            let capabilities = agent::capabilities(&config.capabilities, &config.packages);
            self.parts.client.set_capabilities(capabilities);
            done.push("the server is told the capabilities".to_owned());
        }
        if let Some(why) = outdated(&config, &self.parts.state.connection) {
            self.forget_settings(why);
        }
        let described = config.agent.description != self.parts.config.agent.description;
        self.parts.config = config;
        let rules =
            package_rules(self.parts.config.capabilities.accepts_packages, &self.parts.config.packages);
        self.tell_packages(Told::Rules(rules));
        if allows {
            self.report_packages();
            self.advertise();
            self.export_anew();
        }
        if let Some((target, fingerprint)) = server {
            self.parts.reloads.server = fingerprint;
            self.server_changed(Some("the server is dialled anew".to_owned()));
            self.dial_anew(target);
            done.push(format!("{} is dialled anew", self.server().endpoint));
        }
        let equipped = outfit.is_some();
        if let Some(outfit) = outfit {
            self.equip(outfit);
        }
        self.follow_rules();
        if described || equipped {
            self.describe();
        }
        self.look_at_host();
        self.look_at_sandbox();
        if !matches!(collector, Touch::Not) {
            self.before = Some(before);
        }
        done.extend(self.touch(collector));
        if done.is_empty() { "nothing changed".to_owned() } else { done.join("; ") }
    }

    /// Another binary, or another way to call it.
    pub(super) fn equip(&mut self, outfit: Outfit) {
        if outfit.identity.sha256 != self.parts.outfit.identity.sha256 || self.parts.outfit.facts.is_none() {
            self.parts.components = outfit.facts.as_ref().map(|facts| facts.components.clone());
            self.said = None;
            if let Some(facts) = &outfit.facts {
                record::keep_facts(&mut self.parts.state, &outfit.identity, facts);
                self.save_or_later();
            }
            self.report_components();
        }
        let version = outfit.facts.as_ref().map(|facts| facts.version.clone());
        self.parts.outfit = outfit;
        self.tell_packages(Told::Running(version));
    }

    /// Has the Collector run what was judged.
    fn touch(&mut self, collector: Touch) -> Option<String> {
        let (composed, contact, refresh) = match collector {
            Touch::Not => return None,
            Touch::Contents(composed, contact) => (composed, contact, Refresh::Contents),
            Touch::Process(composed, contact) => (composed, contact, Refresh::Process),
        };
        let layers = Layers::Config(self.parts.machine.live().clone());
        // Nothing that was made from the old file is used again.
        self.current = None;
        self.candidate = Some(Prepared { layers, composed, contact });
        self.tell(Input::Refresh(refresh));
        let how = match refresh {
            Refresh::Contents => "the Collector's files are others",
            Refresh::Process => "the Collector is run anew",
        };
        Some(how.to_owned())
    }
}
