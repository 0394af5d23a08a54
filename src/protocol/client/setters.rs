//! The parts of the agent's state, one setter each.

use super::Client;
use crate::wire::proto::{
    AgentDescription, AvailableComponents, ComponentHealth, ConnectionSettingsStatus, CustomCapabilities,
    EffectiveConfig, PackageStatuses, RemoteConfigStatus,
};

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $field:ident, $part:ident, $type:ty;)*) => {
        /// The parts of the agent's state. Setting what is already set says nothing (C-SQ-13).
        impl Client {
            $($(#[$doc])*
            pub fn $name(&mut self, value: $type) {
                if self.report.$field.as_ref() != Some(&value) {
                    self.report.$field = Some(value);
                    self.dirty.insert(crate::protocol::report::Part::$part);
                }
            })*
        }
    };
}

setters! {
    /// Who the agent is and where it runs. Set before the first dial: the first message must carry it (C-TC-02).
    set_description: description, Description, AgentDescription;
    /// The health of the agent as a whole, with its components below it.
    set_health: health, Health, ComponentHealth;
    /// The config that runs, secrets removed by the caller.
    set_effective_config: effective_config, EffectiveConfig, EffectiveConfig;
    /// What became of the config that was offered last, by its hash.
    set_remote_config_status: remote_config_status, RemoteConfigStatus, RemoteConfigStatus;
    /// All packages that the agent has or works on.
    set_package_statuses: package_statuses, PackageStatuses, PackageStatuses;
    /// The whole list; one that is left out is taken back, with the messages of it that wait to be sent (B-CU-01).
    set_custom_capabilities: custom_capabilities, CustomCapabilities, CustomCapabilities;
    /// The whole map with its hash; the hash alone goes out until the server asks for the map (C-AC-04).
    set_available_components: available_components, AvailableComponents, AvailableComponents;
    /// What became of the connection settings that were offered last, by their hash.
    set_connection_settings_status: connection_settings_status, ConnectionSettingsStatus, ConnectionSettingsStatus;
}
