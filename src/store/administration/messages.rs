//! Messages of any room: written by the application or in a member's name, blanked.

use crate::error::{Error, Result};
use crate::model::{ContentType, Draft, MessageId, RoomId, UserId};
use crate::store::database::Connection;
use crate::store::messages::{blank, exists, unchanged, written};
use crate::store::rows::{Found, append_message, find_room, find_room_and_message};
use crate::store::writer::Turn;
use crate::store::{Store, Written};

impl Store {
    /// Writes a message of the application, or in the name of a member. No limit, quota or moderation is asked.
    pub async fn post(&self, room: &RoomId, member: Option<&UserId>, draft: Draft) -> Result<Written> {
        let (id, member) = (room.clone(), member.cloned());
        self.writer.run(Turn::Shared(room), move |tx| Box::pin(post(tx, id, member, draft))).await
    }

    /// Blanks any message but those of the log itself.
    pub async fn blank(&self, by: &UserId, room: &RoomId, message: &MessageId) -> Result<Written> {
        let (id, by, message) = (room.clone(), by.clone(), message.clone());
        self.writer
            .run(Turn::Shared(room), move |tx| {
                Box::pin(async move {
                    let (mut room, found) = find_room_and_message(tx, &id, &by, &message, &[]).await?;
                    let (Found::Same(message) | Found::Other(message)) = found else {
                        return Err(Error::MessageNotFound);
                    };
                    if message.content_type == ContentType::System {
                        return Err(Error::Forbidden("SYSTEM messages never change"));
                    }
                    if message.deleted_at.is_some() {
                        return Ok(unchanged(&room, message));
                    }
                    blank(tx, &mut room, message).await
                })
            })
            .await
    }
}

async fn post(tx: &mut Connection, id: RoomId, member: Option<UserId>, draft: Draft) -> Result<Written> {
    const STRANGER: Error = Error::Forbidden("the user of `as` is no member of this room");
    // Looked up as the application, who is always known: the member may not be.
    let hash = draft.hash();
    let system = UserId::system();
    let room = find_room(tx, &id, &system).await?;
    let (mut room, sent) = match &member {
        Some(member) => match find_room_and_message(tx, &room.id, member, &draft.id, &hash).await {
            Err(Error::RoomNotFound) => return Err(STRANGER),
            found => found?,
        },
        None => find_room_and_message(tx, &room.id, &system, &draft.id, &hash).await?,
    };
    match sent {
        Found::None => {}
        Found::Same(message) => return Ok(unchanged(&room, message)),
        Found::Other(_) => return Err(Error::MessageIdConflict),
    }
    if member.is_some() && room.member.is_none() {
        return Err(STRANGER);
    }
    if let Some(reply_to) = &draft.reply_to
        && !exists(tx, &id, reply_to).await?
    {
        return Err(Error::invalid("replyTo", "there is no such message in this room"));
    }
    let message = room.next_of(draft)?;
    append_message(tx, &message, &hash).await?;
    Ok(written(&room, message))
}
