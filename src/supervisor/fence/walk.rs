//! Through a remote layer, section by section, value by value.

use super::{
    MAX_FINDINGS, Restrictions, allowed, endpoint, keys, path,
    reference::{self, Piece},
};
use crate::{
    collector::{
        components::Section,
        lint::{At, Diagnostic, Layer, Map, Node, Severity, Value},
    },
    supervisor::compose::OWN_HEALTH_CHECK,
};

/// The extension through which the Collector reports, which nobody else may have.
const REPORTER: &str = "opamp";
/// The receiver that starts receivers out of its own config.
const CREATOR: &str = "receiver_creator";
/// The label whose value is the address that a scrape goes to.
const SCRAPE_ADDRESS: &str = "__address__";
/// The attribute of the resource that says which Collector it is.
const INSTANCE: &str = "service.instance.id";

/// What a layer asks for without being allowed to.
pub(super) fn walk(rules: &Restrictions, layers: &[Layer<'_>], root: &Node) -> Vec<Diagnostic> {
    let mut walk = Walk { rules, layers, found: Vec::new() };
    walk.layer(root);
    walk.found
}

struct Walk<'a> {
    rules: &'a Restrictions,
    layers: &'a [Layer<'a>],
    found: Vec<Diagnostic>,
}

impl Walk<'_> {
    fn report(&mut self, at: At, message: impl Into<String>) {
        if self.found.len() < MAX_FINDINGS {
            self.found.push(Diagnostic::new(self.layers, at, Severity::Error, message));
        }
    }

    fn layer(&mut self, root: &Node) {
        let Some(sections) = self.written_out(root, "a remote config") else { return };
        for (name, entry) in sections {
            match (Section::parse(name), name.as_str()) {
                (Some(section), _) => self.section(section, &entry.node),
                (None, "service") => self.service(&entry.node),
                _ => {
                    let message = format!("restrictions: {name:?} is no section of a Collector's config");
                    self.report(entry.key_at, message);
                }
            }
        }
    }

    /// The node as a map. What a `${…}` would bring in cannot be judged.
    fn written_out<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n Map> {
        match &node.value {
            Value::Map(map) => Some(map),
            Value::Null => None,
            Value::Scalar(_) | Value::List(_) => {
                let message = format!("restrictions: {what} must be written out here, as a map");
                self.report(node.at, message);
                None
            }
        }
    }

    fn section(&mut self, section: Section, node: &Node) {
        let Some(components) = self.written_out(node, section.as_str()) else { return };
        for (id, entry) in components {
            let Some(kind) = self.component(section, id, entry.key_at) else { continue };
            if self.written_out(&entry.node, &format!("the config of {id:?}")).is_some() {
                self.values(&kind, "", &entry.node);
            }
        }
    }

    /// Judges a component's id; its type, if it has a plain one.
    fn component(&mut self, section: Section, id: &str, at: At) -> Option<String> {
        let (kind, name) = id.split_once('/').unwrap_or((id, ""));
        let (kind, name) = (kind.trim(), name.trim());
        let one = section.singular();
        if kind.is_empty() || !kind.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
            self.report(at, format!("restrictions: {id:?} names no type of {one}"));
            return None;
        }
        let own = kind == REPORTER || format!("{kind}/{name}") == OWN_HEALTH_CHECK;
        if section == Section::Extensions && own {
            self.report(
                at,
                format!("restrictions: extension {id:?} is the supervisor's own; remove it here"),
            );
            return None;
        }
        if let Some(list) = self.rules.components.get(&section)
            && !list.contains(kind)
        {
            let instead = allowed(list);
            self.report(
                at,
                format!("restrictions.components.{section}: {one} {kind:?} is not allowed; {instead}"),
            );
        }
        Some(kind.to_owned())
    }

    fn service(&mut self, node: &Node) {
        let Some(service) = self.written_out(node, "service") else { return };
        for (key, entry) in service {
            match key.as_str() {
                // Lists of ids, which name nothing outside the config.
                "extensions" | "pipelines" => self.references(&entry.node),
                _ => self.values("service", key, &entry.node),
            }
        }
        let telemetry = service.get("telemetry").and_then(|entry| entry.node.as_map());
        if let Some(resource) = telemetry.and_then(|telemetry| telemetry.get("resource"))
            && let Some(at) = names_instance(&resource.node)
        {
            self.report(at, format!("restrictions: {INSTANCE} is the supervisor's own; remove it here"));
        }
    }

    fn references(&mut self, node: &Node) {
        match &node.value {
            Value::Null => {}
            Value::Scalar(text) => {
                self.pieces(text, node.at);
            }
            Value::List(items) => items.iter().for_each(|item| self.references(item)),
            Value::Map(map) => map.values().for_each(|entry| self.references(&entry.node)),
        }
    }

    /// Judges all values below a key. The items of a list are values of the list's key.
    fn values(&mut self, kind: &str, key: &str, node: &Node) {
        match &node.value {
            Value::Null => {}
            Value::Scalar(text) => self.scalar(kind, key, text, node.at),
            Value::List(items) => items.iter().for_each(|item| self.values(kind, key, item)),
            Value::Map(map) => {
                for (name, entry) in map.iter() {
                    if kind == CREATOR && name == "receivers" {
                        self.created(&entry.node);
                    }
                    self.text("", name, entry.key_at);
                    self.values(kind, name, &entry.node);
                }
            }
        }
    }

    /// The receivers that a receiver would start.
    fn created(&mut self, node: &Node) {
        for (id, entry) in self.written_out(node, CREATOR).into_iter().flatten() {
            self.component(Section::Receivers, id, entry.key_at);
        }
    }

    fn scalar(&mut self, kind: &str, key: &str, text: &str, at: At) {
        let lists = self.rules.paths.is_some() || self.rules.endpoints.is_some();
        if kind == CREATOR && text.contains('`') && lists {
            return self.report(at, format!("restrictions: the expression in {key:?} cannot be judged"));
        }
        if self.rules.endpoints.is_some() && text.contains(SCRAPE_ADDRESS) {
            let message = format!(
                "restrictions.endpoints: {SCRAPE_ADDRESS} is put together by rules and cannot be judged"
            );
            return self.report(at, message);
        }
        let Some(pieces) = self.pieces(text, at) else { return };
        match &*pieces {
            [] => {}
            [Piece::Text(text)] => self.text(key, text, at),
            pieces => self.composed(key, text, pieces, at),
        }
    }

    /// The pieces of a value whose references are all allowed.
    fn pieces(&mut self, text: &str, at: At) -> Option<Vec<Piece>> {
        let pieces = match reference::pieces(text) {
            Ok(pieces) => pieces,
            Err(forbidden) => {
                self.report(at, format!("restrictions: {forbidden}"));
                return None;
            }
        };
        for piece in &pieces {
            if let Piece::Env { name, .. } = piece
                && !self.rules.env.contains(name)
            {
                let instead = allowed(&self.rules.env);
                self.report(at, format!("restrictions.env: ${{env:{name}}} is not allowed; {instead}"));
                return None;
            }
        }
        Some(pieces)
    }

    /// A value with variables in it: what it will be is not known here.
    fn composed(&mut self, key: &str, written: &str, pieces: &[Piece], at: At) {
        let mut texts = pieces.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Env { .. } => None,
        });
        let joined = texts.any(|text| text.contains(['/', '\\', ':', '@']));
        let unclear = |list: &str| {
            format!(
                "restrictions.{list}: {key:?} holds a ${{env:…}} and cannot be judged; list it there as it stands here"
            )
        };
        let rules = self.rules;
        let paths = rules.paths.iter().flatten().map(AsRef::<str>::as_ref);
        let endpoints = rules.endpoints.iter().flatten().map(AsRef::<str>::as_ref);
        if !paths.chain(endpoints).any(|entry| entry == written) {
            if rules.paths.is_some() && (keys::is_path(key) || joined && !keys::is_url_path(key)) {
                return self.report(at, unclear("paths"));
            }
            if rules.endpoints.is_some() && (keys::is_endpoint(key) || joined) {
                return self.report(at, unclear("endpoints"));
            }
        }
        for piece in pieces {
            if let Piece::Env { default: Some(default), .. } = piece {
                self.text(key, default, at);
            }
        }
    }

    /// A value that is what it says.
    fn text(&mut self, key: &str, text: &str, at: At) {
        let rules = self.rules;
        if let Some(paths) = &rules.paths
            && !keys::is_url_path(key)
            && let Err(denied) = judge_paths(key, text, paths)
        {
            // Under another key it may be anything, a secret too.
            let what = if keys::is_path(key) {
                denied.to_string()
            } else {
                format!("the value of {key:?} looks like a path that is not allowed")
            };
            return self.report(at, format!("restrictions.paths: {what}; {}", allowed(paths)));
        }
        if let Some(endpoints) = &rules.endpoints {
            let judged = if keys::is_endpoint(key) {
                endpoint::judge(text, endpoints).map_err(|denied| denied.to_string())
            } else {
                let what = format!("the value of {key:?} looks like an endpoint that is not allowed");
                endpoint::judge_any(text, endpoints).map_err(|_| what)
            };
            if let Err(what) = judged {
                self.report(at, format!("restrictions.endpoints: {what}; {}", allowed(endpoints)));
            }
        }
    }
}

/// The whole value, and each word of it: what a component makes of it is not known.
fn judge_paths(key: &str, text: &str, paths: &[path::Allowed]) -> Result<(), path::Denied> {
    if paths.iter().any(|entry| entry.as_ref() == text) {
        return Ok(());
    }
    if keys::is_path(key) && !keys::is_no_path(text) || path::looks_like_path(text) {
        path::judge(text, paths)?;
    }
    let ends = |letter: char| letter.is_whitespace() || "\"'`,;=()<>|{}[]".contains(letter);
    let mut words = text.split(ends).filter(|word| word.len() > 1 && path::looks_like_path(word));
    words.try_for_each(|word| path::judge(word, paths))
}

/// Where a description of the resource gives the instance id.
fn names_instance(node: &Node) -> Option<At> {
    match &node.value {
        Value::Null => None,
        Value::Scalar(text) => (text == INSTANCE).then_some(node.at),
        Value::List(items) => items.iter().find_map(names_instance),
        Value::Map(map) => map.iter().find_map(|(key, entry)| {
            if key == INSTANCE { Some(entry.key_at) } else { names_instance(&entry.node) }
        }),
    }
}
