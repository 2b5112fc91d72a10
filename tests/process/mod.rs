//! The program as an operator meets it: settings, starting, stopping, being killed, a full disk, the log.

mod disk;
mod files;
mod log;
mod secrets;
mod settings;
mod stopping;

use std::net::SocketAddr;

use tempfile::TempDir;

use crate::support::{Api, Process, SECRET, database_url, token};

/// A running program on the data in this directory, and where it listens.
fn start(directory: &TempDir, environment: &[(&str, &str)]) -> (Process, SocketAddr) {
    let database = database_url(directory);
    let mut all = vec![("HOST", "127.0.0.1"), ("PORT", "0"), ("DATABASE_URL", &database), ("JWT_SECRET", SECRET)];
    all.extend_from_slice(environment);
    let mut process = Process::start(&[], &all);
    let address = process.address();
    (process, address)
}

/// People the program knows from now on.
async fn people<const N: usize>(address: SocketAddr, users: [&str; N]) -> [Api; N] {
    let people = users.map(|user| Api::new(address, Some(token(user))));
    for person in &people {
        person.get("/api/session").await.ok(200);
    }
    people
}
