//! What this host takes, as far as an offer itself tells: names, versions, what failed before.

use semver::Version;

use super::terms::{Failed, Kind, Offered, Record, Then};
use crate::{package::PackageName, supervisor::config::Downgrade};

/// Bytes of a SHA-256.
const SHA256: usize = 32;

/// The host's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whether anything is taken.
    pub accepts: bool,
    /// The names that are; any when absent.
    pub allow: Option<Vec<String>>,
    pub downgrade: Downgrade,
}

/// A version as packages have it: a `v` before it says nothing.
#[must_use]
pub fn version(text: &str) -> Option<Version> {
    Version::parse(text.strip_prefix('v').unwrap_or(text)).ok()
}

impl Rules {
    /// Whether a package may be fetched; `running` is the version of the Collector that runs.
    pub(super) fn judge(
        &self,
        name: &str,
        offered: &Offered,
        record: &Record,
        running: Option<&str>,
    ) -> Result<(), Failed> {
        let refused = |why: String| Err(Failed { why, then: Then::WaitForOffer });
        if let Err(error) = name.parse::<PackageName>() {
            return refused(error.to_string());
        }
        if !self.accepts {
            return refused("this host takes no packages (capabilities.accepts_packages)".to_owned());
        }
        if self.allow.as_ref().is_some_and(|names| !names.iter().any(|allowed| allowed == name)) {
            return refused(format!("this host takes no package {name:?} (packages.allow)"));
        }
        if let Some(known) = record.quarantine.iter().find(|known| known.artefact == offered.artefact) {
            return Err(Failed { why: known.why.clone(), then: Then::Quarantine });
        }
        if offered.artefact.0.len() != SHA256 {
            let bytes = offered.artefact.0.len();
            return refused(format!("content_hash has {bytes} bytes; a SHA-256 of 32 bytes is needed"));
        }
        if !offered.version.is_empty() {
            self.above_floor(name, offered.kind, &offered.version, record, running)?;
        }
        Ok(())
    }

    /// Whether this version is not below what proved itself here (F-27).
    pub(super) fn above_floor(
        &self,
        name: &str,
        kind: Kind,
        offered: &str,
        record: &Record,
        running: Option<&str>,
    ) -> Result<(), Failed> {
        let refused = |why: String| Err(Failed { why, then: Then::WaitForOffer });
        let Some(new) = version(offered) else {
            return refused(format!("{offered:?} is no version; it must be like 0.150.0"));
        };
        let running = running.filter(|_| kind == Kind::Collector).and_then(version);
        let proven = record.floor.get(name).and_then(|text| version(text));
        let Some(floor) = proven.into_iter().chain(running).max() else { return Ok(()) };
        let same_minor = (new.major, new.minor) == (floor.major, floor.minor);
        let fine = match self.downgrade {
            Downgrade::Allow => true,
            Downgrade::WithinMinor => new >= floor || same_minor,
            Downgrade::Deny => new >= floor,
        };
        if fine {
            return Ok(());
        }
        let rule = match self.downgrade {
            Downgrade::WithinMinor => "within_minor",
            Downgrade::Deny | Downgrade::Allow => "deny",
        };
        refused(format!("{new} is older than {floor}, which proved itself here (packages.downgrade: {rule})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::upgrade::terms::{Artefact, Quarantined};

    const RULES: Rules = Rules { accepts: true, allow: None, downgrade: Downgrade::Deny };

    fn offered(version: &str) -> Offered {
        Offered {
            kind: Kind::Collector,
            version: version.to_owned(),
            hash: vec![1],
            url: "https://s/p".to_owned(),
            artefact: Artefact(vec![7; 32]),
            signature: Vec::new(),
            headers: Vec::new(),
        }
    }

    fn why(rules: &Rules, name: &str, offered: &Offered, record: &Record) -> String {
        rules.judge(name, offered, record, None).err().map_or_else(String::new, |failed| failed.why)
    }

    #[test]
    fn only_what_is_allowed_by_name_is_taken() {
        let record = Record::default();
        assert_eq!(why(&RULES, "otelcol", &offered("1.0.0"), &record), "");
        let only = Rules { allow: Some(vec!["otelcol".to_owned()]), ..RULES };
        assert_eq!(why(&only, "otelcol", &offered("1.0.0"), &record), "");
        assert!(why(&only, "geoip", &offered("1.0.0"), &record).contains("packages.allow"));
        assert!(why(&RULES, "../x", &offered("1.0.0"), &record).contains("no name of a package"));
        let none = Rules { accepts: false, ..RULES };
        assert!(why(&none, "otelcol", &offered("1.0.0"), &record).contains("accepts_packages"));
    }

    #[test]
    fn f_23_a_hash_of_another_length_is_refused() {
        for length in [0, 20, 31, 33, 64] {
            let short = Offered { artefact: Artefact(vec![1; length]), ..offered("1.0.0") };
            let told = why(&RULES, "otelcol", &short, &Record::default());
            assert!(told.contains(&format!("{length} bytes")), "{told}");
        }
    }

    #[test]
    fn f_27_a_version_below_what_proved_itself_is_refused_unless_the_host_allows_it() {
        let floor = [("otelcol".to_owned(), "0.150.2".to_owned())].into();
        let record = Record { floor, ..Record::default() };
        let taken =
            |downgrade, version| why(&Rules { downgrade, ..RULES }, "otelcol", &offered(version), &record);
        for (version, deny, within, allow) in [
            ("0.150.2", true, true, true),
            ("v0.151.0", true, true, true),
            ("0.150.1", false, true, true),
            ("0.149.9", false, false, true),
            ("0.150.2-rc.1", false, true, true),
        ] {
            assert_eq!(taken(Downgrade::Deny, version).is_empty(), deny, "{version}");
            assert_eq!(taken(Downgrade::WithinMinor, version).is_empty(), within, "{version}");
            assert_eq!(taken(Downgrade::Allow, version).is_empty(), allow, "{version}");
        }
        assert!(taken(Downgrade::Deny, "0.149.0").contains("0.149.0 is older than 0.150.2"));
        assert!(taken(Downgrade::Allow, "latest").contains("no version"));
        let judged = RULES.judge("otelcol", &offered("0.149.0"), &Record::default(), Some("0.150.0"));
        assert!(judged.unwrap_err().why.contains("older than 0.150.0"), "the one that runs counts too");
    }

    #[test]
    fn i5_what_failed_here_fails_again_without_being_tried() {
        let failed = Quarantined { artefact: Artefact(vec![7; 32]), why: "it ended twice".to_owned() };
        let record = Record { quarantine: vec![failed], ..Record::default() };
        let judged = RULES.judge("otelcol", &offered("1.0.0"), &record, None).unwrap_err();
        assert_eq!((judged.why.as_str(), judged.then), ("it ended twice", Then::Quarantine));
    }
}
