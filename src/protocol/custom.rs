//! Custom messages: which may be sent, by either end.

use crate::wire::proto::CustomMessage;

/// A custom message that is not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The sender itself has not said that it can do this.
    #[error("this end does not advertise the custom capability {0:?}")]
    NotOurs(String),
    /// The peer has not said that it can do this, or has not said anything yet.
    #[error("the peer does not advertise the custom capability {0:?}")]
    NotTheirs(String),
    /// As many as may wait do, because the connection is slow or not there.
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

/// Service discovery, which both ends of this project have: `docs/discovery.md`.
pub const DISCOVERY: &str = "io.github.opamp-supervisor.discovery/v1";

/// A name that no custom capability can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name of a custom capability; write a reverse domain name of at least two parts, and a version behind a \
     slash if it has one, such as com.example.echo/v1"
)]
pub struct BadName(pub String);

/// Checks a custom capability's name (B-CU-03): a reverse domain name with the capability's own name as its last
/// part, and perhaps a version.
pub fn check_name(name: &str) -> Result<(), BadName> {
    let (path, version) = name.split_once('/').map_or((name, None), |(path, version)| (path, Some(version)));
    let part = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let version = version.is_none_or(|version| version.split('.').all(part));
    let good = path.split('.').count() >= 2 && path.split('.').all(part) && version && name.len() <= 255;
    if good { Ok(()) } else { Err(BadName(name.chars().take(80).collect())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b_cu_03_names_are_reverse_domain_names_with_perhaps_a_version() {
        for good in [DISCOVERY, "com.example.echo", "org.opentelemetry.collector.receiver/1.2", "io.x.a_b/v2"]
        {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "echo",
            "com..echo",
            "com.example.echo/",
            "com.example/a/b",
            "com.example.e cho",
            ".com",
            "a.b/1..2",
        ] {
            assert_eq!(check_name(bad), Err(BadName(bad.to_owned())));
        }
    }

    #[test]
    fn b_cu_06_a_message_needs_a_capability_that_both_ends_advertise() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let message = CustomMessage { capability: "a.b".to_owned(), ..Default::default() };
        assert_eq!(check(&message, &list(&["a.b"]), &list(&["x.y", "a.b"])), Ok(()));
        assert_eq!(
            check(&message, &list(&["x.y"]), &list(&["a.b"])),
            Err(Refused::NotOurs("a.b".to_owned()))
        );
        assert_eq!(check(&message, &list(&["a.b"]), &[]), Err(Refused::NotTheirs("a.b".to_owned())));
    }
}
