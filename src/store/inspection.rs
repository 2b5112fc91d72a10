//! What an operator wants to know of the database before the service relies on it. It is only read, needs no schema, and
//! may be in use.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions, Connection, Executor, Row};

use super::opening::{self, OpenError, Settings};
use super::postgres::{self, Address};
use super::sqlite;
use crate::model::Timestamp;

/// What was found.
#[derive(Debug)]
pub enum Inspection {
    /// A file.
    Sqlite(SqliteFacts),
    /// A server.
    Postgres(Box<PostgresFacts>),
}

/// What of a schema is there.
#[derive(Debug)]
pub struct SchemaFacts {
    /// The first migration that is missing.
    pub missing: Option<String>,
    /// Nothing at all is there.
    pub is_empty: bool,
    /// Indexes that are not there, or that the server does not use because making them was cut off.
    pub bad_indexes: Vec<String>,
    /// How many there should be.
    pub indexes: usize,
}

/// What is known of a file.
#[derive(Debug)]
pub struct SqliteFacts {
    /// Where it is.
    pub path: PathBuf,
    /// The version of the library.
    pub version: String,
    /// Another process has it open.
    pub in_use: bool,
    /// Others on this machine may read it.
    pub is_shared: bool,
    /// Its journal: `wal`.
    pub journal: String,
    /// Its schema; absent if there is no file yet.
    pub schema: Option<SchemaFacts>,
}

/// What is known of a server.
#[derive(Debug)]
pub struct PostgresFacts {
    /// Where it is, without the password.
    pub place: String,
    /// Its version, such as 160004.
    pub version: i32,
    /// The same as it says it.
    pub version_text: String,
    /// It is a standby, or read-only.
    pub is_read_only: bool,
    /// How texts are encoded.
    pub encoding: String,
    /// Settings under which what was acknowledged can be lost.
    pub loose: Vec<String>,
    /// Connections that it leaves to users.
    pub connections: i64,
    /// Connections that are open.
    pub connected: i64,
    /// Connections that an instance opens.
    pub wanted: u32,
    /// By how many microseconds its clock is ahead of this machine's.
    pub clock_ahead: i64,
    /// Its schema.
    pub schema: SchemaFacts,
    /// Tables that this user may not read or write.
    pub forbidden: Vec<String>,
}

/// Looks at the database of these settings.
pub async fn inspect(settings: &Settings) -> Result<Inspection, OpenError> {
    if settings.url.starts_with("sqlite:") {
        inspect_sqlite(settings).await.map(Inspection::Sqlite)
    } else {
        inspect_postgres(settings).await.map(|facts| Inspection::Postgres(Box::new(facts)))
    }
}

type Migrations = [(i64, &'static str, &'static str)];

/// What statements of this beginning made and none took away again, by name.
fn made(migrations: &Migrations, makes: &[&str], takes: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (.., text) in migrations {
        for line in text.lines() {
            let name = |rest: &str| rest.split([' ', '(', ';']).next().unwrap_or_default().trim_matches('"').to_owned();
            if let Some(rest) = makes.iter().find_map(|make| line.strip_prefix(make)) {
                names.push(name(rest));
            } else if let Some(rest) = line.strip_prefix(takes) {
                let gone = name(rest);
                names.retain(|made| *made != gone);
            }
        }
    }
    names
}

fn indexes(migrations: &Migrations) -> Vec<String> {
    made(migrations, &["create index ", "create unique index "], "drop index ")
}

async fn inspect_sqlite(settings: &Settings) -> Result<SqliteFacts, OpenError> {
    let (options, path) = sqlite::options(&settings.url)?;
    let unusable = |source| OpenError::Unusable { place: path.display().to_string(), source };
    let (in_use, is_shared) = (is_locked(&path), path.metadata().is_ok_and(|file| file.mode() & 0o077 != 0));
    let mut facts = SqliteFacts {
        path: path.clone(),
        version: String::new(),
        in_use,
        is_shared,
        journal: String::new(),
        schema: None,
    };
    if !path.exists() {
        return Ok(facts);
    }
    // As it is: to set the journal would be to write.
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(options.get_filename())
        .read_only(true)
        .busy_timeout(settings.deadline)
        .disable_statement_logging();
    let mut connection = options.connect().await.map_err(unusable)?;
    let text = |row: sqlx::sqlite::SqliteRow| row.try_get::<String, _>(0);
    facts.version = connection.fetch_one("select sqlite_version()").await.and_then(text).map_err(unusable)?;
    facts.journal = connection.fetch_one("pragma journal_mode").await.and_then(text).map_err(unusable)?;
    facts.schema = Some(sqlite_schema(&mut connection, &path).await?);
    drop(connection.close().await);
    Ok(facts)
}

/// Whether another process has the database open.
fn is_locked(path: &Path) -> bool {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let Ok(file) = File::open(name) else { return false };
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

async fn sqlite_schema(connection: &mut SqliteConnection, path: &Path) -> Result<SchemaFacts, OpenError> {
    let place = path.display().to_string();
    let unusable = |source| OpenError::Unusable { place: place.clone(), source };
    let missing = opening::missing(&mut *connection, &opening::migrator(sqlite::MIGRATIONS), &place).await?;
    let rows = connection.fetch_all("select type, name from sqlite_master").await.map_err(unusable)?;
    let there: Vec<(String, String)> =
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<sqlx::Result<_>>().map_err(unusable)?;
    let is_there = |index: &String| there.iter().any(|(kind, name)| kind == "index" && name == index);
    let wanted = indexes(sqlite::MIGRATIONS);
    Ok(SchemaFacts {
        missing,
        is_empty: there.is_empty(),
        indexes: wanted.len(),
        bad_indexes: wanted.into_iter().filter(|index| !is_there(index)).collect(),
    })
}

async fn inspect_postgres(settings: &Settings) -> Result<PostgresFacts, OpenError> {
    let address = Address::parse(&settings.url)?;
    let place = address.place();
    let unusable = |source| OpenError::Unusable { place: place.clone(), source };
    let mut connection = address.connect().await?;
    let mut facts = server(&mut connection).await.map_err(unusable)?;
    facts.place.clone_from(&place);
    facts.wanted = address.connections.unwrap_or(settings.connections).max(2);
    let (before, asked) = (Timestamp::now(), Instant::now());
    let clock = "select cast(extract(epoch from clock_timestamp()) * 1000000 as bigint)";
    let there: i64 = connection.fetch_one(clock).await.and_then(|row| row.try_get(0)).map_err(unusable)?;
    facts.clock_ahead = there - before.after(asked.elapsed() / 2).0;
    facts.schema.missing = opening::missing(&mut connection, &opening::migrator(postgres::MIGRATIONS), &place).await?;
    tables(&mut connection, &mut facts).await.map_err(unusable)?;
    drop(connection.close().await);
    Ok(facts)
}

async fn server(connection: &mut PgConnection) -> sqlx::Result<PostgresFacts> {
    let row = connection
        .fetch_one(
            "select current_setting('server_version_num')::int as version, current_setting('server_version') as said,
                    pg_is_in_recovery() or current_setting('transaction_read_only') = 'on' as is_read_only,
                    current_setting('server_encoding') as encoding,
                    array(select name || '=' || setting from pg_settings
                          where name in ('fsync', 'full_page_writes', 'synchronous_commit') and setting = 'off') as loose,
                    (select sum(case name when 'max_connections' then setting::bigint else -setting::bigint end)::bigint
                     from pg_settings
                     where name in ('max_connections', 'superuser_reserved_connections', 'reserved_connections'))
                        as connections,
                    (select count(*) from pg_stat_activity where backend_type = 'client backend') as connected",
        )
        .await?;
    Ok(PostgresFacts {
        place: String::new(),
        version: row.try_get("version")?,
        version_text: row.try_get("said")?,
        is_read_only: row.try_get("is_read_only")?,
        encoding: row.try_get("encoding")?,
        loose: row.try_get("loose")?,
        connections: row.try_get("connections")?,
        connected: row.try_get("connected")?,
        wanted: 0,
        clock_ahead: 0,
        schema: SchemaFacts { missing: None, is_empty: false, bad_indexes: Vec::new(), indexes: 0 },
        forbidden: Vec::new(),
    })
}

/// Whether tables and indexes are there, whole, and to be used.
async fn tables(connection: &mut PgConnection, facts: &mut PostgresFacts) -> sqlx::Result<()> {
    let (tables, wanted) =
        (made(postgres::MIGRATIONS, &["create table "], "drop table "), indexes(postgres::MIGRATIONS));
    let rows = sqlx::query(
        "select name, coalesce(has_table_privilege(c.oid, 'select') and has_table_privilege(c.oid, 'insert')
                               and has_table_privilege(c.oid, 'update') and has_table_privilege(c.oid, 'delete'), false)
                    as is_mine, c.oid is not null as is_there
         from unnest($1::text[]) name left join pg_class c on c.oid = to_regclass(quote_ident(name))",
    )
    .persistent(false)
    .bind(&tables)
    .fetch_all(&mut *connection)
    .await?;
    let mut there = 0;
    for row in &rows {
        if row.try_get("is_there")? {
            there += 1;
            if !row.try_get::<bool, _>("is_mine")? {
                facts.forbidden.push(row.try_get("name")?);
            }
        }
    }
    let rows = sqlx::query(
        "select name from unnest($1::text[]) name left join pg_index i on i.indexrelid = to_regclass(quote_ident(name))
         where not coalesce(i.indisvalid and i.indisready, false)
         union all
         select c.relname::text from pg_index i join pg_class c on c.oid = i.indexrelid
         where i.indrelid in (select to_regclass(quote_ident(name)) from unnest($2::text[]) name)
           and not (i.indisvalid and i.indisready) and not c.relname = any ($1)",
    )
    .persistent(false)
    .bind(&wanted)
    .bind(&tables)
    .fetch_all(connection)
    .await?;
    facts.schema.is_empty = there == 0;
    facts.schema.indexes = wanted.len();
    facts.schema.bad_indexes = rows.iter().map(|row| row.try_get("name")).collect::<sqlx::Result<_>>()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_migrations_make_is_read_off_them() {
        for migrations in [sqlite::MIGRATIONS, postgres::MIGRATIONS] {
            let (tables, indexes) = (made(migrations, &["create table "], "drop table "), indexes(migrations));
            for table in ["user", "room", "member", "message", "reaction", "ban", "moderation_case"] {
                assert!(tables.iter().any(|made| made == table), "{table} is not among {tables:?}");
            }
            for index in ["message_rev", "message_id", "member_user", "moderation_case_open"] {
                assert!(indexes.iter().any(|made| made == index), "{index} is not among {indexes:?}");
            }
        }
        let migrations =
            [(1, "a", "create index a on b (c);\ncreate unique index d on b (c);"), (2, "b", "drop index a;")];
        assert_eq!(indexes(&migrations), ["d"]);
    }
}
