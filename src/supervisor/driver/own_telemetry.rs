//! Where the agent's own telemetry goes, as the server offers it: judged, tried, kept or taken back.
//!
//! ```text
//!   offer ──▶ merged over what is in force ──▶ checked beside ──▶ the Collector is run anew with it ──▶ applied
//!               │ cannot be honoured             │ refused            │ not well with it
//!               └───────────▶ failed ◀───────────┴────────────────────┘ what was before is in force again
//! ```
//!
//! The trial is the machine's, as of any other change of the host's part ([`Input::Refresh`]). One that was under
//! way when the supervisor ended was never in force: what is on disk is what proved itself.

use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::{Driver, Prepared};
use crate::{
    supervisor::{
        agent,
        check::Refusal,
        compose::ComposeError,
        journal::{Class, SettingsHash},
        machine::{Input, Layers, Refresh},
        own_telemetry::{OwnTelemetry, Rule, Store, merge, plan},
        setup,
    },
    telemetry::otlp::{Exporting, Exports},
    wire::proto::{AgentDescription, ConnectionSettingsOffers},
};

/// What is in force, and what is on its way to be.
pub(in crate::supervisor) struct Telemetry {
    pub(super) in_force: OwnTelemetry,
    store: Store,
    wanted: Option<Wanted>,
    /// A check runs beside.
    checking: bool,
    checked: (mpsc::Sender<Judged>, mpsc::Receiver<Judged>),
    /// The offer that has yet to show that the Collector is well with it.
    on_trial: Option<SettingsHash>,
    /// The offer that what is in force is from, as long as it may be taken back.
    last: Option<SettingsHash>,
    exporting: Option<Exporting>,
    /// As whom.
    described: Option<AgentDescription>,
}

/// An offer. What it makes of what is in force is only known when its turn comes.
#[derive(Debug)]
struct Wanted {
    hash: SettingsHash,
    offer: Box<ConnectionSettingsOffers>,
}

/// What a check found.
#[derive(Debug)]
pub(super) struct Judged {
    wanted: Wanted,
    telemetry: OwnTelemetry,
    prepared: Prepared,
    found: Result<(), Refusal>,
}

impl Telemetry {
    pub(in crate::supervisor) fn new(in_force: OwnTelemetry, store: Store) -> Self {
        Self {
            in_force,
            store,
            wanted: None,
            checking: false,
            checked: mpsc::channel(1),
            on_trial: None,
            last: None,
            exporting: None,
            described: None,
        }
    }

    pub(super) async fn judged(&mut self) -> Judged {
        match self.checked.1.recv().await {
            Some(judged) => judged,
            // It holds a sender itself.
            None => std::future::pending().await,
        }
    }

    /// What makes the Collector's part of what is in force.
    pub(super) fn rule(&self) -> Rule {
        Rule::new(self.in_force.clone(), self.store.dir().to_owned())
    }

    pub(super) const fn is_checking(&self) -> bool {
        self.checking
    }
}

impl Driver {
    /// Takes the classes `own_metrics`, `own_traces` and `own_logs` of an offer: what came of it, or nothing yet, in
    /// which case [`Driver::settings_ended`] is called for the class later. The newest offer wins.
    pub(super) fn telemetry_offered(
        &mut self,
        hash: &SettingsHash,
        offer: &ConnectionSettingsOffers,
    ) -> Option<Result<(), String>> {
        self.telemetry.wanted = None;
        let telemetry = match merge(&self.telemetry.in_force, offer) {
            Ok(telemetry) => telemetry,
            Err(why) => return Some(Err(why)),
        };
        if let Some(endpoint) = self.forbidden(&telemetry) {
            return Some(Err(format!("restrictions.endpoints.allow does not have {endpoint}")));
        }
        if telemetry == self.telemetry.in_force && self.telemetry.on_trial.is_none() {
            return Some(Ok(()));
        }
        self.telemetry.wanted = Some(Wanted { hash: hash.clone(), offer: Box::new(offer.clone()) });
        None
    }

    /// An endpoint to which nothing may be sent from this host.
    fn forbidden(&self, telemetry: &OwnTelemetry) -> Option<String> {
        let restrictions = self.parts.config.restrictions.as_ref()?;
        let mut outlets = telemetry.outlets();
        outlets
            .find(|outlet| !restrictions.allow_endpoint(&outlet.endpoint))
            .map(|outlet| outlet.endpoint.clone())
    }

    /// What of the server's word is followed.
    pub(super) fn telemetry_in_force(&self) -> OwnTelemetry {
        self.telemetry.in_force.allowed(&self.parts.config.capabilities)
    }

    /// The keys of the Collector's `service.telemetry` for it.
    pub(super) fn telemetry_layer(&self, telemetry: &OwnTelemetry) -> Map<String, Value> {
        let rule = Rule::new(telemetry.clone(), self.telemetry.store.dir().to_owned());
        rule.layer(&self.parts.config.capabilities)
    }

    /// Has an offer checked if there is one and nothing stands in its way.
    pub(super) fn begin_telemetry(&mut self) {
        if self.stopping || self.telemetry.checking || !self.may_change_host() {
            return;
        }
        let Some(wanted) = self.telemetry.wanted.take() else { return };
        let merged = merge(&self.telemetry.in_force, &wanted.offer);
        let made = merged.and_then(|telemetry| Ok((self.with_telemetry(&telemetry)?, telemetry)));
        let (prepared, telemetry) = match made {
            Ok(made) => made,
            Err(why) => return self.settings_ended(&wanted.hash, Class::OwnTelemetry, Err(why)),
        };
        let (checker, tell) = (self.checker(), self.telemetry.checked.0.clone());
        self.telemetry.checking = true;
        tokio::spawn(async move {
            let found = checker.judge(&prepared.composed).await;
            // The driver is gone only when everything ends.
            let _ = tell.send(Judged { wanted, telemetry, prepared, found }).await;
        });
    }

    /// The files of the config in force as they would be, with what they name in place.
    fn with_telemetry(&self, telemetry: &OwnTelemetry) -> Result<Prepared, String> {
        self.telemetry.store.put(telemetry).map_err(|error| error.to_string())?;
        let live = self.parts.machine.live().clone();
        let remote = live.as_ref().and_then(|hash| self.body_of(hash));
        let composed = self.compose_with(
            &Layers::Config(live),
            remote.as_ref(),
            self.fresh_contact(),
            &self.telemetry_layer(telemetry),
        );
        composed.map_err(|error: ComposeError| error.to_string())
    }

    /// The Collector is run with what passed its check; what did not changes nothing.
    pub(super) fn telemetry_judged(&mut self, judged: Judged) {
        self.telemetry.checking = false;
        let Judged { wanted, telemetry, prepared, found } = judged;
        if self.stopping || self.telemetry.wanted.is_some() {
            return;
        }
        if !self.may_change_host() || prepared.layers != Layers::Config(self.parts.machine.live().clone()) {
            // It was judged with what does not run any more.
            self.telemetry.wanted = Some(wanted);
            return;
        }
        if let Err(Refusal::Unfit(why) | Refusal::Unable(why)) = found {
            self.telemetry.store.keep_only(&self.telemetry.in_force);
            return self.settings_ended(&wanted.hash, Class::OwnTelemetry, Err(why));
        }
        self.before = Some(self.as_it_is());
        self.telemetry.in_force = telemetry;
        self.telemetry.on_trial = Some(wanted.hash);
        self.current = None;
        self.candidate = Some(prepared);
        self.follow_rules();
        tracing::info!("the Collector is run anew, with its own telemetry where the server wants it");
        self.tell(Input::Refresh(Refresh::Process));
    }

    /// The machine's rules, as settings and telemetry are now.
    pub(super) fn follow_rules(&mut self) {
        let telemetry = self.telemetry_in_force();
        let rules = setup::settings(&self.parts.config.agent, &self.parts.outfit.contact, &telemetry);
        self.parts.machine.reconfigure(rules);
    }

    /// What the Collector is well with is in force: kept first, told second.
    pub(super) fn conclude_telemetry(&mut self) {
        if self.telemetry.on_trial.is_none() || self.parts.machine.proves_host() {
            return;
        }
        let Some(hash) = self.telemetry.on_trial.take() else { return };
        self.telemetry.last = Some(hash.clone());
        self.parts.state.own_telemetry = self.telemetry.in_force.clone();
        self.telemetry.store.keep_only(&self.telemetry.in_force);
        self.settings_ended(&hash, Class::OwnTelemetry, Ok(()));
        self.export_anew();
    }

    /// The Collector does not do with it.
    pub(super) fn telemetry_taken_back(&mut self, before: OwnTelemetry, why: &str) {
        self.telemetry.in_force = before;
        self.parts.state.own_telemetry = self.telemetry.in_force.clone();
        let offer = self.telemetry.on_trial.take().or_else(|| self.telemetry.last.take());
        self.telemetry.store.keep_only(&self.telemetry.in_force);
        if let Some(hash) = offer {
            self.settings_ended(&hash, Class::OwnTelemetry, Err(why.to_owned()));
        }
        self.export_anew();
    }

    /// Who the agent is may have changed, and with it whose telemetry this is.
    pub(super) fn export_as(&mut self, agent: AgentDescription) {
        if self.telemetry.described.as_ref() != Some(&agent) {
            self.telemetry.described = Some(agent);
            self.export_anew();
        }
    }

    /// What the supervisor sends by the server's word; what was on its way still gets its time.
    pub(super) fn export_anew(&mut self) {
        if let Some(exporting) = self.telemetry.exporting.take() {
            tokio::spawn(exporting.finish());
        }
        let telemetry = self.telemetry_in_force();
        if telemetry.is_empty() {
            return;
        }
        let agent = self.telemetry.described.clone().unwrap_or_else(|| self.description());
        let exports = plan(&telemetry, &agent)
            .and_then(|plan| Exports::new(plan, &self.parts.instruments).map_err(|error| error.to_string()));
        match exports {
            Ok(exports) => self.telemetry.exporting = Some(exports.start()),
            Err(why) => {
                tracing::error!("the supervisor's own telemetry does not go where the server wants it: {why}")
            }
        }
    }

    pub(super) fn description(&self) -> AgentDescription {
        let super::Parts { config, state, outfit, .. } = &self.parts;
        agent::description(&config.agent, state.instance_uid, outfit.facts.as_ref(), self.said.as_ref())
    }

    /// What is left goes out, as far as that is quickly done.
    pub(super) async fn finish_exports(&mut self) {
        if let Some(exporting) = self.telemetry.exporting.take() {
            exporting.finish().await;
        }
    }
}
