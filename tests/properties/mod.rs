//! The pure core under every order of events: whatever publications are lost, doubled or crossed, a reader ends with
//! the log.

mod repair;
