//! `restrictions`: what a remote config may ask of this host.
//!
//! Whoever writes the section wants a fence: a list that is written and holds nothing allows nothing.

use std::{collections::BTreeSet, fmt::Display, str::FromStr};

use super::super::context::{Context, short};
use crate::{collector::components::Section, supervisor::fence::Restrictions};

pub(super) fn decode(context: &mut Context<'_>) -> Option<Restrictions> {
    if !context.is_written("restrictions") {
        return None;
    }
    let mut restrictions = Restrictions::default();
    for section in Section::ALL {
        let key = format!("restrictions.components.{section}");
        if context.is_written(&key) {
            restrictions.components.insert(section, types(context, &key));
        }
    }
    if context.is_written("restrictions.paths") {
        restrictions.paths = Some(entries(context, "restrictions.paths.allow"));
    }
    if context.is_written("restrictions.endpoints") {
        restrictions.endpoints = Some(entries(context, "restrictions.endpoints.allow"));
    }
    restrictions.env = variables(context);
    Some(restrictions)
}

fn types(context: &mut Context<'_>, key: &str) -> BTreeSet<String> {
    let mut types = BTreeSet::new();
    for (at, text) in context.texts(key).unwrap_or_default() {
        if text.is_empty() || !text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
            let shown = short(text);
            let message = format!("{key}: {shown:?} is no type of a component; write the part before the /");
            context.problem_at(at, key, message);
        }
        types.insert(text.to_owned());
    }
    types
}

fn entries<T: FromStr<Err: Display>>(context: &mut Context<'_>, key: &str) -> Vec<T> {
    let mut entries = Vec::new();
    for (at, text) in context.texts(key).unwrap_or_default() {
        match text.parse() {
            Ok(entry) => entries.push(entry),
            Err(error) => context.problem_at(at, key, format!("{key}: {:?}: {error}", short(text))),
        }
    }
    entries
}

fn variables(context: &mut Context<'_>) -> BTreeSet<String> {
    let key = "restrictions.env.allow";
    let mut names = BTreeSet::new();
    for (at, name) in context.texts(key).unwrap_or_default() {
        if name.is_empty() || !name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
            let shown = short(name);
            let message = format!("{key}: {shown:?} is no name of a variable; write it without $ and braces");
            context.problem_at(at, key, message);
        }
        names.insert(name.to_owned());
    }
    names
}
