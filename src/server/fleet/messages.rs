//! Custom messages under way: those that wait to be sent to an agent, and the last ones that agents sent, for whoever
//! asks. In memory only, and bounded for each agent and in all.
//!
//! Whether an agent may be sent a message, and when it is sent, is decided by `server::hub`.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};

use crate::wire::{InstanceUid, proto::CustomMessage};

/// What one message may come to, in bytes, in either direction.
pub const LARGEST: usize = 1024 * 1024;
/// Messages that may wait for one agent. An agent that polls takes one with each answer.
pub const WAITING: usize = 16;
/// A message that the agent did not come for in this time is not sent any more.
pub const LATEST: SignedDuration = SignedDuration::from_mins(10);
/// Messages of one agent that are kept.
pub const KEPT: usize = 100;
/// Bytes of all agents' messages that are kept.
const KEPT_IN_ALL: usize = 64 * 1024 * 1024;
/// What a message costs beside its text.
const OVERHEAD: usize = 128;

/// A message that is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the message has {size} bytes with its capability and type; the most is {largest}")]
    TooLarge { size: usize, largest: usize },
    #[error(
        "{WAITING} messages wait for the agent already, or {LARGEST} bytes of them; try again when it took some"
    )]
    Full,
}

/// A message that an agent sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// Larger than that of every message before it, of any agent.
    pub number: u64,
    pub at: Timestamp,
    pub message: Arc<CustomMessage>,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<(Timestamp, CustomMessage)>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Kept {
    messages: VecDeque<Received>,
    bytes: usize,
}

#[derive(Debug)]
pub struct Messages {
    largest: usize,
    waiting: HashMap<InstanceUid, Waiting>,
    kept: HashMap<InstanceUid, Kept>,
    /// Whose each kept message is, oldest first.
    order: BTreeMap<u64, InstanceUid>,
    bytes: usize,
    last: u64,
}

fn size(message: &CustomMessage) -> usize {
    message.capability.len() + message.r#type.len() + message.data.len()
}

impl Messages {
    /// `last` is a number above those that an earlier run gave; `largest` what one message to an agent may have.
    #[must_use]
    pub fn new(last: u64, largest: usize) -> Self {
        Self {
            largest: largest.min(LARGEST),
            waiting: HashMap::new(),
            kept: HashMap::new(),
            order: BTreeMap::new(),
            bytes: 0,
            last,
        }
    }

    /// The number of the newest message of all.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Lets a message wait until the agent can be told.
    pub fn queue(&mut self, uid: InstanceUid, message: CustomMessage, now: Timestamp) -> Result<(), Refused> {
        let size = size(&message);
        if size > self.largest {
            return Err(Refused::TooLarge { size, largest: self.largest });
        }
        let waiting = self.waiting.entry(uid).or_default();
        if waiting.messages.len() >= WAITING || waiting.bytes + size > LARGEST {
            return Err(Refused::Full);
        }
        waiting.bytes += size;
        waiting.messages.push_back((now, message));
        Ok(())
    }

    /// The message to send next, and how many before it waited too long and are dropped.
    pub fn next(&mut self, uid: InstanceUid, now: Timestamp) -> (Option<CustomMessage>, usize) {
        let Some(waiting) = self.waiting.get_mut(&uid) else { return (None, 0) };
        let mut late = 0;
        while let Some((since, message)) = waiting.messages.pop_front() {
            waiting.bytes -= size(&message);
            if now.duration_since(since) <= LATEST {
                if waiting.messages.is_empty() {
                    self.waiting.remove(&uid);
                }
                return (Some(message), late);
            }
            late += 1;
        }
        self.waiting.remove(&uid);
        (None, late)
    }

    /// Whether anything waits for the agent.
    #[must_use]
    pub fn waits(&self, uid: InstanceUid) -> bool {
        self.waiting.contains_key(&uid)
    }

    /// Keeps what an agent sent, in the place of its own oldest ones or of the oldest of all.
    pub fn keep(&mut self, uid: InstanceUid, message: CustomMessage, now: Timestamp) -> Result<(), Refused> {
        let size = size(&message);
        if size > LARGEST {
            return Err(Refused::TooLarge { size, largest: LARGEST });
        }
        self.last += 1;
        let kept = self.kept.entry(uid).or_default();
        kept.messages.push_back(Received { number: self.last, at: now, message: Arc::new(message) });
        kept.bytes += size + OVERHEAD;
        self.bytes += size + OVERHEAD;
        self.order.insert(self.last, uid);
        while self
            .kept
            .get(&uid)
            .is_some_and(|kept| kept.messages.len() > KEPT || kept.bytes > LARGEST + OVERHEAD)
        {
            self.drop_oldest(uid);
        }
        while self.bytes > KEPT_IN_ALL
            && let Some((_, &oldest)) = self.order.first_key_value()
        {
            self.drop_oldest(oldest);
        }
        Ok(())
    }

    fn drop_oldest(&mut self, uid: InstanceUid) {
        let Some(kept) = self.kept.get_mut(&uid) else { return };
        if let Some(oldest) = kept.messages.pop_front() {
            let size = size(&oldest.message) + OVERHEAD;
            kept.bytes -= size;
            self.bytes -= size;
            self.order.remove(&oldest.number);
        }
        if kept.messages.is_empty() {
            self.kept.remove(&uid);
        }
    }

    /// What an agent sent and is still kept, after that number, oldest first.
    pub fn after(&self, uid: InstanceUid, number: u64) -> impl Iterator<Item = &Received> {
        let kept = self.kept.get(&uid).into_iter().flat_map(|kept| &kept.messages);
        kept.filter(move |received| received.number > number)
    }

    /// The agent is no more.
    pub fn forget(&mut self, uid: InstanceUid) {
        self.waiting.remove(&uid);
        let kept = self.kept.remove(&uid).unwrap_or_default();
        self.bytes -= kept.bytes;
        for received in kept.messages {
            self.order.remove(&received.number);
        }
    }

    /// The agent has another uid.
    pub fn rename(&mut self, old: InstanceUid, new: InstanceUid) {
        self.forget(new);
        if let Some(waiting) = self.waiting.remove(&old) {
            self.waiting.insert(new, waiting);
        }
        if let Some(kept) = self.kept.remove(&old) {
            self.order.extend(kept.messages.iter().map(|received| (received.number, new)));
            self.kept.insert(new, kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: InstanceUid = InstanceUid::from_bytes([1; 16]);
    const TWO: InstanceUid = InstanceUid::from_bytes([2; 16]);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn message(bytes: usize) -> CustomMessage {
        CustomMessage { capability: String::new(), r#type: String::new(), data: vec![7; bytes] }
    }

    /// What is said of the sums is so.
    fn check(messages: &Messages) {
        let all: Vec<_> = messages
            .kept
            .iter()
            .flat_map(|(uid, kept)| kept.messages.iter().map(move |m| (m.number, *uid)))
            .collect();
        assert_eq!(messages.order, all.into_iter().collect());
        let cost = |kept: &Kept| kept.messages.iter().map(|m| size(&m.message) + OVERHEAD).sum::<usize>();
        assert!(messages.kept.values().all(|kept| kept.bytes == cost(kept) && !kept.messages.is_empty()));
        assert_eq!(messages.bytes, messages.kept.values().map(|kept| kept.bytes).sum::<usize>());
        assert!(messages.bytes <= KEPT_IN_ALL);
    }

    #[test]
    fn what_waits_is_bounded_by_number_and_bytes_and_goes_out_in_order() {
        let mut messages = Messages::new(0, usize::MAX);
        for size in 0..WAITING {
            messages.queue(ONE, message(size), at(0)).unwrap();
        }
        assert_eq!(messages.queue(ONE, message(0), at(0)), Err(Refused::Full));
        messages.queue(TWO, message(LARGEST), at(0)).unwrap();
        assert_eq!(messages.queue(TWO, message(1), at(0)), Err(Refused::Full));
        let too_large = Refused::TooLarge { size: LARGEST + 1, largest: LARGEST };
        assert_eq!(messages.queue(TWO, message(LARGEST + 1), at(0)), Err(too_large));
        for size in 0..WAITING {
            assert!(messages.waits(ONE));
            assert_eq!(messages.next(ONE, at(1)), (Some(message(size)), 0));
        }
        assert!(!messages.waits(ONE));
        assert_eq!(messages.next(ONE, at(1)), (None, 0));
        messages.queue(ONE, message(1), at(1)).unwrap();
    }

    #[test]
    fn what_an_agent_did_not_come_for_is_not_sent_any_more() {
        let mut messages = Messages::new(0, usize::MAX);
        messages.queue(ONE, message(1), at(0)).unwrap();
        messages.queue(ONE, message(2), at(1)).unwrap();
        assert_eq!(messages.next(ONE, at(601)), (Some(message(2)), 1));
        messages.queue(ONE, message(3), at(0)).unwrap();
        assert_eq!(messages.next(ONE, at(700)), (None, 1));
        assert!(!messages.waits(ONE));
    }

    #[test]
    fn what_was_received_is_bounded_for_each_agent_and_in_all() {
        let mut messages = Messages::new(5, usize::MAX);
        for _ in 0..KEPT + 3 {
            messages.keep(ONE, message(1), at(0)).unwrap();
        }
        check(&messages);
        let numbers: Vec<_> = messages.after(ONE, 0).map(|received| received.number).collect();
        assert_eq!((numbers.len(), numbers[0], messages.last()), (KEPT, 9, 5 + KEPT as u64 + 3));
        assert_eq!(messages.after(ONE, messages.last() - 1).count(), 1);
        assert!(messages.keep(ONE, message(LARGEST + 1), at(0)).is_err());
        messages.keep(ONE, message(LARGEST), at(0)).unwrap();
        assert_eq!(messages.after(ONE, 0).count(), 1, "its bytes are all that one agent has");
        check(&messages);
        for last in 0..70u8 {
            messages.keep(InstanceUid::from_bytes([last; 16]), message(LARGEST), at(0)).unwrap();
        }
        check(&messages);
        assert_eq!(messages.after(InstanceUid::from_bytes([69; 16]), 0).count(), 1);
        assert_eq!(messages.after(InstanceUid::from_bytes([0; 16]), 0).count(), 0, "the oldest are gone");
    }

    #[test]
    fn messages_follow_an_agent_to_another_uid_and_go_with_it() {
        let mut messages = Messages::new(0, usize::MAX);
        messages.keep(ONE, message(1), at(0)).unwrap();
        messages.keep(TWO, message(2), at(0)).unwrap();
        messages.queue(ONE, message(3), at(0)).unwrap();
        messages.rename(ONE, TWO);
        check(&messages);
        assert_eq!(messages.after(TWO, 0).map(|m| m.message.data.len()).collect::<Vec<_>>(), [1]);
        assert!(messages.waits(TWO) && !messages.waits(ONE));
        messages.forget(TWO);
        check(&messages);
        assert!(messages.order.is_empty() && !messages.waits(TWO));
    }
}
