//! Fan-out: messages to rooms full of subscribers, at a rate or as fast as they are delivered. The same is sent first
//! with nobody there, so that what it costs to take and store a message can be told apart from delivering it.

use std::time::{Duration, Instant};

use super::audience::{AT_ONCE, Audience, Seat};
use super::publishers::Publishers;
use super::stage::Stage;
use crate::load::{Incoming, Link, Links, Pace, Schedule};
use crate::measure::{Histogram, Spent, Usage};
use crate::peers::{Heard, Peer};
use crate::progress::Progress;
use crate::report::Figures;
use crate::{Failure, Options};

/// How long what was sent may take to arrive after the last was sent.
const PATIENCE: Duration = Duration::from_secs(10);
/// Until whoever has just connected has been told all there is to tell.
const SETTLE: Duration = Duration::from_millis(700);

/// How often a load that does not sleep looks at its many sockets: one that looks without a pause is in the way of whoever
/// sends, the more the slower that is, because both need the lock of the list of sockets that have something to read.
const LOOK: Duration = Duration::from_micros(100);

/// When the next message is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rate {
    /// So many each second, whatever becomes of them.
    Open(f64),
    /// When fewer than so many are not yet with everyone.
    Outstanding(u64),
}

/// One case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) rooms: usize,
    pub(crate) members: usize,
    pub(crate) rate: Rate,
    /// Connections that publish. What is said on one connection is done one after the other, by some peers.
    pub(crate) writers: usize,
    /// Of Tidings on `PostgreSQL`; subscribers and publishers are spread over them.
    pub(crate) instances: usize,
    /// Whether they have a Redis, where there is `PostgreSQL`.
    pub(crate) redis: bool,
    /// Whether the server has a core to itself, and the load the other.
    pub(crate) pinned: bool,
}

/// The cases that have names of their own.
pub(crate) const CASES: [(&str, Case); 3] = [
    (
        "A",
        Case { rooms: 1, members: 1000, rate: Rate::Open(50.0), writers: 4, instances: 1, redis: true, pinned: true },
    ),
    (
        "B",
        Case {
            rooms: 100,
            members: 10,
            rate: Rate::Open(1000.0),
            writers: 50,
            instances: 1,
            redis: true,
            pinned: true,
        },
    ),
    (
        "A-max",
        Case {
            rooms: 1,
            members: 1000,
            rate: Rate::Outstanding(16),
            writers: 16,
            instances: 1,
            redis: true,
            pinned: false,
        },
    ),
];

/// One run of a case with a fresh server.
pub(crate) fn run(case: Case, peer: Peer, options: &Options, progress: &mut Progress) -> Result<Figures, Failure> {
    let options = &if case.redis { options.clone() } else { options.without_redis() };
    let case =
        if options.smoke { Case { rooms: case.rooms.min(10), members: case.members.min(100), ..case } } else { case };
    let mut stage = Stage::set(peer, options, (case.rooms, case.members), case.writers)?;
    if case.instances > 1 {
        stage.server.grow(case.instances)?;
    }
    let mut links = Links::new((options.pins().awake && case.rooms == 1).then_some(LOOK))?;
    let publishers = Publishers::connect(&mut links, &stage.server, stage.rooms.clone(), &stage.writers, case.writers)?;
    let seconds = Duration::from_secs_f64(options.seconds);
    let mut run = Run::new(case, publishers, progress);
    let mut figures = Figures::new();
    if let Rate::Open(_) = case.rate
        && !options.smoke
    {
        let alone = run.play(&mut links, &stage.server.processes, options.warm_up(), seconds)?;
        figures.set("apart_us", alone.cost.servers.total * 1e6 / alone.sent as f64);
    }
    let mut people = stage.people.iter().cloned();
    let seats = (0..case.rooms * case.members).map(|n| Seat { room: n % case.rooms, person: people.next() });
    let (dialect, next) = (stage.server.dialect, run.publishers.next.clone());
    let mut audience = Audience::new(stage.server.addresses(), dialect, stage.rooms.clone(), seats.collect(), &next);
    audience.connect(&mut links, AT_ONCE)?;
    run.audience = Some(audience);
    run.rest(&mut links, SETTLE)?;
    let window = run.play(&mut links, &stage.server.processes, options.warm_up(), seconds)?;
    run.figures(&window, &mut figures);
    Ok(figures)
}

struct Run<'a> {
    case: Case,
    publishers: Publishers,
    audience: Option<Audience>,
    progress: &'a mut Progress,
    /// How many have heard each message of this play, from its first on.
    arrived: Vec<u32>,
    first: u64,
    outstanding: u64,
    delivered: u64,
    latency: Histogram,
    /// From when on messages count.
    counted_from: Option<Instant>,
}

/// What happened while it counted.
struct Window {
    cost: Spent,
    sent: u64,
    delivered: u64,
}

impl<'a> Run<'a> {
    fn new(case: Case, publishers: Publishers, progress: &'a mut Progress) -> Self {
        Self {
            case,
            publishers,
            audience: None,
            progress,
            arrived: Vec::new(),
            first: 0,
            outstanding: 0,
            delivered: 0,
            latency: Histogram::new(),
            counted_from: None,
        }
    }

    /// Sends for a while, counting only after it has become warm, and waits until all has arrived.
    fn play(
        &mut self,
        links: &mut Links,
        processes: &[u32],
        warm: Duration,
        counted: Duration,
    ) -> Result<Window, Failure> {
        let begin = Instant::now();
        self.first = self.publishers.sent();
        self.arrived.clear();
        self.counted_from = None;
        self.publishers.counts = (None, None);
        let rate = match self.case.rate {
            Rate::Open(rate) => rate,
            Rate::Outstanding(_) => 10.0,
        };
        let schedule = Schedule::new(begin, rate);
        let pace = Pace::start(links.waker(), schedule);
        let begins = loop {
            self.turn(links, &schedule)?;
            if begin.elapsed() >= warm {
                break Usage::now(processes);
            }
        };
        self.counted_from = Some(begins.at);
        self.publishers.counts.0 = self.audience.as_ref().map(|_| begins.at);
        let (sent, delivered) = (self.publishers.sent(), self.delivered);
        while begins.at.elapsed() < counted {
            self.turn(links, &schedule)?;
        }
        let cost = Usage::now(processes).since(&begins);
        drop(pace);
        let window = Window { cost, sent: self.publishers.sent() - sent, delivered: self.delivered - delivered };
        let over = Instant::now();
        while !self.is_complete() && over.elapsed() < PATIENCE {
            self.hear(links, Duration::from_millis(50))?;
        }
        Ok(window)
    }

    /// Only hears, for a while.
    fn rest(&mut self, links: &mut Links, time: Duration) -> Result<(), Failure> {
        let begin = Instant::now();
        while begin.elapsed() < time {
            self.hear(links, Duration::from_millis(50))?;
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        let heard = self.audience.as_ref().is_none_or(|audience| audience.is_complete(&self.publishers.next));
        self.publishers.is_complete() && heard
    }

    fn turn(&mut self, links: &mut Links, schedule: &Schedule) -> Result<(), Failure> {
        match self.case.rate {
            Rate::Open(_) => loop {
                let due = schedule.at(self.publishers.sent() - self.first);
                if due > Instant::now() {
                    break;
                }
                self.publishers.publish(links, due);
            },
            Rate::Outstanding(most) => {
                while self.outstanding < most {
                    self.publishers.publish(links, Instant::now());
                    self.arrived.push(0);
                    self.outstanding += 1;
                }
            }
        }
        let text = || format!("{} sent, {} delivered", self.publishers.sent(), self.delivered);
        self.progress.tell(text);
        self.hear(links, Duration::from_millis(100))
    }

    fn hear(&mut self, links: &mut Links, wait: Duration) -> Result<(), Failure> {
        links.turn(wait, |number, link, incoming| self.on(number, link, &incoming))?;
        Ok(())
    }

    fn on(&mut self, number: usize, link: &mut Link, incoming: &Incoming<'_>) {
        let Some(audience) = self.audience.as_mut().filter(|audience| audience.owns(number)) else {
            return self.publishers.on(link, incoming);
        };
        let everyone = u32::try_from(self.case.members).unwrap_or(u32::MAX);
        let mut now = None;
        audience.on(number, link, incoming, &mut |Heard { number, .. }| {
            self.delivered += 1;
            let Some((number, due)) = number.and_then(|number| Some((number, self.publishers.due(number)?))) else {
                return;
            };
            if self.counted_from.is_some_and(|from| due >= from) {
                self.latency.record(now.get_or_insert_with(Instant::now).saturating_duration_since(due));
            }
            let place = number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
            if let Some(arrived) = place.and_then(|place| self.arrived.get_mut(place)) {
                *arrived += 1;
                self.outstanding -= u64::from(*arrived == everyone);
            }
        });
    }

    fn figures(&self, window: &Window, figures: &mut Figures) {
        let Some(audience) = &self.audience else { return };
        let (delivered, sent) = (window.delivered as f64, window.sent as f64);
        let (seconds, cpu) = (window.cost.seconds, window.cost.servers.total);
        figures.set("cpu_us", cpu * 1e6 / delivered);
        figures.set("user_us", window.cost.servers.user * 1e6 / delivered);
        if let Some(apart) = figures.get("apart_us") {
            // What the same messages cost with nobody there is taken off.
            figures.set("deliver_us", (cpu * 1e6 - apart * sent) / delivered);
        }
        figures.set("deliveries_per_s", delivered / seconds);
        figures.set("messages_per_s", sent / seconds);
        figures.cores(&window.cost);
        figures.latency(&self.latency);
        if self.publishers.acknowledged.count() > 0 {
            figures.set_some("ack_p99_ms", self.publishers.acknowledged.percentile(0.99));
        }
        figures.tally(audience.tally(&self.publishers.next));
        figures.set("refused", self.publishers.refused.len() as f64);
        figures.set("closed", audience.closed.len() as f64);
    }
}
