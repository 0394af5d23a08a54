//! What the documents name exists: the keeper of each promise, the links between documents, the paths on the map.

use std::{fs, path::Path};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The texts between backticks, block fences aside.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    let inline = text.split("```").step_by(2);
    inline.flat_map(|part| part.split('`').skip(1).step_by(2))
}

/// What is wrong with one row of a table of promises.
fn fault(row: &str) -> Option<String> {
    let mut keepers = spans(row).filter_map(|span| span.split_once("::")).peekable();
    if keepers.peek().is_none() {
        return Some(format!("names no keeper: {row}"));
    }
    let missing = |(file, name): (&str, &str)| (!keeps(file, name)).then(|| format!("{file} has no {name}"));
    keepers.find_map(missing)
}

/// Whether the file has a test of this name (a bench: a figure; a script: a section).
fn keeps(file: &str, name: &str) -> bool {
    let Ok(text) = fs::read_to_string(root().join(file)) else { return false };
    let kind = Path::new(file).extension().and_then(|extension| extension.to_str());
    match kind {
        Some("rs") if file.starts_with("benches/") => text.contains(&format!("\"{name}\"")),
        Some("rs") => has_test(&text, name),
        Some("go") => text.contains(&format!("\nfunc {name}(t *testing.T)")),
        Some("mjs") => text.contains(&format!("\ntest(\"{name}\"")),
        Some("sh") => text.contains(&format!("\n{name}() {{")),
        _ => false,
    }
}

/// Whether a function of this name stands below a test attribute.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let function = format!("fn {name}(");
    lines.iter().enumerate().any(|(at, line)| {
        let attributes = || lines[..at].iter().rev().take_while(|above| above.starts_with(['#', '/']));
        line.trim_start_matches("async ").starts_with(&function)
            && attributes().any(|above| above.starts_with("#[test]") || above.starts_with("#[tokio::test"))
    })
}

#[test]
fn every_promise_names_its_keeper() {
    let text = read("docs/promises.md");
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promise |"));
    let faults: Vec<String> = rows.clone().filter_map(fault).collect();
    assert!(rows.count() > 50, "the table was not found");
    assert!(faults.is_empty(), "docs/promises.md:\n{}", faults.join("\n"));
}

#[test]
fn a_promise_without_a_keeper_is_caught() {
    for (row, named) in [
        ("| It is fast | |", "names no keeper"),
        ("| x | `tests/docs.rs::no_such_test` |", "no_such_test"),
        ("| x | `tests/docs.rs::keeps` |", "tests/docs.rs has no keeps"),
        ("| x | `tests/no_such_file.rs::x` |", "no_such_file"),
        ("| x | `benches/supervisor/main.rs::no_such_figure` |", "no_such_figure"),
    ] {
        assert!(fault(row).is_some_and(|fault| fault.contains(named)), "{row}");
    }
    assert_eq!(fault("| x | `tests/docs.rs::every_promise_names_its_keeper` |"), None);
}

/// What is wrong with one row of the table of faults, if it is one.
fn fault_of_a_fault(row: &str) -> Option<String> {
    let number = row.strip_prefix("| F-")?.split(' ').next()?;
    let carried = format!("f_{number}_");
    let stranger =
        spans(row).filter_map(|span| span.split_once("::")).find(|(_, name)| !name.contains(&carried));
    let named = stranger.map(|(file, name)| format!("F-{number}: {file}::{name} does not carry the number"));
    named.or_else(|| fault(row))
}

#[test]
fn every_fault_has_its_tests() {
    let text = read("docs/faults.md");
    let faults: Vec<String> = text.lines().filter_map(fault_of_a_fault).collect();
    assert!(faults.is_empty(), "docs/faults.md:\n{}", faults.join("\n"));
    for number in (15..=18).chain(60..=88).chain([54, 56, 58, 106, 109]) {
        assert!(text.contains(&format!("\n| F-{number} |")), "F-{number} has no row");
    }
    let other = "| F-60 | x | y | `tests/docs.rs::every_fault_has_its_tests` |";
    assert!(fault_of_a_fault(other).is_some_and(|fault| fault.contains("does not carry")));
}

/// Links of a document that lead to no file.
fn broken_links(document: &str, text: &str) -> Vec<String> {
    let home = Path::new(document).parent().unwrap();
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let local = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
    let file = |target: &str| home.join(target.split('#').next().unwrap_or_default());
    local.filter(|target| !root().join(file(target)).exists()).map(|t| format!("{document}: {t}")).collect()
}

/// Paths of files that a text names and that are neither below the root nor below `src`.
fn lost_paths(document: &str, text: &str) -> Vec<String> {
    let is_path = |span: &&str| {
        let kinds = [".rs", ".md", ".yaml", ".sh", ".proto"];
        span.contains('/')
            && kinds.iter().any(|kind| span.ends_with(kind))
            && !span.contains([' ', '<', '$', '~'])
    };
    let paths = spans(text).filter(is_path);
    let lost = paths.filter(|path| !root().join(path).exists() && !root().join("src").join(path).exists());
    lost.map(|path| format!("{document}: {path}")).collect()
}

#[test]
fn links_and_paths_lead_somewhere() {
    let mut documents = vec!["README.md".to_owned(), "src/lib.rs".to_owned()];
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        documents.push(format!("docs/{}", entry.unwrap().file_name().to_str().unwrap()));
    }
    let mut lost = Vec::new();
    for document in documents.iter().filter(|document| document.ends_with(".md") || document.ends_with(".rs"))
    {
        let text = read(document);
        lost.extend(broken_links(document, &text));
        lost.extend(lost_paths(document, &text));
    }
    assert!(lost.is_empty(), "\n{}\n", lost.join("\n"));
    assert_eq!(broken_links("docs/x.md", "[a](nowhere.md) [b](https://x) [c](promises.md#top)").len(), 1);
    assert_eq!(lost_paths("x", "`src/nowhere.rs` and `supervisor/mod.rs`").len(), 1);
}
