//! The rules, over the text of one file. `file` is its path below `src/`.

use crate::lexer::{Word, words};

/// Rooms may use rooms on lower floors only.
const FLOORS: [&[&str]; 5] = [
    &["wire"],
    &["protocol", "os"],
    &["transport", "collector", "package", "telemetry"],
    &["supervisor", "server", "cli"],
    &["bin"],
];

/// Rooms that get clock and randomness passed in and touch neither file nor socket.
const PURE: [&str; 7] = [
    "wire/",
    "protocol/",
    "supervisor/connection/machine/",
    "supervisor/fence/",
    "supervisor/machine/",
    "server/fleet/",
    "server/identity/",
];

/// What they must not name, as the beginning of a path.
const IMPURE: [&str; 20] = [
    "tokio",
    "rand",
    "nix",
    "reqwest",
    "hyper",
    "axum",
    "rusqlite",
    "tokio_tungstenite",
    "std::fs",
    "std::net",
    "std::thread",
    "std::process",
    "std::env",
    "std::os",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::time::UNIX_EPOCH",
    "std::time::*",
    "std::io::stdin",
    "std::io::stdout",
];

/// Calls that read clock or randomness of crates that are otherwise fine, as the end of a path.
const IMPURE_CALLS: [&str; 6] =
    ["Instant::now", "SystemTime::now", "Timestamp::now", "Zoned::now", "Uuid::now_v7", "Uuid::new_v4"];

const PRINTING: [&str; 5] = ["println", "eprintln", "print", "eprint", "dbg"];

const MOST_LINES: usize = 400;

pub(crate) fn violations(file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > MOST_LINES {
        found.push(format!(
            "src/{file} has {lines} lines: split it (at most {MOST_LINES}, about 300 is good)"
        ));
    }
    let words = words(text);
    let walk = Walk::over(file, &words);
    let room = file.split(['/', '.']).next().unwrap_or_default();
    let mut report = |line: usize, what: String| found.push(format!("src/{file}:{line}: {what}"));
    for path in &walk.paths {
        if let Some(other) = path.room()
            && !may_use(room, other)
        {
            report(path.line, format!("{room} must not use {other} (see the map in src/lib.rs)"));
        }
        if is_pure(file)
            && !path.in_test
            && let Some(what) = path.impurity()
        {
            report(path.line, format!("a room without I/O must not use {what}: have it passed in"));
        }
    }
    for (word, in_test) in &walk.marked {
        if word.text == "unsafe" {
            if room != "os" {
                report(word.line, "unsafe belongs into src/os".into());
            }
        } else if !in_test && !["bin", "cli"].contains(&room) {
            report(word.line, format!("{}! belongs into bin and cli: use tracing", word.text));
        }
    }
    found
}

fn is_pure(file: &str) -> bool {
    PURE.iter().any(|room| file.starts_with(room) || file == format!("{}.rs", room.trim_end_matches('/')))
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&room))
}

/// `lib.rs` is above everything; a name that is no room is the library's own (a macro, a type).
fn may_use(room: &str, other: &str) -> bool {
    match (floor(room), floor(other)) {
        (Some(from), Some(to)) => room == other || to < from,
        _ => true,
    }
}

/// A path as written, made absolute where it was relative.
struct Named {
    segments: Vec<String>,
    line: usize,
    in_test: bool,
}

impl Named {
    fn room(&self) -> Option<&str> {
        let root = self.segments.first().is_some_and(|first| first == "crate" || first == "opamp");
        self.segments.get(1).filter(|_| root).map(String::as_str)
    }

    fn impurity(&self) -> Option<String> {
        let path = self.segments.join("::");
        if path == "std::time" {
            return Some("std::time as a whole".into());
        }
        let begins = |with: &&&str| path == **with || path.starts_with(&format!("{with}::"));
        let ends = |with: &&&str| path == **with || path.ends_with(&format!("::{with}"));
        IMPURE.iter().find(begins).or_else(|| IMPURE_CALLS.iter().find(ends)).map(|found| (*found).to_owned())
    }
}

/// One pass over a file's words.
struct Walk<'a> {
    words: &'a [Word],
    at: usize,
    /// The module the walk is in; for each inline one the brace depth it ends at, and whether it is for tests.
    module: Vec<String>,
    inline: Vec<(usize, bool)>,
    depth: usize,
    test_file: bool,
    /// The item that comes next is compiled for tests only.
    test_item: bool,
    paths: Vec<Named>,
    marked: Vec<(Word, bool)>,
}

impl<'a> Walk<'a> {
    fn over(file: &str, words: &'a [Word]) -> Self {
        let mut module: Vec<String> = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        module.pop_if(|last| ["mod", "lib", "main"].contains(&last.as_str()));
        if module.first().is_some_and(|first| first == "bin") {
            // A program of its own: its root is itself.
            module.clear();
        }
        let test_file = module.iter().any(|part| part == "tests" || part == "testing");
        let mut walk = Self {
            words,
            at: 0,
            module,
            inline: Vec::new(),
            depth: 0,
            test_file,
            test_item: false,
            paths: Vec::new(),
            marked: Vec::new(),
        };
        while walk.at < words.len() {
            walk.step();
        }
        walk
    }

    fn text(&self, ahead: usize) -> &'a str {
        self.words.get(self.at + ahead).map_or("", |word| &word.text)
    }

    fn in_test(&self) -> bool {
        self.test_file || self.test_item || self.inline.iter().any(|(_, test)| *test)
    }

    fn step(&mut self) {
        match self.text(0) {
            "{" => self.depth += 1,
            "}" => self.close(),
            ";" => self.test_item = false,
            "cfg" if self.text(1) == "(" && self.text(2) == "test" => self.test_item = true,
            "cfg" if self.text(1) == "(" && self.text(2) == "all" && self.text(4) == "test" => {
                self.test_item = true;
            }
            "mod" if self.text(2) == "{" => {
                let test = std::mem::take(&mut self.test_item);
                self.module.push(self.text(1).to_owned());
                self.inline.push((self.depth, test));
                self.depth += 1;
                self.at += 2;
            }
            "use" => {
                self.at += 1;
                self.tree(&[]);
                return;
            }
            "unsafe" => self.marked.push((self.words[self.at].clone(), false)),
            word if PRINTING.contains(&word) && self.text(1) == "!" => {
                self.marked.push((self.words[self.at].clone(), self.in_test()));
            }
            word if is_name(word) && self.text(1) == "::" => {
                self.path();
                return;
            }
            _ => {}
        }
        self.at += 1;
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.test_item = false;
        if self.inline.pop_if(|(depth, _)| *depth == self.depth).is_some() {
            self.module.pop();
        }
    }

    /// A path in an expression or a type.
    fn path(&mut self) {
        let line = self.words[self.at].line;
        let mut segments = vec![self.text(0).to_owned()];
        self.at += 1;
        while self.text(0) == "::" && is_name(self.text(1)) {
            // The name of a macro is looked at by itself.
            if PRINTING.contains(&self.text(1)) && self.text(2) == "!" {
                break;
            }
            segments.push(self.text(1).to_owned());
            self.at += 2;
        }
        self.add(segments, line);
    }

    /// What follows `use`: a path, or a brace with more of them.
    fn tree(&mut self, before: &[String]) {
        let mut segments = before.to_vec();
        let line = self.words.get(self.at).map_or(0, |word| word.line);
        loop {
            match self.text(0) {
                "::" => self.at += 1,
                "{" => {
                    self.at += 1;
                    while !["}", ""].contains(&self.text(0)) {
                        self.tree(&segments);
                        self.at += usize::from(self.text(0) == ",");
                    }
                    self.at += 1;
                    return;
                }
                "as" => self.at += 2,
                "self" if !segments.is_empty() => self.at += 1,
                name if is_name(name) || name == "*" => {
                    segments.push(name.to_owned());
                    self.at += 1;
                }
                _ => break,
            }
        }
        self.add(segments, line);
    }

    fn add(&mut self, segments: Vec<String>, line: usize) {
        let relative = segments.iter().take_while(|part| ["self", "super"].contains(&part.as_str())).count();
        let mut absolute = segments;
        if relative > 0 {
            let ups = absolute.iter().take(relative).filter(|part| *part == "super").count();
            let stays = self.module.len().saturating_sub(ups);
            let base = ["crate".to_owned()].into_iter().chain(self.module[..stays].iter().cloned());
            absolute = base.chain(absolute.drain(relative..)).collect();
        }
        let in_test = self.in_test();
        self.paths.push(Named { segments: absolute, line, in_test });
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_alphabetic() || first == '_')
}
