//! A storm: everyone's connection is cut in one moment, and all come back at once with their cursors, while others go on
//! sending on schedule. How long until all are back, how long sends take meanwhile, and whether anyone missed anything.

use std::time::{Duration, Instant};

use super::audience::{AT_ONCE, Audience, Seat};
use super::publishers::Publishers;
use super::stage::Stage;
use crate::load::{Links, Pace, Schedule};
use crate::measure::{Histogram, Usage};
use crate::peers::{Heard, Peer};
use crate::progress::Progress;
use crate::report::Figures;
use crate::{Failure, Options};

const ROOMS: usize = 50;
const WRITERS: usize = 4;
/// Quiet sending before the storm, and after it.
const BEFORE: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_mins(1);
/// Begun in one go before the load looks at what came, so that it does not delay what it measures.
const IN_ONE_GO: usize = 50;
/// Until one who was turned away tries again.
const AGAIN: Duration = Duration::from_millis(500);

/// So many clients, and sends each second meanwhile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) clients: usize,
    pub(crate) per_second: f64,
}

struct Storm<'a> {
    audience: Audience,
    publishers: Publishers,
    schedule: Schedule,
    sending: bool,
    progress: &'a mut Progress,
}

pub(crate) fn run(case: Case, peer: Peer, options: &Options, progress: &mut Progress) -> Result<Figures, Failure> {
    let stage = Stage::set(peer, options, (ROOMS, case.clients.div_ceil(ROOMS)), WRITERS)?;
    let mut links = Links::new(None)?;
    let publishers = Publishers::connect(&mut links, &stage.server, stage.rooms.clone(), &stage.writers, WRITERS)?;
    let mut people = stage.people.iter().cloned();
    let seats = (0..case.clients).map(|number| Seat { room: number % ROOMS, person: people.next() });
    let (addresses, dialect) = (stage.server.addresses(), stage.server.dialect);
    let mut audience = Audience::new(addresses, dialect, stage.rooms.clone(), seats.collect(), &publishers.next);
    audience.connect(&mut links, AT_ONCE)?;
    let schedule = Schedule::new(Instant::now(), case.per_second);
    let _pace = Pace::start(links.waker(), schedule);
    let mut storm = Storm { audience, publishers, schedule, sending: true, progress };
    let processes = &stage.server.processes;
    storm.go_on(&mut links, BEFORE, |_| false)?;
    let cut = Usage::now(processes);
    storm.publishers.counts.0 = Some(cut.at);
    let mut returns = Histogram::new();
    storm.come_back(&mut links, &mut returns)?;
    let back = Usage::now(processes);
    storm.publishers.counts.1 = Some(back.at);
    storm.go_on(&mut links, BEFORE, |_| false)?;
    storm.sending = false;
    storm.go_on(&mut links, PATIENCE, |storm| {
        storm.publishers.is_complete() && storm.audience.is_complete(&storm.publishers.next)
    })?;
    let mut figures = Figures::new();
    let spent = back.since(&cut);
    figures.set("all_back_s", spent.seconds);
    figures.set_some("half_back_s", returns.percentile(0.5).map(|milliseconds| milliseconds / 1e3));
    figures.set("connect_us", spent.servers.total * 1e6 / case.clients as f64);
    figures.cores(&spent);
    figures.set("sends", storm.publishers.acknowledged.count() as f64);
    figures.latency(&storm.publishers.acknowledged);
    figures.tally(storm.audience.tally(&storm.publishers.next));
    figures.set("refused", storm.publishers.refused.len() as f64);
    figures.set("turned_away", storm.audience.closed.len() as f64);
    figures.set("resets", storm.audience.resets as f64);
    Ok(figures)
}

impl Storm<'_> {
    /// Sends what is due and hears what comes, for this time or until something is so.
    fn go_on(&mut self, links: &mut Links, time: Duration, done: impl Fn(&Self) -> bool) -> Result<(), Failure> {
        let begin = Instant::now();
        while begin.elapsed() < time && !done(self) {
            self.turn(links, Duration::from_millis(20))?;
        }
        Ok(())
    }

    fn turn(&mut self, links: &mut Links, wait: Duration) -> Result<(), Failure> {
        while self.sending && self.schedule.at(self.publishers.sent()) <= Instant::now() {
            let due = self.schedule.at(self.publishers.sent());
            self.publishers.publish(links, due);
        }
        links.turn(wait, |number, link, incoming| {
            if self.audience.owns(number) {
                self.audience.on(number, link, &incoming, &mut |_: Heard| ());
            } else {
                self.publishers.on(link, &incoming);
            }
        })?;
        let (ready, sent) = (self.audience.ready(), self.publishers.sent());
        self.progress.tell(|| format!("{ready} connected, {sent} sent"));
        Ok(())
    }

    /// Cuts everyone, and has all come back; `returns` gets when each was back.
    fn come_back(&mut self, links: &mut Links, returns: &mut Histogram) -> Result<(), Failure> {
        let begin = Instant::now();
        self.audience.cut(links);
        let (count, mut started, mut retried, mut last_look) = (self.audience.len(), 0, 0, begin);
        while self.audience.ready() < count {
            let until = (started + IN_ONE_GO).min(count);
            for whose in started..until {
                self.audience.begin(links, whose)?;
            }
            started = until;
            if last_look.elapsed() > AGAIN {
                last_look = Instant::now();
                let until = self.audience.closed.len();
                for place in retried..until {
                    let whose = self.audience.closed[place].0;
                    self.audience.begin(links, whose)?;
                }
                retried = until;
            }
            let before = self.audience.ready();
            self.turn(links, if started < count { Duration::ZERO } else { Duration::from_millis(20) })?;
            for _ in before..self.audience.ready() {
                returns.record(begin.elapsed());
            }
            if begin.elapsed() > PATIENCE {
                return Err(format!(
                    "only {} of {count} returns back: {:?}",
                    self.audience.ready(),
                    self.audience.closed.first()
                )
                .into());
            }
        }
        Ok(())
    }
}
