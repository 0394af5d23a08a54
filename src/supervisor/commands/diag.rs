//! `diag`: one file for a bug report, without secrets.
//!
//! Secrets are known in two ways: by their keys in YAML, and by their values in `supervisor.yaml`. The values are
//! those that the running supervisor has (its environment may be another one than ours). Where nobody knows them,
//! what might hold them is left out and named.

use std::{
    cell::Cell,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;
use serde_json::Value;

use super::{CommandError, OK, args::Args, args::Diag, ask, place::Place, status};
use crate::{
    os::{
        fs::{PRIVATE, failed},
        host,
    },
    supervisor::{
        config::{self, LogOutput, Secret, SupervisorConfig},
        control::{Answer, Request},
        mask::{MASKED, Mask, yaml},
    },
};

/// The end of a log that is taken along, and the largest other file.
const TAIL: u64 = 64 * 1024;
const MOST_BYTES: u64 = 512 * 1024;

pub(super) fn run(args: &Args, wanted: &Diag, out: &mut dyn Write) -> Result<u8, CommandError> {
    let place = args.place(&wanted.target)?;
    let mut bundle = Bundle::new(&place, args.config_file());
    bundle.gather(&place, args.config_file());
    let path = match &wanted.output {
        Some(path) => path.clone(),
        None => PathBuf::from(format!(
            "opamp-supervisor-diag-{}.tar.gz",
            Timestamp::now().strftime("%Y%m%dT%H%M%SZ")
        )),
    };
    let mut options = fs::OpenOptions::new();
    let file =
        options.write(true).create_new(true).mode(PRIVATE).open(&path).map_err(failed("create", &path))?;
    bundle.write(file).map_err(failed("write", &path))?;
    writeln!(out, "wrote {}", path.display())?;
    for left_out in &bundle.left_out {
        writeln!(out, "left out: {left_out}")?;
    }
    writeln!(out, "secrets are masked where they are known; look through it before you pass it on")?;
    Ok(OK)
}

/// Who knows the secrets' values.
enum Secrets {
    /// The running supervisor, besides what the configs tell.
    Asked(PathBuf),
    Read,
    Unknown,
}

struct Bundle {
    files: Vec<(String, Vec<u8>)>,
    left_out: Vec<String>,
    config: Option<SupervisorConfig>,
    mask: Mask,
    secrets: Secrets,
}

impl Bundle {
    fn new(place: &Place, file: &Path) -> Self {
        let missed = Cell::new(false);
        let env = |name: &str| {
            let value = std::env::var(name).ok();
            missed.set(missed.get() || value.is_none());
            value
        };
        let config = config::load(file, &env).ok().map(|loaded| loaded.config);
        let asked = ask(&place.socket, &Request::Mask { text: String::new() });
        let secrets = match (&config, asked) {
            (_, Ok(Answer::Masked { .. })) => Secrets::Asked(place.socket.clone()),
            (Some(_), _) if !missed.get() => Secrets::Read,
            _ => Secrets::Unknown,
        };
        let mask = config.as_ref().map(Mask::of).unwrap_or_default();
        Self { files: Vec::new(), left_out: Vec::new(), config, mask, secrets }
    }

    fn gather(&mut self, place: &Place, file: &Path) {
        self.add_host(place);
        // Configs first: what they tell of secrets holds for everything after them.
        self.add_yaml("supervisor.yaml", file);
        let live = place.storage.join("live");
        let mut layers: Vec<_> = fs::read_dir(&live).into_iter().flatten().flatten().collect();
        layers.sort_by_key(fs::DirEntry::file_name);
        for layer in layers {
            let name = layer.file_name().to_string_lossy().into_owned();
            self.add_yaml(&format!("live/{name}"), &layer.path());
        }
        match status::gather(place) {
            Ok((status, _)) => {
                let text = serde_json::to_string_pretty(&status).unwrap_or_default();
                self.add_masked("status.json", &text);
            }
            Err(error) => self.left_out.push(format!("status.json: {error}")),
        }
        self.add_state(&place.storage.join("state.json"));
        self.add_text("agent.log", &place.storage.join("logs").join("agent.log"), TAIL);
        let outputs = self.config.as_ref().map(|config| config.telemetry.logs.output_paths.clone());
        for (number, output) in outputs.into_iter().flatten().enumerate() {
            match output {
                LogOutput::File(path) => self.add_text(&format!("supervisor-{number}.log"), &path, TAIL),
                LogOutput::Stdout | LogOutput::Stderr => {
                    self.left_out.push("the supervisor's log: it goes to a standard stream".to_owned());
                }
            }
        }
    }

    fn add_host(&mut self, place: &Place) {
        let mut text = format!("supervisor {}\n", env!("CARGO_PKG_VERSION"));
        let mut line = |name: &str, value: &str| text.push_str(&format!("{name} {value}\n"));
        host::attributes().iter().for_each(|(name, value)| line(name, value));
        for file in ["/proc/version", "/proc/uptime", "/proc/loadavg"] {
            line(file, fs::read_to_string(file).unwrap_or_default().trim());
        }
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        memory.lines().take(3).for_each(|memory| line("memory", memory));
        for path in listing(&place.storage, 3) {
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            let age = meta.modified().ok().and_then(|time| SystemTime::now().duration_since(time).ok());
            let age = age.map_or_else(|| "?".to_owned(), |age| format!("{}s", age.as_secs()));
            let facts = format!("{:o} uid {} {} bytes, {age} old", meta.mode(), meta.uid(), meta.len());
            line(&path.display().to_string(), &facts);
        }
        self.files.push(("host.txt".to_owned(), text.into_bytes()));
    }

    /// What the server offered for connections is secret in it under one name.
    fn add_state(&mut self, path: &Path) {
        let state = match read_end(path, MOST_BYTES) {
            Ok((text, Cut::Nothing)) => serde_json::from_str(&text).map_err(|error| error.to_string()),
            Ok((_, Cut::Start)) => Err(format!("more than {MOST_BYTES} bytes")),
            Err(error) => Err(error.to_string()),
        };
        match state {
            Ok(mut state) => {
                hide(&mut state, &mut self.mask);
                let text = serde_json::to_string_pretty(&state).unwrap_or_default();
                self.add_masked("state.json", &text);
            }
            Err(error) => self.left_out.push(format!("state.json: {}: {error}", path.display())),
        }
    }

    fn add_yaml(&mut self, name: &str, path: &Path) {
        match read_end(path, MOST_BYTES) {
            Ok((_, Cut::Start)) => self.left_out.push(format!("{name}: more than {MOST_BYTES} bytes")),
            Ok((text, Cut::Nothing)) => {
                self.mask.know_yaml(&text);
                self.add_masked(name, &yaml(&text));
            }
            Err(error) => self.left_out.push(format!("{name}: {}: {error}", path.display())),
        }
    }

    fn add_text(&mut self, name: &str, path: &Path, most: u64) {
        match read_end(path, most) {
            Ok((text, _)) => self.add_masked(name, &text),
            Err(error) => self.left_out.push(format!("{name}: {}: {error}", path.display())),
        }
    }

    /// Adds what can be masked, and nothing else.
    fn add_masked(&mut self, name: &str, text: &str) {
        let text = self.mask.text(text);
        let text = match &self.secrets {
            Secrets::Read => text,
            Secrets::Asked(socket) => match ask(socket, &Request::Mask { text }) {
                Ok(Answer::Masked { text }) => text,
                Ok(_) => return self.left_out.push(format!("{name}: it could not be masked")),
                Err(error) => return self.left_out.push(format!("{name}: it could not be masked: {error}")),
            },
            // By its keys it is masked already.
            Secrets::Unknown if name == "supervisor.yaml" => text,
            Secrets::Unknown => {
                let why = "the values of secrets are not known, as no supervisor runs and supervisor.yaml cannot \
                           be read whole (is a variable of its environment missing here?)";
                return self.left_out.push(format!("{name}: {why}"));
            }
        };
        self.files.push((name.to_owned(), text.into_bytes()));
    }

    fn write(&self, file: File) -> io::Result<()> {
        let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
        let now = Timestamp::now().as_second().unsigned_abs();
        let left_out = ("left-out.txt".to_owned(), (self.left_out.join("\n") + "\n").into_bytes());
        for (name, bytes) in self.files.iter().chain([&left_out]) {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(PRIVATE);
            header.set_mtime(now);
            archive.append_data(&mut header, format!("opamp-supervisor-diag/{name}"), bytes.as_slice())?;
        }
        archive.into_inner()?.finish()?.sync_all()
    }
}

/// Takes out every value of the key `secret`, which is one everywhere from then on.
fn hide(value: &mut Value, mask: &mut Mask) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                match value {
                    Value::String(secret) if name == "secret" => {
                        mask.know(&Secret::new(std::mem::replace(secret, MASKED.to_owned())));
                    }
                    _ => hide(value, mask),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| hide(value, mask)),
        _ => {}
    }
}

/// Everything below, to a depth.
fn listing(directory: &Path, depth: usize) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut entries: Vec<_> =
        fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let below = if depth > 1 && path.is_dir() { listing(&path, depth - 1) } else { Vec::new() };
        all.push(path);
        all.extend(below);
    }
    all
}

enum Cut {
    Nothing,
    Start,
}

/// The end of a file, from the first whole line on.
fn read_end(path: &Path, most: u64) -> io::Result<(String, Cut)> {
    let mut file = File::open(path)?;
    let from = file.metadata()?.len().saturating_sub(most);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    if from == 0 {
        return Ok((text.into_owned(), Cut::Nothing));
    }
    let whole = text.split_once('\n').map_or("", |(_, rest)| rest);
    Ok((whole.to_owned(), Cut::Start))
}
