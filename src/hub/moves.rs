//! Whose connections came and went, for the one who tells others of it.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::model::{RoomId, UserId};

/// Rooms in which somebody came or went, until the one who tells of it takes them. At most one entry a room.
#[derive(Debug, Default)]
pub struct Touched {
    rooms: Mutex<HashSet<RoomId>>,
    wake: Notify,
}

impl Touched {
    /// Somebody came or went, or may have.
    pub fn mark(&self, room: &RoomId) {
        if self.rooms.lock().unwrap_or_else(PoisonError::into_inner).insert(room.clone()) {
            self.wake.notify_one();
        }
    }

    /// Resolves once there are some.
    pub fn woken(&self) -> Notified<'_> {
        self.wake.notified()
    }

    /// Takes them.
    pub fn take(&self) -> HashSet<RoomId> {
        std::mem::take(&mut *self.rooms.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Who came to a room and who went.
#[derive(Debug, Default)]
pub struct Moves {
    /// Present now and not before.
    pub came: Vec<UserId>,
    /// Present before and not now.
    pub went: Vec<UserId>,
}
