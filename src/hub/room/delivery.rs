//! Delivery: what is new in a room's log is given to everyone who reads it, in steps short enough for a task's turn.
//! One delivery is under way in a room at a time: what comes meanwhile it takes along, and so under load several
//! frames leave in one write. It holds no lock of the log while it writes.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::subscription::Subscriber;
use super::{RoomLog, State};
use crate::model::{HistoryFor, UserId};
use crate::protocol::{Wire, wire};

/// Subscribers given to in one step: at some 6 µs for a write, a third of a millisecond.
const STEP: usize = 64;
/// Bytes that leave in one write; a single frame may be longer.
const BATCH: usize = 64 << 10;

/// What lies between two points of a log.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) after: u64,
    pub(super) rev: u64,
    pub(super) frames: Wire,
    /// If only those may see it who joined at or before a message: at which.
    pub(super) for_joined_by: Option<u64>,
    /// Who left in it.
    pub(super) left: Vec<UserId>,
    /// Whether there is more behind it.
    more: bool,
}

/// A delivery under way.
#[derive(Debug)]
#[must_use = "whoever begins a delivery brings it to its end"]
pub struct Delivery {
    log: Arc<RoomLog>,
    /// How often a delivery had been asked for when this round began.
    asked: usize,
    batch: Batch,
    subscribers: Arc<[Arc<Subscriber>]>,
    /// How many of them have it.
    given: usize,
}

impl Delivery {
    /// Begins one; nothing if one is under way, which takes along what is new.
    pub(in crate::hub) fn begin(log: &Arc<RoomLog>) -> Option<Self> {
        if log.deliveries.fetch_add(1, Ordering::AcqRel) > 0 {
            return None;
        }
        let asked = log.deliveries.load(Ordering::Acquire);
        let (batch, subscribers) = log.next_batch();
        Some(Self { log: log.clone(), asked, batch, subscribers, given: 0 })
    }

    /// Gives to some. Returns whether there is more to do.
    pub fn step(&mut self) -> bool {
        let end = self.subscribers.len().min(self.given + STEP);
        let next = &self.subscribers[self.given..end];
        // What lies far apart in memory comes side by side here, where the locks and system calls of giving would have
        // it come one after the other.
        black_box(next.iter().fold(0, |sum, subscriber| sum ^ subscriber.touch()));
        for subscriber in next {
            subscriber.give(&self.log.id, &self.batch);
        }
        self.given = end;
        if end < self.subscribers.len() {
            return true;
        }
        if !self.batch.more && self.is_last() {
            return false;
        }
        (self.batch, self.subscribers) = self.log.next_batch();
        self.given = 0;
        true
    }

    /// Whether nobody has asked since the round began; then whoever asks next begins anew.
    fn is_last(&mut self) -> bool {
        let ended = self.log.deliveries.compare_exchange(self.asked, 0, Ordering::AcqRel, Ordering::Acquire);
        match ended {
            Ok(_) => self.asked = 0,
            Err(asked) => self.asked = asked,
        }
        ended.is_ok()
    }
}

impl Drop for Delivery {
    /// One that was cut off leaves nobody waiting: who has not been given to reads on themselves.
    fn drop(&mut self) {
        if self.asked > 0 {
            self.log.deliveries.store(0, Ordering::Release);
            self.log.subscribers().iter().for_each(|subscriber| subscriber.fall_behind(&self.log.id));
        }
    }
}

impl RoomLog {
    /// What was not delivered yet, and to whom. Who subscribes after this begins behind it, or reads it themselves.
    fn next_batch(&self) -> (Batch, Arc<[Arc<Subscriber>]>) {
        let mut state = self.lock();
        let batch = state.next_batch();
        (batch, state.subscribers())
    }
}

impl State {
    fn next_batch(&mut self) -> Batch {
        // Whoever was live before what memory still holds is behind now.
        let after = self.ring.front().map_or(self.delivered, |first| first.after.max(self.delivered));
        let begin = self.ring.partition_point(|entry| entry.rev <= after);
        let (mut bytes, mut left, mut min_seq, mut rev) = (Vec::new(), Vec::new(), u64::MAX, after);
        for entry in self.ring.range(begin..) {
            wire::put(&entry.frame, &mut bytes);
            left.extend(entry.left.iter().map(|(_, user)| user.clone()));
            min_seq = min_seq.min(entry.min_seq);
            rev = entry.rev;
            if bytes.len() >= BATCH {
                break;
            }
        }
        self.delivered = rev;
        let joined_only = self.head.as_ref().is_some_and(|head| head.history_for == HistoryFor::Joined);
        Batch {
            after,
            rev,
            frames: bytes.into(),
            for_joined_by: joined_only.then_some(min_seq),
            left,
            more: self.ring.back().is_some_and(|last| last.rev > rev),
        }
    }

    pub(super) fn subscribers(&mut self) -> Arc<[Arc<Subscriber>]> {
        // Copied only when somebody came or went since.
        self.snapshot.get_or_insert_with(|| self.subscribers.iter().cloned().collect()).clone()
    }
}
