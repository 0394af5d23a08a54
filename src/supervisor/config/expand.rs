//! `${NAME}`, `${env:NAME:-default}`, `${file:/path}` and `$$` in values, as the Collector expands them.
//!
//! Keys are never expanded, and neither is a bare `$NAME`, so `$REMOTE_CONFIG` survives. A value that is one
//! reference and nothing else takes the type of what it brings, a map or list included. What is brought in is
//! expanded again, within [`BUDGET`].

use std::path::Path;

use super::{
    Sources,
    error::{Notice, Position, Problem, reason},
    yaml::{self, Node, Scalar, Value},
};

/// References resolved in one file; more means that they go round in a circle.
const BUDGET: usize = 1000;
const MAX_DEPTH: usize = 16;
const MAX_TEXT: usize = 1024 * 1024;

pub(super) struct Expander<'a> {
    sources: &'a Sources<'a>,
    left: usize,
    key: String,
    at: Position,
    pub notices: Vec<Notice>,
    pub problems: Vec<Problem>,
}

impl<'a> Expander<'a> {
    pub(super) fn new(sources: &'a Sources<'a>) -> Self {
        Self {
            sources,
            left: BUDGET,
            key: String::new(),
            at: Position::START,
            notices: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Expands every value of a tree. `key` is the dotted path of the node, `at` where its key stands.
    pub(super) fn node(&mut self, node: Node, key: &str, at: Position, depth: usize) -> Node {
        let Node { at: own, value } = node;
        let value = match value {
            Value::Scalar(scalar) if scalar.text.contains('$') => {
                key.clone_into(&mut self.key);
                self.at = at;
                return self.scalar(scalar, own, depth);
            }
            Value::Seq(items) => {
                let items = items.into_iter().enumerate().map(|(index, item)| {
                    let at = item.at;
                    self.node(item, &format!("{key}[{index}]"), at, depth)
                });
                Value::Seq(items.collect())
            }
            Value::Map(mut entries) => {
                for entry in &mut entries {
                    let path =
                        if key.is_empty() { entry.key.clone() } else { format!("{key}.{}", entry.key) };
                    let node = std::mem::replace(&mut entry.node, Node::null(own));
                    entry.node = self.node(node, &path, entry.at, depth);
                }
                Value::Map(entries)
            }
            other => other,
        };
        Node { at: own, value }
    }

    fn scalar(&mut self, scalar: Scalar, at: Position, depth: usize) -> Node {
        let Scalar { text, plain, .. } = scalar;
        let done = match whole_reference(&text) {
            Some(reference) => self.whole(reference, at, depth),
            None => self.text(&text, depth).map(|expanded| {
                let written = text.contains("${").then(|| text.clone());
                let plain = plain || written.is_some();
                Node { at, value: Value::Scalar(Scalar { text: expanded, plain, written }) }
            }),
        };
        done.unwrap_or_else(|message| {
            let message = format!("{}: {message}", self.key);
            self.problems.push(Problem { at: self.at, key: self.key.clone(), message });
            Node {
                at,
                value: Value::Scalar(Scalar { text: String::new(), plain: false, written: Some(text) }),
            }
        })
    }

    fn whole(&mut self, reference: &str, at: Position, depth: usize) -> Result<Node, String> {
        let raw = self.resolve(reference, depth)?;
        if yaml::is_null(&raw) {
            return Ok(Node::null(at));
        }
        if let Ok(document) = yaml::parse(&raw)
            && matches!(document.root.value, Value::Seq(_) | Value::Map(_))
        {
            let mut node = document.root;
            node.move_to(at);
            let (key, key_at) = (self.key.clone(), self.at);
            return if depth < MAX_DEPTH {
                Ok(self.node(node, &key, key_at, depth + 1))
            } else {
                Err(circle(reference))
            };
        }
        let text = self.text(&raw, depth + 1)?;
        let written = Some(format!("${{{reference}}}"));
        Ok(Node { at, value: Value::Scalar(Scalar { text, plain: true, written }) })
    }

    fn text(&mut self, text: &str, depth: usize) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            out.push_str(&rest[..dollar]);
            rest = &rest[dollar..];
            if let Some(after) = rest.strip_prefix("$$") {
                out.push('$');
                rest = after;
            } else if let Some(end) = closing(rest) {
                let raw = self.resolve(&rest[2..end], depth)?;
                out.push_str(&self.text(&raw, depth + 1)?);
                rest = &rest[end + 1..];
            } else {
                out.push('$');
                rest = &rest[1..];
            }
            if out.len() > MAX_TEXT {
                return Err(format!("expands to more than {MAX_TEXT} bytes"));
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    /// What one reference, without its `${` and `}`, stands for, not yet expanded again.
    fn resolve(&mut self, reference: &str, depth: usize) -> Result<String, String> {
        if self.left == 0 || depth > MAX_DEPTH {
            return Err(circle(reference));
        }
        self.left -= 1;
        let reference = self.text(reference, depth + 1)?;
        match reference.split_once(':') {
            None => self.variable(&reference, None),
            Some(("env", rest)) => match rest.split_once(":-") {
                Some((name, default)) => self.variable(name, Some(default)),
                None => self.variable(rest, None),
            },
            Some(("file", path)) => self.file(path),
            Some((name, rest)) if rest.starts_with('-') => self.variable(name, Some(&rest[1..])),
            Some((scheme, _)) => Err(format!(
                "${{{scheme}:…}} cannot be expanded; use ${{env:NAME}}, ${{file:/path}}, or $$ for a literal $"
            )),
        }
    }

    fn variable(&mut self, name: &str, default: Option<&str>) -> Result<String, String> {
        let mut bytes = name.bytes();
        let first = bytes.next().is_some_and(|b| b == b'_' || b.is_ascii_alphabetic());
        if !first || !bytes.all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
            return Err(format!(
                "{name:?} is no name of an environment variable; use letters, digits and _, or $$ for a literal $"
            ));
        }
        if let Some(value) = (self.sources.env)(name) {
            return Ok(value);
        }
        if let Some(default) = default {
            return Ok(default.to_owned());
        }
        let message = format!("{}: environment variable {name} is not set and reads as empty", self.key);
        self.notices.push(Notice { at: self.at, key: self.key.clone(), message });
        Ok(String::new())
    }

    fn file(&mut self, path: &str) -> Result<String, String> {
        let text = (self.sources.read)(Path::new(path))
            .map_err(|error| format!("cannot read {path} for ${{file:{path}}}: {}", reason(&error)))?;
        Ok(text.trim_end_matches(['\n', '\r']).to_owned())
    }
}

fn circle(reference: &str) -> String {
    format!("${{{reference}}} brings in too many references; does one contain itself?")
}

/// The inside of a text that is one reference and nothing else.
fn whole_reference(text: &str) -> Option<&str> {
    let end = closing(text)?;
    (end + 1 == text.len()).then(|| &text[2..end])
}

/// Where the reference that starts here ends; `None` when none starts or it is never closed.
fn closing(text: &str) -> Option<usize> {
    if !text.starts_with("${") {
        return None;
    }
    let mut open = 0_usize;
    let bytes = text.as_bytes();
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'$' if bytes.get(index + 1) == Some(&b'{') => open += 1,
            b'}' => {
                open -= 1;
                if open == 0 {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}
