//! Connections that do nothing: what one costs in memory once it is there, and in time and processor while it comes.
//! Tidings is started anew on the data that was prepared, so that all that a connection brings into memory counts.

use std::time::{Duration, Instant};

use super::audience::{AT_ONCE, Audience, Seat};
use super::stage::Stage;
use crate::load::Links;
use crate::measure::{Usage, memory, usage};
use crate::peers::Peer;
use crate::progress::Progress;
use crate::report::Figures;
use crate::{Failure, Options};

/// Until a server that has just started, or was just connected to, does nothing any more.
const SETTLE: Duration = Duration::from_secs(2);

/// Connections and the rooms they are spread over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) connections: usize,
    pub(crate) rooms: usize,
}

pub(crate) fn run(case: Case, peer: Peer, options: &Options, progress: &mut Progress) -> Result<Figures, Failure> {
    let Case { connections, rooms } = case;
    let mut stage = Stage::set(peer, options, (rooms, connections.div_ceil(rooms)), 0)?;
    stage.restart()?;
    let mut links = Links::new(None)?;
    rest(&mut links, SETTLE, progress)?;
    let processes = stage.server.processes.clone();
    let (at_rest, before) = (memory(&processes), Usage::now(&processes));
    let mut people = stage.people.iter().cloned();
    let seats = (0..connections).map(|number| Seat { room: number % rooms, person: people.next() });
    let (addresses, dialect) = (stage.server.addresses(), stage.server.dialect);
    let mut audience = Audience::new(addresses, dialect, stage.rooms.clone(), seats.collect(), &vec![1; rooms]);
    audience.connect(&mut links, AT_ONCE)?;
    let first = Usage::now(&processes).since(&before);
    rest(&mut links, SETTLE, progress)?;
    let occupied = memory(&processes);
    let quiet = usage(&processes);
    rest(&mut links, SETTLE, progress)?;
    let quiet = (usage(&processes) - quiet).total / SETTLE.as_secs_f64();
    let count = connections as f64;
    let mut figures = Figures::new();
    figures.set("bytes_per_connection", (occupied as f64 - at_rest as f64) / count);
    let listened_after = stage.server.listened_after();
    figures.set_some("listening_ms", listened_after.map(|after| after.as_secs_f64() * 1e3));
    figures.set("at_rest_mib", at_rest as f64 / f64::from(1 << 20));
    figures.set("connects_per_s", count / first.seconds);
    figures.set("connect_us", first.servers.total * 1e6 / count);
    figures.set("idle_us_per_s", quiet * 1e6);
    figures.cores(&first);
    // Once more, when everyone is known.
    audience.cut(&mut links);
    rest(&mut links, SETTLE, progress)?;
    let before = Usage::now(&processes);
    audience.connect(&mut links, AT_ONCE)?;
    let again = Usage::now(&processes).since(&before);
    figures.set("again_per_s", count / again.seconds);
    figures.set("again_us", again.servers.total * 1e6 / count);
    figures.set("closed", audience.closed.len() as f64);
    Ok(figures)
}

fn rest(links: &mut Links, time: Duration, progress: &mut Progress) -> Result<(), Failure> {
    let begin = Instant::now();
    while begin.elapsed() < time {
        links.turn(Duration::from_millis(100), |_, _, _| ())?;
        progress.tell(|| "resting".to_owned());
    }
    Ok(())
}
