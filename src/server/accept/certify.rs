//! Requests of agents for certificates: looked at, then signed by the server's own authority, kept for an operator, or
//! refused (S-CR-01 to S-CR-03). The other half of the gate, whose first is `admission`.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::admission::Gate;
use crate::{
    server::{
        ca::{Authority, CaError, Csr, shown},
        config::AgentAuth,
        hub::enrolment,
        identity::{
            Approval, CertificateRequest, Credential, Digest, Identity, IdentityState, Kind, RequestState,
            rules::Asked,
        },
        store::StoreError,
    },
    wire::{InstanceUid, proto::AgentToServer},
};

/// Why nothing was signed: what the agent is told, or what went wrong here.
#[derive(Debug, thiserror::Error)]
enum Unsigned {
    #[error("{0}")]
    Request(String),
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Gate {
    /// Acts on the request in a message, if there is one. A refusal goes to the agent with what it is told next.
    pub(super) async fn certify(&self, uid: InstanceUid, message: &AgentToServer) {
        if let Some(csr) = wanted_certificate(message)
            && let Err(error) = self.asked(uid, csr).await
        {
            // S-CR-03.
            match &error {
                Unsigned::Request(_) => {
                    tracing::info!(%uid, why = %error, "a certificate request was refused")
                }
                Unsigned::Ca(_) | Unsigned::Store(_) => tracing::error!(%uid, %error, "nothing was signed"),
            }
            let told = match error {
                Unsigned::Request(text) => text,
                Unsigned::Ca(_) | Unsigned::Store(_) => {
                    "the server cannot sign now; ask again later".to_owned()
                }
            };
            self.hub.refuse(uid, told);
        }
    }

    /// S-CR-01 to S-CR-03: looks at a request and answers it, now or when an operator has.
    async fn asked(&self, uid: InstanceUid, pem: &[u8]) -> Result<(), Unsigned> {
        let no = |text: &str| Err(Unsigned::Request(text.to_owned()));
        if !self.signs() {
            return no("this server takes no certificate requests");
        }
        let Some(identity) = self.hub.look(|fleet| fleet.register.owner(uid).cloned()) else {
            return no("certificates are for agents that enrolled");
        };
        if identity.state != IdentityState::Active {
            return no("this agent waits for an operator to approve it");
        }
        let csr = Csr::parse(pem).map_err(|error| Unsigned::Request(error.to_string()))?;
        csr.check_uid(uid).map_err(|error| Unsigned::Request(error.to_string()))?;
        match self.hub.look(|fleet| fleet.register.asked(&identity, &csr.digest)) {
            Asked::Answered => Ok(()),
            Asked::Denied(reason) => Err(Unsigned::Request(reason)),
            Asked::New if self.terms.csr_approval == Approval::Automatic => {
                let credential = self.sign(&csr, &identity.name)?;
                self.hub
                    .operate(|fleet, _| enrolment::issue(fleet, &identity.name, credential, None))
                    .await?;
                Ok(())
            }
            Asked::New => self.file(uid, &identity, &csr, pem).await,
        }
    }

    /// Keeps a request for an operator.
    async fn file(
        &self,
        uid: InstanceUid,
        identity: &Identity,
        csr: &Csr,
        pem: &[u8],
    ) -> Result<(), Unsigned> {
        let request = CertificateRequest {
            name: format!("{}-{}", identity.name, csr.digest.short()),
            created_at: Timestamp::now(),
            identity: identity.name.clone(),
            instance_uid: uid,
            csr: String::from_utf8_lossy(pem).into_owned(),
            digest: csr.digest,
            subject: csr.subject.clone(),
            key: csr.key_kind.to_owned(),
            state: RequestState::Pending,
        };
        tracing::info!(request = request.name, %uid, "a certificate request waits for an operator");
        self.hub.operate(|fleet, _| Ok::<_, StoreError>(enrolment::file(fleet, request))).await?;
        Ok(())
    }

    /// Whether certificates are signed for agents at all: they are of use over TLS only, and to known agents.
    #[must_use]
    pub fn signs(&self) -> bool {
        self.tls.is_some() && self.terms.auth == AgentAuth::Required
    }

    /// Signs with the server's own authority, which is made if there is none yet.
    pub fn sign(&self, csr: &Csr, identity: &str) -> Result<Credential, CaError> {
        let authority = self.authority()?;
        let now = Timestamp::now();
        let signed = authority.sign(csr, identity, now, self.terms.lifetime, rand::random())?;
        tracing::info!(identity, key = csr.key_kind, expires_at = %signed.expires_at, "signed a certificate");
        Ok(certificate(csr, signed.cert, Some(authority.cert().to_owned()), signed.expires_at, now))
    }

    /// Judges a certificate that an operator had signed elsewhere for this request (S-SE-02).
    pub fn accept_certificate(&self, csr: &Csr, pem: &str, ca: Option<String>) -> Result<Credential, String> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let chain = chain.map_err(|error| format!("the certificate cannot be read: {error}"))?;
        let (leaf, rest) = chain.split_first().ok_or("there is no PEM certificate in it")?;
        csr.check_certificate(leaf).map_err(|error| error.to_string())?;
        let cas = self.tls.as_ref().map(|tls| tls.client_cas()).unwrap_or_default();
        let now = Timestamp::now();
        let since_1970 = Duration::from_secs(now.as_second().unsigned_abs());
        crate::transport::tls::client_verifier(&cas)
            .map_err(|error| error.to_string())?
            .verify_client_cert(leaf, rest, rustls_pki_types::UnixTime::since_unix_epoch(since_1970))
            .map_err(|error| {
                format!(
                    "the agent could not connect with it ({error}); is its CA given with --opamp-client-ca?"
                )
            })?;
        let expires_at = shown::end(leaf).ok_or("its end cannot be read")?;
        Ok(certificate(csr, pem.to_owned(), ca, expires_at, now))
    }

    fn authority(&self) -> Result<Arc<Authority>, CaError> {
        let mut authority = self.authority.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = &*authority {
            return Ok(there.clone());
        }
        let made =
            Arc::new(Authority::load_or_create(&self.terms.data_dir, Timestamp::now(), rand::random())?);
        if let Some(tls) = &self.tls {
            // From now on the listener believes what this authority signs.
            tls.refresh();
        }
        *authority = Some(made.clone());
        Ok(made)
    }
}

fn certificate(
    csr: &Csr,
    cert: String,
    ca: Option<String>,
    expires_at: Timestamp,
    now: Timestamp,
) -> Credential {
    let leaf = CertificateDer::from_pem_slice(cert.as_bytes()).map(|der| Digest::of(&der));
    // What was just signed, or verified, is a certificate.
    let fingerprint = leaf.unwrap_or_else(|_| Digest::of(cert.as_bytes()));
    let kind = Kind::Certificate { fingerprint, request: csr.digest, cert, ca, expires_at };
    Credential { id: fingerprint.short(), issued_at: now, used_since: None, kind }
}

/// The request in a message, if there is one to act on (S-CR-07).
fn wanted_certificate(message: &AgentToServer) -> Option<&[u8]> {
    let request = message.connection_settings_request.as_ref()?.opamp.as_ref()?;
    // One without a request is one that cannot be read.
    Some(request.certificate_request.as_ref().map_or(&[], |request| &request.csr))
}
