//! Polls of a room that does not change: on schedule over connections that are kept, each asking again only once it was
//! answered. What waits for its turn is late, and that counts.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::stage::Stage;
use crate::calls::{self, Call};
use crate::load::{Incoming, Links, Pace, Schedule};
use crate::measure::{Histogram, Usage};
use crate::peers::{Peer, Person};
use crate::progress::Progress;
use crate::report::Figures;
use crate::{Failure, Options};

const CONNECTIONS: usize = 64;
const ROOMS: usize = 16;
/// How long answers may take to come after the last question.
const PATIENCE: Duration = Duration::from_secs(5);

struct Poller {
    link: usize,
    request: Vec<u8>,
    /// When the questions that were not answered yet were due; the first is under way.
    due: VecDeque<Instant>,
}

struct Run {
    pollers: Vec<Poller>,
    schedule: Schedule,
    /// From when on polls count.
    counted_from: Option<Instant>,
    latency: Histogram,
    asked: u64,
    answered: u64,
    unexpected: u64,
    closed: u64,
}

pub(crate) fn run(per_second: f64, peer: Peer, options: &Options, progress: &mut Progress) -> Result<Figures, Failure> {
    let mut stage = Stage::set(peer, options, (ROOMS, CONNECTIONS / ROOMS), 0)?;
    let mut links = Links::new(options.pins().awake.then_some(Duration::ZERO))?;
    let mut pollers = Vec::with_capacity(CONNECTIONS);
    for number in 0..CONNECTIONS {
        let request = request(&mut stage, number)?;
        pollers.push(Poller { link: links.http(stage.server.address)?, request, due: VecDeque::new() });
    }
    let begin = Instant::now();
    let mut run = Run::new(pollers, Schedule::new(begin, per_second));
    let pace = Pace::start(links.waker(), run.schedule);
    let processes = &stage.server.processes;
    run.ask_until(&mut links, begin + options.warm_up(), progress)?;
    let (begins, before) = (Usage::now(processes), run.answered);
    run.counted_from = Some(begins.at);
    run.ask_until(&mut links, begins.at + Duration::from_secs_f64(options.seconds), progress)?;
    let (ends, count) = (Usage::now(processes), (run.answered - before) as f64);
    drop(pace);
    while run.answered < run.asked && ends.at.elapsed() < PATIENCE {
        run.hear(&mut links)?;
    }
    let (spent, mut figures) = (ends.since(&begins), Figures::new());
    figures.set("cpu_us", spent.servers.total * 1e6 / count);
    figures.set("user_us", spent.servers.user * 1e6 / count);
    figures.set("answers_per_s", count / spent.seconds);
    figures.cores(&spent);
    figures.latency(&run.latency);
    figures.set("lost", (run.asked - run.answered) as f64);
    figures.set("refused", run.unexpected as f64);
    figures.set("closed", run.closed as f64);
    Ok(figures)
}

impl Run {
    fn new(pollers: Vec<Poller>, schedule: Schedule) -> Self {
        let latency = Histogram::new();
        Self { pollers, schedule, counted_from: None, latency, asked: 0, answered: 0, unexpected: 0, closed: 0 }
    }

    /// Asks what is due, until then.
    fn ask_until(&mut self, links: &mut Links, end: Instant, progress: &mut Progress) -> Result<(), Failure> {
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            while self.schedule.at(self.asked) <= now {
                let number = usize::try_from(self.asked).unwrap_or_default() % CONNECTIONS;
                ask(links, &mut self.pollers[number], self.schedule.at(self.asked));
                self.asked += 1;
            }
            self.hear(links)?;
            progress.tell(|| format!("{} asked, {} answered", self.asked, self.answered));
        }
    }

    fn hear(&mut self, links: &mut Links) -> Result<(), Failure> {
        links.turn(Duration::from_millis(100), |number, link, incoming| match incoming {
            Incoming::Answer { status, .. } => {
                self.answered += 1;
                self.unexpected += u64::from(status != 304);
                let poller = &mut self.pollers[number];
                let Some(due) = poller.due.pop_front() else { return };
                if self.counted_from.is_some_and(|from| due >= from) {
                    self.latency.record(due.elapsed());
                }
                if !poller.due.is_empty() {
                    link.send(&poller.request);
                }
            }
            Incoming::Closed(_) => self.closed += 1,
            Incoming::Upgraded | Incoming::Text(_) => {}
        })?;
        Ok(())
    }
}

fn ask(links: &mut Links, poller: &mut Poller, due: Instant) {
    poller.due.push_back(due);
    if poller.due.len() == 1
        && let Some(link) = links.get(poller.link)
    {
        link.send(&poller.request);
    }
}

/// What a connection asks for, with the tag of an answer that it had before.
fn request(stage: &mut Stage, number: usize) -> Result<Vec<u8>, Failure> {
    let room = &stage.rooms[number % ROOMS];
    let Some(Person { token, .. }) = stage.people.get(number) else {
        return Ok(b"GET /poll HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: \"0\"\r\n\r\n".to_vec());
    };
    let path = format!("/api/chat/rooms/{room}/meta");
    let tag = calls::one(stage.server.address, Call::get(&path, token))?.etag;
    Ok(format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nIf-None-Match: {tag}\r\n\r\n"
    )
    .into_bytes())
}
