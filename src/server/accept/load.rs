//! Admission under load: how many agents may be connected, how many may connect in a second, and how much one
//! connection may say. Who is turned away is told when to come back, and not all at the same time: the seconds are
//! spread by a hash of the instance uid, over as long as everybody who is missing will take.
//!
//! An agent that was let in is never slowed down for the sake of one that was not. Called by `accept`; it knows no
//! message and no socket.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    server::listen::Peer,
    wire::{INSTANCE_UID_HEADER, InstanceUid},
};

/// What an operator allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadLimits {
    /// WebSockets of agents at once.
    pub max_connections: usize,
    /// Agents that may connect in a second.
    pub connect_rate: u32,
    /// Messages that each agent of a connection may send in a second.
    pub message_rate: u32,
}

impl Default for LoadLimits {
    fn default() -> Self {
        Self { max_connections: 15_000, connect_rate: 500, message_rate: 100 }
    }
}

/// Seconds' worth of connections that may come at once after a quiet time.
const CONNECT_BURST: u32 = 2;
/// The same for messages.
const MESSAGE_BURST: u32 = 5;
/// Downloads of packages at once: each takes a descriptor and some memory.
const DOWNLOADS: usize = 1000;
/// The least time over which those turned away are spread.
const SPREAD_LEAST: u64 = 5;
const SPREAD_MOST: u64 = 300;
/// Whoever says too much is of no use for this long, and for some seconds more.
const FLOOD_AWAY: Duration = Duration::from_secs(30);
/// A server that is full will not have room in a moment.
const FULL_LEAST: u64 = 30;

/// Counts how many are connected; whoever is let in holds a `Ticket`.
pub struct Load {
    limits: LoadLimits,
    connected: Arc<AtomicUsize>,
    downloading: Arc<AtomicUsize>,
    gate: Mutex<Gate>,
    since: Instant,
}

/// A place among the connections.
pub struct Ticket(Arc<AtomicUsize>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why somebody is turned away for now, and for how many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    Full { seconds: u64 },
    Herd { seconds: u64 },
    Downloads { seconds: u64 },
}

struct Gate {
    connects: Bucket,
    /// Turned away, and not back yet.
    waiting: usize,
}

impl Load {
    #[must_use]
    pub fn new(limits: LoadLimits) -> Self {
        let connects = Bucket::new(limits.connect_rate, CONNECT_BURST);
        let gate = Mutex::new(Gate { connects, waiting: 0 });
        Self { limits, connected: Arc::default(), downloading: Arc::default(), gate, since: Instant::now() }
    }

    /// For a WebSocket. `missing` agents are known and not connected.
    pub fn connect(&self, who: u64, missing: usize) -> Result<Ticket, Busy> {
        if self.connected.load(Ordering::Relaxed) >= self.limits.max_connections {
            return Err(Busy::Full { seconds: FULL_LEAST + who % FULL_LEAST });
        }
        self.pass(who, missing)?;
        self.connected.fetch_add(1, Ordering::Relaxed);
        Ok(Ticket(self.connected.clone()))
    }

    /// For a download of a package.
    pub fn download(&self, who: u64) -> Result<Ticket, Busy> {
        let ticket = Ticket(self.downloading.clone());
        if self.downloading.fetch_add(1, Ordering::Relaxed) >= DOWNLOADS {
            return Err(Busy::Downloads { seconds: FULL_LEAST + who % FULL_LEAST });
        }
        Ok(ticket)
    }

    /// Downloads that are under way.
    #[must_use]
    pub fn downloading(&self) -> usize {
        self.downloading.load(Ordering::Relaxed)
    }

    /// For a WebSocket, or an exchange of an agent that is not known to be there.
    pub fn pass(&self, who: u64, missing: usize) -> Result<(), Busy> {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        if gate.connects.take(self.since.elapsed()) {
            gate.waiting = gate.waiting.saturating_sub(1);
            return Ok(());
        }
        gate.waiting += 1;
        let crowd = missing.max(gate.waiting);
        Err(Busy::Herd { seconds: spread(who, crowd, self.limits.connect_rate) })
    }

    /// What one connection may say.
    #[must_use]
    pub fn messages(&self) -> Messages {
        let bucket = Bucket::new(self.limits.message_rate, MESSAGE_BURST);
        Messages { bucket, rate: self.limits.message_rate, since: Instant::now() }
    }
}

/// When somebody is to come back, of a crowd that comes in at a rate: later than the next second, and with a quarter
/// to spare for those who come without being asked to.
fn spread(who: u64, crowd: usize, rate: u32) -> u64 {
    let window = (crowd as u64).saturating_mul(5) / u64::from(rate.max(1)).saturating_mul(4);
    1 + who % window.clamp(SPREAD_LEAST, SPREAD_MOST)
}

impl Busy {
    #[must_use]
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Full { seconds } | Self::Herd { seconds } | Self::Downloads { seconds } => seconds,
        }
    }
}

impl IntoResponse for Busy {
    /// S-TH-02, S-TH-03.
    fn into_response(self) -> Response {
        let seconds = self.seconds();
        let text = match self {
            Self::Full { .. } => "this server has as many agents as it may (max-connections)",
            Self::Downloads { .. } => "too many agents download packages at once",
            Self::Herd { .. } => "too many agents connect at once (connect-rate)",
        };
        let text = format!("{text}; come back in {seconds} s\n");
        (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, seconds.to_string())], text).into_response()
    }
}

/// How much one connection has said of late.
pub struct Messages {
    bucket: Bucket,
    rate: u32,
    since: Instant,
}

impl Messages {
    /// Counts a message; says whether the connection may go on. Each agent on it may say as much as one alone.
    pub fn take(&mut self, agents: usize) -> bool {
        self.bucket.rate = f64::from(self.rate) * agents.max(1) as f64;
        self.bucket.most = self.bucket.rate * f64::from(MESSAGE_BURST);
        self.bucket.take(self.since.elapsed())
    }

    /// How long whoever said too much shall stay away: not the same time for each.
    #[must_use]
    pub fn after(&self) -> Duration {
        FLOOD_AWAY + Duration::from_millis(rand::random_range(0..10_000))
    }
}

/// A number of things a second, some of them at once.
#[derive(Debug)]
struct Bucket {
    rate: f64,
    most: f64,
    left: f64,
    at: Duration,
}

impl Bucket {
    fn new(rate: u32, burst: u32) -> Self {
        let (rate, most) = (f64::from(rate), f64::from(rate.saturating_mul(burst)));
        Self { rate, most, left: most, at: Duration::ZERO }
    }

    fn take(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = now;
        self.left = self.rate.mul_add(passed, self.left).min(self.most);
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }
}

/// A number that is the same for the same agent: of its uid where a header tells it, else of its address.
pub(super) fn who(headers: &HeaderMap, peer: Option<Peer>) -> u64 {
    let mut hasher = DefaultHasher::new();
    match instance_uid(headers) {
        Some(uid) => uid.as_bytes().hash(&mut hasher),
        None => peer.map(|peer| peer.0).hash(&mut hasher),
    }
    hasher.finish()
}

pub(super) fn instance_uid(headers: &HeaderMap) -> Option<InstanceUid> {
    headers.get(INSTANCE_UID_HEADER)?.to_str().ok()?.parse().ok()
}

pub(super) fn peer(request: &Request) -> Option<Peer> {
    request.extensions().get::<Peer>().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(max_connections: usize, connect_rate: u32) -> Load {
        Load::new(LoadLimits { max_connections, connect_rate, message_rate: 10 })
    }

    #[test]
    fn s_th_02_03_a_full_server_has_room_again_when_one_leaves() {
        let load = limits(1, 100);
        let ticket = load.connect(7, 0).expect("room");
        assert!(matches!(load.connect(7, 0), Err(Busy::Full { seconds: 37 })));
        drop(ticket);
        assert!(load.connect(7, 0).is_ok());
    }

    #[test]
    fn s_th_02_03_downloads_have_room_of_their_own_and_again_when_one_ends() {
        let load = limits(1, 100);
        let mut tickets: Vec<_> = (0..DOWNLOADS).map(|_| load.download(7).expect("room")).collect();
        for _ in 0..2 {
            assert!(matches!(load.download(7), Err(Busy::Downloads { seconds: 37 })));
        }
        assert!(load.connect(7, 0).is_ok(), "agents still connect");
        tickets.pop();
        tickets.push(load.download(7).expect("room again"));
        assert!(load.download(7).is_err());
    }

    #[test]
    fn s_th_03_f_97_those_turned_away_are_spread_over_as_long_as_all_of_them_take() {
        let load = limits(100_000, 500);
        let mut passed = 0;
        let mut seconds = [0u32; 32];
        for agent in 0..10_000u64 {
            let mut hasher = DefaultHasher::new();
            agent.hash(&mut hasher);
            match load.pass(hasher.finish(), 10_000) {
                Ok(()) => passed += 1,
                Err(busy) => seconds[usize::try_from(busy.seconds()).unwrap()] += 1,
            }
        }
        assert!(passed >= 1000, "{passed}");
        assert_eq!(seconds[0], 0);
        assert!(seconds[1..=25].iter().all(|count| *count > 0 && *count < 500), "{seconds:?}");
        assert_eq!(seconds[26..], [0; 6]);
    }

    #[test]
    fn a_bucket_fills_at_its_rate_and_not_beyond_its_burst() {
        let mut bucket = Bucket::new(10, 2);
        let all =
            |bucket: &mut Bucket, now| (0..100).filter(|_| bucket.take(Duration::from_millis(now))).count();
        assert_eq!(all(&mut bucket, 0), 20);
        assert_eq!(all(&mut bucket, 100), 1);
        assert_eq!(all(&mut bucket, 3_600_000), 20);
    }

    #[test]
    fn f_96_several_agents_on_one_connection_may_say_as_much_as_each_alone() {
        let load = limits(1, 1);
        let count = |agents| {
            let mut messages = load.messages();
            (0..1000).filter(|_| messages.take(agents)).count()
        };
        assert!((50..60).contains(&count(1)));
        assert!(count(3) >= 50);
    }
}
