//! The store's own promises, asked of it without a server in front: the same on both databases, and on PostgreSQL with
//! the plans that it chooses.

mod administration;
mod contract;
mod opening;
mod plans;
mod quota;
mod retention;
mod together;

use std::time::Duration;

use tempfile::TempDir;
use tidings::model::{
    Caller, Claims, ContentType, Credential, Draft, HistoryFor, MessageId, RoomId, RoomKind, Timestamp, UserId,
};
use tidings::store::{NewRoom, Settings, Store};

use crate::support::{Database, Postgres, database_url, eventually};

/// A database of its own, and one or two stores on it, as two instances would have them.
struct Stores {
    stores: Vec<Store>,
    data: Data,
}

enum Data {
    Sqlite { _folder: TempDir },
    Postgres { database: Database },
}

impl Stores {
    /// On either database: alone on SQLite, two on PostgreSQL.
    async fn both() -> [Self; 2] {
        [Self::sqlite().await, Self::postgres().await]
    }

    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&settings(database_url(&folder))).await.unwrap();
        // A second one is refused there, so that the same one stands for both.
        Self { stores: vec![store.clone(), store], data: Data::Sqlite { _folder: folder } }
    }

    async fn postgres() -> Self {
        let database = Database::create().await;
        let settings = settings(database.url());
        // At the same time: one makes the schema, the other finds it.
        let (one, two) = tokio::join!(Store::open(&settings), Store::open(&settings));
        Self { stores: vec![one.unwrap(), two.unwrap()], data: Data::Postgres { database } }
    }

    /// The n-th store, counted on from the first again.
    fn at(&self, n: usize) -> Store {
        self.stores[n % self.stores.len()].clone()
    }

    /// Users that both know.
    async fn users<const N: usize>(&self, names: [&str; N]) -> [UserId; N] {
        for name in names {
            self.at(0).ensure_user(&caller(name)).await.unwrap();
        }
        names.map(user)
    }

    /// A GROUP of these, the first its owner.
    async fn group(&self, id: &str, users: &[UserId]) -> RoomId {
        let new = NewRoom { id: Some(room(id)), member_ids: users.to_vec(), ..new_room(RoomKind::Group) };
        self.at(0).create_room(&users[0], new).await.unwrap().0
    }

    /// Ends every connection that has lain idle for long enough to be tried before it is used again.
    async fn end_connections(&self) {
        let Data::Postgres { database } = &self.data else { panic!("a file has no connections") };
        // First its own ones are found, or PostgreSQL might end those of other databases before it looks whose they are.
        let end = "with ours as materialized (select pid, state_change from pg_stat_activity
                       where datname = current_database() and application_name = 'tidings')
                   select count(*) from ours
                   where state_change > clock_timestamp() - interval '100 ms' or pg_terminate_backend(pid)";
        eventually("no connection is left", || async {
            let mut shell = Postgres::shared().connect(&database.name).await;
            let left: i64 = sqlx::query_scalar(end).fetch_one(&mut shell).await.unwrap();
            (left == 0).then_some(())
        })
        .await;
    }

    async fn close(self) {
        for store in &self.stores {
            store.close().await;
        }
    }
}

/// As the service opens one, with more patience: what is slow here is the machine.
fn settings(url: String) -> Settings {
    Settings {
        url,
        auto_migrate: true,
        connections: 16,
        deadline: Duration::from_secs(10),
        commit_batch: 64,
        allow_unsafe: false,
    }
}

fn user(name: &str) -> UserId {
    name.parse().unwrap()
}

fn room(name: &str) -> RoomId {
    name.parse().unwrap()
}

fn caller(name: &str) -> Caller {
    let expires_at = Timestamp::now();
    let credential = Credential { token_id: None, session_id: None, issued_at: None, expires_at };
    Caller { id: user(name), claims: Claims { name: Some(name.to_owned()), ..Claims::default() }, credential }
}

fn new_room(kind: RoomKind) -> NewRoom {
    let history_for = HistoryFor::All;
    NewRoom { id: None, kind, key: None, title: None, metadata: None, history_for, member_ids: Vec::new() }
}

fn draft(content: &str) -> Draft {
    draft_as(MessageId::fresh(), content)
}

fn draft_as(id: MessageId, content: &str) -> Draft {
    Draft { id, content: content.to_owned(), content_type: ContentType::Text, reply_to: None, metadata: None }
}
