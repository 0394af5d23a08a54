//! What can happen, and what the machine is told about it.

use super::{Checked, Driver, own_telemetry::Judged, packages::Told, succession::Examined, wall_nanos};
use crate::{
    collector::components::Components,
    os::{child::Exit, clock, reaper, signals::Received},
    protocol::client::Event,
    supervisor::{
        control::Asked,
        health::condition,
        local::{Heard, Word},
        machine::Input,
        record,
        reload::{Cause, Found},
    },
    telemetry::otlp::Direction,
    transport::client::{Ended, Notice},
    wire::proto::{AvailableComponents, CustomMessage},
};

#[derive(Debug)]
pub(super) enum Happening {
    Signal(Received),
    Exited(Exit),
    Heard(Heard),
    Checked(Checked),
    Notice(Notice),
    /// An administrator on this host asks for something.
    Asked(Asked),
    /// `supervisor.yaml` was written.
    Written,
    /// It was read again.
    Reread(Found),
    /// What listens on this host was looked up.
    ServicesFound(CustomMessage),
    /// Offered telemetry settings were checked.
    TelemetryJudged(Box<Judged>),
    /// A package got further.
    Package(Told),
    /// A package that was put off is tried again.
    PackagesDue,
    /// A config waited long enough for another Collector.
    ConfigWaited,
    /// Whether another supervisor may take the place of this one.
    Examined(Box<Examined>),
    Timer,
    /// The time of a supervisor on trial, or for one to take over, is up.
    SuccessionDue,
    /// An offered connection had its time.
    TrialOver,
    /// It is time to look at the client certificate.
    CertificateDue,
    /// What could not be written is tried again.
    SaveAgain,
    /// A Collector that runs is not as it should be, or is again.
    LookAround,
    /// The watchdog wants to hear from the main loop.
    SignOfLife,
}

impl Driver {
    pub(super) async fn happened(&mut self, happening: Happening) {
        match happening {
            Happening::Signal(signal) => self.signalled(signal),
            Happening::Exited(exit) => {
                self.bury(exit).await;
                reap_strangers();
            }
            Happening::Heard(heard) => self.heard(heard),
            Happening::Checked(Checked { token, verdict }) => self.tell(Input::Checked { token, verdict }),
            Happening::Notice(notice) => self.noticed(notice),
            Happening::Asked(asked) => self.requested(asked).await,
            Happening::Written => self.want_reload(Cause::File),
            Happening::Reread(found) => self.reload_found(found),
            Happening::ServicesFound(answer) => self.services_found(answer),
            Happening::TelemetryJudged(judged) => self.telemetry_judged(*judged),
            Happening::Timer => self.parts.machine.handle_timeout(clock::boottime()),
            Happening::TrialOver => self.trial_over(),
            Happening::Package(told) => self.packages_told(told),
            Happening::PackagesDue => self.packages_timeout(),
            Happening::Examined(found) => self.examined(*found),
            // The main loop looks each time it turns.
            Happening::CertificateDue | Happening::ConfigWaited | Happening::SuccessionDue => {}
            Happening::SaveAgain => self.save_again(),
            Happening::LookAround => self.look_around(),
            Happening::SignOfLife => self.announcer.alive(),
        }
    }

    fn signalled(&mut self, signal: Received) {
        match signal {
            Received::Terminate | Received::Interrupt if self.stopping => self.tell(Input::Hurry),
            Received::Terminate | Received::Interrupt => {
                tracing::info!("stopping the Collector");
                self.stopping = true;
                self.announcer.stopping();
                self.tell(Input::Shutdown);
            }
            Received::Hangup => self.want_reload(Cause::Signal),
            Received::ChildEnded => reap_strangers(),
        }
    }

    fn heard(&mut self, Heard { generation, session, word }: Heard) {
        if generation != self.generation {
            return;
        }
        if !matches!(word, Word::Gone { .. } | Word::Silent { .. }) {
            self.word_came();
        }
        match word {
            Word::Health(health) => {
                let condition = condition(&health);
                let well = condition.well;
                self.health.said(health, wall_nanos());
                self.report_health();
                self.tell(Input::Reported { generation, session, condition });
                if well {
                    self.ask_effective_config(generation, session);
                }
            }
            Word::Description(description) => {
                self.look_at_version(&description);
                self.said = Some(description);
                self.describe();
            }
            Word::EffectiveConfig(config) => self.report_effective_config(config),
            Word::Components(components) => self.learn_components(&components),
            Word::CustomCapabilities(said) => self.collector_customizes(session, said),
            Word::Custom(message) => self.custom_of_collector(message),
            Word::Silent { why } => {
                tracing::error!("the Collector {why}; it is stopped and started again");
                self.tell(Input::Silent { generation, why });
            }
            Word::Gone { goodbye } => {
                tracing::debug!(goodbye, "the Collector's opamp extension hung up");
                self.collector_left(session);
                self.expect_another_word();
            }
        }
    }

    /// The extension's own list is joined with what the binary said: either may leave out an alias. The join is
    /// kept, so that the next start says it at once.
    fn learn_components(&mut self, said: &AvailableComponents) {
        let mut all = Components::from_wire(said);
        if let Some(known) = &self.parts.components {
            all.merge(known.clone());
            all.complete = known.complete;
        }
        if self.parts.components.as_ref() == Some(&all) {
            return;
        }
        if let Some(facts) = &mut self.parts.outfit.facts {
            facts.components = all.clone();
            record::learn_more(&mut self.parts.state, facts);
            self.save_or_later();
        }
        self.parts.components = Some(all);
        self.report_components();
    }

    fn noticed(&mut self, notice: Notice) {
        match notice {
            // Whoever listens there has yet to answer.
            Notice::Connected => tracing::debug!("there is a connection to the server"),
            Notice::Disconnected(ended) => {
                self.disconnected(ended.clone());
                self.trial_failed(ended);
            }
            Notice::Redirected(number) => self.redirected(number),
            Notice::Event(event) => self.asked(event),
        }
    }

    /// The same reason is told once, not at every attempt.
    fn disconnected(&mut self, ended: Ended) {
        let Ended { why, permanent, again_in } = ended;
        if self.away.as_ref() == Some(&why) {
            return tracing::debug!("still not connected to the server: {why}");
        }
        let again = again_in.map_or_else(String::new, |wait| format!(" in {} s", wait.as_secs().max(1)));
        if permanent {
            let offered = self.parts.state.connection.valid.is_some();
            let offered = if offered {
                " (what is used was offered by the server; what stands in server, once changed, such as another \
                 token in server.headers, takes its place)"
            } else {
                ""
            };
            tracing::warn!(
                "not connected to the server: {why}{offered}; tried again{again}, and at once when supervisor.yaml or \
                 a file of server.tls changes"
            );
        } else {
            tracing::warn!("not connected to the server, trying again{again}: {why}");
        }
        self.server_changed(Some(why));
    }

    /// What the server asks for.
    fn asked(&mut self, event: Event) {
        match event {
            Event::RemoteConfig(offer) => self.offered(offer),
            Event::Restart if self.parts.machine.is_paused() => {
                tracing::warn!(
                    "management is paused on the host: a restart command of the server is ignored"
                );
            }
            Event::Restart => {
                tracing::info!("the server asks for a restart of the Collector");
                self.tell(Input::Restart);
            }
            Event::InstanceUid(uid) => {
                tracing::info!(%uid, "the server gave this agent another instance uid");
                self.parts.state.instance_uid = uid;
                self.save_or_later();
                self.describe();
                // Both were composed for the uid before.
                self.current = None;
                self.candidate = None;
                self.tell(Input::Restart);
            }
            Event::Refused(error) => {
                tracing::warn!(reason = %error.error_message, "the server refused a message");
                self.trial_refused(&error);
            }
            Event::Ignored(why) => tracing::warn!("a message of the server is ignored: {why}"),
            Event::ServerCapabilities(caps) => {
                tracing::debug!(?caps, "the server's capabilities");
                self.certificate_server(caps);
            }
            Event::Synced => {
                tracing::info!(endpoint = %self.server().endpoint, "connected to the server");
                self.server_changed(None);
                self.tell(Input::ServerReached);
                self.successor_proven();
                self.trial_answered();
            }
            Event::ConnectionSettings(offer) => self.settings_offered(*offer),
            Event::NotSent(why) => self.not_passed(Direction::ToServer, &why.to_string()),
            Event::NoRequests(why) => tracing::warn!("no certificate is asked for: {why}"),
            Event::CustomCapabilities(said) => self.server_customizes(said),
            Event::CustomMessage(message) => self.custom_of_server(message),
            Event::Packages(offered) => self.packages_offered(offered),
        }
    }
}

/// Orphans whose parent died become ours; nobody else takes their status (F-86).
fn reap_strangers() {
    if let Err(error) = reaper::reap_strangers() {
        tracing::warn!(%error, "ended orphans could not be reaped");
    }
}
