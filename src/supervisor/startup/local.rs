//! Where the Collector's opamp extension connects to: the same from one start to the next.

use std::{fs, path::Path};

use super::StartError;
use crate::{
    os::{
        clock::{self, NoRandom},
        fs::replace_file_contents,
    },
    supervisor::machine::ConfigHash,
    transport::accept::Listener,
};

/// With a free port, the one of the start before if it is free, and the token of that start: what the Collector
/// reads stays the same, so it starts even when the disk has no room for anything new (F-58).
pub(super) async fn listen(port: u16, storage: &Path) -> Result<Listener, StartError> {
    let run = storage.join("run");
    Ok(bind(port, &run).await?.requiring(&token(&run)?))
}

async fn bind(port: u16, run: &Path) -> Result<Listener, StartError> {
    let failed = |source| StartError::LocalPort { port, source };
    if port != 0 {
        return Listener::bind(port).await.map_err(failed);
    }
    let path = run.join("local-port");
    let before = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
    if let Some(before) = before
        && let Ok(listener) = Listener::bind(before).await
    {
        return Ok(listener);
    }
    let listener = Listener::bind(0).await.map_err(failed)?;
    keep(&path, &listener.port().to_string());
    Ok(listener)
}

/// What the Collector shows so that no other user of the host is taken for it.
fn token(run: &Path) -> Result<String, NoRandom> {
    let path = run.join("local-token");
    let fits = |token: &String| token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(token) = fs::read_to_string(&path).ok().filter(fits) {
        return Ok(token);
    }
    let token = ConfigHash(clock::random::<16>()?.to_vec()).to_string();
    keep(&path, &token);
    Ok(token)
}

fn keep(path: &Path, text: &str) {
    if let Err(error) = replace_file_contents(path, text.as_bytes()) {
        tracing::debug!(%error, "this is not kept for the next start");
    }
}
