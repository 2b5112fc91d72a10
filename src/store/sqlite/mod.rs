//! SQLite: one file, one process, one writer. WAL with `synchronous=FULL`, so that what was committed survives a
//! power cut; readers see snapshots and never wait for the writer.

mod members;
mod messages;
mod reading;
mod rooms;
mod rows;
mod writer;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Row, SqlSafeStr, SqliteConnection};

use crate::error::{Error, Result};
use crate::model::{Caller, History, User, UserId};

/// Connections that read. Each is a thread, and reads are short.
const READERS: u32 = 4;

/// Why the database could not be opened, for the person who started the service.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is no `sqlite:` address.
    #[error("DATABASE_URL: {0}")]
    Address(String),
    /// Another process has it open.
    #[error("the database {0} is in use by another Tidings; stop that one, or give this one its own DATABASE_URL")]
    InUse(PathBuf),
    /// A file or folder cannot be made or opened.
    #[error("cannot open the database {path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database does not work as it must.
    #[error("the database {path} cannot be used: {source}")]
    Unusable {
        /// Where.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// The schema could not be brought up to date.
    #[error("the database {path} cannot be migrated: {source}")]
    Migrate {
        /// Where.
        path: PathBuf,
        /// Why.
        source: sqlx::migrate::MigrateError,
    },
    /// A setting that the promise rests on does not hold.
    #[error("the database {path} runs with {setting}, which can lose acknowledged messages")]
    Unsafe {
        /// Where.
        path: PathBuf,
        /// The setting.
        setting: String,
    },
}

/// The database. Cloning it is cheap; the last clone to go closes it.
#[derive(Debug, Clone)]
pub struct Sqlite {
    readers: SqlitePool,
    writer: writer::Writer,
    history: History,
    /// Held for as long as the database is open: a second process is refused.
    _lock: std::sync::Arc<File>,
}

impl Sqlite {
    /// Opens the database of a `sqlite:` address, and makes it if it is not there.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        let options = SqliteConnectOptions::from_str(url).map_err(|e| OpenError::Address(e.to_string()))?;
        let path = options.get_filename().to_path_buf();
        if path.as_os_str().is_empty() || path.to_string_lossy().contains(":memory:") {
            return Err(OpenError::Address("needs a file, such as sqlite:./data/tidings.db".to_owned()));
        }
        let lock = lock(&path)?;
        let unusable = |source| OpenError::Unusable { path: path.clone(), source };
        let options = options
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5))
            .foreign_keys(true)
            .disable_statement_logging();
        let writing = options.clone().create_if_missing(true);
        let mut connection = writing.connect().await.map_err(unusable)?;
        migrator()
            .run_direct(None, &mut connection, false)
            .await
            .map_err(|source| OpenError::Migrate { path: path.clone(), source })?;
        check_durable(&mut connection, &path).await?;
        let history = load_history(&mut connection).await.map_err(unusable)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(Duration::from_secs(2))
            .connect_with(options.read_only(true))
            .await
            .map_err(unusable)?;
        Ok(Self { readers, writer: writer::Writer::start(connection, writing), history, _lock: lock.into() })
    }

    /// This database's history.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Waits for writes under way and closes the file.
    pub async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("select 1").execute(&self.readers).await?;
        Ok(())
    }

    /// The user, made from what their token says if this is the first time they come.
    pub async fn ensure_user(&self, caller: &Caller) -> Result<User> {
        if let Some(user) = self.user(&caller.id).await? {
            return Ok(user);
        }
        let caller = caller.clone();
        let id = caller.id.clone();
        self.writer.run(move |tx| Box::pin(async move { rows::insert_user(tx, &caller).await })).await?;
        self.user(&id).await?.ok_or_else(|| Error::UserNotFound(id.to_string()))
    }

    /// The user, if there is one.
    pub async fn user(&self, id: &UserId) -> Result<Option<User>> {
        let row =
            sqlx::query(r#"select id, name, avatar_url, role, partner_id, partner_status from "user" where id = $1"#)
                .bind(id.as_str())
                .fetch_optional(&self.readers)
                .await?;
        row.map(|row| rows::user(&row)).transpose()
    }
}

/// Whether the failure may pass by itself, so that the caller is told to try again.
pub(in crate::store) fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed | sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => {
            // Primary result codes: BUSY, LOCKED, READONLY, IOERR, FULL, CANTOPEN. https://sqlite.org/rescode.html
            let code = error.code().and_then(|code| code.parse::<u32>().ok());
            matches!(code.map(|code| code & 0xff), Some(5 | 6 | 8 | 10 | 13 | 14))
        }
        _ => false,
    }
}

fn migrator() -> Migrator {
    let initial = Migration::new(
        1,
        "initial".into(),
        MigrationType::Simple,
        include_str!("../../../migrations/sqlite/0001_initial.sql").into_sql_str(),
        false,
    );
    Migrator::with_migrations(vec![initial])
}

/// Takes the database for this process. The lock ends with the process, however that ends.
fn lock(path: &Path) -> Result<File, OpenError> {
    let io = |source| OpenError::Io { path: path.to_path_buf(), source };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(io)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = File::options().create(true).append(true).open(name).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_path_buf())),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

/// Looks at what SQLite really does: a kill cannot show a wrong setting, a power cut would.
async fn check_durable(connection: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    let unusable = |source| OpenError::Unusable { path: path.to_path_buf(), source };
    let journal: String =
        sqlx::query_scalar("pragma journal_mode").fetch_one(&mut *connection).await.map_err(unusable)?;
    let synchronous: i64 = sqlx::query_scalar("pragma synchronous").fetch_one(connection).await.map_err(unusable)?;
    if journal == "wal" && synchronous >= 2 {
        return Ok(());
    }
    let setting = format!("journal_mode={journal} and synchronous={synchronous}");
    Err(OpenError::Unsafe { path: path.to_path_buf(), setting })
}

async fn load_history(connection: &mut SqliteConnection) -> sqlx::Result<History> {
    sqlx::query("insert into history (only_one, id) values (1, $1) on conflict do nothing")
        .bind(History::fresh().as_str())
        .execute(&mut *connection)
        .await?;
    let row = sqlx::query("select id from history").fetch_one(connection).await?;
    Ok(History::trusted(row.try_get(0)?))
}
