//! The words of the machine, in and out.

use std::time::Duration;

use url::Url;

use super::{REDIRECTS, WITHIN};

/// What is to be downloaded.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub url: Url,
    /// `DownloadableFile.headers`: sent to the origin of `url` only.
    pub headers: Vec<(String, String)>,
    /// In bytes, from the signature; the answer must not say another.
    pub size: Option<u64>,
    /// No more than that, whatever is said.
    pub cap: u64,
}

/// What is there already, and whose part it is. Kept beside the part, so that another life goes on from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    pub have: u64,
    /// A strong entity tag, as sent.
    pub etag: Option<String>,
    pub total: Option<u64>,
}

/// What the caller does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Get(Get),
    /// Drop the connection.
    Hang,
    /// The file so far is nothing: from its start.
    Empty,
    /// The part's facts changed; keep them.
    Note(Part),
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Get {
    pub url: Url,
    pub headers: Vec<(String, String)>,
    /// `Range: bytes=N-`.
    pub from: Option<u64>,
    pub if_range: Option<String>,
}

/// What was answered, without the body.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub location: Option<String>,
    pub etag: Option<String>,
    pub content_range: Option<String>,
    pub content_length: Option<u64>,
    pub retry_after: Option<Duration>,
}

/// Why there is no download.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error("{url}: {why}")]
    Url { url: String, why: &'static str },
    #[error("{host} is at {address}, {why}; a host of its own network is allowed by packages.download.allow")]
    Address { host: String, address: std::net::IpAddr, why: &'static str },
    #[error("redirected more than {REDIRECTS} times, last to {0}")]
    Redirects(Url),
    #[error("{url} answered {status}")]
    Status { url: Url, status: u16 },
    #[error("the server has {has} bytes, signed are {signed}")]
    Size { has: u64, signed: u64 },
    #[error("more than {0} bytes")]
    Cap(u64),
    #[error("given up after {tries} tries; the last: {last}")]
    Tries { tries: u32, last: String },
    #[error("not complete after {} h; the last: {last}", WITHIN.as_secs() / 3600)]
    Late { last: String },
}

impl FetchError {
    /// Whether the same offer may be fetched another time: it is the network or the host that stood in the way.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Status { .. } | Self::Tries { .. } | Self::Late { .. })
    }
}
