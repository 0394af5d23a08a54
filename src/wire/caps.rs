//! Capability masks: typed, and with the reserved bits always zero (B-IO-03).

use super::proto::{AgentCapabilities, ServerCapabilities};

macro_rules! mask {
    ($(#[$doc:meta])* $name:ident, $bit:ty, $defined:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $name(u64);

        impl $name {
            /// Every bit that the protocol defines.
            pub const DEFINED: u64 = $defined;

            /// What a peer sent: bits that mean nothing today are dropped (B-IO-02).
            #[must_use]
            pub const fn from_wire(bits: u64) -> Self {
                Self(bits & Self::DEFINED)
            }

            /// The mask of these capabilities. An agent's machine adds `ReportsStatus` by itself (C-CP-02).
            #[must_use]
            pub fn of(bits: &[$bit]) -> Self {
                Self(bits.iter().fold(0, |mask, bit| mask | *bit as u64))
            }

            /// As the message field takes it.
            #[must_use]
            pub const fn bits(self) -> u64 {
                self.0
            }

            /// Whether the peer, or this end, has this capability.
            #[must_use]
            pub const fn has(self, bit: $bit) -> bool {
                self.0 & bit as u64 != 0
            }

            /// The same and this capability.
            #[must_use]
            pub const fn with(self, bit: $bit) -> Self {
                Self(self.0 | bit as u64)
            }

            /// The same but for this capability.
            #[must_use]
            pub const fn without(self, bit: $bit) -> Self {
                Self(self.0 & !(bit as u64))
            }

            /// No bit at all: on the wire this says "not stated here".
            #[must_use]
            pub const fn is_unspecified(self) -> bool {
                self.0 == 0
            }
        }
    };
}

mask!(
    /// What an agent can do (`AgentToServer.capabilities`).
    AgentCaps,
    AgentCapabilities,
    0xffff
);
mask!(
    /// What a server can do (`ServerToAgent.capabilities`).
    ServerCaps,
    ServerCapabilities,
    0x7f
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_cp_03_s_cp_05_undefined_bits_never_leave() {
        assert_eq!(AgentCaps::from_wire(u64::MAX).bits(), 0xffff);
        assert_eq!(ServerCaps::from_wire(u64::MAX).bits(), 0x7f);
        let caps = AgentCaps::of(&[AgentCapabilities::ReportsStatus, AgentCapabilities::ReportsHealth]);
        assert_eq!(caps.bits(), 0x801);
        assert!(caps.has(AgentCapabilities::ReportsHealth));
        assert!(!caps.without(AgentCapabilities::ReportsHealth).has(AgentCapabilities::ReportsHealth));
    }
}
