//! Configs that failed on this host as it is: offered again, they fail again without being tried (F-78, I5).

use super::ConfigHash;

/// So many are remembered; a server that offers more bad configs than that has the oldest tried again.
const MOST: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Quarantine(Vec<(ConfigHash, String)>);

impl Quarantine {
    pub(super) fn of(entries: Vec<(ConfigHash, String)>) -> Self {
        let mut quarantine = Self::default();
        entries.into_iter().for_each(|(config, why)| quarantine.add(config, why));
        quarantine
    }

    pub(super) fn add(&mut self, config: ConfigHash, why: String) {
        self.0.retain(|(known, _)| *known != config);
        if self.0.len() == MOST {
            self.0.remove(0);
        }
        self.0.push((config, why));
    }

    pub(super) fn reason(&self, config: &ConfigHash) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == config).map(|(_, why)| why.as_str())
    }

    pub(super) fn entries(&self) -> &[(ConfigHash, String)] {
        &self.0
    }
}
