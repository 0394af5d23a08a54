//! `opampctl package`: keys, signatures, what a signed artefact is; uploads, and offers to agents.
//!
//! - `keygen`, `sign`, `inspect` (with `password`): files of this machine, by the rules of [`crate::package`], which hosts use
//!   too; no server is asked
//! - `upload`, `offer`, `status`: the server's packages; `rows`: what `get` shows of them

mod inspect;
mod keygen;
mod offer;
mod password;
pub(super) mod rows;
mod sign;
mod status;
mod upload;

use std::{
    ffi::OsString,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use super::args::PackageCommand;
use super::client::Client;
use super::error::Error;
use super::settings::Environment;

/// The longest text of a key, a signature or a password.
const TEXT_LIMIT: u64 = 64 * 1024;

/// Does what needs no server; `None` if the command needs one.
pub(super) fn run_here(command: &PackageCommand, env: &Environment) -> Option<Result<(), Error>> {
    match command {
        PackageCommand::Keygen(keygen) => Some(keygen::run(keygen, env)),
        PackageCommand::Sign(sign) => Some(sign::run(sign, env)),
        PackageCommand::Inspect(inspect) => Some(inspect::run(inspect)),
        PackageCommand::Upload(_)
        | PackageCommand::Offer(_)
        | PackageCommand::Status(_)
        | PackageCommand::Withdraw(_)
        | PackageCommand::Retry(_) => None,
    }
}

pub(super) async fn run(client: &Client, command: &PackageCommand) -> Result<(), Error> {
    match command {
        PackageCommand::Upload(upload) => upload::run(client, upload).await,
        PackageCommand::Offer(offer) => offer::run(client, offer).await,
        PackageCommand::Status(status) => status::run(client, status).await,
        PackageCommand::Withdraw(one) => offer::withdraw(client, one).await,
        PackageCommand::Retry(one) => offer::retry(client, one).await,
        PackageCommand::Keygen(_) | PackageCommand::Sign(_) | PackageCommand::Inspect(_) => {
            unreachable!("done without a server")
        }
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
