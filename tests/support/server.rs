//! A server in this process: a free port, data of its own, stopped when dropped.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Parser;
use tidings::{Config, Server};

use super::data::{Beside, Data, as_cluster};
use super::{Api, Handshake, SECRET, Socket, discretion, token};

/// A running server and its data.
pub(crate) struct TestServer {
    server: Server,
    data: Arc<Data>,
    flags: Vec<String>,
}

impl TestServer {
    /// A server that takes the application's tokens, without rate limits.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// The same with further flags; a later flag wins over ours.
    pub(crate) async fn with(flags: &[&str]) -> Self {
        let mut all = vec!["--jwt-secret", SECRET];
        all.extend_from_slice(flags);
        Self::on(Arc::new(Data::create().await), own(&all)).await
    }

    /// As many as the backend lets share their data: one on SQLite, two on PostgreSQL and Redis.
    pub(crate) async fn several() -> Vec<Self> {
        let first = Self::start().await;
        if !as_cluster() {
            return vec![first];
        }
        let second = Self::on(first.data.clone(), first.flags.clone()).await;
        vec![first, second]
    }

    /// The same with these flags alone, for whoever brings keys of another kind.
    pub(crate) async fn bare(flags: &[&str]) -> Self {
        Self::on(Arc::new(Data::create().await), own(flags)).await
    }

    /// A server without any key, which hands out demo tokens.
    pub(crate) async fn demo() -> Self {
        // Where several instances could share a database, nobody is let in by name unless that is said.
        let flags = if as_cluster() { own(&["--demo", "on"]) } else { Vec::new() };
        Self::on(Arc::new(Data::create().await), flags).await
    }

    /// Stops it cleanly and starts it again on the same data, on another port.
    pub(crate) async fn restart(self) -> Self {
        let Self { server, data, flags } = self;
        server.shut_down().await;
        Self::on(data, flags).await
    }

    /// Stops it cleanly; what it wrote stays until the data is dropped.
    pub(crate) async fn stop(self) -> Arc<Data> {
        self.server.shut_down().await;
        self.data
    }

    /// A server on the data of one that was stopped.
    pub(crate) async fn again(data: Arc<Data>) -> Self {
        Self::on(data, own(&["--jwt-secret", SECRET])).await
    }

    /// Stops it; returns whether all that was running ended by itself.
    pub(crate) async fn stop_in_time(self) -> bool {
        self.server.shut_down().await
    }

    async fn on(data: Arc<Data>, flags: Vec<String>) -> Self {
        let mut arguments = own(&["tidings", "--host", "127.0.0.1", "--port", "0"]);
        arguments.extend(data.flags());
        if !flags.iter().any(|flag| flag == "--limits") {
            arguments.extend(own(&["--limits", "off"]));
        }
        arguments.extend(flags.iter().cloned());
        discretion::arguments(&arguments);
        discretion::keep_log();
        let config = Config::try_parse_from(&arguments).unwrap_or_else(|error| panic!("{error}"));
        let server = Server::start(config).await.unwrap_or_else(|error| panic!("the server did not start: {error}"));
        Self { server, data, flags }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Its database, beside it.
    pub(crate) async fn beside(&self) -> Beside {
        self.data.beside().await
    }

    /// HTTP as this user.
    pub(crate) fn api(&self, user: &str) -> Api {
        Api::new(self.address(), Some(token(user)))
    }

    /// HTTP as nobody.
    pub(crate) fn anonymous(&self) -> Api {
        Api::new(self.address(), None)
    }

    /// People the server knows from now on, so that others can add them to rooms.
    pub(crate) async fn people<const N: usize>(&self, users: [&str; N]) -> [Api; N] {
        let people = users.map(|user| self.api(user));
        for person in &people {
            person.get("/api/session").await.ok(200);
        }
        people
    }

    /// A WebSocket as this user, welcomed.
    pub(crate) async fn socket(&self, user: &str) -> Socket {
        Handshake::to(self.address()).token(&token(user)).welcomed(user).await
    }
}

fn own(flags: &[&str]) -> Vec<String> {
    flags.iter().map(|&flag| flag.to_owned()).collect()
}
