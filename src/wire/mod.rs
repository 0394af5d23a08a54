//! Bytes ⇄ messages, and the small types both ends share. No I/O, no policy.
//!
//! - [`proto`]: the messages, generated from `proto/opamp/v1/opamp.proto`
//! - `otlp`: those of telemetry, generated from `proto/otlp.proto`
//! - [`frame`]: one WebSocket message = varint header + protobuf bytes
//! - [`body`]: plain HTTP bodies, with limits before and after inflation
//! - [`InstanceUid`], [`AgentCaps`], [`ServerCaps`], [`attrs`]
//!
//! Called by `protocol` (types), `transport` and `server` (codecs).
//!
//! ```
//! use opamp::wire::{DEFAULT_MESSAGE_LIMIT, InstanceUid, frame, proto::AgentToServer};
//!
//! let uid = InstanceUid::v7(1_700_000_000_000, [7; 10]);
//! let message = AgentToServer { instance_uid: uid.to_vec(), sequence_num: 1, ..Default::default() };
//! let bytes = frame::encode(&message, DEFAULT_MESSAGE_LIMIT)?;
//! assert_eq!(bytes[0], 0, "the header");
//! assert_eq!(frame::decode::<AgentToServer>(&bytes, DEFAULT_MESSAGE_LIMIT)?, message);
//! assert!(frame::decode::<AgentToServer>(&[1, 2, 3], DEFAULT_MESSAGE_LIMIT).is_err(), "a reserved header");
//! # Ok::<(), frame::FrameError>(())
//! ```
//!
//! Every decoder takes a limit and gives an error, whatever the bytes; no error holds what the peer sent beyond a few
//! characters. Unknown fields, bits and enum values are passed over (B-IO-02).

#![warn(missing_docs)]

pub mod attrs;
pub mod body;
mod caps;
pub mod frame;
mod ids;

pub use caps::{AgentCaps, ServerCaps};
pub use ids::{InstanceUid, InvalidUid};

/// The OpAMP messages. Maps are ordered, so equal content encodes to equal bytes.
#[allow(unreachable_pub, clippy::all)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/opamp.proto.v1.rs"));
}

/// The messages of OTLP that the supervisor sends, for `telemetry`. No part of OpAMP: its own documents say what the
/// fields mean.
#[cfg(feature = "supervisor")]
#[allow(unreachable_pub, missing_docs, clippy::all)]
pub mod otlp {
    include!(concat!(env!("OUT_DIR"), "/otlp.rs"));
}

/// The compiled `FileDescriptorSet` of [`proto`], for reflection and for the wire test.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/opamp.bin"));

/// Largest message accepted or sent, header and data counted, unless configured (B-LM-01, B-LM-02).
pub const DEFAULT_MESSAGE_LIMIT: usize = 64 * 1024 * 1024;

/// Default path of the OpAMP endpoint (B-TC-01).
pub const DEFAULT_PATH: &str = "/v1/opamp";

/// The media type of plain HTTP bodies (C-HT-06).
pub const CONTENT_TYPE: &str = "application/x-protobuf";

/// The request header that carries the instance uid in text form (C-HT-09).
pub const INSTANCE_UID_HEADER: &str = "OpAMP-Instance-UID";
