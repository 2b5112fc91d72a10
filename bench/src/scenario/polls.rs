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

#[derive(Default)]
struct Count {
    asked: u64,
    answered: u64,
    unexpected: u64,
    closed: u64,
}

pub(crate) fn run(per_second: f64, peer: Peer, options: &Options, progress: &mut Progress) -> Result<Figures, Failure> {
    let mut stage = Stage::set(peer, options, (ROOMS, CONNECTIONS / ROOMS), 0)?;
    let mut links = Links::new()?;
    let mut pollers = Vec::with_capacity(CONNECTIONS);
    for number in 0..CONNECTIONS {
        let request = request(&mut stage, number)?;
        pollers.push(Poller { link: links.http(stage.server.address)?, request, due: VecDeque::new() });
    }
    let (warm, seconds) = (options.warm_up(), Duration::from_secs_f64(options.seconds));
    let begin = Instant::now();
    let schedule = Schedule::new(begin, per_second);
    let pace = Pace::start(links.waker(), schedule);
    let processes = &stage.server.processes;
    let (mut count, mut latency) = (Count::default(), Histogram::new());
    let (mut begins, mut ends, mut counted): (Option<Usage>, Option<Usage>, u64) = (None, None, 0);
    loop {
        let now = Instant::now();
        if begins.is_none() && now >= begin + warm {
            begins = Some(Usage::now(processes));
            counted = count.answered;
        }
        if ends.is_none() && now >= begin + warm + seconds {
            ends = Some(Usage::now(processes));
            counted = count.answered - counted;
        }
        while ends.is_none() && schedule.at(count.asked) <= now {
            let number = usize::try_from(count.asked).unwrap_or_default() % CONNECTIONS;
            ask(&mut links, &mut pollers[number], schedule.at(count.asked));
            count.asked += 1;
        }
        if ends.is_some_and(|ends| count.answered == count.asked || ends.at.elapsed() > PATIENCE) {
            break;
        }
        links.turn(Duration::from_millis(100), |number, link, incoming| match incoming {
            Incoming::Answer { status, .. } => {
                count.answered += 1;
                count.unexpected += u64::from(status != 304);
                let poller = &mut pollers[number];
                let Some(due) = poller.due.pop_front() else { return };
                if begins.is_some_and(|begins| due >= begins.at) {
                    latency.record(due.elapsed());
                }
                if !poller.due.is_empty() {
                    link.send(&poller.request);
                }
            }
            Incoming::Closed(_) => count.closed += 1,
            Incoming::Upgraded | Incoming::Text(_) => {}
        })?;
        progress.tell(|| format!("{} asked, {} answered", count.asked, count.answered));
    }
    drop(pace);
    let (Some(begins), Some(ends)) = (begins, ends) else { return Err("there was no time".into()) };
    let mut figures = Figures::new();
    let (seconds, servers) = ((ends.at - begins.at).as_secs_f64(), ends.servers - begins.servers);
    figures.set("cpu_us", servers.total * 1e6 / counted as f64);
    figures.set("user_us", servers.user * 1e6 / counted as f64);
    figures.set("answers_per_s", counted as f64 / seconds);
    figures.set("server_cores", servers.total / seconds);
    figures.set("client_cores", (ends.client - begins.client).total / seconds);
    figures.latency(&latency);
    figures.set("lost", (count.asked - count.answered) as f64);
    figures.set("refused", count.unexpected as f64);
    figures.set("closed", count.closed as f64);
    Ok(figures)
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
