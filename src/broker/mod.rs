//! The bus between instances. It may lose, repeat, reorder and cross what it carries: nothing relies on it but speed.
//! What it promises: whether this instance hears it (`is_live`, `is_proven`), and that nobody waits for it longer
//! than a deadline. It may not read the store, and knows no connections.

mod bucket;
mod outbox;
mod redis;
mod subscriptions;

use std::collections::HashSet;

use tokio::sync::Mutex;
use tracing::Span;

pub use bucket::Bucket;
pub use outbox::Sent;

use crate::lifecycle::Lifecycle;
use crate::protocol::publication::{BusMessage, InstanceId};
use crate::redis::{Redis, Replacement};

/// The bus, chosen at the start.
#[derive(Debug)]
pub enum Broker {
    /// There is no other instance to tell, and none to hear.
    Alone,
    /// There may be others, and no bus to them: they are found by the tail check.
    Silent,
    /// Redis.
    Redis(Box<redis::RedisBroker>),
}

/// What the bus brings.
#[derive(Debug)]
pub enum Heard {
    /// Another instance's message.
    Message(BusMessage),
    /// Something may have been missed: everything followed is to be compared with the store.
    Missed(Cause),
}

/// Why something was read from the store that should have come by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A later publication showed that an earlier one is missing.
    Hole,
    /// The tail check found the store ahead.
    Tail,
    /// The connection to the bus was made anew.
    Resubscribed,
    /// More came than could be read.
    Lagged,
    /// A reader knew more than this instance.
    Reader,
}

impl Cause {
    /// The label in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hole => "hole",
            Self::Tail => "tail",
            Self::Resubscribed => "resubscribed",
            Self::Lagged => "lagged",
            Self::Reader => "reader",
        }
    }
}

impl Broker {
    /// The bus over this Redis.
    pub fn over(redis: Redis, lifecycle: &Lifecycle) -> Self {
        Self::Redis(Box::new(redis::RedisBroker::start(redis, lifecycle)))
    }

    /// This instance's name on the bus.
    pub fn instance(&self) -> InstanceId {
        match self {
            Self::Alone | Self::Silent => InstanceId::nil(),
            Self::Redis(broker) => broker.instance(),
        }
    }

    /// Whether there may be other instances.
    pub fn has_others(&self) -> bool {
        !matches!(self, Self::Alone)
    }

    /// Wants to hear these buckets from now on, and waits a little until they are heard. Whoever reads the store
    /// after `true` misses nothing in between.
    pub async fn join(&self, buckets: &[Bucket]) -> bool {
        match self {
            Self::Alone => true,
            Self::Silent => false,
            Self::Redis(broker) => broker.join(buckets).await,
        }
    }

    /// Whether a bucket is heard.
    pub fn is_live(&self, bucket: Bucket) -> bool {
        match self {
            Self::Alone => true,
            Self::Silent => false,
            Self::Redis(broker) => broker.is_live(bucket),
        }
    }

    /// Whether every bucket that was joined is heard.
    pub fn hears_all(&self) -> bool {
        match self {
            Self::Alone => true,
            Self::Silent => false,
            Self::Redis(broker) => broker.hears_all(),
        }
    }

    /// Hears only these and what was joined of late.
    pub fn keep(&self, buckets: HashSet<Bucket>) {
        if let Self::Redis(broker) = self {
            broker.keep(buckets);
        }
    }

    /// Whether this instance can vouch for hearing what others publish.
    pub fn is_proven(&self) -> bool {
        match self {
            Self::Alone => true,
            Self::Silent => false,
            Self::Redis(broker) => broker.is_proven(),
        }
    }

    /// The tail check found something that the bus should have brought: it is not believed for a while.
    pub fn doubt(&self) {
        if let Self::Redis(broker) = self {
            broker.doubt();
        }
    }

    /// Gives messages to the bus, after replacing a cached value. Never waits; the answer tells when it is done, and the
    /// span lasts until then.
    pub fn publish(&self, replacement: Option<Replacement>, messages: Vec<(Bucket, BusMessage)>, span: Span) -> Sent {
        match self {
            Self::Alone | Self::Silent => Sent::done(),
            Self::Redis(broker) => broker.publish(replacement, messages, span),
        }
    }

    /// Waits for what the bus brings. Only one may listen.
    pub async fn hear(&self) -> Heard {
        match self {
            Self::Alone | Self::Silent => std::future::pending().await,
            Self::Redis(broker) => broker.hear().await,
        }
    }

    /// For the readiness detail: how the bus is.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Alone | Self::Silent => "none",
            Self::Redis(broker) if broker.is_proven() => "proven",
            Self::Redis(_) => "unproven",
        }
    }
}
