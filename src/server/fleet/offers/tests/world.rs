//! A fleet without a network: agents that are told what they are offered, and say what they are told to.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::*;
use crate::{
    protocol::server::Session,
    server::{
        fleet::{
            Agent, DEFAULT_NAMESPACE, Fleet, Transport,
            resource::{AgentPackage, Key, Metadata, PackageOffer},
            telling::Telling,
        },
        identity::Register,
    },
    wire::{
        ServerCaps, attrs,
        proto::{
            AgentCapabilities, AgentDescription, AgentToServer, PackageStatus, PackageStatusEnum,
            PackageStatuses, PackagesAvailable, ServerCapabilities,
        },
    },
};

pub(super) const HASH: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
pub(super) const OTHER: &str = "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
pub(super) const NOW: Timestamp = Timestamp::UNIX_EPOCH;
/// Of an agent that takes packages and says what becomes of them.
pub(super) const ABLE: u64 = AgentCapabilities::ReportsStatus as u64
    | AgentCapabilities::AcceptsPackages as u64
    | AgentCapabilities::ReportsPackageStatuses as u64;

pub(super) fn uid(number: u16) -> InstanceUid {
    let mut bytes = [7; 16];
    bytes[14..].copy_from_slice(&number.to_be_bytes());
    InstanceUid::from_bytes(bytes)
}

pub(super) fn metadata(name: &str) -> Metadata {
    let (namespace, name) = (DEFAULT_NAMESPACE.to_owned(), name.to_owned());
    Metadata { namespace, name, attributes: None, created_at: NOW, deleted_at: None }
}

pub(super) fn key(name: &str) -> Key {
    Key::new(DEFAULT_NAMESPACE, name)
}

/// A fleet, and the sessions of its agents.
pub(super) struct World {
    pub(super) fleet: Fleet,
    sessions: std::collections::BTreeMap<InstanceUid, Session>,
}

impl World {
    pub(super) fn of(agents: u16) -> Self {
        let mut world = Self { fleet: Fleet::default(), sessions: Default::default() };
        for number in 0..agents {
            world.connect(number, ABLE, &[("os.type", "linux"), ("host.arch", "amd64")]);
        }
        world
    }

    pub(super) fn connect(&mut self, number: u16, capabilities: u64, described: &[(&str, &str)]) {
        let caps =
            ServerCaps::of(&[ServerCapabilities::OffersPackages, ServerCapabilities::AcceptsPackagesStatus]);
        self.sessions.insert(uid(number), Session::new(caps));
        let attributes = described.iter().map(|(key, value)| attrs::string(*key, *value)).collect();
        let description = AgentDescription { non_identifying_attributes: attributes, ..Default::default() };
        let message =
            AgentToServer { capabilities, agent_description: Some(description), ..Default::default() };
        self.hear(number, message);
        let agent = self.agent_mut(number);
        agent.set_connected(Some(Transport::WebSocket), NOW);
        agent.reached_at = Some("ws://127.0.0.1:4320/v1/opamp".to_owned());
    }

    pub(super) fn agent(&self, number: u16) -> &Agent {
        &self.fleet.agents[&uid(number)]
    }

    pub(super) fn agent_mut(&mut self, number: u16) -> &mut Agent {
        self.fleet.agents.get_mut(&uid(number)).unwrap()
    }

    pub(super) fn hear(&mut self, number: u16, message: AgentToServer) {
        let message = AgentToServer { instance_uid: uid(number).to_vec(), ..message };
        let session = self.sessions.get_mut(&uid(number)).unwrap();
        let (agent, catalogue, _) = self.fleet.agent_entry(uid(number), NOW);
        agent.receive(session, message, catalogue, NOW);
        let telling = Telling { custom: &[], register: &Register::default(), now: NOW };
        agent.reply(session, &telling);
    }

    pub(super) fn package(&mut self, name: &str, spec: Value) {
        let spec = serde_json::from_value(spec).unwrap();
        let package = AgentPackage { metadata: metadata(name), spec, conditions: Vec::new() };
        self.fleet.catalogue.packages.insert(key(name), package);
    }

    /// Of one version of the Collector, for two kinds of hosts.
    pub(super) fn otelcol(&mut self, name: &str, version: &str) {
        self.package(name, json!({"packageName": "otelcol", "packageType": "TopLevel", "version": version,
            "variants": [{"os": "linux", "arch": "amd64", "file": HASH}, {"os": "linux", "arch": "arm64", "file": OTHER}]}));
    }

    pub(super) fn offer(&mut self, name: &str, spec: Value) {
        let spec = serde_json::from_value(spec).unwrap();
        let offer = PackageOffer { metadata: metadata(name), spec, conditions: Vec::new() };
        self.fleet.catalogue.offers.insert(key(name), offer);
        self.roll();
    }

    pub(super) fn withdraw(&mut self, name: &str) {
        self.fleet.catalogue.offers.remove(&key(name));
        self.roll();
    }

    pub(super) fn roll(&mut self) -> Rolled {
        self.fleet.reconsider(DEFAULT_NAMESPACE, NOW);
        self.fleet.roll(NOW)
    }

    pub(super) fn progress(&self, name: &str) -> (Phase, Progress) {
        let offer = &self.fleet.catalogue.offers[&key(name)];
        let progress = self.fleet.progress(offer);
        (progress.phase(offer), progress)
    }

    /// Phase, targets, waiting, in flight, installed, failed.
    pub(super) fn counts(&self, name: &str) -> (Phase, [usize; 5]) {
        let (phase, p) = self.progress(name);
        (phase, [p.targets, p.waiting, p.in_flight, p.installed, p.failed])
    }

    /// What the agent is told unprompted.
    pub(super) fn told(&mut self, number: u16) -> Option<PackagesAvailable> {
        let session = self.sessions.get_mut(&uid(number)).unwrap();
        let Fleet { agents, register, .. } = &mut self.fleet;
        let telling = Telling { custom: &[], register, now: NOW };
        agents.get_mut(&uid(number)).unwrap().push(session, &telling)?.packages_available
    }

    pub(super) fn in_flight(&self) -> Vec<u16> {
        let agents = self.fleet.agents.values();
        let flying = agents.filter(|agent| {
            agent.packages.wanted.values().any(|wanted| agent.state_of(&wanted.artefact).is_in_flight())
        });
        flying
            .map(|agent| u16::from_be_bytes(agent.view.instance_uid.as_bytes()[14..].try_into().unwrap()))
            .collect()
    }

    /// The agent says that it is so far with everything that it was given.
    pub(super) fn says(&mut self, number: u16, status: PackageStatusEnum) {
        let given = self.agent(number).packages.given.clone();
        let all = self.agent(number).packages.all_packages_hash().unwrap().to_vec();
        let packages = given.into_iter().map(|(name, given)| {
            let hash = given.artefact.hash.clone();
            let done = status == PackageStatusEnum::Installed;
            let failed = status == PackageStatusEnum::InstallFailed;
            let said = PackageStatus {
                name: name.clone(),
                agent_has_hash: if done { hash.clone() } else { Vec::new() },
                server_offered_hash: hash,
                status: status as i32,
                error_message: if failed { "no space left".to_owned() } else { String::new() },
                ..Default::default()
            };
            (name, said)
        });
        let statuses = PackageStatuses {
            packages: packages.collect(),
            server_provided_all_packages_hash: all,
            error_message: String::new(),
        };
        let sequence_num = self.agent(number).view.sequence_num.map_or(1, |last| last + 1);
        let message = AgentToServer { sequence_num, package_statuses: Some(statuses), ..Default::default() };
        self.hear(number, message);
        self.roll();
    }
}
