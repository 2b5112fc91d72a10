//! The log, what is counted, and traces. Spans and events carry ids, never a token and never what a message says; metrics
//! carry neither users nor rooms, so that their number stays small.

mod log;
mod metrics;
pub mod trace;

pub use log::{CALL, filter, start};
pub use metrics::*;
