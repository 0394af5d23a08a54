//! Bodies of the plain HTTP transport: protobuf, optionally gzipped, with the limit applied to
//! what was received and again to what it inflates to (S-LM-07, C-LM-08).

use prost::Message;

/// Why a body is refused.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// What came, or what it inflates to, or what was to be sent is longer than this many bytes. Over HTTP: 413.
    #[error("body of more than {limit} bytes")]
    TooLarge {
        /// In bytes.
        limit: usize,
    },
    /// The peer compressed in a way that is not spoken here; the first 40 characters of what it says. Over HTTP: 415.
    #[error("Content-Encoding {0:?} is not supported; send gzip or none")]
    Encoding(String),
    /// Said to be gzip and is not, or is cut short.
    #[error("not a gzip body: {0}")]
    Gzip(std::io::Error),
    /// The bytes are no protobuf message of this type.
    #[error("not an OpAMP message: {0}")]
    Message(#[from] prost::DecodeError),
}

/// Decodes a body that came with this `Content-Encoding` (S-HT-01, S-HT-02).
#[cfg(any(feature = "supervisor", feature = "server"))]
pub fn decode<M: Message + Default>(
    bytes: &[u8],
    content_encoding: Option<&str>,
    limit: usize,
) -> Result<M, BodyError> {
    if bytes.len() > limit {
        return Err(BodyError::TooLarge { limit });
    }
    match content_encoding.map(str::trim) {
        None | Some("" | "identity") => Ok(M::decode(bytes)?),
        Some(coding) if coding.eq_ignore_ascii_case("gzip") => Ok(M::decode(&*inflate(bytes, limit)?)?),
        Some(other) => Err(BodyError::Encoding(other.chars().take(40).collect())),
    }
}

/// Encodes a body, measured before any compression (C-LM-12, S-LM-09).
pub fn encode(message: &impl Message, limit: usize) -> Result<Vec<u8>, BodyError> {
    if message.encoded_len() > limit {
        return Err(BodyError::TooLarge { limit });
    }
    Ok(message.encode_to_vec())
}

/// Gzips an encoded body.
#[cfg(any(feature = "supervisor", feature = "server"))]
#[must_use]
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // Writing to a Vec cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

#[cfg(any(feature = "supervisor", feature = "server"))]
fn inflate(bytes: &[u8], limit: usize) -> Result<Vec<u8>, BodyError> {
    use std::io::Read;
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes)
        .take(limit as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(BodyError::Gzip)?;
    if plain.len() > limit {
        return Err(BodyError::TooLarge { limit });
    }
    Ok(plain)
}

#[cfg(all(test, feature = "supervisor"))]
mod tests {
    use super::*;
    use crate::wire::proto::ServerToAgent;

    #[test]
    fn s_ht_02_plain_and_gzip_bodies() {
        let message = ServerToAgent { instance_uid: vec![3; 16], ..Default::default() };
        let plain = encode(&message, 100).unwrap();
        assert_eq!(decode::<ServerToAgent>(&plain, None, 100).unwrap(), message);
        assert_eq!(decode::<ServerToAgent>(&gzip(&plain), Some("gzip"), 100).unwrap(), message);
        assert!(matches!(decode::<ServerToAgent>(&plain, Some("br"), 100), Err(BodyError::Encoding(_))));
        assert!(matches!(decode::<ServerToAgent>(&plain, Some("gzip"), 100), Err(BodyError::Gzip(_))));
    }

    #[test]
    fn s_lm_07_c_lm_08_a_gzip_bomb_stops_at_the_limit() {
        let bomb = gzip(&vec![0; 1_000_000]);
        assert!(bomb.len() < 10_000);
        let refused = decode::<ServerToAgent>(&bomb, Some("gzip"), 10_000);
        assert!(matches!(refused, Err(BodyError::TooLarge { limit: 10_000 })));
    }
}
