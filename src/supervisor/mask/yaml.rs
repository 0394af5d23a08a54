//! YAML with the values of secret-sounding keys replaced, everything else as it was written.

use std::{collections::BTreeMap, ops::Range};

use saphyr_parser::{Event, Parser, Span};

use super::{MASKED, stars, url_passwords};

/// Words in a key that make its value, and all that is below it, a secret.
const SECRET: [&str; 16] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "authorization",
    "headers",
    "cookie",
    "connectionstring",
    "keypem",
    "datasource",
    "certpem",
];
/// Whole keys that do.
const SECRET_KEYS: [&str; 7] = ["key", "pass", "env", "dsn", "auth", "sas", "license"];

/// Masks a text; one that is no YAML to its end is masked line by line as well.
#[must_use]
pub fn yaml(text: &str) -> String {
    put(text, |_| MASKED.to_owned())
}

/// The same with lines and columns kept, for showing single lines.
#[must_use]
pub fn yaml_in_place(text: &str) -> String {
    put(text, stars)
}

/// The values that [`yaml`] replaces.
#[must_use]
pub fn secrets(text: &str) -> Vec<String> {
    hidden(text).into_iter().map(|range| text[range].to_owned()).collect()
}

fn put(text: &str, instead: impl Fn(&str) -> String) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut done = 0;
    for Range { start, end } in hidden(text) {
        masked.push_str(&text[done..start]);
        masked.push_str(&instead(&text[start..end]));
        done = end;
    }
    masked + &text[done..]
}

/// The byte ranges that are secret, in order and apart.
fn hidden(text: &str) -> Vec<Range<usize>> {
    let mut walk = Walk { parser: Parser::new_from_str(text), anchors: BTreeMap::new(), hidden: Vec::new() };
    let whole = walk.document().is_some();
    let offsets: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let byte = |char: usize| offsets[char.min(offsets.len() - 1)];
    let mut all: Vec<_> = walk.hidden.iter().map(|range| byte(range.start)..byte(range.end)).collect();
    all.extend(url_passwords(text));
    if !whole {
        all.extend(by_line(text));
    }
    all.sort_by_key(|range| range.start);
    let mut apart: Vec<Range<usize>> = Vec::new();
    for range in all {
        // A block scalar's span includes the end of its last line.
        let end = range.start + text[range.clone()].trim_end().len();
        match apart.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(end),
            _ if end == range.start => {}
            _ => apart.push(range.start..end),
        }
    }
    apart
}

/// Whether a key's value is a secret.
fn is_secret(key: &str) -> bool {
    let name: String =
        key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    // A file's name is none, and people need it.
    let names_a_file = ["file", "path", "dir", "directory"].iter().any(|end| name.ends_with(end));
    !names_a_file && (SECRET_KEYS.contains(&&*name) || SECRET.iter().any(|word| name.contains(word)))
}

/// Nothing but references that only the Collector can resolve.
fn is_reference(value: &str) -> bool {
    let value = value.trim();
    value.starts_with("${") && value.find('}') == Some(value.len() - 1) && !value.contains(":-")
}

/// `--set=a.token=x` and `TOKEN=x`, as they stand in lists of arguments.
fn assigns_secret(value: &str) -> bool {
    value.trim_start_matches("--set").trim_start_matches(['=', ' ']).split_once('=').is_some_and(
        |(name, _)| {
            name.rsplit(['.', ':']).next().is_some_and(is_secret)
                || name.split(['.', ':']).any(|part| part == "headers")
        },
    )
}

/// What is nested deeper is not read.
const MOST_DEEP: usize = 100;
/// Scalars below one node, those behind aliases counted as often as they are used.
const MOST_SCALARS: usize = 20_000;

struct Walk<'t> {
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    /// The scalars below each anchor: an alias may be a secret where its anchor was none.
    anchors: BTreeMap<usize, Vec<Range<usize>>>,
    hidden: Vec<Range<usize>>,
}

impl<'t> Walk<'t> {
    /// To the end; none when it cannot be read on.
    fn document(&mut self) -> Option<()> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Some(()),
                (event, span) => self.node(event, span, false, 0, &mut Vec::new())?,
            }
        }
    }

    fn next(&mut self) -> Option<(Event<'t>, Span)> {
        match self.parser.next_event() {
            Some(Ok(event)) => Some(event),
            Some(Err(_)) => None,
            None => Some((Event::StreamEnd, Span::default())),
        }
    }

    /// `scalars` takes the place of each scalar at or below this node.
    fn node(
        &mut self,
        event: Event<'t>,
        span: Span,
        secret: bool,
        depth: usize,
        scalars: &mut Vec<Range<usize>>,
    ) -> Option<()> {
        if depth > MOST_DEEP {
            return None;
        }
        let (anchor, mut below) = match event {
            Event::Scalar(text, _, anchor, _) => {
                let range = span.start.index()..span.end.index();
                if (secret && !is_reference(&text) && !text.is_empty()) || assigns_secret(&text) {
                    self.hidden.push(range.clone());
                }
                (anchor, vec![range])
            }
            Event::Alias(id) => {
                let named = self.anchors.get(&id).cloned().unwrap_or_default();
                if scalars.len() + named.len() > MOST_SCALARS {
                    return None;
                }
                if secret {
                    self.hidden.extend(named.iter().cloned());
                }
                (0, named)
            }
            Event::SequenceStart(anchor, _) => {
                let mut below = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break (anchor, below),
                        (event, span) => self.node(event, span, secret, depth + 1, &mut below)?,
                    }
                }
            }
            Event::MappingStart(anchor, _) => {
                let mut below = Vec::new();
                loop {
                    let key = match self.next()? {
                        (Event::MappingEnd, _) => break (anchor, below),
                        (Event::Scalar(key, ..), _) => key.into_owned(),
                        (event, span) => {
                            self.node(event, span, secret, depth + 1, &mut below)?;
                            String::new()
                        }
                    };
                    let (event, span) = self.next()?;
                    self.node(event, span, secret || is_secret(&key), depth + 1, &mut below)?;
                }
            }
            // The end, in the middle of something.
            _ if depth > 0 => return None,
            _ => (0, Vec::new()),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, below.clone());
        }
        scalars.append(&mut below);
        Some(())
    }
}

/// For what is no YAML: the rest of a line after a secret key, and the lines that are indented below it.
fn by_line(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut below: Option<usize> = None;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let (begin, end) = (start, start + line.trim_end().len());
        start += line.len();
        let indent = line.len() - line.trim_start().len();
        if line.trim().is_empty() {
            continue;
        }
        if below.is_some_and(|key| indent > key) {
            ranges.push(begin + indent..end);
            continue;
        }
        below = None;
        // A flow map may have several keys in one line.
        let key = line.match_indices([':', '=']).find(|(at, _)| {
            let name = line[..*at].trim_end_matches(['"', '\'', ' ']);
            let name = name.rsplit(|c: char| !(c.is_alphanumeric() || "_-.".contains(c))).next();
            name.is_some_and(is_secret)
        });
        if let Some((at, _)) = key {
            below = Some(indent);
            let value = &line[at + 1..];
            ranges.push(begin + at + 1 + (value.len() - value.trim_start().len())..end);
        }
    }
    ranges.retain(|range| range.start < range.end);
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_everything_else_stays_as_it_was_written() {
        let text = "\
# a comment
server:
  endpoint: 'wss://me:hunter22@host/x' # tail
  headers: {Authorization: \"Bearer s3cr3t\", X-List: [s3cr3t, ${env:TOKEN}]}
  tls: {key_file: /etc/key.pem, key_pem: |
exporters:
";
        let masked = yaml(text);
        assert!(!masked.contains("s3cr3t") && !masked.contains("hunter22"), "{masked}");
        let text = "\
shared: &t s3cr3t
a:
  api_key: *t
  client_secret: |
    s3cr3t
    s3cr3t
  token_file: /run/token
  \"password\": >-
    s3cr3t
  plain: kept
args: ['--set=exporters.x.token=s3cr3t', --set, 'exporters.x.headers.y=s3cr3t', --verbose]
env:
  A: s3cr3t
  B: ${env:B}
";
        let masked = yaml(text);
        assert!(!masked.contains("s3cr3t"), "{masked}");
        for kept in ["token_file: /run/token", "plain: kept", "B: ${env:B}", "--verbose", "api_key: *t"] {
            assert!(masked.contains(kept), "{kept} in {masked}");
        }
        let plain = "receivers:\n  otlp: {protocols: {grpc: }}\n# the end\n";
        assert_eq!(yaml(plain), plain);
    }

    #[test]
    fn what_cannot_be_read_hides_more_rather_than_less() {
        for text in [
            "a: [1, 2\ntoken: s3cr3t\nb: kept\n",
            "token: \"s3cr3t\n",
            "x: {password: s3cr3t\n",
            "\ttoken: s3cr3t\n",
            "secret:\n    - s3cr3t\n   - s3cr3t\n",
            "a: b: c\npassword: s3cr3t",
        ] {
            let masked = yaml(text);
            assert!(!masked.contains("s3cr3t"), "{text:?} gave {masked:?}");
        }
    }

    #[test]
    fn in_place_every_line_and_column_stays() {
        let text =
            "a: b\nclient_secret: |\n  one two\n  three\nurl: http://me:pw@host/\nd: {token: s3cr3t, e: f}\n";
        let stars =
            "a: b\nclient_secret: |\n  *** ***\n  *****\nurl: http://*****@host/\nd: {token: ******, e: f}\n";
        assert_eq!(yaml_in_place(text), stars);
        assert!(secrets(text).contains(&"s3cr3t".to_owned()));
    }

    #[test]
    fn never_panics() {
        for text in ["", "ü: {token: ü", "a:\n\u{feff}b: &a *a", "--- \n...\n---\ntoken: |\n", "? [a]\n: b"]
        {
            let (_, _) = (yaml(text), yaml_in_place(text));
        }
    }
}
