//! `package keygen`: two new files, never over old ones.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::{
    super::{args::Keygen, output, settings::Environment},
    Error, content, password,
};
use crate::package::NewKeys;

pub(super) fn run(keygen: &Keygen, env: &Environment) -> Result<(), Error> {
    let (secret, public) = paths(keygen);
    // Before anyone is asked for a password.
    for path in [&secret, &public] {
        if path.symlink_metadata().is_ok() {
            return Err(exists(path));
        }
    }
    let password = if keygen.no_password {
        None
    } else {
        let given = password::given(keygen.password_file.as_deref(), env.key_password.as_ref())?;
        Some(given.map_or_else(password::ask_new, Ok)?)
    };
    let keys = NewKeys::generate(password.as_ref().map(|password| password.0.as_str()))
        .map_err(|why| content(&secret, &why))?;
    if keygen.secret_key.is_none() {
        let made = fs::create_dir_all(&keygen.output_dir);
        made.map_err(|source| Error::Write { path: keygen.output_dir.clone(), source })?;
    }
    write(&secret, &keys.secret, 0o600)?;
    if let Err(error) = write(&public, &keys.public, 0o644) {
        // Half a pair would be in the way of the next try.
        fs::remove_file(&secret).ok();
        return Err(error);
    }
    let told = format!(
        "{secret}: the secret key{unprotected}, for whoever signs packages; it belongs on no host and no server\n\
         {public}: the public key {id}\n\
         {line}\n\
         A host takes packages that it signed when this file is named in packages.signature.public_key_files of its \
         supervisor.yaml.\n",
        secret = secret.display(),
        unprotected = if keygen.no_password { " (without a password)" } else { "" },
        public = public.display(),
        id = keys.id,
        line = keys.public_line(),
    );
    output::print(&output::clean(&told))
}

fn paths(keygen: &Keygen) -> (PathBuf, PathBuf) {
    match (&keygen.secret_key, &keygen.public_key) {
        (Some(secret), Some(public)) => (secret.clone(), public.clone()),
        _ => (keygen.output_dir.join("minisign.key"), keygen.output_dir.join("minisign.pub")),
    }
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let made = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = made.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => Error::Write { path: path.to_owned(), source },
    })?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|source| {
        fs::remove_file(path).ok();
        Error::Write { path: path.to_owned(), source }
    })
}

fn exists(path: &Path) -> Error {
    let what = "is there already and is not overwritten, since hosts may trust that key; choose another directory with -o DIR";
    content(path, what)
}
