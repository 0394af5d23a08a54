//! Packages: what agents can be given beside configs, by name and version.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Api, problem::Problem, resources::Spec, view};
use crate::server::{
    fleet::{
        Catalogue, Fleet,
        resource::{AgentPackage, AgentPackageSpec, Key, Metadata},
    },
    store::Change,
};

impl Spec for AgentPackageSpec {
    const KIND: &'static str = "AgentPackage";
    const PLURAL: &'static str = "agentpackages";
    const WORDS: &'static str = "agent package";

    fn check(self, metadata: &Metadata, _: &Fleet, api: &Api) -> Result<Self, Problem> {
        Self::check(&self, &metadata.name, |file| api.files.size(file))?;
        Ok(self)
    }

    fn all(catalogue: &Catalogue) -> &BTreeMap<Key, AgentPackage> {
        &catalogue.packages
    }

    fn all_mut(catalogue: &mut Catalogue) -> &mut BTreeMap<Key, AgentPackage> {
        &mut catalogue.packages
    }

    fn show(_: &Fleet, package: &AgentPackage) -> Value {
        view::resource(Self::KIND, package)
    }

    fn written(package: AgentPackage) -> Change {
        Change::Package(package)
    }

    fn removed(key: Key) -> Option<Change> {
        Some(Change::DeletePackage(key))
    }
}
