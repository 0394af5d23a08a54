//! The logs of test runs as proofs: what ran and passed, by the words of cargo, Go and node.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{self, Id};

/// Where the test functions are; the tree, as far as this needs it.
pub(crate) trait Tree {
    fn is_file(&self, path: &str) -> bool;
    /// The Go file that has the test.
    fn go_file(&self, function: &str) -> Option<String>;
    /// The node test file that has the test.
    fn node_file(&self, name: &str) -> Option<String>;
}

/// For each id, the tests that ran and passed: `file::name`.
pub(crate) type Proofs = BTreeMap<Id, BTreeSet<String>>;

/// Proofs of all logs together. A test that failed in any of them proves nothing; one that was ignored did not run.
pub(crate) fn proofs<'a>(logs: impl IntoIterator<Item = &'a str>, tree: &dyn Tree) -> Proofs {
    let mut passed = BTreeSet::new();
    let mut failed = BTreeSet::new();
    for log in logs {
        for (test, ok) in tests(log) {
            if ok {
                passed.insert(test)
            } else {
                failed.insert(test)
            };
        }
    }
    let mut proofs = Proofs::new();
    for test in passed.difference(&failed) {
        let ids = ids::in_name(test.name());
        if ids.is_empty() {
            continue;
        }
        let place = test.place(tree);
        for id in ids {
            proofs.entry(id).or_default().insert(place.clone());
        }
    }
    proofs
}

#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Test {
    /// The root file of its binary (`tests/wire/main.rs`), its path of modules and name.
    Rust {
        root: String,
        path: String,
    },
    /// The function, with the names of subtests after slashes.
    Go(String),
    Node(String),
}

impl Test {
    /// What may carry ids: a test's own name, not the modules or tests that it is in.
    fn name(&self) -> &str {
        match self {
            Self::Rust { path, .. } => path.rsplit("::").next().unwrap_or(path),
            // A parent is a test of its own.
            Self::Go(name) => name.rsplit('/').next().unwrap_or(name),
            Self::Node(name) => name,
        }
    }

    fn place(&self, tree: &dyn Tree) -> String {
        match self {
            Self::Rust { root, path } => format!("{}::{}", rust_file(root, path, tree), self.name()),
            Self::Go(name) => {
                let function = name.split('/').next().unwrap_or(name);
                format!("{}::{name}", tree.go_file(function).unwrap_or_else(|| "go".to_owned()))
            }
            Self::Node(name) => {
                format!("{}::{name}", tree.node_file(name).unwrap_or_else(|| "node".to_owned()))
            }
        }
    }
}

/// The deepest file on the path of modules; the root if none is there (a module with another `#[path]`).
fn rust_file(root: &str, path: &str, tree: &dyn Tree) -> String {
    let (directory, file) = root.rsplit_once('/').unwrap_or(("", root));
    let own = file.trim_end_matches(".rs");
    let mut modules: Vec<&str> = path.split("::").collect();
    modules.pop();
    while !modules.is_empty() {
        let inner = modules.join("/");
        let candidates = [
            format!("{directory}/{inner}.rs"),
            format!("{directory}/{inner}/mod.rs"),
            format!("{directory}/{own}/{inner}.rs"),
            format!("{directory}/{own}/{inner}/mod.rs"),
        ];
        if let Some(found) = candidates.into_iter().find(|file| tree.is_file(file)) {
            return found;
        }
        modules.pop();
    }
    root.to_owned()
}

/// The tests of one log, and whether each passed.
fn tests(log: &str) -> Vec<(Test, bool)> {
    let mut root = String::new();
    let mut found = Vec::new();
    for line in log.lines() {
        let line = line.trim();
        if let Some(running) = line.strip_prefix("Running ") {
            let words = running.trim_start_matches("unittests ").split(' ').next();
            root = words.unwrap_or_default().to_owned();
        } else if let Some((test, ok)) = rust(line, &root).or_else(|| go(line)).or_else(|| node(line)) {
            found.push((test, ok));
        }
    }
    found
}

/// `test path::name ... ok`, perhaps with ` - should panic` after the name.
fn rust(line: &str, root: &str) -> Option<(Test, bool)> {
    let (path, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let path = path.trim_end_matches(" - should panic");
    let ok = match outcome.split(' ').next()? {
        "ok" => true,
        "FAILED" => false,
        _ => return None,
    };
    // A doc test's path has a file and a line in it.
    let is_path = !path.contains(' ') && !root.is_empty();
    is_path.then(|| (Test::Rust { root: root.to_owned(), path: path.to_owned() }, ok))
}

/// `--- PASS: TestName/subtest (0.10s)`.
fn go(line: &str) -> Option<(Test, bool)> {
    let (outcome, rest) = line.strip_prefix("--- ")?.split_once(": ")?;
    let (name, _) = rest.rsplit_once(" (")?;
    let ok = match outcome {
        "PASS" => true,
        "FAIL" => false,
        _ => return None,
    };
    Some((Test::Go(name.to_owned()), ok))
}

/// `✔ name (12.3ms)` or `✖ …`; one that was skipped or is to be done says so at its end.
fn node(line: &str) -> Option<(Test, bool)> {
    let (ok, rest) = line
        .strip_prefix("✔ ")
        .map(|rest| (true, rest))
        .or_else(|| line.strip_prefix("✖ ").map(|rest| (false, rest)))?;
    let (name, after) = rest.rsplit_once(" (")?;
    after.ends_with("ms)").then(|| (Test::Node(name.to_owned()), ok))
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod logs_tests;
