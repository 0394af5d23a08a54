//! What happens, as numbers and spans: for whoever the supervisor's telemetry is exported to.

use super::Driver;
use crate::{
    supervisor::machine::{ConfigHash, Outcome, ProcessState},
    telemetry::otlp::{Begun, text},
};

/// What has begun and not yet ended.
#[derive(Default)]
pub(super) struct UnderWay {
    start: Option<Begun>,
    apply: Option<(ConfigHash, Begun)>,
}

impl Driver {
    pub(super) fn measure_health(&mut self, healthy: bool) {
        let instruments = &self.parts.instruments;
        instruments.meters.healthy(healthy);
        if healthy && let Some(begun) = self.under_way.start.take() {
            instruments.spans.end(begun, "start the Collector", Vec::new(), Ok(()));
        }
    }

    pub(super) fn measure_server(&self, connected: bool) {
        self.parts.instruments.meters.connected(connected);
    }

    /// A start begins, or ended without health.
    pub(super) fn measure_process(&mut self, state: &ProcessState) {
        let instruments = &self.parts.instruments;
        match state {
            ProcessState::Starting => {
                instruments.meters.started();
                self.under_way.start = Some(instruments.spans.begin());
            }
            ProcessState::Stopping => {}
            ProcessState::Stopped | ProcessState::Failed { .. } => {
                if let Some(begun) = self.under_way.start.take() {
                    let why = state.failure().unwrap_or_else(|| "stopped before it was healthy".to_owned());
                    instruments.spans.end(begun, "start the Collector", Vec::new(), Err(&why));
                }
            }
        }
    }

    /// A remote config begins or ends; one that fails before anything was touched has no beginning.
    pub(super) fn measure_apply(&mut self, config: &ConfigHash, outcome: &Outcome) {
        let instruments = &self.parts.instruments;
        let ended = match outcome {
            Outcome::Applying => {
                self.under_way.apply = Some((config.clone(), instruments.spans.begin()));
                return;
            }
            Outcome::Applied => Ok(()),
            Outcome::Failed(why) | Outcome::PutOff(why) => Err(why.as_str()),
        };
        instruments.meters.config_ended(ended.is_ok());
        let begun = self.under_way.apply.take_if(|(begun, _)| begun == config);
        let begun = begun.map_or_else(|| instruments.spans.begin(), |(_, begun)| begun);
        let attributes = vec![text("config.hash", config.to_string())];
        instruments.spans.end(begun, "apply a remote config", attributes, ended);
    }
}
