//! The life of the process: tracked tasks, and a stop that waits for them. First it drains: who stays for long is asked
//! to go elsewhere, everything else goes on. Then it stops: tasks end. Knows nothing of chat.

mod drain;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

use drain::Drain;
pub use drain::{Drained, Guest, Turn};

/// Starts tasks, and stops them.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    drain: Arc<Drain>,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

impl Lifecycle {
    /// Starts a task that belongs to nobody's request. Stopping waits for it; a panic in it is logged with its name and
    /// ends only itself.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        self.spawn_in(Span::none(), name, task)
    }

    /// The same with a span, in which all of it is logged: for a connection, or what a request waits for.
    pub fn spawn_in<T: Send + 'static>(
        &self,
        span: Span,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        self.tasks.spawn(caught(name, task, Span::current).instrument(span))
    }

    /// The same for a task that lasts long and seldom does anything: it makes its span itself, whenever there may be
    /// something to log, as this does should it panic.
    pub fn spawn_as<T: Send + 'static>(
        &self,
        span: impl FnOnce() -> Span + Send + 'static,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        self.tasks.spawn(caught(name, task, span))
    }

    /// Starts a task that is needed for as long as the service runs: should it panic, it is started again.
    pub fn supervise<F: Future<Output = ()> + Send + 'static>(
        &self,
        name: &'static str,
        task: impl Fn() -> F + Send + 'static,
    ) {
        let stopping = self.stopping.clone();
        self.tasks.spawn(async move {
            while !stopping.is_cancelled() {
                if AssertUnwindSafe(task()).catch_unwind().await.is_ok() {
                    return;
                }
                tracing::error!(task = name, "a task panicked and is started again");
            }
        });
    }

    /// One more who stays for long, and is asked to go when the service drains; nobody once it does.
    pub fn guest(&self) -> Option<Guest> {
        self.drain.guest()
    }

    /// Whether the service drains, or stops: whoever comes is to go elsewhere next time.
    pub fn is_draining(&self) -> bool {
        self.drain.has_begun()
    }

    /// Asks everyone who stays to go, each in their turn, and waits until they have, at most this long.
    pub async fn drain(&self, longest: Duration) -> Drained {
        let plan = self.drain.begin(longest);
        tracing::info!(takes = ?plan.takes(), "whoever is here is asked to go elsewhere");
        self.drain.wait(plan).await
    }

    /// Resolves once the service stops.
    pub fn stopping(&self) -> WaitForCancellationFuture<'_> {
        self.stopping.cancelled()
    }

    /// Whether the service stops.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Stops: tasks end as soon as they can.
    pub fn stop(&self) {
        self.drain.begin(Duration::ZERO);
        self.stopping.cancel();
        self.tasks.close();
    }

    /// Waits for the tasks, at most this long. Returns whether all have ended.
    pub async fn ended(&self, patience: Duration) -> bool {
        tokio::time::timeout(patience, self.tasks.wait()).await.is_ok()
    }
}

/// A task, nothing of which is left should it panic but a line in its span.
fn caught<T>(
    name: &'static str,
    task: impl Future<Output = T>,
    span: impl FnOnce() -> Span,
) -> impl Future<Output = Option<T>> {
    // Without an `async` block, which would keep room for the task twice: before it begins, and after.
    AssertUnwindSafe(task).catch_unwind().map(move |result| {
        // The panic hook has written where and why; this says which task it cost.
        result.inspect_err(|_| span().in_scope(|| tracing::error!(task = name, "a task panicked"))).ok()
    })
}

/// What asks the process to stop: Ctrl-C or SIGTERM.
#[derive(Debug)]
pub struct StopSignal {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignal {
    /// Listens from now on. Neither ends the process by itself any more; and where it is the first of its container,
    /// which neither would have ended, both are heard.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Resolves once one has come.
    pub async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Resolves at the first that comes from now on, for whoever leaves nothing behind if one came before.
pub async fn stop_signal() -> std::io::Result<()> {
    StopSignal::listen()?.received().await;
    Ok(())
}

/// Takes as many open files as the system grants: what a process starts with is often 1,024, for the sake of old programs
/// that could not count further. Warns if that is too few for so many connections.
pub fn take_open_files(connections: u32) {
    /// For everything but connections of clients: the database's, Redis's, files.
    const OTHERS: u64 = 100;
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(granted) if granted >= u64::from(connections) + OTHERS => {}
        Ok(granted) => {
            tracing::warn!(granted, connections, "the system grants fewer open files than MAX_CONNECTIONS needs");
        }
        Err(error) => tracing::warn!(%error, "the number of open files stays as it is"),
    }
}

/// A file size limit then fails the write, which is answered, instead of ending the process.
pub fn survive_file_size_limit() -> std::io::Result<()> {
    /// SIGXFSZ, "file size limit exceeded", on Linux.
    const FILE_SIZE: i32 = 25;
    // Installing a handler replaces the deadly default for good; nobody needs to hear the signal itself.
    drop(signal(SignalKind::from_raw(FILE_SIZE))?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    /// What a log was given.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_becomes_of_a_task_is_logged_on_behalf_of_whoever_waits_for_it() {
        let page = Page::default();
        let writer = page.clone();
        let _log =
            tracing::subscriber::set_default(tracing_subscriber::fmt().with_writer(move || writer.clone()).finish());
        let span = tracing::error_span!("request", request.id = "the-call");
        let task = Lifecycle::default().spawn_in(span, "write", async {
            tracing::info!("it began");
            panic!("as it was told to");
        });
        assert!(matches!(task.await, Ok(None::<()>)));
        let log = String::from_utf8(page.0.lock().expect("the log").clone()).expect("text");
        assert_eq!(log.lines().filter(|line| line.contains("the-call")).count(), 2, "{log}");
        assert!(log.contains("a task panicked"), "{log}");
    }
}
