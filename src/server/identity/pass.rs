//! Passes: with one, an agent downloads one file of a package for some time, whatever else it has to show. Nothing is kept of
//! them; they are worked out of the server's key, as agents' credentials are.

use data_encoding::HEXLOWER;
use jiff::Timestamp;

use super::{
    model::Identity,
    register::Register,
    rules::Denied,
    secret::{Digest, PASS, Secret},
};
use crate::wire::InstanceUid;

/// How long one is good for: for a large file over a slow line, and an agent that puts it off for a night.
const GOOD_FOR_SECONDS: i64 = 24 * 3600;

impl Register {
    /// For this agent and this file. None if nobody is asked for a proof here.
    #[must_use]
    pub fn pass(&self, uid: InstanceUid, file: &[u8; 32], now: Timestamp) -> Option<Secret> {
        Some(self.key()?.pass(uid, file, now.as_second() + GOOD_FOR_SECONDS))
    }

    /// Whether what is shown lets its holder download this file; `None` if it is no pass.
    #[must_use]
    pub fn passes(&self, shown: &str, file: &[u8; 32], now: Timestamp) -> Option<Result<(), Denied>> {
        let parts = HEXLOWER.decode(shown.strip_prefix(PASS)?.as_bytes()).unwrap_or_default();
        Some(self.judge(shown, &parts, file, now))
    }

    fn judge(&self, shown: &str, parts: &[u8], file: &[u8; 32], now: Timestamp) -> Result<(), Denied> {
        let key = self.key().ok_or(Denied::Unknown)?;
        let (uid, rest) = parts.split_first_chunk::<16>().ok_or(Denied::Unknown)?;
        let (until, _) = rest.split_first_chunk::<8>().ok_or(Denied::Unknown)?;
        let (uid, until) = (InstanceUid::from_bytes(*uid), i64::from_be_bytes(*until));
        let right = key.pass(uid, file, until).digest();
        // By digest, whose comparison tells nothing of the secret.
        if !right.same(&Digest::of(shown.as_bytes())) {
            return Err(Denied::Unknown);
        }
        if now.as_second() >= until {
            return Err(Denied::PassExpired(uid));
        }
        self.may_be_heard(uid)?;
        match self.owner(uid) {
            Some(owner) if owner.is_active() => Ok(()),
            Some(Identity { name, .. }) => Err(Denied::Waits(name.clone())),
            None => Err(Denied::Unknown),
        }
    }
}
