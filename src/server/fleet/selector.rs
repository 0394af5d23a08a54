//! Which agents are meant: a group's two maps, and the conditions of a list query.

use super::resource::{AgentSelector, Attributes};

/// The two attribute maps of an agent, as text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Described {
    pub identifying: Attributes,
    pub non_identifying: Attributes,
}

impl AgentSelector {
    /// Exact equality of every pair, in both maps.
    #[must_use]
    pub fn matches(&self, described: &Described) -> bool {
        holds(self.identifying_attributes.as_ref(), &described.identifying)
            && holds(self.non_identifying_attributes.as_ref(), &described.non_identifying)
    }
}

fn holds(wanted: Option<&Attributes>, has: &Attributes) -> bool {
    wanted.into_iter().flatten().all(|(key, value)| has.get(key) == Some(value))
}

/// One term of `labelSelector=`, in Kubernetes' words.
#[derive(Clone, Debug, PartialEq)]
pub enum Requirement {
    Equals(String, String),
    NotEquals(String, String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

impl Requirement {
    /// Whether it holds for what `lookup` says of a key.
    pub fn holds<'a>(&self, lookup: impl Fn(&str) -> Option<&'a str>) -> bool {
        match self {
            Self::Equals(key, value) => lookup(key) == Some(value),
            Self::NotEquals(key, value) => lookup(key) != Some(value),
            Self::In(key, values) => lookup(key).is_some_and(|has| values.iter().any(|value| value == has)),
            Self::NotIn(key, values) => lookup(key).is_none_or(|has| values.iter().all(|value| value != has)),
            Self::Exists(key) => lookup(key).is_some(),
            Self::Absent(key) => lookup(key).is_none(),
        }
    }
}

/// Reads `a=b,c!=d,e in (f,g),h,!i`. All terms must hold.
pub fn parse_requirements(text: &str) -> Result<Vec<Requirement>, String> {
    terms(text)
        .into_iter()
        .filter(|term| !term.trim().is_empty())
        .map(|term| parse_one(term.trim()))
        .collect()
}

/// Splits at the commas that are not inside parentheses.
fn terms(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0usize);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn parse_one(term: &str) -> Result<Requirement, String> {
    let key = |text: &str| match text.trim() {
        "" => Err(format!("{term:?} has no key")),
        key if key.contains(char::is_whitespace) => Err(format!("{term:?} is no selector term")),
        key => Ok(key.to_owned()),
    };
    if let Some((name, rest)) = term.split_once(" notin ") {
        return Ok(Requirement::NotIn(key(name)?, set(term, rest)?));
    }
    if let Some((name, rest)) = term.split_once(" in ") {
        return Ok(Requirement::In(key(name)?, set(term, rest)?));
    }
    if let Some((name, value)) = term.split_once("!=") {
        return Ok(Requirement::NotEquals(key(name)?, value.trim().to_owned()));
    }
    if let Some((name, value)) = term.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        return Ok(Requirement::Equals(key(name)?, value.trim().to_owned()));
    }
    if let Some(name) = term.strip_prefix('!') {
        return Ok(Requirement::Absent(key(name)?));
    }
    Ok(Requirement::Exists(key(term)?))
}

fn set(term: &str, text: &str) -> Result<Vec<String>, String> {
    let inner = text.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    let inner = inner.ok_or_else(|| format!("{term:?}: write the values as (a,b)"))?;
    Ok(inner.split(',').map(|value| value.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Attributes {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn both_maps_must_match_and_empty_ones_match_all() {
        let agent = Described {
            identifying: map(&[("service.name", "otelcol")]),
            non_identifying: map(&[("os.type", "linux")]),
        };
        let selector = |identifying: Option<Attributes>, other: Option<Attributes>| AgentSelector {
            identifying_attributes: identifying,
            non_identifying_attributes: other,
        };
        assert!(selector(None, None).matches(&agent));
        assert!(selector(Some(map(&[("service.name", "otelcol")])), None).matches(&agent));
        let both = selector(Some(map(&[("service.name", "otelcol")])), Some(map(&[("os.type", "windows")])));
        assert!(!both.matches(&agent));
        // A key is looked for in its own map only.
        assert!(!selector(Some(map(&[("os.type", "linux")])), None).matches(&agent));
    }

    #[test]
    fn label_selector_grammar() {
        let has = map(&[("os.type", "linux"), ("env", "prod")]);
        let all = |text: &str| {
            parse_requirements(text)
                .unwrap()
                .iter()
                .all(|term| term.holds(|key| has.get(key).map(String::as_str)))
        };
        assert!(all("os.type=linux,env in (prod, test)"));
        assert!(all("os.type==linux, env!=dev, !gone, env notin (dev)"));
        assert!(all(""));
        assert!(!all("gone"));
        assert!(!all("env=dev"));
        assert!(parse_requirements("=x").is_err());
        assert!(parse_requirements("env in prod").is_err());
        assert!(parse_requirements("two words").is_err());
    }
}
