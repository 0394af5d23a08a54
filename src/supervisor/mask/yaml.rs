//! YAML with the values of secret-sounding keys replaced, everything else as it was written.

use std::{collections::BTreeMap, ops::Range};

use saphyr_parser::{Event, Parser, Span};

use super::{MASKED, url_passwords};

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
    let mut walk = Walk { parser: Parser::new_from_str(text), anchors: BTreeMap::new(), hidden: Vec::new() };
    let whole = walk.document().is_some();
    let mut hidden = walk.hidden;
    hidden.sort_by_key(|range| range.start);
    let offsets: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let byte = |char: usize| offsets[char.min(offsets.len() - 1)];
    let mut masked = String::with_capacity(text.len());
    let mut done = 0;
    for range in hidden {
        let (start, end) = (byte(range.start), byte(range.end));
        if start < done {
            continue;
        }
        masked.push_str(&text[done..start]);
        masked.push_str(MASKED);
        // A block scalar's span includes the end of its last line.
        let taken = &text[start..end];
        masked.push_str(&taken[taken.trim_end().len()..]);
        done = end;
    }
    masked.push_str(&text[done..]);
    url_passwords(&if whole { masked } else { by_line(&masked) })
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
fn by_line(text: &str) -> String {
    let mut masked = String::new();
    let mut below: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        if below.is_some_and(|key| indent > key && !line.trim().is_empty()) {
            masked.push_str(&line[..indent]);
            masked.push_str(MASKED);
            masked.push('\n');
            continue;
        }
        below = None;
        // The last colon whose left side ends in a secret key; a flow map may have several.
        let key = line.match_indices([':', '=']).find(|(at, _)| {
            let name = line[..*at].trim_end_matches(['"', '\'', ' ']);
            let name = name.rsplit(|c: char| !(c.is_alphanumeric() || "_-.".contains(c))).next();
            name.is_some_and(is_secret)
        });
        match key {
            Some((at, _)) => {
                below = Some(indent);
                masked.push_str(&line[..=at]);
                masked.push(' ');
                masked.push_str(MASKED);
                masked.push_str(if line.ends_with('\n') { "\n" } else { "" });
            }
            None => masked.push_str(line),
        }
    }
    masked
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
    fn never_panics() {
        for text in ["", "ü: {token: ü", "a:\n\u{feff}b: &a *a", "--- \n...\n---\ntoken: |\n", "? [a]\n: b"]
        {
            let _ = yaml(text);
        }
    }
}
