//! Without the feature `otlp` nothing is recorded, and nothing is done for it.

use tracing::Span;
use tracing_subscriber::layer::Identity;

use crate::config::{ConfigError, Recording};
use crate::protocol::TraceParent;

/// Where traces go: nowhere.
#[derive(Debug, Default)]
pub struct Traces;

impl Traces {
    /// Sends what is left.
    #[expect(clippy::unused_async, reason = "with the feature it waits")]
    pub async fn stop(self) {}
}

/// Spans that are recorded for as long as this lives: none.
#[derive(Debug, Default)]
pub struct Recorded(());

impl Recorded {
    /// What they are of has failed.
    pub fn fail(&self) {}

    /// What they are of has ended.
    pub fn end(self) {}
}

/// What records spans, beside the log.
#[expect(clippy::unnecessary_wraps, reason = "with the feature it may fail")]
pub(in crate::telemetry) fn layer(_recording: &Recording) -> Result<Option<Identity>, ConfigError> {
    Ok(None)
}

/// Where a span stands, if it is recorded.
pub fn here(_span: &Span) -> Option<TraceParent> {
    None
}

/// A request goes on with a trace of its caller's.
pub fn join(_request: &Span, _parent: impl FnOnce() -> Option<TraceParent>) {}

/// The request of the current span is answered.
pub fn answered(_status: u16) {}

/// A frame of a client's.
pub fn frame(_kind: &'static str) -> Span {
    Span::none()
}

/// A frame was refused.
pub fn refused(_frame: &Span, _code: &'static str, _is_fault: bool) {}

/// A transaction that does these jobs.
pub fn commits<'a>(_jobs: impl ExactSizeIterator<Item = &'a Span>) -> Recorded {
    Recorded(())
}

/// A publication to the room of what the current span has committed.
pub fn publish(_room: &str) -> Span {
    Span::none()
}

/// A delivery to the room's readers here of what the current span has committed.
pub fn deliver(_room: &str) -> Recorded {
    Recorded(())
}

/// The same of what was heard to be committed within these traces.
pub fn deliver_heard(_traces: &[TraceParent], _room: &str) -> Recorded {
    Recorded(())
}
