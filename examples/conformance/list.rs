//! `docs/opamp-conformance.md` as data: its sections, and one requirement per numbered line.

use crate::ids::Id;

pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) requirements: Vec<Requirement>,
}

pub(crate) struct Requirement {
    pub(crate) id: Id,
    /// With its star, if it has one.
    pub(crate) level: String,
    pub(crate) side: String,
    pub(crate) text: String,
}

pub(crate) const LEVELS: [&str; 5] = ["MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY"];

impl Requirement {
    pub(crate) fn plain_level(&self) -> &str {
        self.level.trim_end_matches('*')
    }

    /// Whether it is to be proven or to have a reason: all but MAY.
    pub(crate) fn is_owed(&self) -> bool {
        self.plain_level() != "MAY"
    }
}

/// Reads the list; its own counts (of each section and in all) must fit.
pub(crate) fn parse(text: &str) -> Result<Vec<Section>, Vec<String>> {
    let mut sections: Vec<Section> = Vec::new();
    let mut faults = Vec::new();
    let mut total = None;
    for (at, line) in text.lines().enumerate() {
        let mut wrong = |what: String| faults.push(format!("line {}: {what}", at + 1));
        if let Some(rest) = line.strip_prefix("Total ") {
            total = rest.split(':').next().and_then(|number| number.parse::<usize>().ok());
        } else if let Some(title) = line.strip_prefix("## ") {
            sections.push(Section { title: title.to_owned(), requirements: Vec::new() });
        } else if line.starts_with(|c: char| c.is_ascii_digit()) {
            match (requirement(line), sections.last_mut()) {
                (Ok(found), Some(section)) if section.title.starts_with(&found.id.section()) => {
                    section.requirements.push(found);
                }
                (Ok(found), _) => wrong(format!("{} stands in another section", found.id)),
                (Err(what), _) => wrong(what),
            }
        }
    }
    sections.retain(|section| !section.requirements.is_empty());
    faults.extend(miscounts(&sections, total));
    if faults.is_empty() { Ok(sections) } else { Err(faults) }
}

fn requirement(line: &str) -> Result<Requirement, String> {
    let fields: Vec<&str> = line.split(" | ").collect();
    let [head, level, side, text, _anchor] = fields[..] else {
        return Err(format!("{} fields are there, not id, level, side, requirement, anchor", fields.len()));
    };
    let id = head.split('`').nth(1).and_then(Id::parse).ok_or_else(|| format!("{head} has no id"))?;
    let found = Requirement { id, level: level.to_owned(), side: side.to_owned(), text: text.to_owned() };
    let known = LEVELS.contains(&found.plain_level());
    if known { Ok(found) } else { Err(format!("{id} has the unknown level {level}")) }
}

fn miscounts(sections: &[Section], total: Option<usize>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut ids: Vec<Id> = sections.iter().flat_map(|section| &section.requirements).map(|r| r.id).collect();
    ids.sort();
    faults.extend(
        ids.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| format!("{} is there twice", pair[0])),
    );
    if total != Some(ids.len()) {
        faults.push(format!("{} ids are there, its line `Total` says {total:?}", ids.len()));
    }
    for section in sections {
        let said = section.title.rsplit_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
        if said != Some(section.requirements.len().to_string().as_str()) {
            faults.push(format!(
                "{} requirements are in section {}",
                section.requirements.len(),
                section.title
            ));
        }
    }
    faults
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const LIST: &str = "# List\n\nTotal 3: in words.\n\n## SQ: Sequencing (2)\n\n\
        1. `C-SQ-01` | MUST* | Client | Raise it. | `#a`\n\
        2. `S-SQ-01` | SHOULD | Server | Notice (see note N1). | `#b`\n\n\
        ## HL: Health (1)\n\n3. `C-HL-01` | MAY | Client | Nest. | `#c`\n\n## Notes: places\n\n- N1: words\n";

    #[test]
    fn a_list_is_read() {
        let sections = parse(LIST).unwrap();
        assert_eq!(sections.len(), 2);
        let first = &sections[0].requirements[0];
        assert_eq!(
            (first.id.to_string().as_str(), first.level.as_str(), first.is_owed()),
            ("C-SQ-01", "MUST*", true)
        );
        assert_eq!(sections[0].requirements[1].text, "Notice (see note N1).");
        assert!(!sections[1].requirements[0].is_owed());
    }

    #[test]
    fn the_protocols_list_is_whole() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/opamp-conformance.md");
        let sections = parse(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(sections.iter().map(|section| section.requirements.len()).sum::<usize>(), 331);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        for (from, to, said) in [
            ("Total 3", "Total 4", "3 ids are there"),
            ("(2)", "(3)", "2 requirements are in section SQ"),
            ("`S-SQ-01`", "`C-SQ-01`", "C-SQ-01 is there twice"),
            ("`S-SQ-01`", "`S-HL-01`", "line 8: S-HL-01 stands in another section"),
            ("`S-SQ-01`", "`Q-SQ-01`", "line 8: 2. `Q-SQ-01` has no id"),
            ("SHOULD", "OUGHT", "unknown level OUGHT"),
            (" | Nest.", "", "4 fields"),
        ] {
            let faults = parse(&LIST.replacen(from, to, 1)).err().unwrap();
            assert!(faults.iter().any(|fault| fault.contains(said)), "{from} → {to}: {faults:?}");
        }
    }
}
