//! How much one may do: buckets in memory, and connections counted by address. No I/O: what instances share about a
//! user's buckets is asked by `chat`, which tells it here as a block.

mod address;
mod bucket;

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::error::{Error, Result};
use crate::model::{RoomId, UserId};
use crate::telemetry;

pub use address::{Client, Connections, Peer, Place, TrustedProxies};
pub use bucket::Rate;
use bucket::UserBuckets;

/// How often one person's writing is told to a room.
const TYPING: Duration = Duration::from_secs(3);
/// So many times what may be done in a second may be done at once.
const BURST: NonZeroU32 = NonZeroU32::new(4).expect("not zero");
/// Seconds in an hour.
const HOUR: Duration = Duration::from_hours(1);

/// How much one may do; 0 is no limit.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Messages a user may send per second.
    pub sends_per_second: u32,
    /// Other things a user may change per second.
    pub changes_per_second: u32,
    /// Rooms a user may make per hour.
    pub rooms_per_hour: u32,
    /// Frames a connection may send per second.
    pub frames_per_second: u32,
}

/// What a user's buckets are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Messages sent.
    Sends,
    /// Whatever else is written: edits, reactions, read positions, members, rooms.
    Changes,
    /// Rooms made.
    Rooms,
}

impl Kind {
    /// Its name in a shared bucket's key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sends => "send",
            Self::Changes => "change",
            Self::Rooms => "room",
        }
    }

    /// Its name in the metrics.
    fn limit(self) -> &'static str {
        match self {
            Self::Sends => "sends",
            Self::Changes => "changes",
            Self::Rooms => "rooms",
        }
    }
}

/// The buckets that all connections and requests share.
#[derive(Debug)]
pub struct Limits {
    sends: Option<UserBuckets>,
    changes: Option<UserBuckets>,
    rooms: Option<UserBuckets>,
    typing: DefaultKeyedRateLimiter<(UserId, RoomId)>,
    frames: Option<Quota>,
    clock: DefaultClock,
}

impl Limits {
    /// Buckets of so much in the long run.
    pub fn new(settings: &Settings) -> Self {
        let per_second = |most: u32| NonZeroU32::new(most).map(|most| Rate::per_second(most, BURST));
        let per_hour = |most: u32| NonZeroU32::new(most).map(|most| Rate::within(most, HOUR));
        let typing = Quota::with_period(TYPING).expect("not zero");
        Self {
            sends: per_second(settings.sends_per_second).map(UserBuckets::new),
            changes: per_second(settings.changes_per_second).map(UserBuckets::new),
            rooms: per_hour(settings.rooms_per_hour).map(UserBuckets::new),
            typing: RateLimiter::keyed(typing),
            frames: per_second(settings.frames_per_second).map(Rate::quota),
            clock: DefaultClock::default(),
        }
    }

    /// Takes one from the user's bucket of this kind. What it returns is to be taken from the shared bucket, too.
    pub fn take(&self, kind: Kind, user: &UserId) -> Result<Option<Rate>> {
        let Some(buckets) = self.buckets(kind) else { return Ok(None) };
        buckets.take(user).map(|()| Some(buckets.rate())).map_err(|retry_after| {
            telemetry::limit_hit(kind.limit());
            Error::RateLimited { retry_after }
        })
    }

    /// Nothing of this kind by this user for so long: with the other instances they are over the limit.
    pub fn block(&self, kind: Kind, user: &UserId, wait: Duration) {
        if let Some(buckets) = self.buckets(kind) {
            buckets.block(user, wait);
        }
    }

    fn buckets(&self, kind: Kind) -> Option<&UserBuckets> {
        match kind {
            Kind::Sends => self.sends.as_ref(),
            Kind::Changes => self.changes.as_ref(),
            Kind::Rooms => self.rooms.as_ref(),
        }
    }

    /// Whether the room should be told again that the user is writing.
    pub fn typing(&self, user: &UserId, room: &RoomId) -> bool {
        self.typing.check_key(&(user.clone(), room.clone())).is_ok()
    }

    /// A new connection's own bucket of frames.
    pub fn connection(&self) -> FrameBucket {
        FrameBucket { frames: self.frames.map(RateLimiter::direct), clock: self.clock.clone() }
    }

    /// Forgets the buckets that are full again; without this they would only grow in number.
    pub fn sweep(&self) {
        for kind in [Kind::Sends, Kind::Changes, Kind::Rooms] {
            if let Some(buckets) = self.buckets(kind) {
                buckets.sweep();
            }
        }
        self.typing.retain_recent();
    }
}

/// One connection's bucket of frames.
#[derive(Debug)]
pub struct FrameBucket {
    frames: Option<DefaultDirectRateLimiter>,
    clock: DefaultClock,
}

impl FrameBucket {
    /// Takes one frame from the bucket.
    pub fn frame(&self) -> Result<()> {
        let Some(frames) = &self.frames else { return Ok(()) };
        frames.check().map_err(|not_until| {
            telemetry::limit_hit("frames");
            Error::RateLimited { retry_after: not_until.wait_time_from(self.clock.now()) }
        })
    }
}
