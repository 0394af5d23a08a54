//! What one agent is told: everything that is wanted of it, as far as the protocol has it said now.

use jiff::Timestamp;
use url::Url;

use super::{Agent, offers, settings::Wanted};
use crate::{
    protocol::server::{AgentView, Desired, Packages, Session},
    server::identity::Register,
    wire::{
        DEFAULT_PATH, InstanceUid,
        proto::{AgentCapabilities, Header, PackagesAvailable, ServerToAgent},
    },
};

/// Where files of packages are, on the agent plane.
pub const PACKAGES_PATH: &str = "/packages";
/// Where OpAMP Commander serves OpAMP.
pub const COMMANDER_PATH: &str = "/api/v1/opamp";

/// What is told beside what is wanted of the agent alone.
#[derive(Clone, Copy)]
pub struct Telling<'a> {
    /// The custom capabilities of this server.
    pub custom: &'a [String],
    /// Makes passes for downloads, and knows where agents are told to connect.
    pub register: &'a Register,
    pub now: Timestamp,
}

impl Agent {
    /// The answer to the message that was just received.
    pub fn reply(&mut self, session: &mut Session, telling: &Telling<'_>) -> ServerToAgent {
        let reply = self.say(telling, |view, desired| session.reply(view, desired));
        self.sent(&reply, telling.now);
        reply
    }

    /// What is to be said unprompted.
    #[must_use]
    pub fn push(&mut self, session: &mut Session, telling: &Telling<'_>) -> Option<ServerToAgent> {
        let message = self.say(telling, |view, desired| session.push(view, desired))?;
        self.sent(&message, telling.now);
        Some(message)
    }

    /// Has something said with what is wanted of this agent now; of one that is held back, nothing is.
    fn say<T>(&mut self, telling: &Telling<'_>, say: impl FnOnce(&mut AgentView, &Desired<'_>) -> T) -> T {
        let (new_instance_uid, told, open) = (self.new_uid(), self.told_settings(), !self.held);
        let (uid, packages) = (self.view.instance_uid, &self.packages);
        let base = base(telling.register.advertised().or(self.reached_at.as_deref()));
        let available = || available(packages, uid, base.as_deref(), telling);
        let wanted =
            packages.all_packages_hash().filter(|_| open && (base.is_some() || !packages.lie_here()));
        let desired = Desired {
            remote_config: self.desired.as_deref().filter(|_| open),
            connection_settings: self.settings.as_ref().filter(|_| open && !told).map(Wanted::offers),
            packages: wanted.map(|all_packages_hash| Packages {
                all_packages_hash,
                available: &available,
                insistence: packages.insistence(),
            }),
            custom_capabilities: if open { telling.custom } else { &[] },
            new_instance_uid,
            ..Default::default()
        };
        say(&mut self.view, &desired)
    }

    /// Whether the agent was sent the settings that are wanted, and will never say what came of them. It may connect
    /// anew for each offer, so an offer for each connection would go on for ever.
    fn told_settings(&self) -> bool {
        let silent = !self.can(AgentCapabilities::ReportsConnectionSettingsStatus);
        silent && self.settings.as_ref().is_some_and(|wanted| wanted.offers().hash == self.sent_settings)
    }

    fn sent(&mut self, message: &ServerToAgent, now: Timestamp) {
        if let Some(settings) = &message.connection_settings {
            self.sent_settings.clone_from(&settings.hash);
        }
        if message.packages_available.is_some() {
            self.packages.sent(now);
        }
    }

    /// Whether a restart is still to be sent: it was asked for, and the agent was not started since.
    #[must_use]
    pub fn restart_due(&self) -> bool {
        let due = self.restart_pending && !self.held;
        let Some(required) = self.spec.restart_required_at.filter(|_| due) else {
            return false;
        };
        let started = self.view.report.health.as_ref().map_or(0, |health| health.start_time_unix_nano);
        // Times of restarts come to the second, so a start within that second says nothing.
        i128::from(started) < required.as_nanosecond() + 1_000_000_000
    }
}

/// A file that lies here is downloaded with a pass of its own: what the agent has besides may not be for its downloader.
fn available(
    packages: &offers::Packages,
    uid: InstanceUid,
    base: Option<&str>,
    telling: &Telling<'_>,
) -> PackagesAvailable {
    packages.available(|file| {
        let url = format!("{}{PACKAGES_PATH}/{file}", base.unwrap_or_default());
        let pass = telling.register.pass(uid, &file.0, telling.now);
        let header =
            |pass: String| Header { key: "Authorization".to_owned(), value: format!("Bearer {pass}") };
        (url, pass.map(|pass| header(pass.reveal().to_owned())).into_iter().collect())
    })
}

/// What comes before the path of a file, of the URL at which the agent reaches this server.
fn base(url: Option<&str>) -> Option<String> {
    let url = Url::parse(url?).ok()?;
    let scheme = match url.scheme() {
        "wss" | "https" => "https",
        _ => "http",
    };
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str()?),
        None => url.host_str()?.to_owned(),
    };
    let known = [COMMANDER_PATH, DEFAULT_PATH];
    let before = known.iter().find_map(|path| url.path().strip_suffix(path)).unwrap_or("");
    Some(format!("{scheme}://{host}{before}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_downloaded_from_where_the_agent_reaches_this_server() {
        for (url, expected) in [
            ("ws://10.0.0.1:4320/v1/opamp", "http://10.0.0.1:4320"),
            ("wss://opamp.example.com/v1/opamp", "https://opamp.example.com"),
            ("https://[::1]:4320/api/v1/opamp", "https://[::1]:4320"),
            ("wss://example.com/east/v1/opamp?x=1", "https://example.com/east"),
            ("https://example.com/elsewhere", "https://example.com"),
        ] {
            assert_eq!(base(Some(url)).as_deref(), Some(expected), "{url}");
        }
        assert_eq!((base(None), base(Some("nonsense"))), (None, None));
    }
}
