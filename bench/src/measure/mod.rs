//! What is measured, and how it becomes a figure. Knows neither servers nor scenarios.

mod counter;
mod histogram;
mod order;
mod process;
mod statistics;

pub(crate) use counter::counter;
pub(crate) use histogram::Histogram;
pub(crate) use order::{Order, Tally};
pub(crate) use process::{Spent, Usage, memory, rested, usage};
pub(crate) use statistics::Spread;
