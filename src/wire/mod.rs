//! Bytes ⇄ messages, and the small types both ends share. No I/O, no policy.
//!
//! - [`proto`]: the messages, generated from `proto/opamp/v1/opamp.proto`
//! - [`frame`]: one WebSocket message = varint header + protobuf bytes
//! - [`body`]: plain HTTP bodies, with limits before and after inflation
//! - [`InstanceUid`], [`AgentCaps`], [`ServerCaps`], [`attrs`]
//! - [`otlp`]: the messages of telemetry, generated from `proto/otlp.proto`
//!
//! Called by `protocol` (types), `transport` and `server` (codecs). Who speaks OpAMP over sockets of their own needs this
//! room and [`protocol`](crate::protocol); `transport` brings sockets.
//!
//! # A message and its bytes
//!
//! ```
//! use opamp::wire::{
//!     AgentCaps, DEFAULT_MESSAGE_LIMIT, InstanceUid, attrs, body, frame,
//!     proto::{AgentCapabilities, AgentDescription, AgentToServer},
//! };
//!
//! // Time and randomness come from the caller.
//! let uid = InstanceUid::v7(1_700_000_000_000, [7; 10]);
//! let capabilities = AgentCaps::of(&[AgentCapabilities::ReportsStatus, AgentCapabilities::ReportsHealth]);
//! let message = AgentToServer {
//!     instance_uid: uid.to_vec(),
//!     sequence_num: 1,
//!     capabilities: capabilities.bits(),
//!     agent_description: Some(AgentDescription {
//!         identifying_attributes: vec![attrs::string("service.name", "weather-station")],
//!         ..Default::default()
//!     }),
//!     ..Default::default()
//! };
//!
//! // Over WebSocket.
//! let bytes = frame::encode(&message, DEFAULT_MESSAGE_LIMIT)?;
//! assert_eq!(bytes[0], 0, "the header");
//! assert_eq!(frame::decode::<AgentToServer>(&bytes, DEFAULT_MESSAGE_LIMIT)?, message);
//! let reserved = frame::decode::<AgentToServer>(&[1, 2, 3], DEFAULT_MESSAGE_LIMIT);
//! assert!(matches!(reserved, Err(frame::FrameError::Reserved(1))));
//!
//! // Over plain HTTP, with `Content-Encoding: gzip`.
//! let bytes = body::gzip(&body::encode(&message, DEFAULT_MESSAGE_LIMIT)?);
//! assert_eq!(body::decode::<AgentToServer>(&bytes, Some("gzip"), DEFAULT_MESSAGE_LIMIT)?, message);
//! let bomb = body::decode::<AgentToServer>(&body::gzip(&[0; 100_000]), Some("gzip"), 10_000);
//! assert!(matches!(bomb, Err(body::BodyError::TooLarge { limit: 10_000 })));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What holds for all of it
//!
//! - A decoder takes a limit in bytes and gives an error, whatever the bytes; it does not panic. No error holds what the
//!   peer sent beyond a few characters.
//! - Unknown fields, bits and enum values are passed over (B-IO-02); undefined bits never leave ([`AgentCaps`], B-IO-03).
//! - Enums travel as numbers: `CommandType::try_from(command.r#type)` tells a known one from an unknown one.
//! - Maps are ordered, so equal messages encode to equal bytes and can be compared and hashed as such.
//! - `[beta]` and `[development]` in the messages' docs is the protocol's own word on how settled a field is.

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
