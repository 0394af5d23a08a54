//! What a proof allows, and what follows from a message that came with it.

use data_encoding::HEXLOWER;
use jiff::Timestamp;

use super::{
    model::{
        Approval, CertificateRequest, EnrollmentToken, Identity, IdentityState, Kind, Origin, RequestState,
    },
    register::{Found, Register},
    secret::Digest,
};
use crate::wire::InstanceUid;

/// Agents that one identity may speak for: a proxy has many (B-WS-07).
const MOST_UIDS: usize = 10_000;

/// How a connection proved that it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing was asked for.
    Open,
    /// An enrolment token, by its digest.
    Token(Digest),
    /// A credential of its own.
    Credential { identity: String, id: String },
    /// A certificate of a CA of the operator's, by what names its holder.
    Vouched { subject: String, key: Digest },
}

/// Why not. Whoever is refused is not told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("it shows nothing")]
    Nothing,
    #[error("what it shows is not known here")]
    Unknown,
    #[error("the enrolment token {0} has expired")]
    TokenExpired(String),
    #[error("the enrolment token {0} was used as often as it may be")]
    TokenUsedUp(String),
    #[error("the certificate of identity {0} has expired")]
    CertificateExpired(String),
    #[error("identity {0} was revoked")]
    Revoked(String),
    #[error("{0} is for agents that an operator has to approve")]
    Waits(String),
    #[error("identity {0} speaks for {MOST_UIDS} agents already")]
    TooMany(String),
    #[error("the pass of agent {0} for a download has expired")]
    PassExpired(InstanceUid),
}

/// A client certificate, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub fingerprint: Digest,
    /// For people.
    pub subject: String,
    /// Of issuer and subject, which stay when the certificate is renewed.
    pub key: Digest,
    /// It is one of the server's own CA, which knows all that it signed.
    pub own: bool,
}

/// What an agent's message says that matters here.
#[derive(Clone, Debug)]
pub struct Hello {
    pub uid: InstanceUid,
    /// It accepts settings for its OpAMP connection.
    pub takes_settings: bool,
}

/// Randomness for what may be made.
#[derive(Clone, Copy, Debug)]
pub struct Fresh {
    pub name: [u8; 8],
    pub credential: [u8; 16],
}

impl Fresh {
    #[must_use]
    pub fn id(&self) -> String {
        HEXLOWER.encode(&self.credential)
    }
}

/// What follows from a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing new.
    Known,
    /// This must be durable before the message is taken in.
    Write { token: Option<Box<EnrollmentToken>>, identity: Box<Identity> },
    /// The uid is another identity's: the agent must take a new one.
    Elsewhere,
}

impl Register {
    /// Whose a bearer secret is.
    pub fn bearer(&self, digest: &Digest, now: Timestamp) -> Result<Proof, Denied> {
        match self.found(digest) {
            None | Some(Found::Subject { .. }) => Err(Denied::Unknown),
            Some(Found::Token(_)) => self.token(digest, now),
            Some(Found::Credential { identity, id }) => self.credential(identity, id, digest, now),
        }
    }

    /// Whose a client certificate is. One of our own CA that is not known was replaced or taken back.
    pub fn certificate(&self, shown: &Shown, now: Timestamp) -> Result<Proof, Denied> {
        match self.found(&shown.fingerprint) {
            Some(Found::Credential { identity, id }) => {
                return self.credential(identity, id, &shown.fingerprint, now);
            }
            Some(Found::Token(_) | Found::Subject { .. }) | None if shown.own => return Err(Denied::Unknown),
            Some(Found::Token(_) | Found::Subject { .. }) | None => {}
        }
        let proof = Proof::Vouched { subject: shown.subject.clone(), key: shown.key };
        self.stands(&proof).map(|()| proof)
    }

    fn token(&self, digest: &Digest, now: Timestamp) -> Result<Proof, Denied> {
        let token = self.token_of(digest).ok_or(Denied::Unknown)?;
        if token.expired(now) {
            return Err(Denied::TokenExpired(token.path()));
        }
        // Those that live off it may still come; each new one is judged when it says who it is.
        if token.used_up() && !self.identities().values().any(|identity| lives_off(identity, digest)) {
            return Err(Denied::TokenUsedUp(token.path()));
        }
        Ok(Proof::Token(*digest))
    }

    fn credential(&self, identity: &str, id: &str, shown: &Digest, now: Timestamp) -> Result<Proof, Denied> {
        let holder = self.identities().get(identity).ok_or(Denied::Unknown)?;
        let credential = holder.credentials.iter().find(|one| one.id == id).ok_or(Denied::Unknown)?;
        let (Kind::Bearer { digest } | Kind::Certificate { fingerprint: digest, .. }) = &credential.kind;
        if !digest.same(shown) {
            return Err(Denied::Unknown);
        }
        if credential.expired(now) {
            return Err(Denied::CertificateExpired(identity.to_owned()));
        }
        not_revoked(holder)?;
        Ok(Proof::Credential { identity: identity.to_owned(), id: id.to_owned() })
    }

    /// Whether both are credentials of one identity, and this one was issued after the other.
    #[must_use]
    pub fn is_newer(&self, proof: &Proof, than: &Proof) -> bool {
        let (Proof::Credential { identity, id }, Proof::Credential { identity: other, id: old }) =
            (proof, than)
        else {
            return false;
        };
        let Some(holder) = self.identities().get(identity).filter(|_| identity == other) else {
            return false;
        };
        let at = |id: &str| holder.credentials.iter().position(|credential| credential.id == id);
        at(id) > at(old)
    }

    /// Whether a connection that proved this may go on (S-CS-08).
    pub fn stands(&self, proof: &Proof) -> Result<(), Denied> {
        match proof {
            Proof::Open => Ok(()),
            Proof::Token(digest) => self.token_of(digest).map(drop).ok_or(Denied::Unknown),
            Proof::Credential { identity, .. } => {
                not_revoked(self.identities().get(identity).ok_or(Denied::Unknown)?)
            }
            Proof::Vouched { key, .. } => self.vouched(key).map_or(Ok(()), not_revoked),
        }
    }

    /// Whether files of packages are for whoever proved this: not for those whom an operator has yet to let in.
    pub fn takes_packages(&self, proof: &Proof) -> Result<(), Denied> {
        self.stands(proof)?;
        let holder = match proof {
            Proof::Open => None,
            Proof::Token(digest) => {
                let token = self.token_of(digest).ok_or(Denied::Unknown)?;
                return match token.spec.approval {
                    Approval::Automatic => Ok(()),
                    Approval::Manual => Err(Denied::Waits(token.path())),
                };
            }
            Proof::Credential { identity, .. } => self.identities().get(identity),
            Proof::Vouched { key, .. } => self.vouched(key),
        };
        match holder.filter(|holder| !holder.is_active()) {
            None => Ok(()),
            Some(holder) => Err(Denied::Waits(holder.name.clone())),
        }
    }

    /// Whether an agent's identity, if it has one, was not revoked.
    pub fn may_be_heard(&self, uid: InstanceUid) -> Result<(), Denied> {
        self.owner(uid).map_or(Ok(()), not_revoked)
    }

    fn vouched(&self, key: &Digest) -> Option<&Identity> {
        match self.found(key)? {
            Found::Subject { identity } => self.identities().get(identity),
            Found::Token(_) | Found::Credential { .. } => None,
        }
    }

    /// What follows from a message of this agent on a connection with this proof.
    pub fn speak(&self, proof: &Proof, hello: &Hello, now: Timestamp, fresh: Fresh) -> Result<Step, Denied> {
        match proof {
            Proof::Open => Ok(Step::Known),
            Proof::Token(digest) => self.speak_by_token(digest, hello, now, fresh),
            Proof::Credential { identity, id } => {
                let identity = self.identities().get(identity).ok_or(Denied::Unknown)?;
                let used = identity.used(id, now);
                self.speak_for(identity, used, hello)
            }
            Proof::Vouched { subject, key } => match self.vouched(key) {
                Some(identity) => self.speak_for(identity, None, hello),
                None => {
                    let origin = Origin::Certificate { subject: subject.clone(), key: *key };
                    let name = self.free_name(&speaking_name(subject), fresh);
                    let identity = identity(name, origin, hello, now);
                    self.speak_for(&identity, Some(identity.clone()), hello)
                }
            },
        }
    }

    fn speak_for(
        &self,
        identity: &Identity,
        changed: Option<Identity>,
        hello: &Hello,
    ) -> Result<Step, Denied> {
        not_revoked(identity)?;
        let mut next = match self.owner(hello.uid) {
            Some(owner) if owner.name != identity.name => return Ok(Step::Elsewhere),
            Some(_) => match changed {
                None => return Ok(Step::Known),
                Some(next) => next,
            },
            None if identity.uids.len() >= MOST_UIDS => return Err(Denied::TooMany(identity.name.clone())),
            None => changed.unwrap_or_else(|| identity.clone()),
        };
        next.uids.insert(hello.uid);
        Ok(Step::Write { token: None, identity: Box::new(next) })
    }

    /// S-TF-01, S-TF-02: an agent that comes with a token becomes an identity, and is given a credential of its own.
    fn speak_by_token(
        &self,
        digest: &Digest,
        hello: &Hello,
        now: Timestamp,
        fresh: Fresh,
    ) -> Result<Step, Denied> {
        let token = self.token_of(digest).ok_or(Denied::Unknown)?;
        if let Some(owner) = self.owner(hello.uid) {
            not_revoked(owner)?;
            if !is_from(owner, digest) || owner.has_used_credential() {
                return Ok(Step::Elsewhere);
            }
            let mut next = owner.clone();
            self.equip(&mut next, hello, now, fresh);
            let write = next != *owner;
            let step = Step::Write { token: None, identity: Box::new(next) };
            return Ok(if write { step } else { Step::Known });
        }
        if token.expired(now) {
            return Err(Denied::TokenExpired(token.path()));
        }
        if token.used_up() {
            return Err(Denied::TokenUsedUp(token.path()));
        }
        let mut token = token.clone();
        token.uses += 1;
        let origin = Origin::Token { token: token.path(), digest: *digest };
        let name = self.free_name(&token.metadata.name, fresh);
        let mut identity = identity(name, origin, hello, now);
        identity.namespace = Some(token.metadata.namespace.clone());
        identity.labels.clone_from(&token.spec.labels);
        if token.spec.approval == Approval::Manual {
            identity.state = IdentityState::Held;
        }
        self.equip(&mut identity, hello, now, fresh);
        Ok(Step::Write { token: Some(Box::new(token)), identity: Box::new(identity) })
    }

    /// Gives an identity its first credential, if it may have one and its agent takes one.
    fn equip(&self, identity: &mut Identity, hello: &Hello, now: Timestamp, fresh: Fresh) {
        let Some(key) = self.key().filter(|_| identity.is_active() && hello.takes_settings) else { return };
        if identity.credentials.is_empty() {
            identity.issue_bearer(key, fresh.id(), now);
        }
    }

    fn free_name(&self, wish: &str, fresh: Fresh) -> String {
        let short = format!("{wish}-{}", HEXLOWER.encode(&fresh.name[..4]));
        if self.identities().contains_key(&short) {
            format!("{wish}-{}", HEXLOWER.encode(&fresh.name))
        } else {
            short
        }
    }

    /// What becomes of a request for a certificate that this identity sends.
    #[must_use]
    pub fn asked(&self, identity: &Identity, digest: &Digest) -> Asked {
        let last = identity.credentials.last().map(|credential| &credential.kind);
        if let Some(Kind::Certificate { request, .. }) = last
            && request == digest
        {
            return Asked::Answered;
        }
        match self.request_of(&identity.name).filter(|request| request.digest == *digest) {
            Some(CertificateRequest { state: RequestState::Denied(reason), .. }) => {
                Asked::Denied(reason.clone())
            }
            Some(CertificateRequest { state: RequestState::Pending, .. }) => Asked::Answered,
            Some(CertificateRequest { state: RequestState::Approved, .. }) | None => Asked::New,
        }
    }
}

/// See [`Register::asked`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    New,
    /// It came before; its answer is being offered, or waits for an operator.
    Answered,
    Denied(String),
}

fn identity(name: String, origin: Origin, hello: &Hello, now: Timestamp) -> Identity {
    Identity {
        name,
        created_at: now,
        origin,
        state: IdentityState::Active,
        namespace: None,
        labels: Default::default(),
        uids: [hello.uid].into(),
        credentials: Vec::new(),
    }
}

fn not_revoked(identity: &Identity) -> Result<(), Denied> {
    match identity.state {
        IdentityState::Revoked(_) => Err(Denied::Revoked(identity.name.clone())),
        IdentityState::Held | IdentityState::Active => Ok(()),
    }
}

fn is_from(identity: &Identity, token: &Digest) -> bool {
    matches!(&identity.origin, Origin::Token { digest, .. } if digest == token)
}

/// An identity whose agent has nothing but the token.
fn lives_off(identity: &Identity, token: &Digest) -> bool {
    is_from(identity, token) && !identity.has_used_credential() && not_revoked(identity).is_ok()
}

/// A part of a subject that can be in a name, such as `edge-1` of `CN=edge-1, O=Example`.
fn speaking_name(subject: &str) -> String {
    let common = subject.split(',').map(str::trim).find_map(|part| part.strip_prefix("CN="));
    let lower = common.unwrap_or("certificate").to_ascii_lowercase();
    let kept: String =
        lower.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(60).collect();
    let trimmed = kept.trim_matches('-');
    if trimmed.is_empty() { "certificate".to_owned() } else { trimmed.to_owned() }
}
