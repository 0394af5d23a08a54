//! What of an offer is taken up, and in which order; what goes when it is offered no more.

use std::{collections::BTreeMap, time::Duration};

use super::{
    super::{
        policy::Rules,
        terms::{Kind, Offer, Offered, Stage, Then, Work},
    },
    AGAIN, Effect, HOLD, Packages,
    status::Transfer,
};

impl Packages {
    pub(super) fn offered(&mut self, offer: Offer, now: Duration) {
        let trial = self.record.work.as_ref().is_some_and(|work| work.stage == Stage::Trial);
        if trial || self.paused {
            self.mailbox = Some(offer);
            return;
        }
        let same = self.record.offer.as_ref().is_some_and(|known| known.says_the_same_as(&offer));
        if same {
            return self.repeated(offer, now);
        }
        self.answered = now;
        self.record.unusable.clear();
        self.record.failed.clear();
        self.again.clear();
        if let Err(why) = offer.check() {
            self.record.unusable = why.to_string();
            self.record.offer = Some(Offer { packages: BTreeMap::new(), ..offer });
            return self.effects.push_back(Effect::Changed);
        }
        let still = self.record.work.as_ref().is_some_and(|work| {
            offer.packages.get(&work.name).is_some_and(|offered| offered.is(&work.offered))
        });
        if !still && self.record.work.take().is_some() {
            self.effects.push_back(Effect::Drop { token: self.token });
            self.token.0 += 1;
        }
        self.record.offer = Some(offer);
        self.adopt();
        self.effects.push_back(Effect::Changed);
        self.next(now);
    }

    /// The same again: what failed for now is tried again, though not as often as it is said (F-51).
    pub(super) fn repeated(&mut self, offer: Offer, now: Duration) {
        // Tokens of the download may be others.
        self.record.offer = Some(offer);
        if now < self.answered + HOLD || self.record.work.is_some() {
            return self.effects.push_back(Effect::Report);
        }
        self.answered = now;
        self.record.failed.retain(|_, failed| failed.then == Then::Quarantine);
        self.effects.push_back(Effect::Changed);
        self.next(now);
    }

    /// What is held already under another name of the server's (C-PK-07).
    pub(super) fn adopt(&mut self) {
        let Some(offer) = &self.record.offer else { return };
        for (name, offered) in &offer.packages {
            if let Some(held) = self.record.held.get_mut(name)
                && held.kind == offered.kind
                && held.artefact == offered.artefact
            {
                held.hash.clone_from(&offered.hash);
            }
        }
    }

    /// The host's rules changed: what they stood in the way of may do now.
    pub(super) fn ruled(&mut self, rules: Rules, now: Duration) {
        if self.rules != rules {
            self.rules = rules;
            self.record.failed.retain(|_, failed| failed.then != Then::WaitForOffer);
            self.settled(now);
        }
    }

    /// Takes up the next package that is wanted, if nothing is at work.
    pub(super) fn next(&mut self, now: Duration) {
        while self.record.work.is_none() && !self.paused {
            let Some((name, offered)) = self.wanted() else { return self.remove_withdrawn(now) };
            match self.rules.judge(&name, &offered, &self.record, self.running.as_deref()) {
                Ok(()) => {
                    self.record.work =
                        Some(Work { name, offered, stage: Stage::Downloading, lives: 1, had: 0, made: None });
                    self.transfer = Transfer::default();
                    self.run(Stage::Downloading);
                }
                Err(failed) => {
                    self.again.remove(&name);
                    self.record.failed.insert(name, failed);
                    self.effects.push_back(Effect::Changed);
                }
            }
        }
    }

    /// The first package that is offered, not held, and has not failed.
    pub(super) fn wanted(&self) -> Option<(String, Offered)> {
        let offer = self.record.offer.as_ref()?;
        let lacks = |(name, offered): &(&String, &Offered)| {
            let held = self
                .record
                .held
                .get(*name)
                .is_some_and(|held| held.kind == offered.kind && held.artefact == offered.artefact);
            !held && !self.record.failed.contains_key(*name)
        };
        let wanted = offer.packages.iter().filter(lacks).min_by_key(|(_, offered)| offered.kind);
        wanted.map(|(name, offered)| (name.clone(), offered.clone()))
    }

    pub(super) fn remove_withdrawn(&mut self, now: Duration) {
        let Some(offer) = &self.record.offer else { return };
        if self.removals.is_some() || !self.record.unusable.is_empty() {
            return;
        }
        let gone = self
            .record
            .held
            .iter()
            .filter(|(name, held)| held.kind == Kind::AddOn && !offer.packages.contains_key(*name));
        let gone: Vec<_> = gone.map(|(name, held)| (name.clone(), held.clone())).collect();
        if !gone.is_empty() {
            self.removals = Some(now + AGAIN);
        }
        self.effects.extend(gone.into_iter().map(|(name, held)| Effect::Remove { name, held }));
    }

    pub(super) fn removed(&mut self, name: &str, is_gone: bool, now: Duration) {
        if is_gone {
            self.record.held.remove(name);
            self.effects.push_back(Effect::Changed);
        } else {
            self.removals = Some(now + AGAIN);
        }
    }
}
