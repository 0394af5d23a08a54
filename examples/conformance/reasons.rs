//! `docs/conformance-reasons.yaml`: why a requirement is not followed, one line each.

use std::collections::BTreeMap;

use crate::ids::Id;

pub(crate) type Reasons = BTreeMap<Id, String>;

/// Lines are `C-XX-01: one sentence`, sorted, so that two people's additions merge by themselves. A sentence with a
/// colon or a hash sign would be other YAML than it looks: it stands in double quotes.
pub(crate) fn parse(text: &str) -> Result<Reasons, Vec<String>> {
    let mut reasons = Reasons::new();
    let mut faults = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let known = |id: &Id| reasons.contains_key(id);
        match entry(line) {
            Err(what) => faults.push(format!("line {}: {what}", at + 1)),
            Ok((id, _)) if known(&id) => faults.push(format!("line {}: {id} has a reason already", at + 1)),
            Ok((id, reason)) => drop(reasons.insert(id, reason)),
        }
    }
    if faults.is_empty() { Ok(reasons) } else { Err(faults) }
}

fn entry(line: &str) -> Result<(Id, String), String> {
    let form = || format!("not of the form `C-XX-01: one sentence`: {line}");
    let (id, text) = line.split_once(": ").ok_or_else(form)?;
    let id = Id::parse(id).ok_or_else(form)?;
    let text = text.trim();
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let special = |text: &str| {
        text.contains(": ") || text.contains(" #") || text.starts_with(|c: char| "\"'[{&*!|>%@`".contains(c))
    };
    match quoted {
        Some(inner) if inner.contains(['"', '\\']) => {
            Err(format!("{id}: the reason has a quote or a backslash in it"))
        }
        Some(inner) => Ok((id, inner.to_owned())),
        None if text.is_empty() => Err(form()),
        None if special(text) => Err(format!("{id}: put the reason in double quotes, it is not plain YAML")),
        None => Ok((id, text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_read() {
        let reasons = parse("# Why\nC-PK-01: not built, yet.\n\nS-SE-01: \"one: two # three\"\n").unwrap();
        let found: Vec<String> = reasons.iter().map(|(id, reason)| format!("{id} {reason}")).collect();
        assert_eq!(found, ["C-PK-01 not built, yet.", "S-SE-01 one: two # three"]);
    }

    #[test]
    fn wrong_lines_are_said() {
        for (text, said) in [
            ("C-PK-01: a\nC-PK-01: b\n", "line 2: C-PK-01 has a reason already"),
            ("C-PK-1: a\n", "line 1: not of the form"),
            ("C-PK-01\n", "not of the form"),
            ("C-PK-01: \n", "not of the form"),
            ("  C-PK-01: a\n", "not of the form"),
            ("C-PK-01: a: b\n", "double quotes"),
            ("C-PK-01: `a` b\n", "double quotes"),
            ("C-PK-01: \"a \"b\"\n", "quote or a backslash"),
        ] {
            let faults = parse(text).unwrap_err();
            assert!(faults[0].contains(said), "{text}: {faults:?}");
        }
    }
}
