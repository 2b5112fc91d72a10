//! What a room's log holds behind its lock, and how it moves: step by step, each from the `rev` of the one before.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::NewestPage;
use crate::hub::Reader;
use crate::model::{Changes, ContentType, Effect, Head, Member, Message, RoomId, UserId};
use crate::protocol::{Frame, ServerFrame};

/// Frames kept for readers who are a little behind. The rest is read from the store.
const RING_FRAMES: usize = 256;
/// Bytes kept for them.
const RING_BYTES: usize = 1 << 20;
/// Changes that may wait for their neighbour. With more, all are dropped: the repair reads them from the store.
pub(super) const EARLY: usize = 1024;

#[derive(Debug)]
pub(super) struct State {
    pub(super) head: Option<Head>,
    pub(super) ring: VecDeque<Entry>,
    pub(super) ring_bytes: usize,
    pub(super) early: BTreeMap<u64, Arc<Message>>,
    /// Early changes were dropped, so there is a hole although nothing waits above it.
    pub(super) lost: bool,
    pub(super) members: HashMap<UserId, Slot>,
    pub(super) tickets: u64,
    pub(super) newest: Option<NewestPage>,
    pub(super) readers: Vec<Arc<Reader>>,
    pub(super) feeds: HashSet<UserId>,
    pub(super) used: Instant,
}

/// One step of the log: from `after` to `rev`.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) after: u64,
    pub(super) rev: u64,
    pub(super) frame: Frame,
    /// The lowest message in it, for those whose history begins at their joining.
    pub(super) min_seq: u64,
    /// Who left in it, at which message.
    pub(super) left: Vec<(u64, UserId)>,
}

/// What is known of a user's membership.
#[derive(Debug)]
pub(super) enum Slot {
    /// Being read; what changes meanwhile throws the slot away, and it is read again.
    Loading(u64),
    Known(Member),
}

impl State {
    pub(super) fn new() -> Self {
        Self {
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
        }
    }

    /// Moves forward over what is there without a hole.
    pub(super) fn settle(&mut self, room: &RoomId) {
        let Some(head) = &self.head else { return };
        self.early = self.early.split_off(&(head.rev + 1));
        while let Some(message) = self.next_early() {
            let after = message.rev - 1;
            let frame = ServerFrame::Message { room_id: room, message: &message }.encode();
            self.step(after, message.rev, frame, std::slice::from_ref(&message));
        }
    }

    pub(super) fn has_hole(&self) -> bool {
        self.head.is_some() && (self.lost || !self.early.is_empty())
    }

    /// Dense: only the neighbour of the head is taken. What lies above a hole waits for it.
    fn next_early(&mut self) -> Option<Arc<Message>> {
        let next = self.head.as_ref()?.rev + 1;
        self.early.remove(&next)
    }

    pub(super) fn fill(&mut self, room: &RoomId, changes: &Changes) {
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
    pub(super) fn touch(&mut self, user: &UserId, change: impl FnOnce(&mut Member)) {
        match self.members.get_mut(user) {
            Some(Slot::Known(member)) => change(member),
            Some(Slot::Loading(_)) => drop(self.members.remove(user)),
            None => {}
        }
    }
}
