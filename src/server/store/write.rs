//! Changes as SQL.

use jiff::Timestamp;
use rusqlite::{Connection, Result, Transaction, params};
use sha2::{Digest, Sha256};

use super::{Change, record::AgentRecord};
use crate::server::fleet::resource::{AgentRemoteConfig, Namespace, Resource};

pub(super) const NAMESPACE: &str = "Namespace";
pub(super) const GROUP: &str = "AgentGroup";
pub(super) const CONFIG: &str = "AgentRemoteConfig";
pub(super) const PACKAGE: &str = "AgentPackage";
pub(super) const OFFER: &str = "PackageOffer";
pub(super) const TOKEN: &str = "EnrollmentToken";
pub(super) const IDENTITY: &str = "Identity";
pub(super) const REQUEST: &str = "CertificateRequest";

pub(super) fn apply<'a>(
    connection: &mut Connection,
    changes: impl Iterator<Item = &'a Change>,
) -> Result<()> {
    let transaction = connection.transaction()?;
    for change in changes {
        one(&transaction, change)?;
    }
    transaction.commit()
}

fn one(sql: &Transaction<'_>, change: &Change) -> Result<()> {
    match change {
        Change::Agent(record) => agent(sql, record),
        Change::Seen { uid, sequence_num, last_seen } => sql
            .prepare_cached("UPDATE agents SET sequence_num = ?2, last_seen = ?3 WHERE uid = ?1")?
            .execute(params![uid.as_bytes(), sequence_num.map(u64::cast_signed), nanos(*last_seen)])
            .map(drop),
        Change::DeleteAgent(uid) => {
            sql.prepare_cached("DELETE FROM agents WHERE uid = ?1")?.execute([uid.as_bytes()]).map(drop)
        }
        Change::Namespace(namespace) => put_namespace(sql, namespace),
        Change::DeleteNamespace(name) => delete(sql, NAMESPACE, "", name),
        Change::Group(group) => put_resource(sql, GROUP, group),
        Change::Config(config) => put_config(sql, config),
        Change::DeleteConfig(key) => delete(sql, CONFIG, &key.namespace, &key.name),
        Change::Package(package) => put_resource(sql, PACKAGE, package),
        Change::DeletePackage(key) => delete(sql, PACKAGE, &key.namespace, &key.name),
        Change::Offer(offer) => put_resource(sql, OFFER, offer),
        Change::DeleteOffer(key) => delete(sql, OFFER, &key.namespace, &key.name),
        Change::Token(token) => {
            put(sql, TOKEN, &token.metadata.namespace, &token.metadata.name, &json(token)?, None)
        }
        Change::DeleteToken(key) => delete(sql, TOKEN, &key.namespace, &key.name),
        Change::Identity(identity) => put(sql, IDENTITY, "", &identity.name, &json(identity)?, None),
        Change::DeleteIdentity(name) => delete(sql, IDENTITY, "", name),
        Change::CertificateRequest(request) => put(sql, REQUEST, "", &request.name, &json(request)?, None),
        Change::DeleteCertificateRequest(name) => delete(sql, REQUEST, "", name),
    }
}

fn agent(sql: &Transaction<'_>, record: &AgentRecord) -> Result<()> {
    let effective_config = body(sql, record.effective_config.as_deref())?;
    let available_components = body(sql, record.available_components.as_deref())?;
    sql.prepare_cached("INSERT OR REPLACE INTO agents VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
        .execute(params![
            record.uid.as_bytes(),
            record.sequence_num.map(u64::cast_signed),
            nanos(record.first_seen),
            nanos(record.last_seen),
            record.report,
            effective_config,
            available_components,
            record.known,
        ])
        .map(drop)
}

/// Stores a body once under its hash.
fn body(sql: &Transaction<'_>, bytes: Option<&[u8]>) -> Result<Option<[u8; 32]>> {
    let Some(bytes) = bytes else { return Ok(None) };
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    sql.prepare_cached("INSERT OR IGNORE INTO bodies VALUES (?1, ?2)")?.execute(params![hash, bytes])?;
    Ok(Some(hash))
}

fn put_namespace(sql: &Transaction<'_>, namespace: &Namespace) -> Result<()> {
    put(sql, NAMESPACE, "", &namespace.name, &json(namespace)?, None)
}

fn put_resource<S: serde::Serialize>(
    sql: &Transaction<'_>,
    kind: &str,
    resource: &Resource<S>,
) -> Result<()> {
    put(sql, kind, &resource.metadata.namespace, &resource.metadata.name, &json(resource)?, None)
}

/// The config's text is a body; the document beside it has an empty `value`.
fn put_config(sql: &Transaction<'_>, config: &AgentRemoteConfig) -> Result<()> {
    let hash = body(sql, Some(config.spec.value.as_bytes()))?;
    let mut light = config.clone();
    light.spec.value.clear();
    put(sql, CONFIG, &config.metadata.namespace, &config.metadata.name, &json(&light)?, hash)
}

fn put(
    sql: &Transaction<'_>,
    kind: &str,
    namespace: &str,
    name: &str,
    document: &str,
    body: Option<[u8; 32]>,
) -> Result<()> {
    sql.prepare_cached("INSERT OR REPLACE INTO resources VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![kind, namespace, name, document, body])
        .map(drop)
}

fn delete(sql: &Transaction<'_>, kind: &str, namespace: &str, name: &str) -> Result<()> {
    sql.prepare_cached("DELETE FROM resources WHERE kind = ?1 AND namespace = ?2 AND name = ?3")?
        .execute([kind, namespace, name])
        .map(drop)
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// Nanoseconds since 1970; 64 bits last until the year 2262.
fn nanos(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)
}

/// Bodies that nothing refers to any more.
pub(super) fn drop_unused_bodies(connection: &Connection) -> Result<()> {
    connection.execute_batch(
        "DELETE FROM bodies WHERE hash NOT IN (
            SELECT effective_config FROM agents WHERE effective_config IS NOT NULL
            UNION SELECT available_components FROM agents WHERE available_components IS NOT NULL
            UNION SELECT body FROM resources WHERE body IS NOT NULL)",
    )
}
