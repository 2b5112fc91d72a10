//! Servers that are part of this program and run as processes of their own, `serve NAME`: the floor, and peers in Rust.

mod axum_broadcast;
mod floor;
mod hyper_static;
mod spin;

use clap::ValueEnum;

use crate::Failure;

/// What can be served.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Role {
    /// One bare send for each socket, one ready answer for each request
    Floor,
    /// axum with tokio's broadcast
    AxumBroadcast,
    /// A static answer of plain hyper
    Hyper,
    /// No server: keeps a core from halting, when nothing else wants it
    Spin,
}

pub(crate) fn serve(role: Role) -> Result<(), Failure> {
    match role {
        Role::Floor => floor::serve(),
        Role::AxumBroadcast => axum_broadcast::serve(),
        Role::Hyper => hyper_static::serve(),
        Role::Spin => spin::spin(),
    }
}

/// What says that a server listens, and where.
#[expect(clippy::print_stdout, reason = "the process that started this one reads it")]
fn listening(address: std::net::SocketAddr) {
    println!("listening on {address}");
}

/// The answer to an unchanged poll, about as long as that of Tidings.
const UNCHANGED: &str = "\"0190b6a8c1d27e4f:12\"";
