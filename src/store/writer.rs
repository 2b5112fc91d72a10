//! Writes, gathered into transactions. What queued while the batch before committed is the next batch, without a
//! timer: the disk is synced once for all of them. Each job is a part that can be undone by itself, so that one
//! refused does not fail its neighbours, and is answered only after the COMMIT. Sends that follow each other are done
//! together; should that fail, each is tried alone.
//!
//! SQLite has one lane for everything. On PostgreSQL each room has a lane of its own, whose batches hold the room's
//! lock; what moves users' rows shares a transaction with nobody. Locks are taken rooms first, then members, then
//! users, several of a kind in order of id, so that no two transactions wait for each other.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use super::Written;
use super::database::{Connection, Database};
use super::sending::{Sending, Then, send_all};
use crate::error::{Error, Result};
use crate::model::RoomId;

/// Jobs that may wait. When as many wait, the next one waits for a place before it is taken in.
const QUEUE: usize = 4096;

/// How a job takes its turn.
#[derive(Debug, Clone, Copy)]
pub(super) enum Turn<'a> {
    /// In the room's order, in a transaction with others of the room.
    Shared(&'a RoomId),
    /// In the room's order, in a transaction of its own.
    Own(&'a RoomId),
    /// At any time, in a transaction of its own, without a room's lock.
    Free,
}

/// What does not run at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Lane {
    /// All there is to write.
    All,
    /// What locks this room.
    Room(RoomId),
    /// One job.
    Free(u64),
}

/// A handle to the writer.
#[derive(Debug, Clone)]
pub(super) struct Writer(Arc<Inner>);

struct Inner {
    database: Database,
    batch: usize,
    deadline: Duration,
    places: Arc<Semaphore>,
    /// Bounds the free jobs under way.
    free: Semaphore,
    lanes: Mutex<HashMap<Lane, VecDeque<Job>>>,
    number: AtomicU64,
    tasks: TaskTracker,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("database", &self.database).finish_non_exhaustive()
    }
}

impl Writer {
    /// A writer whose transactions hold at most `batch` jobs. Whoever gives a job waits no longer than the deadline.
    pub(super) fn new(database: Database, batch: usize, deadline: Duration) -> Self {
        // Rooms are not to wait for what is not theirs: half of the connections are enough for that.
        let free = (database.writing as usize / 2).max(1);
        Self(Arc::new(Inner {
            database,
            batch,
            deadline,
            places: Arc::new(Semaphore::new(QUEUE)),
            free: Semaphore::new(free),
            lanes: Mutex::default(),
            number: AtomicU64::default(),
            tasks: TaskTracker::new(),
        }))
    }

    /// Runs a job in a transaction and returns after its COMMIT. Once begun it runs to its end, whether or not the
    /// caller still waits; a job for which nobody waits any more is not begun.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        turn: Turn<'_>,
        job: impl for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.give(turn, |answer| Box::new(Given { job: Some(job), answer })).await
    }

    /// Sends a message in the room's order, together with others of it.
    pub(super) async fn send(&self, room: &RoomId, send: Sending) -> Result<Written> {
        self.give(Turn::Shared(room), |answer| Box::new(GivenSend { send, answer })).await
    }

    async fn give<T>(&self, turn: Turn<'_>, work: impl FnOnce(Answer<T>) -> Box<dyn Work>) -> Result<T> {
        let until = Instant::now() + self.0.deadline;
        let late = |_| Error::unavailable("writing to the database", "it did not take the write in time");
        let place = timeout_at(until, self.0.places.clone().acquire_owned()).await.map_err(late)?;
        let place = place.map_err(|_| Error::unavailable("writing to the database", "the writer has stopped"))?;
        let (reply, answer) = oneshot::channel();
        self.queue(turn, work(Answer { result: None, reply, _place: place }));
        // SQLite's disk is this machine's own: what was begun there ends, and is told to whoever follows the room.
        let answer =
            if self.0.database.is_alone() { answer.await } else { timeout_at(until, answer).await.map_err(late)? };
        answer.map_err(|_| Error::internal("writing to the database", "a job was not answered"))?
    }

    fn queue(&self, turn: Turn<'_>, work: Box<dyn Work>) {
        let (lane, shared) = match turn {
            _ if self.0.database.is_alone() => (Lane::All, true),
            Turn::Shared(room) => (Lane::Room(room.clone()), true),
            Turn::Own(room) => (Lane::Room(room.clone()), false),
            Turn::Free => (Lane::Free(self.0.number.fetch_add(1, Ordering::Relaxed)), false),
        };
        let job = Job { work, shared };
        match self.lanes().entry(lane.clone()) {
            // Its task takes this as well before it ends.
            Entry::Occupied(mut waiting) => waiting.get_mut().push_back(job),
            Entry::Vacant(lanes) => {
                lanes.insert(VecDeque::from([job]));
                let writer = self.clone();
                self.0.tasks.spawn(async move {
                    while let Some(batch) = writer.next_batch(&lane) {
                        writer.write(&lane, batch).await;
                    }
                });
            }
        }
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<Lane, VecDeque<Job>>> {
        self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The jobs of the lane's next transaction. When there is none, the lane is gone.
    fn next_batch(&self, lane: &Lane) -> Option<Vec<Job>> {
        let mut lanes = self.lanes();
        let waiting = lanes.get_mut(lane)?;
        let mut batch: Vec<Job> = Vec::new();
        while batch.len() < self.0.batch && batch.last().is_none_or(|last| last.shared) {
            match waiting.pop_front() {
                Some(job) if !job.work.is_wanted() => {}
                Some(job) if batch.is_empty() || job.shared => batch.push(job),
                Some(job) => {
                    waiting.push_front(job);
                    break;
                }
                None => break,
            }
        }
        if batch.is_empty() {
            lanes.remove(lane);
            return None;
        }
        Some(batch)
    }

    async fn write(&self, lane: &Lane, mut batch: Vec<Job>) {
        // A job that panics must not take the lane with it: the batch is rolled back and all are told.
        let done = match AssertUnwindSafe(self.commit(lane, &mut batch)).catch_unwind().await {
            Ok(committed) => committed,
            Err(_) => Err(Error::internal("writing to the database", "a job panicked; its batch was rolled back")),
        };
        for job in batch {
            job.work.answer(done.clone());
        }
    }

    /// One transaction for the batch. A job's own failure is its answer; an error here fails all of them.
    async fn commit(&self, lane: &Lane, batch: &mut [Job]) -> Result<()> {
        let _free = match lane {
            Lane::Free(_) => self.0.free.acquire().await.ok(),
            Lane::All | Lane::Room(_) => None,
        };
        let mut tx = self.begin(lane).await?;
        let only_sends = batch.iter().all(|job| job.work.as_send().is_some());
        if only_sends {
            match run_sends(&mut tx, batch, Then::Commit).await {
                Ok(kept) => return if kept { tx.commit().await } else { tx.roll_back().await },
                Err(error) => {
                    // SQLite ends a transaction by itself when the disk is full; then all are refused for that reason.
                    let undone = tx.roll_back().await;
                    if batch.len() == 1 || undone.is_err() {
                        return Err(error);
                    }
                    tx = self.begin(lane).await?;
                }
            }
        }
        let undoable = batch.len() > 1;
        // Sends that follow each other are one part, unless that has failed already.
        let are_sends = |a: &Job, b: &Job| !only_sends && a.work.as_send().is_some() && b.work.as_send().is_some();
        let mut parts: VecDeque<&mut [Job]> = batch.chunk_by_mut(are_sends).collect();
        let (mut first, mut begun, mut kept) = (true, false, false);
        while let Some(part) = parts.pop_front() {
            if undoable && !begun {
                tx.next_part(first).await?;
                first = false;
            }
            let done = run_part(&mut tx, part).await;
            begun = !matches!(done, Ok(true));
            if !begun {
                tx.check()?;
                kept = true;
            } else if undoable {
                tx.undo_part().await?;
            }
            if done.is_err() {
                // One of them is why; which one, shows when each is a part of its own.
                part.chunks_mut(1).rev().for_each(|alone| parts.push_front(alone));
            }
        }
        if kept { tx.commit().await } else { tx.roll_back().await }
    }

    /// A transaction in which the lane's jobs can be done.
    async fn begin(&self, lane: &Lane) -> Result<Connection> {
        let mut tx = self.0.database.begin().await?;
        if let Lane::Room(room) = lane {
            // Before any savepoint, because to undo a part is to give back what was locked in it.
            tx.lock_room(room).await?;
        }
        Ok(tx)
    }

    /// Takes no more jobs, and waits for those that are queued.
    pub(super) async fn close(&self) {
        self.0.places.close();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

/// Does a part of a batch; returns whether what it wrote is to be kept. An error says nothing of any one job.
async fn run_part(tx: &mut Connection, part: &mut [Job]) -> Result<bool> {
    match part {
        [job] => Ok(job.work.run(tx).await),
        sends => run_sends(tx, sends, Then::More).await,
    }
}

/// Does sends together, those for which somebody still waits.
async fn run_sends(tx: &mut Connection, part: &mut [Job], then: Then) -> Result<bool> {
    let mut wanted: Vec<&mut Job> = part.iter_mut().filter(|job| job.work.is_wanted()).collect();
    let sends: Vec<&Sending> = wanted.iter().filter_map(|job| job.work.as_send()).collect();
    let results = send_all(tx, &sends, then).await?;
    let mut keep = false;
    for (job, result) in wanted.iter_mut().zip(results) {
        keep |= result.is_ok();
        job.work.sent(result);
    }
    Ok(keep)
}

struct Job {
    work: Box<dyn Work>,
    /// Whether others may be in its transaction.
    shared: bool,
}

trait Work: Send {
    /// Whether anyone waits for it.
    fn is_wanted(&self) -> bool;
    /// Does it; returns whether what it wrote is to be kept.
    fn run<'c>(&'c mut self, tx: &'c mut Connection) -> BoxFuture<'c, bool>;
    /// Tells whoever gave it what came of it, once the batch is committed or rolled back.
    fn answer(self: Box<Self>, committed: Result<()>);
    /// The send that it is, which may be done with others.
    fn as_send(&self) -> Option<&Sending> {
        None
    }
    /// What came of the send when it was done with others.
    fn sent(&mut self, _result: Result<Written>) {}
}

/// The way back to whoever gave a job.
struct Answer<T> {
    result: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
    _place: OwnedSemaphorePermit,
}

impl<T> Answer<T> {
    fn is_wanted(&self) -> bool {
        !self.reply.is_closed()
    }

    /// Keeps what came of it; returns whether what was written is to be kept.
    fn keep(&mut self, result: Result<T>) -> bool {
        self.result.insert(result).is_ok()
    }

    fn give(self, committed: Result<()>) {
        let result = match (self.result, committed) {
            (Some(result), Ok(())) => result,
            // It is why the batch failed.
            (Some(Err(error)), Err(_)) if error.is_fault() => Err(error),
            (_, Err(error)) => Err(error),
            (None, Ok(())) => Err(Error::internal("writing to the database", "a job was left out")),
        };
        // Whoever gave it may be gone; what is committed stays committed.
        drop(self.reply.send(result));
    }
}

struct Given<T, F> {
    job: Option<F>,
    answer: Answer<T>,
}

impl<T, F> Work for Given<T, F>
where
    T: Send,
    F: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T>> + Send,
{
    fn is_wanted(&self) -> bool {
        self.answer.is_wanted()
    }

    fn run<'c>(&'c mut self, tx: &'c mut Connection) -> BoxFuture<'c, bool> {
        Box::pin(async move {
            // It may have waited for a connection for longer than anyone waits for it.
            let Some(job) = self.job.take().filter(|_| self.answer.is_wanted()) else { return false };
            let result = job(tx).await;
            self.answer.keep(result)
        })
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        self.answer.give(committed);
    }
}

struct GivenSend {
    send: Sending,
    answer: Answer<Written>,
}

impl Work for GivenSend {
    fn is_wanted(&self) -> bool {
        self.answer.is_wanted()
    }

    fn run<'c>(&'c mut self, tx: &'c mut Connection) -> BoxFuture<'c, bool> {
        Box::pin(async move {
            if !self.answer.is_wanted() {
                return false;
            }
            let result = match send_all(tx, &[&self.send], Then::More).await {
                Ok(mut results) => results.pop().unwrap_or_else(|| Err(Error::internal("sending", "no result"))),
                Err(error) => Err(error),
            };
            self.answer.keep(result)
        })
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        self.answer.give(committed);
    }

    fn as_send(&self) -> Option<&Sending> {
        Some(&self.send)
    }

    fn sent(&mut self, result: Result<Written>) {
        self.answer.keep(result);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Settings;

    /// Waits for `ready`, keeps `name` in a table, and panics if told to.
    async fn keep(tx: &mut Connection, ready: Option<oneshot::Receiver<()>>, name: &'static str) -> Result<()> {
        if let Some(ready) = ready {
            drop(ready.await);
        }
        tx.query("insert into demo_key (only_one, key) values (1, $1) on conflict do update set key = key || $1")
            .bind(name)
            .execute()
            .await?;
        assert!(name != "panic", "as it was told to");
        Ok(())
    }

    #[tokio::test]
    async fn a_job_that_panics_takes_its_batch_with_it_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Settings {
            url: format!("sqlite:{}", folder.path().join("tidings.db").display()),
            auto_migrate: true,
            connections: 2,
            deadline: Duration::from_secs(10),
            commit_batch: 64,
            allow_unsafe: false,
        };
        let (database, _lock) = crate::store::sqlite::open(&settings).await.expect("a database");
        let writer = Writer::new(database.clone(), settings.commit_batch, settings.deadline);
        let (go, ready) = oneshot::channel();
        let run = |name, ready| writer.run(Turn::Free, move |tx| Box::pin(keep(tx, ready, name)));
        // The first is a batch of its own. The others queue while it waits, and are the next.
        let queued = async {
            tokio::task::yield_now().await;
            let batch = futures_util::future::join3(run("b", None), run("panic", None), run("c", None));
            let release = async { go.send(()) };
            futures_util::future::join(batch, release).await.0
        };
        let (first, (b, panicked, c)) = tokio::join!(run("a", Some(ready)), queued);
        assert!(first.is_ok(), "{first:?}");
        for failed in [b, panicked, c] {
            assert!(matches!(failed, Err(Error::Internal { .. })), "{failed:?}");
        }
        assert!(run("d", None).await.is_ok(), "the lane goes on");
        let mut connection = database.reading().await.expect("a connection");
        let row = connection.query("select key from demo_key").fetch_one().await.expect("a row");
        assert_eq!(row.try_get::<String>("key").expect("a text"), "ad");
        drop(connection);
        writer.close().await;
        database.close().await;
    }
}
