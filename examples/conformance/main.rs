//! Writes `docs/conformance.md` from the logs of tests that ran and passed, or checks it.
//!
//! ```text
//! cargo run --example conformance -- --write    after tests/run.sh: writes the file
//! cargo run --example conformance -- --check    says what is owed or differs; exit code 1 if anything
//! cargo run --example conformance -- --owed     only lists what is neither proven nor reasoned
//! ```
//!
//! Logs are read from `target/test-logs` unless `--logs DIRECTORY` names another place. A tool of the tests: no program
//! calls it, and it proves nothing by itself.

mod ids;
mod list;
mod logs;
mod page;
mod reasons;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

const LIST: &str = "docs/opamp-conformance.md";
const REASONS: &str = "docs/conformance-reasons.yaml";
const PAGE: &str = "docs/conformance.md";

/// Beyond this many lines a list of what differs helps nobody.
const SHOWN: usize = 40;

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Write,
    Check,
    Owed,
}

fn main() -> ExitCode {
    let (mode, logs) = match arguments(env::args().skip(1)) {
        Ok(found) => found,
        Err(what) => {
            eprintln!("conformance: {what}; it takes --write, --check or --owed, and --logs DIRECTORY");
            return ExitCode::from(64);
        }
    };
    match run(mode, &logs) {
        Ok(complaints) if complaints.is_empty() => ExitCode::SUCCESS,
        Ok(complaints) => {
            eprintln!("{}", complaints.join("\n"));
            ExitCode::from(1)
        }
        Err(what) => {
            eprintln!("conformance: {}", what.join("\nconformance: "));
            ExitCode::from(65)
        }
    }
}

fn arguments(mut given: impl Iterator<Item = String>) -> Result<(Mode, PathBuf), String> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let mut logs = target.join("test-logs");
    let mut mode = None;
    while let Some(argument) = given.next() {
        let wanted = match argument.as_str() {
            "--write" => Mode::Write,
            "--check" => Mode::Check,
            "--owed" => Mode::Owed,
            "--logs" => {
                logs = given.next().ok_or("--logs names no directory")?.into();
                continue;
            }
            other => return Err(format!("unknown argument {other}")),
        };
        if mode.replace(wanted).is_some_and(|before| before != wanted) {
            return Err("more than one of the modes".to_owned());
        }
    }
    Ok((mode.ok_or("nothing to do")?, logs))
}

/// What is to be complained of; an error when there is no telling.
fn run(mode: Mode, logs: &Path) -> Result<Vec<String>, Vec<String>> {
    let named = |path: &'static str| {
        move |faults: Vec<String>| faults.iter().map(|fault| format!("{path}: {fault}")).collect::<Vec<_>>()
    };
    let list = list::parse(&read(&root().join(LIST))?).map_err(named(LIST))?;
    let reasons = reasons::parse(&read(&root().join(REASONS))?).map_err(named(REASONS))?;
    let texts = logs_in(logs)?;
    let tree = Checkout::read().map_err(|error| vec![error.to_string()])?;
    let proofs = logs::proofs(texts.iter().map(String::as_str), &tree);
    if proofs.is_empty() {
        return Err(vec![format!(
            "no test with an id in its name passed, by the logs in {}",
            logs.display()
        )]);
    }
    let page = page::Page { list: &list, proofs: &proofs, reasons: &reasons };
    let mut complaints = page.faults();
    let text = page.render();
    let path = root().join(PAGE);
    match mode {
        Mode::Write => {
            fs::write(&path, &text).map_err(|error| vec![format!("{}: {error}", path.display())])?
        }
        Mode::Check => {
            complaints.extend(page.owed().iter().map(|line| format!("neither proven nor reasoned: {line}")));
            complaints.extend(differences(&fs::read_to_string(&path).unwrap_or_default(), &text));
        }
        Mode::Owed => complaints.extend(page.owed()),
    }
    Ok(complaints)
}

/// The lines in which the committed page is not what this run shows.
fn differences(committed: &str, shown: &str) -> Vec<String> {
    if committed == shown {
        return Vec::new();
    }
    let only = |lines: &str, others: &str, mark: &str| {
        let others: Vec<&str> = others.lines().collect();
        lines
            .lines()
            .filter(|line| !others.contains(line))
            .map(|line| format!("{mark} {line}"))
            .collect::<Vec<_>>()
    };
    let mut lines = only(committed, shown, "-");
    lines.extend(only(shown, committed, "+"));
    let more = lines.len().saturating_sub(SHOWN);
    lines.truncate(SHOWN);
    lines.insert(
        0,
        format!(
            "{PAGE} is not what this run shows; after a whole run: cargo run --example conformance -- --write"
        ),
    );
    if more > 0 {
        lines.push(format!("and {more} lines more"));
    }
    lines
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> Result<String, Vec<String>> {
    fs::read_to_string(path).map_err(|error| vec![format!("{}: {error}", path.display())])
}

fn logs_in(directory: &Path) -> Result<Vec<String>, Vec<String>> {
    let failed = |error: io::Error| vec![format!("{}: {error}; run tests/run.sh first", directory.display())];
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    let texts = paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    // A program under test may have printed anything.
    texts
        .map(|path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).map_err(failed))
        .collect()
}

/// This checkout; tests in Go and for node are found by their text.
struct Checkout {
    others: Vec<(String, String)>,
}

impl Checkout {
    fn read() -> io::Result<Self> {
        let mut others = Vec::new();
        collect(&root().join("tests"), &mut others)?;
        others.sort();
        Ok(Self { others })
    }

    fn holding(&self, kind: &str, text: &str) -> Option<String> {
        let found = self.others.iter().find(|(path, content)| path.ends_with(kind) && content.contains(text));
        found.map(|(path, _)| path.clone())
    }
}

fn collect(directory: &Path, files: &mut Vec<(String, String)>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.to_string_lossy();
        if path.is_dir() && !name.ends_with("node_modules") {
            collect(&path, files)?;
        } else if name.ends_with("_test.go") || name.ends_with(".test.mjs") {
            let below = path.strip_prefix(root()).unwrap_or(&path).to_string_lossy().into_owned();
            files.push((below, fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

impl logs::Tree for Checkout {
    fn is_file(&self, path: &str) -> bool {
        root().join(path).is_file()
    }

    fn go_file(&self, function: &str) -> Option<String> {
        self.holding(".go", &format!("\nfunc {function}("))
    }

    fn node_file(&self, name: &str) -> Option<String> {
        self.holding(".mjs", &format!("\"{name}\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> Result<(Mode, PathBuf), String> {
        arguments(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments_name_one_mode() {
        assert!(
            given("--check").is_ok_and(|(mode, logs)| mode == Mode::Check && logs.ends_with("test-logs"))
        );
        assert!(
            given("--logs x --write").is_ok_and(|(mode, logs)| mode == Mode::Write && logs == Path::new("x"))
        );
        for (text, said) in
            [("", "nothing"), ("--write --check", "more than one"), ("--logs", "no directory"), ("-x", "-x")]
        {
            assert!(given(text).is_err_and(|what| what.contains(said)), "{text}");
        }
    }

    #[test]
    fn a_page_that_differs_is_shown_by_its_lines() {
        assert_eq!(differences("a\nb\n", "a\nb\n"), [""; 0]);
        let found = differences("a\nold\n", "a\nnew\n").join("\n");
        assert!(found.contains("\n- old\n+ new") && !found.contains(" a\n"), "{found}");
        let long: String = (0..100).map(|line| format!("{line}\n")).collect();
        assert!(differences("", &long).last().unwrap().contains("and 60 lines more"));
    }
}
