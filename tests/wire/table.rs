//! Reads the table: `kind,name,member,number,type,status,note`, with quotes around fields that hold commas.

use crate::Facts;

pub(crate) fn facts(csv: &str) -> Facts {
    let mut facts = Facts::new();
    for (line, text) in csv.lines().enumerate().skip(1) {
        let row = fields(text);
        let [kind, name, member, number, kind_of, _status, _note] = &row[..] else {
            panic!("line {} has {} fields: {text}", line + 1, row.len());
        };
        let (key, fact) = match (kind.as_str(), member.as_str()) {
            ("message" | "enum", "") => (format!("{kind} {name}"), kind_of.clone()),
            ("message", _) => (format!("message {name}.{member}"), format!("{number} {kind_of}")),
            ("enum", _) => (format!("enum {name}.{member}"), format!("{number} {kind_of}")),
            _ => panic!("line {}: unknown kind {kind}", line + 1),
        };
        assert!(facts.insert(key, fact).is_none(), "line {} repeats {name}.{member}", line + 1);
    }
    facts
}

fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => fields.last_mut().unwrap().push(other),
        }
    }
    fields
}
