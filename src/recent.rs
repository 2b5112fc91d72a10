//! What is kept in memory for a while instead of being asked for again: so many of a kind at most, and none beyond its
//! time. There is one for nearly everyone who is connected, so an entry is its place in a table and nothing beside it. It
//! looks nothing up by itself, and knows nothing of what it keeps.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync;

/// Parts with a lock of their own.
const PARTS: usize = 64;

/// What is kept, by key.
pub(crate) struct Recent<K, V> {
    parts: Box<[Part<K, V>]>,
    hasher: RandomState,
    /// Entries in each of the two generations of a part.
    most: usize,
    /// How long a generation takes.
    time: Duration,
}

struct Part<K, V> {
    kept: Mutex<Kept<K, V>>,
    /// Whoever looks up what is not kept.
    looking: sync::Mutex<()>,
}

/// Two generations: when it is time, or the younger one is full, the older one goes.
struct Kept<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    begun: Instant,
}

impl<K: Hash + Eq, V: Clone> Recent<K, V> {
    /// Keeps so many, and each for that time or, if others came meanwhile, half of it.
    pub(crate) fn new(most: usize, time: Duration) -> Self {
        let part = |_| Part {
            kept: Mutex::new(Kept { young: HashMap::new(), old: HashMap::new(), begun: Instant::now() }),
            looking: sync::Mutex::default(),
        };
        Self {
            parts: (0..PARTS).map(part).collect(),
            hasher: RandomState::new(),
            most: most / PARTS / 2,
            time: time / 2,
        }
    }

    /// What is kept under this key.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let kept = self.kept(key);
        kept.young.get(key).or_else(|| kept.old.get(key)).cloned()
    }

    /// Keeps this under a key.
    pub(crate) fn keep(&self, key: K, value: V) {
        let mut kept = self.kept(&key);
        if kept.young.len() >= self.most {
            kept.turn();
        }
        kept.old.remove(&key);
        kept.young.insert(key, value);
    }

    /// Forgets what is kept under this key.
    pub(crate) fn forget(&self, key: &K) {
        let mut kept = self.kept(key);
        kept.young.remove(key);
        kept.old.remove(key);
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        self.parts.iter().for_each(|part| (0..2).for_each(|_| part.lock().turn()));
    }

    /// Forgets what is beyond its time, also where nobody asks.
    pub(crate) fn sweep(&self) {
        self.parts.iter().for_each(|part| part.lock().keep_time(self.time));
    }

    /// Waits for whoever looks up the same at this moment: when this returns, it may be kept. A few others share the lock.
    pub(crate) async fn look_up(&self, key: &K) -> sync::MutexGuard<'_, ()> {
        self.part(key).looking.lock().await
    }

    fn kept(&self, key: &K) -> MutexGuard<'_, Kept<K, V>> {
        let mut kept = self.part(key).lock();
        kept.keep_time(self.time);
        kept
    }

    fn part(&self, key: &K) -> &Part<K, V> {
        let hash = usize::try_from(self.hasher.hash_one(key) % PARTS as u64);
        &self.parts[hash.unwrap_or(0)]
    }
}

impl<K, V> Part<K, V> {
    fn lock(&self) -> MutexGuard<'_, Kept<K, V>> {
        // No code here can panic while it holds the lock half way through a change.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> Kept<K, V> {
    fn keep_time(&mut self, time: Duration) {
        let passed = self.begun.elapsed();
        if passed >= time {
            self.turn();
        }
        if passed >= time * 2 {
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.old = std::mem::take(&mut self.young);
        self.begun = Instant::now();
    }
}

impl<K, V> fmt::Debug for Recent<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys may be people, and values what is known of them.
        f.debug_struct("Recent").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    fn count(recent: &Recent<usize, usize>, keys: usize) -> usize {
        (0..keys).filter(|key| recent.get(key) == Some(*key)).count()
    }

    #[test]
    fn what_is_kept_is_found_until_it_is_forgotten() {
        let recent = Recent::new(10_000, LONG);
        (0..100).for_each(|key| recent.keep(key, key));
        assert_eq!(count(&recent, 100), 100);
        recent.forget(&7);
        recent.sweep();
        assert_eq!((recent.get(&7), count(&recent, 100)), (None, 99));
        recent.keep(8, 9);
        assert_eq!(recent.get(&8), Some(9), "the newest counts");
        recent.clear();
        assert_eq!(count(&recent, 100), 0);
    }

    #[test]
    fn of_more_than_there_is_room_for_the_oldest_go() {
        let recent = Recent::new(10_000, LONG);
        (0..50_000).for_each(|key| recent.keep(key, key));
        let kept = count(&recent, 50_000);
        assert!((4000..=10_000).contains(&kept), "{kept}");
        assert!((49_000..50_000).all(|key| recent.get(&key).is_some()));
    }

    #[test]
    fn nothing_is_kept_beyond_its_time() {
        let recent = Recent::new(10_000, LONG);
        recent.keep(1, 1);
        let keep_time = |time| recent.parts.iter().for_each(|part| part.lock().keep_time(time));
        keep_time(LONG);
        assert_eq!(recent.get(&1), Some(1));
        recent.parts.iter().for_each(|part| part.lock().turn());
        assert_eq!(recent.get(&1), Some(1), "half of it is over");
        keep_time(Duration::ZERO);
        assert_eq!(recent.get(&1), None);
        recent.keep(1, 1);
        keep_time(Duration::ZERO);
        assert_eq!(recent.get(&1), None, "nobody asked for as long as both generations take");
    }

    #[tokio::test]
    async fn one_looks_up_for_all_who_ask_at_the_same_time() {
        let recent = Recent::<usize, usize>::new(10_000, LONG);
        let looking = recent.look_up(&1).await;
        let mut other = std::pin::pin!(recent.look_up(&1));
        assert!(futures_util::poll!(other.as_mut()).is_pending());
        drop(looking);
        drop(other.await);
    }
}
