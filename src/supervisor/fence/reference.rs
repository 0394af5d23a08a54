//! `${…}` in a value, as the Collector finds it: `$$` is a dollar, everything else in braces is asked of a
//! provider.

/// A piece of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// `${env:NAME}` or `${NAME}`, perhaps with `:-default`.
    Env {
        name: String,
        default: Option<String>,
    },
}

/// A value whose references may not stand in a remote config, whatever the lists allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Forbidden {
    #[error("${{{0}:…}} may not stand in a remote config; write the value out, or have it in a local layer")]
    Provider(String),
    #[error("a ${{…}} inside another one cannot be judged")]
    Nested,
    #[error("a ${{ without its end cannot be judged; write $$ for a dollar")]
    Unterminated,
    #[error("a name after a single $ is expanded by some Collectors; write $$ for a dollar")]
    Bare,
    #[error("${{…}} must hold the name of an environment variable")]
    Name,
}

/// Cuts a value at its references.
pub(super) fn pieces(value: &str) -> Result<Vec<Piece>, Forbidden> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = value;
    while let Some(at) = rest.find('$') {
        text.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        match after.chars().next() {
            Some('$') => {
                text.push('$');
                rest = &after[1..];
            }
            Some('{') => {
                if !text.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                }
                let (inner, behind) = after[1..].split_once('}').ok_or(Forbidden::Unterminated)?;
                pieces.push(reference(inner)?);
                rest = behind;
            }
            Some(letter) if letter.is_alphabetic() || letter == '_' => return Err(Forbidden::Bare),
            _ => {
                text.push('$');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

fn reference(inner: &str) -> Result<Piece, Forbidden> {
    if inner.contains("${") {
        return Err(Forbidden::Nested);
    }
    let (name, default) = match inner.split_once(':') {
        None => (inner, None),
        Some(("env", rest)) => match rest.split_once(":-") {
            Some((name, default)) => (name, Some(default.to_owned())),
            None => (rest, None),
        },
        Some((provider, _)) => {
            let known =
                provider.chars().all(|letter| letter.is_ascii_alphanumeric() || "+.-_".contains(letter));
            let shown = if known { provider.chars().take(32).collect() } else { "?".to_owned() };
            return Err(Forbidden::Provider(shown));
        }
    };
    let mut letters = name.chars();
    let first = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
    if !first || !letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
        return Err(Forbidden::Name);
    }
    Ok(Piece::Env { name: name.to_owned(), default })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    fn env(name: &str, default: Option<&str>) -> Piece {
        Piece::Env { name: name.to_owned(), default: default.map(str::to_owned) }
    }

    #[test]
    fn values_are_cut_as_the_collector_cuts_them() {
        for (value, cut) in [
            ("plain", vec![text("plain")]),
            ("", vec![]),
            ("Bearer ${env:T}", vec![text("Bearer "), env("T", None)]),
            ("${T}x", vec![env("T", None), text("x")]),
            ("${env:T:-a:b}", vec![env("T", Some("a:b"))]),
            ("$${env:T} $$$${T} $$$${", vec![text("${env:T} $${T} $${")]),
            ("$$${T}", vec![text("$"), env("T", None)]),
            ("^a$|$1$", vec![text("^a$|$1$")]),
        ] {
            assert_eq!(pieces(value), Ok(cut), "{value}");
        }
    }

    #[test]
    fn f_81_what_fetches_or_hides_something_is_forbidden() {
        for (value, why) in [
            ("${file:/etc/shadow}", Forbidden::Provider("file".into())),
            ("x${http://h/}", Forbidden::Provider("http".into())),
            ("${https:x}", Forbidden::Provider("https".into())),
            ("${yaml:a}", Forbidden::Provider("yaml".into())),
            ("${ENV:A}", Forbidden::Provider("ENV".into())),
            ("${HOME:-x}", Forbidden::Provider("HOME".into())),
            ("${ env:A}", Forbidden::Provider("?".into())),
            ("${env:${env:A}}", Forbidden::Nested),
            ("${env:A:-${file:/x}}", Forbidden::Nested),
            ("${env:A", Forbidden::Unterminated),
            ("${}", Forbidden::Name),
            ("${env:A\n}", Forbidden::Name),
            ("${env:}", Forbidden::Name),
            ("$HOME/x", Forbidden::Bare),
        ] {
            assert_eq!(pieces(value), Err(why), "{value}");
        }
    }
}
