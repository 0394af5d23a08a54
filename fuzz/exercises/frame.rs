//! A WebSocket message, as a server or an agent would read it.

use opamp::wire::{
    frame,
    proto::{AgentToServer, ServerToAgent},
};
use prost::Message;

/// Small, so that the fuzzer finds both of its sides.
const LIMIT: usize = 4096;

pub(crate) fn exercise(data: &[u8]) {
    either::<AgentToServer>(data);
    either::<ServerToAgent>(data);
}

/// What was read can be written, and is then read as the same.
fn either<M: Message + Default>(data: &[u8]) {
    let Ok(message) = frame::decode::<M>(data, LIMIT) else { return };
    assert!(data.len() <= LIMIT, "read over the limit");
    match frame::encode(&message, LIMIT) {
        Ok(bytes) => {
            assert!(bytes.len() <= LIMIT, "written over the limit");
            let again: M = frame::decode(&bytes, LIMIT).expect("what was written can be read");
            // Compared as bytes: a NaN is not equal to itself.
            assert_eq!(again.encode_to_vec(), bytes[1..]);
        }
        Err(error) => assert!(matches!(error, frame::FrameError::TooLarge { .. }), "{error}"),
    }
}
