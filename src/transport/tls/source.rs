//! TLS settings of a target, and those that come from files: read again at each dial, because certificates are
//! renewed while a supervisor runs for months.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::ClientConfig;

use super::{TlsError, TlsOptions};

/// Reads the files again. The error is for people.
type Read = Box<dyn Fn() -> Result<TlsOptions, String> + Send + Sync>;

/// How to secure a connection.
#[derive(Clone)]
pub struct Tls(Source);

#[derive(Clone)]
enum Source {
    Fixed(Arc<ClientConfig>),
    Files(Arc<Files>),
}

struct Files {
    read: Read,
    reload_interval: Option<Duration>,
    state: Mutex<State>,
}

struct State {
    options: TlsOptions,
    config: Arc<ClientConfig>,
    /// Why the files as they are now are not used, as it was said.
    refused: Option<String>,
}

impl From<Arc<ClientConfig>> for Tls {
    fn from(config: Arc<ClientConfig>) -> Self {
        Self(Source::Fixed(config))
    }
}

impl Tls {
    /// Settings that were read from files as `options`, and that `read` reads again. With a `reload_interval` a
    /// connection is made anew when they changed meanwhile.
    pub fn of_files(
        options: TlsOptions,
        reload_interval: Option<Duration>,
        read: impl Fn() -> Result<TlsOptions, String> + Send + Sync + 'static,
    ) -> Result<Self, TlsError> {
        let config = options.build()?;
        let state = Mutex::new(State { options, config, refused: None });
        Ok(Self(Source::Files(Arc::new(Files { read: Box::new(read), reload_interval, state }))))
    }

    /// The settings for the next connection. Files that are wrong now, half written perhaps, leave those in use
    /// that worked, and are told of once.
    pub async fn current(&self) -> Arc<ClientConfig> {
        match &self.0 {
            Source::Fixed(config) => config.clone(),
            Source::Files(files) => {
                files.clone().look(true).await;
                files.state().config.clone()
            }
        }
    }

    /// Whether the files hold other settings than those in use, and ones that can be used.
    pub(in crate::transport) async fn has_changed(&self) -> bool {
        match &self.0 {
            Source::Fixed(_) => false,
            Source::Files(files) => files.clone().look(false).await,
        }
    }

    /// How often a standing connection wants [`Self::has_changed`] to be asked.
    #[must_use]
    pub(in crate::transport) fn reload_interval(&self) -> Option<Duration> {
        match &self.0 {
            Source::Fixed(_) => None,
            Source::Files(files) => files.reload_interval,
        }
    }

    /// Whether there is anything to read again.
    #[must_use]
    pub(in crate::transport) const fn is_of_files(&self) -> bool {
        matches!(self.0, Source::Files(_))
    }
}

impl Files {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing can panic while the lock is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the files where a slow disk holds up nobody; gives whether they hold something else, and takes it
    /// into use if wanted.
    async fn look(self: Arc<Self>, take: bool) -> bool {
        let looked = tokio::task::spawn_blocking(move || self.compare(take)).await;
        looked.unwrap_or(false)
    }

    fn compare(&self, take: bool) -> bool {
        let read = (self.read)();
        let mut state = self.state();
        let built = match read {
            Ok(options) if options == state.options => {
                state.refused = None;
                return false;
            }
            Ok(options) => options.build().map(|config| (options, config)).map_err(|error| error.to_string()),
            Err(why) => Err(why),
        };
        match built {
            Ok((options, config)) => {
                if take {
                    *state = State { options, config, refused: None };
                    tracing::info!("the files of the TLS settings changed and were read again");
                }
                true
            }
            Err(why) => {
                if state.refused.as_ref() != Some(&why) {
                    tracing::warn!(
                        "the files of the TLS settings changed and cannot be used, the former contents stay in use: {why}"
                    );
                    state.refused = Some(why);
                }
                false
            }
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = matches!(self.0, Source::Files(_));
        f.debug_struct("Tls").field("files", &files).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::tls::{Identity, Verify};

    fn options(verify: Verify) -> TlsOptions {
        TlsOptions { verify, ..TlsOptions::default() }
    }

    #[tokio::test]
    async fn f_93_changed_files_are_used_and_wrong_ones_leave_what_worked() {
        let disk = Arc::new(Mutex::new(Ok(options(Verify::Skip))));
        let read = {
            let disk = disk.clone();
            move || disk.lock().unwrap().clone()
        };
        let tls = Tls::of_files(options(Verify::Skip), Some(Duration::from_secs(60)), read).unwrap();
        let first = tls.current().await;
        assert!(!tls.has_changed().await);
        let mut other = options(Verify::Skip);
        other.min_version = super::super::Version::V1_3;
        *disk.lock().unwrap() = Ok(other.clone());
        assert!(tls.has_changed().await);
        let second = tls.current().await;
        assert!(!Arc::ptr_eq(&first, &second) && !tls.has_changed().await);
        let half = b"-----BEGIN CERT".to_vec();
        other.identity = Some(Identity { cert_pem: half.clone(), key_pem: half });
        for wrong in [Ok(other), Err("no such file".to_owned())] {
            *disk.lock().unwrap() = wrong;
            assert!(!tls.has_changed().await);
            assert!(Arc::ptr_eq(&second, &tls.current().await));
        }
    }
}
