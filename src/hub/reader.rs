//! One who reads: a connection, or a held poll. Who is up to date and has a socket is pushed to. Anyone else is told
//! *that* something moved, not what: they read that from their own cursor when they get to it. So a slow reader costs one
//! mark per room, however much it misses.

use std::collections::{HashSet, VecDeque};
use std::fmt::Debug;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;

use futures_util::task::AtomicWaker;

use crate::model::{Caller, Credential, RoomId, UserId};
use crate::protocol::{Frame, Wire};

/// Best-effort frames (typing, presence, read) waiting for one reader. When as many wait, further ones are dropped.
const ASIDES: usize = 64;

/// A connection's socket, as far as it takes frames at once. Neither waits nor keeps more than a part of one batch.
pub trait Outlet: Debug + Send + Sync {
    /// Gives it whole frames.
    fn push(&self, frames: &Wire) -> Pushed;
    /// Reads what a push is going to need, so that the processor has it at hand, and makes something of it.
    fn touch(&self) -> usize;
    /// Takes nothing more: the reader has to end.
    fn shut(&self);
}

/// What came of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// All of it is on its way.
    Whole,
    /// It will be, but the reader has to see to the rest.
    Part,
    /// Nothing was taken: something else is still to be written, or the peer is slow.
    No,
}

/// One who reads rooms and room lists.
#[derive(Debug)]
pub struct Reader {
    user: UserId,
    /// Where a connection's frames can go at once; a poll has none.
    outlet: Option<Arc<dyn Outlet>>,
    /// With what it came in; a connection renews it in place.
    credential: Mutex<Credential>,
    ending: OnceLock<Ending>,
    /// Nothing while nothing is in it, which is nearly always.
    inbox: Mutex<Option<Box<Inbox>>>,
    /// Whether something moved that its task has not looked at.
    woken: AtomicBool,
    /// Its task: a reader is waited for by one only. A `Notify` would take four times the memory, for each that waits.
    task: AtomicWaker,
}

/// Why a reader ends although nobody wished it on its side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// What it reads belongs to a history that is over.
    HistoryChanged,
    /// Its token is good no longer.
    Revoked,
    /// Its user is suspended.
    Suspended,
    /// It was disconnected, and may come back.
    Disconnected,
}

/// What moved since the reader last looked.
#[derive(Debug, Default)]
struct Inbox {
    /// Rooms whose log moved.
    rooms: HashSet<RoomId>,
    list: Moved,
    /// Best-effort frames, and the room each is about. They wait here, where they are bounded, until the reader has
    /// nothing better to send.
    asides: VecDeque<(RoomId, Frame)>,
}

impl Inbox {
    fn is_empty(&self) -> bool {
        self.rooms.is_empty() && self.list.is_empty() && self.asides.is_empty()
    }
}

/// What moved in the user's room list.
#[derive(Debug, Default)]
pub struct Moved {
    /// Rooms that moved, came or went.
    pub rooms: HashSet<RoomId>,
    /// The list as a whole has to be looked at: a change of it was missed.
    pub relist: bool,
}

impl Moved {
    /// Whether nothing moved.
    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty() && !self.relist
    }
}

impl Reader {
    /// A held poll on behalf of a user. It comes and goes too often for others to be told.
    pub fn of_poll(caller: &Caller) -> Self {
        Self {
            user: caller.id.clone(),
            outlet: None,
            credential: Mutex::new(caller.credential.clone()),
            ending: OnceLock::new(),
            inbox: Mutex::default(),
            woken: AtomicBool::default(),
            task: AtomicWaker::new(),
        }
    }

    /// A connection on behalf of a user: others are told when they come and go.
    pub fn of_connection(caller: &Caller, outlet: Arc<dyn Outlet>) -> Self {
        Self { outlet: Some(outlet), ..Self::of_poll(caller) }
    }

    /// Whether it is a connection.
    pub fn is_connection(&self) -> bool {
        self.outlet.is_some()
    }

    /// On whose behalf it reads.
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// Resolves once something moved since it did so last; at once if it did already.
    pub fn woken(&self) -> impl Future<Output = ()> {
        self.resolved(|reader| reader.woken.swap(false, Ordering::AcqRel).then_some(()))
    }

    /// Resolves with what is looked for, once it is there when the reader is woken.
    fn resolved<T>(&self, look: impl Fn(&Self) -> Option<T>) -> impl Future<Output = T> {
        poll_fn(move |cx| {
            // Registered, then looked: nothing can come in between.
            self.task.register(cx.waker());
            look(self).map_or(Poll::Pending, Poll::Ready)
        })
    }

    /// The rooms that moved, and forgets them; and whether something moved in the list.
    pub fn take(&self) -> (HashSet<RoomId>, bool) {
        self.take_out(|inbox| (std::mem::take(&mut inbox.rooms), !inbox.list.is_empty()))
    }

    /// What moved in the list, and forgets it. Until this is asked for, a further move wakes nobody.
    pub fn take_list(&self) -> Moved {
        self.take_out(|inbox| std::mem::take(&mut inbox.list))
    }

    /// The way to its socket, past its task.
    pub(super) fn outlet(&self) -> Option<&Arc<dyn Outlet>> {
        self.outlet.as_ref()
    }

    /// There is something to do.
    pub(super) fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        self.task.wake();
    }

    /// A room's log moved.
    pub fn mark(&self, room: &RoomId) {
        if self.lock().get_or_insert_default().rooms.insert(room.clone()) {
            self.wake();
        }
    }

    pub(super) fn mark_listed(&self, room: &RoomId) {
        let mut inbox = self.lock();
        let list = &mut inbox.get_or_insert_default().list;
        if !list.rooms.contains(room) {
            let first = list.is_empty();
            list.rooms.insert(room.clone());
            if first {
                self.wake();
            }
        }
    }

    pub(super) fn mark_list(&self) {
        self.lock().get_or_insert_default().list.relist = true;
        self.wake();
    }

    /// Ends it. Of several reasons the first one counts.
    pub(super) fn end(&self, ending: Ending) {
        // An error says that it has ended already.
        let _ = self.ending.set(ending);
        if let Some(outlet) = &self.outlet {
            outlet.shut();
        }
        self.wake();
    }

    /// Why it has to end, if it has to.
    pub fn ending(&self) -> Option<Ending> {
        self.ending.get().copied()
    }

    /// Resolves once it has to end.
    pub fn over(&self) -> impl Future<Output = Ending> {
        self.resolved(Self::ending)
    }

    /// Its session was renewed.
    pub fn renew(&self, credential: Credential) {
        *self.credential.lock().unwrap_or_else(PoisonError::into_inner) = credential;
    }

    /// Whether what it came in with is of this kind.
    pub(super) fn came_with(&self, test: impl FnOnce(&Credential) -> bool) -> bool {
        test(&self.credential.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The best-effort frames that wait, and forgets them.
    pub fn take_asides(&self) -> VecDeque<(RoomId, Frame)> {
        self.take_out(|inbox| std::mem::take(&mut inbox.asides))
    }

    pub(super) fn aside(&self, room: &RoomId, frame: Frame) {
        let mut inbox = self.lock();
        let asides = &mut inbox.get_or_insert_default().asides;
        if asides.len() < ASIDES {
            asides.push_back((room.clone(), frame));
            drop(inbox);
            self.wake();
        }
    }

    fn take_out<T: Default>(&self, part: impl FnOnce(&mut Inbox) -> T) -> T {
        let mut inbox = self.lock();
        let taken = inbox.as_mut().map(|inbox| part(inbox)).unwrap_or_default();
        if inbox.as_ref().is_some_and(|inbox| inbox.is_empty()) {
            *inbox = None;
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<Inbox>>> {
        // No code here can panic while it holds the lock half way through a change.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Claims, Timestamp};

    #[test]
    fn best_effort_frames_are_bounded_however_often_a_reader_looks_elsewhere() {
        let credential = Credential { token_id: None, session_id: None, issued_at: None, expires_at: Timestamp(0) };
        let caller = Caller { id: "ann".parse().expect("an id"), claims: Claims::default(), credential };
        let reader = Reader::of_poll(&caller);
        let room: RoomId = "r".parse().expect("an id");
        for _ in 0..10 {
            (0..ASIDES).for_each(|_| reader.aside(&room, Frame::from_static("{}")));
            reader.mark(&room);
            assert_eq!(reader.take().0.len(), 1, "a reader who is behind looks for what moved");
        }
        assert_eq!(reader.take_asides().len(), ASIDES);
        assert!(reader.take_asides().is_empty());
    }
}
