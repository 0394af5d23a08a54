//! `package sign`: looks at the artefact, states what it is, and writes the signature beside it.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
};

use data_encoding::HEXLOWER;
use jiff::Timestamp;

use super::{
    super::{args::Sign, output, settings::Environment},
    Error, content, open, password, read_text, signature_of,
};
use crate::package::{SigningError, SigningKey, Stated, architectures};

pub(super) fn run(sign: &Sign, env: &Environment) -> Result<(), Error> {
    let expires = sign.expires.from(Timestamp::now()).ok_or_else(|| {
        Error::Usage("--expires: that time is past; no host would take the package".to_owned())
    })?;
    let mut file = open(&sign.file)?;
    let arch = arch(sign, &mut file)?;
    let key = key(sign, env)?;
    let (name, version) = (sign.name.clone(), sign.version.clone());
    let stated = Stated { name, version, os: sign.os.clone(), arch, expires, epoch: sign.epoch };
    let signed = key.sign(&mut file, stated).map_err(|why| content(&sign.file, &why))?;
    let path = signature_of(&sign.file);
    write(&path, &signed.signature)?;
    let claims = signed.claims;
    let told = format!(
        "{path}: {name} {version} for {os}/{arch}, {size} bytes, until {expires}, epoch {epoch}, signed by {id}\n\
         sha256 {sha256}\n",
        path = path.display(),
        name = claims.name,
        version = claims.version,
        os = claims.os,
        arch = claims.arch,
        size = claims.size,
        expires = claims.expires,
        epoch = claims.epoch,
        id = key.id(),
        sha256 = HEXLOWER.encode(&claims.sha256),
    );
    output::print(&output::clean(&told))
}

/// As told, unless the programs in it say otherwise; as they say, where nothing was told.
fn arch(sign: &Sign, file: &mut File) -> Result<String, Error> {
    let found = architectures(file).map_err(|why| content(&sign.file, &why))?;
    match &sign.arch {
        Some(arch) if found.is_empty() || found.contains_key(arch.as_str()) => Ok(arch.clone()),
        Some(arch) => {
            Err(content(&sign.file, &format!("--arch says {arch}, but there is {} in it", programs(&found))))
        }
        None => match found.keys().collect::<Vec<_>>()[..] {
            [only] => Ok((*only).to_owned()),
            [] => Err(content(
                &sign.file,
                "there is no program in it that tells for which hosts it is; give --arch",
            )),
            _ => Err(content(
                &sign.file,
                &format!("there are {} in it; say with --arch for which hosts it is", programs(&found)),
            )),
        },
    }
}

fn programs(found: &BTreeMap<&str, String>) -> String {
    let one = |(arch, path): (&&str, &String)| match path.as_str() {
        "" => format!("a program for {arch}"),
        path => format!("{path} for {arch}"),
    };
    found.iter().map(one).collect::<Vec<_>>().join(" and ")
}

fn key(sign: &Sign, env: &Environment) -> Result<SigningKey, Error> {
    let path = &sign.secret_key;
    let text = read_text(path)?;
    let wrong = |why: SigningError| content(path, &why);
    warn_if_open_to_others(path);
    if !SigningKey::is_locked(&text).map_err(wrong)? {
        return SigningKey::open(&text, None).map_err(wrong);
    }
    let given = password::given(sign.password_file.as_deref(), env.key_password.as_ref())?;
    let password = given.map_or_else(|| password::ask(path), Ok)?;
    SigningKey::open(&text, Some(&password.0)).map_err(wrong)
}

fn warn_if_open_to_others(key: &Path) {
    let mode = fs::metadata(key).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        let path = key.display().to_string();
        eprintln!("warning: {}: others than its owner may read this key; chmod 600", output::cell(&path));
    }
}

/// An older signature is replaced in one step, or stays.
fn write(path: &Path, text: &str) -> Result<(), Error> {
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}", std::process::id()));
    let written = OpenOptions::new().write(true).create_new(true).open(&new).and_then(|mut file| {
        let moved = file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&new, path));
        moved.inspect_err(|_| {
            fs::remove_file(&new).ok();
        })
    });
    written.map_err(|source| Error::Write { path: path.to_owned(), source })
}
