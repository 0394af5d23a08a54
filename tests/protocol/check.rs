//! What must hold, judged from outside: by what crossed the network and what the owner of the agent did.

use std::{fmt, ops::AddAssign, time::Duration};

use opamp::{
    protocol::{
        client::{DEFAULT_HEARTBEAT, Link},
        report::{Part, Parts, carried},
    },
    wire::{
        InstanceUid,
        proto::{AgentToServer, ServerErrorResponseType, ServerToAgent, ServerToAgentFlags},
    },
};

/// A rule that was broken, and when.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) at: Duration,
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:?}: {}", self.at, self.what)
    }
}

/// How often the runs met what they are about.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) messages: u64,
    pub(crate) losses: u64,
    pub(crate) full_states: u64,
    pub(crate) offers: u64,
    pub(crate) agent_restarts: u64,
    pub(crate) server_restarts: u64,
    pub(crate) new_uids: u64,
    pub(crate) refusals: u64,
    pub(crate) settings: u64,
    pub(crate) custom: u64,
    pub(crate) certificates: u64,
    pub(crate) wishes_for_uid: u64,
}

impl Counts {
    pub(crate) fn is_broad(&self) -> bool {
        let each = [
            self.messages,
            self.losses,
            self.full_states,
            self.offers,
            self.agent_restarts,
            self.server_restarts,
            self.new_uids,
            self.refusals,
            self.settings,
            self.custom,
            self.certificates,
            self.wishes_for_uid,
        ];
        each.iter().all(|count| *count >= 100)
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.losses += other.losses;
        self.full_states += other.full_states;
        self.offers += other.offers;
        self.agent_restarts += other.agent_restarts;
        self.server_restarts += other.server_restarts;
        self.new_uids += other.new_uids;
        self.refusals += other.refusals;
        self.settings += other.settings;
        self.custom += other.custom;
        self.certificates += other.certificates;
        self.wishes_for_uid += other.wishes_for_uid;
    }
}

/// The rules of what one incarnation of an agent sends.
#[derive(Debug)]
pub(crate) struct AgentRules {
    link: Link,
    /// Parts with a reason to be sent.
    owed: Parts,
    /// A reason to send, be there a part or not.
    may_speak: bool,
    components_asked: bool,
    former_uid: Option<InstanceUid>,
    last_sequence_num: u64,
    last_sent: Duration,
    /// Messages of this connection without an answer yet.
    unanswered: Vec<(u64, Parts)>,
}

impl AgentRules {
    pub(crate) fn new(link: Link) -> Self {
        Self {
            link,
            owed: Parts::ALL,
            may_speak: false,
            components_asked: false,
            former_uid: None,
            last_sequence_num: 0,
            last_sent: Duration::ZERO,
            unanswered: Vec::new(),
        }
    }

    pub(crate) fn changed(&mut self, part: Part) {
        self.owed.insert(part);
    }

    pub(crate) fn connected(&mut self) {
        self.former_uid = None;
        self.may_speak = true;
    }

    pub(crate) fn capabilities_changed(&mut self) {
        self.may_speak = true;
    }

    /// It wants something of the server.
    pub(crate) fn may_ask(&mut self) {
        self.may_speak = true;
    }

    /// No answer came over plain HTTP; it may have asked for everything.
    pub(crate) fn unanswered(&mut self) {
        self.unanswered.clear();
        self.owed = Parts::ALL;
    }

    /// What was sent and not answered may be lost.
    pub(crate) fn lost(&mut self) {
        for (_, parts) in self.unanswered.drain(..) {
            self.owed = self.owed.or(parts);
        }
    }

    pub(crate) fn sends(&mut self, id: u64, message: &AgentToServer, now: Duration) -> Result<(), String> {
        self.last_sequence_num += 1;
        if message.sequence_num != self.last_sequence_num {
            let expected = self.last_sequence_num;
            return Err(format!("sequence_num {} instead of {expected} (C-SQ-01)", message.sequence_num));
        }
        if self.link == Link::Http && !self.unanswered.is_empty() {
            return Err("a second HTTP request in flight (C-HT-05)".into());
        }
        let parts = carried(message);
        if let Some(part) = parts.minus(self.owed).iter().next() {
            return Err(format!("{part:?} sent without need (C-SQ-03)"));
        }
        let full = message.available_components.as_ref().is_some_and(|part| !part.components.is_empty());
        if full && !std::mem::take(&mut self.components_asked) {
            return Err("the components in full, unasked (C-AC-04)".into());
        }
        let beat = now >= self.last_sent + DEFAULT_HEARTBEAT;
        let asks = message.custom_message.is_some() || message.connection_settings_request.is_some();
        if parts.is_empty() && !asks && !self.may_speak && !beat && message.agent_disconnect.is_none() {
            return Err("a message that says nothing, before its time (C-HB-09, C-SQ-13)".into());
        }
        self.may_speak = false;
        self.owed = self.owed.minus(parts);
        self.last_sent = now;
        self.unanswered.push((id, parts));
        Ok(())
    }

    /// A message from the server reaches the agent with this uid.
    pub(crate) fn hears(&mut self, answers: Option<u64>, message: &ServerToAgent, uid: InstanceUid) {
        let mut own = [Some(uid), self.former_uid].into_iter().flatten();
        if !own.any(|uid| message.instance_uid == uid.as_bytes()) {
            if self.link == Link::Http {
                self.lost();
            }
            return;
        }
        if let Some(error) = &message.error_response {
            if error.r#type == ServerErrorResponseType::Unavailable as i32 {
                self.lost();
            } else {
                self.unanswered.clear();
            }
            return;
        }
        self.unanswered.retain(|(id, _)| Some(*id) != answers);
        let new_uid = message.agent_identification.as_ref();
        let renamed = new_uid.is_some_and(|new| new.new_instance_uid != uid.as_bytes());
        if renamed {
            self.former_uid = Some(uid);
        }
        if renamed || message.flags & ServerToAgentFlags::ReportFullState as u64 != 0 {
            self.owed = Parts::ALL;
            self.may_speak = true;
        }
        if message.flags & ServerToAgentFlags::ReportAvailableComponents as u64 != 0 {
            self.owed.insert(Part::AvailableComponents);
            self.components_asked = true;
        }
    }
}

/// The rules of what one server session offers: configs, or connection settings.
#[derive(Debug)]
pub(crate) struct OfferRules {
    what: &'static str,
    offered: Option<Vec<u8>>,
    /// The newest offer reached the agent at this time.
    delivered: Option<Duration>,
}

impl OfferRules {
    pub(crate) const fn of(what: &'static str) -> Self {
        Self { what, offered: None, delivered: None }
    }

    /// A new status that names another hash than the wanted one.
    pub(crate) fn contradicted(&mut self) {
        self.offered = None;
    }

    pub(crate) fn delivered(&mut self, hash: &[u8], now: Duration) {
        if self.offered.as_deref() == Some(hash) {
            self.delivered.get_or_insert(now);
        }
    }

    /// `asked`: when the request that this answers was sent, over plain HTTP.
    pub(crate) fn offers(&mut self, hash: &[u8], asked: Option<Duration>) -> Result<(), String> {
        let again = self.offered.as_deref() == Some(hash);
        let excused = asked.is_some_and(|asked| self.delivered.is_none_or(|at| asked < at));
        if again && !excused {
            return Err(format!("{} {hash:?} offered again (S-RC-03, S-CS-07)", self.what));
        }
        if !again {
            *self = Self { offered: Some(hash.to_vec()), ..Self::of(self.what) };
        }
        Ok(())
    }
}
