//! Requirement ids: how they are written, and how they are read from the name of a test.

use std::fmt;

/// An id such as `C-SQ-01`: who is asked, the section, the number in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Id {
    section: [char; 2],
    side: char,
    number: u8,
}

impl Id {
    /// From the three parts, in either case; none if they are no id.
    fn new(side: &str, section: &str, number: &str) -> Option<Self> {
        let side = Some(side.to_ascii_uppercase()).filter(|side| ["B", "C", "S"].contains(&side.as_str()))?;
        let mut letters = section.chars().map(|letter| letter.to_ascii_uppercase());
        let section = [letters.next()?, letters.next()?];
        let is_section = letters.next().is_none() && section.iter().all(char::is_ascii_uppercase);
        let number = two_digits(number)?;
        is_section.then_some(Self { section, side: side.chars().next()?, number })
    }

    /// From `C-SQ-01`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let id = Self::new(parts.next()?, parts.next()?, parts.next()?)?;
        (parts.next().is_none() && id.to_string() == text).then_some(id)
    }

    pub(crate) fn section(&self) -> String {
        self.section.iter().collect()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = self.section;
        write!(f, "{}-{first}{second}-{:02}", self.side, self.number)
    }
}

fn two_digits(text: &str) -> Option<u8> {
    (text.len() == 2).then(|| text.parse().ok()).flatten()
}

/// The ids that a test's name carries: `c_sq_01_03_s_hl_02_words` carries three, `c_ac_02_to_04_words` three,
/// `TestReload_C_CS_02` and `C-CS-02 words` one. What follows an id directly and has two digits is another number
/// of its section.
pub(crate) fn in_name(name: &str) -> Vec<Id> {
    let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let head = words.get(at..at + 3).and_then(|head| Id::new(head[0], head[1], head[2]));
        let Some(id) = head else {
            at += 1;
            continue;
        };
        found.push(id);
        at = more_numbers(id, &words, at + 3, &mut found);
    }
    found.sort();
    found.dedup();
    found
}

/// Takes the numbers that go on with an id's section; where they end.
fn more_numbers(first: Id, words: &[&str], mut at: usize, found: &mut Vec<Id>) -> usize {
    let mut last = first;
    loop {
        let here = words.get(at).copied().unwrap_or_default();
        let next = words.get(at + 1).and_then(|word| two_digits(word));
        let (numbers, taken) = match (two_digits(here), here, next) {
            (Some(number), _, _) => (number..=number, 1),
            (None, "and", Some(number)) => (number..=number, 2),
            (None, "to", Some(number)) => (last.number.saturating_add(1)..=number, 2),
            _ => return at,
        };
        found.extend(numbers.clone().map(|number| Id { number, ..first }));
        last.number = *numbers.end();
        at += taken;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(name: &str) -> Vec<String> {
        in_name(name).iter().map(Id::to_string).collect()
    }

    #[test]
    fn names_carry_ids() {
        assert_eq!(ids("c_sq_01_03_s_hl_02_words"), ["S-HL-02", "C-SQ-01", "C-SQ-03"]);
        assert_eq!(ids("c_ac_02_to_04_the_hash"), ["C-AC-02", "C-AC-03", "C-AC-04"]);
        assert_eq!(ids("c_id_01_and_02_sixteen_bytes"), ["C-ID-01", "C-ID-02"]);
        assert_eq!(ids("b_ws_03_f_95_closes_with_1002"), ["B-WS-03"]);
        assert_eq!(ids("f_108_s_id_04_words"), ["S-ID-04"]);
        assert_eq!(ids("TestReload_C_CS_02_06"), ["C-CS-02", "C-CS-06"]);
        assert_eq!(ids("TestX/C-CS-02_the_offer"), ["C-CS-02"]);
        assert_eq!(ids("S-CS-01 is shown, B-CU-01 too"), ["S-CS-01", "B-CU-01"]);
    }

    #[test]
    fn what_only_looks_like_an_id_is_none() {
        for name in
            ["f_95_words", "c_is_a_letter", "takes_c_sq_1", "c_sql_01", "c_sq_001", "d_sq_01", "x", ""]
        {
            assert_eq!(ids(name), [""; 0], "{name}");
        }
        assert_eq!(ids("c_sq_01_to_the_end_and_on"), ["C-SQ-01"]);
        assert_eq!(ids("c_sq_01_words_02"), ["C-SQ-01"]);
    }

    #[test]
    fn only_the_canonical_form_is_parsed() {
        assert_eq!(Id::parse("C-SQ-01").unwrap().to_string(), "C-SQ-01");
        for wrong in ["c-sq-01", "C-SQ-1", "C-SQ-01-02", "X-SQ-01", "C-SQX-01", ""] {
            assert_eq!(Id::parse(wrong), None, "{wrong}");
        }
    }
}
