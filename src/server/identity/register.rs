//! All tokens, identities and requests, and how to find one: by name, by what is shown, by an agent's uid.

use std::collections::{BTreeMap, HashMap};

use super::{
    model::{CertificateRequest, EnrollmentToken, Identity, IdentityState, Kind, Origin},
    secret::{Digest, MasterKey},
};
use crate::{
    server::fleet::{
        resource::{Attributes, Key},
        settings::Issued,
    },
    wire::{
        InstanceUid,
        proto::{Header, TlsCertificate},
    },
};

/// The header that a bearer credential goes into.
const HEADER: &str = "Authorization";

#[derive(Clone, Debug, Default)]
pub struct Register {
    /// Without it no bearer credential is made.
    key: Option<MasterKey>,
    /// Where agents are told to connect, if not where they did.
    advertise: Option<String>,
    tokens: BTreeMap<Key, EnrollmentToken>,
    identities: BTreeMap<String, Identity>,
    requests: BTreeMap<String, CertificateRequest>,
    shown: HashMap<Digest, Found>,
    owners: HashMap<InstanceUid, String>,
}

/// What a digest is of: of a token, of a credential, or of what names a certificate's holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Token(Key),
    Credential { identity: String, id: String },
    Subject { identity: String },
}

/// What follows for an agent from the identity that speaks for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    pub namespace: Option<String>,
    pub labels: Attributes,
    /// It waits for an operator: it is heard, and told nothing.
    pub held: bool,
    pub issued: Option<Issued>,
    /// An agent has connected with what was issued.
    pub used: bool,
}

impl Register {
    #[must_use]
    pub fn new(key: MasterKey, advertise: Option<String>) -> Self {
        Self { key: Some(key), advertise, ..Self::default() }
    }

    /// Of a server that asks nobody for a proof.
    #[must_use]
    pub fn open(advertise: Option<String>) -> Self {
        Self { advertise, ..Self::default() }
    }

    /// Where agents are told to connect, if not where they did.
    #[must_use]
    pub fn advertised(&self) -> Option<&str> {
        self.advertise.as_deref()
    }

    pub fn key(&self) -> Option<&MasterKey> {
        self.key.as_ref()
    }

    pub fn tokens(&self) -> &BTreeMap<Key, EnrollmentToken> {
        &self.tokens
    }

    pub fn identities(&self) -> &BTreeMap<String, Identity> {
        &self.identities
    }

    pub fn requests(&self) -> &BTreeMap<String, CertificateRequest> {
        &self.requests
    }

    pub(super) fn found(&self, digest: &Digest) -> Option<&Found> {
        // Whoever guesses learns nothing from the time of a look-up: it is by digest.
        self.shown.get(digest)
    }

    pub(super) fn token_of(&self, digest: &Digest) -> Option<&EnrollmentToken> {
        match self.found(digest)? {
            Found::Token(key) => self.tokens.get(key).filter(|token| token.digest.same(digest)),
            Found::Credential { .. } | Found::Subject { .. } => None,
        }
    }

    /// The identity that speaks for an agent.
    #[must_use]
    pub fn owner(&self, uid: InstanceUid) -> Option<&Identity> {
        self.identities.get(self.owners.get(&uid)?)
    }

    pub fn put_token(&mut self, token: EnrollmentToken) {
        let key = Key::new(&token.metadata.namespace, &token.metadata.name);
        self.remove_token(&key);
        self.shown.insert(token.digest, Found::Token(key.clone()));
        self.tokens.insert(key, token);
    }

    pub fn remove_token(&mut self, key: &Key) {
        if let Some(token) = self.tokens.remove(key) {
            self.shown.remove(&token.digest);
        }
    }

    pub fn put_identity(&mut self, identity: Identity) {
        self.remove_identity(&identity.name);
        let name = || identity.name.clone();
        for credential in &identity.credentials {
            let digest = match &credential.kind {
                Kind::Bearer { digest } => *digest,
                Kind::Certificate { fingerprint, .. } => *fingerprint,
            };
            self.shown.insert(digest, Found::Credential { identity: name(), id: credential.id.clone() });
        }
        if let Origin::Certificate { key, .. } = &identity.origin {
            self.shown.insert(*key, Found::Subject { identity: name() });
        }
        for uid in &identity.uids {
            self.owners.entry(*uid).or_insert_with(name);
        }
        self.identities.insert(name(), identity);
    }

    pub fn remove_identity(&mut self, name: &str) {
        let Some(old) = self.identities.remove(name) else { return };
        let own = |found: &Found| match found {
            Found::Credential { identity, .. } | Found::Subject { identity } => identity == name,
            Found::Token(_) => false,
        };
        self.shown.retain(|_, found| !own(found));
        for uid in &old.uids {
            if self.owners.get(uid).is_some_and(|owner| owner == name) {
                self.owners.remove(uid);
            }
        }
    }

    /// An identity has one request at a time; a new one takes the place of the one before.
    pub fn put_request(&mut self, request: CertificateRequest) {
        self.requests.retain(|_, old| old.identity != request.identity);
        self.requests.insert(request.name.clone(), request);
    }

    pub fn remove_request(&mut self, name: &str) {
        self.requests.remove(name);
    }

    pub fn request_of(&self, identity: &str) -> Option<&CertificateRequest> {
        self.requests.values().find(|request| request.identity == identity)
    }

    /// What follows for this agent.
    #[must_use]
    pub fn standing(&self, uid: InstanceUid) -> Standing {
        let Some(identity) = self.owner(uid) else { return Standing::default() };
        Standing {
            namespace: identity.namespace.clone(),
            labels: identity.labels.clone(),
            held: identity.state == IdentityState::Held,
            issued: self.issued(identity),
            used: identity.credentials.last().is_some_and(|credential| credential.used_since.is_some()),
        }
    }

    /// The newest credential as an offer has it (S-CR-02: the key of a certificate is the agent's own).
    fn issued(&self, identity: &Identity) -> Option<Issued> {
        let credential = identity.credentials.last().filter(|_| identity.is_active())?;
        let (headers, certificate) = match &credential.kind {
            Kind::Bearer { digest } => {
                let secret = self.key.as_ref()?.credential(&identity.name, &credential.id);
                // With another key than it was made with, it cannot be told again.
                if !secret.digest().same(digest) {
                    return None;
                }
                let value = format!("Bearer {}", secret.reveal());
                (vec![Header { key: HEADER.to_owned(), value }], None)
            }
            Kind::Certificate { cert, ca, .. } => {
                let certificate = TlsCertificate {
                    cert: cert.clone().into_bytes(),
                    private_key: Vec::new(),
                    ca_cert: ca.clone().unwrap_or_default().into_bytes(),
                };
                (Vec::new(), Some(certificate))
            }
        };
        Some(Issued { endpoint: self.advertise.clone(), headers, certificate })
    }
}
