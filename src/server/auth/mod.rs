//! Who may use the operator plane: whoever holds the admin token, or a browser session that was traded for it.
//! There is one identity and no role. Agents are not its business: `accept` admits them.
//!
//! - [`token`]: the token file; [`session`]: browser sessions; `throttle`: failed attempts by source
//! - [`guard`]: the middleware in front of every protected route
//!
//! Called by `api` (each request) and `web` (login, logout); made by `run`.

pub mod guard;
pub mod session;
pub mod throttle;
pub mod token;

use std::{net::IpAddr, sync::Mutex, sync::PoisonError, time::Duration, time::Instant};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use session::Sessions;
use throttle::Throttle;
use token::Token;

/// The name that acts of the token's holder carry.
pub const ADMIN: &str = "admin@localhost";

/// How a request proved that it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    Bearer,
    Session,
}

/// Why a request may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Unauthorized,
    /// Too many failures from this source; how long until the next try.
    TooMany(Duration),
}

pub struct Auth {
    token: [u8; 32],
    sessions: Mutex<Sessions>,
    throttle: Mutex<Throttle>,
}

impl Auth {
    #[must_use]
    pub fn new(token: &Token) -> Self {
        Self { token: digest(token.reveal()), sessions: Mutex::default(), throttle: Mutex::default() }
    }

    /// Checks a token that came from `source`. The right token always passes; wrong ones are counted.
    pub fn check_token(&self, given: &str, source: IpAddr, now: Instant) -> Result<(), Refusal> {
        // Digests have one length, so the comparison says nothing of the token's.
        if bool::from(digest(given).ct_eq(&self.token)) {
            return Ok(());
        }
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        match throttle.failed(source, now) {
            None => Err(Refusal::Unauthorized),
            Some(wait) => {
                tracing::warn!(%source, "too many wrong tokens");
                Err(Refusal::TooMany(wait))
            }
        }
    }

    /// Opens a browser session; returns the cookie's value.
    pub fn open_session(&self, now: Instant) -> String {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).open(now)
    }

    pub fn has_session(&self, id: &str, now: Instant) -> bool {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).is_open(id, now)
    }

    pub fn close_session(&self, id: &str) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).close(id);
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

fn random_hex() -> String {
    let bytes: [u8; 32] = rand::random();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
