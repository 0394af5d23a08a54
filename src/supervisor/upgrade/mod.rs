//! Packages on their way to this host: what [`crate::package`] decides, done with sockets and files.
//!
//! - [`download`]: an artefact into the staging directory, however often the way breaks
//!
//! Not here: what a package is and whether it is good (`package`), when one is taken and what comes of it.

pub mod download;
