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
    set_description: description, Description, AgentDescription;
    set_health: health, Health, ComponentHealth;
    set_effective_config: effective_config, EffectiveConfig, EffectiveConfig;
    set_remote_config_status: remote_config_status, RemoteConfigStatus, RemoteConfigStatus;
    set_package_statuses: package_statuses, PackageStatuses, PackageStatuses;
    set_custom_capabilities: custom_capabilities, CustomCapabilities, CustomCapabilities;
    /// The whole map with its hash; the hash alone goes out until the server asks for the map (C-AC-04).
    set_available_components: available_components, AvailableComponents, AvailableComponents;
    set_connection_settings_status: connection_settings_status, ConnectionSettingsStatus, ConnectionSettingsStatus;
}
