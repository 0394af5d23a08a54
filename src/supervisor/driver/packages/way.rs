//! How to get at the server of a package: by the rules of this host, through its proxy, with its trust.

use url::Url;

use super::Driver;
use crate::{
    package::fetch::{Rules, Wanted},
    supervisor::{
        config::ServerConfig,
        target::{self, TargetError},
        upgrade::{Offered, Places, download::Job},
    },
    transport::{Proxy, tls::Tls},
};

/// What stands in the way of a download before it begins.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoWay {
    #[error("download_url {url:?}: {why}")]
    Url { url: String, why: url::ParseError },
    #[error(transparent)]
    Target(#[from] TargetError),
}

impl Driver {
    /// What is to be done for this download. `size` is what the signer says of it.
    pub(super) fn download_job(
        &self,
        offered: &Offered,
        size: Option<u64>,
        places: &Places,
    ) -> Result<Job, NoWay> {
        let url = Url::parse(&offered.url)
            .map_err(|why| NoWay::Url { url: offered.url.chars().take(200).collect(), why })?;
        let server = self.server();
        let allowed = &self.parts.config.packages.download;
        let own = server.endpoint.url().host_str().map(str::to_owned);
        let of_server = own.as_deref() == url.host_str();
        let rules = Rules {
            plain_http: allowed.plain_http,
            hosts: allowed.hosts.iter().cloned().chain(own).collect(),
            networks: allowed.networks.clone(),
        };
        let tls = (url.scheme() == "https").then(|| tls(&server, of_server)).transpose()?;
        let headers = offered.headers.iter();
        Ok(Job {
            tls,
            proxy: proxy(&server, &url)?,
            wanted: Wanted {
                url,
                headers: headers
                    .map(|header| (header.name.clone(), header.value.expose().to_owned()))
                    .collect(),
                size,
                cap: allowed.max_size,
            },
            rules,
            file: places.part(&offered.artefact),
            seed: crate::os::clock::random().map_or(1, u64::from_le_bytes),
        })
    }
}

/// To the OpAMP server's own host as to that server; to others without this agent's certificate, and only if they show a
/// good one.
fn tls(server: &ServerConfig, of_server: bool) -> Result<Tls, TargetError> {
    let mut tls = server.tls.clone();
    if !of_server {
        (tls.identity, tls.insecure_skip_verify, tls.include_system_ca_certs_pool) = (None, false, true);
    }
    target::tls(&tls)
}

fn proxy(server: &ServerConfig, url: &Url) -> Result<Option<Proxy>, TargetError> {
    match &server.proxy {
        Some(proxy) => Ok(Some(proxy.clone())),
        None => target::of_environment(url),
    }
}
