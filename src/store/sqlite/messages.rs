//! What changes a room's messages: send, edit, delete, react.

use std::sync::Arc;

use serde_json::value::{RawValue, to_raw_value};
use sqlx::Row;

use super::Sqlite;
use super::rows::{Locked, insert_message, lock_room, message, message_columns, no_member, sql};
use super::writer::Tx;
use crate::error::{Error, Result};
use crate::model::{
    Action, Commit, ContentType, Draft, HistoryFor, Message, MessageId, Reaction, RoomId, Timestamp, UserId, permits,
};
use crate::store::Written;

/// Different emojis under one message.
const EMOJIS: usize = 20;
/// People shown per emoji; all are counted.
const EMOJI_USERS: i64 = 50;

impl Sqlite {
    /// The message that `user` sent under this id before, if it is the same one; looked up before limits and hooks,
    /// so that trying again is always allowed.
    pub async fn sent_before(&self, room: &RoomId, user: &UserId, draft: &Draft) -> Result<Option<Written>> {
        let (room, user, id, hash) = (room.clone(), user.clone(), draft.id.clone(), draft.hash());
        let mut connection = self.readers.acquire().await?;
        let sent = find_sent(&mut connection, &room, &user, &id, &hash).await;
        // In this order: who is a member after the message was read may have it as it was read.
        let (head, member) = super::reading::membership(&mut connection, &room, &user).await?;
        member.ok_or_else(|| no_member(head.kind))?;
        Ok(sent?.map(|message| Written { message, history: head.history, commit: None }))
    }

    /// Appends a message: number, insert, head and the sender's read position in one transaction.
    pub async fn append(&self, room: &RoomId, user: &UserId, draft: Draft) -> Result<Written> {
        let (room, user) = (room.clone(), user.clone());
        self.writer.run(move |tx| Box::pin(append(tx, room, user, draft))).await
    }

    /// Changes the content of one's own message.
    pub async fn edit(&self, room: &RoomId, user: &UserId, id: &MessageId, content: String) -> Result<Written> {
        let (room, user, id) = (room.clone(), user.clone(), id.clone());
        self.writer
            .run(move |tx| {
                Box::pin(async move {
                    let (mut room, mut message) = lock_message(tx, &room, &user, &id).await?;
                    if message.sender_id != user {
                        return Err(Error::Forbidden("only who wrote a message can edit it"));
                    }
                    may_change(&room, &message, Action::ChangeOwn)?;
                    if message.content == content {
                        return Ok(unchanged(&room, message));
                    }
                    message.content = content;
                    message.edited_at = Some(Timestamp::now());
                    change(tx, &mut room, message).await
                })
            })
            .await
    }

    /// Blanks a message: one's own, or as a moderator another's.
    pub async fn delete(&self, room: &RoomId, user: &UserId, id: &MessageId) -> Result<Written> {
        let (room, user, id) = (room.clone(), user.clone(), id.clone());
        self.writer
            .run(move |tx| {
                Box::pin(async move {
                    let (mut room, mut message) = lock_message(tx, &room, &user, &id).await?;
                    let action = if message.sender_id == user { Action::ChangeOwn } else { Action::DeleteOther };
                    if message.deleted_at.is_some() {
                        return Ok(unchanged(&room, message));
                    }
                    may_change(&room, &message, action)?;
                    message.content = String::new();
                    message.metadata = None;
                    message.reactions = empty_list()?;
                    message.deleted_at = Some(Timestamp::now());
                    sqlx::query("delete from reaction where room_id = $1 and seq = $2")
                        .bind(room.id.as_str())
                        .bind(sql(message.seq))
                        .execute(&mut *tx)
                        .await?;
                    change(tx, &mut room, message).await
                })
            })
            .await
    }

    /// Gives an emoji to a message, or takes it back.
    pub async fn react(
        &self,
        room: &RoomId,
        user: &UserId,
        id: &MessageId,
        emoji: String,
        on: bool,
    ) -> Result<Written> {
        let (room, user, id) = (room.clone(), user.clone(), id.clone());
        self.writer
            .run(move |tx| {
                Box::pin(async move {
                    let (mut room, mut message) = lock_message(tx, &room, &user, &id).await?;
                    may_change(&room, &message, Action::Write)?;
                    if !set_reaction(tx, &message, &user, &emoji, on).await? {
                        return Ok(unchanged(&room, message));
                    }
                    let reactions = reactions(tx, &message).await?;
                    if reactions.len() > EMOJIS {
                        return Err(Error::TooLarge { what: "reactions", limit: format!("{EMOJIS} different emojis") });
                    }
                    message.reactions = to_raw_value(&reactions).map_err(|e| Error::internal("encoding", e))?;
                    change(tx, &mut room, message).await
                })
            })
            .await
    }
}

fn empty_list() -> Result<Box<RawValue>> {
    RawValue::from_string("[]".to_owned()).map_err(|e| Error::internal("encoding", e))
}

fn unchanged(room: &Locked, message: Message) -> Written {
    Written { message: message.into(), history: room.head.history.clone(), commit: None }
}

async fn append(tx: &mut Tx, room: RoomId, user: UserId, draft: Draft) -> Result<Written> {
    let mut room = lock_room(tx, &room, &user).await?;
    room.membership()?;
    let hash = draft.hash();
    // Under the writer's lock: of two sends of one id at the same time, the second finds the first.
    if let Some(message) = find_sent(tx, &room.id, &user, &draft.id, &hash).await? {
        return Ok(Written { message, history: room.head.history, commit: None });
    }
    if let Some(reply_to) = &draft.reply_to
        && find(tx, &room.id, reply_to).await?.is_none()
    {
        return Err(Error::invalid("replyTo", "there is no such message in this room"));
    }
    let (seq, rev, created_at) = room.next_message();
    let message = Message {
        id: draft.id,
        room_id: room.id.clone(),
        seq,
        rev,
        sender_id: user,
        sender_name: room.user.name.clone(),
        sender_avatar_url: room.user.avatar_url.clone(),
        content: draft.content,
        content_type: draft.content_type,
        metadata: draft.metadata,
        reply_to: draft.reply_to,
        reactions: empty_list()?,
        moderation: None,
        created_at,
        edited_at: None,
        deleted_at: None,
    };
    insert_message(tx, &message, &hash).await?;
    room.store_head(tx).await?;
    sqlx::query("update member set last_read_seq = $3 where room_id = $1 and user_id = $2")
        .bind(room.id.as_str())
        .bind(message.sender_id.as_str())
        .bind(sql(seq))
        .execute(tx)
        .await?;
    Ok(written(&room, message))
}

fn written(room: &Locked, message: Message) -> Written {
    let message = Arc::new(message);
    let commit =
        Commit { head: room.head.clone(), room_id: room.id.clone(), changes: vec![message.clone()], users: Vec::new() };
    Written { message, history: room.head.history.clone(), commit: Some(commit) }
}

/// Stores a message's new state under the room's next `rev`.
async fn change(tx: &mut Tx, room: &mut Locked, mut message: Message) -> Result<Written> {
    room.head.rev += 1;
    message.rev = room.head.rev;
    sqlx::query(
        "update message set rev = $3, content = $4, metadata = $5, reactions = $6, edited_at = $7, deleted_at = $8
         where room_id = $1 and seq = $2",
    )
    .bind(room.id.as_str())
    .bind(sql(message.seq))
    .bind(sql(message.rev))
    .bind(&message.content)
    .bind(message.metadata.as_ref().map(|m| m.get()))
    .bind(message.reactions.get())
    .bind(message.edited_at.map(|t| t.0))
    .bind(message.deleted_at.map(|t| t.0))
    .execute(&mut *tx)
    .await?;
    room.store_head(tx).await?;
    Ok(written(room, message))
}

/// Locks the room and finds a message that the caller may see in it.
async fn lock_message(tx: &mut Tx, room: &RoomId, user: &UserId, id: &MessageId) -> Result<(Locked, Message)> {
    let room = lock_room(tx, room, user).await?;
    let member = room.membership()?;
    let message = find(tx, &room.id, id).await?.ok_or(Error::MessageNotFound)?;
    if room.head.history_for == HistoryFor::Joined && message.seq < member.joined_seq {
        return Err(Error::MessageNotFound);
    }
    Ok((room, message))
}

fn may_change(room: &Locked, message: &Message, action: Action) -> Result<()> {
    if message.content_type == ContentType::System {
        return Err(Error::Forbidden("SYSTEM messages never change"));
    }
    if message.deleted_at.is_some() {
        return Err(Error::Forbidden("the message was deleted"));
    }
    if !permits(room.head.kind, room.membership()?.role, action) {
        return Err(Error::Forbidden("only a moderator can delete what others wrote"));
    }
    Ok(())
}

async fn find(tx: &mut Tx, room: &RoomId, id: &MessageId) -> Result<Option<Message>> {
    let row = sqlx::query(concat!("select ", message_columns!(), " from message x where x.room_id = $1 and x.id = $2"))
        .bind(room.as_str())
        .bind(id.as_str())
        .fetch_optional(tx)
        .await?;
    row.map(|row| message(&row, room)).transpose()
}

/// The message under this id if the same sender sent the same; a conflict if it stands for anything else.
async fn find_sent(
    tx: &mut Tx,
    room: &RoomId,
    user: &UserId,
    id: &MessageId,
    hash: &[u8],
) -> Result<Option<Arc<Message>>> {
    let same = sqlx::query("select sender_id = $3 and hash = $4 from message where room_id = $1 and id = $2")
        .bind(room.as_str())
        .bind(id.as_str())
        .bind(user.as_str())
        .bind(hash)
        .fetch_optional(&mut *tx)
        .await?;
    match same.map(|row| row.try_get::<bool, _>(0)).transpose()? {
        None => Ok(None),
        Some(true) => Ok(find(tx, room, id).await?.map(Arc::new)),
        Some(false) => Err(Error::MessageIdConflict),
    }
}

/// Returns whether this changed anything.
async fn set_reaction(tx: &mut Tx, message: &Message, user: &UserId, emoji: &str, on: bool) -> Result<bool> {
    let statement = if on {
        "insert into reaction (room_id, seq, emoji, user_id, created_at) values ($1, $2, $3, $4, $5) on conflict do nothing"
    } else {
        "delete from reaction where room_id = $1 and seq = $2 and emoji = $3 and user_id = $4 and created_at <= $5"
    };
    let done = sqlx::query(statement)
        .bind(message.room_id.as_str())
        .bind(sql(message.seq))
        .bind(emoji)
        .bind(user.as_str())
        .bind(if on { Timestamp::now().0 } else { i64::MAX })
        .execute(tx)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// What readers see: emojis in the order they first came, all counted, the latest people named.
async fn reactions(tx: &mut Tx, message: &Message) -> Result<Vec<Reaction>> {
    let rows = sqlx::query(
        "with given as (
             select emoji, user_id, created_at,
                    row_number() over (partition by emoji order by created_at desc, user_id) as place,
                    count(*) over (partition by emoji) as total,
                    min(created_at) over (partition by emoji) as since
             from reaction where room_id = $1 and seq = $2)
         select emoji, user_id, total from given where place <= $3 order by since, emoji, place",
    )
    .bind(message.room_id.as_str())
    .bind(sql(message.seq))
    .bind(EMOJI_USERS)
    .fetch_all(tx)
    .await?;
    let mut reactions: Vec<Reaction> = Vec::new();
    for row in rows {
        let emoji: String = row.try_get("emoji")?;
        let user = UserId::trusted(row.try_get("user_id")?);
        match reactions.last_mut().filter(|last| last.emoji == emoji) {
            Some(last) => last.user_ids.push(user),
            None => {
                reactions.push(Reaction { emoji, count: super::rows::number(&row, "total")?, user_ids: vec![user] });
            }
        }
    }
    Ok(reactions)
}
