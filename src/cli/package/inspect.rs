//! `package inspect`: what a signed artefact claims, and whether it is proven. Exit code 0 says that it is.

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    super::{
        args::{Inspect, InspectFormat},
        output,
    },
    Error, content, open, read_text, signature_of,
};
use crate::package::{self, Claims, Inspected, InvalidKey, KeyId, Keys, Reason};

pub(super) fn run(inspect: &Inspect) -> Result<(), Error> {
    let now = Timestamp::now();
    let mut keys = Keys::default();
    let mut named = Vec::new();
    for path in &inspect.public_key {
        let text = read_text(path)?;
        let name = path.display().to_string();
        let wrong =
            |why: InvalidKey| Error::Content { origin: "--public-key".to_owned(), what: why.to_string() };
        keys.add(&name, &text).map_err(wrong)?;
        named.push((KeyId::of_public_key(&text), name));
    }
    let file = open(&inspect.file)?;
    let signature = inspect.signature.clone().unwrap_or_else(|| signature_of(&inspect.file));
    if inspect.signature.is_none() && !signature.exists() {
        let what = "there is no such signature; name another with --signature, or make it with opampctl package sign";
        return Err(content(&signature, what));
    }
    let text = read_text(&signature)?;
    if text.is_empty() {
        return Err(content(&signature, "is empty"));
    }
    let found =
        package::inspect(file, text.as_bytes(), &keys, now).map_err(|why| content(&signature, &why))?;
    let key_file = named.iter().find(|(id, _)| id.is_some() && *id == found.key);
    let shown = Shown {
        file: inspect.file.display().to_string(),
        signature: signature.display().to_string(),
        key_file: key_file.map(|(_, name)| name.as_str()),
        found: &found,
        now,
    };
    output::print(&match inspect.output {
        InspectFormat::Text => shown.text(),
        InspectFormat::Json => output::json(&shown.value()),
        InspectFormat::Yaml => output::yaml(&shown.value()),
    })?;
    found.verdict.as_ref().copied().map_err(|reason| match reason {
        Reason::Unproven => content(&inspect.file, &format!("{reason}; give --public-key FILE")),
        _ => content(&inspect.file, reason),
    })
}

struct Shown<'a> {
    file: String,
    signature: String,
    /// The public key that was given and that the signature names.
    key_file: Option<&'a str>,
    found: &'a Inspected,
    now: Timestamp,
}

impl Shown<'_> {
    fn key(&self) -> String {
        self.found.key.map(|id| id.to_string()).unwrap_or_default()
    }

    fn text(&self) -> String {
        let found = self.found;
        let mut lines = Vec::new();
        match &found.claims {
            Ok(claims) => lines.extend(self.claims(claims)),
            Err(_) => {
                lines.push(("comment", found.trusted_comment.clone()));
                lines.push(("size", format!("{} bytes", found.size)));
                lines.push(("sha256", HEXLOWER.encode(&found.sha256)));
            }
        }
        lines.push(match self.key_file {
            Some(file) => ("key", format!("{} ({file})", self.key())),
            None => ("key", self.key()),
        });
        lines.push((
            "verdict",
            match &found.verdict {
                Ok(()) => "good: signed by that key, and what is claimed is so".to_owned(),
                Err(reason) => reason.to_string(),
            },
        ));
        lines.iter().map(|(what, value)| format!("{what:<8} {}\n", output::cell(value))).collect()
    }

    fn claims(&self, claims: &Claims) -> Vec<(&'static str, String)> {
        let found = self.found;
        let size = if claims.size == found.size {
            format!("{} bytes", claims.size)
        } else {
            format!("{} bytes (the file has {})", claims.size, found.size)
        };
        let signed = HEXLOWER.encode(&claims.sha256);
        let sha256 = if claims.sha256 == found.sha256 {
            signed
        } else {
            format!("{signed} (the file has {})", HEXLOWER.encode(&found.sha256))
        };
        vec![
            ("name", claims.name.to_string()),
            ("version", claims.version.to_string()),
            ("os", claims.os.clone()),
            ("arch", claims.arch.clone()),
            ("size", size),
            ("sha256", sha256),
            ("expires", format!("{} ({})", claims.expires, away(claims.expires, self.now))),
            ("epoch", claims.epoch.to_string()),
        ]
    }

    fn value(&self) -> Value {
        let found = self.found;
        let claims = found.claims.as_ref().ok();
        json!({
            "file": {"path": self.file, "size": found.size, "sha256": HEXLOWER.encode(&found.sha256)},
            "signature": {
                "path": self.signature,
                "keyId": self.key(),
                "publicKeyFile": self.key_file,
                "trustedComment": found.trusted_comment,
            },
            "claims": claims.map(|claims| json!({
                "name": claims.name.as_str(),
                "version": claims.version.to_string(),
                "os": claims.os,
                "arch": claims.arch,
                "sha256": HEXLOWER.encode(&claims.sha256),
                "size": claims.size,
                "expires": claims.expires.to_string(),
                "epoch": claims.epoch,
            })),
            "expired": claims.map(|claims| self.now >= claims.expires),
            "verified": found.verdict.is_ok(),
            "reason": found.verdict.as_ref().err().map(ToString::to_string),
        })
    }
}

/// How far a moment is, in the unit that a person would choose.
fn away(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.as_second() - now.as_second();
    let hours = seconds.abs() / 3600;
    let far = if hours < 48 { format!("{hours} h") } else { format!("{} days", hours / 24) };
    if at > now { format!("in {far}") } else { format!("past, {far} ago") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_as_days_or_hours_to_come_or_past() {
        let now: Timestamp = "2026-11-21T18:00:00Z".parse().unwrap();
        for (at, told) in [
            ("2027-11-21T18:00:00Z", "in 365 days"),
            ("2026-11-22T18:00:00Z", "in 24 h"),
            ("2026-11-21T18:00:00Z", "past, 0 h ago"),
            ("2026-11-11T18:00:00Z", "past, 10 days ago"),
        ] {
            assert_eq!(away(at.parse().unwrap(), now), told);
        }
    }
}
