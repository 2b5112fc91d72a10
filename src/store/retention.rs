//! How much of each room's log is kept: which rooms hold more, and taking the oldest messages away. What is removed is
//! always the beginning of a log, so one number, the first `seq` that is kept, says all of it. Each batch is a transaction
//! under the room's lock and takes a `rev`, by which those who follow the room learn of it in order.

use std::time::Duration;

use super::Store;
use super::database::Connection;
use super::rows::{find_room, number, small, sql};
use super::writer::Turn;
use crate::error::Result;
use crate::model::{Commit, Retention, RoomId, Timestamp, UserId};

/// Messages removed in one transaction: the room is locked meanwhile.
const BATCH: i64 = 500;
/// Rooms looked at in one statement.
const ROOMS: i64 = 1000;
/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// What is kept where a room says nothing itself.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Of rooms that say nothing.
    pub default: Retention,
    /// For this long every message is kept, whatever a room says: so long a send may be tried again and is known.
    pub at_least: Duration,
}

/// Rooms that hold more than they keep.
#[derive(Debug)]
pub struct Due {
    /// In order of id.
    pub rooms: Vec<RoomId>,
    /// After which room to go on; nothing at the end.
    pub next: Option<RoomId>,
}

/// What a batch took away.
#[derive(Debug)]
pub struct Trimmed {
    /// How many messages.
    pub messages: u64,
    /// Whether there may be more to take.
    pub more: bool,
    /// What those who follow the room have to learn; nothing if nothing was taken.
    pub commit: Option<Commit>,
}

/// When what is not to be kept was written, at the latest.
#[derive(Debug, Clone, Copy)]
struct Cutoffs {
    now: i64,
    settled: i64,
}

impl Cutoffs {
    fn at(now: Timestamp, bounds: Bounds) -> Self {
        let at_least = i64::try_from(bounds.at_least.as_micros()).unwrap_or(i64::MAX);
        Self { now: now.0, settled: now.0.saturating_sub(at_least) }
    }
}

/// As the columns say it: zero is no bound.
fn columns(retention: Retention) -> (i64, i64) {
    (retention.days.map_or(0, i64::from), retention.messages.map_or(0, sql))
}

/// A part of the rooms, by id, each with whether it holds more than it keeps. The oldest message is looked up by its key.
macro_rules! due {
    ($which:literal) => {
        concat!(
            "select p.id, case when x.created_at < $5
                 and (p.days > 0 and x.created_at < $6 - p.days * 86400000000
                      or p.messages > 0 and p.last_seq - p.oldest_seq >= p.messages) then 1 else 0 end as is_due
             from (select id, last_seq, oldest_seq, coalesce(keep_days, $3) as days,
                          coalesce(keep_messages, $4) as messages
                   from room where id > $1 ",
            $which,
            " order by id limit $2) p
             left join message x on x.room_id = p.id and x.seq = p.oldest_seq
             order by p.id"
        )
    };
}

impl Store {
    /// Whether a pass is due, and this instance is the one to make it; the next is due so long after this.
    pub async fn begin_retention(&self, now: Timestamp, every: Duration) -> Result<bool> {
        let next = now.after(every).0;
        self.writer
            .run(Turn::Free, move |tx| {
                Box::pin(async move {
                    let query = tx.query("update retention set next_at = $2 where only_one = 1 and next_at <= $1");
                    Ok(query.bind(now.0).bind(next).execute().await? > 0)
                })
            })
            .await
    }

    /// The next rooms that hold more than they keep, at this time.
    pub async fn due_rooms(&self, after: Option<&RoomId>, bounds: Bounds, now: Timestamp) -> Result<Due> {
        let Cutoffs { now, settled } = Cutoffs::at(now, bounds);
        let (days, messages) = columns(bounds.default);
        let all = days > 0 || messages > 0;
        let mut connection = self.database.reading().await?;
        let query = connection.query(if all { due!("") } else { due!("and keep_days is not null") });
        let query = query.bind(after.map_or("", RoomId::as_str)).bind(ROOMS).bind(days).bind(messages);
        let rows = query.bind(settled).bind(now).fetch_all().await?;
        let mut due = Due { rooms: Vec::new(), next: None };
        for row in &rows {
            let id = RoomId::trusted(row.try_get("id")?);
            if small(row, "is_due")? == 1 {
                due.rooms.push(id.clone());
            }
            due.next = Some(id);
        }
        due.next = due.next.filter(|_| i64::try_from(rows.len()).is_ok_and(|read| read == ROOMS));
        Ok(due)
    }

    /// Takes away the oldest messages of a room that are over its bounds at this time, a batch of them.
    pub async fn trim(&self, room: &RoomId, bounds: Bounds, now: Timestamp) -> Result<Trimmed> {
        let id = room.clone();
        self.writer.run(Turn::Own(room), move |tx| Box::pin(trim(tx, id, bounds, now))).await
    }
}

/// Sets how much of its log a room keeps, or leaves it to the service's settings.
pub(super) async fn set_retention(tx: &mut Connection, room: &RoomId, retention: Option<Retention>) -> Result<()> {
    let (days, messages) = retention.map(columns).unzip();
    let query = tx.query("update room set keep_days = $2, keep_messages = $3 where id = $1").bind(room.as_str());
    query.bind(days).bind(messages).execute().await.map(drop)
}

async fn trim(tx: &mut Connection, id: RoomId, bounds: Bounds, now: Timestamp) -> Result<Trimmed> {
    // What is over the bounds: since times grow with places, the beginning of the log.
    const OVER: &str = "select count(*) as messages, max(seq) as seq, max(rev) as rev, max(created_at) as at
         from (select seq, rev, created_at from message where room_id = $1 and seq >= $2 order by seq limit $3) x
         where created_at < $4 and (created_at < $5 or seq <= $6)";
    let Cutoffs { now, settled } = Cutoffs::at(now, bounds);
    let mut room = find_room(tx, &id, &UserId::system()).await?;
    let (days, messages) = columns(
        super::rooms::retention(
            &tx.query("select keep_days, keep_messages from room where id = $1").bind(id.as_str()).fetch_one().await?,
        )?
        .unwrap_or(bounds.default),
    );
    let aged = if days > 0 { now.saturating_sub(days * DAY) } else { i64::MIN };
    let surplus = if messages > 0 { sql(room.head.last_seq) - messages } else { 0 };
    let oldest = sql(room.head.oldest_seq);
    let query = tx.query(OVER).bind(id.as_str()).bind(oldest).bind(BATCH).bind(settled).bind(aged).bind(surplus);
    let over = query.fetch_one().await?;
    let removed = number(&over, "messages")?;
    if removed == 0 {
        return Ok(Trimmed { messages: 0, more: false, commit: None });
    }
    for statement in [
        "delete from reaction where room_id = $1 and seq between $2 and $3",
        // A case keeps what was said, and is to keep it no longer than the room.
        "delete from moderation_case where room_id = $1 and seq between $2 and $3",
        "delete from message where room_id = $1 and seq between $2 and $3",
    ] {
        tx.query(statement).bind(id.as_str()).bind(oldest).bind(sql(number(&over, "seq")?)).execute().await?;
    }
    room.head.oldest_seq = number(&over, "seq")? + 1;
    room.head.expired_rev = room.head.expired_rev.max(number(&over, "rev")?);
    room.head.rev += 1;
    tx.query("update room set oldest_seq = $2, expired_rev = $3, expired_at = $4, rev = $5 where id = $1")
        .bind(id.as_str())
        .bind(sql(room.head.oldest_seq))
        .bind(sql(room.head.expired_rev))
        .bind(over.try_get::<i64>("at")?)
        .bind(sql(room.head.rev))
        .execute()
        .await?;
    let commit = Commit { expired: true, ..room.commit(Vec::new(), Vec::new()) };
    Ok(Trimmed { messages: removed, more: sql(removed) == BATCH, commit: Some(commit) })
}
