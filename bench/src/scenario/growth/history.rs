//! A room with a long history against one with a short one: pages of it, meta, and catching up must cost the same.

use std::net::SocketAddr;

use serde::Deserialize;

use super::super::sends;
use super::super::stage::Stage;
use crate::calls::{self, Call};
use crate::measure::{Histogram, usage};
use crate::peers::{Peer, Person};
use crate::progress::Progress;
use crate::report::Figures;
use crate::{Failure, Options};

/// Of each kind of read, so many.
const READS: usize = 2000;
const WIDTH: usize = 8;
const PAGE: u64 = 50;
const MISSED: u64 = 40;
const WRITERS: usize = 64;

#[derive(Deserialize)]
struct Newest {
    rev: u64,
    history: String,
}

/// Fills a room with so many messages, and reads it.
pub(crate) fn run(messages: u64, peer: Peer, options: &Options, progress: &mut Progress) -> Result<Figures, Failure> {
    let mut stage = Stage::set(peer, options, (1, 1), WRITERS)?;
    let fill = sends::Fill { messages, outstanding: 16 };
    sends::fill(&stage, fill, progress)?;
    // What is in memory is what is read, not what was just written.
    stage.restart()?;
    let databases = stage.server.tidings().map(|tidings| tidings.database_processes()).unwrap_or_default();
    let processes = [&stage.server.processes[..], &databases[..]].concat();
    let (address, reader) = (stage.server.address, stage.people[0].clone());
    let newest = calls::one(address, get("/messages", &reader))?;
    let Newest { rev, history } = serde_json::from_slice(&newest.body)?;
    let (mut figures, mut random) = (Figures::new(), Random(1));
    figures.set("messages", rev as f64);
    for read in [Read::Newest, Read::Older, Read::First, Read::CaughtUp, Read::Meta] {
        let name = read.name();
        progress.begin(format!("{} in a room of {rev}:", name.replace('_', " ")));
        let calls = (0..READS).map(|_| get(&read.path(rev, &history, &mut random), &reader)).collect();
        let (latency, each) = measure(address, &processes, calls)?;
        figures.set_some(&format!("{name}_p50_ms"), latency.percentile(0.5));
        figures.set_some(&format!("{name}_p99_ms"), latency.percentile(0.99));
        figures.set(&format!("{name}_us"), each);
    }
    Ok(figures)
}

/// What is read of a room.
#[derive(Debug, Clone, Copy)]
enum Read {
    Newest,
    /// Before any message.
    Older,
    First,
    /// What a client that missed some messages asks for.
    CaughtUp,
    Meta,
}

impl Read {
    fn name(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Older => "older",
            Self::First => "first",
            Self::CaughtUp => "caught_up",
            Self::Meta => "meta",
        }
    }

    fn path(self, rev: u64, history: &str, random: &mut Random) -> String {
        match self {
            Self::Newest => format!("/messages?limit={PAGE}"),
            Self::Older => format!("/messages?limit={PAGE}&before={}", 2 + random.below(rev)),
            Self::First => format!("/messages?limit={PAGE}&after={}", random.below(10)),
            Self::CaughtUp => {
                format!("/messages?limit={PAGE}&since={}&history={history}", rev.saturating_sub(MISSED))
            }
            Self::Meta => "/meta".to_owned(),
        }
    }
}

fn get(path: &str, reader: &Person) -> Call {
    Call::get(format!("/api/chat/rooms/room0{path}"), &reader.token)
}

/// How long the calls take, and how much processor time of all processes one takes, in microseconds.
fn measure(address: SocketAddr, processes: &[u32], calls: Vec<Call>) -> Result<(Histogram, f64), Failure> {
    let (mut latency, count) = (Histogram::new(), calls.len() as f64);
    let before = usage(processes);
    calls::each(address, calls, WIDTH, |_, answer| latency.record(answer.took))?;
    Ok((latency, (usage(processes) - before).total * 1e6 / count))
}

/// Numbers without a pattern, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end.max(1)
    }
}
