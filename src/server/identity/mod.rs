//! Who may speak as an agent: enrolment tokens, the identities made from them, their credentials, and the requests for
//! certificates. Pure: time and randomness come in, and what is to be stored goes out before it counts.
//!
//! An *identity* is what a credential is bound to. Agents' uids are mapped to it, so a uid may change under it, and no
//! identity speaks for a uid that is another's.
//!
//! - [`model`]: the things themselves, as they are stored; [`secret`]: secrets and their digests
//! - [`register`]: all of them, and how to find one; [`rules`]: what a proof allows, and what follows from a message
//! - `pass`: what lets an agent download one file
//!
//! Not here: sockets and headers (`accept::admission`), X.509 (`ca`). Held by `server::fleet`, asked by
//! `accept::admission` and `api`.

pub mod model;
mod pass;
pub mod register;
pub mod rules;
pub mod secret;
#[cfg(test)]
mod tests;

pub use model::{
    Approval, CertificateRequest, Credential, EnrollmentToken, Identity, IdentityState, Kind, Origin,
    RequestState, TokenSpec,
};
pub use register::Register;
pub use rules::{Denied, Fresh, Proof, Step};
pub use secret::{Digest, MasterKey, Secret};
