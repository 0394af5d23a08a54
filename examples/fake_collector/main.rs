//! A fake Collector for supervision tests: it answers and behaves as the real one does, and misbehaves
//! on demand.
//!
//! It knows `components`, `validate`, `featuregate`, `print-config` and `--version`; run with `--config`
//! it binds the addresses in its config, connects to `extensions.opamp` as the real extension does,
//! serves `extensions.health_check`, reloads on SIGHUP and ends in order on SIGTERM or SIGINT.
//!
//! Switches are given as `name` or `name=value`, separated by commas or line ends, in `$FAKE_COLLECTOR`, in
//! the file `$FAKE_COLLECTOR_FILE` (read at each start and reload, so a test can change its mind), and in
//! config comments `# fake_collector: …` (so one config can be good and the next bad), and behind the program itself, after a
//! line end (so one program can be another version than the next):
//!
//! | switch | what it does |
//! |---|---|
//! | `crash_at_start` | exits before anything is up, after the config was found good |
//! | `crash_after=2s` | exits that long after it became healthy |
//! | `exit_code=N` | the code of such exits, 1 if not given |
//! | `config_marker=TEXT` | exits at start or reload when a config contains the text; `validate` does not mind |
//! | `custom=NAME` | a component advertises this custom capability, and sends each message of it back |
//! | `custom_flood=N` | and sends it that many times |
//! | `late_listen=2s` | signal handlers, ports and OpAMP come that late |
//! | `ignore_term` | SIGTERM and SIGINT do nothing |
//! | `hang_up` | ends its session once it said that it is healthy, and dials no more |
//! | `flip_health=1s` | changes between healthy and unhealthy that often |
//! | `never_healthy`, `no_connect` | stays unhealthy; never dials OpAMP |
//! | `unhealthy=STATUS` | what it says while it is unhealthy, `StatusRecoverableError` if not given |
//! | `no_extension` | built without the opamp extension |
//! | `fork_child[=ADDR]` | leaves a grandchild in its group that ignores SIGTERM and holds the address |
//! | `fork_bomb` | starts such grandchildren and takes what room there is for more, up to 300 |
//! | `flood` | writes to stdout as fast as it can |
//! | `tally` | counts on stdout and stderr, some thousand lines a second; each on stderr in two pieces |
//! | `oom[=MiB]` | takes that much memory (256), then dies as Go does when there is no more |
//! | `hang_validate` | `validate` never ends |
//! | `wrong_version=X` | says it is that version |
//! | `says_version=X` | says so once it runs, and nothing of it before |
//!
//! With `$FAKE_COLLECTOR_EVENTS` each start, reload, signal, validation and exit is a line in that file, and each list
//! of custom capabilities that the server is said to have.

mod answers;
mod args;
mod config;
mod health;
mod opamp;
mod run;
mod switches;

use std::{env, fs::OpenOptions, io::Write, process};

use args::{Args, Command};
use switches::Switches;

fn main() {
    let args = Args::parse(env::args().skip(1)).unwrap_or_else(|error| fail(&error));
    let code = match &args.command {
        Command::Version => {
            println!("otelcol-fake version {}", Switches::of_process().version());
            0
        }
        Command::Components => {
            print!("{}", answers::components(&Switches::of_process()));
            0
        }
        Command::FeatureGate => {
            print!("{}", answers::FEATURE_GATES);
            0
        }
        Command::Validate => answers::validate(&args),
        Command::PrintConfig => answers::print_config(&args),
        Command::Hold(address) => run::hold(address.as_deref()),
        Command::Run => run::run(&args),
    };
    event(&format!("exit {code}"));
    process::exit(code);
}

/// How the Collector's command line ends on an error.
fn fail(error: &str) -> ! {
    eprintln!("Error: {error}");
    event("exit 1");
    process::exit(1);
}

/// One line `PID what` in the file of events.
fn event(what: &str) {
    let Some(path) = env::var_os("FAKE_COLLECTOR_EVENTS") else { return };
    let line = format!("{} {what}\n", process::id());
    let written = OpenOptions::new().append(true).create(true).open(&path);
    written.and_then(|mut file| file.write_all(line.as_bytes())).expect("FAKE_COLLECTOR_EVENTS is writable");
}
