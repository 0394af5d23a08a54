//! A reading that leaves no room for a second opinion: what two YAML parsers may read differently is a fault.
//!
//! A rule about a config is worth nothing when the Collector reads another config than the rule did. So a text
//! has to do without anchors, tags, merge keys and the like, and is then read a second time by the rules of
//! libyaml, which the Collector's parser follows: both readings must be the same, value by value.
//! Called by the supervisor for remote layers in restricted mode.

use std::fmt;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{
    Diagnostic, Layer, Severity, builder, lenient,
    tree::{At, Budget, Node, Value},
};

/// Reads one of the layers, without its like or not at all.
pub(crate) fn read_strictly(layers: &[Layer<'_>], index: usize) -> Result<Node, Vec<Diagnostic>> {
    let text = layers[index].text;
    let wrong = |at, message: String| Diagnostic::new(layers, at, Severity::Error, message);
    let start = At { layer: index, line: 1, column: 1 };
    let parsed = builder::parse(index, text, &Budget::default());
    if !parsed.faults.is_empty() {
        return Err(parsed.faults.into_iter().map(|fault| wrong(fault.at, fault.message)).collect());
    }
    let faults = ambiguities(index, text);
    if !faults.is_empty() {
        return Err(faults.into_iter().map(|(at, what)| wrong(at, unclear(what))).collect());
    }
    let Some(root) = parsed.root else { return Err(vec![wrong(start, unclear("it has no content"))]) };
    if !lenient::is_affordable(text) {
        return Err(vec![wrong(start, "too large, or too deep in brackets, to be judged twice".to_owned())]);
    }
    if !agrees(&root, text) {
        return Err(vec![wrong(start, unclear("its values are not the same by the rules of YAML 1.1"))]);
    }
    Ok(root)
}

fn unclear(what: &str) -> String {
    format!("two YAML parsers may read this differently: {what}")
}

/// What is not in a text that every parser reads alike.
fn ambiguities(layer: usize, text: &str) -> Vec<(At, &'static str)> {
    let mut found = characters(layer, text);
    let mut keys = Keys::default();
    let mut documents = 0;
    let mut parser = Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    while let Some(Ok((event, span))) = parser.next_event() {
        let at = At { layer, line: span.start.line().max(1), column: span.start.col() + 1 };
        let is_key = keys.is_key(&event);
        let (anchor, tagged) = match &event {
            Event::Scalar(_, _, anchor, tag) => (*anchor, tag.is_some()),
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => (*anchor, tag.is_some()),
            _ => (0, false),
        };
        let what = match &event {
            Event::Alias(_) => Some("an alias"),
            _ if anchor != 0 => Some("an anchor"),
            _ if tagged => Some("a tag"),
            Event::Scalar(text, style, ..) if is_key => unclear_key(text, *style),
            Event::DocumentStart(_) => {
                documents += 1;
                (documents > 1).then_some("a second document")
            }
            _ => None,
        };
        found.extend(what.map(|what| (at, what)));
        keys.after(&event);
    }
    found
}

/// Characters that end a line for one parser and not for another, or that cannot be seen.
fn characters(layer: usize, text: &str) -> Vec<(At, &'static str)> {
    let mut found = Vec::new();
    for (index, line) in text.strip_prefix('\u{feff}').unwrap_or(text).split('\n').enumerate() {
        let at = |column| At { layer, line: index + 1, column };
        if line.starts_with('%') {
            found.push((at(1), "a directive"));
        }
        let line = line.strip_suffix('\r').unwrap_or(line);
        for (column, character) in line.chars().enumerate() {
            let what = match character {
                '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => "a line break that is not one everywhere",
                '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' => {
                    "a character that cannot be seen"
                }
                '\t' => continue,
                _ if character.is_control() => "a control character",
                _ => continue,
            };
            found.push((at(column + 1), what));
            break;
        }
    }
    found
}

/// Keys that are a text for one parser and something else for another.
fn unclear_key(text: &str, style: ScalarStyle) -> Option<&'static str> {
    if text.contains("::") {
        return Some("a key with \"::\", which takes the place of a nested one");
    }
    if text.contains('$') {
        return Some("a key with \"$\"");
    }
    if style != ScalarStyle::Plain {
        return None;
    }
    let word = text.to_ascii_lowercase();
    match word.as_str() {
        "<<" => Some("a merge key"),
        "" | "~" | "null" | "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" => {
            Some("a key that is no text by YAML 1.1; quote it")
        }
        _ if word.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) => {
            Some("a key that begins like a number; quote it")
        }
        _ => None,
    }
}

/// Which of the events are keys.
#[derive(Default)]
struct Keys {
    /// For each open collection: `None` for a list, else whether a key comes next.
    open: Vec<Option<bool>>,
}

impl Keys {
    fn is_key(&self, event: &Event<'_>) -> bool {
        matches!(event, Event::Scalar(..)) && self.open.last() == Some(&Some(true))
    }

    fn after(&mut self, event: &Event<'_>) {
        match event {
            Event::SequenceStart(..) => self.open.push(None),
            Event::MappingStart(..) => self.open.push(Some(true)),
            Event::SequenceEnd | Event::MappingEnd => {
                self.open.pop();
                self.turn();
            }
            Event::Scalar(..) | Event::Alias(_) => self.turn(),
            _ => {}
        }
    }

    fn turn(&mut self) {
        if let Some(Some(key_next)) = self.open.last_mut() {
            *key_next = !*key_next;
        }
    }
}

/// Whether libyaml reads the same tree.
fn agrees(root: &Node, text: &str) -> bool {
    let mut documents = serde_yaml::Deserializer::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    match documents.next() {
        Some(first) => match &root.value {
            // A text without content is an error there.
            Value::Null => true,
            _ => Same(root).deserialize(first).is_ok() && documents.next().is_none(),
        },
        None => matches!(root.value, Value::Null),
    }
}

/// Expects what the strict reading has.
struct Same<'n>(&'n Node);

impl<'de> DeserializeSeed<'de> for Same<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.0.value {
            Value::Null => deserializer.deserialize_unit(self),
            Value::Scalar(_) => deserializer.deserialize_str(self),
            Value::List(_) => deserializer.deserialize_seq(self),
            Value::Map(_) => deserializer.deserialize_map(self),
        }
    }
}

fn same<E: Error>(same: bool) -> Result<(), E> {
    if same { Ok(()) } else { Err(E::custom("differs")) }
}

impl<'de> Visitor<'de> for Same<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the same value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        same(matches!(self.0.value, Value::Null))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        same(matches!(&self.0.value, Value::Scalar(own) if own == text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Value::List(own) = &self.0.value else { return same(false) };
        for node in own.iter() {
            same(items.next_element_seed(Same(node))?.is_some())?;
        }
        same(items.next_element::<serde::de::IgnoredAny>()?.is_none())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Value::Map(own) = &self.0.value else { return same(false) };
        let mut seen = 0;
        while let Some(key) = entries.next_key::<String>()? {
            let Some(entry) = own.get(&key) else { return same(false) };
            entries.next_value_seed(Same(&entry.node))?;
            seen += 1;
        }
        same(seen == own.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> Result<Node, Vec<String>> {
        let layers = [Layer { name: "r", text }];
        read_strictly(&layers, 0).map_err(|found| found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_every_parser_reads_alike_is_read() {
        for text in [
            "",
            "# nothing\n",
            "---\na: 1\n",
            "a: {b: [1, x, \"y\\n\", 'z', ~, null, true, 0x7f, 1.50]}\nc:\n- d\n-  - e\n   - f: g\n",
            "a: |\n  text\n  more\nb: >-\n  folded\n  line\n\n  and\nc: plain\n  goes on\n",
            "\u{feff}a: ümlaut 日本\r\nb: 1\r\n",
            "a: b # comment\n\"quoted\": x\n'yes': 1\n\"1\": 2\n",
            "regex: '^(?P<a>\\w+)$'\nt: a\tb\n",
        ] {
            assert!(verdict(text).is_ok(), "{text:?}: {:?}", verdict(text));
        }
    }

    #[test]
    fn what_parsers_read_differently_is_refused_with_its_place() {
        for (text, place, what) in [
            ("a: &x 1\n", "1:4", "an anchor"),
            ("a: &x {b: 1}\nc: *x\n", "2:4", "an alias"),
            ("a: {<<: {b: 1}}\n", "1:5", "a merge key"),
            ("a: !!binary aGk=\n", "1:4", "a tag"),
            ("a: !x {}\n", "1:4", "a tag"),
            ("a::b: 1\n", "1:1", "::"),
            ("a: {'b::c': 1}\n", "1:5", "::"),
            ("\"${env:X}\": 1\n", "1:1", "$"),
            ("on: 1\n", "1:1", "YAML 1.1"),
            ("a: {y: 1}\n", "1:5", "YAML 1.1"),
            ("0x1: 1\n", "1:1", "number"),
            ("a: 1\n---\nb: 2\n", "2:1", "second document"),
            ("%YAML 1.1\n---\na: 1\n", "1:1", "a directive"),
            ("# x\u{85}a: 1\n", "1:4", "line break"),
            ("# x\u{2028}a: 1\n", "1:4", "line break"),
            ("# x\ra: 1\n", "1:4", "line break"),
            ("a: \"b\u{200b}\"\n", "1:6", "cannot be seen"),
            ("a: 1\nb: \u{feff}2\n", "2:4", "byte order mark"),
            ("a: 1\na: 2\n", "2:1", "twice"),
        ] {
            let found = verdict(text).expect_err(text);
            let expected = |line: &String| line.starts_with(&format!("r:{place}: ")) && line.contains(what);
            assert!(found.iter().any(expected), "{text:?}: {found:?}");
        }
        assert!(verdict("a: [\n]\nb:\n\t- 1\n").is_err());
    }
}
