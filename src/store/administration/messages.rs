//! Messages of any room: read whole, written by the application or in a member's name, blanked.

use crate::error::{Error, Result};
use crate::model::{ContentType, Draft, Member, MessageId, Role, RoomId, UserId};
use crate::store::database::Connection;
use crate::store::messages::{blank, exists, unchanged, written};
use crate::store::reading::messages;
use crate::store::rows::{
    Found, append_message, find_room, find_room_and_message, head, head_columns, message_columns, sql,
};
use crate::store::writer::Turn;
use crate::store::{Page, PageQuery, Store, Written};

/// A page of all there is. As for members, what comes of the join is in no order.
macro_rules! any_page_sql {
    ($condition:literal, $order:literal) => {
        concat!(
            "select ",
            head_columns!(),
            ", ",
            message_columns!(),
            " from room r left join (select * from message where room_id = $1 and ",
            $condition,
            " order by ",
            $order,
            " limit $3) x on true where r.id = $1"
        )
    };
}

const BEFORE: &str = any_page_sql!("seq < $2", "seq desc");
const AFTER: &str = any_page_sql!("seq > $2", "seq");
const SINCE: &str = any_page_sql!("rev > $2", "rev");

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

    /// Part of any room's log, all of which is seen.
    pub async fn any_page(&self, room: &RoomId, query: PageQuery, limit: u32) -> Result<Page> {
        match query {
            PageQuery::Newest => self.any_back(room, i64::MAX.unsigned_abs(), limit).await,
            PageQuery::Before(seq) => self.any_back(room, seq, limit).await,
            PageQuery::After(seq) => self.any_slice(room, AFTER, seq, limit).await,
            PageQuery::Since(rev) => self.any_slice(room, SINCE, rev, limit).await,
            PageQuery::Around(seq) => {
                let after = limit.div_ceil(2);
                let mut page = self.any_back(room, seq, limit - after).await?;
                let rest = self.any_slice(room, AFTER, seq.saturating_sub(1), after).await?;
                page.messages.extend(rest.messages);
                Ok(Page { head: rest.head, ..page })
            }
        }
    }

    async fn any_back(&self, room: &RoomId, bound: u64, limit: u32) -> Result<Page> {
        let mut page = self.any_slice(room, BEFORE, bound, limit).await?;
        page.messages.reverse();
        Ok(page)
    }

    async fn any_slice(&self, room: &RoomId, statement: &'static str, bound: u64, limit: u32) -> Result<Page> {
        let mut connection = self.database.reading().await?;
        let query = connection.query(statement).bind(room.as_str()).bind(sql(bound)).bind(i64::from(limit) + 1);
        let rows = query.fetch_all().await?;
        let head = head(rows.first().ok_or(Error::RoomNotFound)?)?;
        let mut messages = messages(&rows, room)?;
        match statement {
            BEFORE => messages.sort_by_key(|message| std::cmp::Reverse(message.seq)),
            AFTER => messages.sort_by_key(|message| message.seq),
            _ => messages.sort_by_key(|message| message.rev),
        }
        let has_more = messages.len() > limit as usize;
        messages.truncate(limit as usize);
        // As one who has been there from the beginning.
        let member = Member { role: Role::Member, joined_seq: 1, last_read_seq: 0 };
        Ok(Page { messages, has_more, head, member })
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
