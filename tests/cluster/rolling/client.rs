//! A client that hands over: told to come back, it opens its next socket at its moment, goes on from its cursor there, and
//! only then leaves the one it had. What comes from either is applied once. It writes, too, by socket and by HTTP.

use std::collections::HashMap;
use std::future::pending;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::{Api, CLIENT_PATIENCE, DEADLINE, End, Log, Random, Wire, token};

/// Longer than anything here is silent.
const LONG: Duration = Duration::from_mins(1);

/// What everyone is at.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Phase {
    Running,
    Quiet,
    /// Clients end when they are here, by room.
    Until(HashMap<String, u64>),
}

/// What all have in common.
pub(super) struct Place {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) apis: Vec<Api>,
    /// Between two messages of a client.
    pub(super) pause: Duration,
    /// Messages without an answer yet.
    pub(super) under_way: AtomicUsize,
    /// The highest change of each room that somebody was told of.
    pub(super) heads: Mutex<HashMap<String, u64>>,
}

/// A message that was acknowledged.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) id: String,
    pub(super) seq: u64,
    pub(super) asked: Instant,
    pub(super) told: Instant,
    pub(super) tries: u32,
}

/// One change of sockets.
#[derive(Debug, Clone)]
pub(super) struct Handover {
    /// When it was told, and for when.
    pub(super) told: Instant,
    pub(super) moment: Instant,
    /// When it began to connect, and when it left its old socket.
    pub(super) began: Instant,
    pub(super) left: Instant,
    /// The old socket was closed before there was a new one.
    pub(super) too_late: bool,
}

/// What a client did and saw.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) user: String,
    pub(super) room: String,
    pub(super) log: Log,
    pub(super) sent: Vec<Sent>,
    pub(super) arrivals: Vec<Instant>,
    pub(super) handovers: Vec<Handover>,
}

struct Link {
    wire: Wire,
    instance: usize,
    /// What was sent on it and is not answered.
    waiting: HashMap<String, Instant>,
}

/// A new socket with its subscription, and what came on it by then.
type Opened = (Link, Vec<Value>, Instant);

pub(super) struct Client {
    place: Arc<Place>,
    phase: watch::Receiver<Phase>,
    random: Random,
    report: Report,
    current: Link,
    old: Option<Link>,
    /// The change under way: when it was told, and for when.
    told: Option<(Instant, Instant)>,
    opening: Option<Pin<Box<dyn Future<Output = Opened> + Send>>>,
    posts: JoinSet<Sent>,
    written: usize,
}

impl Client {
    pub(super) async fn begin(
        place: Arc<Place>,
        phase: watch::Receiver<Phase>,
        random: Random,
        (user, room): (String, String),
        instance: usize,
    ) -> Self {
        let log = Log::new(&room);
        let (current, frames, _) = open(place.clone(), user.clone(), subscribe(&log, &room), instance).await;
        let report = Report { user, room, log, sent: Vec::new(), arrivals: Vec::new(), handovers: Vec::new() };
        let (old, told, opening, posts) = (None, None, None, JoinSet::new());
        let mut client = Self { place, phase, random, report, current, old, told, opening, posts, written: 0 };
        for frame in &frames {
            client.take(frame);
        }
        client
    }

    /// Reads and writes to the end; `first` is when it writes first.
    pub(super) async fn run(mut self, first: Instant) -> Report {
        let mut turn = tokio::time::interval_at(first.into(), self.place.pause);
        while !self.is_there() {
            let moment = self.told.map(|(_, moment)| moment).filter(|_| self.opening.is_none());
            let running = *self.phase.borrow() == Phase::Running;
            tokio::select! {
                next = self.current.wire.next(LONG) => match next {
                    Ok(frame) => self.hear(&frame),
                    Err(end) => self.lost(end).await,
                },
                next = next_of(self.old.as_mut()) => match next {
                    Ok(frame) => self.hear_of_old(&frame),
                    Err(_) => self.leave(),
                },
                opened = opened(self.opening.as_mut()) => self.move_to(opened, false),
                () = due(moment) => self.opening = Some(self.another()),
                _ = turn.tick(), if running => self.write().await,
                Some(sent) = self.posts.join_next() => self.report.sent.push(sent.expect("a send does not fail twice")),
                changed = self.phase.changed() => changed.expect("the test is there"),
            }
        }
        self.report
    }

    fn is_there(&self) -> bool {
        let Phase::Until(heads) = &*self.phase.borrow() else { return false };
        self.report.log.cursor == Some(heads[&self.report.room])
    }

    /// Applies a frame of either socket; what came by the other already changes nothing.
    fn take(&mut self, frame: &Value) {
        let kind = frame["type"].as_str().unwrap_or_default();
        assert!(!matches!(kind, "error" | "removed") && frame["status"] != "reset", "{}: {frame}", self.report.user);
        let rev = match kind {
            "message" => frame["message"]["rev"].as_u64(),
            "messages" => frame["rev"].as_u64(),
            _ => return self.report.log.frame(frame),
        };
        if self.report.log.cursor < rev {
            self.report.log.frame(frame);
            self.report.arrivals.push(Instant::now());
        }
    }

    fn hear(&mut self, frame: &Value) {
        match frame["type"].as_str() {
            Some("drain") => {
                let now = Instant::now();
                let wait = Duration::from_millis(frame["reconnectInMs"].as_u64().expect("when to come back"));
                self.told = Some((now, now + wait));
            }
            Some("ok") => answer(&mut self.current, &mut self.report, &self.place, frame),
            _ => self.take(frame),
        }
    }

    fn hear_of_old(&mut self, frame: &Value) {
        let old = self.old.as_mut().expect("it said something");
        match frame["type"].as_str() {
            Some("ok") => answer(old, &mut self.report, &self.place, frame),
            _ => self.take(frame),
        }
        self.leave_if_answered();
    }

    fn leave_if_answered(&mut self) {
        if self.old.as_ref().is_some_and(|old| old.waiting.is_empty()) {
            self.leave();
        }
    }

    /// The old socket is left, or it has left us.
    fn leave(&mut self) {
        if let Some(old) = self.old.take() {
            self.again(old);
            self.report.handovers.last_mut().expect("a change of sockets").left = Instant::now();
        }
    }

    /// What nobody will answer on a socket any more is sent once more, by HTTP.
    fn again(&mut self, link: Link) {
        for (id, asked) in link.waiting {
            let post = self.post(id, asked, link.instance, 1);
            self.posts.spawn(post);
        }
    }

    /// A socket elsewhere, going on from the cursor.
    fn another(&mut self) -> Pin<Box<dyn Future<Output = Opened> + Send>> {
        let Report { user, room, log, .. } = &self.report;
        // Not where it is, but at any of the others.
        let first = self.current.instance + 1 + self.random.index(self.place.addresses.len() - 1);
        Box::pin(open(self.place.clone(), user.clone(), subscribe(log, room), first))
    }

    /// There was no new socket yet when this one ended.
    async fn lost(&mut self, end: End) {
        assert!(matches!(end, End::Closed(4200, _)), "{}: {end:?}", self.report.user);
        let opening = self.opening.take().unwrap_or_else(|| self.another());
        let opened = opening.await;
        self.move_to(opened, true);
    }

    fn move_to(&mut self, (link, frames, began): Opened, too_late: bool) {
        let old = std::mem::replace(&mut self.current, link);
        let now = Instant::now();
        let (told, moment) = self.told.take().expect("it was told");
        self.report.handovers.push(Handover { told, moment, began, left: now, too_late });
        self.opening = None;
        for frame in &frames {
            self.take(frame);
        }
        self.old = Some(old);
        if too_late { self.leave() } else { self.leave_if_answered() }
    }

    async fn write(&mut self) {
        self.written += 1;
        let (id, asked) = (self.random.id(), Instant::now());
        self.place.under_way.fetch_add(1, Ordering::SeqCst);
        if self.written.is_multiple_of(2) {
            let first = self.random.index(self.place.addresses.len());
            let post = self.post(id, asked, first, 0);
            self.posts.spawn(post);
            return;
        }
        let frame = json!({ "type": "send", "id": id, "roomId": self.report.room, "message": message(&id) });
        self.current.waiting.insert(id, asked);
        // Whatever is wrong with the socket shows when it is read.
        drop(self.current.wire.send(&frame).await);
    }

    fn post(&self, id: String, asked: Instant, first: usize, tries: u32) -> impl Future<Output = Sent> + Send + use<> {
        let (place, room, user) = (self.place.clone(), self.report.room.clone(), token(&self.report.user));
        async move {
            let (path, body) = (format!("/api/chat/rooms/{room}/messages"), message(&id));
            for attempt in tries..2 {
                let instance = (first + attempt as usize) % place.apis.len();
                let api = place.apis[instance].with_token(&user);
                let reply = api.attempt(Method::POST, &path, &[], Some(&body), CLIENT_PATIENCE).await;
                if let Some(reply) = reply.filter(|reply| matches!(reply.status, 200 | 201)) {
                    let seq = place.acknowledged(&reply.json["message"]);
                    return Sent { id, seq, asked, told: Instant::now(), tries: attempt + 1 };
                }
            }
            panic!("{id} failed again after one retry");
        }
    }
}

impl Place {
    /// An acknowledged message's place in its room.
    fn acknowledged(&self, message: &Value) -> u64 {
        let (room, rev) = (message["roomId"].as_str().expect("a room"), message["rev"].as_u64().expect("a rev"));
        let mut heads = self.heads.lock().unwrap();
        let head = heads.entry(room.to_owned()).or_default();
        *head = rev.max(*head);
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        message["seq"].as_u64().expect("a place")
    }
}

fn message(id: &str) -> Value {
    json!({ "id": id, "content": format!("this is {id}") })
}

fn answer(link: &mut Link, report: &mut Report, place: &Place, frame: &Value) {
    let id = frame["id"].as_str().expect("as it was sent").to_owned();
    let asked = link.waiting.remove(&id).expect("it was asked once");
    let seq = place.acknowledged(&frame["message"]);
    report.sent.push(Sent { id, seq, asked, told: Instant::now(), tries: 1 });
}

fn subscribe(log: &Log, room: &str) -> Value {
    let mut frame = json!({ "type": "subscribe", "id": "subscribe", "roomId": room, "limit": 100 });
    if let (Some(cursor), Some(history)) = (log.cursor, &log.history) {
        frame["since"] = json!(cursor);
        frame["history"] = json!(history);
    }
    frame
}

/// Asks one instance after the other until one takes it, as what balances the load would.
async fn open(place: Arc<Place>, user: String, from: Value, first: usize) -> Opened {
    let (began, number) = (Instant::now(), place.addresses.len());
    for attempt in 0.. {
        let instance = (first + attempt) % number;
        if let Ok((mut wire, welcome)) = Wire::open(place.addresses[instance], &user).await {
            assert_eq!(welcome["type"], "welcome", "{welcome}");
            let mut frames = Vec::new();
            if let Ok(answer) = wire.ask(&from, |frame| frames.push(frame)).await {
                frames.push(answer);
                return (Link { wire, instance, waiting: HashMap::new() }, frames, began);
            }
        }
        assert!(began.elapsed() < DEADLINE, "{user}: no instance takes it");
        tokio::task::yield_now().await;
    }
    unreachable!("attempts do not end")
}

async fn next_of(link: Option<&mut Link>) -> Result<Value, End> {
    match link {
        Some(link) => link.wire.next(LONG).await,
        None => pending().await,
    }
}

async fn opened(opening: Option<&mut Pin<Box<dyn Future<Output = Opened> + Send>>>) -> Opened {
    match opening {
        Some(opening) => opening.await,
        None => pending().await,
    }
}

async fn due(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => pending().await,
    }
}
