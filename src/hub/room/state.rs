//! What a room's log holds behind its lock, and how it moves: step by step, each from the `rev` of the one before.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::NewestPage;
use super::subscription::Subscriber;
use crate::hub::UserFeed;
use crate::model::{Changes, ContentType, Effect, Head, Member, Message, RoomId, Timestamp, UserId};
use crate::protocol::publication::{Change, Origin};
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
    pub(super) early: BTreeMap<u64, Change>,
    /// The highest `rev` known to exist, from whatever source: below it the log is behind.
    pub(super) expected: u64,
    pub(super) members: HashMap<UserId, Slot>,
    pub(super) tickets: u64,
    pub(super) newest: Option<NewestPage>,
    pub(super) subscribers: Vec<Arc<Subscriber>>,
    /// The same as a list that stays as it is, while nobody comes or goes.
    pub(super) snapshot: Option<Arc<[Arc<Subscriber>]>>,
    /// Up to which `rev` the log was delivered, or is being delivered.
    pub(super) delivered: u64,
    pub(super) feeds: HashSet<UserId>,
    /// The `rev` of each user whose read position was told last.
    pub(super) told_read: HashMap<UserId, u64>,
    /// Whose connections others were told of.
    pub(super) connected: HashSet<UserId>,
    pub(super) used: Instant,
}

/// One step of the log: from `after` to `rev`.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) after: u64,
    pub(super) rev: u64,
    pub(super) frame: Frame,
    /// The lowest message in it, for those whose history begins at their joining; 0 if nobody may have it from here.
    pub(super) min_seq: u64,
    /// Who left in it, at which message.
    pub(super) left: Vec<(u64, UserId)>,
    pub(super) birth: Birth,
}

/// When something was committed, if that is known, and where this instance has it from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Birth {
    pub(super) committed_at: Option<Timestamp>,
    pub(super) from: Origin,
}

impl Birth {
    /// Of what was read from the store. A message that was not seen before was committed when it was written; when an
    /// older one was changed last, it does not say.
    fn of_stored<'a>(messages: impl Iterator<Item = &'a Arc<Message>>, last_seq: u64) -> Self {
        let unseen = messages.filter(|message| message.seq > last_seq);
        Self { committed_at: unseen.map(|message| message.created_at).min(), from: Origin::Store }
    }
}

/// What is known of a user's membership.
#[derive(Debug)]
pub(super) enum Slot {
    /// Being read; what changes meanwhile throws the slot away, and it is read again.
    Loading(u64),
    Known(Known),
}

/// A membership in memory. It holds the user's feed, which says whether a change of theirs was missed since.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) member: Member,
    /// The user's `rev` when it was read.
    pub(super) as_of: u64,
    pub(super) feed: Arc<UserFeed>,
    pub(super) used: Instant,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            head: None,
            ring: VecDeque::new(),
            ring_bytes: 0,
            early: BTreeMap::new(),
            expected: 0,
            members: HashMap::new(),
            tickets: 0,
            newest: None,
            subscribers: Vec::new(),
            snapshot: None,
            delivered: 0,
            feeds: HashSet::new(),
            told_read: HashMap::new(),
            connected: HashSet::new(),
            used: Instant::now(),
        }
    }

    /// Moves forward over what is there without a hole.
    pub(super) fn settle(&mut self) {
        let Some(head) = &self.head else { return };
        self.early = self.early.split_off(&(head.rev + 1));
        while let Some(change) = self.next_early() {
            let birth = Birth { committed_at: change.committed_at, from: change.from };
            self.step(change.rev - 1, change.rev, change.frame.clone(), &[Fact::of_change(&change)], birth);
        }
    }

    pub(super) fn is_behind(&self) -> bool {
        self.head.as_ref().is_some_and(|head| head.rev < self.expected)
    }

    /// Dense: only the neighbour of the head is taken. What lies above a hole waits for it.
    fn next_early(&mut self) -> Option<Change> {
        let next = self.head.as_ref()?.rev + 1;
        self.early.remove(&next)
    }

    pub(super) fn fill(&mut self, room: &RoomId, changes: &Changes) {
        let Some((after, last_seq)) = self.head.as_ref().map(|head| (head.rev, head.last_seq)) else { return };
        if changes.rev <= after {
            return;
        }
        let expired = (changes.head.oldest_seq, changes.head.expired_rev);
        // Who left in what was removed meanwhile is not known here any more: everyone reads on in the store, which is
        // asked with their membership.
        let is_torn = after < expired.1;
        let messages: Vec<_> = changes.messages.iter().filter(|m| m.rev > after).cloned().collect();
        if messages.len() as u64 == changes.rev - after {
            // Nothing has moved on since: each as it would have come by itself.
            for message in &messages {
                let (change, birth) = (Change::new(room, message), Birth::of_stored([message].into_iter(), last_seq));
                self.step(change.rev - 1, change.rev, change.frame.clone(), &[Fact::of_change(&change)], birth);
            }
        } else {
            let (rev, oldest_seq) = (changes.rev, changes.head.begins_at());
            let frame = ServerFrame::Messages { room_id: room, messages: &messages, rev, oldest_seq }.encode();
            let effects: Vec<_> = messages.iter().map(|m| m.effect()).collect();
            let facts = messages.iter().zip(&effects).map(|(message, effect)| Fact {
                seq: message.seq,
                created_at: message.created_at,
                sender: (message.content_type != ContentType::System).then_some(&message.sender_id),
                effect: effect.as_ref(),
            });
            let birth = Birth::of_stored(messages.iter(), last_seq);
            self.step(after, changes.rev, frame, &facts.collect::<Vec<_>>(), birth);
            self.expire(expired);
        }
        if is_torn {
            self.members.clear();
            for entry in self.ring.iter_mut().filter(|entry| entry.rev > after) {
                entry.min_seq = 0;
            }
        }
        if changes.rev == changes.head.rev {
            // Complete: what counts members apart from the log's own messages counts here too.
            self.head = Some(changes.head.clone());
        }
    }

    fn step(&mut self, after: u64, rev: u64, frame: Frame, facts: &[Fact<'_>], birth: Birth) {
        let mut left = Vec::new();
        for fact in facts {
            self.take_in(fact);
            if let Some(Effect::Left(user)) = fact.effect {
                left.push((fact.seq, user.clone()));
            }
        }
        if let Some(head) = &mut self.head {
            head.rev = rev;
        }
        self.ring_bytes += frame.len();
        let min_seq = facts.iter().map(|fact| fact.seq).min().unwrap_or(u64::MAX);
        self.ring.push_back(Entry { after, rev, frame, min_seq, left, birth });
        while self.ring.len() > RING_FRAMES || self.ring_bytes > RING_BYTES {
            let Some(dropped) = self.ring.pop_front() else { break };
            self.ring_bytes -= dropped.frame.len();
        }
    }

    /// What a message means for the head and the members.
    fn take_in(&mut self, fact: &Fact<'_>) {
        let Some(head) = &mut self.head else { return };
        if fact.seq > head.last_seq {
            head.last_seq = fact.seq;
            head.last_message_at = Some(fact.created_at);
            match fact.effect {
                Some(Effect::Joined(_)) => head.member_count += 1,
                Some(Effect::Left(_)) => head.member_count = head.member_count.saturating_sub(1),
                _ => {}
            }
        }
        if let Some(sender) = fact.sender {
            // Sending moved the sender's position to the message; a later change of it finds that done.
            self.touch(sender, |member| member.last_read_seq = member.last_read_seq.max(fact.seq));
        }
        match fact.effect {
            // Read again when somebody asks: it happens once, and the store knows the role.
            Some(Effect::Joined(user) | Effect::Left(user)) => drop(self.members.remove(user)),
            Some(Effect::Role(user, role)) => self.touch(user, |member| member.role = *role),
            Some(Effect::History(history_for)) => {
                if let Some(head) = &mut self.head {
                    head.history_for = *history_for;
                }
            }
            Some(Effect::Expired(oldest_seq, rev)) => self.expire((*oldest_seq, *rev)),
            None => {}
        }
    }

    /// The log begins later now: at this message, without changes up to this `rev` of those before it.
    fn expire(&mut self, (oldest_seq, expired_rev): (u64, u64)) {
        if let Some(head) = &mut self.head {
            head.oldest_seq = head.oldest_seq.max(oldest_seq);
            head.expired_rev = head.expired_rev.max(expired_rev);
        }
    }

    /// Changes what is known of a member. What is being read of them may be older, and is thrown away.
    pub(super) fn touch(&mut self, user: &UserId, change: impl FnOnce(&mut Member)) {
        match self.members.get_mut(user) {
            Some(Slot::Known(known)) => change(&mut known.member),
            Some(Slot::Loading(_)) => drop(self.members.remove(user)),
            None => {}
        }
    }
}

/// What of a message counts for the head and the members.
struct Fact<'a> {
    seq: u64,
    created_at: Timestamp,
    /// The person who wrote it.
    sender: Option<&'a UserId>,
    effect: Option<&'a Effect>,
}

impl<'a> Fact<'a> {
    fn of_change(change: &'a Change) -> Self {
        Self {
            seq: change.seq,
            created_at: change.created_at,
            sender: change.sender_id.as_ref(),
            effect: change.effect.as_ref(),
        }
    }
}
