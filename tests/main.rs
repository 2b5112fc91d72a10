//! The one integration binary: what a client's author, an operator and the house rules were promised, asked of
//! real servers and of the sources. One binary, because linking is what tests wait for.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]
#![expect(clippy::disallowed_methods, reason = "a test waits for its own tasks, and their panics are its own")]

mod access;
mod admin;
mod api;
mod architecture;
mod auth;
mod cluster;
mod deploy;
mod documents;
mod faults;
mod invariants;
mod moderation;
mod operations;
mod operator;
mod process;
mod properties;
mod protocol;
mod realtime;
mod retention;
mod security;
mod store;
mod support;
