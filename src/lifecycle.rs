//! The life of the process: tracked tasks, and a stop that waits for them. Knows nothing of chat.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Starts tasks, and stops them.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    draining: CancellationToken,
    tasks: TaskTracker,
}

impl Lifecycle {
    /// Starts a task. Stopping waits for it; a panic in it is logged with its name and ends only itself.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        // Without an `async` block, which would keep room for the task twice: before it begins, and after.
        self.tasks.spawn(AssertUnwindSafe(task).catch_unwind().map(move |result| {
            // The panic hook has written where and why; this says which task it cost.
            result.inspect_err(|_| tracing::error!(task = name, "a task panicked")).ok()
        }))
    }

    /// Starts a task that is needed for as long as the service runs: should it panic, it is started again.
    pub fn supervise<F: Future<Output = ()> + Send + 'static>(
        &self,
        name: &'static str,
        task: impl Fn() -> F + Send + 'static,
    ) {
        let draining = self.draining.clone();
        self.tasks.spawn(async move {
            while !draining.is_cancelled() {
                if AssertUnwindSafe(task()).catch_unwind().await.is_ok() {
                    return;
                }
                tracing::error!(task = name, "a task panicked and is started again");
            }
        });
    }

    /// Resolves once the service begins to stop.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// Whether the service has begun to stop.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Begins to stop.
    pub fn drain(&self) {
        self.draining.cancel();
        self.tasks.close();
    }

    /// Waits for the tasks, at most this long. Returns whether all have ended.
    pub async fn ended(&self, patience: Duration) -> bool {
        tokio::time::timeout(patience, self.tasks.wait()).await.is_ok()
    }
}

/// Resolves at Ctrl-C or SIGTERM.
pub async fn stop_signal() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// A file size limit then fails the write, which is answered, instead of ending the process.
pub fn survive_file_size_limit() -> std::io::Result<()> {
    /// SIGXFSZ, "file size limit exceeded", on Linux.
    const FILE_SIZE: i32 = 25;
    // Installing a handler replaces the deadly default for good; nobody needs to hear the signal itself.
    drop(signal(SignalKind::from_raw(FILE_SIZE))?);
    Ok(())
}
