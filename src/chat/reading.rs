//! Pages of a room's log, and read positions.

use std::sync::Arc;

use serde::Serialize;

use super::Chat;
use crate::error::{Error, Result};
use crate::hub::NewestPage;
use crate::model::{History, HistoryFor, Message, ReadPosition, RoomId, UserId};
use crate::protocol::ServerFrame;
use crate::store::{PageQuery, ReadTo};

/// Messages in a page if the caller names no number.
const DEFAULT_PAGE: u32 = 10;
/// Messages in a page at most.
const LARGEST_PAGE: u32 = 100;

/// Where an answer came from; `X-Cache` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cached {
    /// From this instance's memory.
    Memory,
    /// From the database.
    Miss,
}

impl Cached {
    /// The header's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Miss => "miss",
        }
    }
}

/// A page as a client gets it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PageAnswer {
    /// Oldest first; of `since` by `rev`.
    pub messages: Arc<Vec<Arc<Message>>>,
    /// The `before` of the next page back.
    pub cursor: Option<u64>,
    /// Whether more follows in the direction asked for.
    pub has_more: bool,
    /// The cursor after it, where it moves one.
    pub rev: u64,
    /// Where it came from.
    #[serde(skip)]
    pub cached: Cached,
}

/// How many messages a page may have.
pub(super) fn limit(asked: Option<u32>) -> Result<u32> {
    match asked.unwrap_or(DEFAULT_PAGE) {
        limit @ 1..=LARGEST_PAGE => Ok(limit),
        _ => Err(Error::invalid("limit", format!("a number from 1 to {LARGEST_PAGE}"))),
    }
}

impl Chat {
    /// Part of a room's log. `since` needs the history it belongs to.
    pub async fn page(
        &self,
        user: &UserId,
        room: &RoomId,
        query: PageQuery,
        size: Option<u32>,
        history: Option<&History>,
    ) -> Result<PageAnswer> {
        let size = limit(size)?;
        if let PageQuery::Since(_) = query
            && history.ok_or_else(|| Error::invalid("history", "goes with `since`: the history it belongs to"))?
                != self.history()
        {
            return Err(Error::HistoryChanged);
        }
        if query == PageQuery::Newest && size == DEFAULT_PAGE {
            return self.newest(user, room).await;
        }
        let page = self.0.store.page(room, user, query, size).await?;
        let rev = page.rev(query);
        if matches!(query, PageQuery::Since(since) if since > page.head.rev) {
            return Err(Error::HistoryChanged);
        }
        // By place, a page has one before it unless it holds the first message that this reader may see.
        let first_seq = page.member.first_seq(page.head.history_for);
        let by_place = !matches!(query, PageQuery::Since(_));
        let cursor = page.messages.first().map(|m| m.seq).filter(|seq| by_place && *seq > first_seq);
        Ok(PageAnswer { messages: Arc::new(page.messages), cursor, has_more: page.has_more, rev, cached: Cached::Miss })
    }

    /// The page that most clients begin with, from memory while nothing has changed.
    async fn newest(&self, user: &UserId, room: &RoomId) -> Result<PageAnswer> {
        let followed = self.follow(user, room).await?;
        let shared = followed.head.history_for == HistoryFor::All;
        // Not newer than the head that the membership was checked at, so nothing after a removal gets out.
        let kept = followed.log.newest().filter(|kept| shared && kept.head.rev <= followed.head.rev);
        let (page, cached) = if let Some(kept) = kept {
            (kept, Cached::Memory)
        } else {
            let page = self.0.store.page(room, user, PageQuery::Newest, DEFAULT_PAGE).await?;
            let page = NewestPage { messages: Arc::new(page.messages), has_more: page.has_more, head: page.head };
            if shared {
                followed.log.keep_newest(page.clone());
            }
            (page, Cached::Miss)
        };
        let cursor = page.messages.first().map(|m| m.seq).filter(|_| page.has_more);
        Ok(PageAnswer { messages: page.messages, cursor, has_more: page.has_more, rev: page.head.rev, cached })
    }

    /// Moves the read position forward, and tells the room.
    pub async fn read(&self, user: &UserId, room: &RoomId, to: ReadTo) -> Result<ReadPosition> {
        let (store, in_room, who) = (self.0.store.clone(), room.clone(), user.clone());
        let (position, moved) = self
            .write(async move {
                let (position, commit) = store.read(&in_room, &who, to).await?;
                Ok(((position, commit.is_some()), commit))
            })
            .await?;
        if let Some(log) = self.0.hub.followed(room).filter(|_| moved) {
            log.tell(&ServerFrame::Read { room_id: room, user_id: user, seq: position.last_read_seq }, user);
        }
        Ok(position)
    }

    /// How much a user has not read, over all rooms.
    pub async fn unread_count(&self, user: &UserId) -> Result<u64> {
        self.0.store.unread_count(user).await
    }
}
