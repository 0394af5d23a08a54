//! How to misbehave.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{Read, Seek, SeekFrom},
    process,
    time::Duration,
};

const KNOWN: &[&str] = &[
    "crash_at_start",
    "crash_after",
    "exit_code",
    "config_marker",
    "custom",
    "custom_flood",
    "late_listen",
    "ignore_term",
    "flip_health",
    "never_healthy",
    "no_connect",
    "hang_up",
    "no_extension",
    "fork_bomb",
    "fork_child",
    "flood",
    "tally",
    "oom",
    "hang_validate",
    "wrong_version",
    "says_version",
    "unhealthy",
];

/// What stands before the switches at the end of a program of its own.
const AT_END: &str = "\n# fake_collector: ";
/// No further back than that.
const NEAR_END: u64 = 512;

#[derive(Default)]
pub(crate) struct Switches(BTreeMap<String, String>);

impl Switches {
    /// Those of the environment and of the control file.
    pub(crate) fn of_process() -> Self {
        let mut switches = Self::default();
        switches.add(&at_end());
        switches.add(&env::var("FAKE_COLLECTOR").unwrap_or_default());
        if let Some(path) = env::var_os("FAKE_COLLECTOR_FILE") {
            // No file, nothing switched on: a test writes it when it wants to.
            switches.add(&fs::read_to_string(path).unwrap_or_default());
        }
        switches
    }

    /// Those of the process and those in the comments of these configs.
    pub(crate) fn with_configs<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut switches = Self::of_process();
        for line in texts.into_iter().flat_map(str::lines) {
            if let Some(list) = line.trim().strip_prefix("# fake_collector:") {
                switches.add(list);
            }
        }
        switches
    }

    fn add(&mut self, list: &str) {
        for switch in list.split([',', '\n']).map(str::trim).filter(|switch| !switch.is_empty()) {
            let (name, value) = switch.split_once('=').unwrap_or((switch, ""));
            if !KNOWN.contains(&name) {
                eprintln!("unknown switch {name:?}; there are: {}", KNOWN.join(", "));
                process::exit(64);
            }
            self.0.insert(name.to_owned(), value.to_owned());
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The value of a switch that is on, empty when it has none.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn number(&self, name: &str, default: usize) -> usize {
        match self.text(name) {
            None | Some("") => default,
            Some(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
        }
    }

    /// A value such as `300ms` or `2s`.
    pub(crate) fn duration(&self, name: &str) -> Option<Duration> {
        let text = self.text(name)?;
        let parsed = match text.strip_suffix("ms") {
            Some(millis) => millis.parse().map(Duration::from_millis),
            None => text.trim_end_matches('s').parse().map(Duration::from_secs),
        };
        Some(parsed.unwrap_or_else(|_| panic!("{name}={text} is no duration such as 300ms or 2s")))
    }

    pub(crate) fn version(&self) -> &str {
        self.text("wrong_version").unwrap_or("0.149.0")
    }

    /// What it says once it runs.
    pub(crate) fn said_version(&self) -> &str {
        self.text("says_version").unwrap_or_else(|| self.version())
    }

    pub(crate) fn exit_code(&self) -> i32 {
        self.number("exit_code", 1) as i32
    }
}

/// What a test wrote behind this very program, so that one is another than the next.
fn at_end() -> String {
    let mut end = Vec::new();
    let read = fs::File::open("/proc/self/exe").and_then(|mut program| {
        let length = program.metadata()?.len();
        program.seek(SeekFrom::Start(length.saturating_sub(NEAR_END)))?;
        program.read_to_end(&mut end)
    });
    if read.is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&end);
    text.rsplit_once(AT_END).map(|(_, switches)| switches.to_owned()).unwrap_or_default()
}
