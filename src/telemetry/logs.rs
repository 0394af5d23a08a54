//! Logs of the three programs: one line per event, to any number of places.
//!
//! Own events are logged from the level on; of the libraries only warnings and errors, because their
//! finer events hold request headers, and headers hold credentials. No pattern filter: its regular
//! expressions would be a good part of the supervisor's memory.

use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::Arc,
};

pub use tracing::Level;
use tracing::{Subscriber, subscriber::set_global_default};
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    registry, reload,
};

/// The crates whose events are ours: the library and the three programs.
const OURS: [&str; 4] = ["opamp", "opamp_supervisor", "opamp_server", "opampctl"];

/// How and where to log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    pub level: Level,
    pub encoding: Encoding,
    pub outputs: Vec<Output>,
}

/// Information, as text, to stderr.
impl Default for LogOptions {
    fn default() -> Self {
        Self { level: Level::INFO, encoding: Encoding::Console, outputs: vec![Output::Stderr] }
    }
}

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// One object per line.
    Json,
    /// For people; in colour when all of it goes to a terminal.
    Console,
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    Stdout,
    Stderr,
    /// Appended to; its directory must exist.
    File(PathBuf),
}

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("cannot open the log file {}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("logging is set up already")]
    AlreadySet,
}

/// Changes the level of a log that is set up.
#[derive(Debug, Clone)]
pub struct LevelSwitch(reload::Handle<Targets, Registry>);

impl LevelSwitch {
    pub fn set(&self, level: Level) {
        // The log it belongs to is gone: there is no level to change.
        let _ = self.0.reload(filter(level));
    }
}

/// Whoever wants each event that is logged, besides the places of the options.
pub type Listener = Box<dyn Layer<Registry> + Send + Sync>;

/// Sets the process's log up; once, before anything is logged.
pub fn init(options: &LogOptions, listener: Option<Listener>) -> Result<LevelSwitch, LogError> {
    let (subscriber, switch) = subscriber(options, listener)?;
    set_global_default(subscriber).map_err(|_| LogError::AlreadySet)?;
    Ok(switch)
}

/// The same without making it the process's.
pub fn subscriber(
    options: &LogOptions,
    listener: Option<Listener>,
) -> Result<(Box<dyn Subscriber + Send + Sync>, LevelSwitch), LogError> {
    let colour = !options.outputs.is_empty() && options.outputs.iter().all(Output::is_terminal);
    let places = options.outputs.iter().map(Place::open).collect::<Result<Vec<_>, _>>()?;
    let lines = fmt::layer()
        .with_ansi(colour && options.encoding == Encoding::Console)
        // A place that cannot be written to must not fill another one with complaints.
        .log_internal_errors(false)
        .with_writer(Places(places.into()));
    let lines = match options.encoding {
        Encoding::Console => lines.boxed(),
        Encoding::Json => lines.json().flatten_event(true).boxed(),
    };
    let (filter, switch) = reload::Layer::new(filter(options.level));
    Ok((Box::new(registry().with(lines.and_then(listener).with_filter(filter))), LevelSwitch(switch)))
}

fn filter(level: Level) -> Targets {
    let level = LevelFilter::from_level(level);
    let ours = OURS.map(|target| (target, level));
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_targets(ours)
}

impl Output {
    fn is_terminal(&self) -> bool {
        match self {
            Self::Stdout => io::stdout().is_terminal(),
            Self::Stderr => io::stderr().is_terminal(),
            Self::File(_) => false,
        }
    }
}

#[derive(Clone)]
enum Place {
    Stdout,
    Stderr,
    File(Arc<File>),
}

impl Place {
    fn open(output: &Output) -> Result<Self, LogError> {
        Ok(match output {
            Output::Stdout => Self::Stdout,
            Output::Stderr => Self::Stderr,
            Output::File(path) => {
                let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path);
                Self::File(Arc::new(file.map_err(|source| LogError::Open { path: path.clone(), source })?))
            }
        })
    }

    fn write_line(&self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(line)?;
                stdout.flush()
            }
            Self::Stderr => io::stderr().lock().write_all(line),
            // One write per line in append mode: lines of two processes do not mix.
            Self::File(file) => (&mut &**file).write_all(line),
        }
    }
}

/// Every line goes everywhere; a place that fails does not keep it from the others.
struct Places(Arc<[Place]>);

impl<'a> MakeWriter<'a> for Places {
    type Writer = ToAll<'a>;

    fn make_writer(&'a self) -> ToAll<'a> {
        ToAll(&self.0)
    }
}

struct ToAll<'a>(&'a [Place]);

impl Write for ToAll<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        for place in self.0 {
            // There is nobody to tell.
            let _ = place.write_line(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tracing::subscriber::with_default;

    use super::*;

    fn logged(encoding: Encoding, level: Level) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one.log"), dir.path().join("other.log"));
        fs::write(&one, "kept from before\n").unwrap();
        let full = Output::File("/dev/full".into());
        let outputs = vec![full, Output::File(one.clone()), Output::File(other.clone())];
        with_default(subscriber(&LogOptions { level, encoding, outputs }, None).unwrap().0, || {
            tracing::info!(config = "ab12", "config applied");
            tracing::debug!("a detail of ours");
            tracing::debug!(target: "hyper::client", "authorization: Bearer secret");
            tracing::warn!(target: "hyper::client", "a library's warning");
        });
        let text = fs::read_to_string(&one).unwrap();
        assert_eq!(text.strip_prefix("kept from before\n").unwrap(), fs::read_to_string(&other).unwrap());
        text.lines().skip(1).map(str::to_owned).collect()
    }

    #[test]
    fn json_is_one_object_per_line_everywhere() {
        let lines = logged(Encoding::Json, Level::INFO);
        assert_eq!(lines.len(), 2, "{lines:?}");
        let first: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!((&first["message"], &first["config"]), (&"config applied".into(), &"ab12".into()));
        assert_eq!(first["level"], "INFO");
    }

    #[test]
    fn libraries_stay_at_warnings_and_nothing_is_coloured_in_a_file() {
        let lines = logged(Encoding::Console, Level::DEBUG);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[1].contains("a detail of ours") && lines[2].contains("a library's warning"));
        assert!(!lines.concat().contains('\u{1b}'));
        assert_eq!(logged(Encoding::Console, Level::ERROR), [""; 0]);
    }

    #[test]
    fn the_level_can_be_changed_while_it_runs() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("log");
        let options = LogOptions { outputs: vec![Output::File(file.clone())], ..LogOptions::default() };
        let (subscriber, switch) = subscriber(&options, None).unwrap();
        with_default(subscriber, || {
            for (level, text) in [(Level::DEBUG, "one"), (Level::ERROR, "two"), (Level::DEBUG, "three")] {
                switch.set(level);
                tracing::debug!("{text}");
                tracing::debug!(target: "hyper::client", "authorization: Bearer secret");
            }
        });
        let text = fs::read_to_string(&file).unwrap();
        let words: Vec<_> = text.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
        assert_eq!(words, ["one", "three"]);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let outputs = vec![Output::File("/nonexistent/x.log".into())];
        let error = subscriber(&LogOptions { outputs, ..LogOptions::default() }, None).err().unwrap();
        assert!(error.to_string().starts_with("cannot open the log file /nonexistent/x.log: "));
    }
}
