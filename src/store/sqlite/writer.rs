//! The one writer. Jobs queue; what queued while the batch before committed is the next batch, up to 64, in one
//! transaction: the disk is synced once for all of them. Each job has a savepoint of its own, so that one refused
//! does not fail its neighbours, and is answered only after the COMMIT.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::{Error, Result};

/// Jobs in one transaction at most.
const BATCH: usize = 64;
/// Jobs that may wait. When as many wait, the next one waits for a place before it is taken in.
const QUEUE: usize = 4096;

/// A transaction, as a job sees it.
pub(in crate::store) type Tx = SqliteConnection;

/// Tells whoever gave the job what came of it, once the batch is committed or rolled back.
type Answer = Box<dyn FnOnce(Result<()>) + Send>;
type Job = Box<dyn for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, (bool, Answer)> + Send>;

/// A handle to the writer.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
    stop: CancellationToken,
    task: TaskTracker,
}

impl Writer {
    /// Starts the writer on a connection; `options` open another one when that breaks.
    pub(super) fn start(connection: SqliteConnection, options: SqliteConnectOptions) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let (stop, task) = (CancellationToken::new(), TaskTracker::new());
        task.spawn(write(jobs, connection, options, stop.clone()));
        task.close();
        Self { queue, stop, task }
    }

    /// Runs a job in a transaction and returns after its COMMIT. Once queued it runs to its end, whether or not
    /// the caller still waits.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |tx| {
            Box::pin(async move {
                let result = job(tx).await;
                let keep = result.is_ok();
                // Whoever gave the job may be gone; what is committed stays committed.
                let answer: Answer =
                    Box::new(move |committed| drop(reply.send(result.and_then(|v| committed.map(|()| v)))));
                (keep, answer)
            })
        });
        let closed = || Error::unavailable("writing to the database", "the writer has stopped");
        self.queue.send(job).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Takes no more jobs, and waits for those that are queued.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.task.wait().await;
    }
}

async fn write(
    mut jobs: mpsc::Receiver<Job>,
    connection: SqliteConnection,
    options: SqliteConnectOptions,
    stop: CancellationToken,
) {
    let mut connection = Some(connection);
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        if stop.is_cancelled() {
            jobs.close();
        }
        let taken = tokio::select! {
            biased;
            taken = jobs.recv_many(&mut batch, BATCH) => taken,
            () = stop.cancelled(), if !jobs.is_closed() => continue,
        };
        if taken == 0 {
            break;
        }
        let mut answers = Vec::with_capacity(taken);
        let committing = commit(&mut connection, &options, batch.drain(..), &mut answers);
        // A job that panics must not take the writer with it: the batch is rolled back and all are told.
        let outcome = match AssertUnwindSafe(committing).catch_unwind().await {
            Ok(committed) => committed,
            Err(_) => Err(Error::internal("writing to the database", "a job panicked; its batch was rolled back")),
        };
        if outcome.is_err() {
            // What state the connection is in is anybody's guess (a full disk rolls back by itself): take another.
            connection = None;
        }
        for answer in answers {
            answer(outcome.clone());
        }
    }
    if let Some(connection) = connection {
        // The last connection to close a file with unfinished business says so; there is nobody to tell.
        drop(connection.close().await);
    }
}

/// One transaction for the batch. A job's own failure is in its answer; an error here fails all of them.
async fn commit(
    connection: &mut Option<SqliteConnection>,
    options: &SqliteConnectOptions,
    batch: impl Iterator<Item = Job>,
    answers: &mut Vec<Answer>,
) -> Result<()> {
    let connection = match connection {
        Some(connection) => connection,
        none => none.insert(options.connect().await?),
    };
    sqlx::query("begin immediate").execute(&mut *connection).await?;
    let mut kept = false;
    for job in batch {
        sqlx::query("savepoint job").execute(&mut *connection).await?;
        let (keep, answer) = job(connection).await;
        answers.push(answer);
        if !keep {
            // SQLite ends a transaction by itself when the disk is full; there is then nothing to go back to, and the
            // whole batch is refused for the reason the job found.
            let undone = sqlx::query("rollback to job").execute(&mut *connection).await;
            undone.map_err(|error| Error::unavailable("undoing a part of a batch", error))?;
        }
        kept |= keep;
        sqlx::query("release job").execute(&mut *connection).await?;
    }
    let end = if kept { sqlx::query("commit") } else { sqlx::query("rollback") };
    end.execute(&mut *connection).await?;
    Ok(())
}
