//! Who may connect as an agent, and what is made durable before what it says is taken in: an enrolment, the first use of
//! a credential, an answer to a request for a certificate.
//!
//! Here headers and certificates become proofs. What a proof allows is decided in `server::identity`, what may be signed
//! in `server::ca`. Asked by `http` and `ws` for each connection and message, and by `server::api` to sign.

use std::{
    fmt,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

use crate::{
    server::{
        auth::{guard, throttle::Throttle},
        ca::{Authority, shown},
        config::AgentAuth,
        hub::{Connection, Hub, Plan, fresh_uid},
        identity::{Approval, Denied, Digest, Fresh, Proof, Step, rules::Hello},
        listen::Encrypted,
        store::{Change, StoreError},
        tls::Secure,
    },
    wire::{
        AgentCaps, InstanceUid,
        proto::{AgentCapabilities, AgentToServer, ServerToAgent},
    },
};

/// What the gate is made with.
#[derive(Clone, Debug)]
pub struct Terms {
    pub auth: AgentAuth,
    /// Who answers requests for certificates.
    pub csr_approval: Approval,
    /// Of the certificates that are signed here.
    pub lifetime: Duration,
    pub data_dir: PathBuf,
}

/// Stands between the agent plane's listener and the hub.
pub struct Gate {
    pub(super) hub: Arc<Hub>,
    pub(super) terms: Terms,
    pub(super) tls: Option<Arc<Secure>>,
    pub(super) authority: Mutex<Option<Arc<Authority>>>,
    throttle: Mutex<Throttle>,
    /// Rings when something was taken back.
    taken_back: watch::Sender<()>,
}

/// What a connection proved, for as long as it lasts.
#[derive(Clone)]
pub struct Admission {
    proof: Proof,
    taken_back: watch::Receiver<()>,
}

/// Why a message is not taken in.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What to do with a message.
pub enum Settled {
    TakeIn,
    /// It says who it is, and must be somebody else; nothing of it is taken in.
    Answer(Box<ServerToAgent>),
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("terms", &self.terms).finish_non_exhaustive()
    }
}

impl Admission {
    /// Resolves when something was taken back, maybe from this connection.
    pub async fn shaken(&mut self) {
        if self.taken_back.changed().await.is_err() {
            // The server is about to end, and says so elsewhere.
            std::future::pending::<()>().await;
        }
    }
}

impl Gate {
    #[must_use]
    pub fn new(hub: Arc<Hub>, terms: Terms, tls: Option<Arc<Secure>>) -> Self {
        let (taken_back, _) = watch::channel(());
        Self { hub, terms, tls, authority: Mutex::default(), throttle: Mutex::default(), taken_back }
    }

    /// Lets a request in, or answers it (S-TC-04). Nobody is told more than that it may not.
    pub fn admit(&self, request: &Request) -> Result<Admission, Box<Response>> {
        let proof = match self.terms.auth {
            AgentAuth::None => Ok(Proof::Open),
            AgentAuth::Required => self.prove(request),
        };
        match proof {
            Ok(proof) => Ok(Admission { proof, taken_back: self.taken_back.subscribe() }),
            Err(denied) => Err(Box::new(self.refuse(&denied, guard::peer(request)))),
        }
    }

    /// A certificate that is good counts before what the header says, for a token may stand there from the beginning;
    /// a secret that its holder was offered since, by a rotation, is what is to be used from now on.
    fn prove(&self, request: &Request) -> Result<Proof, Denied> {
        let now = Timestamp::now();
        let certificate = request.extensions().get::<Encrypted>().and_then(|tls| tls.certificate.as_ref());
        let by_certificate = certificate.map(|der| self.by_certificate(der, now));
        if let Some(Err(denied @ Denied::Revoked(_))) = by_certificate {
            return Err(denied);
        }
        match (self.by_header(request.headers(), now), by_certificate) {
            (Ok(secret), Some(Ok(certificate))) => {
                let newer = self.hub.look(|fleet| fleet.register.is_newer(&secret, &certificate));
                Ok(if newer { secret } else { certificate })
            }
            (_, Some(Ok(certificate))) => Ok(certificate),
            (Err(Denied::Nothing), Some(Err(denied))) => Err(denied),
            (proof, _) => proof,
        }
    }

    fn by_certificate(&self, der: &CertificateDer<'_>, now: Timestamp) -> Result<Proof, Denied> {
        let shown = shown::read(der).ok_or(Denied::Unknown)?;
        self.hub.look(|fleet| fleet.register.certificate(&shown, now))
    }

    fn by_header(&self, headers: &HeaderMap, now: Timestamp) -> Result<Proof, Denied> {
        let given = headers.get(header::AUTHORIZATION).ok_or(Denied::Nothing)?;
        let secret = given.to_str().ok().and_then(guard::bearer).ok_or(Denied::Unknown)?;
        let digest = Digest::of(secret.as_bytes());
        self.hub.look(|fleet| fleet.register.bearer(&digest, now))
    }

    /// Lets a request for a file of a package in, or answers it: by a pass for just this file, else by what lets an agent
    /// speak. `file` is what is asked for, if it can be one.
    pub fn admit_download(&self, request: &Request, file: Option<&[u8; 32]>) -> Result<(), Box<Response>> {
        if self.terms.auth == AgentAuth::None {
            return Ok(());
        }
        let source = guard::peer(request);
        let passed = file.and_then(|file| self.by_pass(request.headers(), file));
        let proven = || {
            self.prove(request).and_then(|proof| self.hub.look(|fleet| fleet.register.takes_packages(&proof)))
        };
        passed.unwrap_or_else(proven).map_err(|denied| Box::new(self.refuse(&denied, source)))
    }

    fn by_pass(&self, headers: &HeaderMap, file: &[u8; 32]) -> Option<Result<(), Denied>> {
        let secret = headers.get(header::AUTHORIZATION)?.to_str().ok().and_then(guard::bearer)?;
        self.hub.look(|fleet| fleet.register.passes(secret, file, Timestamp::now()))
    }

    /// The answer to whoever may not, or may not any more.
    pub fn refuse(&self, denied: &Denied, source: IpAddr) -> Response {
        self.hub.metrics.refused.add(1);
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        match throttle.failed(source, Instant::now()) {
            None => {
                tracing::warn!(%source, why = %denied, "an agent was not let in");
                let challenge = [(header::WWW_AUTHENTICATE, "Bearer realm=\"opamp\"")];
                (StatusCode::UNAUTHORIZED, challenge, "agents must prove who they are here\n").into_response()
            }
            Some(wait) => {
                tracing::debug!(%source, why = %denied, "an agent was not let in, again");
                let wait = wait.as_secs().max(1).to_string();
                (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, wait)]).into_response()
            }
        }
    }

    /// Whether a connection may go on after something was taken back (S-CS-08): what it proved, and the agents that are
    /// heard on it, for one that came with a token has proved no identity.
    pub fn stands(&self, admission: &Admission, connection: &Connection) -> Result<(), Denied> {
        self.hub.look(|fleet| {
            fleet.register.stands(&admission.proof)?;
            connection.uids().try_for_each(|uid| fleet.register.may_be_heard(uid))
        })
    }

    /// Something was taken back: connections look whether it was what they live by.
    pub fn take_back(&self) {
        self.taken_back.send_replace(());
    }

    /// Makes durable what follows from a message, before it is taken in.
    pub async fn settle(&self, admission: &Admission, message: &AgentToServer) -> Result<Settled, Refused> {
        let Ok(uid) = InstanceUid::try_from(&*message.instance_uid) else { return Ok(Settled::TakeIn) };
        if admission.proof != Proof::Open {
            let hello = Hello { uid, takes_settings: self.takes_settings(uid, message) };
            match self.step(&admission.proof, &hello).await? {
                Step::Known | Step::Write { .. } => {}
                Step::Elsewhere => {
                    let new = fresh_uid(Timestamp::now());
                    tracing::warn!(%uid, %new, "an agent speaks for a uid that is another identity's; it is told a new one");
                    let answer = self.hub.renamed(uid, new);
                    return Ok(Settled::Answer(Box::new(answer)));
                }
            }
        }
        self.certify(uid, message).await;
        Ok(Settled::TakeIn)
    }

    fn takes_settings(&self, uid: InstanceUid, message: &AgentToServer) -> bool {
        let bit = AgentCapabilities::AcceptsOpAmpConnectionSettings;
        let said = AgentCaps::from_wire(message.capabilities);
        if !said.is_unspecified() {
            return said.has(bit);
        }
        self.hub.look(|fleet| fleet.agents.get(&uid).is_some_and(|agent| agent.can(bit)))
    }

    /// The quick way for a message that brings nothing new; else what it brings is stored first, in turn with others.
    async fn step(&self, proof: &Proof, hello: &Hello) -> Result<Step, Refused> {
        let fresh = Fresh { name: rand::random(), credential: rand::random() };
        let quick = self.hub.look(|fleet| fleet.register.speak(proof, hello, Timestamp::now(), fresh))?;
        if !matches!(quick, Step::Write { .. }) {
            return Ok(quick);
        }
        self.hub
            .operate(|fleet, now| {
                let step = fleet.register.speak(proof, hello, now, fresh)?;
                let Step::Write { token, identity } = &step else {
                    return Ok(Plan { changes: Vec::new(), apply: Box::new(|_, _| Vec::new()), output: step });
                };
                if let Some(token) = token {
                    tracing::info!(identity = identity.name, token = token.path(), uid = %hello.uid, "an agent enrolled");
                }
                let mut changes = vec![Change::Identity(identity.clone())];
                changes.extend(token.clone().map(Change::Token));
                let (token, identity) = (token.clone(), (**identity).clone());
                Ok(Plan {
                    changes,
                    apply: Box::new(move |fleet, now| {
                        if let Some(token) = token {
                            fleet.register.put_token(*token);
                        }
                        fleet.put_identity(identity, now)
                    }),
                    output: step,
                })
            })
            .await
    }
}
