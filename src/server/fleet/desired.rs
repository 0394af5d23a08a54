//! The config that an agent should run, computed from groups and from what is set on the agent.
//! Under one name a config set on the agent wins, then the group of higher priority; two groups
//! of the same priority that disagree leave the agent with what it has.

use std::{collections::BTreeMap, sync::Arc};

use sha2::{Digest, Sha256};

use super::{
    Catalogue,
    resource::{AgentGroup, AgentSpec, GroupRemoteConfig, Key},
    selector::Described,
};
use crate::wire::proto::{AgentConfigMap, AgentConfigObject, AgentRemoteConfig};

/// A resolved set of configs as an offer, with the hash by which agents name it (S-RC-04).
#[must_use]
pub fn offer(map: BTreeMap<String, AgentConfigObject>) -> AgentRemoteConfig {
    let config_hash = hash(&map).to_vec();
    AgentRemoteConfig { config: Some(AgentConfigMap { config_map: map }), config_hash }
}

/// SHA-256 over every name, content type and body in name order, each with its length before it.
fn hash(map: &BTreeMap<String, AgentConfigObject>) -> [u8; 32] {
    let mut sha = Sha256::new();
    for (name, object) in map {
        for part in [name.as_bytes(), object.content_type.as_bytes(), &object.body] {
            sha.update((part.len() as u64).to_be_bytes());
            sha.update(part);
        }
    }
    sha.finalize().into()
}

/// Why no config could be worked out; the agent keeps what it has until this is mended.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unresolved {
    #[error(
        "agent remote config {config:?} does not exist in namespace {namespace:?}; {used_by} refers to it"
    )]
    Missing { config: String, namespace: String, used_by: String },
    #[error(
        "groups {first:?} and {second:?} both have priority {priority} and give different bodies for config \
         {config:?}; give one of them a higher priority"
    )]
    Tie { config: String, first: String, second: String, priority: i64 },
}

/// What to do about an agent's config.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// No group and no operator gives this agent a config: its own one is none of our business.
    Unmanaged,
    Config(Arc<AgentRemoteConfig>),
    Unresolved(Unresolved),
}

struct Candidate<'a> {
    object: AgentConfigObject,
    group: &'a str,
    priority: i64,
}

impl Catalogue {
    /// Works out the config of an agent in `namespace` that describes itself so.
    #[must_use]
    pub fn resolve(&self, namespace: &str, described: &Described, spec: &AgentSpec) -> Outcome {
        let result = self.of_groups(namespace, described).and_then(|mut map| {
            map.extend(self.of_spec(namespace, spec)?);
            Ok(map)
        });
        match result {
            Ok(map) if map.is_empty() => Outcome::Unmanaged,
            Ok(map) => Outcome::Config(Arc::new(offer(map))),
            Err(problem) => Outcome::Unresolved(problem),
        }
    }

    fn of_groups(
        &self,
        namespace: &str,
        described: &Described,
    ) -> Result<BTreeMap<String, AgentConfigObject>, Unresolved> {
        let mut chosen: BTreeMap<String, Candidate<'_>> = BTreeMap::new();
        let mut ties: BTreeMap<String, (i64, Unresolved)> = BTreeMap::new();
        for group in self.groups_in(namespace).filter(|group| group.spec.selector.matches(described)) {
            let name = group.metadata.name.as_str();
            let priority = group.spec.priority;
            for (config, object) in self.configs_of(group)? {
                match chosen.get(&config) {
                    Some(other) if other.priority > priority => continue,
                    Some(other) if other.priority == priority && other.object != object => {
                        let (first, second) = (other.group.to_owned(), name.to_owned());
                        let tie = Unresolved::Tie { config: config.clone(), first, second, priority };
                        ties.insert(config, (priority, tie));
                        continue;
                    }
                    _ => {}
                }
                chosen.insert(config, Candidate { object, group: name, priority });
            }
        }
        // A tie that a group of higher priority has settled is none.
        let open = ties.into_iter().find(|(config, (priority, _))| chosen[config].priority == *priority);
        match open {
            Some((_, (_, tie))) => Err(tie),
            None => Ok(chosen.into_iter().map(|(name, candidate)| (name, candidate.object)).collect()),
        }
    }

    /// The configs that one group gives, by name.
    pub fn configs_of(&self, group: &AgentGroup) -> Result<Vec<(String, AgentConfigObject)>, Unresolved> {
        let namespace = &group.metadata.namespace;
        let entries = group.spec.agent_config.iter().flat_map(|config| &config.agent_remote_configs);
        entries
            .filter_map(|entry| match entry {
                GroupRemoteConfig { agent_remote_config_ref: Some(name), .. } => {
                    let used_by = || format!("agent group {:?}", group.metadata.name);
                    Some(self.referenced(namespace, name, used_by).map(|object| (name.clone(), object)))
                }
                GroupRemoteConfig {
                    agent_remote_config_name: Some(name),
                    agent_remote_config_spec: Some(spec),
                    ..
                } => Some(Ok((name.clone(), object(&spec.value, &spec.content_type)))),
                _ => None,
            })
            .collect()
    }

    fn of_spec(
        &self,
        namespace: &str,
        spec: &AgentSpec,
    ) -> Result<BTreeMap<String, AgentConfigObject>, Unresolved> {
        let Some(direct) = &spec.remote_config else { return Ok(BTreeMap::new()) };
        let mut map = BTreeMap::new();
        for name in &direct.remote_config_names {
            let object = self.referenced(namespace, name, || "the agent's spec".to_owned())?;
            map.insert(name.clone(), object);
        }
        for (name, pushed) in &direct.config_map {
            map.insert(name.clone(), object(&pushed.body, &pushed.content_type));
        }
        Ok(map)
    }

    fn referenced(
        &self,
        namespace: &str,
        name: &str,
        used_by: impl Fn() -> String,
    ) -> Result<AgentConfigObject, Unresolved> {
        match self.configs.get(&Key::new(namespace, name)) {
            Some(config) => Ok(object(&config.spec.value, &config.spec.content_type)),
            None => Err(Unresolved::Missing {
                config: name.to_owned(),
                namespace: namespace.to_owned(),
                used_by: used_by(),
            }),
        }
    }
}

fn object(value: &str, content_type: &str) -> AgentConfigObject {
    AgentConfigObject {
        body: value.as_bytes().to_vec(),
        content_type: content_type.to_owned(),
        role: String::new(),
    }
}
