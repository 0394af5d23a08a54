//! The keys that the overlay owns: a `--set` in `agent.args` has the last word over every file, so one on such
//! a key would take the Collector away from the supervisor and is refused.

const OWNED: [&str; 3] = ["extensions.opamp", "service.extensions", "service.telemetry.resource"];

/// `agent.args` would take the Collector away from the supervisor.
#[derive(Debug, thiserror::Error)]
#[error("agent.args sets {key:?}, which the supervisor owns; remove it from agent.args")]
pub struct OwnedKey {
    key: String,
}

/// Looks through `agent.args`.
pub fn refuse_owned(args: &[String]) -> Result<(), OwnedKey> {
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let flag = arg.trim_start_matches('-');
        let set = if flag == "set" { args.next().map(String::as_str) } else { flag.strip_prefix("set=") };
        let key = set.and_then(|set| set.split('=').next()).unwrap_or_default();
        if is_owned(key) {
            return Err(OwnedKey { key: key.to_owned() });
        }
    }
    Ok(())
}

/// A key is owned with all that is above and below it. `::` is the Collector's own separator.
fn is_owned(key: &str) -> bool {
    let dotted = key.replace("::", ".");
    let below = |long: &str, short: &str| long.strip_prefix(short).is_some_and(|rest| rest.starts_with('.'));
    OWNED.iter().any(|owned| dotted == *owned || below(&dotted, owned) || below(owned, &dotted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: &[&str]) -> Result<(), OwnedKey> {
        refuse_owned(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_set_on_an_owned_key_is_refused() {
        for set in [
            "extensions.opamp.server.ws.endpoint=x",
            "service.extensions=[]",
            "extensions={}",
            "service::extensions=[]",
        ] {
            assert!(check(&["--set", set]).unwrap_err().to_string().contains("the supervisor owns"), "{set}");
            assert!(check(&[&format!("--set={set}")]).is_err(), "{set}");
        }
        for fine in ["extensions.opampx.a=1", "service.telemetry.logs.level=debug"] {
            check(&["--set", fine, "--verbose"]).unwrap();
        }
    }
}
