//! What an operator does from the terminal, with the real program on real databases: look whether all is well, read and
//! write in a room, take rooms out and put them in, and move in from the old application.

mod check;
mod old;
mod rooms;
mod terminal;
mod trimmed;

use std::net::SocketAddr;

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection};
use tempfile::TempDir;

use crate::support::{Api, Database, Postgres, Process, SECRET, database_url, token};

/// A place for what is imported, exported and served.
enum Place {
    Sqlite(TempDir),
    Postgres(Database),
}

impl Place {
    fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    async fn postgres() -> Self {
        Self::Postgres(Database::create().await)
    }

    /// One on either database.
    async fn both() -> [Self; 2] {
        [Self::sqlite(), Self::postgres().await]
    }

    fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => database_url(folder),
            Self::Postgres(database) => database.url(),
        }
    }

    /// The program on it, to its end: how it ended, what it printed, and what it said on standard error.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, Vec<String>, String) {
        let url = self.url();
        tidings(arguments, &[("DATABASE_URL", &url)], "")
    }

    /// The same where it has to go well.
    fn done(&self, arguments: &[&str]) -> Vec<String> {
        let (code, lines, errors) = self.run(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {lines:#?}\n{errors}");
        lines
    }

    /// The same where it has to fail; what it said.
    fn fails(&self, arguments: &[&str]) -> String {
        let (code, lines, errors) = self.run(arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {lines:#?}\n{errors}");
        errors
    }

    /// The service on it.
    fn serve(&self, environment: &[(&str, &str)]) -> (Process, SocketAddr) {
        let url = self.url();
        // A machine that is busy with other tests is no database that hangs.
        let patient = ("DATABASE_DEADLINE_MS", "20000");
        let mut all =
            vec![("HOST", "127.0.0.1"), ("PORT", "0"), ("DATABASE_URL", &url), ("JWT_SECRET", SECRET), patient];
        all.extend_from_slice(&[("LIMITS", "off")]);
        all.extend_from_slice(environment);
        let mut process = Process::start(&["serve"], &all);
        let address = process.address();
        (process, address)
    }

    /// Numbers that a statement finds, a list for each row.
    async fn numbers(&self, statement: &str) -> Vec<Vec<i64>> {
        let sql = AssertSqlSafe(statement.to_owned());
        match self {
            Self::Sqlite(folder) => {
                let mut database = SqliteConnection::connect(&database_url(folder)).await.unwrap();
                let rows = sqlx::query(sql).fetch_all(&mut database).await.unwrap();
                database.close().await.unwrap();
                rows.iter().map(|row| (0..row.len()).map(|n| row.get(n)).collect()).collect()
            }
            Self::Postgres(database) => {
                let mut database: PgConnection = Postgres::shared().connect(&database.name).await;
                let rows = sqlx::query(sql).fetch_all(&mut database).await.unwrap();
                rows.iter().map(|row| (0..row.len()).map(|n| row.get(n)).collect()).collect()
            }
        }
    }

    /// What has to hold of every room, however it came here.
    async fn assert_whole(&self) {
        let wrong = self
            .numbers(
                "select r.last_seq, r.rev, r.oldest_seq - 1 + count(m.seq), coalesce(max(m.seq), r.oldest_seq - 1),
                        coalesce(max(m.rev), 0), r.oldest_seq - 1 + count(distinct m.id),
                        coalesce(max(m.created_at), r.expired_at, -1) - coalesce(max(r.last_message_at), -1),
                        r.member_count - (select count(*) from member x where x.room_id = r.id)
                 from room r left join message m on m.room_id = r.id
                 group by r.id, r.last_seq, r.rev, r.member_count, r.oldest_seq, r.expired_at",
            )
            .await
            .into_iter()
            .filter(|row| {
                let [last_seq, rev, count, seq, max_rev, ids, time, members] = row[..] else { return true };
                last_seq != count || last_seq != seq || last_seq != ids || rev < max_rev || time != 0 || members != 0
            });
        assert_eq!(wrong.collect::<Vec<_>>(), Vec::<Vec<i64>>::new(), "rooms with holes, or heads that are wrong");
        let unordered = self
            .numbers(
                "select m.seq from message m join message n on n.room_id = m.room_id and n.seq = m.seq + 1
                 where n.created_at <= m.created_at",
            )
            .await;
        assert!(unordered.is_empty(), "times that do not increase: {unordered:?}");
        let beyond = "select m.last_read_seq from member m join room r on r.id = m.room_id
             where m.last_read_seq > r.last_seq or m.joined_seq > r.last_seq";
        assert!(self.numbers(beyond).await.is_empty(), "members who are ahead of their room");
    }
}

/// The program, to its end.
fn tidings(arguments: &[&str], environment: &[(&str, &str)], input: &str) -> (Option<i32>, Vec<String>, String) {
    tokio::task::block_in_place(|| {
        let (status, lines, errors) = Process::fed(arguments, environment, input).output();
        (status.code(), lines, errors)
    })
}

/// HTTP as this user.
fn api(address: SocketAddr, user: &str) -> Api {
    Api::new(address, Some(token(user)))
}
