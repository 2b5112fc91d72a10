//! Who writes: by WebSocket and HTTP, to any instance, and again with the same id until there is an answer. One in ten
//! messages is sent once more although it was answered, one in twenty is left without waiting for the answer.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::{Phase, Place};
use crate::support::{CLIENT_PATIENCE, Wire};

/// Between two attempts at the same message.
const AGAIN: Duration = Duration::from_millis(50);

/// A message, and what its writer knows of it.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) room: String,
    pub(super) id: String,
    pub(super) content: String,
    /// Its place, if it was acknowledged.
    pub(super) seq: Option<u64>,
    /// When the call that was acknowledged began and ended.
    pub(super) asked: Instant,
    pub(super) told: Instant,
    pub(super) failures: u64,
}

pub(super) struct Writer {
    place: Place,
    rooms: Vec<String>,
    wires: HashMap<usize, Wire>,
}

impl Writer {
    pub(super) fn new(place: Place, rooms: Vec<String>) -> Self {
        Self { place, rooms, wires: HashMap::new() }
    }

    pub(super) async fn run(mut self) -> Vec<Sent> {
        let mut all = Vec::new();
        while self.place.phase() == Phase::Running {
            let message = self.message(all.len()).await;
            all.push(message);
            let pause = self.place.shape.pause;
            self.place.pause(pause).await;
        }
        all
    }

    async fn message(&mut self, n: usize) -> Sent {
        let room = self.rooms[self.place.random.index(self.rooms.len())].clone();
        let content = format!("{} says {n}", self.place.user);
        let now = Instant::now();
        let id = self.place.random.id();
        let mut sent = Sent { room, id, content, seq: None, asked: now, told: now, failures: 0 };
        if self.place.random.percent(5) {
            self.hang_up(&sent).await;
            if self.place.random.percent(50) {
                return sent; // nobody will ever say what became of it
            }
        }
        loop {
            let instance = self.place.instance();
            sent.asked = Instant::now();
            if self.place.shape.twice {
                let other = (instance + 1) % self.place.addresses.len();
                let (first, second) = tokio::join!(self.by_http(instance, &sent), self.by_http(other, &sent));
                assert!(
                    first.is_none() || second.is_none() || first == second,
                    "{sent:?}: at {first:?} and {second:?}"
                );
                sent.seq = first.or(second);
            } else {
                sent.seq = self.attempt(instance, &sent).await;
            }
            if sent.seq.is_some() {
                sent.told = Instant::now();
                break;
            }
            sent.failures += 1;
            self.place.pause(AGAIN).await;
        }
        if self.place.random.percent(10) {
            let instance = self.place.instance();
            let again = self.attempt(instance, &sent).await;
            let same = again.is_none() || again == sent.seq;
            assert!(same || self.place.shape.new_history, "{sent:?} came to another place when repeated: {again:?}");
        }
        if self.place.random.percent(5) {
            let instance = self.place.instance();
            let path = format!("/api/chat/rooms/{}/messages/{}", sent.room, sent.id);
            let edit = json!({ "content": format!("{}, and so be it", sent.content) });
            // Whether it was edited or not, all are to see the same.
            self.place.apis[instance].attempt(Method::PATCH, &path, &[], Some(&edit), CLIENT_PATIENCE).await;
        }
        sent
    }

    async fn attempt(&mut self, instance: usize, message: &Sent) -> Option<u64> {
        if self.place.random.percent(50) {
            self.by_http(instance, message).await
        } else {
            self.by_socket(instance, message).await
        }
    }

    async fn by_http(&self, instance: usize, message: &Sent) -> Option<u64> {
        let path = format!("/api/chat/rooms/{}/messages", message.room);
        let body = json!({ "id": message.id, "content": message.content });
        let api = &self.place.apis[instance];
        let reply = api.attempt(Method::POST, &path, &[], Some(&body), CLIENT_PATIENCE).await?;
        match reply.status {
            200 | 201 => Some(place(&reply.json["message"], message)),
            503 => {
                assert!(!reply.header("retry-after").is_empty(), "when to come back is not said: {reply}");
                None
            }
            _ => panic!("{message:?}: {reply}"),
        }
    }

    async fn by_socket(&mut self, instance: usize, message: &Sent) -> Option<u64> {
        let mut wire = match self.wires.remove(&instance) {
            Some(wire) => wire,
            None => Wire::open(self.place.addresses[instance], &self.place.user).await.ok()?.0,
        };
        let frame = json!({ "type": "send", "id": message.id, "roomId": message.room,
            "message": { "id": message.id, "content": message.content } });
        let answer = wire.ask(&frame, |_| {}).await.ok()?; // a socket that broke is not kept
        self.wires.insert(instance, wire);
        if answer["type"] == "ok" {
            return Some(place(&answer["message"], message));
        }
        assert_eq!(answer["code"], "unavailable", "{message:?}: {answer}");
        None
    }

    /// Sends, and is gone before there can be an answer.
    async fn hang_up(&mut self, message: &Sent) {
        let instance = self.place.instance();
        let soon = Duration::from_millis(self.place.random.below(20));
        if self.place.random.percent(50) {
            let path = format!("/api/chat/rooms/{}/messages", message.room);
            let body = json!({ "id": message.id, "content": message.content });
            self.place.apis[instance].attempt(Method::POST, &path, &[], Some(&body), soon).await;
        } else if let Ok((mut wire, _)) = Wire::open(self.place.addresses[instance], &self.place.user).await {
            let frame = json!({ "type": "send", "roomId": message.room,
                "message": { "id": message.id, "content": message.content } });
            drop(wire.send(&frame).await);
        }
    }
}

fn place(answer: &Value, message: &Sent) -> u64 {
    assert_eq!(answer["id"], message.id, "another message was acknowledged");
    answer["seq"].as_u64().expect("a message has a seq")
}
