//! Custom messages: which may be sent, by either end.

use crate::wire::proto::CustomMessage;

/// A custom message that is not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("this end does not advertise the custom capability {0:?}")]
    NotOurs(String),
    #[error("the peer does not advertise the custom capability {0:?}")]
    NotTheirs(String),
    #[error("{0} custom messages wait to be sent already; try again later")]
    Full(usize),
}

/// Whether both ends advertise the message's capability (B-CU-06).
pub fn check(message: &CustomMessage, ours: &[String], theirs: &[String]) -> Result<(), Refused> {
    let capability = &message.capability;
    if !ours.contains(capability) {
        return Err(Refused::NotOurs(capability.clone()));
    }
    if !theirs.contains(capability) {
        return Err(Refused::NotTheirs(capability.clone()));
    }
    Ok(())
}
