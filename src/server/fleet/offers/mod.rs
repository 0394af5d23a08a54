//! Package offers: which agents are to have which packages, and how many of them at a time. An offer goes to its agents in
//! an order that does not change, a few at once; it stops by itself when too many fail.
//!
//! - this file: the offer as it is written, and what is refused of it
//! - `artefact`: the file of a package for one host; `claims`: what the offers of a namespace want of one agent
//! - `given`: what an agent was given of that; `state`: what became of it; `progress`: how far an offer is, and who is next
//!
//! Not here: when something is sent (`protocol::server`), where files lie (`server::packages`). Owned by [`Fleet`], which
//! `server::hub` has rolled on; shown by `server::api`.
//!
//! [`Fleet`]: super::Fleet

mod artefact;
mod claims;
mod given;
mod progress;
mod state;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

pub use artefact::{Artefact, Source, Unfit};
pub use claims::{NotOffered, Refusal};
pub use given::{Again, Given, Packages};
pub use progress::{Phase, Progress, Rolled, STOPPED};
pub use state::{PackageState, PackagesState};

use super::{
    resource::{AgentSelector, Invalid, check_name},
    settings::or_default,
};
use crate::wire::InstanceUid;

/// There are not as many things to install on one host.
const MOST_PACKAGES: usize = 64;
/// In flight at once unless told otherwise: a tenth of the agents, and not more than so many.
const MOST_IN_FLIGHT: usize = 50;
/// The agents, of those that are done, that may fail unless told otherwise.
const MAY_FAIL: Share = Share::Percent(10);

/// A part of the agents: so many of a hundred, or a number of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Share {
    Percent(u32),
    Count(u32),
}

/// A share in JSON and YAML: `10` or `"10%"`.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u32),
    Text(String),
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is neither a number of agents nor a percentage such as 10%");
        match text.strip_suffix('%') {
            Some(percent) => {
                let percent = percent.parse().ok().filter(|percent| *percent <= 100);
                percent.map(Self::Percent).ok_or_else(wrong)
            }
            None => text.parse().map(Self::Count).map_err(|_| wrong()),
        }
    }
}

impl TryFrom<Written> for Share {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Number(count) => Ok(Self::Count(count)),
            Written::Text(text) => text.parse(),
        }
    }
}

impl From<Share> for Written {
    fn from(share: Share) -> Self {
        match share {
            Share::Percent(_) => Self::Text(share.to_string()),
            Share::Count(count) => Self::Number(count),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Count(count) => write!(f, "{count}"),
        }
    }
}

/// What operators write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PackageOfferSpec {
    /// Of two offers that give one agent different packages of one name, the higher one counts.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub priority: i64,
    #[serde(default)]
    pub selector: AgentSelector,
    /// If there are any: only these, of those that the selector matches.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeSet::is_empty")]
    pub agents: BTreeSet<InstanceUid>,
    /// Names of agent packages.
    #[serde(default)]
    pub packages: Vec<String>,
    /// Agents that may be at it at once; a number of 0 is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<Share>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_failed: Option<Share>,
    /// Nobody more is offered anything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// What is not said is not shown, so that what is read back is what was written.
fn is_usual(priority: &i64) -> bool {
    *priority == 0
}

impl PackageOfferSpec {
    /// `packages` knows the package that is meant by the name of an agent package, if there is one.
    pub fn check<'a>(&self, package: impl Fn(&str) -> Option<&'a str>) -> Result<(), Invalid> {
        if self.packages.is_empty() || self.packages.len() > MOST_PACKAGES {
            let message =
                format!("has {} names; give 1 to {MOST_PACKAGES} of agent packages", self.packages.len());
            return Err(Invalid::new("spec.packages", message));
        }
        let mut meant = BTreeSet::new();
        for (index, name) in self.packages.iter().enumerate() {
            let place = format!("spec.packages[{index}]");
            check_name(&place, name)?;
            let Some(package) = package(name) else {
                let message = format!(
                    "is {name:?}, and there is no such agent package in this namespace; make it first"
                );
                return Err(Invalid::new(place, message));
            };
            if !meant.insert(package) {
                let message = format!("is a second one of package {package}; an agent has one of each name");
                return Err(Invalid::new(place, message));
            }
        }
        Ok(())
    }

    /// How many of so many agents may be at it at once; `None` for any number.
    #[must_use]
    pub fn most_in_flight(&self, targets: usize) -> Option<usize> {
        let part = |percent: u32| (targets * percent as usize / 100).max(1);
        match self.max_in_flight {
            Some(Share::Count(0)) => None,
            Some(Share::Count(count)) => Some(count as usize),
            Some(Share::Percent(percent)) => Some(part(percent)),
            None => Some(part(10).min(MOST_IN_FLIGHT)),
        }
    }

    #[must_use]
    pub fn may_fail(&self) -> Share {
        self.max_failed.unwrap_or(MAY_FAIL)
    }

    /// Whether too many failed. A percentage is of those that are done; the first few count as if they were ten, or as
    /// many as there are, so that one failure is too many in a small fleet and not in a large one.
    #[must_use]
    pub fn too_many_failed(&self, failed: usize, done: usize, targets: usize) -> bool {
        match self.may_fail() {
            Share::Count(count) => failed > count as usize,
            Share::Percent(percent) => failed * 100 > percent as usize * done.max(targets.min(10)),
        }
    }
}
