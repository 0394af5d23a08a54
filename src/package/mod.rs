//! Artefacts: binaries and add-ons that an agent is given as packages.
//!
//! A package travels as one file. What it is, is said twice: by the server in its offer and by the signer in the file's
//! signature. This room knows how to hold one against the other and how to get from the file to files on disk; a value that
//! passed a step has another type, and there is no way round a step:
//!
//! ```text
//!   [`fetch`] ──▶ file ──▶ [`Verified`] ──▶ [`Unpacked`] in a [`slots::Slot`]
//!               hash, signature, claims      regular files only, limited
//! ```
//!
//! It does not know when a package is taken or tried, and it has no sockets: [`fetch`] says what to ask for. `opampctl
//! package` signs and inspects with it; the server looks at what is uploaded; the supervisor verifies and unpacks.

mod claims;
#[cfg(feature = "cli")]
mod contents;
#[cfg(feature = "supervisor")]
pub mod fetch;
#[cfg(any(feature = "cli", feature = "supervisor"))]
mod format;
#[cfg(feature = "cli")]
mod inspect;
#[cfg(feature = "cli")]
mod signing;
#[cfg(feature = "supervisor")]
pub mod slots;
#[cfg(feature = "supervisor")]
mod unpack;
mod verify;

pub use claims::{Claims, InvalidClaims, InvalidName, PackageName};
#[cfg(feature = "cli")]
pub use contents::{ContentsError, architectures};
#[cfg(feature = "cli")]
pub use inspect::{Inspected, Reason, inspect};
#[cfg(feature = "cli")]
pub use signing::{KeyId, NewKeys, Signed, SigningError, SigningKey, Stated};
#[cfg(feature = "supervisor")]
pub use unpack::{Limits, UnpackError, Unpacked, unpack};
pub use verify::{InvalidKey, Keys, Offered, Refused, Trust, Verified};
