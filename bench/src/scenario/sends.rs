//! Sends and their acknowledgements: writers over a WebSocket each, who have so many under way at once, or send on
//! schedule whatever becomes of it. Nobody follows the rooms, so that it is taking and storing that is measured.

use std::time::{Duration, Instant};

use super::stage::Stage;
use crate::load::{Incoming, Link, Links, Pace, Request, Schedule};
use crate::measure::{Histogram, Usage, usage};
use crate::peers::{Dialect, Outgoing, Peer, Reader};
use crate::progress::Progress;
use crate::report::Figures;
use crate::{Failure, Options};

const PATIENCE: Duration = Duration::from_secs(10);
const WORDS: &str = "a message of an ordinary length, as people write them";

/// One case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) rooms: usize,
    pub(crate) writers: usize,
    /// What each writer has under way, where there is no rate.
    pub(crate) outstanding: usize,
    /// So many each second, of all writers together.
    pub(crate) rate: Option<f64>,
}

struct Run {
    rooms: Vec<String>,
    /// By connection: whether it may send.
    ready: Vec<bool>,
    /// By message: when it was due, until it is acknowledged.
    due: Vec<Option<Instant>>,
    /// When no more is sent.
    over: bool,
    most: u64,
    case: Case,
    acknowledged: u64,
    latency: Histogram,
    counted_from: Option<Instant>,
    refused: Vec<String>,
    reader: Reader,
}

/// What a room is filled with, as fast as it goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fill {
    pub(crate) messages: u64,
    pub(crate) outstanding: usize,
}

/// Sends so many messages by the writers of a stage, all acknowledged.
pub(crate) fn fill(stage: &Stage, fill: Fill, progress: &mut Progress) -> Result<(), Failure> {
    let Fill { messages, outstanding } = fill;
    let mut links = Links::new(None)?;
    let case = Case { rooms: stage.rooms.len(), writers: stage.writers.len(), outstanding, rate: None };
    let mut run = Run::connect(&mut links, stage, case)?;
    run.most = messages;
    run.begin(&mut links);
    let (mut seen, mut last) = (0, Instant::now());
    while run.acknowledged < messages {
        links.turn(Duration::from_millis(20), |number, link, incoming| run.on(number, link, &incoming))?;
        progress.tell(|| format!("{} of {messages} written", run.acknowledged));
        if run.acknowledged > seen {
            (seen, last) = (run.acknowledged, Instant::now());
        }
        if last.elapsed() > PATIENCE || !run.refused.is_empty() {
            return Err(format!("{seen} of {messages} could be written: {:?}", run.refused.first()).into());
        }
    }
    Ok(())
}

pub(crate) fn run(case: Case, peer: Peer, options: &Options, progress: &mut Progress) -> Result<Figures, Failure> {
    let mut stage = Stage::set(peer, options, (case.rooms, 0), case.writers)?;
    let mut links = Links::new(None)?;
    let mut run = Run::connect(&mut links, &stage, case)?;
    let databases = stage.server.tidings().map(|tidings| tidings.database_processes()).unwrap_or_default();
    let processes = &stage.server.processes;
    let begin = Instant::now();
    let schedule = case.rate.map(|rate| Schedule::new(begin, rate));
    let _pace = schedule.map(|schedule| Pace::start(links.waker(), schedule));
    if schedule.is_none() {
        run.begin(&mut links);
    }
    let warm = begin + options.warm_up();
    run.until(&mut links, warm, schedule, progress)?;
    let (begins, store, before) = (Usage::now(processes), usage(&databases), run.acknowledged);
    run.counted_from = Some(begins.at);
    run.until(&mut links, warm + Duration::from_secs_f64(options.seconds), schedule, progress)?;
    let (ends, store, count) = (Usage::now(processes), usage(&databases) - store, run.acknowledged - before);
    run.over = true;
    while run.acknowledged < run.due.len() as u64 && ends.at.elapsed() < PATIENCE {
        links.turn(Duration::from_millis(100), |number, link, incoming| run.on(number, link, &incoming))?;
    }
    let mut figures = Figures::new();
    let spent = ends.since(&begins);
    figures.set("acknowledged_per_s", count as f64 / spent.seconds);
    figures.latency(&run.latency);
    figures.set("cpu_us", spent.servers.total * 1e6 / count as f64);
    if !databases.is_empty() {
        figures.set("databases_us", store.total * 1e6 / count as f64);
    }
    figures.cores(&spent);
    figures.set("lost", run.due.iter().filter(|due| due.is_some()).count() as f64);
    figures.set("refused", run.refused.len() as f64);
    Ok(figures)
}

impl Run {
    /// Connects all writers.
    fn connect(links: &mut Links, stage: &Stage, case: Case) -> Result<Self, Failure> {
        let path = Dialect::Tidings.path(None);
        for writer in &stage.writers {
            links.socket(stage.server.address, &Request { path: &path, token: Some(&writer.token) })?;
        }
        let (mut run, begin) = (Self::new(case, stage.rooms.clone()), Instant::now());
        while run.ready.contains(&false) {
            links.turn(Duration::from_millis(100), |number, link, incoming| run.on(number, link, &incoming))?;
            if begin.elapsed() > PATIENCE || !run.refused.is_empty() {
                return Err(format!("writers could not connect: {:?}", run.refused).into());
            }
        }
        Ok(run)
    }

    /// Sends the first of everyone; each acknowledgement is followed by the next.
    fn begin(&mut self, links: &mut Links) {
        for number in 0..self.case.writers * self.case.outstanding {
            let writer = number % self.case.writers;
            if let Some(link) = links.get(writer) {
                self.next(writer, link);
            }
        }
    }

    fn next(&mut self, writer: usize, link: &mut Link) {
        if self.case.rate.is_none() && !self.over && (self.due.len() as u64) < self.most {
            self.send(writer, link, Instant::now());
        }
    }

    fn new(case: Case, rooms: Vec<String>) -> Self {
        Self {
            rooms,
            ready: vec![false; case.writers],
            due: Vec::new(),
            over: false,
            most: u64::MAX,
            case,
            acknowledged: 0,
            latency: Histogram::new(),
            counted_from: None,
            refused: Vec::new(),
            reader: Reader::default(),
        }
    }

    /// Writers keep to one room each, as people do; a fill goes to all in turn.
    fn send(&mut self, writer: usize, link: &mut Link, due: Instant) {
        let number = self.due.len() as u64;
        self.due.push(Some(due));
        let turn = if self.most == u64::MAX { writer } else { self.due.len() - 1 };
        let room = &self.rooms[turn % self.rooms.len()];
        let message = Outgoing { number, room, seq: 0, content: WORDS };
        Dialect::Tidings.publish(link, std::process::id(), &message);
    }

    fn until(
        &mut self,
        links: &mut Links,
        end: Instant,
        schedule: Option<Schedule>,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        while Instant::now() < end {
            while let Some(due) = schedule.map(|schedule| schedule.at(self.due.len() as u64))
                && due <= Instant::now()
            {
                let writer = self.due.len() % self.case.writers;
                let Some(link) = links.get(writer) else { return Err("a writer is gone".into()) };
                self.send(writer, link, due);
            }
            links.turn(Duration::from_millis(20), |number, link, incoming| self.on(number, link, &incoming))?;
            progress.tell(|| format!("{} sent, {} acknowledged", self.due.len(), self.acknowledged));
        }
        Ok(())
    }

    fn on(&mut self, writer: usize, link: &mut Link, incoming: &Incoming<'_>) {
        match incoming {
            Incoming::Text(text) if text.starts_with(br#"{"type":"ok""#) => {
                let number = self.reader.message(text).and_then(|heard| usize::try_from(heard.number?).ok());
                let Some(due) = number.and_then(|number| self.due.get_mut(number)?.take()) else { return };
                self.acknowledged += 1;
                if self.counted_from.is_some_and(|from| due >= from) {
                    self.latency.record(due.elapsed());
                }
                self.next(writer, link);
            }
            Incoming::Text(text) if text.starts_with(br#"{"type":"error""#) => {
                self.refused.push(String::from_utf8_lossy(text).into_owned());
                self.next(writer, link);
            }
            Incoming::Text(text) if text.starts_with(br#"{"type":"welcome""#) => self.ready[writer] = true,
            Incoming::Answer { status, .. } => self.refused.push(status.to_string()),
            Incoming::Closed(why) => self.refused.push(why.clone()),
            Incoming::Upgraded | Incoming::Text(_) => {}
        }
    }
}
