//! What the tests share: servers on a free port with data of their own, people who speak HTTP and WebSocket to
//! them, and a client's log kept exactly by the contract. Nothing here knows what is right; that is the tests' part.

mod client;
mod cluster;
mod data;
mod discretion;
mod identity;
mod instance;
mod load;
mod log;
mod process;
mod proxy;
mod random;
mod rooms;
mod server;
mod services;
mod socket;
mod wire;

use std::time::Duration;

pub(crate) use client::{Api, Reply, raw_request, write_all};
pub(crate) use cluster::{Cluster, Plan};
pub(crate) use data::{Database, database_url};
pub(crate) use identity::{SECRET, application_token, claims, in_seconds, token, token_with};
pub(crate) use instance::Instance;
pub(crate) use load::{Load, Shape};
pub(crate) use log::Log;
pub(crate) use process::{PROGRAM, Process};
pub(crate) use proxy::{Line, Loss, Proxy};
pub(crate) use random::{Random, seed};
pub(crate) use rooms::{each, make_room, meta, say};
pub(crate) use server::TestServer;
pub(crate) use services::{PASSWORD, Postgres, Redis, RedisCluster, free_port, program};
pub(crate) use socket::{Handshake, Socket};
pub(crate) use wire::{CLIENT_PATIENCE, End, Wire};

/// How long a condition may take to come true. Generous: it is only ever waited out by a test that fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// Asks again until the answer is there, and fails with `what` once the deadline has passed. Only for conditions
/// the service has no way to announce; whatever arrives on a socket is awaited there.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, ask: impl FnMut() -> F) -> T {
    within(DEADLINE, what, ask).await
}

/// The same with a deadline of its own.
pub(crate) async fn within<T, F: Future<Output = Option<T>>>(
    deadline: Duration,
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let asked = async {
        let mut pause = tokio::time::interval(Duration::from_millis(10));
        loop {
            pause.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    let answer = tokio::time::timeout(deadline, asked).await;
    answer.unwrap_or_else(|_| panic!("within {deadline:?} it never came true that {what}"))
}

/// A new message id, as a client makes one.
pub(crate) fn fresh_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
