//! What both databases have in common before they are used: settings, the schema, and why one cannot be opened.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::migrate::{Migrate, Migration, MigrationType, Migrator};
use sqlx::{ColumnIndex, Database, Decode, Executor, Row, SqlSafeStr, Type};

/// How to open the database.
#[derive(Clone)]
pub struct Settings {
    /// Where it is: `sqlite:` or `postgres:`.
    pub url: String,
    /// Whether to bring the schema up to date; else it is only looked at.
    pub auto_migrate: bool,
    /// Connections to PostgreSQL.
    pub connections: u32,
    /// How long a call may wait for the database.
    pub deadline: Duration,
    /// Writes in one transaction at most.
    pub commit_batch: usize,
    /// Whether to use it although it can lose what it has acknowledged.
    pub allow_unsafe: bool,
}

/// Why the database could not be opened, for the person who started the service. `place` never holds a password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address does not lead to a database.
    #[error("DATABASE_URL: {0}")]
    Address(String),
    /// Another process has it open.
    #[error("DATABASE_URL: {0} is in use by another Tidings; stop that one, or give this one its own database")]
    InUse(PathBuf),
    /// A file or folder cannot be made or opened.
    #[error("DATABASE_URL: cannot open {path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It does not answer.
    #[error("DATABASE_URL: cannot reach {place}: {detail}")]
    Unreachable {
        /// Where.
        place: String,
        /// Why.
        detail: String,
    },
    /// It does not let this user in, or do what is needed.
    #[error("DATABASE_URL: {place} refuses: {detail}")]
    Refused {
        /// Where.
        place: String,
        /// Why.
        detail: String,
    },
    /// It does not work as it must.
    #[error("DATABASE_URL: {place} cannot be used: {source}")]
    Unusable {
        /// Where.
        place: String,
        /// Why.
        source: sqlx::Error,
    },
    /// The schema is not the one this version works with.
    #[error("DATABASE_URL: the schema of {place} {detail}")]
    Schema {
        /// Where.
        place: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The first use of it failed.
    #[error("DATABASE_URL: the database cannot be prepared: {0}")]
    Prepare(String),
    /// A setting that the promise rests on does not hold.
    #[error("DATABASE_URL: {place} runs with {setting}, which can lose acknowledged messages")]
    Unsafe {
        /// Where.
        place: String,
        /// The setting.
        setting: String,
    },
}

/// The migrations of one database, by number, name and text.
pub(super) fn migrator(migrations: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migration = |(version, name, text): &(i64, &'static str, &'static str)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, text.into_sql_str(), false)
    };
    Migrator::with_migrations(migrations.iter().map(migration).collect())
}

/// What the schema lacks, in words; nothing if it is this version's. A schema of another version is an error. Looking
/// takes no more than the right to read, and leaves no prepared statement behind with a proxy.
pub(super) async fn missing<'c, D: Database>(
    connection: impl Executor<'c, Database = D>,
    migrator: &Migrator,
    place: &str,
) -> Result<Option<String>, OpenError>
where
    for<'r> i64: Decode<'r, D> + Type<D>,
    for<'r> Vec<u8>: Decode<'r, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    let wrong = |detail: String| OpenError::Schema { place: place.to_owned(), detail };
    let applied = match connection.fetch_all("select version, checksum from _sqlx_migrations order by version").await {
        Ok(rows) => {
            let applied = |row: &D::Row| Ok((row.try_get::<i64, _>(0)?, row.try_get::<Vec<u8>, _>(1)?));
            let applied: sqlx::Result<Vec<_>> = rows.iter().map(applied).collect();
            applied.map_err(|error| wrong(format!("cannot be read: {error}")))?
        }
        Err(sqlx::Error::Database(error))
            if error.code().as_deref() == Some("42P01") || error.message().starts_with("no such table") =>
        {
            Vec::new()
        }
        Err(error) => return Err(wrong(format!("cannot be read: {error}"))),
    };
    if let Some((newer, _)) = applied.iter().find(|(version, _)| !migrator.version_exists(*version)) {
        return Err(wrong(format!("has the migration {newer:04}, which this version does not know; run a newer one")));
    }
    for migration in migrator.iter() {
        let name = format!("{:04}_{}", migration.version, migration.description.replace(' ', "_"));
        match applied.iter().find(|(version, _)| *version == migration.version) {
            None => return Ok(Some(name)),
            Some((_, checksum)) if *checksum != *migration.checksum => {
                return Err(wrong(format!("was made by another text of the migration {name}")));
            }
            Some(_) => {}
        }
    }
    Ok(None)
}

/// Brings the schema up to date, or says what is missing.
pub(super) async fn migrate<C: Migrate>(
    connection: &mut C,
    migrator: &Migrator,
    missing: &str,
    settings: &Settings,
    place: &str,
) -> Result<(), OpenError> {
    let wrong = |detail: String| OpenError::Schema { place: place.to_owned(), detail };
    if !settings.auto_migrate {
        let detail = format!("lacks the migration {missing}; run `tidings migrate`, or set AUTO_MIGRATE=on");
        return Err(wrong(detail));
    }
    migrator.run_direct(None, connection, false).await.map_err(|error| wrong(format!("cannot be migrated: {error}")))
}
