//! A reader's place in a room's log. Of one that is up to date and has a socket, the log keeps the cursor and moves it
//! as it pushes; anyone else is told that something moved, and reads on from their cursor themselves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::delivery::Batch;
use crate::hub::{Outlet, Pushed, Reader, RoomLog};
use crate::model::{RoomId, UserId};

/// How far a subscription has come.
#[derive(Debug, Clone, Copy, Default)]
pub struct Position {
    /// Everything up to this `rev` was sent.
    pub cursor: u64,
    /// The message of the reader's latest joining.
    pub joined_seq: u64,
}

/// One who reads a room, as the room's log knows them. What a push needs stands together: in a large room each is found
/// anew in memory, and that costs more than all else here.
#[derive(Debug)]
pub(super) struct Subscriber {
    state: Mutex<State>,
    outlet: Option<Arc<dyn Outlet>>,
    reader: Arc<Reader>,
}

#[derive(Debug, Default)]
struct State {
    position: Position,
    /// Whether the log may push, and move the cursor; else only the reader does.
    live: bool,
}

impl Subscriber {
    pub(super) fn reader(&self) -> &Arc<Reader> {
        &self.reader
    }

    /// Reads what [`give`](Self::give) is going to need, and makes something of it.
    pub(super) fn touch(&self) -> usize {
        usize::from(self.state.is_poisoned()) ^ self.outlet.as_ref().map_or(0, |outlet| outlet.touch())
    }

    /// Pushes a batch, if that is what comes next for this reader and their socket takes it at once. Else they are told
    /// to read on themselves, from where they are.
    pub(super) fn give(&self, room: &RoomId, batch: &Batch) {
        let mut state = self.lock();
        if state.live {
            if state.position.cursor >= batch.rev {
                return;
            }
            if let Some(outlet) = &self.outlet
                && state.position.cursor == batch.after
                && self.may_be_pushed(batch, state.position.joined_seq)
            {
                match outlet.push(&batch.frames) {
                    Pushed::Whole => {
                        state.position.cursor = batch.rev;
                        return;
                    }
                    Pushed::Part => {
                        state.position.cursor = batch.rev;
                        return self.reader.wake();
                    }
                    Pushed::No => {}
                }
            }
            state.live = false;
        }
        drop(state);
        self.reader.mark(room);
    }

    /// Whether all of a batch is for this reader. Who left in it, and who may not see all of it, reads it themselves.
    fn may_be_pushed(&self, batch: &Batch, joined_seq: u64) -> bool {
        batch.for_joined_by.is_none_or(|lowest| joined_seq <= lowest)
            && (batch.left.is_empty() || !batch.left.contains(self.reader.user()))
    }

    /// Whatever is under way: they read on themselves.
    pub(super) fn fall_behind(&self, room: &RoomId) {
        self.lock().live = false;
        self.reader.mark(room);
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
    subscriber: Arc<Subscriber>,
}

impl Subscription {
    /// The room's log.
    pub fn log(&self) -> &Arc<RoomLog> {
        &self.log
    }

    /// Takes the cursor back: once this returns, nothing is pushed until [`go_live`](Self::go_live).
    pub fn pause(&self) -> Position {
        let mut state = self.subscriber.lock();
        state.live = false;
        state.position
    }

    /// Moves the cursor of a subscription that is paused.
    pub fn move_to(&self, position: Position) {
        self.subscriber.lock().position = position;
    }

    /// Everything up to the cursor was given to the socket, and when that was looked at, nothing lay behind it: what
    /// comes next may be pushed. What came in between has marked the reader.
    pub fn go_live(&self) {
        self.subscriber.lock().live = true;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // Nothing of it may follow, even if it is being delivered to at this moment.
        self.pause();
        self.log.unsubscribe(&self.subscriber);
    }
}

impl RoomLog {
    /// Wakes a reader, or pushes to it once it is live, until the subscription is dropped.
    pub fn subscribe(self: &Arc<Self>, reader: &Arc<Reader>) -> Subscription {
        let outlet = reader.outlet().cloned();
        let subscriber = Arc::new(Subscriber { state: Mutex::default(), outlet, reader: reader.clone() });
        let mut state = self.lock();
        state.subscribers.push(subscriber.clone());
        state.snapshot = None;
        drop(state);
        if reader.is_connection() {
            self.touched.mark(&self.id);
        }
        Subscription { log: self.clone(), subscriber }
    }

    fn unsubscribe(&self, subscriber: &Arc<Subscriber>) {
        let mut state = self.lock();
        if let Some(at) = state.subscribers.iter().position(|other| Arc::ptr_eq(other, subscriber)) {
            state.subscribers.swap_remove(at);
        }
        state.snapshot = None;
        state.used = std::time::Instant::now();
        drop(state);
        if subscriber.reader.is_connection() {
            self.touched.mark(&self.id);
        }
    }

    /// Who reads the room here at this moment, held polls included, in order of id.
    pub fn readers(&self) -> Vec<UserId> {
        let subscribers = self.subscribers();
        let mut users: Vec<UserId> = subscribers.iter().map(|subscriber| subscriber.reader.user().clone()).collect();
        users.sort();
        users.dedup();
        users
    }

    /// Everyone who reads the room here, as a list that stays as it is.
    pub(super) fn subscribers(&self) -> Arc<[Arc<Subscriber>]> {
        self.lock().subscribers()
    }
}
