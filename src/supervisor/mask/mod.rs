//! What people are shown of texts that may hold secrets: configs, output, messages.
//!
//! Two ways, used together: the values that `supervisor.yaml` is known to hold are replaced wherever they turn
//! up, and in YAML every value under a key that sounds like a secret (`yaml`).

mod yaml;

use std::ops::Range;

use super::config::{Pem, PemKey, Secret, ServerConfig, SupervisorConfig};

pub use yaml::{secrets, yaml, yaml_in_place};

/// What stands in place of a secret.
pub const MASKED: &str = "[REDACTED]";

/// A shorter value is a word like any other; to replace it everywhere would make texts unreadable.
const SHORTEST: usize = 6;

/// The secrets of a configuration.
#[derive(Clone, Default)]
pub struct Mask {
    /// The longest first, so that one that holds another is replaced whole.
    secrets: Vec<String>,
}

impl Mask {
    #[must_use]
    pub fn of(config: &SupervisorConfig) -> Self {
        let mut mask = Self::default();
        mask.know_server(&config.server);
        config.agent.env.values().for_each(|value| mask.add(value));
        let exports = &config.telemetry.exports;
        let batched = exports.logs.iter().chain(&exports.spans).map(|batched| &batched.export);
        for export in batched.chain(exports.metrics.iter().map(|reader| &reader.export)) {
            export.headers.iter().for_each(|(_, value)| mask.add(value));
        }
        if let Some(healthcheck) = &config.healthcheck {
            healthcheck.response_headers.iter().for_each(|(_, value)| mask.add(value));
        }
        mask.sort();
        mask
    }

    /// What this server is shown and others must not see is one everywhere.
    pub fn know_server(&mut self, server: &ServerConfig) {
        server.headers.values().flatten().for_each(|value| self.add(value));
        if let Some(proxy) = &server.proxy {
            proxy.secrets().into_iter().for_each(|secret| self.add(&Secret::new(secret)));
        }
        if let Some(identity) = &server.tls.identity {
            if let PemKey::Text(key) = &identity.key {
                self.add(key);
            }
            if let Pem::Text(text) = &identity.cert {
                self.add(&Secret::new(text));
            }
        }
        self.sort();
    }

    /// This is one everywhere.
    pub fn know(&mut self, secret: &Secret) {
        self.add(secret);
        self.sort();
    }

    /// What this YAML holds under keys that sound like secrets is one everywhere.
    pub fn know_yaml(&mut self, text: &str) {
        for secret in secrets(text) {
            self.add(&Secret::new(secret.trim_matches(['"', '\''])));
        }
        self.sort();
    }

    fn sort(&mut self) {
        self.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    fn add(&mut self, value: &Secret) {
        let whole = value.expose().trim();
        // "Bearer abc…" is also seen without the scheme.
        let last = whole.rsplit(char::is_whitespace).next().unwrap_or_default();
        for secret in [whole, last] {
            if secret.len() >= SHORTEST && !self.secrets.iter().any(|known| known == secret) {
                self.secrets.push(secret.to_owned());
            }
        }
    }

    /// The text without these secrets and without passwords in URLs.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for password in url_passwords(&text).into_iter().rev() {
            text.replace_range(password, MASKED);
        }
        self.replace(text, |_| MASKED.to_owned())
    }

    /// The same for one line, with its columns kept.
    #[must_use]
    pub fn in_place(&self, line: &str) -> String {
        self.replace(line.to_owned(), stars)
    }

    fn replace(&self, mut text: String, with: impl Fn(&str) -> String) -> String {
        for secret in &self.secrets {
            if text.contains(secret) {
                text = text.replace(secret, &with(secret));
            }
        }
        text
    }
}

/// As many as the secret has characters.
fn stars(secret: &str) -> String {
    secret.chars().map(|c| if c.is_whitespace() { c } else { '*' }).collect()
}

/// What stands before the host in `scheme://user:password@host`, and after `token=` in the rest.
fn url_passwords(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, separator) in text.match_indices("://") {
        let start = at + separator.len();
        let after = &text[start..];
        let end = after.find(|c: char| c.is_whitespace() || "/?#\"'`,<>[](){}".contains(c));
        let authority = &after[..end.unwrap_or(after.len())];
        if let Some(host) = authority.rfind('@') {
            found.push(start..start + host);
        }
        let url_end = after.find(|c: char| c.is_whitespace() || "\"'`,<>".contains(c)).unwrap_or(after.len());
        let query = after[..url_end].find("token=").map(|at| start + at + "token=".len());
        if let Some(token) = query {
            let length = text[token..start + url_end].find('&');
            found.push(token..length.map_or(start + url_end, |length| token + length));
        }
    }
    // A URL within a URL is found twice.
    found.sort_by_key(|range| range.start);
    found.dedup();
    found
}

/// Text that a terminal shows as it is: without control characters and without those that turn a line around.
#[must_use]
pub fn printable(text: &str) -> String {
    let harmless = |c: &char| {
        *c == '\n'
            || !(c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    };
    text.replace('\t', "    ").chars().filter(harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_secrets_and_passwords_in_urls_are_replaced_and_short_words_stay() {
        let mut mask = Mask::default();
        for secret in ["Bearer abcdef123", "yes"] {
            mask.add(&Secret::new(secret));
        }
        let text = "yes: abcdef123 to https://me:pa55@host:1/x?a=b and https://host/@x, 'http://t@h'";
        assert_eq!(
            mask.text(text),
            "yes: [REDACTED] to https://[REDACTED]@host:1/x?a=b and https://host/@x, 'http://[REDACTED]@h'"
        );
        let text =
            "ws://h/p?token=00ff, \"ws://h/p?a=b&token=00ff&c=d\" and http://h/?to=http://i/?token=00ff";
        assert_eq!(
            mask.text(text),
            "ws://h/p?token=[REDACTED], \"ws://h/p?a=b&token=[REDACTED]&c=d\" and \
             http://h/?to=http://i/?token=[REDACTED]"
        );
    }

    #[test]
    fn a_terminal_is_told_nothing_but_text() {
        assert_eq!(printable("a\x1b[31mb\r\u{9b}c\u{202e}d\n\te"), "a[31mbcd\n    e");
    }
}
