//! A user's room list in memory: which rooms, and the user's `rev` they belong to.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::reader::Reader;
use super::room::RoomLog;
use crate::model::{RoomId, UserId};

/// A user's room list, followed.
#[derive(Debug)]
pub struct UserFeed {
    user: UserId,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The user's `rev` that `rooms` belongs to; none before it was read, or once a change was missed.
    rev: Option<u64>,
    /// The highest `rev` heard of: a list read below it has missed something.
    heard: u64,
    rooms: HashMap<RoomId, Arc<RoomLog>>,
    readers: Vec<Arc<Reader>>,
    used: Instant,
}

impl UserFeed {
    pub(super) fn new(user: UserId) -> Self {
        let state = State { rev: None, heard: 0, rooms: HashMap::new(), readers: Vec::new(), used: Instant::now() };
        Self { user, state: Mutex::new(state) }
    }

    /// Whose list it is.
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// The user's `rev`, if the list is up to date with it.
    pub fn rev(&self) -> Option<u64> {
        let mut state = self.lock();
        state.used = Instant::now();
        state.rev
    }

    /// Sets the list as it was read at `rev`, and returns the rooms that are no longer in it; nothing if a later
    /// change was heard of meanwhile, so that the list has to be read again.
    pub fn load(&self, rev: u64, rooms: &[RoomId]) -> Option<Vec<Arc<RoomLog>>> {
        let mut state = self.lock();
        if state.heard > rev {
            return None;
        }
        state.rev = Some(rev);
        let kept: HashSet<&RoomId> = rooms.iter().collect();
        Some(state.rooms.extract_if(|id, _| !kept.contains(id)).map(|(_, log)| log).collect())
    }

    /// Takes the next `rev`. One that is not the next shows that a change was missed or crossed: the list is then
    /// read anew, and this returns false. One that is known already is nothing new.
    pub(super) fn advance(&self, rev: u64) -> bool {
        let mut state = self.lock();
        state.heard = state.heard.max(rev);
        match state.rev {
            Some(known) if rev == known + 1 => {
                state.rev = Some(rev);
                true
            }
            Some(known) if rev <= known => false,
            _ => {
                state.rev = None;
                false
            }
        }
    }

    /// The rooms in the list.
    pub fn rooms(&self) -> Vec<Arc<RoomLog>> {
        self.lock().rooms.values().cloned().collect()
    }

    /// One room of the list.
    pub fn room(&self, id: &RoomId) -> Option<Arc<RoomLog>> {
        self.lock().rooms.get(id).cloned()
    }

    /// Wakes a reader until the subscription is dropped.
    pub fn subscribe(self: &Arc<Self>, reader: &Arc<Reader>) -> ListSubscription {
        self.lock().readers.push(reader.clone());
        ListSubscription { feed: self.clone(), reader: reader.clone() }
    }

    fn unsubscribe(&self, reader: &Arc<Reader>) {
        let mut state = self.lock();
        state.readers.retain(|other| !Arc::ptr_eq(other, reader));
        state.used = Instant::now();
    }

    pub(super) fn add(&self, log: Arc<RoomLog>) {
        self.lock().rooms.insert(log.id().clone(), log);
    }

    pub(super) fn remove(&self, room: &RoomId) {
        self.lock().rooms.remove(room);
    }

    pub(super) fn wake(&self, room: &RoomId) {
        for reader in &self.lock().readers {
            reader.mark_listed(room);
        }
    }

    pub(super) fn is_unread(&self) -> bool {
        self.lock().readers.is_empty()
    }

    pub(super) fn used(&self) -> Instant {
        self.lock().used
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code here can panic while it holds the lock half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader's place at a room list.
#[derive(Debug)]
#[must_use = "dropping it ends the subscription"]
pub struct ListSubscription {
    feed: Arc<UserFeed>,
    reader: Arc<Reader>,
}

impl ListSubscription {
    /// The list.
    pub fn feed(&self) -> &Arc<UserFeed> {
        &self.feed
    }
}

impl Drop for ListSubscription {
    fn drop(&mut self) {
        self.feed.unsubscribe(&self.reader);
    }
}
