//! SQLite: one file, one process, one writer. WAL with `synchronous=FULL`, so that what was committed survives a
//! power cut; readers see snapshots and never wait for the writer.

use std::fs::{File, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::database::{Database, Pool};
use super::opening::{self, OpenError, Settings};

/// Connections that read. Each is a thread, and reads are short.
const READERS: u32 = 4;
/// How long a transaction may take: a disk of one's own is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "initial", include_str!("../../migrations/sqlite/0001_initial.sql")),
    (2, "demo key", include_str!("../../migrations/sqlite/0002_demo_key.sql")),
    (3, "statistics", include_str!("../../migrations/sqlite/0003_statistics.sql")),
    (4, "access", include_str!("../../migrations/sqlite/0004_access.sql")),
    (5, "moderation", include_str!("../../migrations/sqlite/0005_moderation.sql")),
    (6, "system user", include_str!("../../migrations/sqlite/0006_system_user.sql")),
];

/// Opens the database of a `sqlite:` address, and makes it if it is not there. It is this process's own for as long as
/// the file returned is open.
pub(super) async fn open(settings: &Settings) -> Result<(Database, File), OpenError> {
    let (options, path) = options(&settings.url)?;
    let lock = lock(&path)?;
    let place = path.display().to_string();
    let unusable = |source| OpenError::Unusable { place: place.clone(), source };
    let pool = |connections| {
        // What lies idle costs nothing here, and a file does not go away.
        let pool = SqlitePoolOptions::new().max_connections(connections).idle_timeout(None).max_lifetime(None);
        pool.test_before_acquire(false).acquire_timeout(PATIENCE)
    };
    let writers = pool(1).connect_with(options.clone().create_if_missing(true)).await.map_err(unusable)?;
    let mut connection = writers.acquire().await.map_err(unusable)?;
    let migrator = opening::migrator(MIGRATIONS);
    if let Some(missing) = opening::missing(&mut *connection, &migrator, &place).await? {
        opening::migrate(&mut *connection, &migrator, &missing, settings, &place).await?;
    }
    check_durable(&mut connection, &place).await?;
    // After the writer: one that only reads cannot make the files beside the database.
    let readers = pool(READERS).connect_with(options.read_only(true)).await.map_err(unusable)?;
    let database = Database {
        readers: Pool::Sqlite(readers),
        writers: Pool::Sqlite(writers),
        writing: 1,
        read_within: settings.deadline,
        write_within: PATIENCE,
    };
    Ok((database, lock))
}

pub(super) fn options(url: &str) -> Result<(SqliteConnectOptions, PathBuf), OpenError> {
    let options = SqliteConnectOptions::from_str(url).map_err(|e| OpenError::Address(e.to_string()))?;
    let path = options.get_filename().to_path_buf();
    if path.as_os_str().is_empty() || path.to_string_lossy().contains(":memory:") {
        return Err(OpenError::Address("needs a file, such as sqlite:./data/tidings.db".to_owned()));
    }
    let options = options
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
        .foreign_keys(true)
        // What undoes a part of a transaction is gone with it, and needs no file.
        .pragma("temp_store", "memory")
        .disable_statement_logging();
    Ok((options, path))
}

/// Whether the failure may pass by itself, by its code: BUSY, LOCKED, READONLY, IOERR, FULL or CANTOPEN.
/// <https://sqlite.org/rescode.html>
pub(super) fn is_passing(code: &str) -> bool {
    matches!(code.parse::<u32>().map(|code| code & 0xff), Ok(5 | 6 | 8 | 10 | 13 | 14))
}

/// Takes the database for this process. The lock ends with the process, however that ends.
fn lock(path: &Path) -> Result<File, OpenError> {
    let io = |source| OpenError::Io { path: path.to_path_buf(), source };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(io)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    // What people wrote concerns no other user of this machine; SQLite gives its own files the mode of the database.
    let private = |path: &Path| File::options().create(true).append(true).mode(0o600).open(path).map_err(io);
    let file = private(Path::new(&name))?;
    match file.try_lock() {
        Ok(()) => private(path).map(|_| file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_path_buf())),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

/// Looks at what SQLite really does: a kill cannot show a wrong setting, a power cut would.
async fn check_durable(connection: &mut SqliteConnection, place: &str) -> Result<(), OpenError> {
    let unusable = |source| OpenError::Unusable { place: place.to_owned(), source };
    let journal: String =
        sqlx::query_scalar("pragma journal_mode").fetch_one(&mut *connection).await.map_err(unusable)?;
    let synchronous: i64 = sqlx::query_scalar("pragma synchronous").fetch_one(connection).await.map_err(unusable)?;
    if journal == "wal" && synchronous >= 2 {
        return Ok(());
    }
    let setting = format!("journal_mode={journal} and synchronous={synchronous}");
    Err(OpenError::Unsafe { place: place.to_owned(), setting })
}
