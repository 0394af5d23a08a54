//! The Collector's command line, as far as a supervisor uses it.

pub(crate) enum Command {
    Run,
    Version,
    Components,
    FeatureGate,
    Validate,
    PrintConfig,
    /// What `fork_child` starts.
    Hold(Option<String>),
}

pub(crate) struct Args {
    pub(crate) command: Command,
    pub(crate) configs: Vec<String>,
    pub(crate) gates: Vec<String>,
}

impl Args {
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Self { command: Command::Run, configs: Vec::new(), gates: Vec::new() };
        let mut args = args;
        while let Some(arg) = args.next() {
            let flag = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-'));
            let Some(flag) = flag else {
                parsed.command = match arg.as_str() {
                    "components" => Command::Components,
                    "featuregate" => Command::FeatureGate,
                    "validate" => Command::Validate,
                    "print-config" => Command::PrintConfig,
                    "hold" => Command::Hold(args.next()),
                    other => return Err(format!("unknown command {other:?} for \"otelcol-fake\"")),
                };
                continue;
            };
            let (name, mut value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            if matches!(name, "config" | "feature-gates" | "set") && value.is_none() {
                value = args.next();
            }
            match (name, value) {
                ("version" | "v", _) => parsed.command = Command::Version,
                ("config", Some(uri)) => parsed.configs.push(uri),
                ("feature-gates", Some(gates)) => parsed.gates.extend(gates.split(',').map(str::to_owned)),
                ("set" | "validate" | "mode", Some(_)) => {}
                _ => return Err(format!("unknown flag: --{name}")),
            }
        }
        Ok(parsed)
    }
}
