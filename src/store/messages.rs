//! What changes a room's messages: edit, delete, react. Sends are in `sending`.

use std::sync::Arc;

use serde_json::value::{RawValue, to_raw_value};

use super::database::{Connection, Sql, together};
use super::moderation::open_case;
use super::rows::{Found, InRoom, find_room_and_message, move_head, number, sql};
use super::writer::Turn;
use super::{Store, Written};
use crate::error::{Error, Result};
use crate::model::{
    Action, ContentType, Draft, Flag, HistoryFor, Message, MessageId, Moderation, Reaction, RoomId, Timestamp, User,
    UserId, permits,
};

/// Different emojis under one message.
const EMOJIS: usize = 20;
/// People shown per emoji; all are counted.
const EMOJI_USERS: i64 = 50;

impl Store {
    /// The message that `user` sent under this id before, if it is the same one; looked up before limits refuse, so
    /// that trying again is always allowed.
    pub async fn sent_before(&self, room: &RoomId, user: &UserId, draft: &Draft) -> Result<Option<Written>> {
        Ok(self.before_send(room, user, draft).await?.1)
    }

    /// The same, with who sends: looked up before moderation is asked.
    pub async fn before_send(&self, room: &RoomId, user: &UserId, draft: &Draft) -> Result<(User, Option<Written>)> {
        let mut connection = self.database.reading().await?;
        let (room, sent) = find_room_and_message(&mut connection, room, user, &draft.id, &draft.hash()).await?;
        room.membership()?;
        match sent {
            Found::None => Ok((room.user, None)),
            Found::Same(message) => {
                let written = unchanged(&room, message);
                Ok((room.user, Some(written)))
            }
            Found::Other(_) => Err(Error::MessageIdConflict),
        }
    }

    /// Who edits a message of theirs, and the message; looked up before moderation is asked. An edit that could not be
    /// made is refused here.
    pub async fn before_edit(&self, room: &RoomId, user: &UserId, id: &MessageId) -> Result<(User, Written)> {
        let mut connection = self.database.reading().await?;
        let (room, message) = find_own(&mut connection, room, user, id).await?;
        let written = unchanged(&room, message);
        Ok((room.user, written))
    }

    /// Changes the content of one's own message. If what it says now is flagged, it is marked and in the queue; a mark it
    /// has stays until somebody decides.
    pub async fn edit(
        &self,
        room: &RoomId,
        user: &UserId,
        id: &MessageId,
        content: String,
        flag: Option<Flag>,
    ) -> Result<Written> {
        let (turn, room, user, id) = (Turn::Shared(room), room.clone(), user.clone(), id.clone());
        self.writer
            .run(turn, move |tx| {
                Box::pin(async move {
                    let (mut room, mut message) = find_own(tx, &room, &user, &id).await?;
                    if message.content == content {
                        return Ok(unchanged(&room, message));
                    }
                    message.content = content;
                    message.edited_at = Some(Timestamp::now());
                    message.moderation = flag.as_ref().map(|_| Moderation::Flagged).or(message.moderation);
                    let written = change(tx, &mut room, message).await?;
                    if let Some(flag) = &flag {
                        open_case(tx, &written.message, flag).await?;
                    }
                    Ok(written)
                })
            })
            .await
    }

    /// Blanks a message: one's own, or as a moderator another's.
    pub async fn delete(&self, room: &RoomId, user: &UserId, id: &MessageId) -> Result<Written> {
        let (turn, room, user, id) = (Turn::Shared(room), room.clone(), user.clone(), id.clone());
        self.writer
            .run(turn, move |tx| {
                Box::pin(async move {
                    let (mut room, message) = find_message(tx, &room, &user, &id).await?;
                    let action = if message.sender_id == user { Action::ChangeOwn } else { Action::DeleteOther };
                    if message.deleted_at.is_some() {
                        return Ok(unchanged(&room, message));
                    }
                    may_change(&room, &message, action)?;
                    blank(tx, &mut room, message).await
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
        let (turn, room, user, id) = (Turn::Shared(room), room.clone(), user.clone(), id.clone());
        self.writer
            .run(turn, move |tx| {
                Box::pin(async move {
                    let (mut room, mut message) = find_message(tx, &room, &user, &id).await?;
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

pub(super) fn empty_list() -> Result<Box<RawValue>> {
    RawValue::from_string("[]".to_owned()).map_err(|e| Error::internal("encoding", e))
}

pub(super) fn unchanged(room: &InRoom, message: Message) -> Written {
    Written { message: message.into(), history: room.head.history.clone(), commit: None }
}

pub(super) fn written(room: &InRoom, message: Message) -> Written {
    let message = Arc::new(message);
    let commit = room.commit(vec![message.clone()], Vec::new());
    Written { message, history: room.head.history.clone(), commit: Some(commit) }
}

/// What a change writes: the message's new state and the room's head.
const CHANGE: Sql = together!(
    head: move_head!(),
    => "update message set rev = $3, content = $6, metadata = $7, reactions = $8, edited_at = $9, deleted_at = $10,
                         moderation = $11
        where room_id = $1 and seq = $5"
);

/// Takes away what a message says. Its place stays.
pub(super) async fn blank(tx: &mut Connection, room: &mut InRoom, mut message: Message) -> Result<Written> {
    message.content = String::new();
    message.metadata = None;
    message.reactions = empty_list()?;
    // Nothing is left that could wait for a decision; the case keeps what it said.
    message.moderation = None;
    message.deleted_at = Some(Timestamp::now());
    tx.query("delete from reaction where room_id = $1 and seq = $2")
        .bind(room.id.as_str())
        .bind(sql(message.seq))
        .execute()
        .await?;
    change(tx, room, message).await
}

/// Stores a message's new state under the room's next `rev`.
pub(super) async fn change(tx: &mut Connection, room: &mut InRoom, mut message: Message) -> Result<Written> {
    room.head.rev += 1;
    message.rev = room.head.rev;
    tx.query(CHANGE)
        .bind(room.id.as_str())
        .bind(sql(room.head.last_seq))
        .bind(sql(message.rev))
        .bind(room.head.last_message_at.map(|t| t.0))
        .bind(sql(message.seq))
        .bind(&message.content)
        .bind(message.metadata.as_ref().map(|m| m.get()))
        .bind(message.reactions.get())
        .bind(message.edited_at.map(|t| t.0))
        .bind(message.deleted_at.map(|t| t.0))
        .bind(message.moderation.map(Moderation::as_str))
        .execute()
        .await?;
    Ok(written(room, message))
}

/// The room, and a message that the caller may see in it.
async fn find_message(tx: &mut Connection, room: &RoomId, user: &UserId, id: &MessageId) -> Result<(InRoom, Message)> {
    let (room, found) = find_room_and_message(tx, room, user, id, &[]).await?;
    let member = room.membership()?;
    let (Found::Same(message) | Found::Other(message)) = found else { return Err(Error::MessageNotFound) };
    if room.head.history_for == HistoryFor::Joined && message.seq < member.joined_seq {
        return Err(Error::MessageNotFound);
    }
    Ok((room, message))
}

/// The room, and a message that the caller wrote in it and may change.
async fn find_own(tx: &mut Connection, room: &RoomId, user: &UserId, id: &MessageId) -> Result<(InRoom, Message)> {
    let (room, message) = find_message(tx, room, user, id).await?;
    if message.sender_id != *user {
        return Err(Error::Forbidden("only who wrote a message can edit it"));
    }
    may_change(&room, &message, Action::ChangeOwn)?;
    Ok((room, message))
}

fn may_change(room: &InRoom, message: &Message, action: Action) -> Result<()> {
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

pub(super) async fn exists(tx: &mut Connection, room: &RoomId, id: &MessageId) -> Result<bool> {
    let found = tx.query("select 1 from message where room_id = $1 and id = $2").bind(room.as_str()).bind(id.as_str());
    Ok(found.fetch_optional().await?.is_some())
}

/// Returns whether this changed anything.
async fn set_reaction(tx: &mut Connection, message: &Message, user: &UserId, emoji: &str, on: bool) -> Result<bool> {
    let statement = if on {
        "insert into reaction (room_id, seq, emoji, user_id, created_at) values ($1, $2, $3, $4, $5) on conflict do nothing"
    } else {
        "delete from reaction where room_id = $1 and seq = $2 and emoji = $3 and user_id = $4 and created_at <= $5"
    };
    let done = tx
        .query(statement)
        .bind(message.room_id.as_str())
        .bind(sql(message.seq))
        .bind(emoji)
        .bind(user.as_str())
        .bind(if on { Timestamp::now().0 } else { i64::MAX })
        .execute()
        .await?;
    Ok(done > 0)
}

/// What readers see: emojis in the order they first came, all counted, the latest people named.
pub(super) async fn reactions(tx: &mut Connection, message: &Message) -> Result<Vec<Reaction>> {
    let rows = tx
        .query(
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
        .fetch_all()
        .await?;
    let mut reactions: Vec<Reaction> = Vec::new();
    for row in rows {
        let emoji: String = row.try_get("emoji")?;
        let user = UserId::trusted(row.try_get("user_id")?);
        match reactions.last_mut().filter(|last| last.emoji == emoji) {
            Some(last) => last.user_ids.push(user),
            None => {
                reactions.push(Reaction { emoji, count: number(&row, "total")?, user_ids: vec![user] });
            }
        }
    }
    Ok(reactions)
}
