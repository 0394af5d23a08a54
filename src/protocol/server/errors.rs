//! Answers instead of an answer. Nothing else goes with them (S-HL-03).

use crate::wire::proto::{
    RetryInfo, ServerErrorResponse, ServerErrorResponseType, ServerToAgent, server_error_response::Details,
};

/// An answer to a message that could not be processed (S-TH-04, S-TH-05).
#[must_use]
pub fn bad_request(instance_uid: &[u8], why: impl Into<String>) -> ServerToAgent {
    error(instance_uid, ServerErrorResponseType::BadRequest, why.into(), None)
}

/// An answer that asks the agent to come back later (S-TH-01).
#[must_use]
pub fn unavailable(instance_uid: &[u8], why: impl Into<String>, after: std::time::Duration) -> ServerToAgent {
    let nanoseconds = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
    let details = Details::RetryInfo(RetryInfo { retry_after_nanoseconds: nanoseconds });
    error(instance_uid, ServerErrorResponseType::Unavailable, why.into(), Some(details))
}

fn error(uid: &[u8], kind: ServerErrorResponseType, why: String, details: Option<Details>) -> ServerToAgent {
    ServerToAgent {
        instance_uid: uid.to_vec(),
        error_response: Some(ServerErrorResponse { r#type: kind as i32, error_message: why, details }),
        ..Default::default()
    }
}
