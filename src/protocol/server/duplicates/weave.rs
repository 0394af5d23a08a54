//! Plain HTTP under one uid: which of two agents a message is of, by its sequence number, and by where it came
//! from and when its sender started, where that is known.

/// Changes back and forth between two streams after which there are two agents.
const CHANGES: u8 = 3;
/// The same when both count much alike, so that one agent over a bad network looks nearly the same.
const CHANGES_ALIKE: u8 = 8;
/// A message this far below the first of the newer stream may be one that was late; numbers this close are alike.
const LATE: u64 = 8;

/// What is seen of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Of the message.
    pub sequence_num: u64,
    /// The same for the same address.
    pub peer: u64,
    /// When the agent started, where the message tells.
    pub started: Option<u64>,
}

/// Whose a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Nothing says that there are two agents.
    Only,
    /// There are two, and this is of the one that was there first.
    Older,
    /// There are two, and this is of the one that came later.
    Newer,
}

/// One run of numbers.
#[derive(Clone, Copy, Debug)]
struct Track {
    first: u64,
    last: Seen,
}

/// What was heard under one uid over plain HTTP.
#[derive(Clone, Debug, Default)]
pub struct Weave {
    older: Option<Track>,
    newer: Option<Track>,
    /// The stream of the last message is the newer one.
    at_newer: bool,
    /// Changes between streams that cannot be mistaken for each other, and between those that can.
    changes: u8,
    changes_alike: u8,
}

impl Weave {
    /// Takes in a message, and says whose it is.
    pub fn observe(&mut self, seen: Seen) -> Stream {
        let fits = |track: Option<Track>, current: bool| track.and_then(|track| track.fits(seen, current));
        let older = fits(self.older, !self.at_newer);
        let newer = fits(self.newer, self.at_newer);
        if older.is_none() && newer.is_none() {
            self.begin(seen);
            return Stream::Only;
        }
        let is_newer = newer > older;
        let late = !is_newer
            && self.newer.is_some_and(|newer| {
                seen.sequence_num < newer.first && newer.first - seen.sequence_num <= LATE
            });
        let changed = is_newer != self.at_newer && !late;
        self.at_newer = is_newer;
        let track = if is_newer { &mut self.newer } else { &mut self.older };
        if let Some(track) = track {
            track.last = Seen { started: seen.started.or(track.last.started), ..seen };
        }
        if changed {
            self.count();
        }
        match (self.proven(), is_newer) {
            (false, _) => Stream::Only,
            (true, false) => Stream::Older,
            (true, true) => Stream::Newer,
        }
    }

    /// A run that continues neither of those known: an agent that started anew or lost something, or another one.
    fn begin(&mut self, seen: Seen) {
        let current = if self.at_newer { self.newer } else { self.older };
        let track = Some(Track { first: seen.sequence_num, last: seen });
        *self = match current {
            None => Self { older: track, ..Self::default() },
            Some(_) => Self { older: current, newer: track, at_newer: true, ..Self::default() },
        };
    }

    fn count(&mut self) {
        let (Some(older), Some(newer)) = (self.older, self.newer) else { return };
        let alike = older.last.sequence_num.abs_diff(newer.last.sequence_num) <= LATE;
        let changes = match older.last.started.zip(newer.last.started) {
            // No two agents start at the same nanosecond.
            Some((older, newer)) if older == newer => return,
            None if alike => &mut self.changes_alike,
            Some(_) | None => &mut self.changes,
        };
        *changes = changes.saturating_add(1);
    }

    fn proven(&self) -> bool {
        self.changes >= CHANGES || self.changes_alike >= CHANGES_ALIKE
    }
}

impl Track {
    /// How well a message continues this run; more is better.
    fn fits(&self, seen: Seen, current: bool) -> Option<(i8, bool, bool, bool)> {
        let last = self.last;
        let start = match (last.started, seen.started) {
            (Some(known), Some(said)) if known == said => 1,
            (Some(_), Some(_)) => -1,
            _ => 0,
        };
        let follows = seen.sequence_num == last.sequence_num.wrapping_add(1);
        let peer = seen.peer == last.peer;
        let repeated = current && seen.sequence_num == last.sequence_num && peer && start >= 0;
        let further = start == 1 && seen.sequence_num > last.sequence_num;
        (follows || repeated || further).then_some((start, follows, peer, current))
    }
}
