//! What the host adds to every config, as a digest: binary, arguments, environment, local layers, restrictions.
//!
//! A config that failed may do once one of these is another, so failures are remembered together with it. A
//! digest, because the environment holds secrets.

use std::fs;

use sha2::{Digest, Sha256};

use super::{
    config::{ConfigFile, SandboxConfig, SupervisorConfig},
    machine::ConfigHash,
};

/// Reads the local layers as they are now. `binary` is its SHA-256.
pub(super) fn host_key(config: &SupervisorConfig, binary: Option<&str>) -> String {
    let agent = &config.agent;
    let mut hash = Parts(Sha256::new());
    hash.add(binary.unwrap_or_default().as_bytes());
    agent.args.iter().for_each(|arg| hash.add(arg.as_bytes()));
    for (name, value) in &agent.env {
        hash.add(name.as_bytes());
        hash.add(value.expose().as_bytes());
    }
    for file in &agent.config_files {
        let ConfigFile::Path(path) = file else { continue };
        hash.add(path.as_os_str().as_encoded_bytes());
        // One that is not there is another host than one where it is empty.
        match fs::read(path) {
            Ok(contents) => hash.add(&contents),
            Err(error) => hash.add(error.kind().to_string().as_bytes()),
        }
    }
    if let Some(restrictions) = &config.restrictions {
        hash.add(format!("{restrictions:?}").as_bytes());
    }
    if agent.sandbox != SandboxConfig::default() {
        hash.add(format!("{:?}", agent.sandbox).as_bytes());
    }
    ConfigHash(hash.0.finalize()[..16].to_vec()).to_string()
}

struct Parts(Sha256);

impl Parts {
    fn add(&mut self, part: &[u8]) {
        self.0.update(part.len().to_le_bytes());
        self.0.update(part);
    }
}
