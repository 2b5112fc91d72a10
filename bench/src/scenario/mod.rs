//! What is measured of servers: each file is a scenario, and says what it does to a server and which figures come of it.

mod audience;
pub(crate) mod fan_out;
pub(crate) mod growth;
pub(crate) mod idle;
pub(crate) mod polls;
mod publishers;
pub(crate) mod savings;
pub(crate) mod sends;
mod stage;
pub(crate) mod storm;
