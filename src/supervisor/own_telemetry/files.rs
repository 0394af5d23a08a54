//! Certificates and keys, as files that the Collector may read. A file is named by what is in it: another
//! certificate is another file, so that one that is in use is never written to.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{Outlet, OwnTelemetry};
use crate::os::{
    fs::{FsError, ensure_private_dir, stage_file_contents},
    sandbox::let_read,
};

/// Where a system may keep the certificates that it trusts, all in one file.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The files cannot be made.
#[derive(Debug, thiserror::Error)]
pub(in crate::supervisor) enum NotPut {
    #[error(transparent)]
    Write(#[from] FsError),
    #[error("the system's CA certificates cannot be read: {0}")]
    NoBundle(#[source] io::Error),
}

/// The directory of these files, and who may read them.
#[derive(Clone, Debug)]
pub(in crate::supervisor) struct Store {
    dir: PathBuf,
    readers: Option<u32>,
}

/// The exporter's keys that name a file, and the names.
pub(super) fn names(outlet: &Outlet) -> Vec<(&'static str, String)> {
    let mut names = Vec::new();
    if let Some(ca) = &outlet.trust.ca_pem {
        let kind = if outlet.trust.system_too { "ca-and-system" } else { "ca" };
        names.push(("certificate", name(kind, ca)));
    }
    if let Some(identity) = &outlet.identity {
        names.push(("client_certificate", name("cert", &identity.cert)));
        names.push(("client_key", name("key", identity.secret.expose())));
    }
    names
}

fn name(kind: &str, contents: &str) -> String {
    let digest = Sha256::digest(contents);
    let hex: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{kind}-{hex}.pem")
}

impl Store {
    pub(in crate::supervisor) const fn new(dir: PathBuf, readers: Option<u32>) -> Self {
        Self { dir, readers }
    }

    pub(in crate::supervisor) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes all that is named, before anything names it.
    pub(in crate::supervisor) fn put(&self, telemetry: &OwnTelemetry) -> Result<(), NotPut> {
        for outlet in telemetry.outlets() {
            if let Some(ca) = &outlet.trust.ca_pem {
                if outlet.trust.system_too {
                    let all = format!("{ca}\n{}", system().map_err(NotPut::NoBundle)?);
                    self.write(&name("ca-and-system", ca), &all)?;
                } else {
                    self.write(&name("ca", ca), ca)?;
                }
            }
            if let Some(identity) = &outlet.identity {
                self.write(&name("cert", &identity.cert), &identity.cert)?;
                let key = identity.secret.expose();
                self.write(&name("key", key), key)?;
            }
        }
        Ok(())
    }

    fn write(&self, name: &str, contents: &str) -> Result<(), FsError> {
        let dir = ensure_private_dir(&self.dir)?.path;
        let_read(&dir, self.readers)?;
        stage_file_contents(&dir.join(name), contents.as_bytes(), self.readers)?.put_in_place()
    }

    /// Forgets what is not named any more (C-CT-03). What cannot be removed is found again the next time.
    pub(in crate::supervisor) fn keep_only(&self, telemetry: &OwnTelemetry) {
        let kept: Vec<_> = telemetry.outlets().flat_map(names).map(|(_, name)| name).collect();
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let keep = entry.file_name().to_str().is_some_and(|name| kept.iter().any(|kept| kept == name));
            if !keep && let Err(error) = fs::remove_file(entry.path()) {
                tracing::debug!(path = %entry.path().display(), %error, "an old certificate stays");
            }
        }
    }
}

fn system() -> io::Result<String> {
    let found = BUNDLES.iter().find(|path| Path::new(path).is_file());
    fs::read_to_string(found.unwrap_or(&BUNDLES[0]))
}
