//! The bus over Redis pub/sub, sharded when Redis is a cluster. A subscription counts only once a probe that was
//! published behind it on the same connection has come back through it; the whole counts as proven while such a
//! probe comes back every second, through every node that is subscribed to.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fred::interfaces::{ClusterInterface, EventInterface, PubsubInterface};
use fred::types::Message;
use tokio::sync::Notify;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior, timeout_at};
use tracing::Span;

use super::bucket::Bucket;
use super::outbox::{Outbox, Sent};
use super::subscriptions::{Subscriptions, Work};
use super::{Cause, Heard};
use crate::lifecycle::Lifecycle;
use crate::protocol::publication::{BusMessage, InstanceId};
use crate::redis::{Area, Redis, Replacement};
use crate::telemetry;

/// How long whoever joins a bucket waits for its subscription.
const PATIENCE: Duration = Duration::from_millis(250);
/// How often the bus has to prove that it lives.
const ROUND: Duration = Duration::from_secs(1);
/// Rounds between two looks around.
const SYNC: u32 = 5;

/// The bus over Redis.
#[derive(Debug)]
pub struct RedisBroker {
    shared: Arc<Shared>,
    outbox: Outbox,
    messages: super::Mutex<Receiver<Message>>,
}

#[derive(Debug)]
struct Shared {
    redis: Redis,
    instance: InstanceId,
    state: Mutex<Subscriptions>,
    /// Buckets to subscribe to or to leave.
    wanted: Notify,
    /// A probe came back.
    proved: Notify,
}

impl RedisBroker {
    pub(super) fn start(redis: Redis, lifecycle: &Lifecycle) -> Self {
        let instance = InstanceId::new_v4();
        let state = Mutex::new(Subscriptions::new());
        let (wanted, proved) = (Notify::new(), Notify::new());
        let shared = Arc::new(Shared { redis: redis.clone(), instance, state, wanted, proved });
        // Before the connection is made, so that nothing of it is missed.
        let messages = super::Mutex::new(redis.subscriber().message_rx());
        let (keeping, life) = (shared.clone(), lifecycle.clone());
        lifecycle.supervise("bus", move || keeping.clone().keep(life.clone()));
        let outbox = Outbox::start(redis, lifecycle);
        Self { shared, outbox, messages }
    }

    pub(super) fn instance(&self) -> InstanceId {
        self.shared.instance
    }

    pub(super) async fn join(&self, buckets: &[Bucket]) -> bool {
        let deadline = Instant::now() + PATIENCE;
        self.shared.want(buckets);
        loop {
            let proved = self.shared.proved.notified();
            tokio::pin!(proved);
            // Registered before looking: a proof in between is not slept through.
            proved.as_mut().enable();
            {
                let state = self.shared.lock();
                if buckets.iter().all(|bucket| state.is_live(*bucket)) {
                    return true;
                }
                if !state.is_connected() {
                    return false;
                }
            }
            if !self.shared.redis.is_usable() || timeout_at(deadline, proved).await.is_err() {
                return false;
            }
        }
    }

    pub(super) fn is_live(&self, bucket: Bucket) -> bool {
        self.shared.lock().is_live(bucket)
    }

    pub(super) fn hears_all(&self) -> bool {
        self.shared.lock().hears_all()
    }

    pub(super) fn is_proven(&self) -> bool {
        self.shared.redis.is_usable() && self.shared.lock().is_proven()
    }

    pub(super) fn doubt(&self) {
        self.shared.lock().doubt();
    }

    pub(super) fn keep(&self, mut buckets: HashSet<Bucket>) {
        buckets.extend([self.shared.own_bucket(), Bucket::EVERYONE]);
        if self.shared.lock().keep(&buckets) {
            self.shared.wanted.notify_one();
        }
    }

    pub(super) fn publish(
        &self,
        replacement: Option<Replacement>,
        messages: Vec<(Bucket, BusMessage)>,
        span: Span,
    ) -> Sent {
        self.outbox.put(replacement, messages, span)
    }

    pub(super) async fn hear(&self) -> Heard {
        let mut messages = self.messages.lock().await;
        loop {
            let message = match messages.recv().await {
                Ok(message) => message,
                // The loop goes on: a reader that ends here would be deaf for good.
                Err(RecvError::Lagged(_)) => return Heard::Missed(Cause::Lagged),
                Err(RecvError::Closed) => std::future::pending().await,
            };
            if let Some(heard) = self.shared.read(&message) {
                return heard;
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Subscriptions> {
        // No code here can panic while it holds the lock half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A bucket that is always heard, so that there is something to prove the bus with.
    fn own_bucket(&self) -> Bucket {
        Bucket::of(&self.instance.to_string())
    }

    fn want(&self, buckets: &[Bucket]) {
        if self.lock().want(buckets) {
            self.wanted.notify_one();
        }
    }

    /// What a message means to whoever listens; nothing if it is a probe, garbage, or was told here already.
    fn read(&self, message: &Message) -> Option<Heard> {
        let bucket = self.redis.unprefixed(&message.channel)?.strip_prefix("chat:bus:").and_then(Bucket::numbered)?;
        let payload = message.value.as_bytes_str();
        match BusMessage::decode(payload.as_ref().map_or(&[], |payload| payload.as_bytes())) {
            Ok(BusMessage::Probe(nonce)) => {
                self.came_back(bucket, &nonce).then_some(Heard::Missed(Cause::Resubscribed))
            }
            Ok(BusMessage::Commit(commit)) if Bucket::of(commit.room_id.as_str()) != bucket => {
                self.garbage("it came over another room's bucket");
                None
            }
            Ok(BusMessage::Aside(aside)) if aside.from == self.instance => None,
            Ok(message) => Some(Heard::Message(message)),
            Err(bad) => {
                self.garbage(&bad.to_string());
                None
            }
        }
    }

    /// Nothing is taken on trust from the bus: what is not exactly a message of ours is dropped.
    fn garbage(&self, why: &str) {
        metrics::counter!(telemetry::GARBAGE).increment(1);
        self.redis.garbled(why);
    }

    fn nonce(&self, generation: u64) -> String {
        format!("{}.{generation}", self.instance)
    }

    /// A probe came back, maybe another instance's. Returns whether with it everything is heard again after a
    /// connection was lost.
    fn came_back(&self, bucket: Bucket, nonce: &str) -> bool {
        let Some((instance, generation)) = nonce.split_once('.') else { return false };
        let (Ok(instance), Ok(generation)) = (instance.parse::<InstanceId>(), generation.parse()) else { return false };
        if instance != self.instance {
            return false;
        }
        let proof = self.lock().came_back(bucket, generation);
        if proof.is_new && bucket == self.own_bucket() {
            // The first one on a new connection. Should it have taken too long, its command says so.
            self.redis.set_usable(true);
        }
        self.proved.notify_waiters();
        proof.again
    }

    /// The one task that subscribes, leaves and probes, so that these keep their order.
    async fn keep(self: Arc<Self>, lifecycle: Lifecycle) {
        let client = self.redis.subscriber();
        let (mut connected, mut errors) = (client.reconnect_rx(), client.error_rx());
        let mut changes = client.cluster_change_rx();
        let mut round = tokio::time::interval(ROUND);
        round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.want(&[self.own_bucket(), Bucket::EVERYONE]);
        let mut rounds: u32 = 0;
        loop {
            tokio::select! {
                () = lifecycle.stopping() => return,
                event = connected.recv() => if !matches!(event, Err(RecvError::Closed)) {
                    self.renew(true);
                    self.subscribe_all().await;
                },
                error = errors.recv() => if error.is_ok_and(|(error, _)| !error.is_cluster()) { self.renew(false) },
                // A slot moved: the old node says nothing, and forgets the subscription.
                _ = changes.recv() => {
                    self.renew(true);
                    self.subscribe_all().await;
                }
                () = self.wanted.notified() => self.subscribe_all().await,
                _ = round.tick() => {
                    if rounds.is_multiple_of(SYNC) {
                        self.look_around().await;
                    }
                    rounds = rounds.wrapping_add(1);
                    if self.redis.hears() && !self.lock().is_connected() {
                        // An error that cost no connection: none will come that would be told.
                        self.renew(true);
                    }
                    // Whatever was asked for and has not been proven is asked for again.
                    self.subscribe_all().await;
                    self.prove().await;
                }
            }
        }
    }

    /// What no command tells by itself: where slots are now, and whether values are taken.
    async fn look_around(&self) {
        if !self.lock().is_connected() {
            return;
        }
        if self.redis.is_clustered() {
            self.redis.run(Area::Bus, Box::pin(self.redis.subscriber().sync_cluster())).await;
        }
        self.redis.try_write().await;
    }

    /// A connection came or went: what was heard through the one before proves nothing about this one.
    fn renew(&self, connected: bool) {
        self.lock().renew(connected);
        if !connected {
            self.redis.set_usable(false);
        }
        // Whoever waits for a subscription sees that there is no connection.
        self.proved.notify_waiters();
    }

    /// Leaves what is no longer wanted, then subscribes to and probes what is wanted and not proven.
    async fn subscribe_all(&self) {
        let Some(Work { leave, subscribe, generation }) = self.lock().work() else { return };
        let client = self.redis.subscribing();
        let names = |buckets: &[Bucket]| buckets.iter().map(|b| self.redis.name(&b.name())).collect::<Vec<_>>();
        if self.redis.is_clustered() {
            // One at a time: several of different nodes in one command are refused.
            for name in names(&leave) {
                self.redis.run(Area::Bus, Box::pin(client.sunsubscribe(name))).await;
            }
            for name in names(&subscribe) {
                self.redis.run(Area::Bus, Box::pin(client.ssubscribe(name))).await;
            }
        } else {
            if !leave.is_empty() {
                self.redis.run(Area::Bus, Box::pin(client.unsubscribe(names(&leave)))).await;
            }
            if !subscribe.is_empty() {
                self.redis.run(Area::Bus, Box::pin(client.subscribe(names(&subscribe)))).await;
            }
        }
        self.probe(&subscribe, generation).await;
    }

    /// Publishes a probe on each bucket, on the connection that is to hear it, so behind its subscription.
    async fn probe(&self, buckets: &[Bucket], generation: u64) {
        let client = self.redis.subscribing();
        let payload = BusMessage::Probe(self.nonce(generation)).encode();
        let probes = buckets.iter().map(|bucket| {
            let (client, channel, payload) = (client.clone(), self.redis.name(&bucket.name()), payload.as_slice());
            async move {
                if self.redis.is_clustered() {
                    self.redis.run(Area::Bus, Box::pin(client.spublish::<u64, _, _>(channel, payload))).await
                } else {
                    self.redis.run(Area::Bus, Box::pin(client.publish::<u64, _, _>(channel, payload))).await
                }
            }
        });
        futures_util::future::join_all(probes).await;
    }

    /// One round of proof. Too slow is as good as not at all.
    async fn prove(&self) {
        let deadline = Instant::now() + self.redis.slow();
        let routing = self.redis.subscriber().cached_cluster_state();
        let node_of = |bucket: Bucket| {
            let slot = fred::util::redis_keyslot(self.redis.name(&bucket.name()).as_bytes());
            routing.as_ref().and_then(|routing| routing.get_server(slot)).cloned()
        };
        let (asked, generation) = self.lock().begin_round(node_of);
        if !asked.is_empty() {
            // It may hang for as long as a command may: the round is over before.
            drop(timeout_at(deadline, self.probe(&asked, generation)).await);
        }
        loop {
            let proved = self.proved.notified();
            tokio::pin!(proved);
            proved.as_mut().enable();
            if self.lock().is_round_over() || timeout_at(deadline, proved).await.is_err() {
                break;
            }
        }
        let (back, proven) = {
            let mut state = self.lock();
            (state.end_round(generation) && !asked.is_empty(), state.is_proven())
        };
        if back {
            self.redis.set_usable(true);
            self.redis.worked(Area::Speed);
        } else if self.lock().is_connected() {
            self.redis.is_late();
        }
        metrics::gauge!(telemetry::BUS_HEARD).set(u8::from(back));
        metrics::gauge!(telemetry::BUS_PROVEN).set(u8::from(back && proven));
    }
}
