//! Available components: per section of a Collector config, the types a binary knows.
//!
//! Filled by `bootstrap` (from the binary) or from the message of the Collector's own opamp extension,
//! which does not list aliases: so lists are [merged](Components::merge), never replaced. Pure.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::wire::{
    attrs,
    proto::{AvailableComponents, ComponentDetails},
};

/// Key of the metadata attribute that carries a component's Go module and version (C-AC-07).
const CODE_NAMESPACE: &str = "code.namespace";

/// A section of a Collector config that defines components.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    Receivers,
    Processors,
    Exporters,
    Extensions,
    Connectors,
}

impl Section {
    pub const ALL: [Self; 5] =
        [Self::Receivers, Self::Processors, Self::Exporters, Self::Extensions, Self::Connectors];

    /// The name as in YAML.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Receivers => "receivers",
            Self::Processors => "processors",
            Self::Exporters => "exporters",
            Self::Extensions => "extensions",
            Self::Connectors => "connectors",
        }
    }

    /// What one entry is called.
    #[must_use]
    pub const fn singular(self) -> &'static str {
        match self {
            Self::Receivers => "receiver",
            Self::Processors => "processor",
            Self::Exporters => "exporter",
            Self::Extensions => "extension",
            Self::Connectors => "connector",
        }
    }

    /// The section of this name in YAML.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|section| section.as_str() == name)
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The types of one section, each with its Go module and version if known.
pub type Types = BTreeMap<String, Option<String>>;

/// The components a Collector has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Components {
    pub sections: BTreeMap<Section, Types>,
    /// Every type is listed, aliases too: what is not here does not exist. When it is false, only the
    /// Collector's own `validate` can say that a type is missing.
    pub complete: bool,
}

impl Components {
    #[must_use]
    pub fn has(&self, section: Section, kind: &str) -> bool {
        self.sections.get(&section).is_some_and(|types| types.contains_key(kind))
    }

    /// The types of a section in alphabetical order.
    pub fn types(&self, section: Section) -> impl Iterator<Item = &str> {
        self.sections.get(&section).into_iter().flat_map(|types| types.keys().map(String::as_str))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sections.values().all(BTreeMap::is_empty)
    }

    /// Adds one type; a module that is already known stays when none is given.
    pub fn insert(&mut self, section: Section, kind: impl Into<String>, module: Option<String>) {
        let known = self.sections.entry(section).or_default().entry(kind.into()).or_default();
        if module.is_some() {
            *known = module;
        }
    }

    /// Adds what `other` knows of the same binary. Its modules win; complete if either is.
    pub fn merge(&mut self, other: Self) {
        for (section, types) in other.sections {
            for (kind, module) in types {
                self.insert(section, kind, module);
            }
        }
        self.complete |= other.complete;
    }

    /// SHA-256 over the content: equal for every agent with the same components (C-AC-03), and for equal
    /// content the same as the Collector's opamp extension computes.
    #[must_use]
    pub fn hash(&self) -> Vec<u8> {
        let mut text = String::new();
        for section in Section::ALL {
            text.push_str(section.singular());
            text.push(':');
            for (kind, module) in self.sections.get(&section).into_iter().flatten() {
                text.push_str(kind);
                text.push('=');
                text.push_str(module.as_deref().unwrap_or_default());
                text.push(';');
            }
        }
        Sha256::digest(text.as_bytes()).to_vec()
    }

    /// The full message, in the shape that the opamp extension sends: section → type → `code.namespace`.
    #[must_use]
    pub fn to_wire(&self) -> AvailableComponents {
        let section = |section: Section| {
            let types = self.sections.get(&section).into_iter().flatten();
            let sub_component_map = types.map(|(kind, module)| (kind.clone(), details(module.as_deref())));
            let details =
                ComponentDetails { sub_component_map: sub_component_map.collect(), ..Default::default() };
            (section.as_str().to_owned(), details)
        };
        AvailableComponents { components: Section::ALL.map(section).into(), hash: self.hash() }
    }

    /// The message of a first report: the hash alone (C-AC-02, C-AC-04).
    #[must_use]
    pub fn wire_hash_only(&self) -> AvailableComponents {
        AvailableComponents { components: BTreeMap::new(), hash: self.hash() }
    }

    /// What an agent's message lists. Sections of other names are left out. Never complete, for the
    /// extension does not list aliases.
    #[must_use]
    pub fn from_wire(message: &AvailableComponents) -> Self {
        let mut components = Self::default();
        for (name, details) in &message.components {
            let Some(section) = Section::parse(name) else { continue };
            for (kind, details) in &details.sub_component_map {
                let module = attrs::get(&details.metadata, CODE_NAMESPACE).filter(|text| !text.is_empty());
                components.insert(section, kind.clone(), module);
            }
        }
        components
    }
}

fn details(module: Option<&str>) -> ComponentDetails {
    let metadata = module.map(|module| attrs::string(CODE_NAMESPACE, module)).into_iter().collect();
    ComponentDetails { metadata, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Components {
        let mut components = Components::default();
        components.insert(Section::Receivers, "otlp", Some("example.com/otlpreceiver v1.2.3".into()));
        components.insert(Section::Receivers, "filelog", None);
        components.insert(Section::Exporters, "debug", Some("example.com/debug v1".into()));
        components
    }

    #[test]
    fn c_ac_05_and_07_the_wire_form_round_trips() {
        let components = sample();
        let wire = components.to_wire();
        assert_eq!(
            wire.components.keys().collect::<Vec<_>>(),
            ["connectors", "exporters", "extensions", "processors", "receivers"]
        );
        let otlp = &wire.components["receivers"].sub_component_map["otlp"];
        assert_eq!(attrs::get(&otlp.metadata, "code.namespace").unwrap(), "example.com/otlpreceiver v1.2.3");
        assert_eq!(Components::from_wire(&wire), components);
    }

    #[test]
    fn c_ac_02_to_04_the_hash_is_of_the_content() {
        let mut other = Components::default();
        other.insert(Section::Exporters, "debug", Some("example.com/debug v1".into()));
        other.insert(Section::Receivers, "filelog", None);
        other.insert(Section::Receivers, "otlp", Some("example.com/otlpreceiver v1.2.3".into()));
        assert_eq!(other.hash(), sample().hash());
        assert_eq!(other.hash().len(), 32);
        assert_eq!(other.wire_hash_only().hash, other.to_wire().hash);
        assert!(other.wire_hash_only().components.is_empty());
        other.insert(Section::Connectors, "forward", None);
        assert_ne!(other.hash(), sample().hash());
    }

    #[test]
    fn merging_keeps_aliases_and_modules() {
        let mut components = sample();
        components.complete = true;
        let mut extension = Components::default();
        extension.insert(Section::Receivers, "otlp", Some("example.com/otlpreceiver v2".into()));
        extension.insert(Section::Exporters, "debug", None);
        components.merge(extension);
        assert!(components.complete);
        assert!(components.has(Section::Receivers, "filelog"));
        assert_eq!(
            components.sections[&Section::Receivers]["otlp"].as_deref(),
            Some("example.com/otlpreceiver v2")
        );
        assert_eq!(
            components.sections[&Section::Exporters]["debug"].as_deref(),
            Some("example.com/debug v1")
        );
    }

    #[test]
    fn the_cache_form_names_the_sections() {
        let json = serde_json::to_value(sample()).unwrap();
        assert!(json["sections"]["receivers"]["filelog"].is_null());
        assert_eq!(serde_json::from_value::<Components>(json).unwrap(), sample());
    }
}
