//! An instance that follows many rooms in which nothing happens: what it costs to make sure that nothing did.

use std::time::{Duration, Instant};

use super::super::stage::Stage;
use crate::calls::{self, Call};
use crate::load::{Incoming, Links, Request};
use crate::measure::{counter, memory, usage};
use crate::peers::{Dialect, Peer, Person};
use crate::progress::Progress;
use crate::report::Figures;
use crate::{Failure, Options};

/// Rooms that one connection follows.
const EACH: usize = 10_000;
/// Subscriptions under way at once.
const UNDER_WAY: usize = 64;
const PATIENCE: Duration = Duration::from_mins(1);
/// How often an instance says again who is present, at least: what is measured over less than that is of chance.
const RENEWAL: f64 = 14.0;
/// Until the last subscription is followed by nothing, and how often it is looked whether others are told of all of them.
const SETTLE: Duration = Duration::from_secs(3);
/// Calls to Redis between two looks when there is nothing to tell.
const FEW: f64 = 100.0;

pub(crate) fn run(rooms: usize, peer: Peer, options: &Options, progress: &mut Progress) -> Result<Figures, Failure> {
    let mut stage = Stage::set(peer, options, (0, 0), rooms.div_ceil(EACH))?;
    let names: Vec<String> = (0..rooms).map(|number| format!("room{number}")).collect();
    let tidings = stage.server.tidings().ok_or("only Tidings watches rooms")?;
    let watchers: Vec<Person> = stage.writers.clone();
    for (part, watcher) in names.chunks(EACH).zip(&watchers) {
        progress.tell(|| format!("making the rooms of {}", watcher.id));
        tidings.rooms(&part.iter().map(|name| (name.clone(), vec![watcher])).collect::<Vec<_>>())?;
    }
    stage.restart()?;
    let tidings = stage.server.tidings().ok_or("only Tidings watches rooms")?;
    let (databases, metrics) = (tidings.database_processes(), tidings.metrics()[0]);
    let processes = stage.server.processes.clone();
    let before = memory(&processes);
    let mut links = Links::new(None)?;
    let path = Dialect::Tidings.path(None);
    for watcher in &watchers {
        links.socket(stage.server.address, &Request { path: &path, token: Some(&watcher.token) })?;
    }
    follow(&mut links, &names, progress)?;
    let count = |name: &str| -> Result<f64, Failure> {
        Ok(counter(&calls::one(metrics, Call::get("/metrics", ""))?.body, name))
    };
    let (mut told, begin) = (0.0, Instant::now());
    while begin.elapsed() < PATIENCE {
        rest(&mut links, SETTLE, progress)?;
        let before = std::mem::replace(&mut told, count("tidings_redis_calls_total")?);
        if told - before < FEW {
            break;
        }
    }
    let (asked, own, theirs) = (count("tidings_queries_total")?, usage(&processes), usage(&databases));
    let time = Duration::from_secs_f64((options.seconds / RENEWAL).ceil() * RENEWAL);
    rest(&mut links, time, progress)?;
    let seconds = time.as_secs_f64();
    let mut figures = Figures::new();
    figures.set("queries_per_s", (count("tidings_queries_total")? - asked) / seconds);
    figures.set("idle_us_per_s", (usage(&processes) - own).total * 1e6 / seconds);
    figures.set("databases_us_per_s", (usage(&databases) - theirs).total * 1e6 / seconds);
    figures.set("bytes_per_room", (memory(&processes) as f64 - before as f64) / rooms as f64);
    Ok(figures)
}

/// Subscribes each connection to its rooms.
fn follow(links: &mut Links, names: &[String], progress: &mut Progress) -> Result<(), Failure> {
    let parts: Vec<&[String]> = names.chunks(EACH).collect();
    let (mut begun, mut done, mut failed, mut last) = (vec![0; parts.len()], 0, None, Instant::now());
    while done < names.len() {
        links.turn(Duration::from_millis(100), |number, link, incoming| {
            let subscribe = |place: usize| {
                let name = parts[number].get(place)?;
                Some(format!(r#"{{"type":"subscribe","id":{place},"roomId":"{name}","limit":1}}"#))
            };
            let more = match incoming {
                Incoming::Text(text) if text.starts_with(br#"{"type":"welcome""#) => UNDER_WAY,
                Incoming::Text(text) if text.starts_with(br#"{"type":"subscribed""#) => {
                    done += 1;
                    last = Instant::now();
                    1
                }
                Incoming::Text(text) if text.starts_with(br#"{"type":"error""#) => {
                    failed = Some(String::from_utf8_lossy(text).into_owned());
                    0
                }
                Incoming::Closed(why) => {
                    failed = Some(why);
                    0
                }
                _ => 0,
            };
            for _ in 0..more {
                if let Some(frame) = subscribe(begun[number]) {
                    begun[number] += 1;
                    link.text(frame.as_bytes());
                }
            }
        })?;
        if let Some(why) = failed.take() {
            return Err(why.into());
        }
        if last.elapsed() > PATIENCE {
            return Err(format!("only {done} of {} rooms could be followed", names.len()).into());
        }
        progress.tell(|| format!("{done} of {} rooms followed", names.len()));
    }
    Ok(())
}

fn rest(links: &mut Links, time: Duration, progress: &mut Progress) -> Result<(), Failure> {
    let begin = Instant::now();
    while begin.elapsed() < time {
        links.turn(Duration::from_millis(100), |_, _, _| ())?;
        progress.tell(|| "resting".to_owned());
    }
    Ok(())
}
