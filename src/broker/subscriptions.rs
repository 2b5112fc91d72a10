//! Which buckets are wanted, heard and proven: the bookkeeping behind the bus, without any I/O.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::bucket::{BUCKETS, Bucket};

/// How old the last proof may be.
const PROOF: Duration = Duration::from_millis(2500);
/// How long the bus is not believed after it was found to have lost something.
const DOUBT: Duration = Duration::from_secs(30);
/// How long a bucket is heard after it was wanted last.
const LINGER: Duration = Duration::from_secs(30);

/// The state of all subscriptions.
#[derive(Debug)]
pub(super) struct Subscriptions {
    buckets: Vec<Slot>,
    leaving: Vec<Bucket>,
    connected: bool,
    /// One more with each connection: a probe of an older one proves nothing.
    generation: u64,
    /// Buckets whose probe of this round has not come back.
    awaited: HashSet<Bucket>,
    last_proof: Option<Instant>,
    doubted: Option<Instant>,
    /// A connection was lost; once all is heard again, somebody has to look for what was missed.
    missed: bool,
    rotation: usize,
}

#[derive(Debug, Clone)]
struct Slot {
    phase: Phase,
    used: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Off,
    /// To be subscribed to, or subscribed to and not proven.
    Wanted,
    Live,
}

/// What a probe that came back tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Proof {
    /// Its bucket is heard from now on.
    pub(super) is_new: bool,
    /// With it everything is heard again after a connection was lost.
    pub(super) again: bool,
}

/// What is to be done at the connection, in this order.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) leave: Vec<Bucket>,
    pub(super) subscribe: Vec<Bucket>,
    pub(super) generation: u64,
}

impl Subscriptions {
    pub(super) fn new() -> Self {
        Self {
            buckets: vec![Slot { phase: Phase::Off, used: Instant::now() }; usize::from(BUCKETS)],
            leaving: Vec::new(),
            connected: false,
            generation: 0,
            awaited: HashSet::new(),
            last_proof: None,
            doubted: None,
            missed: false,
            rotation: 0,
        }
    }

    /// Wants these from now on. Returns whether there is something to subscribe to.
    pub(super) fn want(&mut self, buckets: &[Bucket]) -> bool {
        let mut new = false;
        for bucket in buckets {
            let slot = &mut self.buckets[bucket.index()];
            slot.used = Instant::now();
            if slot.phase == Phase::Off {
                slot.phase = Phase::Wanted;
                new = true;
            }
        }
        new
    }

    /// Wants no longer what is not among these and was not wanted of late. Returns whether there is something to leave.
    pub(super) fn keep(&mut self, kept: &HashSet<Bucket>) -> bool {
        let now = Instant::now();
        for bucket in Bucket::all() {
            let slot = &mut self.buckets[bucket.index()];
            if kept.contains(&bucket) {
                slot.used = now;
            } else if slot.phase != Phase::Off && now.duration_since(slot.used) > LINGER {
                // Whoever wants it from now on finds it off, and subscribes anew, behind this leaving.
                slot.phase = Phase::Off;
                self.leaving.push(bucket);
            }
        }
        !self.leaving.is_empty()
    }

    pub(super) fn is_live(&self, bucket: Bucket) -> bool {
        self.buckets[bucket.index()].phase == Phase::Live
    }

    /// Whether every bucket that is wanted is heard.
    pub(super) fn hears_all(&self) -> bool {
        self.buckets.iter().all(|slot| slot.phase != Phase::Wanted)
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connected
    }

    /// What to leave and to subscribe to; nothing without a connection.
    pub(super) fn work(&mut self) -> Option<Work> {
        if !self.connected {
            return None;
        }
        let subscribe = Bucket::all().filter(|b| self.buckets[b.index()].phase == Phase::Wanted).collect();
        Some(Work { leave: std::mem::take(&mut self.leaving), subscribe, generation: self.generation })
    }

    /// A connection came or went: what was heard through the one before proves nothing about this one.
    pub(super) fn renew(&mut self, connected: bool) {
        self.generation += 1;
        self.connected = connected;
        self.awaited.clear();
        for slot in self.buckets.iter_mut().filter(|slot| slot.phase == Phase::Live) {
            slot.phase = Phase::Wanted;
            self.missed = true;
        }
    }

    /// A probe came back.
    pub(super) fn came_back(&mut self, bucket: Bucket, generation: u64) -> Proof {
        if generation != self.generation {
            return Proof::default();
        }
        let slot = &mut self.buckets[bucket.index()];
        let is_new = slot.phase == Phase::Wanted;
        if is_new {
            slot.phase = Phase::Live;
            self.last_proof = Some(Instant::now());
        }
        if self.awaited.remove(&bucket) && self.awaited.is_empty() {
            self.last_proof = Some(Instant::now());
        }
        let again = self.missed && self.hears_all();
        self.missed &= !again;
        Proof { is_new, again }
    }

    /// Begins a round of proof through one live bucket of each node, another one each round.
    pub(super) fn begin_round<N: std::hash::Hash + Eq>(&mut self, node_of: impl Fn(Bucket) -> N) -> (Vec<Bucket>, u64) {
        let mut nodes: std::collections::HashMap<N, Vec<Bucket>> = std::collections::HashMap::new();
        for bucket in Bucket::all().filter(|bucket| self.is_live(*bucket)) {
            nodes.entry(node_of(bucket)).or_default().push(bucket);
        }
        self.rotation += 1;
        let asked: Vec<Bucket> = nodes.values().map(|buckets| buckets[self.rotation % buckets.len()]).collect();
        self.awaited = asked.iter().copied().collect();
        (asked, self.generation)
    }

    pub(super) fn is_round_over(&self) -> bool {
        self.awaited.is_empty()
    }

    /// Ends a round: whatever comes back later is too late. Returns whether all came back in time.
    pub(super) fn end_round(&mut self, generation: u64) -> bool {
        let back = self.awaited.is_empty() && self.generation == generation;
        self.awaited.clear();
        back
    }

    pub(super) fn doubt(&mut self) {
        self.doubted = Some(Instant::now());
    }

    pub(super) fn is_proven(&self) -> bool {
        self.connected
            && self.last_proof.is_some_and(|proof| proof.elapsed() < PROOF)
            && self.doubted.is_none_or(|doubted| doubted.elapsed() > DOUBT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected(wanted: &[Bucket]) -> (Subscriptions, u64) {
        let mut subscriptions = Subscriptions::new();
        subscriptions.renew(true);
        assert!(subscriptions.want(wanted));
        let work = subscriptions.work().expect("it is connected");
        assert_eq!(work.subscribe.len(), wanted.len());
        (subscriptions, work.generation)
    }

    #[test]
    fn a_bucket_is_live_only_behind_a_probe_of_its_own_connection() {
        let (a, b) = (Bucket::of("a"), Bucket::of("b"));
        let (mut subscriptions, generation) = connected(&[a, b]);
        assert_eq!(subscriptions.came_back(a, generation - 1), Proof::default());
        assert!(!subscriptions.is_live(a));
        let proof = subscriptions.came_back(a, generation);
        assert_eq!(proof, Proof { is_new: true, again: false }, "nothing was missed: nothing was heard before");
        assert!(subscriptions.is_live(a) && !subscriptions.is_live(b));
        subscriptions.came_back(b, generation);
        subscriptions.renew(false);
        assert!(!subscriptions.is_live(a) && subscriptions.work().is_none());
        subscriptions.renew(true);
        let generation = subscriptions.work().expect("it is connected").generation;
        assert!(!subscriptions.came_back(a, generation).again, "the other one is not heard yet");
        assert!(subscriptions.came_back(b, generation).again, "now everything is, and something may have been missed");
        assert!(!subscriptions.came_back(b, generation).is_new, "a late one of a round tells nothing new");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_wanted_again_is_subscribed_to_behind_its_leaving() {
        let a = Bucket::of("a");
        let (mut subscriptions, generation) = connected(&[a]);
        subscriptions.came_back(a, generation);
        assert!(!subscriptions.keep(&HashSet::new()), "it lingers");
        tokio::time::advance(LINGER + Duration::from_secs(1)).await;
        assert!(subscriptions.keep(&HashSet::new()));
        assert!(subscriptions.want(&[a]) && !subscriptions.is_live(a));
        let work = subscriptions.work().expect("it is connected");
        assert_eq!((work.leave, work.subscribe), (vec![a], vec![a]));
    }

    #[tokio::test(start_paused = true)]
    async fn the_bus_is_proven_while_probes_come_back_and_nobody_doubts_it() {
        let a = Bucket::of("a");
        let (mut subscriptions, generation) = connected(&[a]);
        assert!(!subscriptions.is_proven());
        subscriptions.came_back(a, generation);
        assert!(subscriptions.is_proven(), "a subscription that came back is a proof too");
        let (asked, generation) = subscriptions.begin_round(|_| ());
        assert_eq!(asked, [a]);
        assert!(!subscriptions.is_round_over());
        subscriptions.came_back(a, generation);
        assert!(subscriptions.end_round(generation) && subscriptions.is_proven());
        subscriptions.doubt();
        assert!(!subscriptions.is_proven());
        tokio::time::advance(DOUBT + Duration::from_millis(1)).await;
        let (_, generation) = subscriptions.begin_round(|_| ());
        assert!(!subscriptions.end_round(generation) && !subscriptions.is_proven(), "the proof is too old");
    }
}
