//! A look at a Collector config before it is sent: is it YAML at all?

use super::error::Error;

/// Refuses a text that cannot be read as YAML, with the place.
pub(super) fn check(text: &str, origin: &str) -> Result<(), Error> {
    match serde_yaml::from_str::<serde_yaml::Value>(text) {
        Ok(_) => Ok(()),
        Err(e) => Err(Error::Content { origin: origin.to_owned(), what: e.to_string() }),
    }
}
