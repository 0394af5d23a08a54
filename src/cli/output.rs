//! What is printed: tables, JSON, YAML. Text from the server is made harmless here before it meets a terminal.

use std::io::Write;

use comfy_table::{Table, presets};
use serde_json::Value;

use super::error::Error;

/// Characters that steer a terminal or turn the direction of text.
fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text without what could steer a terminal; line ends and tabs stay.
pub(super) fn clean(text: &str) -> String {
    text.chars().filter(|&c| matches!(c, '\n' | '\t') || !is_harmful(c)).collect()
}

/// The text on one line, without what could steer a terminal.
pub(super) fn cell(text: &str) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    one_line.chars().filter(|&c| !is_harmful(c)).collect()
}

/// Prints a text as it is; the caller has cleaned it.
pub(super) fn print(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::Output)
}

/// Columns as kubectl has them: no lines, two spaces between.
pub(super) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for row in rows {
        table.add_row(row.iter().map(|text| cell(text)).collect::<Vec<_>>());
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned() + "\n");
    lines.collect()
}

/// JSON, with every character that a terminal could act on as an escape, so that nothing is lost.
pub(super) fn json(value: &Value) -> String {
    // Printing a Value cannot fail: its keys are strings and it is no stream.
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let mut safe = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if c != '\n' && is_harmful(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                safe += &format!("\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    safe + "\n"
}

/// YAML; the emitter escapes control characters, and what it leaves is taken out.
pub(super) fn yaml(value: &Value) -> String {
    clean(&serde_yaml::to_string(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_from_the_server_steers_the_terminal() {
        let nasty = "a\u{1b}[31m\u{9b}2J\u{202e}b\nc\u{7}\u{7f}\td";
        assert_eq!(clean(nasty), "a[31m2Jb\nc\td");
        assert_eq!(cell(nasty), "a[31m2Jb c d");
        let row = table(&["X"], vec![vec![nasty.to_owned()]]);
        for text in [&row, &json(&json!({"k": nasty})), &yaml(&json!({"k": nasty}))] {
            assert!(!text.chars().any(|c| c != '\n' && c != '\t' && is_harmful(c)), "{text:?}");
        }
    }

    #[test]
    fn json_loses_nothing() {
        let value = json!({"k\u{9b}": "a\u{1b}\u{202e}b\u{1f600}"});
        assert_eq!(serde_json::from_str::<Value>(&json(&value)).unwrap(), value);
    }

    #[test]
    fn a_table_has_no_trailing_blanks() {
        assert_eq!(table(&["A", "LONG"], vec![vec!["xyz".into(), "1".into()]]), "A    LONG\nxyz  1\n");
    }
}
