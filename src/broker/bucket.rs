//! Buckets: a room, and a user, belongs to one of 1,024 channels of the bus, so that their number does not grow with
//! the rooms and a busy instance subscribes once and for all.

/// How many there are. Part of the contract between instances.
pub(super) const BUCKETS: u16 = 1024;

/// One channel of the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bucket(u16);

impl Bucket {
    /// One that every instance hears, whatever it follows.
    pub const EVERYONE: Self = Self(0);

    /// The bucket of a room's or user's id, the same on every instance and in every version: FNV-1a.
    pub fn of(id: &str) -> Self {
        let hash = id
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        // The upper bits are mixed better.
        Self(u16::try_from((hash >> 32) % u64::from(BUCKETS)).unwrap_or(0))
    }

    /// By its number, if there is such.
    pub fn numbered(number: &str) -> Option<Self> {
        number.parse().ok().filter(|n| *n < BUCKETS).map(Self)
    }

    /// The name of its channel.
    pub fn name(self) -> String {
        format!("chat:bus:{}", self.0)
    }

    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }

    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..BUCKETS).map(Self)
    }
}
