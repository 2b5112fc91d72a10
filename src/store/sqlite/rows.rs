//! Rows to values and back: the columns of each table, once.

use serde_json::value::{RawValue, to_raw_value};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::writer::Tx;
use crate::error::{Error, Result};
use crate::model::{
    Caller, ContentType, Head, History, HistoryFor, Member, Message, MessageId, Moderation, Partner, Role, RoomId,
    RoomKind, SystemEvent, Timestamp, User, UserId, UserRole,
};

/// A row whose text is none of the values its column may hold: the database was written by something else.
fn foreign(column: &'static str) -> Error {
    Error::internal("reading the database", format!("column {column} holds a value of no known kind"))
}

/// A number the schema keeps from being negative.
pub(super) fn number(row: &SqliteRow, column: &str) -> Result<u64> {
    let value: i64 = row.try_get(column)?;
    u64::try_from(value).map_err(|e| Error::internal("reading a number", e))
}

/// A number for the database, which counts no higher than `i64`; nothing ours ever does.
pub(super) fn sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn time(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp))
}

fn raw(text: String) -> Result<Box<RawValue>> {
    RawValue::from_string(text).map_err(|e| Error::internal("reading JSON from the database", e))
}

/// JSON of the database, if there is any.
pub(super) fn json(row: &SqliteRow, column: &str) -> Result<Option<Box<RawValue>>> {
    row.try_get::<Option<String>, _>(column)?.map(raw).transpose()
}

/// A user of columns `id, name, avatar_url, role, partner_id, partner_status`.
pub(super) fn user(row: &SqliteRow) -> Result<User> {
    let partner: Option<String> = row.try_get("partner_id")?;
    let status: Option<String> = row.try_get("partner_status")?;
    Ok(User {
        id: UserId::trusted(row.try_get("id")?),
        name: row.try_get("name")?,
        avatar_url: row.try_get("avatar_url")?,
        role: UserRole::parse(row.try_get("role")?),
        partner: partner.map(|id| Partner { id, status: status.unwrap_or_default() }),
    })
}

/// A head of columns `kind, history_for, last_seq, rev, last_message_at`.
pub(super) fn head(row: &SqliteRow) -> Result<Head> {
    Ok(Head {
        history: History::trusted(row.try_get("history")?),
        member_count: number(row, "member_count")?,
        kind: RoomKind::parse(row.try_get("kind")?).ok_or_else(|| foreign("kind"))?,
        history_for: HistoryFor::parse(row.try_get("history_for")?).ok_or_else(|| foreign("history_for"))?,
        last_seq: number(row, "last_seq")?,
        rev: number(row, "rev")?,
        last_message_at: time(row, "last_message_at")?,
    })
}

/// A member of columns `member_role, joined_seq, last_read_seq`, all null for one who is none.
pub(super) fn member(row: &SqliteRow) -> Result<Option<Member>> {
    let Some(role) = row.try_get::<Option<String>, _>("member_role")? else { return Ok(None) };
    Ok(Some(Member {
        role: Role::parse(&role).ok_or_else(|| foreign("role"))?,
        joined_seq: number(row, "joined_seq")?,
        last_read_seq: number(row, "last_read_seq")?,
    }))
}

/// The columns of a message `x`, named so that they do not clash with those of its room.
macro_rules! message_columns {
    () => {
        "x.id as message_id, x.seq as message_seq, x.rev as message_rev, x.sender_id, x.sender_name,
         x.sender_avatar_url, x.content, x.content_type, x.metadata as message_metadata, x.reply_to, x.reactions,
         x.moderation, x.created_at as message_created_at, x.edited_at, x.deleted_at"
    };
}
pub(super) use message_columns;

/// A message of the columns of [`message_columns`].
pub(super) fn message(row: &SqliteRow, room_id: &RoomId) -> Result<Message> {
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
        reply_to: row.try_get::<Option<String>, _>("reply_to")?.map(MessageId::trusted),
        reactions: raw(row.try_get("reactions")?)?,
        moderation: moderation.as_deref().and_then(Moderation::parse),
        created_at: time(row, "message_created_at")?.ok_or_else(|| foreign("created_at"))?,
        edited_at: time(row, "edited_at")?,
        deleted_at: time(row, "deleted_at")?,
    })
}

/// Writes a user as their token describes them; one who is there already stays as they are.
pub(super) async fn insert_user(tx: &mut Tx, caller: &Caller) -> Result<()> {
    sqlx::query(
        r#"insert into "user" (id, name, avatar_url, role, created_at) values ($1, $2, $3, $4, $5)
           on conflict (id) do nothing"#,
    )
    .bind(caller.id.as_str())
    .bind(caller.name.as_deref().unwrap_or(caller.id.as_str()))
    .bind(caller.picture.as_deref())
    .bind(caller.role.as_str())
    .bind(Timestamp::now().0)
    .execute(tx)
    .await?;
    Ok(())
}

/// A room as a write finds it, under the writer's lock: nothing moves until the transaction ends.
pub(super) struct Locked {
    /// The room.
    pub(super) id: RoomId,
    /// Its head.
    pub(super) head: Head,
    /// The caller's membership.
    pub(super) member: Option<Member>,
    /// The caller.
    pub(super) user: User,
}

/// Locks a room for a write by `user`, with what must be known of both.
pub(super) async fn lock_room(tx: &mut Tx, room: &RoomId, user: &UserId) -> Result<Locked> {
    let row = sqlx::query(
        r#"select (select id from history) as history, r.member_count, r.kind, r.history_for, r.last_seq, r.rev, r.last_message_at,
                  m.role as member_role, m.joined_seq, m.last_read_seq,
                  u.id, u.name, u.avatar_url, u.role, u.partner_id, u.partner_status
           from room r join "user" u on u.id = $2
           left join member m on m.room_id = r.id and m.user_id = u.id
           where r.id = $1"#,
    )
    .bind(room.as_str())
    .bind(user.as_str())
    .fetch_optional(tx)
    .await?
    .ok_or(Error::RoomNotFound)?;
    Ok(Locked { id: room.clone(), head: head(&row)?, member: member(&row)?, user: self::user(&row)? })
}

impl Locked {
    /// The caller's membership, or the answer for one who has none.
    pub(super) fn membership(&self) -> Result<Member> {
        self.member.ok_or_else(|| no_member(self.head.kind))
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

    /// Writes the head back. Part of the same transaction as what moved it.
    pub(super) async fn store_head(&self, tx: &mut Tx) -> Result<()> {
        sqlx::query("update room set last_seq = $2, rev = $3, last_message_at = $4 where id = $1")
            .bind(self.id.as_str())
            .bind(sql(self.head.last_seq))
            .bind(sql(self.head.rev))
            .bind(self.head.last_message_at.map(|t| t.0))
            .execute(tx)
            .await?;
        Ok(())
    }

    /// Writes what happened into the room's own log, by the caller, about a user of this name.
    pub(super) async fn write_event(&mut self, tx: &mut Tx, event: &SystemEvent, about: &str) -> Result<Message> {
        let (seq, rev, created_at) = self.next_message();
        let message = Message {
            id: MessageId::fresh(),
            room_id: self.id.clone(),
            seq,
            rev,
            sender_id: self.user.id.clone(),
            sender_name: self.user.name.clone(),
            sender_avatar_url: self.user.avatar_url.clone(),
            content: event.sentence(about, &self.user.name),
            content_type: ContentType::System,
            metadata: Some(to_raw_value(event).map_err(|e| Error::internal("encoding an event", e))?),
            reply_to: None,
            reactions: RawValue::from_string("[]".to_owned()).map_err(|e| Error::internal("encoding", e))?,
            moderation: None,
            created_at,
            edited_at: None,
            deleted_at: None,
        };
        insert_message(tx, &message, &[]).await?;
        self.store_head(tx).await?;
        Ok(message)
    }
}

/// What one who is no member is told: a private room does not exist for them.
pub(super) fn no_member(kind: RoomKind) -> Error {
    if kind == RoomKind::Public { Error::NotAMember } else { Error::RoomNotFound }
}

/// Writes a new message.
pub(super) async fn insert_message(tx: &mut Tx, message: &Message, hash: &[u8]) -> Result<()> {
    sqlx::query(
        "insert into message (room_id, seq, rev, id, hash, sender_id, sender_name, sender_avatar_url, content,
                              content_type, metadata, reply_to, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(message.room_id.as_str())
    .bind(sql(message.seq))
    .bind(sql(message.rev))
    .bind(message.id.as_str())
    .bind(hash)
    .bind(message.sender_id.as_str())
    .bind(&message.sender_name)
    .bind(message.sender_avatar_url.as_deref())
    .bind(&message.content)
    .bind(message.content_type.as_str())
    .bind(message.metadata.as_ref().map(|m| m.get()))
    .bind(message.reply_to.as_ref().map(MessageId::as_str))
    .bind(message.created_at.0)
    .execute(tx)
    .await?;
    Ok(())
}

/// Moves a user's `rev`, in the transaction that changes what it counts.
pub(super) async fn next_user_rev(tx: &mut Tx, user: &UserId) -> Result<u64> {
    let row = sqlx::query(r#"update "user" set rev = rev + 1 where id = $1 returning rev"#)
        .bind(user.as_str())
        .fetch_optional(tx)
        .await?
        .ok_or_else(|| Error::UserNotFound(user.to_string()))?;
    number(&row, "rev")
}
