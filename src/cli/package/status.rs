//! `package status`: how far offers are, agent by agent, once or until they are over.

use std::{collections::HashMap, io::IsTerminal, time::Duration};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    super::{
        args::{Status, StatusFormat},
        bar::{bar, rate},
        client::Client,
        kind::Kind,
        model::Agent,
        output,
    },
    Error, offer,
};

const EVERY: Duration = Duration::from_millis(500);
/// Rows that a terminal is given at once.
const SHOWN: usize = 40;
const HEADER: [&str; 8] = ["AGENT", "PACKAGE", "HAS", "OFFERED", "STATUS", "PERCENT", "RATE", "ERROR"];

pub(in crate::cli) async fn run(client: &Client, status: &Status) -> Result<(), Error> {
    let namespace = status.namespace.name();
    if let (true, Some(offer)) = (status.watch, &status.offer) {
        return follow(client, namespace, offer, None).await;
    }
    if status.watch {
        return Err(Error::Usage("--watch follows one offer; say which".to_owned()));
    }
    let offers = match &status.offer {
        Some(name) => vec![name.clone()],
        None => {
            let all = client.list(&Kind::PackageOffer.collection(namespace), &[]).await?;
            let name = |offer: &Value| offer.pointer("/metadata/name")?.as_str().map(str::to_owned);
            all.iter().filter_map(name).collect()
        }
    };
    if offers.is_empty() {
        eprintln!("no packageoffers");
        return Ok(());
    }
    let mut seen = Vec::new();
    for name in &offers {
        seen.push(Look::at(client, namespace, name).await?);
    }
    match status.output {
        StatusFormat::Table => {
            let texts: Vec<_> = seen.iter().map(|look| look.text(Shape::Plain)).collect();
            output::print(&texts.join("\n"))?;
        }
        StatusFormat::Json => output::print(&output::json(&whole(&seen)))?,
        StatusFormat::Yaml => output::print(&output::yaml(&whole(&seen)))?,
    }
    seen.iter().find_map(|look| look.verdict().err()).map_or(Ok(()), Err)
}

fn whole(seen: &[Look]) -> Value {
    let one = |look: &Look| json!({"packageOffer": look.offer, "agents": look.rows.iter().map(Row::value).collect::<Vec<_>>()});
    json!(seen.iter().map(one).collect::<Vec<_>>())
}

/// Shows an offer until it is over: on a terminal as one picture, else a line for each change.
pub(super) async fn follow(
    client: &Client,
    namespace: &str,
    name: &str,
    within: Option<Duration>,
) -> Result<(), Error> {
    let deadline = within.map(|within| Instant::now() + within);
    let picture = std::io::stdout().is_terminal();
    let mut told = HashMap::new();
    loop {
        let look = Look::at(client, namespace, name).await?;
        if picture {
            output::print(&format!("\u{1b}[H\u{1b}[J{}", look.text(Shape::Picture)))?;
        } else {
            look.tell_changes(&mut told)?;
        }
        if look.is_over() || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            if !picture {
                output::print(&output::clean(&format!("{}\n", look.summary())))?;
            }
            return look.verdict();
        }
        sleep(EVERY).await;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Plain,
    /// With bars, and no more rows than a person sees.
    Picture,
}

/// An offer as it is now, with its agents.
struct Look {
    offer: Value,
    rows: Vec<Row>,
}

/// One package of one agent.
struct Row {
    agent: String,
    name: String,
    package: String,
    has: String,
    offered: String,
    status: String,
    progress: Option<(f64, f64)>,
    error: String,
}

impl Look {
    async fn at(client: &Client, namespace: &str, name: &str) -> Result<Self, Error> {
        let mut path = Kind::PackageOffer.object(namespace, name);
        let found = client.get(&path, &[]).await.map_err(|error| offer::missing(error, name))?;
        path.push("agents");
        let agents = client.list(&path, &[("view", "summary".to_owned())]).await?;
        let rows = agents.iter().flat_map(|agent| rows(agent, name)).collect();
        Ok(Self { offer: found, rows })
    }

    fn word(&self, key: &str) -> &str {
        self.offer["status"][key].as_str().unwrap_or("")
    }

    fn number(&self, key: &str) -> usize {
        self.offer["status"][key].as_u64().map_or(0, |number| usize::try_from(number).unwrap_or(usize::MAX))
    }

    fn summary(&self) -> String {
        let name = self.offer["metadata"]["name"].as_str().unwrap_or("");
        let counts = [
            ("inFlight", "in flight"),
            ("waiting", "waiting"),
            ("failed", "failed"),
            ("unreported", "unreported"),
            ("excluded", "excluded"),
        ];
        let mut text = format!(
            "packageoffer/{name} {}: {} of {} installed",
            self.word("phase"),
            self.number("installed"),
            self.number("targets")
        );
        for (key, word) in counts.iter().filter(|(key, _)| self.number(key) > 0) {
            text += &format!(", {} {word}", self.number(key));
        }
        if !self.word("reason").is_empty() {
            text += &format!(" ({})", output::cell(self.word("reason")));
        }
        text
    }

    fn text(&self, shape: Shape) -> String {
        let mut rows: Vec<&Row> = self.rows.iter().collect();
        let mut more = 0;
        if shape == Shape::Picture {
            rows.sort_by_key(|row| row.rank());
            more = rows.len().saturating_sub(SHOWN);
            rows.truncate(SHOWN);
        }
        let mut text = output::cell(&self.summary()) + "\n";
        if !rows.is_empty() {
            text += &output::table(&HEADER, rows.iter().map(|row| row.cells(shape)).collect());
        }
        if more > 0 {
            text += &format!("and {more} more\n");
        }
        text
    }

    /// A line for each package of an agent that is elsewhere than when it was told last.
    fn tell_changes(&self, told: &mut HashMap<(String, String), String>) -> Result<(), Error> {
        for row in &self.rows {
            let key = (row.agent.clone(), row.package.clone());
            if told.get(&key) != Some(&row.status) {
                told.insert(key, row.status.clone());
                output::print(&output::clean(&row.line()))?;
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        matches!(self.word("phase"), "Complete" | "Stopped" | "Paused") || self.is_for_nobody()
    }

    /// Every agent that it is for gets nothing of it.
    fn is_for_nobody(&self) -> bool {
        self.word("phase") == "Progressing" && self.number("targets") == 0 && self.number("excluded") > 0
    }

    /// As the exit code says it.
    fn verdict(&self) -> Result<(), Error> {
        let (failed, targets) = (self.number("failed"), self.number("targets"));
        let name = self.offer["metadata"]["name"].as_str().unwrap_or("").to_owned();
        match self.word("phase") {
            "Stopped" => Err(Error::Stopped { name, why: self.word("reason").to_owned() }),
            _ if failed > 0 => Err(Error::NotInstalled { name, failed, total: targets }),
            "Complete" => Ok(()),
            _ if self.is_for_nobody() => Err(Error::NotOffered { name, why: self.word("reason").to_owned() }),
            _ => Err(Error::NotYet { name, done: self.number("installed"), total: targets }),
        }
    }
}

impl Row {
    /// Who is at it comes first.
    fn rank(&self) -> usize {
        let order =
            ["Downloading", "Installing", "Pending", "Failed", "not offered", "Waiting", "Unreported"];
        order.iter().position(|word| *word == self.status).unwrap_or(order.len())
    }

    fn cells(&self, shape: Shape) -> Vec<String> {
        let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        let percent = match (self.progress, shape) {
            (None, _) => "-".to_owned(),
            (Some((percent, _)), Shape::Plain) => format!("{percent:.0}%"),
            (Some((percent, _)), Shape::Picture) => format!("{} {percent:.0}%", bar(percent)),
        };
        let rate = self.progress.map_or_else(|| "-".to_owned(), |(_, bytes)| rate(bytes));
        vec![
            format!("{} {}", self.agent, self.name).trim_end().to_owned(),
            self.package.clone(),
            or_dash(&self.has),
            or_dash(&self.offered),
            self.status.clone(),
            percent,
            rate,
            or_dash(&self.error),
        ]
    }

    fn line(&self) -> String {
        let error =
            if self.error.is_empty() { String::new() } else { format!(": {}", output::cell(&self.error)) };
        format!("agent/{} {} {} {}{error}\n", self.agent, self.package, self.offered, self.status)
    }

    fn value(&self) -> Value {
        json!({
            "instanceUid": self.agent,
            "package": self.package,
            "has": self.has,
            "offered": self.offered,
            "status": self.status,
            "percent": self.progress.map(|(percent, _)| percent),
            "bytesPerSecond": self.progress.map(|(_, bytes)| bytes),
            "error": self.error,
        })
    }
}

/// What an agent has to do with an offer: each of its packages, and why it gets none.
fn rows(agent: &Value, offer: &str) -> Vec<Row> {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or("").to_owned();
    let about = |package: &str| Row {
        agent: Agent(agent).uid().to_owned(),
        name: Agent(agent).attribute("host.name").unwrap_or("").to_owned(),
        package: package.to_owned(),
        has: String::new(),
        offered: String::new(),
        status: String::new(),
        progress: None,
        error: String::new(),
    };
    let status = &agent["status"];
    let mut rows = Vec::new();
    for (name, wanted) in status["desiredPackages"].as_object().into_iter().flatten() {
        let by = wanted["packageOffers"].as_array().into_iter().flatten();
        if !by.clone().any(|by| by.as_str() == Some(offer)) {
            continue;
        }
        let said = &status["packageStatuses"]["packages"][name];
        let state = text(wanted, "state");
        let details = said.get("downloadDetails").filter(|_| state == "Downloading");
        let number = |details: &Value, key: &str| details[key].as_f64().unwrap_or(0.0);
        rows.push(Row {
            has: text(said, "agentHasVersion"),
            offered: text(wanted, "version"),
            status: state,
            progress: details
                .map(|one| (number(one, "downloadPercent"), number(one, "downloadBytesPerSecond"))),
            error: text(wanted, "errorMessage"),
            ..about(name)
        });
    }
    let refusals = status["packageRefusals"].as_array().into_iter().flatten();
    for refusal in refusals.filter(|refusal| refusal["offer"].as_str() == Some(offer)) {
        rows.push(Row { status: "not offered".to_owned(), error: text(refusal, "message"), ..about("-") });
    }
    rows
}
