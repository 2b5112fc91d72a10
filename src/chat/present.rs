//! Who is present in a room, told to those who read it and listed for those who ask. Best effort.

use std::time::Duration;

use tokio::time::Instant;

use super::Chat;
use crate::error::Result;
use crate::model::{RoomId, UserId};
use crate::presence::RENEWAL;
use crate::protocol::ServerFrame;
use crate::protocol::publication::{Aside, AsideKind};

/// Members above which a room only counts who is present: with more, coming and going is all one would hear.
const SHOWN: u64 = 200;
/// How often it looks whether it is time to renew, or Redis is back.
const LOOK: Duration = Duration::from_secs(1);

/// Who is present.
#[derive(Debug)]
pub struct Online {
    /// How many.
    pub count: usize,
    /// Who, in order of id; nothing in a room of more than 200 members.
    pub users: Option<Vec<UserId>>,
}

impl Chat {
    /// Who of a room's members is present, at any instance.
    pub async fn presence(&self, user: &UserId, room: &RoomId) -> Result<Online> {
        let followed = self.follow(user, room).await?;
        let users = self.0.presence.online(room, followed.log.readers()).await;
        let shown = followed.head.member_count <= SHOWN;
        Ok(Online { count: users.len(), users: shown.then_some(users) })
    }

    /// Tells who comes and goes, and renews the leases, for as long as the service runs.
    pub(super) async fn watch_presence(self) {
        let mut look = tokio::time::interval(LOOK);
        let mut renewed = Instant::now();
        let mut was_usable = true;
        // Whether the other instances have still to be told of somebody.
        let mut is_owed = false;
        loop {
            let touched = self.0.hub.touched();
            tokio::select! {
                () = self.0.lifecycle.stopping() => return,
                () = touched.woken() => {}
                _ = look.tick() => {}
            }
            for room in touched.take() {
                is_owed |= !self.tell_moves(&room).await;
            }
            // A Redis that was lost may have come back empty.
            let usable = self.0.redis.as_ref().is_none_or(crate::redis::Redis::is_usable);
            // What is owed is about everyone, so it is not tried at every coming and going.
            let again = is_owed && renewed.elapsed() >= LOOK;
            if renewed.elapsed() >= RENEWAL || (usable && (again || !was_usable)) {
                renewed = Instant::now();
                let rooms = self.0.hub.rooms();
                is_owed = !self.0.presence.renew(rooms.iter().map(|log| (log.id(), log.connected()))).await;
            }
            was_usable = usable;
        }
    }

    /// Tells of a room who came and who went; returns whether the other instances know.
    async fn tell_moves(&self, room: &RoomId) -> bool {
        let Some(log) = self.0.hub.followed(room) else { return true };
        let moves = log.moves();
        let small = log.known_head().is_some_and(|head| head.member_count <= SHOWN);
        let told = self.0.presence.update(room, moves.came, moves.went).await;
        let is_known = told.is_ok();
        let (Ok((came, went)) | Err((came, went))) = told;
        for (users, online) in [(went, false), (came, true)] {
            for user in users.into_iter().filter(|_| small) {
                let frame = ServerFrame::Presence { room_id: room, user_id: &user, online }.encode();
                let from = self.0.broker.instance();
                self.tell_aside_to_all(Aside {
                    from,
                    room_id: room.clone(),
                    author: user,
                    kind: AsideKind::Presence,
                    frame,
                });
            }
        }
        is_known
    }
}
