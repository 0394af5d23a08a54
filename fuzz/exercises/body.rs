//! A body of the plain HTTP transport: the first byte chooses its Content-Encoding.

use opamp::wire::{
    body::{self, BodyError},
    proto::{AgentToServer, ServerToAgent},
};
use prost::Message;

const LIMIT: usize = 64 * 1024;
const ENCODINGS: [Option<&str>; 6] =
    [None, Some("gzip"), Some(" GZIP "), Some("identity"), Some(""), Some("br")];

pub(crate) fn exercise(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else { return };
    let encoding = ENCODINGS[usize::from(*choice) % ENCODINGS.len()];
    either::<AgentToServer>(bytes, encoding);
    either::<ServerToAgent>(bytes, encoding);
}

fn either<M: Message + Default>(bytes: &[u8], encoding: Option<&str>) {
    let message = match body::decode::<M>(bytes, encoding, LIMIT) {
        Ok(message) => message,
        Err(BodyError::Encoding(_)) => return assert_eq!(encoding, Some("br")),
        Err(_) => return,
    };
    let Ok(plain) = body::encode(&message, LIMIT) else { return };
    let again: M =
        body::decode(&body::gzip(&plain), Some("gzip"), LIMIT).expect("what was packed can be read");
    assert_eq!(again.encode_to_vec(), plain);
}
