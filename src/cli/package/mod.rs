//! `opampctl package`: keys, signatures, and what a signed artefact is. Works on files of this machine and asks no server.
//!
//! The rules are those of [`crate::package`], which hosts use too.

mod inspect;
mod keygen;
mod password;
mod sign;

use std::{
    ffi::OsString,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use super::args::PackageCommand;
use super::error::Error;
use super::settings::Environment;

/// The longest text of a key, a signature or a password.
const TEXT_LIMIT: u64 = 64 * 1024;

pub(super) fn run(command: &PackageCommand, env: &Environment) -> Result<(), Error> {
    match command {
        PackageCommand::Keygen(keygen) => keygen::run(keygen, env),
        PackageCommand::Sign(sign) => sign::run(sign, env),
        PackageCommand::Inspect(inspect) => inspect::run(inspect),
    }
}

fn open(path: &Path) -> Result<File, Error> {
    let opened = File::open(path).and_then(|file| {
        if file.metadata()?.is_dir() { Err(std::io::ErrorKind::IsADirectory.into()) } else { Ok(file) }
    });
    opened.map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// The text of a small file.
fn read_text(path: &Path) -> Result<String, Error> {
    let mut text = String::new();
    let read = open(path)?.take(TEXT_LIMIT + 1).read_to_string(&mut text);
    match read {
        Err(source) => Err(Error::Read { path: path.to_owned(), source }),
        Ok(size) if size as u64 > TEXT_LIMIT => {
            Err(content(path, &format!("is longer than {TEXT_LIMIT} bytes")))
        }
        Ok(_) => Ok(text),
    }
}

/// Where the signature of an artefact is, unless somebody says otherwise.
fn signature_of(artefact: &Path) -> PathBuf {
    let mut path = OsString::from(artefact);
    path.push(".minisig");
    path.into()
}

fn content(path: &Path, what: &(impl ToString + ?Sized)) -> Error {
    Error::Content { origin: path.display().to_string(), what: what.to_string() }
}
