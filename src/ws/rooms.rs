//! The rooms that a connection follows, in order of id: most follow few, for which a hash map is larger than all it holds.

use crate::hub::Subscription;
use crate::model::RoomId;

/// Subscriptions, one for each room.
#[derive(Debug, Default)]
pub(super) struct Rooms(Vec<Subscription>);

impl Rooms {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn contains(&self, room: &RoomId) -> bool {
        self.place(room).is_ok()
    }

    pub(super) fn get(&self, room: &RoomId) -> Option<&Subscription> {
        self.place(room).ok().map(|place| &self.0[place])
    }

    /// Takes one in, in the place of the one to the same room, if there is one.
    pub(super) fn insert(&mut self, subscription: Subscription) {
        match self.place(subscription.log().id()) {
            Ok(place) => self.0[place] = subscription,
            Err(place) => self.0.insert(place, subscription),
        }
    }

    pub(super) fn remove(&mut self, room: &RoomId) {
        if let Ok(place) = self.place(room) {
            drop(self.0.remove(place));
        }
    }

    fn place(&self, room: &RoomId) -> Result<usize, usize> {
        self.0.binary_search_by(|subscription| subscription.log().id().cmp(room))
    }
}
