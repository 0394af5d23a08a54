//! Asking the server for a client certificate of this agent's own, and for the next one in time.

use std::time::Duration;

use super::{Driver, wall_nanos};
use crate::{
    os::clock,
    supervisor::{
        connection::{Due, due, new_key, refusal, request},
        journal::CertificateRequest,
    },
    wire::{
        ServerCaps,
        proto::{ServerCapabilities, ServerErrorResponse},
    },
};

/// After a refusal: twice as long each time.
const AGAIN: Duration = Duration::from_secs(60);
const AGAIN_AT_MOST: Duration = Duration::from_secs(3600);
/// The clock on the wall may be set: it is looked at this often.
const LOOK: Duration = Duration::from_secs(3600);

/// Where asking for a certificate stands.
#[derive(Debug, Default)]
pub(super) struct Asking {
    server: ServerCaps,
    /// On this connection; somebody may have to approve it.
    asked: bool,
    refusals: u32,
    not_before: Duration,
    /// When to look again.
    look: Option<Duration>,
    /// What stands in the way, as it was told.
    told: Option<String>,
}

impl Asking {
    pub(super) const fn poll_timeout(&self) -> Option<Duration> {
        self.look
    }
}

impl Driver {
    /// Asks if one is due, and if it can be asked for now.
    pub(super) fn look_at_certificate(&mut self) {
        self.asking.look = None;
        if !self.parts.config.server.request_certificate {
            return;
        }
        let now = clock::boottime();
        if let Some(left) = self.certificate_left() {
            if left > Duration::ZERO {
                self.asking.look = Some(now + left.min(LOOK));
            } else if now < self.asking.not_before {
                self.asking.look = Some(self.asking.not_before);
            } else if !self.asking.asked && self.away.is_none() && self.parts.moving.is_settled() {
                self.ask_for_certificate(now);
            }
        }
    }

    /// How long the one at hand is good enough; nothing where that is for ever.
    fn certificate_left(&self) -> Option<Duration> {
        let state = &self.parts.state;
        let certificate = state.connection.valid.as_ref().and_then(|valid| valid.certificate.as_ref());
        match due(certificate, state.instance_uid) {
            Due::Now => Some(Duration::ZERO),
            Due::At(at) => {
                let now = i64::try_from(clock::wall_millis() / 1000).unwrap_or(i64::MAX);
                Some(Duration::from_secs(u64::try_from(at.saturating_sub(now)).unwrap_or(0)))
            }
            Due::Never => None,
        }
    }

    fn ask_for_certificate(&mut self, now: Duration) {
        // The server says what it can do with its first answer, which may also offer another way to connect.
        if self.asking.server.is_unspecified() || self.parts.machine.is_paused() {
            return;
        }
        let takes = self.asking.server.has(ServerCapabilities::AcceptsConnectionSettingsRequest);
        let why = refusal(&self.server()).or((!takes).then_some("this server signs no certificates"));
        if let Some(why) = why {
            return self.certificate_trouble(Some(why.to_owned()));
        }
        match self.certificate_request() {
            Ok(csr) => {
                tracing::info!("the server is asked for a client certificate");
                self.asking.asked = true;
                self.parts.client.request_certificate(csr);
            }
            Err(why) => {
                self.asking.not_before = now + AGAIN;
                self.asking.look = Some(self.asking.not_before);
                self.certificate_trouble(Some(why));
            }
        }
    }

    /// The same until it is answered: a request that waits for approval is the same request over another connection
    /// and after a restart.
    fn certificate_request(&mut self) -> Result<String, String> {
        let uid = self.parts.state.instance_uid;
        let known = self.parts.state.connection.request.as_ref().filter(|known| known.uid == uid);
        if let Some(csr) = known.and_then(|known| known.csr_pem.clone()) {
            return Ok(csr);
        }
        let key_pem = match known {
            Some(known) => known.key_pem.clone(),
            None => new_key().map_err(|error| format!("no key can be made: {error}"))?,
        };
        let csr = request(&key_pem, uid).map_err(|error| format!("no request can be made: {error}"))?;
        let made = CertificateRequest { key_pem, uid, csr_pem: Some(csr.clone()) };
        let before = self.parts.state.connection.request.replace(made);
        if let Err(why) = self.save() {
            self.parts.state.connection.request = before;
            return Err(format!("the key cannot be stored: {why}"));
        }
        Ok(csr)
    }

    /// What there is to know of it, for whoever looks at the agent.
    fn certificate_trouble(&mut self, why: Option<String>) {
        self.certificate_told(why.map(|why| format!("no client certificate is asked for: {why}")));
    }

    fn certificate_told(&mut self, told: Option<String>) {
        if self.asking.told == told {
            return;
        }
        if let Some(told) = &told {
            tracing::warn!("server.client_certificate: {told}");
        }
        self.asking.told.clone_from(&told);
        self.health.remark("server.client_certificate", told, wall_nanos());
        self.report_health();
    }

    /// What is known of a server holds for its connection.
    pub(super) fn certificate_server(&mut self, server: ServerCaps) {
        self.asking.server = server;
    }

    /// Another connection: what was asked over the one before is asked again, once all that the server's first
    /// answer brings is known.
    pub(super) fn certificate_connected(&mut self) {
        self.asking.asked = false;
        self.asking.server = ServerCaps::default();
    }

    /// The server says no, most likely to the request: it is asked again later.
    pub(super) fn certificate_refused(&mut self, error: &ServerErrorResponse) {
        if !std::mem::take(&mut self.asking.asked) {
            return;
        }
        let wait = self.certificate_put_off();
        let why = self.secrets().text(&error.error_message);
        let told = format!("the server refused to sign one, it is asked again in {wait:?}: {why}");
        self.certificate_told(Some(told));
    }

    /// What was offered is of no use. If it came of the request, the next one must be another, not made at once.
    pub(super) fn certificate_useless(&mut self) {
        if let Some(asked) = &mut self.parts.state.connection.request {
            asked.csr_pem = None;
            self.certificate_put_off();
        }
    }

    fn certificate_put_off(&mut self) -> Duration {
        let wait = AGAIN.saturating_mul(1 << self.asking.refusals.min(10)).min(AGAIN_AT_MOST);
        self.asking.refusals = self.asking.refusals.saturating_add(1);
        self.asking.not_before = clock::boottime() + wait;
        wait
    }

    /// Other terms hold: what was refused under those before may be granted now.
    pub(super) const fn certificate_terms(&mut self) {
        self.asking.refusals = 0;
        self.asking.not_before = Duration::ZERO;
    }

    /// One that was asked for is in use.
    pub(super) fn certificate_kept(&mut self) {
        let connection = &mut self.parts.state.connection;
        let kept = connection.valid.as_ref().and_then(|valid| valid.certificate.as_ref());
        if let Some(kept) = kept
            && connection.request.take_if(|asked| asked.key_pem == kept.key_pem).is_some()
        {
            self.asking.refusals = 0;
            self.asking.asked = false;
            self.certificate_trouble(None);
        }
    }
}
