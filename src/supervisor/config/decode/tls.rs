//! The parts that every TLS block has: certificate and key, versions, and what rustls cannot do.

use std::{path::PathBuf, str::FromStr};

use super::super::{
    context::{Context, item_text},
    model::{Pem, PemKey, TlsIdentity, TlsVersion},
    secret::Secret,
};
use crate::transport::tls::Unsupported;

/// A TLS block, by its dotted path.
#[derive(Clone, Copy)]
pub(super) struct Block(&'static str);

pub(super) enum Source<'a> {
    File(PathBuf),
    Text(&'a str),
}

impl Source<'_> {
    pub(super) fn into_pem(self) -> Pem {
        match self {
            Self::File(path) => Pem::File(path),
            Self::Text(text) => Pem::Text(text.to_owned()),
        }
    }
}

pub(super) fn non_empty<'a>(context: &Context<'a>, key: &str) -> Option<&'a str> {
    context.text(key).filter(|text| !text.is_empty())
}

impl Block {
    /// `server.tls`: of a client.
    pub(super) const SERVER: Self = Self("server.tls");
    /// `healthcheck.tls`: of a server.
    pub(super) const HEALTHCHECK: Self = Self("healthcheck.tls");

    pub(super) fn key(self, name: &str) -> String {
        format!("{}.{name}", self.0)
    }

    /// How a message about the block as a whole begins.
    fn invalid(self) -> String {
        format!("invalid {} settings", self.0.replace('.', "::"))
    }

    /// Certificate and key, which come together or not at all.
    pub(super) fn identity(self, context: &mut Context<'_>) -> Option<TlsIdentity> {
        let cert = self.either(context, "cert_file", "cert_pem").map(Source::into_pem);
        let key = self.either(context, "key_file", "key_pem").map(|source| match source {
            Source::File(path) => PemKey::File(path),
            Source::Text(text) => PemKey::Text(Secret::new(text)),
        });
        match (cert, key) {
            (Some(cert), Some(key)) => Some(TlsIdentity { cert, key }),
            (None, None) => None,
            (cert, _) => {
                let (there, missing) = if cert.is_some() { ("cert", "key") } else { ("key", "cert") };
                let message = format!(
                    "{}: for a certificate provide both certificate and key, or neither; add {} or {}",
                    self.invalid(),
                    self.key(&format!("{missing}_file")),
                    self.key(&format!("{missing}_pem")),
                );
                let file = self.key(&format!("{there}_file"));
                let pem = self.key(&format!("{there}_pem"));
                context.problem(if context.entry(&file).is_some() { &file } else { &pem }, message);
                None
            }
        }
    }

    pub(super) fn either<'a>(self, context: &mut Context<'a>, file: &str, pem: &str) -> Option<Source<'a>> {
        let from_file = non_empty(context, &self.key(file));
        let pem_key = self.key(pem);
        let from_text = non_empty(context, &pem_key);
        match (from_file, from_text) {
            (Some(path), Some(_)) => {
                let message = format!("{}: provide either {file} or {pem}, but not both", self.invalid());
                context.problem(&pem_key, message);
                Some(Source::File(PathBuf::from(path)))
            }
            (Some(path), None) => Some(Source::File(PathBuf::from(path))),
            (None, Some(text)) => Some(Source::Text(text)),
            (None, None) => None,
        }
    }

    pub(super) fn versions(self, context: &mut Context<'_>) -> (TlsVersion, TlsVersion) {
        let (min_key, max_key) = (self.key("min_version"), self.key("max_version"));
        let min = match non_empty(context, &min_key) {
            None | Some("1.2") => TlsVersion::V1_2,
            Some("1.3") => TlsVersion::V1_3,
            Some(old @ ("1.0" | "1.1")) => {
                let message = format!("{min_key} {old} is raised to 1.2, the lowest that is spoken here");
                context.notice(&min_key, message);
                TlsVersion::V1_2
            }
            Some(_) => {
                self.unsupported(context, "min_version");
                return (TlsVersion::V1_2, TlsVersion::V1_3);
            }
        };
        let max = match non_empty(context, &max_key) {
            None | Some("1.3") => TlsVersion::V1_3,
            Some("1.2") => TlsVersion::V1_2,
            Some(_) => {
                self.unsupported(context, "max_version");
                return (min, TlsVersion::V1_3);
            }
        };
        if min > max {
            let message = format!("{}: min_version cannot be greater than max_version", self.invalid());
            context.problem(&min_key, message);
        }
        (min, max)
    }

    fn unsupported(self, context: &mut Context<'_>, name: &str) {
        let key = self.key(name);
        let got = context.got(&key);
        context
            .problem(&key, format!("{}: unsupported {name} {got}; write \"1.2\" or \"1.3\"", self.invalid()));
    }

    /// A list of names, of which those that others know and rustls does not have are left out.
    pub(super) fn named<T: FromStr<Err = Unsupported>>(
        self,
        context: &mut Context<'_>,
        name: &str,
    ) -> Vec<T> {
        let key = self.key(name);
        let mut found = Vec::new();
        let mut left_out = Vec::new();
        for (at, text) in context.texts(&key).unwrap_or_default() {
            match text.parse::<T>() {
                Ok(item) => found.push(item),
                Err(error) if error.is_known() => left_out.push(error.to_string()),
                Err(error) => context.problem_at(at, &key, format!("{}: {error}", self.invalid())),
            }
        }
        if let ([], [first, ..]) = (&*found, &*left_out) {
            let message = format!("{}: nothing of {name} is left: {first}", self.invalid());
            context.problem(&key, message);
        } else {
            for why in left_out {
                context.notice(&key, format!("{key}: {why}; it is left out"));
            }
        }
        found
    }

    /// What the Collector's TLS block of a server can ask for and this one does not do.
    pub(super) fn without_choice(self, context: &mut Context<'_>) {
        for (name, instead) in [
            ("cipher_suites", "the AEAD suites with forward secrecy of TLS 1.2 and 1.3 are offered"),
            ("curve_preferences", "X25519, P256 and P384 are offered"),
        ] {
            let key = self.key(name);
            if context.texts(&key).is_some_and(|list| !list.is_empty()) {
                context.notice(&key, format!("{key} has no effect: {instead}"));
            }
        }
    }

    /// What a Collector's TLS block can ask for and rustls cannot do.
    pub(super) fn beyond_rustls(self, context: &mut Context<'_>) {
        let key = self.key("tpm");
        let tpm = context.entries(&key).iter().find(|entry| entry.key == "enabled");
        if tpm.and_then(|entry| item_text(&entry.node)).is_some_and(|text| text.eq_ignore_ascii_case("true"))
        {
            let message = format!(
                "{}: tpm is not supported: a key in a TPM cannot be used; use {}.key_file and set tpm.enabled \
                 to false",
                self.invalid(),
                self.0,
            );
            context.problem(&key, message);
        }
    }
}
