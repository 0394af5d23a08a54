//! A download that ends: what to ask for next, what an answer means, when to give up. Without sockets and clock.
//!
//! ```text
//!   Ready ──ask──▶ Asked ──200, 206──▶ Reading ──all is there──▶ Complete
//!     ▲              │ 3xx: ask there     │ cut, slow, silent
//!     │              │ 5xx, 429, broke    ▼
//!     └──time is up── Waiting ◀───────────┘            another answer, ten tries, two hours ──▶ Failed
//! ```
//!
//! What came stays: the next request asks for the rest (`Range`), on condition that it is the rest of the same (`If-Range`).
//! Whatever does not fit starts over. The caller writes what is read to one file, in order, and empties it when it is told
//! to; it gives each [`Fetch`] the time since any fixed moment.

mod range;
mod rules;
mod terms;
#[cfg(test)]
mod tests;

use std::time::Duration;

use range::ContentRange;
pub use rules::{Network, Rules};
pub use terms::{Action, Answer, FetchError, Get, Part, Wanted};
use url::Url;

use crate::protocol::backoff::{Backoff, Retry};

/// Attempts that bring nothing worth counting.
const TRIES: u32 = 10;
/// So much makes an attempt one that brought something.
const PROGRESS: u64 = 16 * 1024;
/// All in all.
const WITHIN: Duration = Duration::from_secs(2 * 3600);
/// For an answer, and between two reads.
const SILENCE: Duration = Duration::from_secs(30);
/// Over a [`WINDOW`], fewer bytes a second than this are as good as silence.
const LEAST_RATE: u64 = 1024;
const WINDOW: Duration = Duration::from_secs(60);
const REDIRECTS: u32 = 5;

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Asked { until: Duration },
    Reading { heard: Duration, window: Duration, in_window: u64, fresh: u64 },
    Waiting { until: Duration },
    Complete,
    Failed(FetchError),
}

/// The machine. See the module's diagram.
#[derive(Debug)]
pub struct Fetch {
    wanted: Wanted,
    rules: Rules,
    part: Part,
    phase: Phase,
    /// Where redirects led.
    at: Url,
    hops: u32,
    tries: u32,
    began: Duration,
    backoff: Backoff,
    actions: std::collections::VecDeque<Action>,
}

impl Fetch {
    /// A download that goes on from a part, or begins with none.
    #[must_use]
    pub fn new(wanted: Wanted, rules: Rules, part: Part, seed: u64, now: Duration) -> Self {
        let at = wanted.url.clone();
        let mut fetch = Self {
            wanted,
            rules,
            part,
            phase: Phase::Waiting { until: now },
            at,
            hops: 0,
            tries: 0,
            began: now,
            backoff: Backoff::new(seed).up_to(Duration::from_secs(300)),
            actions: std::collections::VecDeque::new(),
        };
        if fetch.part.have > 0 && (fetch.part.etag.is_none() || fetch.part.have > fetch.most()) {
            fetch.start_over();
        }
        fetch.ask(now);
        fetch
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// How it ended: all bytes are in the file, or there will be none.
    #[must_use]
    pub const fn ended(&self) -> Option<Result<(), &FetchError>> {
        match &self.phase {
            Phase::Complete => Some(Ok(())),
            Phase::Failed(why) => Some(Err(why)),
            _ => None,
        }
    }

    /// Bytes that are there, and how many there will be if that is known.
    #[must_use]
    pub fn progress(&self) -> (u64, Option<u64>) {
        (self.part.have, self.wanted.size.or(self.part.total))
    }

    /// Whether a connection to this address may be used; asked once it is known, before anything is sent.
    pub fn connects_to(&self, address: std::net::IpAddr) -> Result<(), FetchError> {
        self.rules.address(self.at.host_str().unwrap_or_default(), address)
    }

    /// A connection was not to be used, or the request could not be made as it stands.
    pub fn refused(&mut self, why: FetchError) {
        self.fail(why);
    }

    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let next = match &self.phase {
            Phase::Asked { until } | Phase::Waiting { until } => *until,
            Phase::Reading { heard, window, .. } => (*heard + SILENCE).min(*window + WINDOW),
            Phase::Complete | Phase::Failed(_) => return None,
        };
        Some(next.min(self.began + WITHIN))
    }

    pub fn handle_timeout(&mut self, now: Duration) {
        match &self.phase {
            Phase::Complete | Phase::Failed(_) => {}
            _ if now >= self.began + WITHIN => {
                self.actions.push_back(Action::Hang);
                self.fail(FetchError::Late { last: "time is up".to_owned() });
            }
            Phase::Waiting { until } if now >= *until => self.ask(now),
            Phase::Asked { until } if now >= *until => self.cut("no answer within 30 s", now),
            Phase::Reading { heard, .. } if now >= *heard + SILENCE => self.cut("no byte for 30 s", now),
            Phase::Reading { window, in_window, fresh, heard } if now >= *window + WINDOW => {
                if *in_window < LEAST_RATE * WINDOW.as_secs() {
                    self.cut("less than 1 KiB/s for a minute", now);
                } else {
                    self.phase = Phase::Reading { heard: *heard, window: now, in_window: 0, fresh: *fresh };
                }
            }
            _ => {}
        }
    }

    /// The head of an answer; says whether its body is to be read.
    pub fn answered(&mut self, answer: &Answer, now: Duration) -> bool {
        if !matches!(self.phase, Phase::Asked { .. }) {
            return false;
        }
        match answer.status {
            200 => self.whole(answer),
            206 => self.rest(answer),
            416 => self.beyond(answer),
            301 | 302 | 303 | 307 | 308 => self.redirected(answer.location.as_deref().unwrap_or(""), now),
            429 | 503 => {
                let why = Retry::Overloaded { after: answer.retry_after };
                self.again(&format!("the server answered {}", answer.status), why, now);
            }
            status @ (408 | 500..) => {
                self.again(&format!("the server answered {status}"), Retry::Failed, now)
            }
            status => self.fail(FetchError::Status { url: self.at.clone(), status }),
        }
        let reads = matches!(self.phase, Phase::Asked { .. }) && matches!(answer.status, 200 | 206);
        if reads {
            self.actions.push_back(Action::Note(self.part.clone()));
            self.phase = Phase::Reading { heard: now, window: now, in_window: 0, fresh: 0 };
        }
        reads
    }

    /// Bytes that were written to the file.
    pub fn received(&mut self, count: u64, now: Duration) {
        let Phase::Reading { heard, in_window, fresh, .. } = &mut self.phase else { return };
        *heard = now;
        *in_window += count;
        *fresh += count;
        if *fresh >= PROGRESS {
            self.tries = 0;
            self.backoff.reset();
        }
        self.part.have += count;
        if self.part.have > self.most() {
            self.actions.push_back(Action::Hang);
            match self.wanted.size.or(self.part.total) {
                Some(signed) if signed < self.wanted.cap => {
                    self.fail(FetchError::Size { has: self.part.have, signed });
                }
                _ => self.fail(FetchError::Cap(self.wanted.cap)),
            }
        }
    }

    /// The body ended in order.
    pub fn body_ended(&mut self, now: Duration) {
        if !matches!(self.phase, Phase::Reading { .. }) {
            return;
        }
        match self.wanted.size.or(self.part.total) {
            Some(total) if self.part.have < total => {
                let told = format!("the body ended after {} of {total} bytes", self.part.have);
                self.again(&told, Retry::Failed, now);
            }
            _ => self.phase = Phase::Complete,
        }
    }

    /// There is no connection, or no more of it.
    pub fn broke(&mut self, why: &str, now: Duration) {
        if matches!(self.phase, Phase::Asked { .. } | Phase::Reading { .. }) {
            self.again(why, Retry::Failed, now);
        }
    }

    fn ask(&mut self, now: Duration) {
        if let Err(why) = self.rules.url(&self.at) {
            return self.fail(why);
        }
        if self.part.have > 0 && self.wanted.size.or(self.part.total) == Some(self.part.have) {
            self.phase = Phase::Complete;
            return;
        }
        let own = rules::same_origin(&self.at, &self.wanted.url);
        let from = (self.part.have > 0).then_some(self.part.have);
        self.actions.push_back(Action::Get(Get {
            url: self.at.clone(),
            headers: if own { self.wanted.headers.clone() } else { Vec::new() },
            from,
            if_range: from.and(self.part.etag.clone()),
        }));
        self.phase = Phase::Asked { until: now + SILENCE };
    }

    /// 200: all of it, whatever was asked for.
    fn whole(&mut self, answer: &Answer) {
        if self.part.have > 0 {
            self.start_over();
        }
        self.part.etag = answer.etag.clone().filter(|tag| tag.starts_with('"'));
        self.part.total = answer.content_length;
        self.judge_total();
    }

    /// 206: the rest, if it is that.
    fn rest(&mut self, answer: &Answer) {
        let range = answer.content_range.as_deref().and_then(ContentRange::parse);
        let fits = range.is_some_and(|range| {
            range.start == Some(self.part.have)
                && (range.total.is_none() || self.part.total.is_none() || range.total == self.part.total)
        });
        let same = answer.etag.is_none() || answer.etag == self.part.etag;
        if self.part.have > 0 && fits && same {
            self.part.total = self.part.total.or(range.and_then(|range| range.total));
            return self.judge_total();
        }
        self.other("the server answered with another part than was asked for");
    }

    /// 416: nothing is left, or the part is of something else.
    fn beyond(&mut self, answer: &Answer) {
        let total =
            answer.content_range.as_deref().and_then(ContentRange::parse).and_then(|range| range.total);
        if self.part.have > 0 && total.or(self.part.total) == Some(self.part.have) {
            self.phase = Phase::Complete;
            return;
        }
        self.other("the server has less than is there already");
    }

    /// What is there is of no use; the connection neither.
    fn other(&mut self, why: &str) {
        self.actions.push_back(Action::Hang);
        self.start_over();
        self.tries += 1;
        if self.tries >= TRIES {
            return self.fail(FetchError::Tries { tries: self.tries, last: why.to_owned() });
        }
        // At once, from its start: nothing says that the server is in trouble.
        self.phase = Phase::Waiting { until: Duration::ZERO };
    }

    fn redirected(&mut self, location: &str, now: Duration) {
        let Ok(next) = self.at.join(location) else {
            return self
                .fail(FetchError::Url { url: location.to_owned(), why: "no address to be redirected to" });
        };
        self.hops += 1;
        if self.hops > REDIRECTS {
            return self.fail(FetchError::Redirects(next));
        }
        if self.at.scheme() == "https" && next.scheme() != "https" {
            let why = "a redirect must not lead from https to something else";
            return self.fail(FetchError::Url { url: next.to_string(), why });
        }
        self.at = next;
        self.actions.push_back(Action::Hang);
        self.ask(now);
    }

    fn judge_total(&mut self) {
        let Some(has) = self.part.total else { return };
        match self.wanted.size {
            Some(signed) if signed != has => self.fail(FetchError::Size { has, signed }),
            _ if has > self.wanted.cap => self.fail(FetchError::Cap(self.wanted.cap)),
            _ => {}
        }
    }

    /// The most that the file may have.
    fn most(&self) -> u64 {
        self.wanted.size.or(self.part.total).unwrap_or(u64::MAX).min(self.wanted.cap)
    }

    fn start_over(&mut self) {
        self.part = Part::default();
        self.actions.push_back(Action::Empty);
        self.actions.push_back(Action::Note(Part::default()));
    }

    fn cut(&mut self, why: &str, now: Duration) {
        self.actions.push_back(Action::Hang);
        self.again(why, Retry::Failed, now);
    }

    /// Another try, later, where the first one went.
    fn again(&mut self, why: &str, retry: Retry, now: Duration) {
        self.tries += 1;
        if self.tries >= TRIES {
            return self.fail(FetchError::Tries { tries: self.tries, last: why.to_owned() });
        }
        if self.part.etag.is_none() && self.part.have > 0 {
            self.start_over();
        }
        self.at = self.wanted.url.clone();
        self.hops = 0;
        let until = now + self.backoff.next(retry);
        if until >= self.began + WITHIN {
            return self.fail(FetchError::Late { last: why.to_owned() });
        }
        self.phase = Phase::Waiting { until };
    }

    fn fail(&mut self, why: FetchError) {
        self.phase = Phase::Failed(why);
    }
}
