//! A room's log as this instance follows it: its head, its last frames, those members it was asked about, and who
//! reads it. It moves only forward and only without a hole: a change that comes early waits for its neighbour.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::OnceCell;

use super::reader::Reader;
use crate::model::{Changes, ContentType, Effect, Head, HistoryFor, Member, Message, RoomId, UserId};
use crate::protocol::{Frame, ServerFrame};

/// Frames kept for readers who are a little behind. The rest is read from the store.
const RING_FRAMES: usize = 256;
/// Bytes kept for them.
const RING_BYTES: usize = 1 << 20;
/// Changes that may wait for their neighbour. With more, all are dropped: the repair reads them from the store.
const EARLY: usize = 1024;

/// A room's log, followed.
#[derive(Debug)]
pub struct RoomLog {
    id: RoomId,
    /// Set once the head was read; one reads for all who wait.
    pub loaded: OnceCell<()>,
    repairing: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    head: Option<Head>,
    ring: VecDeque<Entry>,
    ring_bytes: usize,
    early: BTreeMap<u64, Arc<Message>>,
    /// Early changes were dropped, so there is a hole although nothing waits above it.
    lost: bool,
    members: HashMap<UserId, Slot>,
    tickets: u64,
    newest: Option<NewestPage>,
    readers: Vec<Arc<Reader>>,
    feeds: HashSet<UserId>,
    used: Instant,
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

/// One step of the log: from `after` to `rev`.
#[derive(Debug)]
struct Entry {
    after: u64,
    rev: u64,
    frame: Frame,
    /// The lowest message in it, for those whose history begins at their joining.
    min_seq: u64,
    /// Who left in it, at which message.
    left: Vec<(u64, UserId)>,
}

/// What is known of a user's membership.
#[derive(Debug)]
enum Slot {
    /// Being read; what changes meanwhile throws the slot away, and it is read again.
    Loading(u64),
    Known(Member),
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
        let state = State {
            head: None,
            ring: VecDeque::new(),
            ring_bytes: 0,
            early: BTreeMap::new(),
            lost: false,
            members: HashMap::new(),
            tickets: 0,
            newest: None,
            readers: Vec::new(),
            feeds: HashSet::new(),
            used: Instant::now(),
        };
        Self { id, loaded: OnceCell::new(), repairing: AtomicBool::new(false), state: Mutex::new(state) }
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

    /// Wakes a reader until the subscription is dropped.
    pub fn subscribe(self: &Arc<Self>, reader: &Arc<Reader>) -> Subscription {
        self.begin(reader, false)
    }

    /// The same for a connection: others see that its user is there.
    pub fn enter(self: &Arc<Self>, reader: &Arc<Reader>) -> Subscription {
        let came = !self.is_online(reader.user());
        let subscription = self.begin(reader, true);
        if came {
            self.tell_presence(reader.user(), true);
        }
        subscription
    }

    fn begin(self: &Arc<Self>, reader: &Arc<Reader>, present: bool) -> Subscription {
        self.lock().readers.push(reader.clone());
        Subscription { log: self.clone(), reader: reader.clone(), present }
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

    fn is_online(&self, user: &UserId) -> bool {
        self.lock().readers.iter().any(|reader| reader.user() == user)
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

impl State {
    /// Moves forward over what is there without a hole.
    fn settle(&mut self, room: &RoomId) {
        let Some(head) = &self.head else { return };
        self.early = self.early.split_off(&(head.rev + 1));
        while let Some(message) = self.next_early() {
            let after = message.rev - 1;
            let frame = ServerFrame::Message { room_id: room, message: &message }.encode();
            self.step(after, message.rev, frame, std::slice::from_ref(&message));
        }
    }

    fn has_hole(&self) -> bool {
        self.head.is_some() && (self.lost || !self.early.is_empty())
    }

    /// Dense: only the neighbour of the head is taken. What lies above a hole waits for it.
    fn next_early(&mut self) -> Option<Arc<Message>> {
        let next = self.head.as_ref()?.rev + 1;
        self.early.remove(&next)
    }

    fn fill(&mut self, room: &RoomId, changes: &Changes) {
        let Some(after) = self.head.as_ref().map(|head| head.rev) else { return };
        let messages: Vec<_> = changes.messages.iter().filter(|m| m.rev > after).cloned().collect();
        if changes.rev > after {
            let frame = ServerFrame::Messages { room_id: room, messages: &messages, rev: changes.rev }.encode();
            self.step(after, changes.rev, frame, &messages);
        }
    }

    fn step(&mut self, after: u64, rev: u64, frame: Frame, messages: &[Arc<Message>]) {
        let mut left = Vec::new();
        for message in messages {
            self.take_in(message);
            if let Some(Effect::Left(user)) = message.effect() {
                left.push((message.seq, user));
            }
        }
        if let Some(head) = &mut self.head {
            head.rev = rev;
        }
        self.ring_bytes += frame.len();
        let min_seq = messages.iter().map(|m| m.seq).min().unwrap_or(u64::MAX);
        self.ring.push_back(Entry { after, rev, frame, min_seq, left });
        while self.ring.len() > RING_FRAMES || self.ring_bytes > RING_BYTES {
            let Some(dropped) = self.ring.pop_front() else { break };
            self.ring_bytes -= dropped.frame.len();
        }
    }

    /// What a message means for the head and the members.
    fn take_in(&mut self, message: &Message) {
        let Some(head) = &mut self.head else { return };
        let seq = message.seq;
        if seq > head.last_seq {
            head.last_seq = seq;
            head.last_message_at = Some(message.created_at);
        }
        if message.content_type != ContentType::System {
            // Sending moved the sender's position to the message; a later change of it finds that done.
            self.touch(&message.sender_id, |member| member.last_read_seq = member.last_read_seq.max(seq));
        }
        match message.effect() {
            // Read again when somebody asks: it happens once, and the store knows the role.
            Some(Effect::Joined(user) | Effect::Left(user)) => drop(self.members.remove(&user)),
            Some(Effect::Role(user, role)) => self.touch(&user, |member| member.role = role),
            None => {}
        }
    }

    /// Changes what is known of a member. What is being read of them may be older, and is thrown away.
    fn touch(&mut self, user: &UserId, change: impl FnOnce(&mut Member)) {
        match self.members.get_mut(user) {
            Some(Slot::Known(member)) => change(member),
            Some(Slot::Loading(_)) => drop(self.members.remove(user)),
            None => {}
        }
    }
}

/// A reader's place in a room.
#[derive(Debug)]
#[must_use = "dropping it ends the subscription"]
pub struct Subscription {
    log: Arc<RoomLog>,
    reader: Arc<Reader>,
    present: bool,
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
        if self.present && !self.log.is_online(self.reader.user()) {
            self.log.tell_presence(self.reader.user(), false);
        }
    }
}
