//! Rust text to words: identifiers, `::`, and single marks. Comments and literals are left out.

use std::{iter::Peekable, str::Chars};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) line: usize,
}

pub(crate) fn words(text: &str) -> Vec<Word> {
    let mut lexer = Lexer { rest: text.chars().peekable(), line: 1, words: Vec::new() };
    while let Some(first) = lexer.next() {
        lexer.word(first);
    }
    lexer.words
}

struct Lexer<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
    words: Vec<Word>,
}

impl Lexer<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        self.line += usize::from(next == Some('\n'));
        next
    }

    fn peek(&mut self) -> Option<char> {
        self.rest.peek().copied()
    }

    fn push(&mut self, text: String) {
        self.words.push(Word { text, line: self.line });
    }

    fn word(&mut self, first: char) {
        match first {
            '/' if self.peek() == Some('/') => while self.next().is_some_and(|next| next != '\n') {},
            '/' if self.peek() == Some('*') => self.block_comment(),
            '"' => self.string(),
            '\'' => self.char_or_lifetime(),
            ':' if self.peek() == Some(':') => {
                self.next();
                self.push("::".into());
            }
            _ if first.is_alphabetic() || first == '_' => self.identifier(first),
            _ if first.is_whitespace() => {}
            mark => self.push(mark.into()),
        }
    }

    fn identifier(&mut self, first: char) {
        let mut text = String::from(first);
        while let Some(next) = self.peek().filter(|next| next.is_alphanumeric() || *next == '_') {
            text.push(next);
            self.next();
        }
        match (text.as_str(), self.peek()) {
            ("b" | "c", Some('"')) => {
                self.next();
                self.string();
            }
            ("b", Some('\'')) => {
                self.next();
                self.char_or_lifetime();
            }
            ("r" | "br" | "cr", Some('"' | '#')) => self.raw(),
            _ => self.push(text),
        }
    }

    /// A raw string, or a raw identifier.
    fn raw(&mut self) {
        let mut marks = 0;
        while self.peek() == Some('#') {
            self.next();
            marks += 1;
        }
        if self.peek() != Some('"') {
            return;
        }
        self.next();
        let mut seen = None;
        while let Some(next) = self.next() {
            seen = match (next, seen) {
                ('"', _) => Some(0),
                ('#', Some(count)) => Some(count + 1),
                _ => None,
            };
            if seen == Some(marks) {
                return;
            }
        }
    }

    fn string(&mut self) {
        while let Some(next) = self.next() {
            match next {
                '\\' => drop(self.next()),
                '"' => return,
                _ => {}
            }
        }
    }

    fn char_or_lifetime(&mut self) {
        let Some(first) = self.next() else { return };
        if first == '\\' {
            self.next();
            while self.next().is_some_and(|next| next != '\'') {}
        } else if self.peek() == Some('\'') {
            self.next();
        } else {
            while self.peek().is_some_and(|next| next.is_alphanumeric() || next == '_') {
                self.next();
            }
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        let mut before = '/';
        while let Some(next) = self.next() {
            match (before, next) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                _ => {
                    before = next;
                    continue;
                }
            }
            before = ' ';
            if depth == 0 {
                return;
            }
        }
    }
}
