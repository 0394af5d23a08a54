//! `docs/conformance.md`: the list joined with what was proven and with the reasons.

use std::fmt::Write as _;

use crate::{
    list::{LEVELS, Requirement, Section},
    logs::Proofs,
    reasons::Reasons,
};

const HEAD: &str = "# Conformance\n\n\
    Every requirement of `docs/opamp-conformance.md`, and which tests prove it. Written by `cargo run --example conformance`\n\
    from the logs of tests that ran and passed; an id counts only where it stands in a test's name. A requirement that\n\
    is not followed has its reason in `docs/conformance-reasons.yaml`. Change those, not this file.\n\n";

/// The states of one requirement.
#[derive(PartialEq, Eq, Clone, Copy)]
enum State {
    Proven,
    Reasoned,
    Open,
}

pub(crate) struct Page<'a> {
    pub(crate) list: &'a [Section],
    pub(crate) proofs: &'a Proofs,
    pub(crate) reasons: &'a Reasons,
}

impl Page<'_> {
    fn requirements(&self) -> impl Iterator<Item = &Requirement> {
        self.list.iter().flat_map(|section| &section.requirements)
    }

    fn state(&self, requirement: &Requirement) -> State {
        if self.proofs.contains_key(&requirement.id) {
            State::Proven
        } else if self.reasons.contains_key(&requirement.id) {
            State::Reasoned
        } else {
            State::Open
        }
    }

    /// What is wrong with the three taken together, whatever the page says.
    pub(crate) fn faults(&self) -> Vec<String> {
        let known = |id| self.requirements().any(|requirement| requirement.id == id);
        let strangers = self.proofs.iter().filter(|(id, _)| !known(**id)).map(|(id, places)| {
            let places: Vec<&str> = places.iter().map(String::as_str).collect();
            format!("{id} is not on the list, but in the name of {}", places.join(", "))
        });
        let unknown = self
            .reasons
            .keys()
            .filter(|id| !known(**id))
            .map(|id| format!("{id} is not on the list, but has a reason"));
        let both = self.reasons.keys().filter_map(|id| {
            let place = self.proofs.get(id)?.first()?;
            Some(format!("{id} is proven by {place} and has a reason for not being followed: take one away"))
        });
        strangers.chain(unknown).chain(both).collect()
    }

    /// Each requirement other than a MAY that is neither proven nor reasoned.
    pub(crate) fn owed(&self) -> Vec<String> {
        let open = self
            .requirements()
            .filter(|requirement| requirement.is_owed() && self.state(requirement) == State::Open);
        open.map(|requirement| format!("{} {}: {}", requirement.id, requirement.level, requirement.text))
            .collect()
    }

    pub(crate) fn render(&self) -> String {
        let mut out = HEAD.to_owned();
        self.totals(&mut out);
        for section in self.list {
            let title = section.title.rsplit_once(" (").map_or(section.title.as_str(), |(title, _)| title);
            _ = write!(
                out,
                "\n## {title}\n\n| id | level | side | requirement | proven by |\n|---|---|---|---|---|\n"
            );
            for requirement in &section.requirements {
                let Requirement { id, level, side, text } = requirement;
                _ = writeln!(out, "| {id} | {level} | {side} | {text} | {} |", self.cell(requirement));
            }
        }
        out
    }

    fn totals(&self, out: &mut String) {
        out.push_str("| level | requirements | proven | not followed, with a reason | not proven |\n|---|---|---|---|---|\n");
        let mut row = |name: &str, of: &dyn Fn(&Requirement) -> bool| {
            let count = |state| self.requirements().filter(|r| of(r) && self.state(r) == state).count();
            let (proven, reasoned, open) = (count(State::Proven), count(State::Reasoned), count(State::Open));
            _ = writeln!(out, "| {name} | {} | {proven} | {reasoned} | {open} |", proven + reasoned + open);
        };
        for level in LEVELS {
            row(level, &|requirement| requirement.plain_level() == level);
        }
        row("all", &|_| true);
    }

    fn cell(&self, requirement: &Requirement) -> String {
        if let Some(places) = self.proofs.get(&requirement.id) {
            let places: Vec<String> =
                places.iter().map(|place| format!("`{}`", place.replace('|', "\\|"))).collect();
            return places.join("<br>");
        }
        match self.reasons.get(&requirement.id) {
            Some(reason) => format!("Not followed: {}", reason.replace('|', "\\|")),
            None if requirement.is_owed() => "**not proven**".to_owned(),
            None => "not proven".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::Id, list, reasons};

    fn with(proofs: &[(&str, &str)], why: &str, ask: impl FnOnce(Page)) {
        let list = list::parse(list::tests::LIST).unwrap();
        let mut found = Proofs::new();
        for (id, place) in proofs {
            found.entry(Id::parse(id).unwrap()).or_default().insert((*place).to_owned());
        }
        let reasons = reasons::parse(why).unwrap();
        ask(Page { list: &list, proofs: &found, reasons: &reasons });
    }

    #[test]
    fn each_requirement_shows_its_tests_its_reason_or_that_it_has_none() {
        with(&[("C-SQ-01", "b.rs::two"), ("C-SQ-01", "a.rs::one")], "S-SQ-01: it is late.\n", |page| {
            let text = page.render();
            for row in [
                "| C-SQ-01 | MUST* | Client | Raise it. | `a.rs::one`<br>`b.rs::two` |\n",
                "| S-SQ-01 | SHOULD | Server | Notice (see note N1). | Not followed: it is late. |\n",
                "| C-HL-01 | MAY | Client | Nest. | not proven |\n",
                "| MUST | 1 | 1 | 0 | 0 |\n",
                "| SHOULD | 1 | 0 | 1 | 0 |\n",
                "| MAY | 1 | 0 | 0 | 1 |\n",
                "| all | 3 | 1 | 1 | 1 |\n",
                "\n## SQ: Sequencing\n",
            ] {
                assert!(text.contains(row), "{row}\n{text}");
            }
            assert_eq!((page.faults(), page.owed()), (Vec::new(), Vec::new()));
        });
    }

    #[test]
    fn what_is_neither_proven_nor_reasoned_is_owed_unless_it_is_a_may() {
        with(&[("C-SQ-01", "a.rs::one")], "", |page| {
            assert_eq!(page.owed(), ["S-SQ-01 SHOULD: Notice (see note N1)."]);
            assert!(page.render().contains("Notice (see note N1). | **not proven** |"));
        });
    }

    #[test]
    fn strangers_and_contradictions_are_faults() {
        with(
            &[("C-SQ-09", "a.rs::c_sq_09"), ("S-SQ-01", "a.rs::s")],
            "S-SQ-01: late.\nC-PK-01: later.\n",
            |page| {
                let faults = page.faults().join("\n");
                for said in [
                    "C-SQ-09 is not on the list, but in the name of a.rs::c_sq_09",
                    "C-PK-01 is not on the list, but has a reason",
                    "S-SQ-01 is proven by a.rs::s and has a reason",
                ] {
                    assert!(faults.contains(said), "{said}\n{faults}");
                }
            },
        );
    }
}
