//! Subscribers: they connect, so many at once, follow a room each, and count what they hear there.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::Failure;
use crate::load::{Incoming, Link, Links, Request};
use crate::measure::{Order, Tally};
use crate::peers::{Dialect, Follow, Heard, Joined, Person, Reader, number_of};

/// Connections on their way at once, unless all are to come at once: fewer than the 128 that many servers let wait, since
/// whoever does not fit there tries again after a second.
pub(crate) const AT_ONCE: usize = 100;
/// Without one that succeeds for so long, something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who follows which room.
pub(crate) struct Seat {
    pub(crate) room: usize,
    /// With a token, where one is needed.
    pub(crate) person: Option<Person>,
}

struct Subscriber {
    seat: Seat,
    link: Option<usize>,
    ready: bool,
    order: Order,
    /// How far the room's `rev` is ahead of its `seq`, and the history they belong to, once it has followed it.
    /// Nothing but messages is written while it does.
    known: Option<(u64, String)>,
}

/// All of them.
pub(crate) struct Audience {
    /// Where they connect, in turn.
    addresses: Vec<SocketAddr>,
    dialect: Dialect,
    rooms: Vec<String>,
    subscribers: Vec<Subscriber>,
    /// By the number of a connection, whose it is.
    owners: Vec<usize>,
    first_link: usize,
    reader: Reader,
    ready: usize,
    /// Whose connections ended that should not have, and why.
    pub(crate) closed: Vec<(usize, String)>,
    /// Subscriptions that had to begin anew instead of going on.
    pub(crate) resets: u64,
}

/// What a page holds, as far as it counts.
#[derive(Deserialize)]
struct Page {
    messages: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    seq: u64,
    content: String,
}

impl Audience {
    /// Nobody is connected yet. `next` is the number that each room's next message will have, where servers do not say.
    pub(crate) fn new(
        addresses: Vec<SocketAddr>,
        dialect: Dialect,
        rooms: Vec<String>,
        seats: Vec<Seat>,
        next: &[u64],
    ) -> Self {
        let subscriber = |seat: Seat| {
            let order = Order::from(next[seat.room]);
            Subscriber { seat, link: None, ready: false, order, known: None }
        };
        let subscribers = seats.into_iter().map(subscriber).collect();
        let (reader, closed) = (Reader::default(), Vec::new());
        Self {
            addresses,
            dialect,
            rooms,
            subscribers,
            owners: Vec::new(),
            first_link: 0,
            reader,
            ready: 0,
            closed,
            resets: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.subscribers.len()
    }

    pub(crate) fn ready(&self) -> usize {
        self.ready
    }

    /// Connects everyone, so many at once, and waits until all follow their rooms.
    pub(crate) fn connect(&mut self, links: &mut Links, at_once: usize) -> Result<(), Failure> {
        let (mut begun, mut last, mut seen) = (0, Instant::now(), 0);
        while self.ready < self.len() {
            while begun < self.len() && begun - self.ready < at_once {
                self.begin(links, begun)?;
                begun += 1;
            }
            links.turn(Duration::from_millis(100), |number, link, incoming| {
                self.on(number, link, &incoming, &mut |_| ());
            })?;
            if let Some((_, why)) = self.closed.first() {
                return Err(format!("a subscriber: {why}").into());
            }
            if self.ready > seen {
                (seen, last) = (self.ready, Instant::now());
            } else if last.elapsed() > PATIENCE {
                return Err(format!("only {} of {} could subscribe", self.ready, self.len()).into());
            }
        }
        Ok(())
    }

    /// Begins one connection; by the same number, if it had one before.
    pub(crate) fn begin(&mut self, links: &mut Links, whose: usize) -> Result<(), Failure> {
        let subscriber = &mut self.subscribers[whose];
        let path = self.dialect.path(Some(&self.rooms[subscriber.seat.room]));
        let token = subscriber.seat.person.as_ref().map(|person| person.token.as_str());
        let request = Request { path: &path, token };
        let address = self.addresses[whose % self.addresses.len()];
        if let Some(link) = subscriber.link {
            links.again(link, address, &request)?;
            return Ok(());
        }
        let link = links.socket(address, &request)?;
        if self.owners.is_empty() {
            self.first_link = link;
        }
        subscriber.link = Some(link);
        self.owners.push(whose);
        Ok(())
    }

    /// Cuts all connections at once.
    pub(crate) fn cut(&mut self, links: &mut Links) {
        for subscriber in &mut self.subscribers {
            if let Some(link) = subscriber.link {
                links.cut(link);
            }
            subscriber.ready = false;
        }
        self.ready = 0;
    }

    /// Whether a connection belongs to a subscriber.
    pub(crate) fn owns(&self, link: usize) -> bool {
        link.checked_sub(self.first_link).is_some_and(|place| place < self.owners.len())
    }

    /// Something came for a subscriber; `new` gets the messages that were new to them.
    pub(crate) fn on(&mut self, number: usize, link: &mut Link, incoming: &Incoming<'_>, new: &mut impl FnMut(Heard)) {
        let whose = self.owners[number - self.first_link];
        let subscriber = &mut self.subscribers[whose];
        match incoming {
            Incoming::Text(text) if subscriber.ready => {
                if text.starts_with(br#"{"type":"messages""#) {
                    subscriber.page(text, new);
                } else if let Some(heard) = self.reader.message(text) {
                    if subscriber.order.saw(heard.seq) {
                        new(heard);
                    }
                } else {
                    self.dialect.keep_alive(link, text);
                }
            }
            Incoming::Closed(why) => self.closed.push((whose, why.clone())),
            Incoming::Answer { status, body, .. } => {
                self.closed.push((whose, format!("{status} {}", String::from_utf8_lossy(body))));
            }
            _ => self.greet(whose, link, incoming),
        }
    }

    fn greet(&mut self, whose: usize, link: &mut Link, incoming: &Incoming<'_>) {
        let subscriber = &mut self.subscribers[whose];
        let room = &self.rooms[subscriber.seat.room];
        let since = subscriber.order.next() - 1;
        let from = subscriber.known.as_ref().map(|(ahead, history)| (since + ahead, history.as_str()));
        if let Some(joined) = self.dialect.greet(link, incoming, Some(Follow { room, from })) {
            self.ready += 1;
            self.resets += u64::from(joined.status == "reset");
            subscriber.joined(joined);
        }
    }

    /// What each counted, given the number that would come next in each room.
    pub(crate) fn tally(&self, ends: &[u64]) -> Tally {
        let mut sum = Tally::default();
        for subscriber in &self.subscribers {
            sum += subscriber.order.tally(ends[subscriber.seat.room]);
        }
        sum
    }

    /// Whether everyone has heard everything.
    pub(crate) fn is_complete(&self, ends: &[u64]) -> bool {
        self.subscribers.iter().all(|subscriber| subscriber.order.next() >= ends[subscriber.seat.room])
    }
}

impl Subscriber {
    fn joined(&mut self, joined: Joined) {
        self.ready = true;
        let Some(last_seq) = joined.last_seq else { return };
        if self.known.is_none() || joined.status == "reset" {
            self.order = Order::from(last_seq + 1);
            self.known = Some((joined.rev - last_seq, joined.history));
        }
    }

    /// Messages that came as a page: what was missed, or the newest at the beginning, which is from before it.
    fn page(&mut self, text: &[u8], new: &mut impl FnMut(Heard)) {
        let Ok(page) = serde_json::from_slice::<Page>(text) else { return };
        for item in page.messages {
            if item.seq >= self.order.next() && self.order.saw(item.seq) {
                new(Heard { seq: item.seq, number: number_of(&item.content) });
            }
        }
    }
}
