//! One OpAMP message in one binary WebSocket message: a Base-128 varint header, which is 0 today,
//! then the protobuf bytes (B-WS-01, B-WS-02).

use prost::Message;

/// Why a frame is malformed.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// No header can be read: an empty frame, or a varint that does not end (B-WS-04).
    #[error("the header is cut short or longer than a 64-bit varint")]
    Header,
    /// The header has a value that a later version of OpAMP may give a meaning (B-WS-03).
    #[error("header value {0} is reserved; only 0 is defined")]
    Reserved(u64),
    /// Header and data together are over the limit, on the way in or on the way out. A peer is told with code 1009.
    #[error("message of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// Of header and data, in bytes.
        size: usize,
        /// In bytes.
        limit: usize,
    },
    /// The bytes behind the header are no protobuf message of this type.
    #[error("not an OpAMP message: {0}")]
    Message(#[from] prost::DecodeError),
}

/// Encodes a message, or says that it is over the limit and must not be sent (C-LM-05, S-LM-05).
pub fn encode(message: &impl Message, limit: usize) -> Result<Vec<u8>, FrameError> {
    let size = message.encoded_len() + 1;
    if size > limit {
        return Err(FrameError::TooLarge { size, limit });
    }
    let mut bytes = Vec::with_capacity(size);
    bytes.push(0);
    message.encode_raw(&mut bytes);
    Ok(bytes)
}

/// Decodes a frame. An empty protobuf part is a legal message (B-WS-05).
pub fn decode<M: Message + Default>(bytes: &[u8], limit: usize) -> Result<M, FrameError> {
    if bytes.len() > limit {
        return Err(FrameError::TooLarge { size: bytes.len(), limit });
    }
    let (header, taken) = varint(bytes).ok_or(FrameError::Header)?;
    if header != 0 {
        return Err(FrameError::Reserved(header));
    }
    Ok(M::decode(&bytes[taken..])?)
}

/// A varint of at most ten bytes, and how many of them it took (B-WS-04).
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        let part = u64::from(byte & 0x7f);
        if index == 9 && part > 1 {
            return None;
        }
        value |= part << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::proto::AgentToServer;

    #[test]
    fn b_ws_01_02_round_trip() {
        let message = AgentToServer { sequence_num: 300, instance_uid: vec![1; 16], ..Default::default() };
        let bytes = encode(&message, 1024).unwrap();
        assert_eq!(bytes[0], 0);
        assert_eq!(decode::<AgentToServer>(&bytes, 1024).unwrap(), message);
    }

    #[test]
    fn b_ws_03_04_05_header_rules() {
        assert_eq!(decode::<AgentToServer>(&[0], 10).unwrap(), AgentToServer::default());
        // A zero written in two bytes is still zero, and the message starts after both.
        assert_eq!(decode::<AgentToServer>(&[0x80, 0x00, 0x10, 0x05], 10).unwrap().sequence_num, 5);
        assert!(matches!(decode::<AgentToServer>(&[1, 0x10, 5], 10), Err(FrameError::Reserved(1))));
        assert!(matches!(decode::<AgentToServer>(&[], 10), Err(FrameError::Header)));
        assert!(matches!(decode::<AgentToServer>(&[0x80; 11], 20), Err(FrameError::Header)));
    }

    #[test]
    fn c_lm_05_s_lm_05_limits_hold_both_ways() {
        let message = AgentToServer { instance_uid: vec![1; 100], ..Default::default() };
        assert!(matches!(encode(&message, 50), Err(FrameError::TooLarge { .. })));
        assert!(matches!(decode::<AgentToServer>(&[0; 51], 50), Err(FrameError::TooLarge { .. })));
    }
}
