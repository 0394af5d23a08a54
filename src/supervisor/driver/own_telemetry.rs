//! Where the agent's own telemetry goes, as the server offers it.

use super::Driver;
use crate::{supervisor::journal::SettingsHash, wire::proto::ConnectionSettingsOffers};

impl Driver {
    /// Takes the classes `own_metrics`, `own_traces`, `own_logs` and `other_connections` of an offer: what came of
    /// it, or nothing yet, in which case [`Driver::settings_ended`] is called for the class later. No capability
    /// for them is advertised, so a server that offers them breaks the protocol.
    pub(super) fn telemetry_offered(
        &mut self,
        _: &SettingsHash,
        _: &ConnectionSettingsOffers,
    ) -> Option<Result<(), String>> {
        Some(Err("this supervisor does not take where telemetry goes from the server".to_owned()))
    }
}
