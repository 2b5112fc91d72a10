//! This instance's readers, and what they follow in memory: the logs of rooms and the room lists of users. What was
//! committed, here or elsewhere, is applied here once and wakes whoever reads it. No I/O, no `async fn`: no lock is ever held
//! across an await. Locks are taken room, then user list, then reader, and a map's guard never leaves this file.

mod feed;
mod moves;
mod present;
mod reader;
mod room;
mod turns;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;

pub use feed::{ListSubscription, UserFeed};
pub use moves::{Moves, Touched};
pub use present::{Entered, Present};
pub use reader::{Ending, Moved, Outlet, Pushed, Reader};
pub use room::{Delivery, Lookup, NewestPage, Position, Pull, RoomLog, Since, Subscription};
pub use turns::TURNS;
use turns::Turns;

use crate::model::{RoomId, UserChangeKind, UserId};
use crate::protocol::ServerFrame;
use crate::protocol::publication::Publication;

/// How long a room or user that nobody reads is still followed: a client that polls or comes back finds it warm.
const LINGER: Duration = Duration::from_secs(30);

/// Whether what is followed is known to be complete: it was compared with the store while its bucket of the bus was
/// heard, and nothing can have been missed since. Says when that was, in times of [`Hub::distrust`], so that a
/// comparison that began before one does not count after it.
#[derive(Debug, Default)]
pub struct Trust(AtomicU64);

impl Trust {
    /// Is it, at this time?
    pub fn is(&self, time: u64) -> bool {
        self.0.load(Ordering::Acquire) == time
    }

    /// It was compared at this time; nothing: without hearing the bus.
    pub fn set(&self, time: Option<u64>) {
        self.0.store(time.unwrap_or(0), Ordering::Release);
    }
}

/// What is left to do of a commit that was applied.
#[derive(Debug)]
pub struct Applied {
    /// The log, if it is now behind: a neighbour is late or lost.
    pub behind: Option<Arc<RoomLog>>,
    /// The delivery, if it is a long one.
    pub delivery: Option<Delivery>,
}

/// Everything that is followed here.
#[derive(Debug, Default)]
pub struct Hub {
    rooms: DashMap<RoomId, Arc<RoomLog>>,
    users: DashMap<UserId, Arc<UserFeed>>,
    room_turns: Turns<RoomLog>,
    user_turns: Turns<UserFeed>,
    touched: Arc<Touched>,
    present: Arc<Present>,
    distrusted: AtomicU64,
}

impl Hub {
    /// The room's log, followed from now on. It learns its head from [`RoomLog::load`], *after* this call: what is
    /// committed in between waits in it.
    pub fn room(&self, id: &RoomId) -> Arc<RoomLog> {
        if let Some(log) = self.rooms.get(id) {
            return log.clone();
        }
        let new = || {
            let log = Arc::new(RoomLog::new(id.clone(), self.touched.clone()));
            self.room_turns.deal(&log);
            log
        };
        self.rooms.entry(id.clone()).or_insert_with(new).clone()
    }

    /// The room's log, if it is followed.
    pub fn followed(&self, id: &RoomId) -> Option<Arc<RoomLog>> {
        self.rooms.get(id).map(|log| log.clone())
    }

    /// The user, followed from now on; the list is empty until [`UserFeed::load`].
    pub fn user(&self, id: &UserId) -> Arc<UserFeed> {
        if let Some(feed) = self.users.get(id) {
            return feed.clone();
        }
        let new = || {
            let feed = Arc::new(UserFeed::new(id.clone()));
            self.user_turns.deal(&feed);
            feed
        };
        self.users.entry(id.clone()).or_insert_with(new).clone()
    }

    /// Puts rooms under a user's list: from now on what moves in them wakes the list's readers.
    pub fn list(&self, feed: &UserFeed, rooms: impl IntoIterator<Item = Arc<RoomLog>>) {
        for log in rooms {
            log.add_feed(feed.user());
            feed.add(log);
        }
    }

    /// Applies what was committed.
    pub fn apply(&self, commit: &Publication) -> Applied {
        let log = self.followed(&commit.room_id);
        // Read positions first, so that who is woken by the room finds them.
        if let Some(log) = &log {
            tell_positions(log, commit);
        }
        let (mut behind, mut delivery) = (false, None);
        if let Some(log) = log.as_ref().filter(|_| !commit.changes.is_empty()) {
            behind = log.apply(&commit.changes);
            delivery = self.deliver(log);
        }
        self.apply_users(commit);
        Applied { behind: log.filter(|_| behind), delivery }
    }

    /// Applies what a commit changed of its users.
    pub fn apply_users(&self, commit: &Publication) {
        let log = self.followed(&commit.room_id);
        for change in &commit.users {
            if let (Some(log), UserChangeKind::Read(seq)) = (&log, change.what) {
                log.set_read(&change.user_id, seq);
            }
            let Some(feed) = self.users.get(&change.user_id).map(|feed| feed.clone()) else { continue };
            match change.what {
                UserChangeKind::Joined if feed.advance(change.rev) => self.list(&feed, [self.room(&commit.room_id)]),
                UserChangeKind::Left if feed.advance(change.rev) => {
                    feed.remove(&commit.room_id);
                    if let Some(log) = &log {
                        log.remove_feed(&change.user_id);
                    }
                }
                UserChangeKind::Read(_) => drop(feed.advance(change.rev)),
                // The list has missed a change; it is read anew.
                UserChangeKind::Joined | UserChangeKind::Left => {}
            }
            feed.wake(&commit.room_id);
        }
    }

    /// Something may have been missed: nothing that is followed is trusted any more.
    pub fn distrust(&self) {
        self.distrusted.fetch_add(1, Ordering::AcqRel);
    }

    /// The time now, as [`Trust`] counts it.
    pub fn time(&self) -> u64 {
        1 + self.distrusted.load(Ordering::Acquire)
    }

    /// Rooms in which somebody came or went.
    pub fn touched(&self) -> &Touched {
        &self.touched
    }

    /// Everyone who reads here.
    pub fn present(&self) -> &Arc<Present> {
        &self.present
    }

    /// Every room that is followed.
    pub fn rooms(&self) -> Vec<Arc<RoomLog>> {
        self.rooms.iter().map(|log| log.clone()).collect()
    }

    /// Every user that is followed.
    pub fn users(&self) -> Vec<Arc<UserFeed>> {
        self.users.iter().map(|feed| feed.clone()).collect()
    }

    /// The rooms that have this turn, and new ones that were not compared with the store yet.
    pub fn rooms_due(&self, turn: usize) -> Vec<Arc<RoomLog>> {
        let time = self.time();
        self.room_turns.due(turn, |log| log.trust.is(time))
    }

    /// The same of users.
    pub fn users_due(&self, turn: usize) -> Vec<Arc<UserFeed>> {
        let time = self.time();
        self.user_turns.due(turn, |feed| feed.trust.is(time))
    }

    /// Forgets everything: it belongs to a history that is over. Whoever reads it is told so.
    pub fn end(&self) {
        self.rooms.retain(|_, log| {
            log.end();
            false
        });
        self.users.retain(|_, feed| {
            feed.end();
            false
        });
    }

    /// Gives what is new in a room to those who read it, and wakes those who have it in their list. Returns what is left
    /// to do, if the room has more readers than are served in one go.
    pub fn deliver(&self, log: &Arc<RoomLog>) -> Option<Delivery> {
        let delivery = Delivery::begin(log).and_then(|mut delivery| delivery.step().then_some(delivery));
        for user in log.feeds() {
            if let Some(feed) = self.users.get(&user).map(|feed| feed.clone()) {
                feed.wake(log.id());
            }
        }
        delivery
    }

    /// Forgets what nobody has read for a while.
    pub fn sweep(&self, now: Instant) {
        let idle = |used: Instant| now.saturating_duration_since(used) >= LINGER;
        // Clones are made under the map's lock only, so a count of one means that nobody can be about to use it; the tail
        // check alone may be, to which one that is forgotten makes no difference. The list leaves its rooms under the same
        // lock: a new list of this user cannot have entered them yet.
        self.users.retain(|user, feed| {
            let keep = Arc::strong_count(feed) > 1 || !feed.is_unread() || !idle(feed.used());
            if !keep {
                feed.rooms().iter().for_each(|log| log.remove_feed(user));
            }
            keep
        });
        self.rooms.iter().for_each(|log| log.sweep(now));
        // A log that could not be loaded is of a room that does not exist.
        self.rooms.retain(|_, log| Arc::strong_count(log) > 1 || (log.loaded.initialized() && !idle(log.used())));
        self.room_turns.sweep();
        self.user_turns.sweep();
    }

    /// How many rooms are followed, for whoever watches the service.
    pub fn rooms_followed(&self) -> usize {
        self.rooms.len()
    }
}

/// Moves read positions, and tells a room's readers who has read how far.
fn tell_positions(log: &RoomLog, commit: &Publication) {
    for change in &commit.users {
        if let UserChangeKind::Read(seq) = change.what {
            if !log.is_news(&change.user_id, change.rev) {
                continue;
            }
            log.set_read(&change.user_id, seq);
            let frame = ServerFrame::Read { room_id: &commit.room_id, user_id: &change.user_id, seq };
            log.tell(&frame.encode(), &change.user_id);
        }
    }
}
