//! Pages of a room's log, and read positions.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{Cached, Chat, Followed, read_for_all};
use crate::cache::SharedPage;
use crate::error::{Error, Result};
use crate::hub::{NewestPage, Since};
use crate::model::{Head, History, HistoryFor, Message, ReadPosition, RoomId, UserId};
use crate::store::{Page, PageQuery, ReadTo};

/// Messages in a page if the caller names no number.
const DEFAULT_PAGE: u32 = 10;
/// Messages in a page at most.
const LARGEST_PAGE: u32 = 100;

/// A page as a client gets it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Page")]
pub struct PageAnswer {
    /// Oldest first; of `since` by `rev`.
    #[schemars(with = "Vec<Message>")]
    pub messages: Arc<RawValue>,
    /// The `before` of the next page back.
    pub cursor: Option<u64>,
    /// Whether more follows in the direction asked for.
    pub has_more: bool,
    /// The cursor after it, where it moves one.
    pub rev: u64,
    /// The first message that is kept; left out while none was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_seq: Option<u64>,
    /// The history that it belongs to.
    pub history: History,
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
            && *history.ok_or_else(|| Error::invalid("history", "goes with `since`: the history it belongs to"))?
                != self.history()
        {
            return Err(Error::HistoryChanged);
        }
        if query == PageQuery::Newest && size == DEFAULT_PAGE {
            return self.newest(user, room).await;
        }
        if let PageQuery::Since(cursor) = query
            && let Some(known) = self.since(user, room, cursor, size).await?
        {
            return Ok(known);
        }
        Cached::Miss.count("page");
        let page = self.read_page(user, room, query, size).await?;
        if matches!(query, PageQuery::Since(since) if since > page.head.rev || history != Some(&page.head.history)) {
            return Err(Error::HistoryChanged);
        }
        check_position(query, &page)?;
        let by_place = !matches!(query, PageQuery::Since(_));
        let rev = page.rev(query);
        Ok(PageAnswer {
            messages: encode(&page.messages)?,
            cursor: previous(&page).filter(|_| by_place),
            has_more: page.has_more,
            rev,
            oldest_seq: page.head.begins_at(),
            history: page.head.history,
            cached: Cached::Miss,
        })
    }

    /// What changed after a cursor, from memory if the room is followed and memory reaches back that far.
    async fn since(&self, user: &UserId, room: &RoomId, cursor: u64, size: u32) -> Result<Option<PageAnswer>> {
        if self.0.hub.followed(room).is_none() {
            return Ok(None);
        }
        let Followed { log, head, member, .. } = self.follow(user, room).await?;
        let Some(Since { messages, rev, has_more }) = log.since(&head, &member, cursor, size as usize) else {
            return Ok(None);
        };
        Cached::Memory.count("page");
        // Memory holds what was removed since the cursor as a step of its own, and then the store is asked.
        let (messages, oldest_seq, cached) = (messages.into(), head.begins_at(), Cached::Memory);
        Ok(Some(PageAnswer { messages, cursor: None, has_more, rev, oldest_seq, history: head.history, cached }))
    }

    async fn read_page(&self, user: &UserId, room: &RoomId, query: PageQuery, size: u32) -> Result<Page> {
        let page = self.0.store.page(room, user, query, size).await?;
        if page.head.history != self.history() {
            self.look_at_history().await?;
        }
        Ok(page)
    }

    /// The page that most clients begin with, from memory while nothing has changed, else from the shared cache.
    async fn newest(&self, user: &UserId, room: &RoomId) -> Result<PageAnswer> {
        let Followed { log, head, .. } = self.follow(user, room).await?;
        // Exactly of the head that the membership was checked at, so nothing after a removal gets out, and nothing
        // older than what this instance has shown.
        let is_shared = head.history_for == HistoryFor::All;
        if let Some(kept) = log.newest().filter(|kept| is_shared && kept.rev == head.rev) {
            return Ok(answer(kept, &head, Cached::Memory));
        }
        if is_shared {
            // One reads for all who ask at about the same time. It may find more than they were members for by then.
            let key = (head.history.clone(), room.clone(), head.rev);
            let read = read_for_all(&self.0.newest, &key, self.read_newest(user, room, &head));
            let (page, cached) = Box::pin(read).await?;
            if page.rev == head.rev {
                log.keep_newest(page.clone());
                return Ok(answer(page, &head, cached));
            }
        }
        let read = self.read_page(user, room, PageQuery::Newest, DEFAULT_PAGE).await?;
        let page = NewestPage { messages: encode(&read.messages)?, cursor: previous(&read), rev: read.head.rev };
        Ok(answer(page, &read.head, Cached::Miss))
    }

    /// The newest page of a room in which all members see the same, at this head, and where it was found.
    async fn read_newest(&self, user: &UserId, room: &RoomId, head: &Head) -> Result<(NewestPage, Cached)> {
        if let Some(SharedPage { messages, cursor, rev, .. }) = self.0.cache.page(room, &head.history, head.rev).await {
            return Ok((NewestPage { messages: messages.into(), cursor, rev }, Cached::Hit));
        }
        let read = self.read_page(user, room, PageQuery::Newest, DEFAULT_PAGE).await?;
        let page = NewestPage { messages: encode(&read.messages)?, cursor: previous(&read), rev: read.head.rev };
        let messages = (*page.messages).to_owned();
        let shared = SharedPage { history: read.head.history, rev: page.rev, cursor: page.cursor, messages };
        self.0.cache.keep_page(room, &shared).await;
        Ok((page, Cached::Miss))
    }

    /// Moves the read position forward.
    pub async fn read(&self, user: &UserId, room: &RoomId, to: ReadTo) -> Result<ReadPosition> {
        self.take_change(user)?;
        let (store, room, user) = (self.0.store.clone(), room.clone(), user.clone());
        self.write(async move { store.read(&room, &user, to).await }).await
    }

    /// How much a user has not read, over all rooms.
    pub async fn unread_count(&self, user: &UserId) -> Result<u64> {
        self.0.store.unread_count(user).await
    }
}

/// Refuses a position behind which this reader would not find all that follows it.
pub(super) fn check_position(query: PageQuery, page: &Page) -> Result<()> {
    let oldest_seq = page.head.oldest_seq;
    // What lies before their history is not theirs to miss.
    let is_gone = |next: u64| next.max(page.member.first_seq(page.head.history_for)) < oldest_seq;
    let is_expired = match query {
        PageQuery::Newest | PageQuery::Before(_) => false,
        PageQuery::After(seq) => is_gone(seq.saturating_add(1)),
        PageQuery::Around(seq) => is_gone(seq),
        PageQuery::Since(rev) => rev < page.head.expired_rev,
    };
    if is_expired { Err(Error::PositionExpired { oldest_seq }) } else { Ok(()) }
}

/// The `before` of the page before this one. By place, a page has one before it unless it holds the first message that
/// this reader may see and that is kept.
pub(super) fn previous(page: &Page) -> Option<u64> {
    let first_seq = page.member.first_seq(page.head.history_for).max(page.head.oldest_seq);
    page.messages.first().map(|m| m.seq).filter(|seq| *seq > first_seq)
}

pub(super) fn encode(messages: &[Arc<Message>]) -> Result<Arc<RawValue>> {
    to_raw_value(messages).map(Arc::from).map_err(|error| Error::internal("encoding a page", error))
}

fn answer(page: NewestPage, head: &Head, cached: Cached) -> PageAnswer {
    cached.count("page");
    let NewestPage { messages, cursor, rev } = page;
    let (history, oldest_seq) = (head.history.clone(), head.begins_at());
    PageAnswer { messages, cursor, has_more: cursor.is_some(), rev, oldest_seq, history, cached }
}
