//! Those who publish: a few connections that send what is due, and hear what was acknowledged.

use std::time::{Duration, Instant};

use crate::Failure;
use crate::load::{Incoming, Link, Links, Request};
use crate::measure::Histogram;
use crate::peers::{Dialect, Outgoing, Person, Reader, Server};

const PATIENCE: Duration = Duration::from_secs(30);
/// What a message says besides its number.
const WORDS: &str = "a message of an ordinary length, as people write them";

/// All of them, and the numbers they have given.
pub(crate) struct Publishers {
    dialect: Dialect,
    links: Vec<usize>,
    rooms: Vec<String>,
    /// Sets the ids of this run apart from those of others on the same data.
    run: u32,
    reader: Reader,
    ready: usize,
    /// By number, when a message was due.
    due: Vec<Instant>,
    /// For each room, the number that its next message has or will have.
    pub(crate) next: Vec<u64>,
    /// From when a message was due to its acknowledgement, where there is one.
    pub(crate) acknowledged: Histogram,
    /// How many are acknowledged, whether or not their time counted.
    confirmed: u64,
    /// When messages have to be due for their time to count.
    pub(crate) counts: (Option<Instant>, Option<Instant>),
    /// Why some were refused.
    pub(crate) refused: Vec<String>,
}

impl Publishers {
    /// Connects so many; with Tidings each is a person of the list.
    pub(crate) fn connect(
        links: &mut Links,
        server: &Server,
        rooms: Vec<String>,
        people: &[Person],
        count: usize,
    ) -> Result<Self, Failure> {
        let path = server.dialect.path(None);
        let mut opened = Vec::with_capacity(count);
        let addresses = server.addresses();
        for number in 0..count {
            let address = addresses[number % addresses.len()];
            opened.push(if server.dialect == Dialect::Nchan {
                links.http(address)?
            } else {
                let token = people.get(number).map(|person| person.token.as_str());
                links.socket(address, &Request { path: &path, token })?
            });
        }
        let mut publishers = Self {
            dialect: server.dialect,
            links: opened,
            next: vec![1; rooms.len()],
            rooms,
            run: std::process::id(),
            reader: Reader::default(),
            ready: if server.dialect == Dialect::Nchan { count } else { 0 },
            due: Vec::new(),
            acknowledged: Histogram::new(),
            confirmed: 0,
            counts: (None, None),
            refused: Vec::new(),
        };
        let begin = Instant::now();
        while publishers.ready < count {
            links.turn(Duration::from_millis(100), |_, link, incoming| publishers.on(link, &incoming))?;
            if let Some(why) = publishers.refused.first() {
                return Err(format!("a publisher: {why}").into());
            }
            if begin.elapsed() > PATIENCE {
                return Err("publishers could not connect".into());
            }
        }
        Ok(publishers)
    }

    /// How many messages were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.due.len() as u64
    }

    /// When the message of this number was due.
    pub(crate) fn due(&self, number: u64) -> Option<Instant> {
        self.due.get(usize::try_from(number).ok()?).copied()
    }

    /// Sends the next message, which was due at this time; rooms take turns. Where the load numbers a room's messages, all
    /// of a room go by one connection, since else the server would be right to take them in another order.
    pub(crate) fn publish(&mut self, links: &mut Links, due: Instant) {
        let number = self.due.len();
        self.due.push(due);
        let room = number % self.rooms.len();
        let seq = self.next[room];
        // Tidings numbers its messages itself, and says how with the acknowledgement.
        let turn = if self.dialect == Dialect::Tidings {
            number
        } else {
            self.next[room] += 1;
            room
        };
        let message = Outgoing { number: number as u64, room: &self.rooms[room], seq, content: WORDS };
        if let Some(link) = links.get(self.links[turn % self.links.len()]) {
            self.dialect.publish(link, self.run, &message);
        }
    }

    /// Something came for a publisher.
    pub(crate) fn on(&mut self, link: &mut Link, incoming: &Incoming<'_>) {
        match incoming {
            Incoming::Text(text) if text.starts_with(br#"{"type":"ok""#) => {
                let Some(heard) = self.reader.message(text) else { return };
                let Some(number) = heard.number.and_then(|number| usize::try_from(number).ok()) else { return };
                let Some(due) = self.due.get(number) else { return };
                self.confirmed += 1;
                let (from, until) = self.counts;
                if from.is_some_and(|from| *due >= from) && until.is_none_or(|until| *due < until) {
                    self.acknowledged.record(due.elapsed());
                }
                let next = &mut self.next[number % self.rooms.len()];
                *next = (*next).max(heard.seq + 1);
            }
            Incoming::Text(text) if text.starts_with(br#"{"type":"error""#) => {
                self.refused.push(String::from_utf8_lossy(text).into_owned());
            }
            Incoming::Answer { status, .. } if !(200..300).contains(status) => self.refused.push(format!("{status}")),
            Incoming::Closed(why) => self.refused.push(why.clone()),
            _ => {
                let was_ready = self.ready == self.links.len();
                if !was_ready && self.dialect.greet(link, incoming, None).is_some() {
                    self.ready += 1;
                } else if let Incoming::Text(text) = incoming {
                    self.dialect.keep_alive(link, text);
                }
            }
        }
    }

    /// Whether everything that was sent is acknowledged, or nothing is to be expected.
    pub(crate) fn is_complete(&self) -> bool {
        self.dialect != Dialect::Tidings || self.confirmed + self.refused.len() as u64 >= self.sent()
    }
}
