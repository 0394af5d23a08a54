//! The kernel's capabilities by name.

use std::str::FromStr;

/// In the order of their numbers.
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// A set of them, one bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities(pub(super) u64);

/// No capability has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the kernel has no capability of this name; write it as in CAP_NET_BIND_SERVICE")]
pub struct UnknownCapability;

impl FromStr for Capabilities {
    type Err = UnknownCapability;

    /// One, with or without `CAP_`, in any case.
    fn from_str(text: &str) -> Result<Self, UnknownCapability> {
        let name = text.to_ascii_lowercase();
        let name = name.strip_prefix("cap_").unwrap_or(&name);
        let number = NAMES.iter().position(|known| *known == name).ok_or(UnknownCapability)?;
        Ok(Self(1 << number))
    }
}

impl FromIterator<Self> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Self>>(sets: I) -> Self {
        Self(sets.into_iter().fold(0, |all, set| all | set.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_kernels_numbers() {
        for (name, number) in [
            ("CAP_CHOWN", 0),
            ("cap_net_bind_service", 10),
            ("SYS_ADMIN", 21),
            ("CAP_CHECKPOINT_RESTORE", 40),
        ] {
            assert_eq!(name.parse(), Ok(Capabilities(1 << number)), "{name}");
        }
        for name in ["", "CAP_", "CAP_X", "all"] {
            assert_eq!(name.parse::<Capabilities>(), Err(UnknownCapability), "{name}");
        }
        assert_eq!(
            ["kill", "chown"].map(|name| name.parse().unwrap()).into_iter().collect::<Capabilities>(),
            Capabilities(33)
        );
    }
}
