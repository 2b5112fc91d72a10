//! Rooms of another application taken in: its messages keep their ids and order, get places without a gap, and times that
//! strictly increase. What is here already is left as it is, so that a run which was cut off goes on, and a later one
//! adds what is new. A room has no member until its messages are all here.

mod positions;

use std::collections::HashMap;

use serde_json::json;

use crate::error::{Error, Result};
use crate::model::{EventKind, MessageId, RoomId, RoomKind, SystemEvent, Timestamp, UserChangeKind, UserId};
use crate::store::Store;
use crate::store::administration::{lock_users, move_users};
use crate::store::database::{Connection, Row, Sql, encode, in_list, of_rows};
use crate::store::members::{find_target, insert, take_out};
use crate::store::reading::list;
use crate::store::rooms::direct_pair;
use crate::store::rows::{InRoom, find_room, move_head, next_user_rev, number, sql};
use crate::store::transfer::{MessageRecord, UserRecord, insert_messages, insert_users};
use crate::store::users::insert_stub;
use crate::store::writer::Turn;
use positions::Placed;

pub use positions::{ForeignMember, Positions};

/// Further away from its time in the other application than this, in microseconds, and a message has come late: what was
/// written after it was here before.
const LATE: i64 = 1000;

/// A room of another application.
#[derive(Debug, Clone)]
pub struct ForeignRoom {
    /// Its id, which it keeps.
    pub id: RoomId,
    /// Its kind. A DIRECT room whose two have one of this key already becomes a GROUP.
    pub kind: RoomKind,
    /// What the application ties it to.
    pub key: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// What the application keeps with it, as JSON.
    pub metadata: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Messages of a room, oldest first.
#[derive(Debug, Clone)]
pub struct Part {
    /// The room.
    pub room: ForeignRoom,
    /// The messages. They have their time in the other application, and no place yet.
    pub messages: Vec<MessageRecord>,
    /// Messages that are not to be taken in; whether they are here is counted.
    pub rejected: Vec<MessageId>,
    /// Its members, as the part before left them.
    pub positions: Positions,
    /// Whether these are the last: the members come with them.
    pub is_last: bool,
}

/// What became of a part.
#[derive(Debug, Default)]
pub struct Adopted {
    /// The members, for the next part.
    pub positions: Positions,
    /// The room was not here.
    pub is_new_room: bool,
    /// What kind it is.
    pub kind: Option<RoomKind>,
    /// Messages that were not here.
    pub new: u64,
    /// Messages that were.
    pub here: u64,
    /// New ones that came after what was written after them.
    pub late: u64,
    /// Rejected ones that are here, because they were taken in before.
    pub rejected_here: u64,
    /// What became of the members.
    pub members: MembersAdopted,
}

/// What became of members.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MembersAdopted {
    /// They were not here.
    pub new: u64,
    /// They were.
    pub here: u64,
    /// They are none there.
    pub inactive: u64,
    /// They are none there any more, and were taken out here.
    pub removed: u64,
    /// What happened here since counts: they left or were removed here, or the room is of two for good.
    pub kept: u64,
}

impl Store {
    /// Makes people who are not known yet; returns how many were new.
    pub async fn adopt_users(&self, users: Vec<UserRecord>) -> Result<u64> {
        self.writer.run(Turn::Free, move |tx| Box::pin(async move { insert_users(tx, &users).await })).await
    }

    /// Takes in a part of a room.
    pub async fn adopt(&self, part: Part) -> Result<Adopted> {
        let room = part.room.id.clone();
        self.writer.run(Turn::Own(&room), move |tx| Box::pin(adopt(tx, part))).await
    }
}

/// A room as it is here.
struct Here {
    kind: RoomKind,
    last_seq: u64,
    rev: u64,
    last_message_at: Option<i64>,
    members: u64,
    oldest_seq: u64,
    expired_at: Option<i64>,
}

async fn adopt(tx: &mut Connection, part: Part) -> Result<Adopted> {
    let Part { room, messages, rejected, mut positions, is_last } = part;
    let (here, is_new_room) = find_or_make(tx, &room).await?;
    let mut adopted = Adopted { is_new_room, kind: Some(here.kind), ..Adopted::default() };
    adopted.rejected_here = places(tx, &room.id, rejected.iter()).await?.len() as u64;
    append(tx, &room.id, &here, messages, &mut positions, &mut adopted).await?;
    if is_last {
        let placed = std::mem::take(&mut positions).end();
        if here.members == 0 {
            adopted.kind = Some(finish(tx, &room, &placed).await?);
            adopted.members = settle(tx, &room.id, &placed).await?;
        } else {
            adopted.members = bring_up_to_date(tx, &room.id, here.kind, placed).await?;
        }
    }
    adopted.positions = positions;
    Ok(adopted)
}

async fn find_or_make(tx: &mut Connection, room: &ForeignRoom) -> Result<(Here, bool)> {
    // Nobody sees a GROUP without members. Until it is whole, it keeps everything.
    let made = tx.query(
        "insert into room (id, kind, created_at, keep_days, keep_messages) values ($1, 'GROUP', $2, 0, 0)
         on conflict (id) do nothing",
    );
    let made = made.bind(room.id.as_str()).bind(room.created_at.0).execute().await?;
    let row = tx.query(
        "select kind, last_seq, rev, last_message_at, member_count, oldest_seq, expired_at from room where id = $1",
    );
    let row = row.bind(room.id.as_str()).fetch_one().await?;
    let kind: String = row.try_get("kind")?;
    let here = Here {
        kind: RoomKind::parse(&kind).unwrap_or(RoomKind::Group),
        last_seq: number(&row, "last_seq")?,
        rev: number(&row, "rev")?,
        last_message_at: row.try_get("last_message_at")?,
        members: number(&row, "member_count")?,
        oldest_seq: number(&row, "oldest_seq")?,
        expired_at: row.try_get("expired_at")?,
    };
    Ok((here, made > 0))
}

/// Which of these messages are here, with their places and times.
async fn places(
    tx: &mut Connection,
    room: &RoomId,
    ids: impl Iterator<Item = &MessageId>,
) -> Result<HashMap<String, (u64, i64)>> {
    const PLACES: Sql = in_list!("select id, seq, created_at from message where room_id = $1 and id ", "$2", "");
    let ids: Vec<&str> = ids.map(MessageId::as_str).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = tx.query(PLACES).bind(room.as_str()).bind(list(ids.into_iter())?).fetch_all().await?;
    rows.iter().map(|row| Ok((row.try_get("id")?, (number(row, "seq")?, row.try_get("created_at")?)))).collect()
}

/// Gives those that are not here their places and times, and writes them.
async fn append(
    tx: &mut Connection,
    room: &RoomId,
    here: &Here,
    messages: Vec<MessageRecord>,
    positions: &mut Positions,
    adopted: &mut Adopted,
) -> Result<()> {
    let known = places(tx, room, messages.iter().map(|message| &message.id)).await?;
    let (mut seq, mut rev, mut last) = (here.last_seq, here.rev, here.last_message_at);
    let mut new = Vec::with_capacity(messages.len());
    for mut message in messages {
        let there = message.created_at;
        let (place, at) = if let Some(known) = known.get(message.id.as_str()) {
            *known
        } else if here.expired_at.is_some_and(|expired| there.0 <= expired) {
            // It was here, and retention has removed it.
            (here.oldest_seq.saturating_sub(1), there.0)
        } else {
            seq += 1;
            rev += 1;
            let at = last.map_or(there.0, |last| there.0.max(last + 1));
            last = Some(at);
            (message.seq, message.rev, message.created_at) = (seq, rev, Timestamp(at));
            (seq, at)
        };
        let is_late = at - there.0 >= LATE;
        if !is_late {
            positions.pass(there, place, &message.sender_id);
        }
        if message.seq > 0 {
            adopted.late += u64::from(is_late);
            new.push(message);
        } else {
            adopted.here += 1;
        }
    }
    adopted.new += new.len() as u64;
    if new.is_empty() {
        return Ok(());
    }
    insert_messages(tx, room, &new).await?;
    drop_lost_replies(tx, room, &new).await?;
    let head = tx.query(move_head!()).bind(room.as_str()).bind(sql(seq)).bind(sql(rev));
    head.bind(last).execute().await.map(drop)
}

/// What answers a message that is not here answers none.
async fn drop_lost_replies(tx: &mut Connection, room: &RoomId, messages: &[MessageRecord]) -> Result<()> {
    let answers: Vec<&MessageRecord> = messages.iter().filter(|message| message.reply_to.is_some()).collect();
    let (Some(first), Some(last)) = (answers.first(), answers.last()) else { return Ok(()) };
    tx.query(
        "update message set reply_to = null
         where room_id = $1 and seq between $2 and $3 and reply_to is not null
           and not exists (select 1 from message x where x.room_id = $1 and x.id = message.reply_to)",
    )
    .bind(room.as_str())
    .bind(sql(first.seq))
    .bind(sql(last.seq))
    .execute()
    .await
    .map(drop)
}

/// The room becomes what it is to be; returns of which kind that is.
async fn finish(tx: &mut Connection, room: &ForeignRoom, placed: &[Placed]) -> Result<RoomKind> {
    let active: Vec<&UserId> = placed.iter().filter(|p| p.member.is_active).map(|p| &p.member.user_id).collect();
    let pair = match (room.kind, active.as_slice()) {
        (RoomKind::Direct, [a, b]) => free_pair(tx, room, a, b).await?,
        _ => None,
    };
    let kind = if room.kind == RoomKind::Direct && pair.is_none() { RoomKind::Group } else { room.kind };
    // A public room is found by its last message, or by when it was made.
    let since = (kind == RoomKind::Public).then_some(room.created_at.0);
    tx.query(
        "update room set kind = $2, key = $3, title = $4, metadata = $5, direct_pair = $6, keep_days = null,
             keep_messages = null, last_message_at = coalesce(last_message_at, $7)
         where id = $1",
    )
    .bind(room.id.as_str())
    .bind(kind.as_str())
    .bind(room.key.as_deref())
    .bind(room.title.as_deref())
    .bind(room.metadata.as_deref())
    .bind(pair)
    .bind(since)
    .execute()
    .await?;
    Ok(kind)
}

async fn free_pair(tx: &mut Connection, room: &ForeignRoom, a: &UserId, b: &UserId) -> Result<Option<String>> {
    let pair = direct_pair(a, b, room.key.as_deref());
    let other = tx.query("select 1 from room where direct_pair = $1 and id <> $2").bind(&pair).bind(room.id.as_str());
    Ok(if other.fetch_optional().await?.is_none() { Some(pair) } else { None })
}

/// Those who are in the room come with it, as those of a room that is made: no message of its own tells of each.
async fn settle(tx: &mut Connection, room: &RoomId, placed: &[Placed]) -> Result<MembersAdopted> {
    const INSERT: Sql = of_rows!(
        "insert into member (room_id, user_id, role, joined_seq, last_read_seq)
         select $1, value ->> 0, value ->> 1, cast(value ->> 2 as bigint), cast(value ->> 3 as bigint)",
        "$2",
        ""
    );
    const STUBS: Sql = of_rows!(
        r#"insert into "user" (id, name, role, created_at) select value ->> 0, value ->> 0, 'CUSTOMER', $2"#,
        "$1",
        "where true on conflict (id) do nothing"
    );
    let active: Vec<&Placed> = placed.iter().filter(|placed| placed.member.is_active).collect();
    let row = |p: &&Placed| json!([p.member.user_id, p.member.role, p.joined_seq, p.last_read_seq]);
    let rows = encode(&active.iter().map(row).collect::<Vec<_>>())?;
    tx.query(STUBS).bind(&rows).bind(Timestamp::now().0).execute().await?;
    lock_users(tx, active.iter().map(|p| &p.member.user_id)).await?;
    tx.query(INSERT).bind(room.as_str()).bind(rows).execute().await?;
    let counted = tx.query("update room set member_count = $2 where id = $1").bind(room.as_str());
    counted.bind(sql(active.len() as u64)).execute().await?;
    let joined = active.iter().map(|p| (p.member.user_id.clone(), UserChangeKind::Joined)).collect();
    move_users(tx, joined).await?;
    let new = active.len() as u64;
    Ok(MembersAdopted { new, inactive: placed.len() as u64 - new, ..MembersAdopted::default() })
}

/// Members of a room that has some: who is new there comes, who is none there any more goes, each with a message that
/// tells of it; positions go forward. What was done here since is not undone.
async fn bring_up_to_date(
    tx: &mut Connection,
    id: &RoomId,
    kind: RoomKind,
    placed: Vec<Placed>,
) -> Result<MembersAdopted> {
    let mut room = find_room(tx, id, &UserId::system()).await?;
    let mut done = MembersAdopted::default();
    // One after the other: they are in order of id, as users are always locked.
    for Placed { member, joined_seq: _, last_read_seq } in placed {
        let target = match find_target(tx, id, &member.user_id).await {
            Ok(target) => Some(target),
            Err(Error::UserNotFound(_)) => None,
            Err(error) => return Err(error),
        };
        let is_member = target.as_ref().is_some_and(|target| target.role.is_some());
        match (is_member, member.is_active) {
            (true, true) => {
                done.here += 1;
                if forward(tx, id, &member.user_id, last_read_seq).await? {
                    next_user_rev(tx, &member.user_id).await?;
                }
            }
            (false, false) => done.inactive += 1,
            _ if kind == RoomKind::Direct || changed_here(tx, id, &member.user_id).await? => done.kept += 1,
            (true, false) => {
                if let Some(target) = target {
                    let (changes, _) = take_out(tx, &mut room, &target, EventKind::Removed).await?;
                    mark(tx, id, changes.iter().map(|message| message.seq)).await?;
                }
                done.removed += 1;
            }
            (false, true) => {
                add(tx, &mut room, &member, last_read_seq).await?;
                done.new += 1;
            }
        }
    }
    Ok(done)
}

async fn forward(tx: &mut Connection, room: &RoomId, user: &UserId, seq: u64) -> Result<bool> {
    let query =
        tx.query("update member set last_read_seq = $3 where room_id = $1 and user_id = $2 and last_read_seq < $3");
    Ok(query.bind(room.as_str()).bind(user.as_str()).bind(sql(seq)).execute().await? > 0)
}

/// How ids of messages begin that tell of what an import did.
const OURS: &str = "import:";

/// Marks messages of the log as an import's own.
async fn mark(tx: &mut Connection, room: &RoomId, messages: impl Iterator<Item = u64>) -> Result<()> {
    for seq in messages {
        let query = tx.query("update message set id = $3 || id where room_id = $1 and seq = $2");
        query.bind(room.as_str()).bind(sql(seq)).bind(OURS).execute().await?;
    }
    Ok(())
}

/// Whether the room's log tells that somebody let them in or out here: then that is what counts.
async fn changed_here(tx: &mut Connection, room: &RoomId, user: &UserId) -> Result<bool> {
    let rows = tx
        .query(
            "select metadata from message
             where room_id = $1 and content_type = 'SYSTEM' and metadata like $2 and id not like $3 order by seq",
        )
        .bind(room.as_str())
        .bind(format!("%\"userId\":\"{user}\"%"))
        .bind(format!("{OURS}%"))
        .fetch_all()
        .await?;
    let tells = |row: &Row| -> Result<bool> {
        let metadata: String = row.try_get("metadata")?;
        // `_` of an id stands for any character in the pattern.
        Ok(serde_json::from_str::<SystemEvent>(&metadata).is_ok_and(|event| event.user_id == *user))
    };
    for row in &rows {
        if tells(row)? {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn add(tx: &mut Connection, room: &mut InRoom, member: &ForeignMember, last_read_seq: u64) -> Result<()> {
    insert_stub(tx, &member.user_id, None).await?;
    let target = find_target(tx, &room.id.clone(), &member.user_id).await?;
    let event = SystemEvent::new(EventKind::Added, member.user_id.clone(), room.user.id.clone());
    let told = room.write_event(tx, &event, &target.name).await?;
    mark(tx, &room.id, [told.seq].into_iter()).await?;
    insert(tx, room, member.user_id.clone(), member.role).await?;
    // They come to what they have not read.
    let query = tx.query("update member set last_read_seq = $3 where room_id = $1 and user_id = $2");
    query.bind(room.id.as_str()).bind(member.user_id.as_str()).bind(sql(last_read_seq)).execute().await.map(drop)
}
