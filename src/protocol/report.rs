//! The parts of an agent's state. An unchanged part is left out of a message (C-SQ-03); a changed one is
//! sent whole (C-SQ-04). The client keeps what it would say, the server what it was told.

use crate::wire::{
    AgentCaps, ServerCaps,
    proto::{
        AgentCapabilities, AgentDescription, AgentToServer, AvailableComponents, ComponentHealth,
        ConnectionSettingsStatus, CustomCapabilities, EffectiveConfig, PackageStatuses, RemoteConfigStatus,
        ServerCapabilities,
    },
};

/// One part of an agent's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `agent_description`: who the agent is and where it runs.
    Description,
    /// `health`: of the agent and its components.
    Health,
    /// `effective_config`: what runs.
    EffectiveConfig,
    /// `remote_config_status`: what became of the last config offered.
    RemoteConfigStatus,
    /// `package_statuses`: what is installed, and what is on its way.
    PackageStatuses,
    /// `custom_capabilities`: the list of the agent's own.
    CustomCapabilities,
    /// `available_components`: what the agent is built of.
    AvailableComponents,
    /// `connection_settings_status`: what became of the last settings offered.
    ConnectionSettingsStatus,
}

impl Part {
    /// In the order of the bits of [`Parts`].
    pub const ALL: [Self; 8] = [
        Self::Description,
        Self::Health,
        Self::EffectiveConfig,
        Self::RemoteConfigStatus,
        Self::PackageStatuses,
        Self::CustomCapabilities,
        Self::AvailableComponents,
        Self::ConnectionSettingsStatus,
    ];

    /// The bit an agent must have to send this part.
    const fn needs_of_agent(self) -> Option<AgentCapabilities> {
        match self {
            Self::Description | Self::CustomCapabilities => None,
            Self::Health => Some(AgentCapabilities::ReportsHealth),
            Self::EffectiveConfig => Some(AgentCapabilities::ReportsEffectiveConfig),
            Self::RemoteConfigStatus => Some(AgentCapabilities::ReportsRemoteConfig),
            Self::PackageStatuses => Some(AgentCapabilities::ReportsPackageStatuses),
            Self::AvailableComponents => Some(AgentCapabilities::ReportsAvailableComponents),
            Self::ConnectionSettingsStatus => Some(AgentCapabilities::ReportsConnectionSettingsStatus),
        }
    }

    /// The bit a server must have to be sent this part (C-CP-06).
    const fn needs_of_server(self) -> Option<ServerCapabilities> {
        match self {
            Self::EffectiveConfig => Some(ServerCapabilities::AcceptsEffectiveConfig),
            Self::RemoteConfigStatus => Some(ServerCapabilities::OffersRemoteConfig),
            Self::PackageStatuses => Some(ServerCapabilities::AcceptsPackagesStatus),
            Self::ConnectionSettingsStatus => Some(ServerCapabilities::OffersConnectionSettings),
            Self::Description | Self::Health | Self::CustomCapabilities | Self::AvailableComponents => None,
        }
    }
}

/// A set of [`Part`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts(u8);

impl Parts {
    /// The empty set.
    pub const NONE: Self = Self(0);
    /// Every part there is.
    pub const ALL: Self = Self(0xff);

    /// Whether this part is in the set.
    #[must_use]
    pub const fn has(self, part: Part) -> bool {
        self.0 & (1 << part as u8) != 0
    }

    /// Adds a part.
    pub const fn insert(&mut self, part: Part) {
        self.0 |= 1 << part as u8;
    }

    /// Whether it is [`Parts::NONE`].
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The parts in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The parts in either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The parts here that are not in the other.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// One by one, in the order of [`Part::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Part> {
        Part::ALL.into_iter().filter(move |part| self.has(*part))
    }

    /// The parts an agent with these capabilities reports.
    #[must_use]
    pub fn of_agent(caps: AgentCaps) -> Self {
        Self::where_bit(|part| part.needs_of_agent().is_none_or(|bit| caps.has(bit)))
    }

    /// The parts a server with these capabilities takes; one that has said nothing yet takes all.
    #[must_use]
    pub fn of_server(caps: ServerCaps) -> Self {
        Self::where_bit(|part| {
            caps.is_unspecified() || part.needs_of_server().is_none_or(|bit| caps.has(bit))
        })
    }

    fn where_bit(wanted: impl Fn(Part) -> bool) -> Self {
        let mut parts = Self::NONE;
        Part::ALL.into_iter().filter(|part| wanted(*part)).for_each(|part| parts.insert(part));
        parts
    }
}

/// The state itself. `available_components` holds the whole map; whether a message carries the map or only
/// its hash is the sender's choice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// [`Part::Description`].
    pub description: Option<AgentDescription>,
    /// [`Part::Health`].
    pub health: Option<ComponentHealth>,
    /// [`Part::EffectiveConfig`].
    pub effective_config: Option<EffectiveConfig>,
    /// [`Part::RemoteConfigStatus`].
    pub remote_config_status: Option<RemoteConfigStatus>,
    /// [`Part::PackageStatuses`].
    pub package_statuses: Option<PackageStatuses>,
    /// [`Part::CustomCapabilities`].
    pub custom_capabilities: Option<CustomCapabilities>,
    /// [`Part::AvailableComponents`]; the map is empty while only its hash is known.
    pub available_components: Option<AvailableComponents>,
    /// [`Part::ConnectionSettingsStatus`].
    pub connection_settings_status: Option<ConnectionSettingsStatus>,
}

impl Report {
    /// The parts that are there.
    #[must_use]
    pub const fn present(&self) -> Parts {
        let mut parts = Parts::NONE;
        macro_rules! note {
            ($($field:ident => $part:ident),*) => {
                $(if self.$field.is_some() { parts.insert(Part::$part); })*
            };
        }
        note!(
            description => Description, health => Health, effective_config => EffectiveConfig,
            remote_config_status => RemoteConfigStatus, package_statuses => PackageStatuses,
            custom_capabilities => CustomCapabilities, available_components => AvailableComponents,
            connection_settings_status => ConnectionSettingsStatus
        );
        parts
    }

    /// Copies the given parts into a message; of the components, only the hash.
    pub fn copy_into(&self, parts: Parts, message: &mut AgentToServer) {
        macro_rules! copy {
            ($($part:ident: $from:ident => $to:ident),*) => {
                $(if parts.has(Part::$part) { message.$to.clone_from(&self.$from); })*
            };
        }
        copy!(
            Description: description => agent_description, Health: health => health,
            EffectiveConfig: effective_config => effective_config,
            RemoteConfigStatus: remote_config_status => remote_config_status,
            PackageStatuses: package_statuses => package_statuses,
            CustomCapabilities: custom_capabilities => custom_capabilities,
            ConnectionSettingsStatus: connection_settings_status => connection_settings_status
        );
        if parts.has(Part::AvailableComponents)
            && let Some(components) = &self.available_components
        {
            message.available_components =
                Some(AvailableComponents { hash: components.hash.clone(), ..Default::default() });
        }
    }

    /// Takes the parts that a message carries, and says which of them are new or different.
    pub fn take_from(&mut self, message: &mut AgentToServer) -> Parts {
        let mut changed = Parts::NONE;
        macro_rules! take {
            ($($part:ident: $from:ident => $to:ident),*) => {
                $(if let Some(new) = message.$from.take() && self.$to.as_ref() != Some(&new) {
                    self.$to = Some(new);
                    changed.insert(Part::$part);
                })*
            };
        }
        take!(
            Description: agent_description => description, Health: health => health,
            EffectiveConfig: effective_config => effective_config,
            RemoteConfigStatus: remote_config_status => remote_config_status,
            PackageStatuses: package_statuses => package_statuses,
            CustomCapabilities: custom_capabilities => custom_capabilities,
            ConnectionSettingsStatus: connection_settings_status => connection_settings_status
        );
        if let Some(new) = message.available_components.take() {
            let known = self.available_components.as_ref();
            // Without a hash, which there must be (C-AC-02), only the map itself can be compared.
            let same =
                known.is_some_and(|known| known.hash == new.hash && !new.hash.is_empty() || *known == new);
            let more = known.is_none_or(|known| known.components.is_empty()) && !new.components.is_empty();
            if !same || more {
                self.available_components = Some(new);
                changed.insert(Part::AvailableComponents);
            }
        }
        changed
    }
}

/// The parts that a message carries.
#[must_use]
pub fn carried(message: &AgentToServer) -> Parts {
    Parts::where_bit(|part| match part {
        Part::Description => message.agent_description.is_some(),
        Part::Health => message.health.is_some(),
        Part::EffectiveConfig => message.effective_config.is_some(),
        Part::RemoteConfigStatus => message.remote_config_status.is_some(),
        Part::PackageStatuses => message.package_statuses.is_some(),
        Part::CustomCapabilities => message.custom_capabilities.is_some(),
        Part::AvailableComponents => message.available_components.is_some(),
        Part::ConnectionSettingsStatus => message.connection_settings_status.is_some(),
    })
}
