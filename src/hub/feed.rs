//! What is in memory of a user: their room list, and up to which `rev` of theirs it and their read positions are
//! complete. A `rev` that is missed makes all of it be read anew.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Trust;
use super::reader::{Ending, Reader};
use super::room::RoomLog;
use crate::model::{RoomId, UserId};

/// A user, followed.
#[derive(Debug)]
pub struct UserFeed {
    /// Whether nothing can have been missed since it was compared with the store last.
    pub trust: Trust,
    user: UserId,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What is in memory of the user, the list and the positions, is complete up to this `rev` of theirs; none
    /// before anything was read.
    rev: Option<u64>,
    /// The highest `rev` heard of before anything was read.
    heard: u64,
    /// Whether `rooms` was read, and no change of it missed since.
    listed: bool,
    /// Memberships read below this `rev` have missed something.
    floor: u64,
    rooms: HashMap<RoomId, Arc<RoomLog>>,
    readers: Vec<Arc<Reader>>,
    used: Instant,
}

impl UserFeed {
    pub(super) fn new(user: UserId) -> Self {
        let state = State {
            rev: None,
            heard: 0,
            listed: false,
            floor: 0,
            rooms: HashMap::new(),
            readers: Vec::new(),
            used: Instant::now(),
        };
        Self { trust: Trust::default(), user, state: Mutex::new(state) }
    }

    /// Whose it is.
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// The user's `rev`, if the list is up to date with it.
    pub fn rev(&self) -> Option<u64> {
        let mut state = self.lock();
        state.used = Instant::now();
        state.rev.filter(|_| state.listed)
    }

    /// The user's `rev` that memory is complete up to, if anything of them is in memory.
    pub fn known(&self) -> Option<u64> {
        self.lock().rev
    }

    /// Memberships read below this are read again.
    pub(super) fn floor(&self) -> u64 {
        self.lock().floor
    }

    /// Something of the user was read, as of this `rev`.
    pub(super) fn seen(&self, rev: u64) {
        let mut state = self.lock();
        state.used = Instant::now();
        if state.rev.is_none() {
            // What was heard before the first read came too late for it.
            state.rev = Some(rev.max(state.heard));
            state.floor = if state.heard > rev { state.heard } else { state.floor };
        }
    }

    /// Sets the list as it was read at `rev`, and returns the rooms that are no longer in it; nothing if a later
    /// change was heard of meanwhile, so that the list has to be read again.
    pub fn load(&self, rev: u64, rooms: &[RoomId]) -> Option<Vec<Arc<RoomLog>>> {
        let mut state = self.lock();
        if state.rev.unwrap_or(state.heard) > rev {
            return None;
        }
        if state.rev.is_some_and(|known| known < rev) {
            // What changed in between was read with the list and heard by nobody: memberships may have missed it.
            state.floor = rev;
        }
        state.rev = Some(rev);
        state.listed = true;
        let kept: HashSet<&RoomId> = rooms.iter().collect();
        Some(state.rooms.extract_if(|id, _| !kept.contains(id)).map(|(_, log)| log).collect())
    }

    /// Takes the next `rev`. One that is not the next shows that a change was missed or crossed: everything is then
    /// read anew. One that is known already is nothing new. Returns whether it was the next of a list that is read.
    pub(super) fn advance(&self, rev: u64) -> bool {
        let mut state = self.lock();
        state.heard = state.heard.max(rev);
        match state.rev {
            Some(known) if rev == known + 1 => {
                state.rev = Some(rev);
                state.listed
            }
            Some(known) if rev > known => {
                state.miss(rev);
                false
            }
            _ => false,
        }
    }

    /// The primary was seen to hold this `rev` of the user, and no publication came: everything is read anew, and
    /// whoever waits looks again. Returns whether that was so.
    pub fn miss(&self, rev: u64) -> bool {
        let mut state = self.lock();
        let missed = state.rev.is_some_and(|known| known < rev);
        if missed {
            state.miss(rev);
        }
        missed
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

    /// Ends what it shows: those who read it are told that it belongs to a history that is over.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.rooms.clear();
        for reader in std::mem::take(&mut state.readers) {
            reader.end(Ending::HistoryChanged);
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

impl State {
    fn miss(&mut self, rev: u64) {
        self.rev = Some(rev);
        self.floor = rev;
        self.listed = false;
        self.readers.iter().for_each(|reader| reader.mark_list());
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
