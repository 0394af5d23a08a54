//! Agent remote configs: named Collector configs that groups and agents refer to.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Api, problem::Problem, resources::Spec, view};
use crate::server::{
    fleet::{
        Catalogue, Fleet,
        resource::{AgentRemoteConfig, AgentRemoteConfigSpec, Key, Metadata},
    },
    store::Change,
};

impl Spec for AgentRemoteConfigSpec {
    const KIND: &'static str = "AgentRemoteConfig";
    const PLURAL: &'static str = "agentremoteconfigs";
    const WORDS: &'static str = "agent remote config";

    fn check(mut self, _: &Metadata, _: &Fleet, _: &Api) -> Result<Self, Problem> {
        if self.content_type.is_empty() {
            "text/yaml".clone_into(&mut self.content_type);
        }
        Ok(self)
    }

    fn all(catalogue: &Catalogue) -> &BTreeMap<Key, AgentRemoteConfig> {
        &catalogue.configs
    }

    fn all_mut(catalogue: &mut Catalogue) -> &mut BTreeMap<Key, AgentRemoteConfig> {
        &mut catalogue.configs
    }

    fn show(_: &Fleet, config: &AgentRemoteConfig) -> Value {
        view::resource(Self::KIND, config)
    }

    fn written(config: AgentRemoteConfig) -> Change {
        Change::Config(config)
    }

    fn removed(key: Key) -> Option<Change> {
        Some(Change::DeleteConfig(key))
    }
}
