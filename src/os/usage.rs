//! What a process uses, for metrics of the semantic conventions' kind.

use std::{fs, io, time::Duration};

use nix::unistd::{SysconfVar, sysconf};

use super::clock;

/// As of now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    pub user: Duration,
    pub system: Duration,
    /// Since its start.
    pub uptime: Duration,
    pub threads: u64,
    pub resident_bytes: u64,
    pub virtual_bytes: u64,
    /// Where they may be counted.
    pub open_files: Option<u64>,
}

impl Usage {
    /// Of a live process.
    pub fn of(pid: i32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let open_files = fs::read_dir(format!("/proc/{pid}/fd")).ok().map(|entries| entries.count() as u64);
        let ticks = constant(SysconfVar::CLK_TCK, 100);
        let page = constant(SysconfVar::PAGE_SIZE, 4096);
        let usage = parse(&stat, ticks, page, clock::boottime());
        let usage =
            usage.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a process's stat"))?;
        Ok(Self { open_files, ..usage })
    }
}

fn constant(name: SysconfVar, usual: u64) -> u64 {
    sysconf(name).ok().flatten().and_then(|value| u64::try_from(value).ok()).unwrap_or(usual)
}

/// The fields after the name, which is in parentheses and may hold anything; the state is the third of all.
fn parse(stat: &str, ticks: u64, page: u64, since_boot: Duration) -> Option<Usage> {
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let time = |field| number(field).map(|count| Duration::from_millis(count * 1000 / ticks));
    Some(Usage {
        user: time(14)?,
        system: time(15)?,
        threads: number(20)?,
        uptime: since_boot.saturating_sub(time(22)?),
        virtual_bytes: number(23)?,
        resident_bytes: number(24)? * page,
        open_files: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_numbers_are_read_whatever_the_name_is() {
        let stat =
            "42 (a) b ( c) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 7 0 9000 4096000 100 0 0 0";
        let usage = parse(stat, 100, 4096, Duration::from_secs(100)).unwrap();
        assert_eq!((usage.user, usage.system), (Duration::from_millis(2500), Duration::from_millis(500)));
        assert_eq!((usage.uptime, usage.threads), (Duration::from_secs(10), 7));
        assert_eq!((usage.virtual_bytes, usage.resident_bytes), (4_096_000, 409_600));
        assert_eq!(parse("garbage", 100, 4096, Duration::ZERO), None);
    }

    #[test]
    fn this_process_uses_memory_and_has_open_files() {
        let me = Usage::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(me.resident_bytes > 0 && me.virtual_bytes > me.resident_bytes && me.threads > 0);
        assert!(me.open_files.unwrap() > 2 && me.uptime < clock::boottime());
        assert!(Usage::of(i32::MAX).is_err());
    }
}
