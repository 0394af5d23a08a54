//! Parameters of lists, and the envelope that a list comes in.

use std::convert::Infallible;

use axum::{extract::FromRequestParts, http::request::Parts};
use serde_json::{Value, json};

use super::problem::Problem;
use crate::server::fleet::{
    Agent,
    presence::Presence,
    selector::{Requirement, parse_requirements},
};

const PAGE: usize = 500;
const LARGEST_PAGE: usize = 5000;

/// The query string, with repeated keys kept.
pub(super) struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or("");
        Ok(Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }
}

impl Query {
    pub(super) fn get<'a>(&'a self, name: &str) -> Option<&'a str> {
        self.all(name).next().filter(|value| !value.is_empty())
    }

    fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(other) => Err(Problem::bad_parameter(name, other, "say true or false")),
        }
    }

    fn limit(&self) -> Result<usize, Problem> {
        match self.get("limit") {
            None => Ok(PAGE),
            Some(text) => match text.parse() {
                Ok(0) => Ok(PAGE),
                Ok(limit) => Ok(std::cmp::min(limit, LARGEST_PAGE)),
                Err(_) => Err(Problem::bad_parameter("limit", text, "give a whole number")),
            },
        }
    }

    /// Which agents are asked for.
    pub(super) fn filter(&self) -> Result<Filter, Problem> {
        let pairs = |name| {
            let pair = |text: &str| match text.split_once('=') {
                Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
                _ => Err(Problem::bad_parameter(name, text, "write key=value")),
            };
            self.all(name).map(pair).collect::<Result<Vec<_>, _>>()
        };
        let mut labels = Vec::new();
        for text in self.all("labelSelector") {
            let terms = parse_requirements(text);
            labels.extend(terms.map_err(|why| Problem::bad_parameter("labelSelector", text, why))?);
        }
        Ok(Filter {
            identifying: pairs("selector")?,
            non_identifying: pairs("nonIdentifyingSelector")?,
            labels,
            connected: self.flag("connected")?,
            presence: self.presence()?,
        })
    }

    fn presence(&self) -> Result<Option<Presence>, Problem> {
        let Some(word) = self.get("presence") else { return Ok(None) };
        let named = Presence::ALL.into_iter().find(|presence| format!("{presence:?}") == word);
        let wrong = || Problem::bad_parameter("presence", word, "say Connected, Stale, Disconnected or Gone");
        named.map(Some).ok_or_else(wrong)
    }

    /// One page of `items`, which come in the order of their keys; the next page begins after the last key.
    pub(super) fn page<T>(
        &self,
        kind: &str,
        items: impl Iterator<Item = (String, T)>,
        show: impl Fn(T) -> Value,
    ) -> Result<Value, Problem> {
        let limit = self.limit()?;
        let after = self.get("continue").unwrap_or("");
        let mut items = items.skip_while(|(key, _)| !after.is_empty() && key.as_str() <= after);
        let mut shown = Vec::new();
        let mut last = String::new();
        for (key, item) in items.by_ref().take(limit) {
            shown.push(show(item));
            last = key;
        }
        let rest = items.count();
        let next = if rest > 0 { last } else { String::new() };
        Ok(json!({
            "kind": kind,
            "apiVersion": "v1",
            "metadata": {"continue": next, "remainingItemCount": rest},
            "items": shown,
        }))
    }
}

/// Conditions on agents; all must hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    identifying: Vec<(String, String)>,
    non_identifying: Vec<(String, String)>,
    labels: Vec<Requirement>,
    connected: Option<bool>,
    presence: Option<Presence>,
}

impl Filter {
    pub(super) fn holds(&self, agent: &Agent) -> bool {
        let has = |map: &crate::server::fleet::resource::Attributes, (key, value): &(String, String)| {
            map.get(key) == Some(value)
        };
        self.identifying.iter().all(|pair| has(&agent.described.identifying, pair))
            && self.non_identifying.iter().all(|pair| has(&agent.described.non_identifying, pair))
            && self.labels.iter().all(|term| term.holds(|key| agent.lookup(key)))
            && self.connected.is_none_or(|connected| agent.connected.is_some() == connected)
            && self.presence.is_none_or(|presence| agent.presence == presence)
    }
}
