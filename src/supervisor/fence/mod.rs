//! What a remote config may ask of this host: the `restrictions` of `supervisor.yaml`, judged on the parsed tree.
//!
//! Local layers are the operator's and are not judged. Nothing is looked up, opened or expanded: what cannot be
//! judged by its text alone is refused, and so is a text that two YAML parsers may read differently. An entry of
//! an allow-list that is the value itself, to the letter, always does.
//!
//! - `walk`: through a layer's tree, section by section; `keys`: which of its keys name paths and endpoints
//! - `reference`: `${…}`; `path`, `endpoint`: what a value means, and whether it is allowed; `pattern`: hosts
//!
//! Not here: what the kernel keeps the Collector from (`os::sandbox`), what the overlay owns (`compose`).
//! Pure. Called by `check` before the binary sees a config, and at start-up for what is stored.

mod endpoint;
mod keys;
mod path;
mod pattern;
mod reference;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

pub use path::{Allowed, InvalidPath};
pub use pattern::{InvalidPattern, Pattern};

use crate::collector::{
    components::Section,
    lint::{Diagnostic, Layer, read_strictly},
};

/// Most findings of one check.
const MAX_FINDINGS: usize = 50;

/// `restrictions`: an absent list restricts nothing, an empty one allows nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restrictions {
    /// Types by section.
    pub components: BTreeMap<Section, BTreeSet<String>>,
    pub paths: Option<Vec<Allowed>>,
    pub endpoints: Option<Vec<Pattern>>,
    /// Variables that `${env:…}` may name; here, absent means none.
    pub env: BTreeSet<String>,
}

impl Restrictions {
    /// Whether something may be sent there.
    #[must_use]
    pub fn allow_endpoint(&self, endpoint: &str) -> bool {
        self.endpoints.as_ref().is_none_or(|allowed| endpoint::judge(endpoint, allowed).is_ok())
    }

    /// What these layers, all of them remote, ask for without being allowed to.
    #[must_use]
    pub fn judge(&self, layers: &[Layer<'_>]) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for index in 0..layers.len() {
            match read_strictly(layers, index) {
                Ok(root) => found.extend(walk::walk(self, layers, &root)),
                Err(faults) => found.extend(faults),
            }
        }
        found.truncate(MAX_FINDINGS);
        found
    }
}

/// What is allowed, for the end of a message.
fn allowed<T: AsRef<str>>(entries: impl IntoIterator<Item = T>) -> String {
    const MOST: usize = 20;
    let mut entries: Vec<String> = entries.into_iter().map(|entry| entry.as_ref().to_owned()).collect();
    let all = entries.len();
    entries.truncate(MOST);
    let list = entries.join(", ");
    match all {
        0 => "nothing is allowed".to_owned(),
        _ if all > MOST => format!("allowed is {list}, … ({all} in all)"),
        _ => format!("allowed is {list}"),
    }
}
