//! The known key that a wrong one was probably meant to be.

use super::keys::KEYS;
use crate::collector::lint::distance;

/// Keys are compared up to this length.
const LONGEST: usize = 80;

pub(super) enum Nearest {
    /// Close enough to be a slip of the hand.
    Meant(&'static str),
    /// Merely the closest that there is.
    Far(&'static str),
}

/// The nearest known key: by name, with a small preference for the same parent; a name that a sibling merely
/// makes longer (`ca` for `ca_file`, `fallback_configs` for `startup_fallback_configs`) is near too.
pub(super) fn nearest(unknown: &str) -> Nearest {
    let unknown = unknown.char_indices().nth(LONGEST).map_or(unknown, |(end, _)| &unknown[..end]);
    let (parent, name) = split(unknown);
    let mut best = (usize::MAX, "");
    for key in KEYS {
        let (key_parent, key_name) = split(key.path);
        let mut apart = distance(name, key_name) + usize::from(parent != key_parent);
        let longer =
            name.len() >= 2 && key_name.starts_with(name) || name.len() >= 5 && key_name.ends_with(name);
        if parent == key_parent && longer {
            apart = apart.min(1);
        }
        if parent.is_empty() {
            apart = apart.min(distance(unknown, key.path));
        }
        if apart < best.0 {
            best = (apart, key.path);
        }
    }
    if best.0 <= (name.chars().count() / 3).max(2) { Nearest::Meant(best.1) } else { Nearest::Far(best.1) }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or(("", path))
}

#[cfg(test)]
mod tests {
    use super::{Nearest, nearest};

    #[test]
    fn the_nearest_key_is_the_one_meant() {
        for (wrong, meant) in [
            ("agent.executble", "agent.executable"),
            ("server.end_point", "server.endpoint"),
            ("executable", "agent.executable"),
            ("agent.headers", "server.headers"),
            ("capabilites", "capabilities"),
            ("server.tls.ca", "server.tls.ca_file"),
            ("agent.fallback_configs", "agent.startup_fallback_configs"),
            ("agent_executable", "agent.executable"),
        ] {
            let (Nearest::Meant(key) | Nearest::Far(key)) = nearest(wrong);
            assert_eq!(key, meant, "{wrong}");
        }
        assert!(matches!(nearest("zzzzzzzzzzzz"), Nearest::Far(_)));
    }
}
