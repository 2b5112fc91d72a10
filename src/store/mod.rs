//! Durable truth: users, rooms, members and each room's log. Every method is one use in one transaction; what it
//! returns of a write was committed before. It may not cache, publish or know of sockets.
//!
//! What holds for every write in a room: under the room's lock it takes the next `rev` (and `seq`, for a new
//! message), checks by the permission table what the caller may do *now*, and either all of it is there after
//! COMMIT or none. Roll-back returns the numbers, so `seq` has no holes.

//!
//! It runs on SQLite and on PostgreSQL. `database` lets both be asked by one text, `writer` gathers writes into
//! transactions, `sqlite` and `postgres` open one and know its errors; the rest is statements, by what they are about.

mod access;
mod administration;
mod adoption;
mod database;
mod inspection;
mod members;
mod messages;
mod moderation;
mod old;
mod opening;
mod postgres;
mod quota;
mod reading;
mod retention;
mod rooms;
mod rows;
mod sending;
mod sqlite;
mod transfer;
mod users;
mod writer;

use std::fs::File;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::error::Result;
use crate::model::{Commit, Head, History, HistoryFor, Member, Message, Role, RoomId, RoomKind, UserId};
use database::Database;
use writer::{Turn, Writer};

pub use administration::{Erased, WantedMember, WantedRoom};
pub use adoption::{Adopted, ForeignMember, ForeignRoom, MembersAdopted, Part, Positions};
pub use inspection::{Inspection, PostgresFacts, SchemaFacts, SqliteFacts, inspect};
pub use moderation::Ruling;
pub use old::{OldCounts, OldMember, OldMessage, OldRoom, OldSource, OldUser};
pub use opening::{OpenError, Settings};
pub use retention::{Bounds, Due, Trimmed};
pub use transfer::{
    BanRecord, CaseRecord, ExpiredRecord, Export, ImportBegun, MemberRecord, Merged, MessageRecord, QuotaRecord,
    ReactionRecord, RoomRecord, UserRecord, hex,
};

/// Where a page of rooms goes on: after the room of this time and id.
pub type RoomCursor = (i64, RoomId);

/// A write that answers with a message.
#[derive(Debug, Clone)]
pub struct Written {
    /// The message as it is now.
    pub message: Arc<Message>,
    /// The history it belongs to.
    pub history: History,
    /// What it changed; nothing when the same was done before.
    pub commit: Option<Commit>,
}

/// Which messages of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PageQuery {
    /// The last ones.
    Newest,
    /// Those before a message, nearest first dropped last: the page that ends just before `seq`.
    Before(u64),
    /// Those after a message.
    After(u64),
    /// Half before, half from a message on.
    Around(u64),
    /// Those that changed after a `rev`, by `rev`.
    Since(u64),
}

/// Part of a room's log, read in one snapshot with the room's head and the reader's membership.
#[derive(Debug, Clone)]
pub struct Page {
    /// By `seq`; of [`PageQuery::Since`] by `rev`.
    pub messages: Vec<Arc<Message>>,
    /// More in the direction asked for; of [`PageQuery::Around`], before it.
    pub has_more: bool,
    /// The room's head in this snapshot.
    pub head: Head,
    /// The reader's membership in this snapshot.
    pub member: Member,
}

impl Page {
    /// Up to which `rev` one who took this page is complete, if it moves the cursor at all: the last row's while
    /// more follows, else the snapshot's.
    pub fn rev(&self, query: PageQuery) -> u64 {
        match (query, self.messages.last()) {
            (PageQuery::Since(_), Some(last)) if self.has_more => last.rev,
            _ => self.head.rev,
        }
    }
}

/// A room to be made.
#[derive(Debug, Clone)]
pub struct NewRoom {
    /// Its id; made up if absent.
    pub id: Option<RoomId>,
    /// Its kind.
    pub kind: RoomKind,
    /// What the application ties it to.
    pub key: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// What the application keeps with it.
    pub metadata: Option<Box<RawValue>>,
    /// From where members see the log.
    pub history_for: HistoryFor,
    /// Who is in it beside its maker.
    pub member_ids: Vec<UserId>,
}

/// What of a room to change; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct RoomPatch {
    /// Another title, or none.
    pub title: Option<Option<String>>,
    /// Other metadata, or none.
    pub metadata: Option<Option<Box<RawValue>>>,
    /// Other seconds between two messages of one member; 0: no such limit.
    pub slow_mode_seconds: Option<u32>,
}

/// How far one has read.
#[derive(Debug, Clone)]
pub enum ReadTo {
    /// To the last message.
    Head,
    /// To this one.
    Seq(u64),
    /// To the highest of these.
    Messages(Vec<crate::model::MessageId>),
}

/// A room as a user's room list needs it.
#[derive(Debug, Clone)]
pub struct UserRoom {
    /// The room.
    pub room_id: RoomId,
    /// Its head.
    pub head: Head,
    /// The user's membership.
    pub member: Member,
}

/// What to do with a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberChange {
    /// Add them, with this role or as a plain member; give a member this role.
    Put(Option<Role>),
    /// Remove them, or leave.
    Remove,
    /// Remove them if they are there, and keep them from coming back.
    Ban,
}

/// The database. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Store {
    database: Database,
    writer: Writer,
    history: History,
    /// Of SQLite: held for as long as the database is open, so that a second process is refused.
    _lock: Option<Arc<File>>,
}

impl Store {
    /// Opens the database, and makes or updates its schema unless that is not wanted.
    pub async fn open(settings: &Settings) -> Result<Self, OpenError> {
        let (database, lock) = open(settings).await?;
        let writer = Writer::new(database.clone(), settings.commit_batch.max(1), settings.deadline);
        let mut store = Self { database, writer, history: History::fresh(), _lock: lock.map(Arc::new) };
        store.history = store.first_history().await.map_err(|error| OpenError::Prepare(error.chain()))?;
        Ok(store)
    }

    /// This database's history, as it was when it was opened.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// This database's history now.
    pub async fn current_history(&self) -> Result<History> {
        let mut connection = self.database.reading().await?;
        Ok(History::trusted(connection.query(HISTORY).fetch_one().await?.try_get("id")?))
    }

    /// Gives the database a new history, as it needs after a restore: no cursor of before means anything any more.
    pub async fn renew_history(&self) -> Result<History> {
        self.set_history(
            "insert into history (only_one, id) values (1, $1) on conflict (only_one) do update set id = excluded.id",
        )
        .await
    }

    async fn first_history(&self) -> Result<History> {
        let mut connection = self.database.reading().await?;
        match connection.query(HISTORY).fetch_optional().await? {
            Some(row) => Ok(History::trusted(row.try_get("id")?)),
            None => self.set_history("insert into history (only_one, id) values (1, $1) on conflict do nothing").await,
        }
    }

    async fn set_history(&self, statement: &'static str) -> Result<History> {
        self.writer
            .run(Turn::Free, move |tx| {
                Box::pin(async move {
                    tx.query(statement).bind(History::fresh().as_str()).execute().await?;
                    Ok(History::trusted(tx.query(HISTORY).fetch_one().await?.try_get("id")?))
                })
            })
            .await
    }

    /// The key that signs the tokens of a demo, made the first time it is asked for.
    pub async fn demo_key(&self) -> Result<String> {
        const KEY: &str = "select key from demo_key";
        // 2 x 122 random bits.
        let fresh = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        self.writer
            .run(Turn::Free, move |tx| {
                Box::pin(async move {
                    let insert = tx.query("insert into demo_key (only_one, key) values (1, $1) on conflict do nothing");
                    insert.bind(fresh).execute().await?;
                    tx.query(KEY).fetch_one().await?.try_get("key")
                })
            })
            .await
    }

    /// Whether no other instance can write to it.
    pub fn is_alone(&self) -> bool {
        self.database.is_alone()
    }

    /// Waits for writes under way and closes the database.
    pub async fn close(&self) {
        self.writer.close().await;
        self.database.close().await;
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        self.database.reading().await?.query("select 1").execute().await.map(drop)
    }
}

const HISTORY: &str = "select id from history where only_one = 1";

/// Brings the database's schema up to date.
pub async fn migrate(settings: &Settings) -> Result<(), OpenError> {
    let (database, _lock) = open(&Settings { auto_migrate: true, ..settings.clone() }).await?;
    database.close().await;
    Ok(())
}

async fn open(settings: &Settings) -> Result<(Database, Option<File>), OpenError> {
    if settings.url.starts_with("sqlite:") {
        let (database, lock) = sqlite::open(settings).await?;
        Ok((database, Some(lock)))
    } else {
        Ok((postgres::open(settings).await?, None))
    }
}
