//! The checks on a merged view: do the types exist, do references resolve, is everything used.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Diagnostic, MAX_DIAGNOSTICS, Scope, Severity,
    suggest::did_you_mean,
    tree::{At, Map, Node, Value},
    view::{Literals, View, canonical, literals},
};
use crate::collector::components::{Components, Section};

/// Most names listed in one message.
const MAX_NAMES: usize = 40;

/// Findings of one check that get a suggestion; more than that are no typing errors.
const MAX_HELPED: usize = 10;

type Found = Vec<(At, Diagnostic)>;

pub(super) fn run(view: &View<'_>, components: Option<&Components>, scope: Scope) -> Found {
    let mut all = Found::new();
    let mut check = |run: &dyn Fn(&mut Checks<'_, '_>)| {
        let mut checks = Checks { view, found: Vec::new() };
        run(&mut checks);
        all.append(&mut checks.found);
    };
    if let Some(components) = components {
        check(&|checks| checks.types(components));
    }
    if scope == Scope::Complete {
        let references = References::of(view);
        check(&|checks| checks.resolve(&references));
        check(&|checks| checks.unused(&references));
    }
    all
}

/// Whether `${…}` is in a text, which only the Collector can resolve.
fn opaque(text: &str) -> bool {
    text.contains("${")
}

/// A use of a component: its id, where, and by whom (for the message).
struct Reference {
    id: String,
    at: At,
    user: String,
}

/// All uses of components, by the section the using list is named after.
struct References {
    by_section: BTreeMap<Section, Vec<Reference>>,
    /// Some list is behind `${…}`, so "unused" cannot be known.
    hidden: bool,
}

impl References {
    fn of(view: &View<'_>) -> Self {
        let mut all = Self { by_section: BTreeMap::new(), hidden: false };
        for list in &view.extension_lists {
            all.list(Section::Extensions, list, "service.extensions");
        }
        let Some(service) = view.merged.get("service") else { return all };
        let Some(pipelines) = all.map(&service.node).and_then(|service| service.get("pipelines")) else {
            return all;
        };
        let Some(pipelines) = all.map(&pipelines.node) else { return all };
        for (name, pipeline) in pipelines {
            let Some(pipeline) = all.map(&pipeline.node) else { continue };
            for section in [Section::Receivers, Section::Processors, Section::Exporters] {
                if let Some(entry) = pipeline.get(section.as_str()) {
                    all.list(section, &entry.node, &format!("pipeline {name:?}"));
                }
            }
        }
        all
    }

    /// The node as a mapping; what is neither that nor empty hides something.
    fn map<'n>(&mut self, node: &'n Node) -> Option<&'n Map> {
        match &node.value {
            Value::Map(map) => Some(map),
            Value::Null => None,
            Value::Scalar(_) | Value::List(_) => {
                self.hidden = true;
                None
            }
        }
    }

    fn list(&mut self, section: Section, node: &Node, user: &str) {
        match literals(node) {
            Literals::None => {}
            Literals::Opaque(_) => self.hidden = true,
            Literals::Items(items) => {
                let references = items.into_iter().map(|(id, at)| Reference {
                    id: canonical(id),
                    at,
                    user: user.to_owned(),
                });
                self.by_section.entry(section).or_default().extend(references);
            }
        }
    }
}

/// One check and what it found.
struct Checks<'v, 'a> {
    view: &'v View<'a>,
    found: Found,
}

impl Checks<'_, '_> {
    fn is_full(&self) -> bool {
        self.found.len() >= MAX_DIAGNOSTICS
    }

    /// A suggestion, as long as they are worth their time.
    fn help<'n>(&self, wanted: &str, names: impl IntoIterator<Item = &'n str>) -> Option<String> {
        if self.found.len() < MAX_HELPED { did_you_mean(wanted, names) } else { None }
    }

    fn report(&mut self, at: At, severity: Severity, message: String, help: Option<String>) {
        self.found
            .push((at, Diagnostic { help, ..Diagnostic::new(self.view.layers, at, severity, message) }));
    }

    /// Every component's type is one this Collector has.
    fn types(&mut self, components: &Components) {
        let severity = if components.complete { Severity::Error } else { Severity::Warning };
        for section in Section::ALL {
            for (id, entry) in self.view.section(section).into_iter().flatten() {
                let kind = id.split('/').next().unwrap_or(id).trim();
                if kind.is_empty() || opaque(id) || components.has(section, kind) {
                    continue;
                }
                if self.is_full() {
                    return;
                }
                let one = section.singular();
                let message = match list_names(components.types(section)) {
                    Some(names) => {
                        format!("{one} {kind:?} is not in this Collector; available {section}: {names}")
                    }
                    None => format!("{one} {kind:?} is not in this Collector; it has no {section}"),
                };
                let help = self.help(kind, components.types(section));
                self.report(entry.key_at, severity, message, help);
            }
        }
    }

    /// Every reference has a definition.
    fn resolve(&mut self, references: &References) {
        for (section, uses) in &references.by_section {
            let sections = sections_for(*section);
            if sections.iter().any(|section| self.is_hidden(*section)) {
                continue;
            }
            let defined: BTreeSet<String> =
                sections.iter().flat_map(|section| self.view.component_ids(*section)).collect();
            for Reference { id, at, user } in uses {
                if defined.contains(id) {
                    continue;
                }
                if self.is_full() {
                    return;
                }
                let one = section.singular();
                let message = format!("{user} uses {one} {id:?}, which is not defined under {section}");
                let help = self.help(id, defined.iter().map(String::as_str));
                self.report(*at, Severity::Error, message, help);
            }
        }
    }

    /// Every definition has a use.
    fn unused(&mut self, references: &References) {
        if references.hidden {
            return;
        }
        let used: BTreeSet<(Section, &str)> = references
            .by_section
            .iter()
            .flat_map(|(section, uses)| {
                uses.iter().flat_map(|reference| {
                    sections_for(*section).iter().map(|section| (*section, reference.id.as_str()))
                })
            })
            .collect();
        for section in Section::ALL {
            for (id, entry) in self.view.section(section).into_iter().flatten() {
                let id = canonical(id);
                if opaque(&id) || used.contains(&(section, id.as_str())) {
                    continue;
                }
                if self.is_full() {
                    return;
                }
                let by = if section == Section::Extensions { "service.extensions" } else { "any pipeline" };
                let message = format!("{} {id:?} is defined but not used by {by}", section.singular());
                self.report(entry.key_at, Severity::Warning, message, None);
            }
        }
    }

    /// A section whose definitions are behind `${…}`.
    fn is_hidden(&self, section: Section) -> bool {
        let node = self.view.merged.get(section.as_str()).map(|entry| &entry.node.value);
        matches!(node, Some(Value::Scalar(_) | Value::List(_)))
            || self.view.section(section).is_some_and(|map| map.keys().any(|id| opaque(id)))
    }
}

/// Where a use may be defined: a connector ends one pipeline and begins another.
fn sections_for(used_as: Section) -> &'static [Section] {
    match used_as {
        Section::Receivers => &[Section::Receivers, Section::Connectors],
        Section::Exporters => &[Section::Exporters, Section::Connectors],
        Section::Processors => &[Section::Processors],
        Section::Extensions => &[Section::Extensions],
        Section::Connectors => &[Section::Connectors],
    }
}

fn list_names<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut names: Vec<&str> = names.collect();
    let all = names.len();
    names.truncate(MAX_NAMES);
    let text = names.join(", ");
    match all {
        0 => None,
        _ if all > MAX_NAMES => Some(format!("{text}, … ({all} in all)")),
        _ => Some(text),
    }
}
