//! Readers who are pushed to, by several who deliver at once, while their sockets take all, a part, or nothing.

use std::io::Cursor;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidings::hub::{Delivery, Hub, Outlet, Position, Pull, Pushed, Reader, RoomLog};
use tidings::model::{Caller, Claims, Credential, RoomId, Timestamp};
use tidings::protocol::{Frame, Wire, publication, wire};
use tokio_tungstenite::tungstenite::protocol::frame::FrameSocket;

use super::repair::{head, message, publication_of};

const CHANGES: u64 = 2000;

/// A peer, and what has reached it. How much it takes at once is up to chance.
#[derive(Debug)]
struct Peer(Mutex<Taken>);

#[derive(Debug)]
struct Taken {
    chance: u64,
    bytes: Vec<u8>,
    /// The rest of what it took a part of.
    rest: Vec<u8>,
    pushes: u64,
}

impl Peer {
    fn new(seed: u64) -> Arc<Self> {
        let taken = Taken { chance: seed * 2 + 1, bytes: Vec::new(), rest: Vec::new(), pushes: 0 };
        Arc::new(Self(Mutex::new(taken)))
    }

    /// What the reader's task does: what was begun goes out first.
    fn put(&self, frames: &[Frame]) {
        let mut taken = self.0.lock().unwrap();
        let mut bytes = std::mem::take(&mut taken.rest);
        for frame in frames {
            wire::put(frame, &mut bytes);
        }
        taken.bytes.append(&mut bytes);
    }

    /// The `rev` of each message that arrived, in order.
    fn revs(&self) -> Vec<u64> {
        let bytes = self.0.lock().unwrap().bytes.clone();
        let mut socket = FrameSocket::new(Cursor::new(bytes));
        let mut revs = Vec::new();
        while let Some(frame) = socket.read(None).expect("whole frames") {
            let frame: serde_json::Value = serde_json::from_slice(frame.payload()).expect("JSON");
            revs.push(frame["message"]["rev"].as_u64().expect("a rev"));
        }
        revs
    }
}

impl Outlet for Peer {
    fn touch(&self) -> usize {
        0
    }

    fn push(&self, frames: &Wire) -> Pushed {
        let mut taken = self.0.lock().unwrap();
        // Knuth's 64-bit generator: any will do.
        taken.chance = taken.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let chance = taken.chance >> 60;
        if !taken.rest.is_empty() || chance < 2 {
            return Pushed::No;
        }
        taken.pushes += 1;
        let part = if chance < 4 { frames.len() / 2 } else { frames.len() };
        taken.bytes.extend_from_slice(&frames[..part]);
        taken.rest.extend_from_slice(&frames[part..]);
        if part < frames.len() { Pushed::Part } else { Pushed::Whole }
    }

    fn shut(&self) {}
}

fn caller(name: &str) -> Caller {
    let credential = Credential { token_id: None, session_id: None, issued_at: None, expires_at: Timestamp(0) };
    Caller { id: name.parse().unwrap(), claims: Claims::default(), credential }
}

/// Does what a connection's task does, until its peer has everything up to `last`.
async fn read(log: Arc<RoomLog>, peer: Arc<Peer>, name: String, last: u64) {
    let reader = Arc::new(Reader::of_connection(&caller(&name), peer.clone()));
    let subscription = log.subscribe(&reader);
    let begin = log.head().unwrap().rev;
    subscription.move_to(Position { cursor: begin, joined_seq: 1 });
    loop {
        drop(reader.take());
        loop {
            let Position { cursor, joined_seq } = subscription.pause();
            let frames = match log.pull(reader.user(), cursor, joined_seq, 2000) {
                Pull::Frames { frames, rev } => {
                    subscription.move_to(Position { cursor: rev, joined_seq });
                    frames
                }
                // Out of the ring: the store would give it as a page. A frame for each will do.
                Pull::Behind => {
                    let rev = log.known_rev().unwrap();
                    subscription.move_to(Position { cursor: rev, joined_seq });
                    (cursor + 1..=rev).map(|rev| frame(log.id(), rev)).collect()
                }
                Pull::Removed { .. } => panic!("nobody left"),
            };
            peer.put(&frames);
            if frames.is_empty() {
                subscription.go_live();
                break;
            }
        }
        if subscription.pause().cursor == last {
            peer.put(&[]);
            assert_eq!(peer.revs(), (begin + 1..=last).collect::<Vec<_>>(), "each once, in order");
            return;
        }
        subscription.go_live();
        // Looked at from time to time, because one who is pushed to is not woken.
        let woken = tokio::time::timeout(Duration::from_millis(5), reader.woken()).await;
        drop(woken);
    }
}

fn frame(room: &RoomId, rev: u64) -> Frame {
    publication::Change::new(room, &message(rev, rev)).frame
}

async fn finish(delivery: Option<Delivery>) {
    let Some(mut delivery) = delivery else { return };
    while delivery.step() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everyone_has_each_message_once_and_in_order_however_their_socket_takes_it() {
    let room: RoomId = "r".parse().unwrap();
    let hub = Arc::new(Hub::default());
    let log = hub.room(&room);
    log.load(head(0, 0));
    let peers: Vec<_> = (0..150).map(Peer::new).collect();
    let mut readers = Vec::new();
    let read_from = |n: usize| {
        let reading = read(log.clone(), peers[n].clone(), format!("u{n}"), CHANGES);
        tokio::spawn(tokio::time::timeout(Duration::from_mins(1), reading))
    };
    readers.extend((0..100).map(read_from));
    // Three commit in turns, and what they deliver crosses.
    let commits = (0..3).map(|turn| {
        let (hub, room, log) = (hub.clone(), room.clone(), log.clone());
        tokio::spawn(async move {
            for rev in (1..=CHANGES).filter(|rev| rev % 3 == turn) {
                // So many may wait for their neighbour; with more, the store would have to help.
                while log.known_rev().unwrap() + 500 < rev {
                    tokio::task::yield_now().await;
                }
                let change = publication::Change::new(&room, &message(rev, rev));
                finish(hub.apply(&publication_of(&room, vec![change])).delivery).await;
                tokio::task::yield_now().await;
            }
        })
    });
    let commits: Vec<_> = commits.collect();
    // The others come while it goes on.
    for n in 100..150 {
        readers.push(read_from(n));
        tokio::task::yield_now().await;
    }
    for commit in commits {
        commit.await.unwrap();
    }
    for reader in readers {
        reader.await.unwrap().expect("all of it within a minute");
    }
    let pushes: u64 = peers.iter().map(|peer| peer.0.lock().unwrap().pushes).sum();
    assert!(pushes > CHANGES, "most of it was pushed, not pulled: {pushes}");
}

#[tokio::test]
async fn who_is_up_to_date_is_pushed_to_and_who_leaves_gets_nothing_more() {
    let room: RoomId = "r".parse().unwrap();
    let hub = Hub::default();
    let log = hub.room(&room);
    log.load(head(0, 0));
    let commit = |rev: u64| {
        let change = publication::Change::new(&room, &message(rev, rev));
        assert!(hub.apply(&publication_of(&room, vec![change])).delivery.is_none(), "one reader is served at once");
    };
    // This chance takes all of the first four pushes.
    let peer = Peer::new(3);
    let reader = Arc::new(Reader::of_connection(&caller("ann"), peer.clone()));
    let subscription = log.subscribe(&reader);
    commit(1);
    assert_eq!(peer.revs(), Vec::<u64>::new(), "who has not said where they are is only told that something moved");
    assert!(reader.take().0.contains(&room));
    subscription.move_to(Position { cursor: 1, joined_seq: 1 });
    subscription.go_live();
    commit(2);
    commit(3);
    assert_eq!(peer.revs(), [2, 3]);
    assert!(reader.take().0.is_empty(), "and its task was left alone");
    assert_eq!(subscription.pause().cursor, 3);
    commit(4);
    assert_eq!(peer.revs(), [2, 3], "whoever reads by themselves is not pushed to");
    subscription.go_live();
    commit(5);
    assert_eq!(peer.revs(), [2, 3], "nor who has missed something");
    drop(subscription);
    commit(6);
    assert_eq!(peer.revs(), [2, 3]);
}
