//! A room's log as this instance follows it: its head, its last frames, those members it was asked about, and who
//! reads it. It moves only forward and only without a hole: a change that comes early waits for its neighbour.

mod state;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::OnceCell;

use self::state::{EARLY, Slot, State};
use super::reader::Reader;
use crate::model::{Changes, Head, HistoryFor, Member, Message, RoomId, UserId};
use crate::protocol::{Frame, ServerFrame};

/// A room's log, followed.
#[derive(Debug)]
pub struct RoomLog {
    id: RoomId,
    /// Set once the head was read; one reads for all who wait.
    pub loaded: OnceCell<()>,
    repairing: AtomicBool,
    state: Mutex<State>,
}

/// The newest page, kept while nothing has changed since.
#[derive(Debug, Clone)]
pub struct NewestPage {
    /// Its messages.
    pub messages: Arc<Vec<Arc<Message>>>,
    /// Whether there are older ones.
    pub has_more: bool,
    /// The head it belongs to.
    pub head: Head,
}

/// What the log knows of a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// A member.
    Member(Member),
    /// Read it, and give it to [`RoomLog::learn`] with this ticket.
    Read(u64),
}

/// What a reader finds after its cursor.
#[derive(Debug)]
pub enum Pull {
    /// These, up to `rev`; none if there is nothing new.
    Frames {
        /// To be sent in this order.
        frames: Vec<Frame>,
        /// The reader's new cursor.
        rev: u64,
    },
    /// Memory does not reach back that far, or not for this reader: read the store.
    Behind,
    /// The reader's user left, at this `rev`: nothing follows for them.
    Removed {
        /// Where.
        rev: u64,
    },
}

impl RoomLog {
    pub(super) fn new(id: RoomId) -> Self {
        Self { id, loaded: OnceCell::new(), repairing: AtomicBool::new(false), state: Mutex::new(State::new()) }
    }

    /// The room.
    pub fn id(&self) -> &RoomId {
        &self.id
    }

    /// Sets the head it was found at. A head below what is known changes nothing: the log never goes back.
    pub fn load(&self, head: Head) {
        let mut state = self.lock();
        if state.head.is_none() {
            state.head = Some(head);
            state.settle(&self.id);
        }
    }

    /// The head, once it is loaded.
    pub fn head(&self) -> Option<Head> {
        let mut state = self.lock();
        state.used = Instant::now();
        state.head.clone()
    }

    /// Applies changes; those that come early wait. Returns whether there is a hole.
    pub(super) fn apply(&self, changes: &[Arc<Message>]) -> bool {
        let mut state = self.lock();
        if state.early.len() + changes.len() > EARLY {
            state.early.clear();
            state.lost = true;
        }
        let known = state.head.as_ref().map_or(0, |head| head.rev);
        state.early.extend(changes.iter().filter(|m| m.rev > known).map(|m| (m.rev, m.clone())));
        state.settle(&self.id);
        state.has_hole()
    }

    /// The `rev` below a hole, if there is one.
    pub fn hole_after(&self) -> Option<u64> {
        let state = self.lock();
        state.head.as_ref().filter(|_| state.has_hole()).map(|head| head.rev)
    }

    /// Fills a hole with what was read from the store. Rows whose `rev` has moved on leave numbers empty, so this
    /// is one step, told as a page that is complete up to its `rev`.
    pub fn fill(&self, changes: &Changes) {
        let mut state = self.lock();
        state.lost &= changes.rev < changes.head.rev;
        state.fill(&self.id, changes);
        state.settle(&self.id);
    }

    /// What lies after `cursor` for a member who joined at `joined_seq`, up to some `bytes`.
    pub fn pull(&self, user: &UserId, cursor: u64, joined_seq: u64, bytes: usize) -> Pull {
        let state = self.lock();
        let Some(head) = &state.head else { return Pull::Behind };
        let mut rev = cursor;
        let mut frames = Vec::new();
        if cursor >= head.rev {
            return Pull::Frames { frames, rev };
        }
        if state.ring.front().is_none_or(|first| first.after > cursor) {
            return Pull::Behind;
        }
        let first_seq = if head.history_for == HistoryFor::Joined { joined_seq } else { 1 };
        let begin = state.ring.partition_point(|entry| entry.rev <= cursor);
        let mut taken = 0;
        for entry in state.ring.range(begin..) {
            // A leaving before this membership began is history.
            if entry.left.iter().any(|(seq, who)| who == user && *seq > joined_seq) {
                return if frames.is_empty() { Pull::Removed { rev: entry.rev } } else { Pull::Frames { frames, rev } };
            }
            if entry.min_seq < first_seq {
                return if frames.is_empty() { Pull::Behind } else { Pull::Frames { frames, rev } };
            }
            taken += entry.frame.len();
            frames.push(entry.frame.clone());
            rev = entry.rev;
            if taken >= bytes {
                break;
            }
        }
        Pull::Frames { frames, rev }
    }

    /// What is known of a user's membership, now: up to the head this log holds.
    pub fn member(&self, user: &UserId) -> Lookup {
        let mut state = self.lock();
        match state.members.get(user) {
            Some(Slot::Known(member)) => Lookup::Member(*member),
            Some(Slot::Loading(ticket)) => Lookup::Read(*ticket),
            None => {
                state.tickets += 1;
                let ticket = state.tickets;
                state.members.insert(user.clone(), Slot::Loading(ticket));
                Lookup::Read(ticket)
            }
        }
    }

    /// Takes what was read of a membership since [`member`](Self::member) gave the ticket. Returns it as it is
    /// now, or nothing if it changed meanwhile and has to be read again.
    pub fn learn(&self, user: &UserId, ticket: u64, read: Option<Member>) -> Option<Option<Member>> {
        let mut state = self.lock();
        match state.members.get(user) {
            Some(Slot::Known(member)) => Some(Some(*member)),
            Some(Slot::Loading(current)) if *current == ticket => {
                match read {
                    Some(member) => state.members.insert(user.clone(), Slot::Known(member)),
                    // Not kept: who is no member must not fill the memory.
                    None => state.members.remove(user),
                };
                Some(read)
            }
            _ => None,
        }
    }

    pub(super) fn set_read(&self, user: &UserId, seq: u64) {
        self.lock().touch(user, |member| member.last_read_seq = member.last_read_seq.max(seq));
    }

    /// The newest page, if it is still that.
    pub fn newest(&self) -> Option<NewestPage> {
        let state = self.lock();
        let rev = state.head.as_ref()?.rev;
        state.newest.as_ref().filter(|newest| newest.head.rev == rev).cloned()
    }

    /// Keeps the newest page, unless the log has moved on.
    pub fn keep_newest(&self, page: NewestPage) {
        let mut state = self.lock();
        if state.head.as_ref().is_some_and(|head| head.rev <= page.head.rev) {
            state.newest = Some(page);
        }
    }

    /// Wakes a reader until the subscription is dropped. Of a connection others see that its user is there.
    pub fn subscribe(self: &Arc<Self>, reader: &Arc<Reader>) -> Subscription {
        let came = reader.is_connection() && !self.is_connected(reader.user());
        self.lock().readers.push(reader.clone());
        if came {
            self.tell_presence(reader.user(), true);
        }
        Subscription { log: self.clone(), reader: reader.clone() }
    }

    /// Who reads the room at this moment, in order of id.
    pub fn online(&self) -> Vec<UserId> {
        let mut users: Vec<UserId> = self.lock().readers.iter().map(|reader| reader.user().clone()).collect();
        users.sort();
        users.dedup();
        users
    }

    fn unsubscribe(&self, reader: &Arc<Reader>) {
        let mut state = self.lock();
        if let Some(at) = state.readers.iter().position(|other| Arc::ptr_eq(other, reader)) {
            state.readers.swap_remove(at);
        }
        state.used = Instant::now();
    }

    /// Whether the caller should repair the hole; whoever got `true` calls [`end_repair`](Self::end_repair).
    pub fn begin_repair(&self) -> bool {
        !self.repairing.swap(true, Ordering::AcqRel)
    }

    /// The repair is over.
    pub fn end_repair(&self) {
        self.repairing.store(false, Ordering::Release);
    }

    fn is_connected(&self, user: &UserId) -> bool {
        self.lock().readers.iter().any(|reader| reader.is_connection() && reader.user() == user)
    }

    fn tell_presence(&self, user: &UserId, online: bool) {
        self.tell(&ServerFrame::Presence { room_id: &self.id, user_id: user, online }, user);
    }

    /// Sends a best-effort frame to everyone here but its author.
    pub fn tell(&self, frame: &ServerFrame<'_>, author: &UserId) {
        let frame = frame.encode();
        for reader in &self.lock().readers {
            if reader.user() != author {
                reader.aside(&self.id, frame.clone());
            }
        }
    }

    pub(super) fn wake(&self) {
        for reader in &self.lock().readers {
            reader.mark(&self.id);
        }
    }

    pub(super) fn add_feed(&self, user: &UserId) {
        self.lock().feeds.insert(user.clone());
    }

    /// The user's list no longer shows the room.
    pub fn remove_feed(&self, user: &UserId) {
        self.lock().feeds.remove(user);
    }

    pub(super) fn feeds(&self) -> Vec<UserId> {
        self.lock().feeds.iter().cloned().collect()
    }

    pub(super) fn used(&self) -> Instant {
        self.lock().used
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code here can panic while it holds the lock half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader's place in a room.
#[derive(Debug)]
#[must_use = "dropping it ends the subscription"]
pub struct Subscription {
    log: Arc<RoomLog>,
    reader: Arc<Reader>,
}

impl Subscription {
    /// The room's log.
    pub fn log(&self) -> &Arc<RoomLog> {
        &self.log
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.log.unsubscribe(&self.reader);
        if self.reader.is_connection() && !self.log.is_connected(self.reader.user()) {
            self.log.tell_presence(self.reader.user(), false);
        }
    }
}
