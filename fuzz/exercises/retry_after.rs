//! The value of a Retry-After header, up to the wait that comes of it.

use std::time::Duration;

use opamp::{
    protocol::backoff::{Backoff, Retry},
    transport::parse_retry_after,
};

/// No hint keeps an agent away for longer: an hour, and a fifth for the jitter.
const LONGEST: Duration = Duration::from_secs(3600 + 720);

pub(crate) fn exercise(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let after = parse_retry_after(text);
    if let Ok(seconds) = text.trim().parse::<u64>() {
        assert_eq!(after, Some(Duration::from_secs(seconds)));
    }
    let mut backoff = Backoff::new(data.len() as u64);
    let wait = backoff.next(Retry::Overloaded { after });
    assert!(wait >= Duration::from_secs(1) && wait <= LONGEST, "{text:?}: {wait:?}");
}
