//! A room's log as this instance follows it: its head, its last frames, those members it was asked about, and who
//! reads it. It moves only forward and only without a hole: a change that comes early waits for its neighbour.

mod delivery;
mod since;
mod state;
mod subscription;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::value::RawValue;
use tokio::sync::OnceCell;

pub use self::delivery::Delivery;
pub use self::since::Since;
use self::state::{EARLY, Known, Slot, State};
pub use self::subscription::{Position, Subscription};
use super::feed::UserFeed;
use super::moves::{Moves, Touched};
use super::reader::Ending;
use super::{LINGER, Trust};
use crate::model::{Changes, Head, HistoryFor, Member, RoomId, UserId};
use crate::protocol::Frame;
use crate::protocol::publication::Change;

/// A room's log, followed.
#[derive(Debug)]
pub struct RoomLog {
    id: RoomId,
    /// Set once the head was read; one reads for all who wait.
    pub loaded: OnceCell<()>,
    /// Whether nothing can have been missed since the head was compared with the store last.
    pub trust: Trust,
    repairing: AtomicBool,
    /// How often a delivery was asked for since the one under way began; 0 if none is.
    deliveries: AtomicUsize,
    touched: Arc<Touched>,
    state: Mutex<State>,
}

/// The newest page, kept while nothing has changed since.
#[derive(Debug, Clone)]
pub struct NewestPage {
    /// Its messages, as JSON.
    pub messages: Arc<RawValue>,
    /// The `before` of the page before it, if there is one.
    pub cursor: Option<u64>,
    /// The `rev` it is complete to.
    pub rev: u64,
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
    pub(super) fn new(id: RoomId, touched: Arc<Touched>) -> Self {
        let state = Mutex::new(State::new());
        Self {
            id,
            loaded: OnceCell::new(),
            trust: Trust::default(),
            repairing: AtomicBool::default(),
            deliveries: AtomicUsize::default(),
            touched,
            state,
        }
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
            state.settle();
        }
    }

    /// Takes from a head that was read what is set on a room without a change of its log.
    pub fn adopt(&self, read: &Head) {
        if let Some(head) = self.lock().head.as_mut().filter(|head| head.history == read.history) {
            head.quota.clone_from(&read.quota);
            // The log tells of it, but not to whoever began from a head of an instance that does not know of it.
            head.oldest_seq = head.oldest_seq.max(read.oldest_seq);
            head.expired_rev = head.expired_rev.max(read.expired_rev);
        }
    }

    /// The head, once it is loaded.
    pub fn head(&self) -> Option<Head> {
        let mut state = self.lock();
        state.used = Instant::now();
        state.head.clone()
    }

    /// The head, for those who look from time to time and do not read it.
    pub fn known_head(&self) -> Option<Head> {
        self.lock().head.clone()
    }

    /// The head's `rev`, for the same.
    pub fn known_rev(&self) -> Option<u64> {
        self.lock().head.as_ref().map(|head| head.rev)
    }

    /// Applies changes; those that come early wait. Returns whether the log is behind what is known to exist.
    pub(super) fn apply(&self, changes: &[Change]) -> bool {
        let mut state = self.lock();
        if state.early.len() + changes.len() > EARLY {
            // The repair reads them from the store: `expected` remembers that they exist.
            state.early.clear();
        }
        let known = state.head.as_ref().map_or(0, |head| head.rev);
        state.expected = changes.iter().map(|change| change.rev).max().unwrap_or(0).max(state.expected);
        state.early.extend(changes.iter().filter(|c| c.rev > known).map(|c| (c.rev, c.clone())));
        state.settle();
        state.is_behind()
    }

    /// The primary was seen to hold changes up to this `rev`. Returns whether the log is behind it.
    pub fn expect(&self, rev: u64) -> bool {
        let mut state = self.lock();
        state.expected = state.expected.max(rev);
        state.is_behind()
    }

    /// The `rev` the log holds and the one it should hold, while it is behind.
    pub fn behind(&self) -> Option<(u64, u64)> {
        let state = self.lock();
        state.head.as_ref().filter(|_| state.is_behind()).map(|head| (head.rev, state.expected))
    }

    /// Takes in what was read from the store to fill a hole below `expected`. Rows whose `rev` has moved on leave
    /// numbers empty; then this is one step, told as a page that is complete up to its `rev`.
    ///
    /// Publish follows commit, so whatever was expected before the store was read is in the store; if it is not,
    /// somebody made it up, and it is forgotten.
    pub fn fill(&self, changes: &Changes, expected: u64) {
        let mut state = self.lock();
        if changes.head.rev < expected {
            state.early.retain(|rev, _| *rev <= changes.head.rev || *rev > expected);
            let highest = state.early.keys().next_back().copied().unwrap_or(0);
            state.expected = highest.max(changes.head.rev);
        }
        state.fill(&self.id, changes);
        state.settle();
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
        match state.members.get_mut(user) {
            Some(Slot::Known(known)) if known.as_of >= known.feed.floor() => {
                known.used = Instant::now();
                return Lookup::Member(known.member);
            }
            Some(Slot::Loading(ticket)) => return Lookup::Read(*ticket),
            _ => {}
        }
        state.tickets += 1;
        let ticket = state.tickets;
        state.members.insert(user.clone(), Slot::Loading(ticket));
        Lookup::Read(ticket)
    }

    /// Takes what was read of a membership, as of the user's `rev`, since [`member`](Self::member) gave the ticket.
    /// Returns it as it is now, or nothing if it changed meanwhile and has to be read again.
    pub fn learn(&self, feed: &Arc<UserFeed>, ticket: u64, as_of: u64, read: Option<Member>) -> Option<Option<Member>> {
        feed.seen(as_of);
        let user = feed.user();
        let mut state = self.lock();
        match state.members.get(user) {
            Some(Slot::Known(known)) if known.as_of >= known.feed.floor() => Some(Some(known.member)),
            Some(Slot::Loading(current)) if *current == ticket => {
                match read {
                    Some(member) => {
                        let known = Known { member, as_of, feed: feed.clone(), used: Instant::now() };
                        state.members.insert(user.clone(), Slot::Known(known));
                    }
                    // Not kept: who is no member must not fill the memory.
                    None => drop(state.members.remove(user)),
                }
                Some(read)
            }
            _ => None,
        }
    }

    /// Forgets memberships that nobody asked for in a while.
    pub(super) fn sweep(&self, now: Instant) {
        let fresh = |used: Instant| now.saturating_duration_since(used) < LINGER;
        let mut state = self.lock();
        if state.subscribers.is_empty() {
            state.told_read.clear();
        }
        state.members.retain(|_, slot| !matches!(slot, Slot::Known(known) if !fresh(known.used)));
    }

    /// Whether a user's read position of this `rev` of theirs is told for the first time: what this instance did
    /// comes back over the bus.
    pub(super) fn is_news(&self, user: &UserId, rev: u64) -> bool {
        let mut state = self.lock();
        let told = state.told_read.entry(user.clone()).or_insert(0);
        let news = rev > *told;
        *told = rev.max(*told);
        news
    }

    pub(super) fn set_read(&self, user: &UserId, seq: u64) {
        self.lock().touch(user, |member| member.last_read_seq = member.last_read_seq.max(seq));
    }

    /// The newest page, if it is still that.
    pub fn newest(&self) -> Option<NewestPage> {
        let state = self.lock();
        let rev = state.head.as_ref()?.rev;
        state.newest.as_ref().filter(|newest| newest.rev == rev).cloned()
    }

    /// Keeps the newest page, unless the log has moved on.
    pub fn keep_newest(&self, page: NewestPage) {
        let mut state = self.lock();
        if state.head.as_ref().is_some_and(|head| head.rev <= page.rev) {
            state.newest = Some(page);
        }
    }

    /// Whose connections came and went since this was asked last. Polls come and go too often for others to be told.
    pub fn moves(&self) -> Moves {
        let mut state = self.lock();
        let readers = state.subscribers.iter().map(|subscriber| subscriber.reader());
        let connections = readers.filter(|reader| reader.is_connection());
        let connected: HashSet<UserId> = connections.map(|reader| reader.user().clone()).collect();
        let came = connected.difference(&state.connected).cloned().collect();
        let went = state.connected.difference(&connected).cloned().collect();
        state.connected = connected;
        Moves { came, went }
    }

    /// Who was connected when [`moves`](Self::moves) was asked last.
    pub fn connected(&self) -> Vec<UserId> {
        self.lock().connected.iter().cloned().collect()
    }

    /// Whether the caller should repair; whoever got `true` calls [`end_repair`](Self::end_repair).
    pub fn begin_repair(&self) -> bool {
        !self.repairing.swap(true, Ordering::AcqRel)
    }

    /// The repair is over.
    pub fn end_repair(&self) {
        self.repairing.store(false, Ordering::Release);
    }

    /// Sends a best-effort frame to everyone here but its author.
    pub fn tell(&self, frame: &Frame, author: &UserId) {
        for subscriber in self.subscribers().iter().filter(|subscriber| subscriber.reader().user() != author) {
            subscriber.reader().aside(&self.id, frame.clone());
        }
    }

    /// Ends the log: those who read it are told that it belongs to a history that is over.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        // Members hold their feeds, and these their rooms: here the circle is cut.
        state.members.clear();
        state.snapshot = None;
        for subscriber in std::mem::take(&mut state.subscribers) {
            subscriber.reader().end(Ending::HistoryChanged);
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
