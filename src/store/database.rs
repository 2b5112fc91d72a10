//! The two databases, asked by one text. A statement is written once, with `$1` for its parameters; where the dialects
//! differ, [`Sql`] holds both texts, and the macros beside it are all there is of that. Every statement is counted
//! and has a deadline here, and a connection of which it is not known what it is doing is closed, never used again.

use std::future::Future;
use std::time::Duration;

use serde::Serialize;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnection, PgDatabaseError, PgPool, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{AssertSqlSafe, Decode, Encode, Executor, Postgres, Row as _, Sqlite, Type};
use tokio::time::{Instant, timeout_at};

use super::{postgres, sqlite};
use crate::error::{Error, Result};
use crate::model::RoomId;
use crate::telemetry;

/// A statement. Its two texts are the same, or nearly.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sql {
    pub(super) sqlite: &'static str,
    pub(super) postgres: &'static str,
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self { sqlite: text, postgres: text }
    }
}

/// A statement that asks for one of many: `in_list!("… where id ", "$2", " …")`, with the list as JSON. PostgreSQL
/// takes it as an array, so that it looks each up in the index whatever it guesses of their number.
macro_rules! in_list {
    ($before:expr, $list:literal, $after:literal) => {
        $crate::store::database::Sql {
            sqlite: concat!($before, "in (select value from json_each(", $list, "))", $after),
            postgres: concat!(
                $before,
                "= any (array(select json_array_elements_text(cast(",
                $list,
                " as json))))",
                $after
            ),
        }
    };
}

/// Statements done as one, in one round trip. Their parameters are numbered in common.
macro_rules! together {
    ($name:ident: $first:expr, $($other:ident: $next:expr,)* => $last:expr) => {
        $crate::store::database::Sql {
            sqlite: concat!($first, "; ", $($next, "; ",)* $last),
            postgres: concat!(
                "with ", stringify!($name), " as (", $first, ")",
                $(", ", stringify!($other), " as (", $next, ")",)* " ", $last
            ),
        }
    };
}

/// A statement about rows that are given as a JSON list of lists: `of_rows!("insert into … select value ->> 0, …", "$1",
/// "where …")`. `->>` gives text; where a column is none, the text is cast.
macro_rules! of_rows {
    ($before:expr, $list:literal, $after:expr) => {
        $crate::store::database::Sql {
            sqlite: concat!($before, " from json_each(", $list, ") x ", $after),
            postgres: concat!($before, " from json_array_elements(cast(", $list, " as json)) x ", $after),
        }
    };
}

pub(super) use {in_list, of_rows, together};

/// A list as a parameter of [`in_list`] or [`of_rows`].
pub(super) fn encode(rows: &impl Serialize) -> Result<String> {
    serde_json::to_string(rows).map_err(|e| Error::internal("encoding rows", e))
}

/// Under PostgreSQL's row lock nothing of the room moves until the transaction ends; others may still refer to it.
/// SQLite has one writer, and so a lock on everything.
const LOCK_ROOM: &str = "select 1 from room where id = $1 for no key update";

/// Takes SQLite's one lock at once, and not when it is first needed.
const BEGIN_SQLITE: &str = "begin immediate";

/// Connections to one of the two.
#[derive(Debug, Clone)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres {
        pool: PgPool,
        /// Whether a connection keeps its prepared statements.
        keeps_statements: bool,
    },
}

/// The database: connections that read, others that write, and how long either may take.
#[derive(Debug, Clone)]
pub(super) struct Database {
    pub(super) readers: Pool,
    pub(super) writers: Pool,
    /// How many there are of the latter.
    pub(super) writing: u32,
    /// How long a read may take.
    pub(super) read_within: Duration,
    /// How long a transaction may take.
    pub(super) write_within: Duration,
}

impl Database {
    /// A connection for reading.
    pub(super) async fn reading(&self) -> Result<Connection> {
        self.readers.take(Instant::now() + self.read_within).await
    }

    /// A connection whose statements all read one snapshot, for reads that are too long for one of them. Each part of
    /// it says by [`Connection::renew`] how long it may take.
    pub(super) async fn snapshot(&self) -> Result<Connection> {
        let mut connection = self.reading().await?;
        let text = match &connection.link {
            Link::Sqlite(_) => "begin",
            Link::Postgres(_, true) => "begin isolation level repeatable read read only",
            // Behind a proxy a connection that reads is in a transaction already.
            Link::Postgres(_, false) => "set transaction isolation level repeatable read, read only",
        };
        connection.command(text).await?;
        connection.state = State::Busy;
        Ok(connection)
    }

    /// A transaction. Its BEGIN tries the connection out: one that died while it lay idle is replaced.
    pub(super) async fn begin(&self) -> Result<Connection> {
        let until = Instant::now() + self.write_within;
        loop {
            let mut connection = self.writers.take(until).await?;
            match connection.begin().await {
                Err(Failure::Dead(_)) if Instant::now() < until => {}
                begun => return Ok(begun.map(|()| connection)?),
            }
        }
    }

    /// Whether nobody else can write to it.
    pub(super) fn is_alone(&self) -> bool {
        matches!(self.writers, Pool::Sqlite(_))
    }

    /// Waits for what is under way and closes all connections.
    pub(super) async fn close(&self) {
        // The writers last: of SQLite's, one that only reads cannot tidy up.
        for pool in [&self.readers, &self.writers] {
            match pool {
                Pool::Sqlite(pool) => pool.close().await,
                Pool::Postgres { pool, .. } => pool.close().await,
            }
        }
    }
}

impl Pool {
    async fn take(&self, until: Instant) -> Result<Connection> {
        // Boxed, because to connect takes 15 kB: everyone who may have to ask the database would carry them along, most of
        // whom find in memory what they look for.
        let taken = async {
            Ok::<_, sqlx::Error>(match self {
                Self::Sqlite(pool) => Link::Sqlite(Box::pin(pool.acquire()).await?),
                Self::Postgres { pool, keeps_statements } => {
                    Link::Postgres(Box::pin(pool.acquire()).await?, *keeps_statements)
                }
            })
        };
        let link = timeout_at(until, taken).await.map_err(|_| late())??;
        Ok(Connection { link, state: State::Idle, until })
    }
}

/// A connection to either database, for one use.
#[derive(Debug)]
pub(super) struct Connection {
    link: Link,
    state: State,
    until: Instant,
}

#[derive(Debug)]
enum Link {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>, bool),
}

/// What a connection is in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing: the next one may have it.
    Idle,
    /// A transaction of SQLite that begins with its first statement, and where it can in one call: each is two changes of
    /// thread.
    Due,
    /// A statement or a transaction.
    Busy,
    /// A transaction in which a statement failed, or worse.
    Failed,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !matches!(self.state, State::Idle | State::Due) {
            match &mut self.link {
                Link::Sqlite(link) => link.close_on_drop(),
                Link::Postgres(link, _) => link.close_on_drop(),
            }
        }
    }
}

impl Connection {
    /// Begins a statement.
    pub(super) fn query(&mut self, sql: impl Into<Sql>) -> Query<'_> {
        let begins = self.take_due();
        Query { begins, ..self.ask(sql.into(), "", "") }
    }

    /// Begins the first statement of a transaction, which gives rows. With SQLite it is also its BEGIN.
    pub(super) fn first_query(&mut self, sql: impl Into<Sql>) -> Query<'_> {
        let begins = if self.take_due() { [BEGIN_SQLITE, "; "].concat() } else { String::new() };
        self.ask(sql.into(), &begins, "")
    }

    /// Begins the last statement of a transaction. With SQLite it is also its COMMIT; how many rows it changes is
    /// not said, because SQLite counts those of the statement before for a COMMIT as well.
    pub(super) fn last_query(&mut self, sql: impl Into<Sql>) -> Query<'_> {
        let begins = self.take_due();
        let then = if matches!(self.link, Link::Sqlite(_)) { State::Idle } else { self.state };
        Query { begins, then, ..self.ask(sql.into(), "", "; commit") }
    }

    fn ask(&mut self, sql: Sql, begins: &str, ends: &str) -> Query<'_> {
        let asked = match &mut self.link {
            Link::Sqlite(link) => {
                let query = match (begins, ends) {
                    ("", "") => sqlx::query(sql.sqlite),
                    _ => sqlx::query(AssertSqlSafe([begins, sql.sqlite, ends].concat())),
                };
                Asked::Sqlite(query, link)
            }
            Link::Postgres(link, keep) => Asked::Postgres(sqlx::query(sql.postgres).persistent(*keep), link),
        };
        Query { asked, begins: false, then: self.state, state: &mut self.state, until: self.until }
    }

    /// Whether a transaction is to begin here, and from now on it has.
    fn take_due(&mut self) -> bool {
        let is_due = self.state == State::Due;
        if is_due {
            self.state = State::Busy;
        }
        is_due
    }

    /// What comes next may take this long.
    pub(super) fn renew(&mut self, within: Duration) {
        self.until = Instant::now() + within;
    }

    /// Takes the room's lock. It is held until the transaction ends if no savepoint was set before.
    pub(super) async fn lock_room(&mut self, room: &RoomId) -> Result<()> {
        self.query(LOCK_ROOM).bind(room.as_str()).execute().await.map(drop)
    }

    async fn begin(&mut self) -> Result<(), Failure> {
        if let Link::Sqlite(_) = self.link {
            self.state = State::Due;
            return Ok(());
        }
        // Whatever the database's own default is: each statement sees what was committed before it.
        self.command("begin isolation level read committed read write").await?;
        self.state = State::Busy;
        Ok(())
    }

    /// Ends the part of the transaction before, if there is one, and begins a part that can be undone by itself.
    pub(super) async fn next_part(&mut self, first: bool) -> Result<()> {
        Ok(self.command(if first { "savepoint part" } else { "release savepoint part; savepoint part" }).await?)
    }

    /// Undoes what happened since the part began.
    pub(super) async fn undo_part(&mut self) -> Result<()> {
        // SQLite ends a transaction by itself when the disk is full; there is then nothing to go back to, and the whole
        // batch is refused for the reason the part found.
        let undone = self.command("rollback to savepoint part").await;
        undone.map_err(|failure| Error::unavailable("undoing a part of a batch", Error::from(failure)))?;
        self.state = State::Busy;
        Ok(())
    }

    /// Whether every statement of the transaction succeeded. PostgreSQL takes COMMIT for ROLLBACK if one did not, and
    /// does not call that an error.
    pub(super) fn check(&self) -> Result<()> {
        match self.state {
            State::Failed => Err(Error::internal("writing to the database", "a job went on after a failed statement")),
            State::Idle | State::Due | State::Busy => Ok(()),
        }
    }

    /// Makes the transaction last: once this returns, it is on the disk.
    pub(super) async fn commit(mut self) -> Result<()> {
        self.check()?;
        // Its last statement may have done it, or there was none.
        if self.state == State::Busy {
            self.command("commit").await?;
        }
        self.state = State::Idle;
        Ok(())
    }

    /// Undoes the whole transaction.
    pub(super) async fn roll_back(mut self) -> Result<()> {
        if self.state != State::Due {
            self.command("rollback").await?;
        }
        self.state = State::Idle;
        Ok(())
    }

    /// Statements without parameters, in one round trip.
    async fn command(&mut self, text: &'static str) -> Result<(), Failure> {
        let begins = self.take_due();
        let Self { link, state, until } = self;
        let done = async {
            match link {
                Link::Sqlite(link) if begins => {
                    link.execute(AssertSqlSafe([BEGIN_SQLITE, "; ", text].concat())).await.map(drop)
                }
                Link::Sqlite(link) => link.execute(text).await.map(drop),
                Link::Postgres(link, _) => link.execute(text).await.map(drop),
            }
        };
        let then = *state;
        watched(done, state, then, *until).await
    }
}

/// What both databases take as a parameter.
pub(super) trait Bind<'q>: Encode<'q, Sqlite> + Type<Sqlite> + Encode<'q, Postgres> + Type<Postgres> {}
impl<'q, T: Encode<'q, Sqlite> + Type<Sqlite> + Encode<'q, Postgres> + Type<Postgres>> Bind<'q> for T {}

/// What both databases give as a value.
pub(super) trait Read<'r>: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres> {}
impl<'r, T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>> Read<'r> for T {}

/// A statement with its parameters, on its connection.
pub(super) struct Query<'c> {
    asked: Asked<'c>,
    state: &'c mut State,
    /// Whether its transaction begins before it.
    begins: bool,
    /// What the connection is in the middle of once it has succeeded.
    then: State,
    until: Instant,
}

enum Asked<'c> {
    Sqlite(sqlx::query::Query<'static, Sqlite, SqliteArguments>, &'c mut SqliteConnection),
    Postgres(sqlx::query::Query<'static, Postgres, PgArguments>, &'c mut PgConnection),
}

impl Query<'_> {
    /// Gives the next parameter.
    pub(super) fn bind<'q>(mut self, value: impl Bind<'q>) -> Self {
        self.asked = match self.asked {
            Asked::Sqlite(query, link) => Asked::Sqlite(query.bind(value), link),
            Asked::Postgres(query, link) => Asked::Postgres(query.bind(value), link),
        };
        self
    }

    /// Runs it; returns how many rows it changed.
    pub(super) async fn execute(self) -> Result<u64> {
        let done = async {
            Ok(match self.asked {
                Asked::Sqlite(query, link) => {
                    begin(link, self.begins).await?;
                    query.execute(link).await?.rows_affected()
                }
                Asked::Postgres(query, link) => query.execute(link).await?.rows_affected(),
            })
        };
        Ok(watched(done, self.state, self.then, self.until).await?)
    }

    /// All rows.
    pub(super) async fn fetch_all(self) -> Result<Vec<Row>> {
        let rows = async {
            Ok(match self.asked {
                Asked::Sqlite(query, link) => {
                    begin(link, self.begins).await?;
                    query.fetch_all(link).await?.into_iter().map(Row::Sqlite).collect()
                }
                Asked::Postgres(query, link) => query.fetch_all(link).await?.into_iter().map(Row::Postgres).collect(),
            })
        };
        Ok(watched(rows, self.state, self.then, self.until).await?)
    }

    /// The row, if there is one.
    pub(super) async fn fetch_optional(self) -> Result<Option<Row>> {
        Ok(self.fetch_all().await?.pop())
    }

    /// The row of a statement that always has one.
    pub(super) async fn fetch_one(self) -> Result<Row> {
        Ok(self.fetch_optional().await?.ok_or(sqlx::Error::RowNotFound)?)
    }
}

async fn begin(link: &mut SqliteConnection, begins: bool) -> sqlx::Result<()> {
    if begins {
        link.execute(BEGIN_SQLITE).await?;
    }
    Ok(())
}

/// A row of either database.
#[derive(Debug)]
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    /// The value in a column.
    pub(super) fn try_get<'r, T: Read<'r>>(&'r self, column: &str) -> Result<T> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }
}

/// Why a statement did not succeed.
#[derive(Debug)]
enum Failure {
    /// It was refused.
    Refused(sqlx::Error),
    /// The connection is gone.
    Dead(sqlx::Error),
    /// There was no answer in time.
    Late,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) | Failure::Dead(error) => error.into(),
            Failure::Late => late(),
        }
    }
}

/// Waits for a statement no longer than until then. Should the wait itself be dropped, the connection stays marked as
/// busy, and so is closed with whatever it was doing.
async fn watched<T>(
    done: impl Future<Output = sqlx::Result<T>>,
    state: &mut State,
    then: State,
    until: Instant,
) -> Result<T, Failure> {
    let began = std::time::Instant::now();
    let before = std::mem::replace(state, State::Busy);
    let done = timeout_at(until, done).await;
    if let Some(counting) = telemetry::handles() {
        counting.queried(began);
    }
    *state = State::Failed;
    match done {
        Ok(Ok(value)) => {
            *state = then;
            Ok(value)
        }
        Ok(Err(error)) if is_dead(&error) => Err(Failure::Dead(error)),
        Ok(Err(error)) => {
            // Outside a transaction a refusal leaves nothing behind.
            if before == State::Idle {
                *state = State::Idle;
            }
            Err(Failure::Refused(error))
        }
        Err(_) => Err(Failure::Late),
    }
}

fn late() -> Error {
    Error::unavailable("waiting for the database", "it did not answer in time")
}

/// Whether the connection cannot be used any more.
fn is_dead(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.try_downcast_ref::<PgDatabaseError>().is_some_and(postgres::is_fatal),
        _ => false,
    }
}

/// Whether the failure may pass by itself, so that the caller is told to try again.
fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Tls(_) => true,
        sqlx::Error::Database(error) => match error.try_downcast_ref::<PgDatabaseError>() {
            Some(error) => postgres::is_passing(error),
            None => sqlite::is_passing(error.code().as_deref().unwrap_or_default()),
        },
        _ => is_dead(error),
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if is_passing(&error) {
            Self::unavailable("using the database", error)
        } else {
            Self::internal("using the database", error)
        }
    }
}
