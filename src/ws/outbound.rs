//! What a connection writes: answers first, then what lies after its cursors, then best-effort frames, then meta.
//! A batch at a time; the next is made when the socket has taken this one.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use super::connection::{Connection, report};
use super::socket::Socket;
use crate::chat::{CatchUp, ListMeta};
use crate::error::{Error, Result};
use crate::hub::{Ending, Moved, Position, Pull};
use crate::model::RoomId;
use crate::protocol::{Close, Frame, RoomMeta, ServerFrame};
use crate::telemetry;

/// Bytes of room frames in a batch; a single frame may be larger.
const BATCH: usize = 16 << 10;
/// How long changes of a list are gathered.
const GATHER: Duration = Duration::from_millis(250);
/// How long to wait after a failed read.
const AGAIN: Duration = Duration::from_millis(500);

/// What a client is told of a connection that has to end.
pub(super) fn close_of(ending: Ending) -> Close {
    match ending {
        Ending::HistoryChanged => Close::HISTORY_CHANGED,
        Ending::Revoked => Close::REVOKED,
        Ending::Suspended => Close::SUSPENDED,
        Ending::Disconnected => Close::DISCONNECTED,
    }
}

impl Connection<'_> {
    /// Writes a batch. Returns whether more is waiting already.
    pub(super) async fn write(&mut self, socket: &mut Socket) -> Result<bool, Close> {
        if let Some(ending) = self.reader.ending() {
            return Err(close_of(ending));
        }
        self.absorb();
        self.feed_replies(socket);
        let mut up_to_date = Vec::new();
        let mut room_for = BATCH;
        while room_for > 0 && self.retry.is_none_or(|at| at <= Instant::now()) {
            let Some(room) = self.behind.pop_front() else { break };
            let frames = if let Some(frames) = self.next_of(&room, room_for) {
                Ok(frames)
            } else {
                let span = self.call.span();
                Box::pin(self.catch_up(&room).instrument(span)).await
            };
            let frames = match frames {
                Ok(frames) => frames,
                Err(error) => {
                    self.retry_later(room, &error);
                    break;
                }
            };
            if frames.is_empty() {
                up_to_date.push(room);
                continue;
            }
            if let Some(counting) = telemetry::handles() {
                counting.pulled.increment(frames.len() as u64);
            }
            for frame in frames {
                room_for = room_for.saturating_sub(frame.len());
                socket.feed(&frame);
            }
            // There may be more; the other rooms come first.
            self.behind.push_back(room);
        }
        if self.behind.is_empty() {
            // Never in front of messages.
            for (room, frame) in self.reader.take_asides() {
                if self.rooms.contains(&room) {
                    socket.feed(&frame);
                }
            }
            if self.has_to_tell() {
                let span = self.call.span();
                Box::pin(self.tell_moved().instrument(span)).await;
            }
            self.feed_replies(socket);
            // An idle connection keeps no list.
            self.behind = VecDeque::new();
        }
        socket.flush().await?;
        // Only now: what is pushed from here on comes behind what was written.
        for room in up_to_date {
            if let Some(subscription) = self.rooms.get(&room) {
                subscription.go_live();
            }
        }
        Ok(!self.behind.is_empty() && self.retry.is_none())
    }

    fn feed_replies(&mut self, socket: &mut Socket) {
        for frame in std::mem::take(&mut self.replies) {
            socket.feed(&frame);
        }
    }

    /// Takes note of what moved.
    fn absorb(&mut self) {
        let (rooms, is_listed) = self.reader.take();
        for room in rooms {
            if self.rooms.contains(&room) && !self.behind.contains(&room) {
                self.behind.push_back(room);
            }
        }
        if let Some(watched) = self.watched.as_mut().filter(|_| is_listed) {
            watched.due.get_or_insert_with(|| Instant::now() + GATHER);
        }
        if self.retry.is_some_and(|at| at <= Instant::now()) {
            self.retry = None;
        }
    }

    /// What lies after the cursor in a room; none if there is nothing, or the subscription is over. Nothing at all if
    /// memory does not reach back that far.
    fn next_of(&mut self, id: &RoomId, bytes: usize) -> Option<Vec<Frame>> {
        let Some(room) = self.rooms.get(id) else { return Some(Vec::new()) };
        let Position { cursor, joined_seq } = room.pause();
        match room.log().pull(self.reader.user(), cursor, joined_seq, bytes) {
            Pull::Frames { frames, rev } => {
                room.move_to(Position { cursor: rev, joined_seq });
                Some(frames)
            }
            Pull::Removed { rev } => Some(self.removed(id, rev)),
            Pull::Behind => None,
        }
    }

    /// The same from the store, for a subscription that is paused.
    async fn catch_up(&mut self, id: &RoomId) -> Result<Vec<Frame>> {
        let Some(room) = self.rooms.get(id) else { return Ok(Vec::new()) };
        let cursor = room.pause().cursor;
        match self.context.chat.catch_up(room.log(), self.reader.user(), cursor).await? {
            CatchUp::Page { frame, position } => {
                // They may have left and come back while they were behind.
                room.move_to(position);
                Ok(vec![frame])
            }
            CatchUp::Removed { rev } => Ok(self.removed(id, rev)),
        }
    }

    /// Ends a subscription whose user has left, and tells the client.
    fn removed(&mut self, id: &RoomId, rev: u64) -> Vec<Frame> {
        self.leave(id);
        self.replies.push(ServerFrame::Removed { room_id: id, rev }.encode());
        Vec::new()
    }

    /// The store could not be read. The cursor stands; the same is tried again.
    fn retry_later(&mut self, room: RoomId, error: &Error) {
        self.call.span().in_scope(|| report(error));
        self.behind.push_front(room);
        self.retry = Some(Instant::now() + AGAIN);
    }

    /// Whether what moved in the watched list was gathered long enough.
    fn has_to_tell(&self) -> bool {
        self.watched.as_ref().and_then(|watched| watched.due).is_some_and(|due| due <= Instant::now())
    }

    /// Tells what moved in the watched list.
    async fn tell_moved(&mut self) {
        let Some(watched) = &mut self.watched else { return };
        watched.due = None;
        let Moved { rooms, relist } = self.reader.take_list();
        watched.moved.extend(rooms);
        watched.relist |= relist;
        if std::mem::take(&mut watched.relist) {
            // A change of the list was missed: what was told and what is there now, all of it.
            watched.moved.extend(watched.told.keys().cloned());
            match self.context.chat.list(self.reader.user()).await {
                Ok(feed) => watched.moved.extend(feed.rooms().iter().map(|log| log.id().clone())),
                Err(error) => {
                    report(&error);
                    watched.relist = true;
                    watched.due = Some(Instant::now() + AGAIN);
                    return;
                }
            }
        }
        let moved: Vec<RoomId> = watched.moved.drain().collect();
        match self.context.chat.listed(self.reader.user(), Some(&moved)).await {
            Ok(list) => self.tell_list(list, false),
            Err(error) => {
                report(&error);
                watched.moved.extend(moved);
                watched.due = Some(Instant::now() + AGAIN);
            }
        }
    }

    /// Queues a `meta` frame of what is new to the client in a list.
    pub(super) fn tell_list(&mut self, list: ListMeta, even_if_empty: bool) {
        let Some(watched) = &mut self.watched else { return };
        let mut rooms = Vec::new();
        for meta in list.rooms {
            let Some(room_id) = meta.room_id else { continue };
            let told = watched.told.insert(room_id.clone(), (meta.rev, meta.last_read_seq));
            if told == Some((meta.rev, meta.last_read_seq)) {
                continue;
            }
            rooms.push(RoomMeta {
                room_id,
                last_seq: meta.last_seq,
                rev: meta.rev,
                last_message_at: meta.last_message_at,
                last_read_seq: Some(meta.last_read_seq).filter(|read| told.is_none_or(|(_, before)| before != *read)),
                oldest_seq: meta.oldest_seq,
            });
        }
        let gone: Vec<RoomId> = list.gone.into_iter().filter(|room| watched.told.remove(room).is_some()).collect();
        if even_if_empty || !rooms.is_empty() || !gone.is_empty() {
            self.replies.push(ServerFrame::Meta { rooms, gone }.encode());
        }
    }
}
