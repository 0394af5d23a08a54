//! Package offers go on: agents are given what it is their turn to have, when an operator changed something or an agent said
//! something of it.

use jiff::Timestamp;

use super::{Hub, State};
use crate::{
    protocol::report::{Part, Parts},
    server::{fleet::offers::Rolled, store::Change},
};

/// Whether somebody may have a turn who had none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Turns {
    #[default]
    Settled,
    Due,
}

/// Whether what an agent said may make it somebody's turn.
pub(super) fn moves_packages(changed: &Parts) -> bool {
    changed.has(Part::PackageStatuses) || changed.has(Part::Description)
}

/// Whether an operator changed what agents are offered.
pub(super) fn changes_offers(change: &Change) -> bool {
    let offer = matches!(change, Change::Offer(_) | Change::DeleteOffer(_));
    offer || matches!(change, Change::Package(_) | Change::DeletePackage(_))
}

impl Hub {
    /// Whatever agents said since the last time counts together.
    pub(super) fn take_turns(&self) {
        let mut state = self.lock();
        if std::mem::take(&mut state.turns) == Turns::Due {
            self.roll(&mut state, Timestamp::now());
        }
    }

    /// Gives each agent what it is its turn to have.
    pub(super) fn roll(&self, state: &mut State, now: Timestamp) {
        let Rolled { agents, offers } = state.fleet.roll(now);
        for key in &offers {
            if let Some(offer) = state.fleet.catalogue.offers.get(key) {
                let why = offer.conditions.last().map_or("", |condition| &condition.message);
                tracing::warn!(offer = %format!("{}/{}", key.namespace, key.name), why, "a package offer was stopped");
            }
        }
        state.stopped.extend(offers);
        for uid in agents {
            state.dirty.insert(uid);
            self.tell(uid);
            if let Some(link) = state.links.get(&uid) {
                link.wake.notify_one();
            }
        }
    }
}
