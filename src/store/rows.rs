//! Rows to values and back: the columns of each table, once.

use std::sync::Arc;

use serde_json::value::{RawValue, to_raw_value};

use super::database::{Connection, Row, Sql, together};
use crate::error::{Error, Result};
use crate::model::{
    Commit, ContentType, Draft, Head, History, HistoryFor, Member, Message, MessageId, Moderation, Partner, QuotaName,
    Role, RoomId, RoomKind, Set, SystemEvent, Timestamp, User, UserChange, UserId, UserRole,
};

/// A row whose text is none of the values its column may hold: the database was written by something else.
fn foreign(column: &'static str) -> Error {
    Error::internal("reading the database", format!("column {column} holds a value of no known kind"))
}

/// A number the schema keeps from being negative.
pub(super) fn number(row: &Row, column: &str) -> Result<u64> {
    let value: i64 = row.try_get(column)?;
    u64::try_from(value).map_err(|e| Error::internal("reading a number", e))
}

/// A number for the database, which counts no higher than `i64`; nothing ours ever does.
pub(super) fn sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number of a column that holds small ones: `integer`, which is shorter on PostgreSQL than on SQLite.
pub(super) fn small(row: &Row, column: &str) -> Result<u32> {
    let value: i32 = row.try_get(column)?;
    u32::try_from(value).map_err(|e| Error::internal("reading a number", e))
}

fn time(row: &Row, column: &str) -> Result<Option<Timestamp>> {
    Ok(row.try_get::<Option<i64>>(column)?.map(Timestamp))
}

fn raw(text: String) -> Result<Box<RawValue>> {
    RawValue::from_string(text).map_err(|e| Error::internal("reading JSON from the database", e))
}

/// JSON of the database, if there is any.
pub(super) fn json(row: &Row, column: &str) -> Result<Option<Box<RawValue>>> {
    row.try_get::<Option<String>>(column)?.map(raw).transpose()
}

/// A user of the columns of [`user_columns`].
pub(super) fn user(row: &Row) -> Result<User> {
    let partner: Option<String> = row.try_get("partner_id")?;
    let status: Option<String> = row.try_get("partner_status")?;
    Ok(User {
        id: UserId::trusted(row.try_get("id")?),
        name: row.try_get("name")?,
        avatar_url: row.try_get("avatar_url")?,
        role: UserRole::parse(row.try_get("role")?),
        partner: partner.map(|id| Partner { id, status: status.unwrap_or_default() }),
        set: Set {
            name: row.try_get("name_set")?,
            avatar: row.try_get("avatar_set")?,
            role: row.try_get("role_set")?,
            partner: row.try_get("partner_set")?,
        },
        claims_at: Timestamp(row.try_get("claims_at")?),
    })
}

/// The columns of a head, of a room `r`. The history is read in the statement that reads the numbers.
macro_rules! head_columns {
    () => {
        "(select id from history where only_one = 1) as history, r.kind, r.history_for, r.last_seq, r.rev, r.last_message_at,
         r.member_count, r.quota, r.oldest_seq, r.expired_rev"
    };
}

/// The columns of a membership `m`.
macro_rules! member_columns {
    () => {
        "m.role as member_role, m.joined_seq, m.last_read_seq"
    };
}

/// The columns of a message `x`, named so that they do not clash with those of its room.
macro_rules! message_columns {
    () => {
        "x.id as message_id, x.seq as message_seq, x.rev as message_rev, x.sender_id, x.sender_name,
         x.sender_avatar_url, x.content, x.content_type, x.metadata as message_metadata, x.reply_to, x.reactions,
         x.moderation, x.created_at as message_created_at, x.edited_at, x.deleted_at"
    };
}
pub(super) use {head_columns, member_columns, message_columns};

/// A head of the columns of [`head_columns`].
pub(super) fn head(row: &Row) -> Result<Head> {
    Ok(Head {
        history: History::trusted(row.try_get("history")?),
        member_count: number(row, "member_count")?,
        kind: RoomKind::parse(row.try_get("kind")?).ok_or_else(|| foreign("kind"))?,
        history_for: HistoryFor::parse(row.try_get("history_for")?).ok_or_else(|| foreign("history_for"))?,
        last_seq: number(row, "last_seq")?,
        rev: number(row, "rev")?,
        last_message_at: time(row, "last_message_at")?,
        quota: row.try_get::<Option<String>>("quota")?.map(QuotaName::trusted),
        oldest_seq: number(row, "oldest_seq")?,
        expired_rev: number(row, "expired_rev")?,
    })
}

/// A member of the columns of [`member_columns`], all null for one who is none.
pub(super) fn member(row: &Row) -> Result<Option<Member>> {
    let Some(role) = row.try_get::<Option<String>>("member_role")? else { return Ok(None) };
    Ok(Some(Member {
        role: Role::parse(&role).ok_or_else(|| foreign("role"))?,
        joined_seq: number(row, "joined_seq")?,
        last_read_seq: number(row, "last_read_seq")?,
    }))
}

/// A message of the columns of [`message_columns`].
pub(super) fn message(row: &Row, room_id: &RoomId) -> Result<Message> {
    let moderation: Option<String> = row.try_get("moderation")?;
    Ok(Message {
        id: MessageId::trusted(row.try_get("message_id")?),
        room_id: room_id.clone(),
        seq: number(row, "message_seq")?,
        rev: number(row, "message_rev")?,
        sender_id: UserId::trusted(row.try_get("sender_id")?),
        sender_name: row.try_get("sender_name")?,
        sender_avatar_url: row.try_get("sender_avatar_url")?,
        content: row.try_get("content")?,
        content_type: ContentType::parse(row.try_get("content_type")?).ok_or_else(|| foreign("content_type"))?,
        metadata: json(row, "message_metadata")?,
        reply_to: row.try_get::<Option<String>>("reply_to")?.map(MessageId::trusted),
        reactions: raw(row.try_get("reactions")?)?,
        moderation: moderation.as_deref().and_then(Moderation::parse),
        created_at: time(row, "message_created_at")?.ok_or_else(|| foreign("created_at"))?,
        edited_at: time(row, "edited_at")?,
        deleted_at: time(row, "deleted_at")?,
    })
}

/// A user's columns.
macro_rules! user_columns {
    () => {
        "u.id, u.name, u.avatar_url, u.role, u.partner_id, u.partner_status, u.name_set, u.avatar_set, u.role_set,
         u.partner_set, u.claims_at"
    };
}
pub(super) use user_columns;

/// A room and someone in it. A write finds them under the room's lock: nothing moves until the transaction ends.
pub(super) struct InRoom {
    /// The room.
    pub(super) id: RoomId,
    /// Its head.
    pub(super) head: Head,
    /// The caller's membership.
    pub(super) member: Option<Member>,
    /// The caller.
    pub(super) user: User,
    /// Seconds between two messages of one member.
    pub(super) slow_mode_seconds: u32,
    /// When the caller, who is a member, sent something last.
    pub(super) last_sent_at: Option<Timestamp>,
}

/// A room with what must be known of the caller, and whatever else is asked for.
macro_rules! in_room_sql {
    ($columns:expr, $join:expr) => {
        concat!(
            "select ",
            head_columns!(),
            ", ",
            member_columns!(),
            ", ",
            user_columns!(),
            ", r.slow_mode_seconds, m.last_sent_at",
            $columns,
            r#" from room r join "user" u on u.id = $2
             left join member m on m.room_id = r.id and m.user_id = u.id "#,
            $join,
            " where r.id = $1"
        )
    };
}

/// What of a message is under an id already.
pub(super) enum Found {
    /// Nothing.
    None,
    /// What the caller sent before, as it is now.
    Same(Message),
    /// Something else.
    Other(Message),
}

/// A room and what must be known of `user` in it.
pub(super) async fn find_room(tx: &mut Connection, room: &RoomId, user: &UserId) -> Result<InRoom> {
    let row = tx.query(in_room_sql!("", "")).bind(room.as_str()).bind(user.as_str()).fetch_optional().await?;
    InRoom::of(&row.ok_or(Error::RoomNotFound)?, room)
}

/// The same, and what is under the id of a message; it is the same one if `user` sent what has this hash.
pub(super) async fn find_room_and_message(
    tx: &mut Connection,
    room: &RoomId,
    user: &UserId,
    id: &MessageId,
    hash: &[u8],
) -> Result<(InRoom, Found)> {
    const ROOM_AND_MESSAGE: &str = in_room_sql!(
        concat!(", ", message_columns!(), ", x.sender_id = $2 and x.hash = $4 as same"),
        "left join message x on x.room_id = r.id and x.id = $3"
    );
    let row = tx.query(ROOM_AND_MESSAGE).bind(room.as_str()).bind(user.as_str()).bind(id.as_str()).bind(hash);
    let row = row.fetch_optional().await?.ok_or(Error::RoomNotFound)?;
    Ok((InRoom::of(&row, room)?, found(&row, room)?))
}

/// What a row of the columns of [`message_columns`] and `same` holds.
fn found(row: &Row, room: &RoomId) -> Result<Found> {
    Ok(match row.try_get::<Option<bool>>("same")? {
        None => Found::None,
        Some(true) => Found::Same(message(row, room)?),
        Some(false) => Found::Other(message(row, room)?),
    })
}

/// The statement that moves a room's head: `$1` is the room, `$2` its last `seq`, `$3` its `rev`, `$4` the time.
macro_rules! move_head {
    () => {
        "update room set last_seq = $2, rev = $3, last_message_at = $4 where id = $1"
    };
}
pub(super) use move_head;

macro_rules! insert_message {
    () => {
        "insert into message (room_id, seq, rev, created_at, id, hash, sender_id, sender_name, sender_avatar_url,
                              content, content_type, metadata, reply_to, moderation)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
    };
}

/// What a message of the application writes: the message, the room's head, and that in whose name it is has read it.
const APPEND: Sql = together!(
    head: move_head!(),
    position: "update member set last_read_seq = $2 where room_id = $1 and user_id = $7",
    => insert_message!()
);

/// What an event writes: the message and the room's head.
const EVENT: Sql = together!(head: move_head!(), => insert_message!());

impl InRoom {
    /// Of the columns of [`head_columns`], [`member_columns`] and [`user_columns`], and of slow mode.
    pub(super) fn of(row: &Row, room: &RoomId) -> Result<Self> {
        Ok(Self {
            id: room.clone(),
            head: head(row)?,
            member: member(row)?,
            user: user(row)?,
            slow_mode_seconds: small(row, "slow_mode_seconds")?,
            last_sent_at: time(row, "last_sent_at")?,
        })
    }

    /// The caller's membership, or the answer for one who has none.
    pub(super) fn membership(&self) -> Result<Member> {
        self.member.ok_or_else(|| no_member(self.head.kind))
    }

    /// What was written, for those who follow the room and the users.
    pub(super) fn commit(&self, changes: Vec<Arc<Message>>, users: Vec<UserChange>) -> Commit {
        Commit { head: self.head.clone(), room_id: self.id.clone(), changes, expired: false, users }
    }

    /// The next message's place and time. A clock that stands still or goes back changes nothing: times increase
    /// strictly with `seq`, so that a client which compares only times misses none.
    pub(super) fn next_message(&mut self) -> (u64, u64, Timestamp) {
        self.head.last_seq += 1;
        self.head.rev += 1;
        let after_last = self.head.last_message_at.map_or(i64::MIN, |last| last.0 + 1);
        let now = Timestamp(Timestamp::now().0.max(after_last));
        self.head.last_message_at = Some(now);
        (self.head.last_seq, self.head.rev, now)
    }

    /// The room's next message, by the caller; still to be written.
    pub(super) fn next_of(&mut self, draft: Draft) -> Result<Message> {
        let (seq, rev, created_at) = self.next_message();
        Ok(Message {
            id: draft.id,
            room_id: self.id.clone(),
            seq,
            rev,
            sender_id: self.user.id.clone(),
            sender_name: self.user.name.clone(),
            sender_avatar_url: self.user.avatar_url.clone(),
            content: draft.content,
            content_type: draft.content_type,
            metadata: draft.metadata,
            reply_to: draft.reply_to,
            reactions: RawValue::from_string("[]".to_owned()).map_err(|e| Error::internal("encoding", e))?,
            moderation: None,
            created_at,
            edited_at: None,
            deleted_at: None,
        })
    }

    /// The message that tells what happened, by the caller, about a user of this name; still to be written.
    pub(super) fn next_event(&mut self, event: &SystemEvent, about: &str) -> Result<Message> {
        let metadata = to_raw_value(event).map_err(|e| Error::internal("encoding an event", e))?;
        self.next_of(Draft {
            id: MessageId::fresh(),
            content: event.sentence(about, &self.user.name),
            content_type: ContentType::System,
            reply_to: None,
            metadata: Some(metadata),
        })
    }

    /// Writes what happened into the room's own log, by the caller, about a user of this name.
    pub(super) async fn write_event(
        &mut self,
        tx: &mut Connection,
        event: &SystemEvent,
        about: &str,
    ) -> Result<Message> {
        let message = self.next_event(event, about)?;
        write_message(tx, EVENT, &message, &[]).await?;
        Ok(message)
    }
}

/// What one who is no member is told: a private room does not exist for them.
pub(super) fn no_member(kind: RoomKind) -> Error {
    if kind == RoomKind::Public { Error::NotAMember } else { Error::RoomNotFound }
}

/// Writes a message in somebody's name: with it the room's head, and their read position.
pub(super) async fn append_message(tx: &mut Connection, message: &Message, hash: &[u8]) -> Result<()> {
    write_message(tx, APPEND, message, hash).await
}

async fn write_message(tx: &mut Connection, statement: Sql, message: &Message, hash: &[u8]) -> Result<()> {
    tx.query(statement)
        .bind(message.room_id.as_str())
        .bind(sql(message.seq))
        .bind(sql(message.rev))
        .bind(message.created_at.0)
        .bind(message.id.as_str())
        .bind(hash)
        .bind(message.sender_id.as_str())
        .bind(&message.sender_name)
        .bind(message.sender_avatar_url.as_deref())
        .bind(&message.content)
        .bind(message.content_type.as_str())
        .bind(message.metadata.as_ref().map(|m| m.get()))
        .bind(message.reply_to.as_ref().map(MessageId::as_str))
        .bind(message.moderation.map(Moderation::as_str))
        .execute()
        .await
        .map(drop)
}

/// Writes messages that were made one after the other by the caller, and the room's head after them.
pub(super) async fn write_events(tx: &mut Connection, room: &InRoom, messages: &[Arc<Message>]) -> Result<()> {
    const EVENTS: Sql = Sql {
        sqlite: "insert into message (room_id, seq, rev, created_at, id, hash, sender_id, sender_name,
                                      sender_avatar_url, content, content_type, metadata)
            select $1, value ->> 0, value ->> 1, value ->> 2, value ->> 3, x'', $2, $3, $4, value ->> 4, 'SYSTEM',
                   value ->> 5
            from json_each($5)",
        postgres: "insert into message (room_id, seq, rev, created_at, id, hash, sender_id, sender_name,
                                        sender_avatar_url, content, content_type, metadata)
            select $1, cast(value ->> 0 as bigint), cast(value ->> 1 as bigint), cast(value ->> 2 as bigint),
                   value ->> 3, '', $2, $3, $4, value ->> 4, 'SYSTEM', value ->> 5
            from json_array_elements(cast($5 as json))",
    };
    let row = |m: &Arc<Message>| {
        let metadata = m.metadata.as_ref().map(|metadata| metadata.get().to_owned());
        (m.seq, m.rev, m.created_at.0, m.id.clone(), m.content.clone(), metadata)
    };
    let rows = serde_json::to_string(&messages.iter().map(row).collect::<Vec<_>>());
    tx.query(EVENTS)
        .bind(room.id.as_str())
        .bind(room.user.id.as_str())
        .bind(&room.user.name)
        .bind(room.user.avatar_url.as_deref())
        .bind(rows.map_err(|e| Error::internal("encoding events", e))?)
        .execute()
        .await?;
    tx.query(move_head!())
        .bind(room.id.as_str())
        .bind(sql(room.head.last_seq))
        .bind(sql(room.head.rev))
        .bind(room.head.last_message_at.map(|t| t.0))
        .execute()
        .await
        .map(drop)
}

/// Moves a user's `rev`, in the transaction that changes what it counts.
pub(super) async fn next_user_rev(tx: &mut Connection, user: &UserId) -> Result<u64> {
    let row = tx
        .query(r#"update "user" set rev = rev + 1 where id = $1 returning rev"#)
        .bind(user.as_str())
        .fetch_optional()
        .await?
        .ok_or_else(|| Error::UserNotFound(user.to_string()))?;
    number(&row, "rev")
}
