//! The reading side: following rooms in memory, subscribing without a gap, catching up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quick_cache::Weighter;

use super::{Cached, Chat, PageKey, read_for_all};
use crate::broker::{Bucket, Cause};
use crate::error::{Error, Result};
use crate::hub::{Lookup, Position, Reader, RoomLog, Subscription};
use crate::model::{Head, History, Member, Message, RoomId, RoomKind, UserId};
use crate::protocol::{Frame, ResetReason, ServerFrame, Subscribe, SubscribedStatus};
use crate::store::PageQuery;
use crate::telemetry;

/// Messages in a catch-up page at most.
const PAGE: u32 = 100;
/// Bytes of text in one at most; at least one message.
const PAGE_TEXT: usize = 256 << 10;

/// A room that is followed, and the caller's membership of it.
#[derive(Debug)]
pub struct Followed {
    /// The room's log.
    pub log: Arc<RoomLog>,
    /// Where it ends.
    pub head: Head,
    /// The caller's membership, not older than that.
    pub member: Member,
    /// Where the head was found.
    pub cached: Cached,
}

/// How a subscription begins.
#[derive(Debug)]
pub struct Begin {
    /// The reader's place in the room, at the cursor where it reads on.
    pub subscription: Subscription,
    /// The head when it began.
    pub head: Head,
    /// What the client is told.
    pub status: SubscribedStatus,
    /// Why it begins anew.
    pub reason: Option<ResetReason>,
    /// The newest page, if it begins with that.
    pub page: Option<Frame>,
}

/// The next step of a reader who is behind what memory holds.
#[derive(Debug)]
pub enum CatchUp {
    /// A page, complete up to `rev`.
    Page {
        /// To be sent.
        frame: Frame,
        /// Where the reader is then; by this joining the page was filtered, and what follows is to be.
        position: Position,
    },
    /// The reader's user is no member any more.
    Removed {
        /// Since when, at the latest.
        rev: u64,
    },
}

/// A page that many readers may want, encoded once.
#[derive(Debug)]
pub(super) struct SharedPage {
    history: History,
    messages: Vec<Arc<Message>>,
    rev: u64,
    oldest_seq: Option<u64>,
    frame: Frame,
}

/// What a page takes of the memory kept for pages.
#[derive(Debug, Clone)]
pub(super) struct Weight;

impl Weighter<PageKey, Arc<SharedPage>> for Weight {
    fn weight(&self, _: &PageKey, page: &Arc<SharedPage>) -> u64 {
        2 * page.frame.len() as u64
    }
}

impl Chat {
    /// Reads where a log ends, and returns where that was found. The log is followed and the bus is heard already:
    /// what is committed meanwhile waits in it. Behind a bus that is heard, a cached head is as good as the store's:
    /// whoever replaces it publishes after that.
    pub(super) async fn load(&self, log: &Arc<RoomLog>) -> Result<Cached> {
        if log.loaded.initialized() {
            return Ok(Cached::Memory);
        }
        let hit = AtomicBool::new(false);
        let load = || async {
            let time = self.0.hub.time();
            let live = self.0.broker.join(&[Bucket::of(log.id().as_str())]).await;
            let shared = if live { self.0.cache.head(log.id(), &self.history()).await } else { None };
            hit.store(shared.is_some(), Ordering::Relaxed);
            let head = match shared {
                Some(head) => head,
                None => self.read_head(log.id()).await?,
            };
            log.trust.set(live.then_some(time));
            log.load(head);
            Ok::<_, Error>(())
        };
        log.loaded.get_or_try_init(load).await?;
        if log.behind().is_some() {
            self.repair_soon(log.clone(), Cause::Hole);
        }
        Ok(if hit.into_inner() { Cached::Hit } else { Cached::Miss })
    }

    async fn read_head(&self, room: &RoomId) -> Result<Head> {
        let head = self.0.store.head(room).await?;
        if head.history != self.history() {
            self.look_at_history().await?;
        }
        self.0.cache.keep_head(room, &head).await;
        Ok(head)
    }

    /// Follows a room on behalf of one of its members; anyone else gets the answer for such.
    pub async fn follow(&self, user: &UserId, room: &RoomId) -> Result<Followed> {
        let log = self.0.hub.room(room);
        let cached = self.load(&log).await?;
        // Head before membership: one who is a member after it may know everything up to it.
        let head = log.head().ok_or(Error::RoomNotFound)?;
        match self.membership(&log, user).await? {
            Some(member) => Ok(Followed { log, head, member, cached }),
            None if head.kind == RoomKind::Public => Err(Error::NotAMember),
            None => Err(Error::RoomNotFound),
        }
    }

    /// A user's membership as of the head the log holds, or later. Read behind a bus that is heard for the user, so
    /// that no read position passes unnoticed between the reading and the following.
    pub(super) async fn membership(&self, log: &RoomLog, user: &UserId) -> Result<Option<Member>> {
        loop {
            let ticket = match log.member(user) {
                Lookup::Member(member) => return Ok(Some(member)),
                Lookup::Read(ticket) => ticket,
            };
            let (feed, time) = (self.0.hub.user(user), self.0.hub.time());
            let live = self.0.broker.join(&[Bucket::of(user.as_str())]).await;
            let is_new = feed.known().is_none();
            let (as_of, read) = self.0.store.member(log.id(), user).await?;
            if let Some(member) = log.learn(&feed, ticket, as_of, read) {
                if is_new || !live {
                    feed.trust.set(live.then_some(time));
                }
                return Ok(member);
            }
        }
    }

    /// Subscribes a connection to a room, from its cursor or from the newest page.
    pub async fn subscribe(&self, reader: &Arc<Reader>, request: &Subscribe) -> Result<Begin> {
        let user = reader.user();
        let log = self.follow(user, &request.room_id).await?.log;
        // Register, then look: from here on nothing can pass unnoticed. The membership is looked at once more,
        // because a removal may have come between.
        let subscription = log.subscribe(reader);
        let Followed { head, member, .. } = self.follow(user, &request.room_id).await?;
        let (status, reason) = self.resume(&log, &head, request).await?;
        let joined_seq = member.joined_seq;
        let newest = request.since.is_none() || status == SubscribedStatus::Reset;
        let (cursor, page) = if newest {
            let limit = super::reading::limit(request.limit)?;
            let page = self.0.store.page(&request.room_id, user, PageQuery::Newest, limit).await?;
            let (rev, oldest_seq, room_id) = (page.head.rev, page.head.begins_at(), &request.room_id);
            let frame = ServerFrame::Messages { room_id, messages: &page.messages, rev, oldest_seq }.encode();
            (rev, Some(frame))
        } else {
            (request.since.unwrap_or(head.rev), None)
        };
        subscription.move_to(Position { cursor, joined_seq });
        Ok(Begin { subscription, head, status, reason, page })
    }

    /// Whether a client can go on from its cursor.
    async fn resume(
        &self,
        log: &RoomLog,
        head: &Head,
        request: &Subscribe,
    ) -> Result<(SubscribedStatus, Option<ResetReason>)> {
        let Some(since) = request.since else { return Ok((SubscribedStatus::Live, None)) };
        let history = request
            .history
            .as_ref()
            .ok_or_else(|| Error::invalid("history", "goes with `since`: the history it belongs to"))?;
        let reset = |reason| Ok((SubscribedStatus::Reset, Some(reason)));
        if *history != head.history {
            return reset(ResetReason::History);
        }
        // Above what is known here: the store has the last word.
        if since > head.rev && since > self.0.store.head(log.id()).await?.rev {
            return reset(ResetReason::History);
        }
        if since < head.expired_rev {
            return reset(ResetReason::Trimmed);
        }
        match head.rev.saturating_sub(since) {
            0 => Ok((SubscribedStatus::Live, None)),
            missed if request.max_replay.is_some_and(|most| missed > most) => reset(ResetReason::Behind),
            _ => Ok((SubscribedStatus::Recovered, None)),
        }
    }

    /// The next page for a reader who is behind what memory holds.
    pub async fn catch_up(&self, log: &RoomLog, user: &UserId, cursor: u64) -> Result<CatchUp> {
        let history = self.history();
        let page = self.shared_page(&history, log.id(), cursor).await?;
        if page.history != history {
            return self.look_at_history().await.and(Err(Error::HistoryChanged));
        }
        // Up to the head followed here, and membership not older than that: nothing after a removal gets out.
        let head = log.head().ok_or(Error::RoomNotFound)?;
        let Some(member) = self.membership(log, user).await? else { return Ok(CatchUp::Removed { rev: head.rev }) };
        let (first_seq, joined_seq) = (member.first_seq(head.history_for), member.joined_seq);
        let visible = |m: &&Arc<Message>| m.rev <= head.rev && m.seq >= first_seq;
        if page.rev <= head.rev && page.messages.iter().all(|m| visible(&m)) {
            let position = Position { cursor: page.rev, joined_seq };
            return Ok(CatchUp::Page { frame: page.frame.clone(), position });
        }
        let messages: Vec<_> = page.messages.iter().filter(visible).cloned().collect();
        let (rev, oldest_seq) = (page.rev.min(head.rev), page.oldest_seq);
        let frame = ServerFrame::Messages { room_id: log.id(), messages: &messages, rev, oldest_seq }.encode();
        Ok(CatchUp::Page { frame, position: Position { cursor: rev, joined_seq } })
    }

    /// Changes after `cursor`, read once for all who want them at about the same time.
    async fn shared_page(&self, history: &History, room: &RoomId, cursor: u64) -> Result<Arc<SharedPage>> {
        let key = (history.clone(), room.clone(), cursor);
        let load = || self.load_page(room, cursor);
        let page = read_for_all(&self.0.pages, &key, load()).await?;
        if page.rev > cursor {
            return Ok(page);
        }
        // Read before anything followed the cursor, so it leads nowhere.
        self.0.pages.remove(&key);
        load().await
    }

    async fn load_page(&self, room: &RoomId, cursor: u64) -> Result<Arc<SharedPage>> {
        metrics::counter!(telemetry::CATCH_UPS).increment(1);
        let mut changes = self.0.store.changes(room, cursor, PAGE).await?;
        let mut text = 0;
        let fit = changes.messages.iter().take_while(|m| {
            let before = text;
            text += m.content.len() + m.metadata.as_ref().map_or(0, |metadata| metadata.get().len());
            before < PAGE_TEXT
        });
        let fit = fit.count();
        if fit < changes.messages.len() {
            changes.messages.truncate(fit);
            changes.rev = changes.messages.last().map_or(changes.rev, |last| last.rev);
        }
        let (oldest_seq, rev) = (changes.head.begins_at(), changes.rev);
        let frame = ServerFrame::Messages { room_id: room, messages: &changes.messages, rev, oldest_seq }.encode();
        let history = changes.head.history;
        Ok(Arc::new(SharedPage { history, messages: changes.messages, rev, oldest_seq, frame }))
    }
}
