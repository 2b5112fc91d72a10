//! Tidings: a WebSocket-first chat service with a polling fallback that loses nothing.
//!
//! A room is a log; everyone who reads it holds a cursor. The map, from the outside in:
//!
//! - [`server`] puts the parts together; [`config`], [`lifecycle`], [`telemetry`] and [`systemd`] serve it.
//! - [`http`] and [`ws`] are the two ways in: parse, ask [`chat`], render.
//! - [`chat`] is what a person can do, and how everyone learns of it.
//! - [`store`] is durable truth; [`hub`] is what this instance follows in memory; [`limits`] are buckets.
//! - [`broker`] tells other instances, [`cache`] and [`presence`] are shared with them; all three over [`redis`].
//! - [`protocol`] is the wire, to clients and between instances; [`auth`] tells who calls.
//! - [`operator`] is what an operator does from the terminal beside serving.
//! - [`outbound`] is HTTP to what the operator has set: key sets, the moderation hook.
//! - [`model`] is the vocabulary, [`error`] everything that can go wrong.

pub mod auth;
pub mod broker;
pub mod cache;
pub mod chat;
pub mod config;
pub mod error;
pub mod http;
pub mod hub;
pub mod lifecycle;
pub mod limits;
pub mod model;
pub mod moderation;
pub mod operator;
pub mod outbound;
pub mod presence;
pub mod protocol;
pub mod redis;
pub mod server;
pub mod store;
pub mod systemd;
pub mod telemetry;
pub mod ws;

pub use config::Config;
pub use server::Server;
