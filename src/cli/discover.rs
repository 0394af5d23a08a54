//! `discover`: what listens on an agent's host, and the receivers that its Collector has for it.

use serde_json::Value;

use super::args::{Discover, DiscoverFormat};
use super::client::Client;
use super::error::Error;
use super::kind::Kind;
use super::output;

/// What each receiver's config begins with.
const SECTION: &str = "receivers:\n";

pub(super) async fn run(client: &Client, discover: &Discover) -> Result<(), Error> {
    let mut path = Kind::Agent.object(discover.namespace.name(), &discover.agent);
    path.push("services");
    let seconds = discover.wait.as_secs().max(1);
    let found = client.get_within(&path, &[("wait", seconds.to_string())], discover.wait).await?;
    match discover.output {
        DiscoverFormat::Json => return output::print(&output::json(&found)),
        DiscoverFormat::Yaml => return output::print(&output::yaml(&found)),
        DiscoverFormat::Table => output::print(&table(&services(&found)))?,
        DiscoverFormat::Config => {
            let config = config(&services(&found)).ok_or_else(|| {
                let what = "nothing that listens there has a receiver in this agent's Collector";
                Error::NotFound(what.to_owned())
            })?;
            output::print(&output::clean(&config))?;
        }
    }
    for note in found.get("notes").and_then(Value::as_array).into_iter().flatten() {
        eprintln!("note: {}", output::cell(note.as_str().unwrap_or("")));
    }
    Ok(())
}

fn services(found: &Value) -> Vec<&Value> {
    found.get("services").and_then(Value::as_array).into_iter().flatten().collect()
}

fn text<'a>(service: &'a Value, pointer: &str) -> &'a str {
    service.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

fn table(services: &[&Value]) -> String {
    let row = |service: &&Value| {
        let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        let pid = service.get("pid").and_then(Value::as_i64);
        let listens = service.get("listens").and_then(Value::as_array).into_iter().flatten();
        let listens: Vec<_> = listens.map(place).collect();
        vec![
            or_dash(text(service, "/product")),
            or_dash(text(service, "/process")),
            pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            or_dash(&listens.join(", ")),
            or_dash(text(service, "/receiver/type")),
        ]
    };
    output::table(&["PRODUCT", "PROCESS", "PID", "LISTENS", "RECEIVER"], services.iter().map(row).collect())
}

/// `tcp 127.0.0.1:6379`, `udp [::]:53`, `unix /run/x.sock`.
fn place(listens: &Value) -> String {
    let (transport, address) = (text(listens, "/transport"), text(listens, "/address"));
    match listens.get("port").and_then(Value::as_u64) {
        None => format!("{transport} {address}"),
        Some(port) if address.contains(':') => format!("{transport} [{address}]:{port}"),
        Some(port) => format!("{transport} {address}:{port}"),
    }
}

/// One config of all receivers, if there is any. Each is introduced by what it is for.
fn config(services: &[&Value]) -> Option<String> {
    let mut config = String::from(SECTION);
    for service in services {
        let Some(body) = text(service, "/receiver/config").strip_prefix(SECTION) else { continue };
        let names = [text(service, "/product"), text(service, "/process")].map(output::cell);
        let names: Vec<_> = names.into_iter().filter(|name| !name.is_empty()).collect();
        config += &format!("  # {}\n{}\n", names.join(", process "), body.trim_end());
    }
    (config != SECTION).then_some(config)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn receivers_are_one_config_and_a_name_cannot_leave_its_comment() {
        let found = json!({"services": [
            {"product": "redis", "process": "redis\n  evil: x", "receiver":
                {"type": "redis", "config": "receivers:\n  redis/6379:\n    endpoint: \"127.0.0.1:6379\"\n"}},
            {"process": "sshd", "listens": [{"transport": "tcp", "address": "::", "port": 22}]},
            {"product": "nginx", "receiver": {"type": "nginx", "config": "receivers:\n  nginx/80: {}\n"}},
        ]});
        let services = services(&found);
        let wanted = "receivers:\n  # redis, process redis evil: x\n  redis/6379:\n    endpoint: \"127.0.0.1:6379\"\n  \
                      # nginx\n  nginx/80: {}\n";
        assert_eq!(config(&services).as_deref(), Some(wanted));
        assert_eq!(config(&services[1..2]), None);
        assert!(table(&services).contains("tcp [::]:22"), "{}", table(&services));
    }
}
