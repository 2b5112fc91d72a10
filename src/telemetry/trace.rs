//! Traces: what became of a request or a frame, from the instance that took it through its commit and its publication
//! to the deliveries at every instance. They are recorded by the spans of the log, and of a few more that the log does
//! not show; attributes are ids, as in the log, never a token and never what a message says.
//!
//! A program built without the feature `otlp` records none: the same calls are there, and do nothing. Nobody ever waits
//! for a collector; what it does not take in time is dropped.

#[cfg(feature = "otlp")]
mod export;
#[cfg(feature = "otlp")]
mod recorded;
#[cfg(not(feature = "otlp"))]
mod silent;

#[cfg(feature = "otlp")]
pub(super) use recorded::layer;
#[cfg(feature = "otlp")]
pub use recorded::{Recorded, Traces, answered, commits, deliver, deliver_heard, frame, here, join, publish, refused};
#[cfg(not(feature = "otlp"))]
pub(super) use silent::layer;
#[cfg(not(feature = "otlp"))]
pub use silent::{Recorded, Traces, answered, commits, deliver, deliver_heard, frame, here, join, publish, refused};
