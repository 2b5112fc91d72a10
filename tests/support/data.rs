//! What a server of the tests keeps its data in. `TIDINGS_TEST_BACKEND` says which way the suites run that ask for
//! none: `alone` (the default) on SQLite, `cluster` on PostgreSQL and Redis.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;

use super::services::{Postgres, Redis};

/// A place of its own for a server's data.
pub(crate) enum Data {
    /// A folder for SQLite.
    Alone(TempDir),
    /// A database and a prefix on the servers that the tests share.
    Cluster(Database),
}

/// A database on the shared PostgreSQL, and a prefix on the shared Redis; removed when dropped.
pub(crate) struct Database {
    pub(crate) name: String,
}

impl Database {
    /// An empty one.
    pub(crate) async fn create() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Postgres::shared().create(&name).await;
        Self { name }
    }

    pub(crate) fn url(&self) -> String {
        Postgres::shared().socket_url(&self.name)
    }

    /// In front of every name in Redis.
    pub(crate) fn prefix(&self) -> String {
        format!("{}:", self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        Postgres::shared().remove_later(&self.name);
    }
}

/// Whether the suites run on PostgreSQL and Redis.
pub(crate) fn as_cluster() -> bool {
    let backend = std::env::var_os("TIDINGS_TEST_BACKEND").unwrap_or("alone".into());
    match backend.to_str() {
        Some("alone") => false,
        Some("cluster") => true,
        _ => panic!("TIDINGS_TEST_BACKEND is alone or cluster, not {}", backend.display()),
    }
}

impl Data {
    pub(crate) async fn create() -> Self {
        if as_cluster() {
            return Self::Cluster(Database::create().await);
        }
        Self::Alone(tempfile::tempdir().unwrap())
    }

    /// The flags that lead a server to it.
    pub(crate) fn flags(&self) -> Vec<String> {
        match self {
            Self::Alone(folder) => vec!["--database-url".to_owned(), database_url(folder)],
            Self::Cluster(database) => {
                let (url, redis, prefix) = (database.url(), Redis::shared().socket_url(), database.prefix());
                let flags = ["--database-url", &url, "--redis-url", &redis, "--redis-prefix", &prefix];
                // A machine that is busy with other tests is no database that hangs.
                let patient = ["--database-deadline-ms", "20000"];
                flags.into_iter().chain(patient).map(ToOwned::to_owned).collect()
            }
        }
    }

    /// The database as an operator's shell would open it.
    pub(crate) async fn beside(&self) -> Beside {
        match self {
            Self::Alone(folder) => Beside::Sqlite(SqliteConnection::connect(&database_url(folder)).await.unwrap()),
            Self::Cluster(database) => Beside::Postgres(Postgres::shared().connect(&database.name).await),
        }
    }
}

/// The setting's value for SQLite in this folder.
pub(crate) fn database_url(folder: &TempDir) -> String {
    sqlite_url(folder.path())
}

fn sqlite_url(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("tidings.db").display())
}

/// A database beside the server that uses it, and the faults that can be made in it.
pub(crate) enum Beside {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Beside {
    /// Statements that both databases know.
    pub(crate) async fn run(&mut self, statements: &str) {
        let done = match self {
            Self::Sqlite(database) => {
                sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(database).await.map(drop)
            }
            Self::Postgres(database) => {
                sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(database).await.map(drop)
            }
        };
        done.unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// A statement that the database itself has to refuse, whatever the service does.
    pub(crate) async fn assert_refuses(&mut self, statement: &str) {
        let sql = AssertSqlSafe(statement.to_owned());
        let refused = match self {
            Self::Sqlite(database) => sqlx::raw_sql(sql).execute(database).await.is_err(),
            Self::Postgres(database) => sqlx::raw_sql(sql).execute(database).await.is_err(),
        };
        assert!(refused, "the database lets through: {statement}");
    }

    /// From now on this fails, such as `insert on message`, for rows of which `when` is true.
    pub(crate) async fn fail(&mut self, event: &str, when: Option<&str>) {
        let when = when.map(|condition| format!("when ({condition})")).unwrap_or_default();
        let statements = match self {
            Self::Sqlite(_) => {
                format!("create trigger fault before {event} {when} begin select raise(abort, 'fault'); end")
            }
            Self::Postgres(_) => {
                let raise = "create or replace function fault() returns trigger language plpgsql as
                     $$ begin raise exception 'fault'; end $$";
                format!("{raise}; create trigger fault before {event} for each row {when} execute function fault()")
            }
        };
        self.run(&statements).await;
    }

    /// From now on COMMIT itself fails in a transaction that writes a message.
    pub(crate) async fn fail_commits(&mut self) {
        let statements = match self {
            Self::Sqlite(_) => {
                "create table parent (id integer primary key);
                 create table child (id integer references parent (id) deferrable initially deferred);
                 create trigger fault after insert on message begin insert into child values (1); end"
            }
            Self::Postgres(_) => {
                "create or replace function fault() returns trigger language plpgsql as
                     $$ begin raise exception 'fault'; end $$;
                 create constraint trigger fault after insert on message deferrable initially deferred
                     for each row execute function fault()"
            }
        };
        self.run(statements).await;
    }

    /// Ends what `fail` or `fail_commits` began on a table.
    pub(crate) async fn heal(&mut self, table: &str) {
        let statement = match self {
            Self::Sqlite(_) => "drop trigger fault".to_owned(),
            Self::Postgres(_) => format!("drop trigger fault on {table}"),
        };
        self.run(&statement).await;
    }

    /// Keeps every writer waiting, while readers go on.
    pub(crate) async fn hold(&mut self) {
        let statements = match self {
            Self::Sqlite(_) => "begin immediate",
            Self::Postgres(_) => "begin; lock table room in exclusive mode",
        };
        self.run(statements).await;
    }

    /// Lets them go on.
    pub(crate) async fn release(&mut self) {
        self.run("rollback").await;
    }

    /// Ends the connection.
    pub(crate) async fn close(self) {
        match self {
            Self::Sqlite(database) => database.close().await.unwrap(),
            Self::Postgres(database) => database.close().await.unwrap(),
        }
    }
}
