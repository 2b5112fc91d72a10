//! One who reads: a connection, or a held poll. It is told *that* something moved, never what: it reads that from
//! its own cursor when it gets to it. So a slow reader costs one mark per room, however much it misses.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, futures::Notified};

use crate::model::{RoomId, UserId};
use crate::protocol::Frame;

/// Best-effort frames (typing, presence, read) waiting for one reader. When as many wait, further ones are dropped.
const ASIDES: usize = 64;

/// One who reads rooms and room lists.
#[derive(Debug)]
pub struct Reader {
    user: UserId,
    is_connection: bool,
    ended: AtomicBool,
    inbox: Mutex<Inbox>,
    /// Best-effort frames, and the room each is about. They wait here, where they are bounded, until the reader has
    /// nothing better to send.
    asides: Mutex<VecDeque<(RoomId, Frame)>>,
    wake: Notify,
}

/// What moved since the reader last looked.
#[derive(Debug, Default)]
pub struct Inbox {
    /// Rooms whose log moved.
    pub rooms: HashSet<RoomId>,
    /// Rooms of the user's list that moved, came or went.
    pub listed: HashSet<RoomId>,
    /// The list as a whole has to be looked at: a change of it was missed.
    pub relist: bool,
}

impl Reader {
    /// A held poll on behalf of a user. It comes and goes too often for others to be told.
    pub fn of_poll(user: UserId) -> Self {
        Self {
            user,
            is_connection: false,
            ended: AtomicBool::new(false),
            inbox: Mutex::default(),
            asides: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// A connection on behalf of a user: others are told when they come and go.
    pub fn of_connection(user: UserId) -> Self {
        Self { is_connection: true, ..Self::of_poll(user) }
    }

    /// Whether it is a connection.
    pub fn is_connection(&self) -> bool {
        self.is_connection
    }

    /// On whose behalf it reads.
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// Resolves once something moved since the last [`take`](Self::take); at once if it did already.
    pub fn woken(&self) -> Notified<'_> {
        self.wake.notified()
    }

    /// What moved, and forgets it.
    pub fn take(&self) -> Inbox {
        std::mem::take(&mut *self.lock())
    }

    /// A room's log moved.
    pub fn mark(&self, room: &RoomId) {
        if self.lock().rooms.insert(room.clone()) {
            self.wake.notify_one();
        }
    }

    pub(super) fn mark_listed(&self, room: &RoomId) {
        if self.lock().listed.insert(room.clone()) {
            self.wake.notify_one();
        }
    }

    pub(super) fn mark_list(&self) {
        self.lock().relist = true;
        self.wake.notify_one();
    }

    /// What it reads belongs to a history that is over.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Whether what it reads belongs to a history that is over.
    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// The best-effort frames that wait, and forgets them.
    pub fn take_asides(&self) -> VecDeque<(RoomId, Frame)> {
        std::mem::take(&mut *self.asides.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn aside(&self, room: &RoomId, frame: Frame) {
        let mut asides = self.asides.lock().unwrap_or_else(PoisonError::into_inner);
        if asides.len() < ASIDES {
            asides.push_back((room.clone(), frame));
            drop(asides);
            self.wake.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        // No code here can panic while it holds the lock half way through a change.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_effort_frames_are_bounded_however_often_a_reader_looks_elsewhere() {
        let reader = Reader::of_connection("ann".parse().expect("an id"));
        let room: RoomId = "r".parse().expect("an id");
        for _ in 0..10 {
            (0..ASIDES).for_each(|_| reader.aside(&room, Frame::from_static("{}")));
            reader.mark(&room);
            assert_eq!(reader.take().rooms.len(), 1, "a reader who is behind looks for what moved");
        }
        assert_eq!(reader.take_asides().len(), ASIDES);
        assert!(reader.take_asides().is_empty());
    }
}
