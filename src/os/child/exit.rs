//! How a child ended.

use std::{borrow::Cow, fmt};

use nix::{libc, sys::signal::Signal};

/// A signal death is never "code 0".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It ended by itself.
    Code(i32),
    /// It was killed; `core` says whether a core was dumped.
    Signal { number: i32, core: bool },
}

impl Exit {
    pub(in crate::os) fn from_siginfo(code: i32, status: i32) -> Self {
        match code {
            libc::CLD_EXITED => Self::Code(status),
            libc::CLD_DUMPED => Self::Signal { number: status, core: true },
            _ => Self::Signal { number: status, core: false },
        }
    }

    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}

/// `SIGKILL` for 9; real-time signals as `SIGRTMIN+n`.
#[must_use]
pub fn signal_name(number: i32) -> Cow<'static, str> {
    match Signal::try_from(number) {
        Ok(signal) => Cow::Borrowed(signal.as_str()),
        Err(_) if number >= libc::SIGRTMIN() => Cow::Owned(format!("SIGRTMIN+{}", number - libc::SIGRTMIN())),
        Err(_) => Cow::Owned(format!("signal {number}")),
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal { number, core } => {
                let core = if core { " (core dumped)" } else { "" };
                write!(f, "killed by {}{core}", signal_name(number))
            }
        }
    }
}
