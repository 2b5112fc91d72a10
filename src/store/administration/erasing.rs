//! Erasing what a person wrote: every message of theirs is blanked and forgets what was sent and under which name and
//! picture, every reaction of theirs is taken back. Each message keeps its place and takes a `rev`, so all who follow a
//! room learn of it as of any change. It is done in batches of one room, each under the room's lock; begun again, it goes
//! on with what is left.

use std::sync::Arc;

use serde_json::value::to_raw_value;

use crate::error::{Error, Result};
use crate::model::{Commit, ContentType, Message, RoomId, Timestamp, UserId};
use crate::store::database::Connection;
use crate::store::messages::{change, empty_list, reactions};
use crate::store::rows::{InRoom, find_room, message_columns, sql};
use crate::store::writer::Turn;
use crate::store::{Store, reading};

/// Messages changed in one transaction: the room is locked meanwhile.
const BATCH: i64 = 50;

/// What a batch did.
#[derive(Debug)]
pub struct Erased {
    /// Messages of theirs that were blanked.
    pub messages: u64,
    /// Messages that a reaction of theirs was taken from.
    pub reactions: u64,
    /// What those who follow the room have to learn.
    pub commit: Commit,
}

/// What there is of a person in a room.
#[derive(Debug, Clone, Copy)]
enum What {
    Messages,
    Reactions,
}

impl Store {
    /// Erases the next part of what a person wrote, or gave; nothing if nothing is left.
    pub async fn erase(&self, user: &UserId) -> Result<Option<Erased>> {
        let Some((what, room)) = self.left_of(user).await? else { return Ok(None) };
        let (id, user) = (room.clone(), user.clone());
        self.writer
            .run(Turn::Own(&room), move |tx| {
                Box::pin(async move {
                    let mut room = find_room(tx, &id, &UserId::system()).await?;
                    let (messages, reactions, changes) = match what {
                        What::Messages => {
                            let changes = blank_all(tx, &mut room, &user).await?;
                            (changes.len() as u64, 0, changes)
                        }
                        What::Reactions => {
                            let changes = take_back(tx, &mut room, &user).await?;
                            (0, changes.len() as u64, changes)
                        }
                    };
                    Ok(Some(Erased { messages, reactions, commit: room.commit(changes, Vec::new()) }))
                })
            })
            .await
    }

    /// A room in which something of a person is left.
    async fn left_of(&self, user: &UserId) -> Result<Option<(What, RoomId)>> {
        let mut connection = self.database.reading().await?;
        for (what, statement) in [
            (What::Messages, "select room_id from message where sender_id = $1 and length(hash) > 0 limit 1"),
            (What::Reactions, "select room_id from reaction where user_id = $1 limit 1"),
        ] {
            if let Some(row) = connection.query(statement).bind(user.as_str()).fetch_optional().await? {
                return Ok(Some((what, RoomId::trusted(row.try_get("room_id")?))));
            }
        }
        Ok(None)
    }
}

async fn blank_all(tx: &mut Connection, room: &mut InRoom, user: &UserId) -> Result<Vec<Arc<Message>>> {
    const THEIRS: &str = concat!(
        "select ",
        message_columns!(),
        " from message x where x.sender_id = $1 and x.room_id = $2 and length(x.hash) > 0 limit $3"
    );
    // Whoever's name is to stand there no longer is given another first.
    let known = tx.query(r#"select name from "user" where id = $1"#).bind(user.as_str()).fetch_optional().await?;
    let name = known.map_or_else(|| Ok(user.to_string()), |row| row.try_get("name"))?;
    let query = tx.query(THEIRS).bind(user.as_str()).bind(room.id.as_str()).bind(BATCH);
    let rows = query.fetch_all().await?;
    // Whatever is a case of theirs keeps what they wrote.
    let query = tx.query("delete from moderation_case where room_id = $1 and sender_id = $2");
    query.bind(room.id.as_str()).bind(user.as_str()).execute().await?;
    let mut changes = Vec::with_capacity(rows.len());
    for message in reading::messages(&rows, &room.id)? {
        let mut message = Arc::unwrap_or_clone(message);
        if message.content_type == ContentType::System {
            return Err(Error::internal("erasing messages", "a SYSTEM message has the hash of a send"));
        }
        message.content = String::new();
        message.metadata = None;
        message.reactions = empty_list()?;
        message.moderation = None;
        message.deleted_at = message.deleted_at.or_else(|| Some(Timestamp::now()));
        (message.sender_name, message.sender_avatar_url) = (name.clone(), None);
        let query = tx.query("delete from reaction where room_id = $1 and seq = $2");
        query.bind(room.id.as_str()).bind(sql(message.seq)).execute().await?;
        // Without its hash, nothing sent under its id is taken for the same any more.
        tx.query(
            "update message set hash = $3, sender_name = $4, sender_avatar_url = null where room_id = $1 and seq = $2",
        )
        .bind(room.id.as_str())
        .bind(sql(message.seq))
        .bind(&b""[..])
        .bind(&name)
        .execute()
        .await?;
        changes.push(change(tx, room, message).await?.message);
    }
    Ok(changes)
}

async fn take_back(tx: &mut Connection, room: &mut InRoom, user: &UserId) -> Result<Vec<Arc<Message>>> {
    const UNDER: &str = concat!(
        "select ",
        message_columns!(),
        " from (select distinct seq from reaction where user_id = $1 and room_id = $2 order by seq limit $3) r
         join message x on x.room_id = $2 and x.seq = r.seq"
    );
    let query = tx.query(UNDER).bind(user.as_str()).bind(room.id.as_str()).bind(BATCH);
    let rows = query.fetch_all().await?;
    let mut changes = Vec::with_capacity(rows.len());
    for message in reading::messages(&rows, &room.id)? {
        let mut message = Arc::unwrap_or_clone(message);
        let query = tx.query("delete from reaction where room_id = $1 and seq = $2 and user_id = $3");
        query.bind(room.id.as_str()).bind(sql(message.seq)).bind(user.as_str()).execute().await?;
        let left = reactions(tx, &message).await?;
        message.reactions = to_raw_value(&left).map_err(|e| Error::internal("encoding", e))?;
        changes.push(change(tx, room, message).await?.message);
    }
    Ok(changes)
}
