//! Time and randomness, read here so that everything else gets them passed in.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::libc;
use rand::{TryRngCore, rngs::OsRng};

/// Time since boot, suspension included: for durations that must survive a restart of the supervisor.
#[must_use]
pub fn boottime() -> Duration {
    read(libc::CLOCK_BOOTTIME)
}

/// How long the host was suspended since it booted.
#[must_use]
pub fn suspended() -> Duration {
    let running = read(libc::CLOCK_MONOTONIC);
    boottime().saturating_sub(running)
}

#[allow(unsafe_code)]
fn read(clock: libc::clockid_t) -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec; the call cannot fail for clocks that Linux always has.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Wall time in milliseconds since 1970: for display and new ids, never for durations.
#[must_use]
pub fn wall_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The kernel gave no random bytes (a seccomp profile without getrandom?).
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes (getrandom)")]
pub struct NoRandom(#[source] rand::rand_core::OsError);

/// Random bytes fit for ids, tokens and seeds.
pub fn random<const N: usize>() -> Result<[u8; N], NoRandom> {
    let mut bytes = [0; N];
    OsRng.try_fill_bytes(&mut bytes).map_err(NoRandom)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_run_and_bytes_differ() {
        let first = boottime();
        assert!(first > Duration::ZERO && boottime() >= first);
        assert!(suspended() <= boottime());
        assert!(wall_millis() > 1_700_000_000_000);
        assert_ne!(random::<32>().unwrap(), random::<32>().unwrap());
    }
}
