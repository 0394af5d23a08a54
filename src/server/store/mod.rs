//! What the server keeps across restarts: agents as they last were, and what operators wrote.
//! The live truth is `server::hub`'s memory; this is its copy on disk, read once at start.
//! Operator writes are awaited until they are durable; agents' state and sequence numbers come in batches, which
//! may wait for the disk: an agent whose number is behind is asked for everything.
//!
//! - [`record`]: an agent as it is stored; [`sqlite`]: the embedded store, its one writer thread
//! - `schema`: tables and their versions; `write`, `read`: changes and rows as SQL
//!
//! Called by `server::hub` alone. It decides nothing: what to store is a [`Change`].

mod read;
pub mod record;
mod schema;
pub mod sqlite;
mod write;

use std::{future::Future, path::PathBuf, pin::Pin};

use jiff::Timestamp;

use super::fleet::{
    Agent,
    resource::{AgentGroup, AgentPackage, AgentRemoteConfig, Key, Namespace, PackageOffer},
};
use super::identity::{CertificateRequest, EnrollmentToken, Identity};
use crate::wire::InstanceUid;

/// One thing to write. Changes handed over together are written together or not at all.
#[derive(Clone, Debug)]
pub enum Change {
    /// The whole state of an agent; its sequence number belongs to this state.
    Agent(Box<record::AgentRecord>),
    /// Only what a heartbeat moves.
    Seen {
        uid: InstanceUid,
        sequence_num: Option<u64>,
        last_seen: Timestamp,
    },
    DeleteAgent(InstanceUid),
    Namespace(Namespace),
    DeleteNamespace(String),
    Group(AgentGroup),
    Config(AgentRemoteConfig),
    DeleteConfig(Key),
    Package(AgentPackage),
    DeletePackage(Key),
    Offer(PackageOffer),
    DeleteOffer(Key),
    Token(Box<EnrollmentToken>),
    DeleteToken(Key),
    Identity(Box<Identity>),
    DeleteIdentity(String),
    CertificateRequest(Box<CertificateRequest>),
    DeleteCertificateRequest(String),
}

/// All that is stored.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub agents: Vec<Agent>,
    pub namespaces: Vec<Namespace>,
    pub groups: Vec<AgentGroup>,
    pub configs: Vec<AgentRemoteConfig>,
    pub packages: Vec<AgentPackage>,
    pub offers: Vec<PackageOffer>,
    pub tokens: Vec<EnrollmentToken>,
    pub identities: Vec<Identity>,
    pub requests: Vec<CertificateRequest>,
}

pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Where the server keeps things.
pub trait Store: Send + Sync {
    /// Everything, once at start.
    fn load(&self) -> Pending<'_, Snapshot>;

    /// Resolves when the changes are durable, or when they are surely not written.
    fn write(&self, changes: Vec<Change>) -> Pending<'_, ()>;

    /// Like [`Self::write`], but what was written may be lost when the machine loses its power: then the store is as
    /// it was a little earlier. It outlives this program however it ends.
    fn note(&self, changes: Vec<Change>) -> Pending<'_, ()>;

    /// Writes what is queued and lets go of the files.
    fn close(&self) -> Pending<'_, ()>;
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot write the database {path}: {source}")]
    Make { path: PathBuf, source: std::io::Error },
    #[error("cannot open the database {path}: {source}")]
    Open { path: PathBuf, source: rusqlite::Error },
    #[error(
        "the database {path} has schema {found}, and this opamp-server knows schemas up to {known}; start the newer \
         server that wrote it, or restore the copy made before the upgrade"
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{path} is an SQLite database of another program; give another --data-dir")]
    Foreign { path: PathBuf },
    #[error(
        "the database {path} is damaged ({detail}); nothing was changed in it: restore a copy, or move it away and \
         start with an empty one"
    )]
    Corrupt { path: PathBuf, detail: String },
    #[error("another program holds the database {path}; stop it first")]
    Locked { path: PathBuf },
    #[error("cannot {operation} in the database: {source}")]
    Sql { operation: &'static str, source: rusqlite::Error },
    #[error("the database holds a row of {table} that cannot be read: {detail}")]
    Row { table: &'static str, detail: String },
    #[error("cannot start the thread that writes the database: {0}")]
    Thread(std::io::Error),
    #[error("the database is closed")]
    Closed,
}
