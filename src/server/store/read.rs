//! Rows as the model, once at start.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, Row};
use serde::de::DeserializeOwned;

use super::{
    Snapshot, StoreError,
    record::AgentRecord,
    schema::refine,
    write::{CONFIG, GROUP, IDENTITY, NAMESPACE, OFFER, PACKAGE, REQUEST, TOKEN},
};
use crate::{server::fleet::resource::AgentRemoteConfig, wire::InstanceUid};

pub(super) fn snapshot(sql: &Connection, path: &Path) -> Result<Snapshot, StoreError> {
    let refined = |error| refine(error, path, "read");
    let records = agents(sql).map_err(refined)?;
    let mut configs = Vec::new();
    for (document, body) in resources(sql, CONFIG).map_err(refined)? {
        let mut config: AgentRemoteConfig = parse(&document)?;
        config.spec.value = String::from_utf8(body.unwrap_or_default())
            .map_err(|error| StoreError::Row { table: "bodies", detail: error.to_string() })?;
        configs.push(config);
    }
    Ok(Snapshot {
        agents: records.into_iter().map(AgentRecord::into_agent).collect::<Result<_, _>>()?,
        namespaces: documents(sql, NAMESPACE, path)?,
        groups: documents(sql, GROUP, path)?,
        configs,
        packages: documents(sql, PACKAGE, path)?,
        offers: documents(sql, OFFER, path)?,
        tokens: documents(sql, TOKEN, path)?,
        identities: documents(sql, IDENTITY, path)?,
        requests: documents(sql, REQUEST, path)?,
    })
}

fn agents(sql: &Connection) -> rusqlite::Result<Vec<AgentRecord>> {
    let mut statement = sql.prepare(
        "SELECT uid, sequence_num, first_seen, last_seen, report, known, effective.body, components.body
         FROM agents
         LEFT JOIN bodies AS effective ON effective.hash = effective_config
         LEFT JOIN bodies AS components ON components.hash = available_components",
    )?;
    statement.query_map([], record)?.collect()
}

fn record(row: &Row<'_>) -> rusqlite::Result<AgentRecord> {
    Ok(AgentRecord {
        uid: InstanceUid::from_bytes(row.get(0)?),
        sequence_num: row.get::<_, Option<i64>>(1)?.map(i64::cast_unsigned),
        first_seen: time(row.get(2)?),
        last_seen: time(row.get(3)?),
        report: row.get(4)?,
        known: row.get(5)?,
        effective_config: row.get(6)?,
        available_components: row.get(7)?,
    })
}

fn time(nanos: i64) -> Timestamp {
    // Every i64 of nanoseconds is within the range of a timestamp.
    Timestamp::from_nanosecond(nanos.into()).unwrap_or_default()
}

fn resources(sql: &Connection, kind: &str) -> rusqlite::Result<Vec<(String, Option<Vec<u8>>)>> {
    let mut statement = sql.prepare(
        "SELECT document, bodies.body FROM resources LEFT JOIN bodies ON bodies.hash = resources.body
         WHERE kind = ?1",
    )?;
    statement.query_map([kind], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn documents<T: DeserializeOwned>(sql: &Connection, kind: &str, path: &Path) -> Result<Vec<T>, StoreError> {
    let rows = resources(sql, kind).map_err(|error| refine(error, path, "read"))?;
    rows.iter().map(|(document, _)| parse(document)).collect()
}

fn parse<T: DeserializeOwned>(document: &str) -> Result<T, StoreError> {
    serde_json::from_str(document)
        .map_err(|error| StoreError::Row { table: "resources", detail: error.to_string() })
}
