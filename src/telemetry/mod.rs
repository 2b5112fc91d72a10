//! The log, and what is counted. Spans and events carry ids, never a token and never what a message says; metrics
//! carry neither users nor rooms, so that their number stays small.

mod log;
mod metrics;
mod names;

pub use log::start;
pub use metrics::{By, Handles, Open, UPKEEP, count, handles, limit_hit, router};
pub use names::*;
