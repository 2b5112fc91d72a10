//! One checker for all faults: writers and readers who hop between instances while something breaks, and at the end
//! every reader's copy is what the table holds: nothing lost, nothing twice, nothing in another place.

mod reader;
mod writer;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::random::{Random, seed};
use super::{Api, Cluster, Log, token};
use reader::Reader;
use writer::{Sent, Writer};

/// How long writers may take to get their last answers, and readers to reach the end, once all is well again.
const CATCH_UP: Duration = Duration::from_secs(15);

/// How much goes on.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) rooms: usize,
    pub(crate) writers: usize,
    pub(crate) readers: usize,
    /// Between two messages of a writer.
    pub(crate) pause: Duration,
    /// Whether every send is tried on two instances at once.
    pub(crate) twice: bool,
    /// Whether readers may be told that the history is another one.
    pub(crate) new_history: bool,
}

impl Default for Shape {
    fn default() -> Self {
        let pause = Duration::from_millis(60);
        Self { rooms: 2, writers: 6, readers: 6, pause, twice: false, new_history: false }
    }
}

/// What everyone is at.
#[derive(Debug, Clone, PartialEq)]
enum Phase {
    Running,
    /// Writers get their last answers.
    Ending,
    /// Readers end when they are here, by room.
    Until(HashMap<String, u64>),
}

/// Who takes part, and where they may go.
#[derive(Clone)]
struct Place {
    user: String,
    addresses: Vec<SocketAddr>,
    apis: Vec<Api>,
    random: Random,
    phase: watch::Receiver<Phase>,
    shape: Shape,
}

impl Place {
    fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    /// Waits, but not beyond the next phase.
    async fn pause(&mut self, pause: Duration) {
        drop(timeout(pause, self.phase.changed()).await);
    }

    fn instance(&mut self) -> usize {
        self.random.index(self.addresses.len())
    }
}

/// A workload under way.
pub(crate) struct Load {
    rooms: Vec<String>,
    phase: watch::Sender<Phase>,
    writers: Vec<JoinHandle<Vec<Sent>>>,
    readers: Vec<JoinHandle<(Log, Counts)>>,
    begin: Instant,
    restored: Option<(Instant, Instant)>,
}

/// What readers did, for the report.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    hops: u64,
    pages: u64,
    frames: u64,
    failures: u64,
    resets: u64,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) acknowledged: usize,
    /// Calls of writers that failed and were tried again.
    pub(crate) failed: u64,
    /// How often readers were told of another history.
    pub(crate) resets: u64,
}

impl Load {
    /// People, rooms, and everyone at work.
    pub(crate) async fn begin(cluster: &Cluster, shape: Shape) -> Self {
        let seed = seed();
        let rooms: Vec<String> = (0..shape.rooms).map(|n| format!("room{n}")).collect();
        let writers: Vec<String> = (0..shape.writers).map(|n| format!("writer{n}")).collect();
        let readers: Vec<String> = (0..shape.readers).map(|n| format!("reader{n}")).collect();
        let owner = cluster.api(0, "owner");
        owner.get("/api/session").await.ok(200);
        for user in writers.iter().chain(&readers) {
            owner.with_token(&token(user)).get("/api/session").await.ok(200);
        }
        let members: Vec<&String> = writers.iter().chain(&readers).collect();
        for room in &rooms {
            let room = json!({ "id": room, "type": "GROUP", "memberIds": members });
            owner.post("/api/chat/rooms", room).await.ok(201);
        }
        let phase = watch::Sender::new(Phase::Running);
        let addresses: Vec<SocketAddr> = cluster.instances.iter().map(super::Instance::address).collect();
        let place = |user: &str, which: usize| Place {
            user: user.to_owned(),
            apis: addresses.iter().map(|&address| Api::new(address, Some(token(user)))).collect(),
            addresses: addresses.clone(),
            random: Random::new(seed, which as u64),
            phase: phase.subscribe(),
            shape,
        };
        let write = |(n, user): (usize, &String)| tokio::spawn(Writer::new(place(user, n), rooms.clone()).run());
        let read = |(n, user): (usize, &String)| {
            let room = &rooms[n % rooms.len()];
            tokio::spawn(Reader::new(place(user, shape.writers + n), room).run())
        };
        Self {
            writers: writers.iter().enumerate().map(write).collect(),
            readers: readers.iter().enumerate().map(read).collect(),
            rooms: rooms.clone(),
            phase,
            begin: Instant::now(),
            restored: None,
        }
    }

    /// The database was put back to what it held at `dumped`, and has been so since `back`: what was acknowledged
    /// between these is lost, and nothing else.
    pub(crate) fn restored(&mut self, dumped: Instant, back: Instant) {
        self.restored = Some((dumped, back));
    }

    /// Lets it go on for a while, and fails at once if somebody of it has.
    pub(crate) async fn run_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        let mut look = tokio::time::interval(Duration::from_millis(50));
        while Instant::now() < end {
            look.tick().await;
            self.fail_early().await;
        }
    }

    async fn fail_early(&mut self) {
        while let Some(done) = self.writers.iter().position(JoinHandle::is_finished) {
            self.writers.swap_remove(done).await.expect("a writer goes on");
        }
        while let Some(done) = self.readers.iter().position(JoinHandle::is_finished) {
            self.readers.swap_remove(done).await.expect("a reader goes on");
        }
    }

    /// Ends it, all being well again, and compares every copy with the table.
    pub(crate) async fn finish(mut self, cluster: &Cluster) -> Report {
        self.fail_early().await;
        let ran = self.begin.elapsed();
        self.phase.send_replace(Phase::Ending);
        let mut sent = Vec::new();
        for writer in self.writers {
            let theirs = timeout(CATCH_UP, writer).await;
            sent.extend(theirs.expect("a writer gets no answer although all is well").expect("a writer"));
        }
        let healed = Instant::now();
        let mut heads = HashMap::new();
        let mut tables = HashMap::new();
        let owner = cluster.api(0, "owner");
        for room in &self.rooms {
            tables.insert(room.clone(), whole_log(&owner, room, &cluster.table(room).await).await);
            let (head,): (i64,) = sqlx::query_as("select rev from room where id = $1")
                .bind(room)
                .fetch_one(&mut cluster.beside().await)
                .await
                .unwrap();
            heads.insert(room.clone(), u64::try_from(head).unwrap());
        }
        let failed = check_sent(&sent, &tables, self.restored);
        self.phase.send_replace(Phase::Until(heads));
        let mut counts = Counts::default();
        for (n, reader) in self.readers.into_iter().enumerate() {
            let left = CATCH_UP.saturating_sub(healed.elapsed());
            let read = timeout(left, reader).await;
            let (log, theirs) = read.unwrap_or_else(|_| panic!("reader{n} does not reach the end")).expect("a reader");
            check_copy(n, &log, &tables[&self.rooms[n % self.rooms.len()]], self.restored.is_some());
            counts = counts.and(theirs);
        }
        let messages: usize = tables.values().map(Vec::len).sum();
        eprintln!(
            "{messages} messages in {ran:?}, {failed} calls tried again, all read {:?} after the end; {counts:?}",
            healed.elapsed()
        );
        let acknowledged = sent.iter().filter(|sent| sent.seq.is_some()).count();
        assert!(acknowledged > 20, "only {acknowledged} messages: this proves little");
        Report { acknowledged, failed, resets: counts.resets }
    }
}

impl Counts {
    fn and(self, other: Self) -> Self {
        Self {
            hops: self.hops + other.hops,
            pages: self.pages + other.pages,
            frames: self.frames + other.frames,
            failures: self.failures + other.failures,
            resets: self.resets + other.resets,
        }
    }
}

/// A room's messages as the service tells them, which are those of the table.
async fn whole_log(api: &Api, room: &str, ids: &[String]) -> Vec<Value> {
    let mut messages: Vec<Value> = Vec::new();
    loop {
        let after = messages.last().map_or(0, |last| last["seq"].as_u64().unwrap());
        let page = api.get(&format!("/api/chat/rooms/{room}/messages?limit=100&after={after}")).await.ok(200);
        messages.extend(page["messages"].as_array().unwrap().iter().cloned());
        if page["hasMore"] == false {
            break;
        }
    }
    let told: Vec<&str> = messages.iter().map(|message| message["id"].as_str().unwrap()).collect();
    assert_eq!(told, ids, "the service tells another log of {room} than the table holds");
    messages
}

/// What was acknowledged is there, once and in the place that was said; returns how many calls failed.
fn check_sent(sent: &[Sent], tables: &HashMap<String, Vec<Value>>, restored: Option<(Instant, Instant)>) -> u64 {
    let mut places: HashMap<(&str, &str), Vec<&Value>> = HashMap::new();
    for (room, log) in tables {
        for message in log {
            places.entry((room, message["id"].as_str().unwrap())).or_default().push(message);
        }
    }
    for message in sent {
        let found = places.get(&(message.room.as_str(), message.id.as_str())).map(Vec::as_slice).unwrap_or_default();
        assert!(found.len() <= 1, "{message:?} is there {} times", found.len());
        let kept = |asked: Instant, told: Instant| restored.is_none_or(|(dumped, back)| told < dumped || asked > back);
        if let Some(seq) = message.seq.filter(|_| kept(message.asked, message.told)) {
            assert!(found.len() == 1, "{message:?} was acknowledged and is lost");
            assert_eq!(found[0]["seq"], seq, "{message:?} is in another place than was said");
            let text = found[0]["content"].as_str().unwrap();
            assert!(text.starts_with(&message.content), "{message:?} says {text}");
        }
    }
    sent.iter().map(|sent| sent.failures).sum()
}

fn check_copy(reader: usize, copy: &Log, table: &[Value], newest_only: bool) {
    let held: BTreeMap<u64, &Value> =
        copy.messages().map(|message| (message["seq"].as_u64().unwrap(), message)).collect();
    // After a reset a copy begins with the newest page.
    let first = held.keys().next().copied().filter(|_| newest_only).unwrap_or(1);
    let table = &table[usize::try_from(first).unwrap() - 1..];
    for message in table {
        let seq = message["seq"].as_u64().unwrap();
        assert_eq!(held.get(&seq), Some(&message), "reader{reader}'s copy differs at {seq}");
    }
    assert_eq!(held.len(), table.len(), "reader{reader} holds what the table does not");
}
