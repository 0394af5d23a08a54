//! The password of a secret key: from a file, from the environment, or asked for on the terminal, where it is not shown.

use std::{io, path::Path};

use tokio::signal::unix::{SignalKind, signal};

use super::{super::settings::Secret, Error, content, read_text};

/// The longest that the `minisign` tool takes.
const LIMIT: usize = 1024;

/// What was given without a question.
pub(super) fn given(file: Option<&Path>, env: Option<&Secret>) -> Result<Option<Secret>, Error> {
    let Some(path) = file else { return env.cloned().map(|password| checked(password, None)).transpose() };
    let text = read_text(path)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    checked(Secret(line.to_owned()), Some(path)).map(Some)
}

fn checked(password: Secret, file: Option<&Path>) -> Result<Secret, Error> {
    let wrong = match &password.0 {
        text if text.is_empty() => "holds no password",
        text if text.contains(['\n', '\r']) => "holds more than one line; a password is one",
        text if text.len() > LIMIT => "holds more than 1024 bytes, more than minisign takes",
        _ => return Ok(password),
    };
    Err(match file {
        Some(path) => content(path, wrong),
        None => Error::Setting(format!("OPAMPCTL_KEY_PASSWORD {wrong}")),
    })
}

/// For a key that is there; an empty one is possible.
pub(super) fn ask(key: &Path) -> Result<Secret, Error> {
    prompt(&format!("Password of {}: ", key.display()), "")
}

/// For a key to be made: twice, so that a slip of the finger does not lock it for good.
pub(super) fn ask_new() -> Result<Secret, Error> {
    let first = prompt("Password for the new secret key: ", " or --no-password")?;
    if first.0.is_empty() {
        let what = "an empty password protects nothing; --no-password makes a key without one";
        return Err(Error::Usage(what.to_owned()));
    }
    let first = checked(first, None)?;
    if prompt("The same again: ", "")? != first {
        return Err(Error::Usage("the two passwords differ; nothing was written".to_owned()));
    }
    Ok(first)
}

fn prompt(words: &str, or: &str) -> Result<Secret, Error> {
    // From here on an interrupt is an answer, not the end: the terminal does not stay without echo.
    let heard = signal(SignalKind::interrupt());
    let asked = heard.and_then(|_| rpassword::prompt_password(words));
    asked.map(Secret).map_err(|why| match why.kind() {
        io::ErrorKind::Interrupted | io::ErrorKind::UnexpectedEof => Error::Declined,
        _ => Error::Setting(format!(
            "a password is needed, and there is no terminal to ask on ({why}): give --password-file FILE, OPAMPCTL_KEY_PASSWORD{or}"
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_one_line_and_goes_before_the_environment() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        let env = Secret("of the environment".to_owned());
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            given(Some(&path), Some(&env))
        };
        for (text, password) in [("a b\n", "a b"), ("a\r\n", "a"), (" a", " a")] {
            assert_eq!(read(text).unwrap(), Some(Secret(password.to_owned())));
        }
        for (text, told) in [
            ("", "no password"),
            ("\n", "no password"),
            ("a\nb\n", "more than one line"),
            (&"x".repeat(1025), "1024"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(told) && error.contains("password"), "{error}");
        }
        assert_eq!(given(None, Some(&env)).unwrap(), Some(env));
        assert_eq!(given(None, None).unwrap(), None);
    }
}
