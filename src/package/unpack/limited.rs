//! A reader that ends in an error when more comes than is allowed.

use std::{
    fmt,
    io::{self, Read},
};

pub(super) struct Limited<R> {
    inner: R,
    allowed: u64,
    left: u64,
}

/// The limit, inside the error that the reader gave.
#[derive(Debug)]
struct Reached(u64);

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {} bytes", self.0)
    }
}

impl std::error::Error for Reached {}

impl<R: Read> Limited<R> {
    pub(super) const fn new(inner: R, allowed: u64) -> Self {
        Self { inner, allowed, left: allowed }
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::other(Reached(self.allowed))),
        }
        Ok(count)
    }
}

/// The limit that an error is about, however deep it was wrapped.
pub(super) fn reached(error: &io::Error) -> Option<u64> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.get_ref().map(|inner| inner as _);
    while let Some(inner) = cause {
        if let Some(Reached(limit)) = inner.downcast_ref() {
            return Some(*limit);
        }
        cause = match inner.downcast_ref::<io::Error>() {
            Some(wrapped) => wrapped.get_ref().map(|inner| inner as _),
            None => inner.source(),
        };
    }
    None
}
