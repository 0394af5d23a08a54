//! Whether the kernel killed for want of memory: its counter for the control group that a process is in.
//!
//! A process that it kills says nothing, and SIGKILL looks the same from whomever it comes. Called by
//! `supervisor`'s driver, once when a Collector starts and once when it was killed.

use std::{fs, path::PathBuf};

/// The kills of one control group, as many as there had been.
#[derive(Debug)]
pub struct OomCount {
    file: PathBuf,
    before: u64,
}

impl OomCount {
    /// The counter for this process's group; `None` where the kernel keeps none, or none that can be read.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        counters(&groups).into_iter().find_map(|file| {
            let before = kills(&fs::read_to_string(&file).ok()?)?;
            Some(Self { file, before })
        })
    }

    /// Whether it has killed since.
    #[must_use]
    pub fn has_grown(&self) -> bool {
        let now = fs::read_to_string(&self.file).ok().and_then(|text| kills(&text));
        now.is_some_and(|now| now > self.before)
    }
}

/// Where the counter may be, the likeliest first. In a container the hierarchy often begins at its own group,
/// whatever the path says.
fn counters(groups: &str) -> Vec<PathBuf> {
    const ONE: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
    const MEMORY: [&str; 1] = ["/sys/fs/cgroup/memory"];
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (mounts, name) = if number == "0" && controllers.is_empty() {
            (&ONE[..], "memory.events")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            (&MEMORY[..], "memory.oom_control")
        } else {
            continue;
        };
        for mount in mounts {
            let mount = PathBuf::from(mount);
            files.push(mount.join(path.trim_start_matches('/')).join(name));
            files.push(mount.join(name));
        }
    }
    files
}

fn kills(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_67_the_counter_is_found_in_either_hierarchy() {
        let files =
            |groups| counters(groups).iter().map(|file| file.display().to_string()).collect::<Vec<_>>();
        assert_eq!(
            files("0::/system.slice/a.service\n")[0],
            "/sys/fs/cgroup/system.slice/a.service/memory.events"
        );
        assert!(files("0::/../x\n").contains(&"/sys/fs/cgroup/memory.events".to_owned()));
        assert_eq!(
            files("5:cpu,cpuacct:/a\n4:memory:/b\n1:name=systemd:/c\n")[0],
            "/sys/fs/cgroup/memory/b/memory.oom_control"
        );
        assert_eq!(files("nonsense\n"), [""; 0]);
        assert_eq!(kills("low 0\nhigh 0\noom 3\noom_kill 2\noom_group_kill 0\n"), Some(2));
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"), Some(7));
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\n"), None, "before Linux 4.13");
    }

    #[test]
    fn f_67_nobody_was_killed_here() {
        let count = OomCount::of(std::process::id().cast_signed());
        assert!(count.is_none_or(|count| !count.has_grown()));
    }
}
