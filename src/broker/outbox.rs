//! The way out to the bus: one task, so that what one instance publishes of a room keeps its order. What queued while
//! the round before was under way is the next round. One attempt each, with a deadline: a failure is counted, and
//! the others find the commit by the tail check.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fred::interfaces::PubsubInterface;
use futures_util::future::{join, join_all};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex, mpsc, oneshot};
use tracing::Span;

use super::Bucket;
use crate::lifecycle::Lifecycle;
use crate::protocol::publication::BusMessage;
use crate::redis::{Area, Redis, Replacement};
use crate::telemetry;

/// What may wait to be published. When as much waits, Redis is in trouble, and more is dropped and counted.
const QUEUE: usize = 4096;
/// What one round takes.
const ROUND: usize = 128;

/// How long a stop waits for another write to publish.
const LAST_ORDERS: Duration = Duration::from_millis(250);

/// What a commit gives to Redis.
#[derive(Debug)]
struct Outgoing {
    replacement: Option<Replacement>,
    messages: Vec<(Bucket, BusMessage)>,
    /// Lasts for as long as this does.
    span: Span,
    done: oneshot::Sender<()>,
}

/// Tells when something was published, or that it will not be.
#[derive(Debug)]
pub struct Sent(Option<oneshot::Receiver<()>>);

impl Sent {
    /// There is nothing to wait for.
    pub fn done() -> Self {
        Self(None)
    }

    /// Waits, but no longer than this: others then hear of it a little later.
    pub async fn wait(self, patience: Duration) {
        if let Some(done) = self.0 {
            // Late or lost: the sender of a message has waited long enough.
            drop(tokio::time::timeout(patience, done).await);
        }
    }
}

/// Where to put what is to be published.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: mpsc::Sender<Outgoing>,
    redis: Redis,
}

impl Outbox {
    pub(super) fn start(redis: Redis, lifecycle: &Lifecycle) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let waiting = Arc::new(Mutex::new(waiting));
        let (sending, life) = (redis.clone(), lifecycle.clone());
        lifecycle.supervise("outbox", move || run(waiting.clone(), sending.clone(), life.clone()));
        Self { queue, redis }
    }

    /// Queues; what to wait for is nothing while Redis is slow or down.
    pub(super) fn put(
        &self,
        replacement: Option<Replacement>,
        messages: Vec<(Bucket, BusMessage)>,
        span: Span,
    ) -> Sent {
        let (done, sent) = oneshot::channel();
        match self.queue.try_send(Outgoing { replacement, messages, span, done }) {
            Ok(()) if self.redis.is_usable() => Sent(Some(sent)),
            Ok(()) => Sent::done(),
            Err(TrySendError::Full(dropped) | TrySendError::Closed(dropped)) => {
                count("dropped", dropped.messages.len());
                Sent::done()
            }
        }
    }
}

fn count(result: &'static str, publications: usize) {
    metrics::counter!(telemetry::PUBLICATIONS, "result" => result).increment(publications as u64);
}

async fn run(waiting: Arc<Mutex<mpsc::Receiver<Outgoing>>>, redis: Redis, lifecycle: Lifecycle) {
    let mut waiting = waiting.lock().await;
    let mut round = Vec::with_capacity(ROUND);
    let mut stopping = false;
    loop {
        let taken = tokio::select! {
            biased;
            taken = waiting.recv_many(&mut round, ROUND) => taken,
            () = lifecycle.stopping(), if !stopping => {
                stopping = true;
                continue;
            }
            // What is committed after this is found by the tail check of the others.
            () = tokio::time::sleep(LAST_ORDERS), if stopping => return,
        };
        if taken == 0 {
            return;
        }
        publish(&redis, round.drain(..)).await;
    }
}

async fn publish(redis: &Redis, round: impl Iterator<Item = Outgoing>) {
    let mut replacements: HashMap<String, Replacement> = HashMap::new();
    let mut messages: Vec<(Bucket, BusMessage)> = Vec::new();
    let mut done = Vec::new();
    for outgoing in round {
        if let Some(new) = outgoing.replacement {
            // Once per key and round: only the newest counts.
            match replacements.get(&new.key) {
                Some(old) if old.rev >= new.rev => {}
                _ => drop(replacements.insert(new.key.clone(), new)),
            }
        }
        outgoing.messages.into_iter().for_each(|(bucket, message)| append(&mut messages, bucket, message));
        done.push((outgoing.done, outgoing.span));
    }
    let replacing = join_all(replacements.values().map(|new| redis.replace(new)));
    let publishing = join_all(messages.iter().map(|(bucket, message)| publish_one(redis, *bucket, message)));
    if redis.is_clustered() {
        // They go to different nodes. Who hears of a commit and then reads the cache must find it there.
        replacing.await;
        publishing.await;
    } else {
        // One connection keeps the order in which they are polled first.
        join(replacing, publishing).await;
    }
    for (done, _span) in done {
        // Nobody may be waiting.
        let _ = done.send(());
    }
}

/// Joins a publication to the one before it, if it goes on from there: one publication per room and round.
fn append(messages: &mut Vec<(Bucket, BusMessage)>, bucket: Bucket, message: BusMessage) {
    if let (Some((_, BusMessage::Commit(last))), BusMessage::Commit(next)) = (messages.last_mut(), &message)
        && last.room_id == next.room_id
        && last.history == next.history
        && last.changes.last().zip(next.changes.first()).is_some_and(|(a, b)| a.rev + 1 == b.rev)
    {
        let BusMessage::Commit(next) = message else { return };
        last.changes.extend(next.changes);
        last.users.extend(next.users);
        last.traces.extend(next.traces);
        last.committed_at = last.committed_at.min(next.committed_at);
        return;
    }
    messages.push((bucket, message));
}

async fn publish_one(redis: &Redis, bucket: Bucket, message: &BusMessage) {
    let channel = redis.name(&bucket.name());
    let payload = message.encode();
    let commands = redis.commands();
    let sent = if redis.is_clustered() {
        redis.run(Area::Bus, Box::pin(commands.spublish::<u64, _, _>(channel, payload.as_slice()))).await
    } else {
        redis.run(Area::Bus, Box::pin(commands.publish::<u64, _, _>(channel, payload.as_slice()))).await
    };
    count(if sent.is_some() { "sent" } else { "failed" }, 1);
}
