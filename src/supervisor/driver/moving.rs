//! Going to the server that an offer names, and back if it does not prove itself.

use std::time::Duration;

use super::Driver;
use crate::{
    os::{clock, fs::is_in_memory},
    protocol::client::DEFAULT_HEARTBEAT,
    supervisor::{
        config::{Secret, ServerConfig},
        connection::{Beginning, Effect, Ground, Machine, Side, digest, over, own_key},
        journal::{Candidate, Class, Settings, SettingsHash},
        mask::Mask,
        target,
    },
    transport::{Target, client::Ended},
    wire::{
        InstanceUid, ServerCaps,
        proto::{
            ConnectionSettingsOffers, OpAmpConnectionSettings, ServerErrorResponse, ServerErrorResponseType,
        },
    },
};

/// Which server is dialled, and where a move to another one stands.
pub(in crate::supervisor) struct Moving {
    machine: Machine,
    /// The server that holds, as it is dialled.
    valid: Target,
    candidate: Option<Target>,
    /// The newest offer that has to wait.
    held: Option<ConnectionSettingsOffers>,
}

impl Moving {
    /// A candidate is being dialled by whoever starts the client.
    pub(in crate::supervisor) fn new(beginning: Beginning, window: Duration) -> Self {
        let Beginning { valid, candidate } = beginning;
        let machine = match &candidate {
            Some(_) => Machine::resumed(clock::boottime() + window),
            None => Machine::new(),
        };
        Self { machine, valid, candidate, held: None }
    }

    pub(super) const fn is_settled(&self) -> bool {
        self.machine.is_settled()
    }

    pub(super) const fn is_reverting(&self) -> bool {
        self.machine.is_reverting()
    }

    pub(super) fn forget(&mut self) {
        self.candidate = None;
        self.held = None;
    }

    pub(super) fn hold(&mut self, offer: ConnectionSettingsOffers) {
        self.held = Some(offer);
    }

    pub(super) const fn poll_timeout(&self) -> Option<Duration> {
        self.machine.poll_timeout()
    }
}

/// How often the server hears from this agent.
pub(in crate::supervisor) fn heartbeat(settings: Option<&Settings>) -> Duration {
    settings.and_then(|settings| settings.heartbeat_seconds).map_or(DEFAULT_HEARTBEAT, Duration::from_secs)
}

impl Driver {
    /// The server that is dialled: as the file says, with what was offered laid over it.
    pub(super) fn server(&self) -> ServerConfig {
        let connection = &self.parts.state.connection;
        let trial = connection.candidate.as_ref().map(|candidate| &candidate.settings);
        over(&self.parts.config.server, trial.or(connection.valid.as_ref()))
    }

    /// The secrets of `supervisor.yaml`, and those that the server offered.
    pub(super) fn secrets(&self) -> Mask {
        let mut mask = Mask::of(&self.parts.config);
        let connection = &self.parts.state.connection;
        let trial = connection.candidate.as_ref().map(|candidate| &candidate.settings);
        for settings in connection.valid.iter().chain(trial) {
            mask.know_server(&over(&self.parts.config.server, Some(settings)));
        }
        connection.request.iter().for_each(|asked| mask.know(&asked.key_pem));
        self.telemetry.in_force.secrets().for_each(|secret| mask.know(secret));
        mask
    }

    /// Another server, or other terms. Nothing is told here before it is over.
    pub(super) fn opamp_offered(
        &mut self,
        hash: &SettingsHash,
        offer: &OpAmpConnectionSettings,
    ) -> Option<Result<(), String>> {
        let settings = match self.judge(hash, offer) {
            Ok(settings) => settings,
            Err(why) => return Some(Err(why)),
        };
        let file = &self.parts.config.server;
        let server = over(file, Some(&settings));
        if server == over(file, self.parts.state.connection.valid.as_ref()) {
            // The same connection: there is nothing to prove.
            self.parts.client.set_heartbeat(heartbeat(Some(&settings)));
            self.parts.state.connection.valid = Some(settings);
            self.certificate_kept();
            return Some(Ok(()));
        }
        let target = match target::of(&server) {
            Ok(target) => target,
            Err(error) => return Some(Err(format!("the settings cannot be used: {error}"))),
        };
        self.parts.state.connection.candidate = Some(Candidate { settings, entries: 1 });
        if let Err(why) = self.save() {
            self.parts.state.connection.candidate = None;
            return Some(Err(format!("the settings cannot be stored: {why}")));
        }
        tracing::info!(endpoint = %server.endpoint, "the offered connection is tried");
        self.parts.moving.candidate = Some(target);
        let window = self.parts.config.server.settings_apply_timeout;
        self.parts.moving.machine.propose(clock::boottime() + window);
        self.move_on();
        None
    }

    fn judge(&self, hash: &SettingsHash, offer: &OpAmpConnectionSettings) -> Result<Settings, String> {
        let file = &self.parts.config.server;
        let valid = self.parts.state.connection.valid.as_ref();
        let ground = Ground {
            file,
            valid,
            keys: self.keys(),
            now: i64::try_from(clock::wall_millis() / 1000).unwrap_or(i64::MAX),
            forgetful: is_in_memory(&self.parts.storage),
        };
        ground.judge(hash, digest(file), offer).map_err(|unfit| unfit.to_string())
    }

    /// Those of this host that a certificate may be for: what is asked for, what is in use.
    fn keys(&self) -> Vec<(Secret, Option<InstanceUid>)> {
        let connection = &self.parts.state.connection;
        let asked = connection.request.iter().map(|asked| (asked.key_pem.clone(), Some(asked.uid)));
        let kept = connection.valid.as_ref().and_then(|valid| valid.certificate.as_ref());
        let by = kept.and_then(|kept| kept.requested_by);
        let in_use = own_key(&over(&self.parts.config.server, connection.valid.as_ref()));
        asked.chain(in_use.map(|key| (key, by))).collect()
    }

    pub(super) fn move_on(&mut self) {
        while let Some(effect) = self.parts.moving.machine.poll_effect() {
            match effect {
                Effect::Dial(side) => self.dial(side),
                Effect::Keep => self.keep_candidate(),
                Effect::Drop { why } => self.drop_candidate(&why),
                Effect::Told => self.report_settings_status(),
            }
        }
        self.take_held_settings();
    }

    /// An offer that had to wait for the one before, or for a person to resume.
    pub(super) fn take_held_settings(&mut self) {
        if !self.parts.moving.is_settled() || self.parts.machine.is_paused() {
            return;
        }
        if let Some(offer) = self.parts.moving.held.take() {
            self.settings_offered(offer);
        }
    }

    fn dial(&mut self, side: Side) {
        let Driver { parts, .. } = self;
        let connection = &parts.state.connection;
        let (target, settings) = match (side, &parts.moving.candidate) {
            (Side::Candidate, Some(target)) => {
                (target.clone(), connection.candidate.as_ref().map(|candidate| &candidate.settings))
            }
            _ => (parts.moving.valid.clone(), connection.valid.as_ref()),
        };
        parts.client.set_heartbeat(heartbeat(settings));
        let number = parts.client.redirect(target);
        parts.moving.machine.dialled(number);
    }

    /// What held before is forgotten, in the copy of the state too (C-CS-06).
    fn keep_candidate(&mut self) {
        let Some(Candidate { settings, .. }) = self.parts.state.connection.candidate.take() else { return };
        let hash = settings.offer.clone();
        self.parts.state.connection.valid = Some(settings);
        if let Some(target) = self.parts.moving.candidate.take() {
            self.parts.moving.valid = target;
        }
        let server = self.server();
        self.parts.reloads.dials(&server);
        tracing::info!(endpoint = %server.endpoint, "the offered connection is the one from now on");
        self.certificate_terms();
        self.certificate_kept();
        self.parts.journal.forget_copy();
        self.settings_ended(&hash, Class::OpAmp, Ok(()));
    }

    /// What was not kept is forgotten as well, secrets and all.
    fn drop_candidate(&mut self, why: &str) {
        let Some(Candidate { settings, .. }) = &self.parts.state.connection.candidate else { return };
        let hash = settings.offer.clone();
        // Its secrets may be in the reason, and are known until it is gone.
        let why = self.secrets().text(why);
        self.parts.state.connection.candidate = None;
        self.parts.moving.candidate = None;
        self.parts.journal.forget_copy();
        self.settings_ended(&hash, Class::OpAmp, Err(why));
    }

    /// The file names another server, or other terms, which hold from now on.
    pub(super) fn dial_anew(&mut self, target: Target) {
        let trying = self.parts.moving.poll_timeout().is_some();
        self.parts.moving.valid = target;
        self.parts.moving.machine.abandon("server in supervisor.yaml changed meanwhile");
        if !trying {
            self.dial(Side::Valid);
        }
        self.move_on();
    }

    /// The connection that was at hand is left.
    pub(super) fn redirected(&mut self, number: u64) {
        self.certificate_server(ServerCaps::default());
        self.parts.moving.machine.arrived(number);
        self.move_on();
    }

    pub(super) fn trial_failed(&mut self, ended: Ended) {
        self.parts.moving.machine.failed(ended.why, ended.permanent);
        self.move_on();
    }

    /// A refusal in place of the first answer is one of this agent; later, of what it asked for.
    pub(super) fn trial_refused(&mut self, error: &ServerErrorResponse) {
        if self.parts.moving.is_settled() {
            return self.certificate_refused(error);
        }
        let busy = error.r#type == ServerErrorResponseType::Unavailable as i32;
        let why = format!("the server refuses this agent: {}", error.error_message);
        self.parts.moving.machine.failed(why, !busy);
        self.move_on();
    }

    pub(super) fn trial_answered(&mut self) {
        self.certificate_connected();
        self.parts.moving.machine.answered();
        self.move_on();
    }

    pub(super) fn trial_over(&mut self) {
        self.parts.moving.machine.handle_timeout(clock::boottime());
        self.move_on();
    }
}
