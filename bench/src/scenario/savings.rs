//! What polling by meta saves: 1,000 people who cannot hold a socket, at two instances in turn, while somebody writes a
//! message each second. Either each reads the last 50 messages every 3 s, as one would without Tidings, or asks for meta
//! every 2.5 s and reads what is new when there is something.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::sends;
use super::stage::Stage;
use crate::calls::{self, Call};
use crate::load::{Incoming, Links, Pace, Schedule, header};
use crate::measure::counter;
use crate::peers::{Peer, Person};
use crate::progress::Progress;
use crate::report::Figures;
use crate::{Failure, Options};

const PEOPLE: usize = 1000;
const INSTANCES: usize = 2;
/// Connections to each instance.
const CONNECTIONS: usize = 16;
/// Who writes what is there before.
const WRITERS: usize = 64;
/// What each room holds before.
const MESSAGES: u64 = 50;
/// Everyone has polled several times: people poll for hours.
const WARM: Duration = Duration::from_secs(12);

/// How many rooms the people are spread over, and how they poll.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) rooms: usize,
    pub(crate) by_meta: bool,
}

#[derive(Debug, Clone, Copy)]
enum Asking {
    Meta,
    New,
    Whole,
    Send,
}

#[derive(Default, Clone)]
struct State {
    etag: String,
    cursor: Option<(u64, String)>,
}

#[derive(Deserialize)]
struct Page {
    rev: u64,
    history: String,
}

#[derive(Default)]
struct Count {
    polls: f64,
    unchanged: f64,
    bytes: f64,
}

struct Run {
    case: Case,
    rooms: Vec<String>,
    people: Vec<Person>,
    states: Vec<State>,
    /// What each connection is asking, and for whom.
    asking: Vec<Option<(usize, Asking)>>,
    waiting: VecDeque<(usize, Asking)>,
    turn: usize,
    count: Count,
    failed: Option<String>,
}

pub(crate) fn run(case: Case, peer: Peer, options: &Options, progress: &mut Progress) -> Result<Figures, Failure> {
    let mut stage = Stage::set(peer, options, (case.rooms, PEOPLE / case.rooms), WRITERS)?;
    sends::fill(&stage, sends::Fill { messages: MESSAGES * case.rooms as u64, outstanding: 4 }, progress)?;
    stage.server.grow(INSTANCES)?;
    let metrics = stage.server.tidings().map(|tidings| tidings.metrics()).unwrap_or_default();
    let mut links = Links::new(None)?;
    for address in stage.server.addresses() {
        for _ in 0..CONNECTIONS {
            links.http(address)?;
        }
    }
    let begin = Instant::now();
    let every = if case.by_meta { 2.5 } else { 3.0 };
    let schedule = Schedule::new(begin, PEOPLE as f64 / every);
    let _pace = Pace::start(links.waker(), schedule);
    let mut run = Run::new(case, &stage);
    let (mut asked, mut sent, warm) = (0_u64, 0_u64, begin + WARM);
    let end = warm + Duration::from_secs_f64(options.seconds * 2.0);
    let mut before = None;
    while Instant::now() < end {
        if before.is_none() && Instant::now() >= warm {
            (before, run.count) = (Some(totals(&metrics)?), Count::default());
        }
        while schedule.at(asked) <= Instant::now() {
            run.ask(
                &mut links,
                usize::try_from(asked)? % PEOPLE,
                if case.by_meta { Asking::Meta } else { Asking::Whole },
            );
            asked += 1;
        }
        if begin + Duration::from_secs(sent) <= Instant::now() {
            // A person whose room is another one each time.
            run.ask(&mut links, usize::try_from(sent * 37)? % PEOPLE, Asking::Send);
            sent += 1;
        }
        run.hear(&mut links)?;
        progress.tell(|| format!("{asked} polls"));
    }
    let (before, after, count) = (before.unwrap_or_default(), totals(&metrics)?, run.count);
    let mut figures = Figures::new();
    let per_thousand = 1e3 / count.polls;
    figures.set("queries_per_1000", (after.0 - before.0) * per_thousand);
    figures.set("redis_per_1000", (after.1 - before.1) * per_thousand);
    figures.set("bytes", count.bytes / count.polls);
    figures.set("unchanged_percent", count.unchanged / count.polls * 1e2);
    // Who polls more often does not save by that.
    figures.set("queries_per_s", (after.0 - before.0) / count.polls * PEOPLE as f64 / every);
    figures.set("bytes_per_s", count.bytes / count.polls * PEOPLE as f64 / every);
    Ok(figures)
}

/// Queries and calls to Redis of all instances.
fn totals(metrics: &[std::net::SocketAddr]) -> Result<(f64, f64), Failure> {
    let mut sum = (0.0, 0.0);
    for address in metrics {
        let text = calls::one(*address, Call::get("/metrics", ""))?.body;
        sum.0 += counter(&text, "tidings_queries_total");
        sum.1 += counter(&text, "tidings_redis_calls_total");
    }
    Ok(sum)
}

impl Run {
    fn new(case: Case, stage: &Stage) -> Self {
        Self {
            case,
            rooms: stage.rooms.clone(),
            people: stage.people.clone(),
            states: vec![State::default(); PEOPLE],
            asking: vec![None; INSTANCES * CONNECTIONS],
            waiting: VecDeque::new(),
            turn: 0,
            count: Count::default(),
            failed: None,
        }
    }

    fn ask(&mut self, links: &mut Links, person: usize, what: Asking) {
        // Each person comes to the instances in turn.
        self.turn += 1;
        let free = |place: &usize| self.asking[*place].is_none();
        let from = (person + self.turn / PEOPLE) % INSTANCES * CONNECTIONS;
        match (from..self.asking.len()).chain(0..from).find(free).and_then(|place| Some((place, links.get(place)?))) {
            Some((place, link)) => link.send(&self.begin(place, person, what)),
            None => self.waiting.push_back((person, what)),
        }
    }

    fn begin(&mut self, place: usize, person: usize, what: Asking) -> Vec<u8> {
        self.asking[place] = Some((person, what));
        let (state, token) = (&self.states[person], &self.people[person].token);
        let room = &self.rooms[person % self.case.rooms];
        let (method, path, body) = match what {
            Asking::Meta => ("GET", "meta".to_owned(), ""),
            Asking::Whole => ("GET", format!("messages?limit={MESSAGES}"), ""),
            Asking::New => match &state.cursor {
                Some((rev, history)) => ("GET", format!("messages?since={rev}&history={history}"), ""),
                None => ("GET", "messages?limit=10".to_owned(), ""),
            },
            Asking::Send => ("POST", "messages".to_owned(), r#"{"content":"one message of a second"}"#),
        };
        let tag = match what {
            Asking::Meta if !state.etag.is_empty() => format!("If-None-Match: {}\r\n", state.etag),
            _ => String::new(),
        };
        format!(
            "{method} /api/chat/rooms/{room}/{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{tag}\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    fn hear(&mut self, links: &mut Links) -> Result<(), Failure> {
        links.turn(Duration::from_millis(50), |place, link, incoming| match incoming {
            Incoming::Answer { status, head, body } => {
                let Some((person, what)) = self.asking[place].take() else { return };
                let next = self.answered(person, what, (status, head, body)).map(|next| (person, next));
                if let Some((person, what)) = next.or_else(|| self.waiting.pop_front()) {
                    link.send(&self.begin(place, person, what));
                }
            }
            Incoming::Closed(why) => self.failed = Some(why),
            Incoming::Upgraded | Incoming::Text(_) => {}
        })?;
        self.failed.take().map_or(Ok(()), |why| Err(why.into()))
    }

    /// Takes an answer in; returns what the person asks for because of it.
    fn answered(&mut self, person: usize, what: Asking, (status, head, body): (u16, &[u8], &[u8])) -> Option<Asking> {
        if !(200..300).contains(&status) && status != 304 {
            self.failed = Some(format!("{what:?}: {status} {}", String::from_utf8_lossy(body)));
            return None;
        }
        if !matches!(what, Asking::Send) {
            self.count.bytes += (head.len() + 4 + body.len()) as f64;
        }
        let state = &mut self.states[person];
        match what {
            Asking::Meta => {
                self.count.polls += 1.0;
                if status == 304 {
                    self.count.unchanged += 1.0;
                    return None;
                }
                header(head, "etag").unwrap_or_default().clone_into(&mut state.etag);
                return Some(Asking::New);
            }
            Asking::New => {
                state.cursor = serde_json::from_slice::<Page>(body).ok().map(|page| (page.rev, page.history));
            }
            Asking::Whole => self.count.polls += 1.0,
            Asking::Send => {}
        }
        None
    }
}
