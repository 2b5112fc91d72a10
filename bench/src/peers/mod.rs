//! The servers that are measured: Tidings, the floor below it, and what else one might use. Each is a child of this
//! process, listens on this machine only, and ends with it.

mod child;
mod databases;
mod dialect;
mod others;
mod tidings;

use std::net::SocketAddr;
use std::time::Duration;

use clap::ValueEnum;
use tempfile::TempDir;

pub(crate) use child::Child;
pub(crate) use dialect::{Dialect, Follow, Heard, Joined, Outgoing, Reader, number_of};
pub(crate) use others::{install, version};
pub(crate) use tidings::{Person, Tidings};

use crate::{Failure, Options};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub(crate) enum Peer {
    /// One bare `send` of one ready frame for each socket; for polls, one ready answer
    Floor,
    /// Tidings alone, on `SQLite`
    Tidings,
    /// Tidings on `PostgreSQL` and Redis
    TidingsPostgres,
    /// Bun's own publish
    Bun,
    /// nginx with the Nchan module
    Nchan,
    /// Node with `ws`
    NodeWs,
    /// Node with Socket.IO, WebSockets only
    SocketIo,
    /// axum's WebSocket and tokio's broadcast, as their examples do it
    AxumBroadcast,
    /// A static answer of plain hyper, for polls
    Hyper,
}

impl Peer {
    /// As it is called on the command line, in tables and in results.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    pub(crate) fn is_tidings(self) -> bool {
        matches!(self, Self::Tidings | Self::TidingsPostgres)
    }
}

/// A server that listens.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) dialect: Dialect,
    /// What is measured of it.
    pub(crate) processes: Vec<u32>,
    kept: Kept,
}

/// What has to live as long as the server does.
enum Kept {
    Tidings(Box<Tidings>),
    /// In this order: the process ends before its folder goes.
    Child(Child, #[expect(dead_code, reason = "kept until dropped")] Option<TempDir>),
}

impl Server {
    /// Starts it, fresh and empty.
    pub(crate) fn start(peer: Peer, options: &Options) -> Result<Self, Failure> {
        match peer {
            Peer::Tidings | Peer::TidingsPostgres => {
                let tidings = Tidings::start(options, peer == Peer::TidingsPostgres)?;
                Ok(Self {
                    address: tidings.address(),
                    dialect: Dialect::Tidings,
                    processes: tidings.processes(),
                    kept: Kept::Tidings(Box::new(tidings)),
                })
            }
            Peer::Floor | Peer::AxumBroadcast | Peer::Hyper => {
                let own = std::env::current_exe()?;
                let name = peer.name();
                Self::plain(Child::new(&own).pinned(options.pins().server).start(&["serve", &name])?)
            }
            Peer::Bun | Peer::NodeWs => Self::plain(others::script(peer, options)?),
            Peer::SocketIo => Ok(Self { dialect: Dialect::SocketIo, ..Self::plain(others::script(peer, options)?)? }),
            Peer::Nchan => {
                let (child, port, folder) = others::nchan(options)?;
                Ok(Self {
                    address: SocketAddr::from(([127, 0, 0, 1], port)),
                    dialect: Dialect::Nchan,
                    processes: vec![child.id()],
                    kept: Kept::Child(child, Some(folder)),
                })
            }
        }
    }

    fn plain(mut child: Child) -> Result<Self, Failure> {
        let address = child.address()?;
        let processes = vec![child.id()];
        Ok(Self { address, dialect: Dialect::Plain, processes, kept: Kept::Child(child, None) })
    }

    /// Starts Tidings anew on its data; other peers have none.
    pub(crate) fn restart(&mut self) -> Result<(), Failure> {
        let Kept::Tidings(tidings) = &mut self.kept else { return Ok(()) };
        tidings.restart()?;
        (self.address, self.processes) = (tidings.address(), tidings.processes());
        Ok(())
    }

    /// So many instances of Tidings on the same data, in the place of one.
    pub(crate) fn grow(&mut self, instances: usize) -> Result<(), Failure> {
        let Kept::Tidings(tidings) = &mut self.kept else { return Err("only Tidings has instances".into()) };
        (1..instances).try_for_each(|_| tidings.add_instance())?;
        self.processes = tidings.processes();
        Ok(())
    }

    /// From its start until it said where it listens, if it says so.
    pub(crate) fn listened_after(&self) -> Option<Duration> {
        match &self.kept {
            Kept::Tidings(tidings) => tidings.listened_after(),
            Kept::Child(child, _) => child.listened_after,
        }
    }

    /// All its instances.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        match &self.kept {
            Kept::Tidings(tidings) => tidings.addresses(),
            Kept::Child(..) => vec![self.address],
        }
    }

    /// Tidings, if that is what it is.
    pub(crate) fn tidings(&mut self) -> Option<&mut Tidings> {
        match &mut self.kept {
            Kept::Tidings(tidings) => Some(tidings),
            Kept::Child(..) => None,
        }
    }
}
