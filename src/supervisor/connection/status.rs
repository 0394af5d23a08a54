//! One offer, several classes, one status.

use std::fmt::Write;

use crate::{
    protocol::settings,
    supervisor::journal::{Class, SettingsHash, SettingsStatus, Taken},
    wire::proto::{ConnectionSettingsOffers, ConnectionSettingsStatus, ConnectionSettingsStatuses as Wire},
};

/// The classes that an offer has.
pub(in crate::supervisor) fn classes(offer: &ConnectionSettingsOffers) -> Vec<Class> {
    let telemetry = offer.own_metrics.is_some() || offer.own_traces.is_some() || offer.own_logs.is_some();
    let there = [
        (Class::OpAmp, offer.opamp.is_some()),
        (Class::OwnTelemetry, telemetry),
        (Class::Other, !offer.other_connections.is_empty()),
    ];
    there.into_iter().filter(|(_, there)| *there).map(|(class, _)| class).collect()
}

/// What is told first of an offer: all that it has is being applied. A server that leaves the hash out gets one
/// of ours back, so that the same offer is known again.
pub(in crate::supervisor) fn opened(offer: &ConnectionSettingsOffers) -> SettingsStatus {
    let hash = if offer.hash.is_empty() { settings::hash(offer) } else { offer.hash.clone() };
    let classes = classes(offer).into_iter().map(|class| (class, Taken::Applying)).collect();
    SettingsStatus { hash: SettingsHash(hash), classes }
}

/// Whether nothing of it is under way any more.
pub(in crate::supervisor) fn is_settled(status: &SettingsStatus) -> bool {
    !status.classes.values().any(|taken| *taken == Taken::Applying)
}

/// The whole in one status: failed as soon as one class has failed, with the reasons of all that have (C-CS-10).
pub(in crate::supervisor) fn to_wire(status: &SettingsStatus) -> ConnectionSettingsStatus {
    let mut reasons = String::new();
    for (class, taken) in &status.classes {
        if let Taken::Failed { error } = taken {
            let between = if reasons.is_empty() { "" } else { "; " };
            // Writing to a string cannot fail.
            let _ = write!(reasons, "{between}{}: {error}", name(*class));
        }
    }
    let all = match (reasons.is_empty(), is_settled(status)) {
        (_, false) => Wire::Applying,
        (true, true) => Wire::Applied,
        (false, true) => Wire::Failed,
    };
    ConnectionSettingsStatus {
        last_connection_settings_hash: status.hash.0.clone(),
        status: all as i32,
        error_message: reasons,
    }
}

/// As the field of the message is called.
const fn name(class: Class) -> &'static str {
    match class {
        Class::OpAmp => "opamp",
        Class::OwnTelemetry => "own telemetry",
        Class::Other => "other_connections",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::proto::{OpAmpConnectionSettings, TelemetryConnectionSettings};

    fn offer() -> ConnectionSettingsOffers {
        ConnectionSettingsOffers {
            hash: vec![7],
            opamp: Some(OpAmpConnectionSettings::default()),
            own_logs: Some(TelemetryConnectionSettings::default()),
            ..Default::default()
        }
    }

    #[test]
    fn c_cs_10_one_class_that_failed_does_not_hide_another() {
        let mut status = opened(&offer());
        assert_eq!(to_wire(&status).status, Wire::Applying as i32);
        let failed = |error: &str| Taken::Failed { error: error.into() };
        status.classes.insert(Class::OwnTelemetry, failed("no such host"));
        assert_eq!(to_wire(&status).status, Wire::Applying as i32, "the other class is still under way");
        status.classes.insert(Class::OpAmp, failed("401"));
        let told = to_wire(&status);
        assert_eq!((told.status, told.last_connection_settings_hash), (Wire::Failed as i32, vec![7]));
        assert_eq!(told.error_message, "opamp: 401; own telemetry: no such host");
        status.classes.insert(Class::OpAmp, Taken::Applied);
        assert_eq!(to_wire(&status).status, Wire::Failed as i32);
    }

    #[test]
    fn c_cs_01_an_offer_without_any_class_changes_nothing_and_is_applied() {
        let status = opened(&ConnectionSettingsOffers { hash: vec![1, 2], ..Default::default() });
        assert!(is_settled(&status) && status.classes.is_empty());
        assert_eq!(to_wire(&status).status, Wire::Applied as i32);
        let unnamed = |offer: ConnectionSettingsOffers| {
            opened(&ConnectionSettingsOffers { hash: Vec::new(), ..offer }).hash
        };
        assert_eq!(unnamed(offer()), unnamed(offer()));
        assert_ne!(unnamed(offer()), unnamed(ConnectionSettingsOffers::default()));
    }
}
