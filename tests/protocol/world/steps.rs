//! What happens when something arrives, is lost, or goes wrong on purpose.

use super::*;
use opamp::wire::proto::RemoteConfigStatuses;

impl World {
    pub(super) fn dialled(&mut self, connection: u64, failed: Option<Retry>) {
        if self.connection.number != connection {
            return;
        }
        let now = self.now;
        let gone = !self.server.up && self.options.link == Link::WebSocket;
        let Some(client) = &mut self.agent.client else { return };
        match failed.or(gone.then_some(Retry::Failed)) {
            Some(why) => client.disconnected(why, now),
            None => {
                client.connected(now);
                self.agent.rules.connected();
                self.connection.standing = true;
            }
        }
    }

    pub(super) fn server_hears(
        &mut self,
        connection: u64,
        id: u64,
        sent: Duration,
        message: AgentToServer,
    ) -> Result<(), String> {
        if !self.server.up {
            return Ok(());
        }
        let mood = match self.random.below(100) {
            0 if self.unlucky() => Mood::Overloaded,
            1 if self.unlucky() => Mood::Refusing,
            _ if self.unlucky() && self.random.percent(10) => Mood::Refusing,
            _ => Mood::Well,
        };
        self.server.repeat_offer = self.planted(Plant::RepeatedOffer);
        let Some(reply) = self.server.hears(connection, message, sent, mood)? else { return Ok(()) };
        self.say(|| format!("server answers #{id} {reply:?}"));
        self.counts.offers += u64::from(reply.remote_config.is_some());
        self.counts.settings += u64::from(reply.connection_settings.is_some());
        self.server_heard()?;
        self.counts.refusals += u64::from(reply.error_response.is_some());
        self.counts.full_states += reply.flags & ServerToAgentFlags::ReportFullState as u64;
        self.down(connection, Some(id), reply);
        Ok(())
    }

    pub(super) fn agent_hears(&mut self, connection: u64, answers: Option<u64>, message: ServerToAgent) {
        let here = self.connection.number == connection && self.connection.standing && !self.connection.cut;
        let Some(client) = &mut self.agent.client else { return };
        if !here || (self.options.link == Link::Http && self.connection.exchange != answers) {
            return;
        }
        self.connection.exchange = None;
        self.agent.rules.hears(answers, &message, client.instance_uid());
        self.server.delivered(&message, self.now);
        client.received(message, self.now);
    }

    pub(super) fn agent_loses(&mut self, connection: u64, exchange: Option<u64>) {
        let current = self.connection.number == connection && self.connection.standing;
        if !current || (exchange.is_some() && self.connection.exchange != exchange) {
            return;
        }
        self.connection = Connection::default();
        let why = if exchange.is_some() { Retry::Unanswered } else { Retry::Lost };
        self.agent.disconnected(why, self.now);
    }

    pub(super) fn mischief(&mut self) {
        if self.calm() {
            return;
        }
        match self.random.below(30) {
            24.. => self.asking(),
            0..=5 | 16.. => {
                for _ in 0..=self.random.below(3) {
                    let parts = Part::ALL;
                    let index = usize::try_from(self.random.below(parts.len() as u64)).unwrap_or(0);
                    self.agent.change(parts[index]);
                }
            }
            6 | 7 => {
                let number = self.random.below(20);
                self.server.want(number);
            }
            8 => self.server.flush(),
            9 => self.server_stops(true),
            10 => self.server_stops(false),
            11 => self.agent_stops(),
            12 => {
                let now = self.now;
                self.agent.client.as_mut().into_iter().for_each(|client| client.shutdown(now));
                // What the goodbye breaks, the next message of this connection shows.
                if self.perform_effects().is_ok() {
                    self.agent_stops();
                }
            }
            13 => self.cut(),
            14 => {
                let mut bytes = [2; 16];
                bytes[..8].copy_from_slice(&self.random.next().to_be_bytes());
                self.server.new_uid = Some(InstanceUid::from_bytes(bytes));
            }
            _ => self.toggle_capability(),
        }
        let wait = self.random.millis(1, self.options.pace);
        self.after(wait, Happening::Mischief);
    }

    fn toggle_capability(&mut self) {
        let bit = AgentCapabilities::ReportsHealth;
        let caps = self.agent.caps;
        self.agent.caps = if caps.has(bit) { caps.without(bit) } else { caps.with(bit) };
        self.agent.rules.capabilities_changed();
        let caps = self.agent.caps;
        self.agent.client.as_mut().into_iter().for_each(|client| client.set_capabilities(caps));
    }

    fn server_stops(&mut self, with_state: bool) {
        if !self.server.up {
            return;
        }
        self.cut();
        self.server.stop();
        let wait = self.random.millis(100, 20_000);
        self.after(wait, Happening::ServerStarts { with_state });
    }

    fn agent_stops(&mut self) {
        if self.agent.client.is_none() {
            return;
        }
        self.agent.stop();
        self.close();
        // A request that outlives its process and happens to carry the number that its successor uses next
        // cannot be told from it: the protocol has no mark of an incarnation.
        if self.options.link == Link::Http {
            self.queue.retain(|_, happening| !matches!(happening, Happening::ToServer { .. }));
        }
        let wait = self.random.millis(100, 5_000);
        self.after(wait, Happening::AgentStarts);
    }

    /// Work on a config that the last incarnation began.
    pub(super) fn resume_work(&mut self) {
        let status =
            self.agent.client.as_ref().and_then(|client| client.report().remote_config_status.clone());
        if let Some(status) = status
            && status.status == RemoteConfigStatuses::Applying as i32
        {
            let (incarnation, hash) = (self.agent.incarnation, status.last_remote_config_hash);
            self.after(Duration::from_secs(1), Happening::Applied { incarnation, hash, well: true });
        }
    }

    /// The server's view equals what the agent would say.
    pub(super) fn check_convergence(&self) -> Result<(), String> {
        let Some(client) = &self.agent.client else { return Err("the agent is not there".into()) };
        let Some(view) = &self.server.view else { return Err("the server knows no agent".into()) };
        if view.instance_uid != client.instance_uid() {
            return Err("the server does not know the agent's uid".into());
        }
        let parts = Parts::of_agent(self.agent.caps).and(self.server.takes()).and(client.report().present());
        for part in parts.iter() {
            let mut one = Parts::NONE;
            one.insert(part);
            let (mut said, mut known) = (AgentToServer::default(), AgentToServer::default());
            client.report().copy_into(one, &mut said);
            view.report.copy_into(one, &mut known);
            if said != known {
                return Err(format!(
                    "the server does not know the agent's {part:?}: {known:?}, not {said:?}"
                ));
            }
        }
        if parts.has(Part::AvailableComponents)
            && view.report.available_components != client.report().available_components
        {
            return Err("the server does not know the agent's components in full (S-AC-01)".into());
        }
        self.check_asks(client)?;
        let status = client.report().remote_config_status.as_ref();
        let hash = status.map(|status| &status.last_remote_config_hash);
        match &self.server.wanted {
            Some(wanted) if hash != Some(&wanted.config_hash) => {
                Err(format!("the agent does not know the wanted config: {status:?}, not {wanted:?}"))
            }
            Some(_) if view.sequence_num.is_none() => {
                Err("the server does not know that it knows all".into())
            }
            _ => Ok(()),
        }
    }
}
