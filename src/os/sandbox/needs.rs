//! What every Collector may use, or it does not start, resolve names, or check certificates.
//!
//! Nothing here is a secret. What does not exist on a host is passed over. A file that is replaced by another one
//! later is not the one that was allowed: that takes a restart of the Collector, or its directory in the list.

/// Names, time zones, certificates, libraries, and facts about the machine.
pub(super) const READ: [&str; 41] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/hostname",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/passwd",
    "/etc/group",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/machine-id",
    "/etc/os-release",
    "/etc/mime.types",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/share/zoneinfo",
    "/usr/share/mime",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/lib",
    "/lib64",
    "/proc/sys",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/cpuinfo",
    "/proc/filesystems",
    "/sys/fs/cgroup",
    "/sys/kernel/mm/transparent_hugepage",
    "/sys/devices/system/cpu",
    "/dev/urandom",
    "/dev/zero",
];

/// The loaders of programs that are not static.
pub(super) const EXECUTE: [&str; 8] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-linux-armhf.so.3",
    "/lib/ld-linux.so.2",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
    "/lib/ld-musl-armhf.so.1",
    "/lib64/ld64.so.2",
];

pub(super) const WRITE: [&str; 1] = ["/dev/null"];
