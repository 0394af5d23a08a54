//! The tables, and how an older database becomes a newer one.

use std::path::Path;

use rusqlite::Connection;

use super::StoreError;

/// Marks our databases among SQLite files ("opam").
pub(super) const APPLICATION_ID: i64 = 0x6f70_616d;

/// One script for each schema version, in order. A script that was released is never edited.
pub(super) const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE bodies (
        hash BLOB PRIMARY KEY,
        body BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE agents (
        uid BLOB PRIMARY KEY,
        sequence_num INTEGER,
        first_seen INTEGER NOT NULL,
        last_seen INTEGER NOT NULL,
        report BLOB NOT NULL,
        effective_config BLOB,
        available_components BLOB,
        known TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE resources (
        kind TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        document TEXT NOT NULL,
        body BLOB,
        PRIMARY KEY (kind, namespace, name)
    ) WITHOUT ROWID;
",
    // Connection settings were kept as they came and had no effect. They are to have one only when somebody writes them
    // again, checked.
    "
    UPDATE resources SET document = json_remove(document, '$.spec.agentConfig.connectionSettings')
        WHERE kind = 'AgentGroup';
    UPDATE agents SET known = json_remove(known, '$.spec.connectionSettings');
",
];

/// The schema version of a file. One that is newer, foreign or damaged is refused before it is touched.
pub(super) fn inspect(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let known = MIGRATIONS.len() as i64;
    let read = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (id, found) = (|| Ok((read("application_id")?, read("user_version")?)))()
        .map_err(|error| refine(error, path, "read the schema version"))?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|error| refine(error, path, "read the schema"))?;
    if id != APPLICATION_ID && (id != 0 || tables != 0) {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    check(connection, path)?;
    Ok(found)
}

/// Brings the schema up to date from version `found`.
pub(super) fn migrate(connection: &mut Connection, path: &Path, found: i64) -> Result<(), StoreError> {
    match usize::try_from(found).unwrap_or(0) {
        0 => tracing::info!(path = %path.display(), "a new database"),
        old if old < MIGRATIONS.len() => {
            tracing::info!(path = %path.display(), from = old, to = MIGRATIONS.len(), "migrating the database");
        }
        _ => {}
    }
    let step = |connection: &mut Connection, version: i64, script: &str| {
        let transaction = connection.transaction()?;
        transaction.execute_batch(script)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()
    };
    for (version, script) in (1..).zip(MIGRATIONS).skip(usize::try_from(found).unwrap_or(0)) {
        step(connection, version, script).map_err(|error| refine(error, path, "migrate the schema"))?;
    }
    Ok(())
}

fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let answer: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| refine(error, path, "check the file"))?;
    if answer == "ok" {
        return Ok(());
    }
    Err(StoreError::Corrupt { path: path.to_owned(), detail: answer })
}

/// Gives the errors that an operator can act on their own words.
pub(super) fn refine(error: rusqlite::Error, path: &Path, operation: &'static str) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseCorrupt, DatabaseLocked, NotADatabase};
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => StoreError::Corrupt { path, detail: error.to_string() },
        Some(DatabaseBusy | DatabaseLocked) => StoreError::Locked { path },
        _ => StoreError::Sql { operation, source: error },
    }
}
