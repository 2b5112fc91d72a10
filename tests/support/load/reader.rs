//! Who reads: by WebSocket, by long poll and by meta poll, a while here and a while there, each time from the cursor
//! held. Whatever breaks the contract panics, in `Log` or here; a connection that breaks is a reason to go elsewhere.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::{Counts, Phase, Place};
use crate::support::{CLIENT_PATIENCE, End, Log, Reply, Wire};

/// Between two polls of the kind that does not wait.
const POLL: Duration = Duration::from_millis(100);
/// After something failed.
const AGAIN: Duration = Duration::from_millis(50);

pub(super) struct Reader {
    place: Place,
    room: String,
    log: Log,
    counts: Counts,
    last: usize,
}

impl Reader {
    pub(super) fn new(place: Place, room: &str) -> Self {
        Self { place, room: room.to_owned(), log: Log::new(room), counts: Counts::default(), last: 0 }
    }

    pub(super) async fn run(mut self) -> (Log, Counts) {
        while !self.is_there() {
            self.counts.hops += 1;
            // Towards the end each stays where it is, so that every instance has to bring the end by itself.
            let instance = if self.place.phase() == Phase::Running { self.place.instance() } else { self.last };
            self.last = instance;
            let end = Instant::now() + Duration::from_millis(200 + self.place.random.below(1500));
            let went_well = match self.place.random.below(3) {
                0 => self.by_socket(instance, end).await,
                1 => self.by_poll(instance, end, 2).await,
                _ => self.by_poll(instance, end, 0).await,
            };
            if went_well.is_none() {
                self.counts.failures += 1;
                self.place.pause(AGAIN).await;
            }
        }
        (self.log, self.counts)
    }

    /// Whether it holds all there will be.
    fn is_there(&self) -> bool {
        let Phase::Until(heads) = self.place.phase() else { return false };
        let head = heads[&self.room];
        let cursor = self.log.cursor;
        assert!(self.place.shape.new_history || cursor <= Some(head), "{cursor:?} is beyond the head {head}");
        cursor == Some(head)
    }

    /// The history is another one: what is held means nothing any more.
    fn begin_anew(&mut self) {
        assert!(self.place.shape.new_history, "{} was told of another history", self.place.user);
        self.counts.resets += 1;
        self.log = Log::new(&self.room);
    }

    async fn by_socket(&mut self, instance: usize, end: Instant) -> Option<()> {
        let (mut wire, _) = Wire::open(self.place.addresses[instance], &self.place.user).await.ok()?;
        let mut subscribe = json!({ "type": "subscribe", "id": 1, "roomId": self.room, "limit": 100 });
        if let (Some(cursor), Some(history)) = (self.log.cursor, &self.log.history) {
            subscribe["since"] = json!(cursor);
            subscribe["history"] = json!(history);
        }
        let answer = wire.ask(&subscribe, |_| {}).await.ok()?;
        if answer["type"] == "error" {
            assert_eq!(answer["code"], "unavailable", "{answer}");
            return None;
        }
        if answer["status"] == "reset" {
            self.begin_anew();
        }
        self.log.frame(&answer);
        while Instant::now() < end && !self.is_there() {
            match wire.next((end - Instant::now()).min(POLL)).await {
                Ok(frame) => {
                    self.counts.frames += 1;
                    assert!(frame["type"] != "error" && frame["type"] != "removed", "{frame}");
                    self.log.frame(&frame);
                }
                Err(End::Silence) => {}
                Err(End::Closed(code, reason)) => {
                    let back = (4100..4300).contains(&code);
                    assert!(back, "{}: closed for good: {code} {reason}", self.place.user);
                    return None;
                }
                Err(_) => return None,
            }
        }
        Some(())
    }

    /// Polls, each time for at most `wait` seconds.
    async fn by_poll(&mut self, instance: usize, end: Instant, wait: u64) -> Option<()> {
        let mut tag = String::new();
        if self.log.cursor.is_none() {
            let page = self.get(instance, "messages?limit=100", "").await?;
            self.log.page(&self.well(page)?);
        }
        while Instant::now() < end && !self.is_there() {
            let meta = self.get(instance, &format!("meta?wait={wait}"), &tag).await?;
            if meta.status == 304 {
                assert!(!tag.is_empty(), "nothing was known that could be unchanged");
                self.place.pause(POLL).await;
                continue;
            }
            meta.header("etag").clone_into(&mut tag);
            let meta = self.well(meta)?;
            if self.log.history.as_deref() != meta["history"].as_str() {
                self.begin_anew();
                return Some(());
            }
            let told = meta["rev"].as_u64().expect("a meta has a rev");
            while self.log.cursor < Some(told) {
                self.sync(instance).await?;
            }
            if wait == 0 {
                self.place.pause(POLL).await;
            }
        }
        Some(())
    }

    /// One page from the cursor.
    async fn sync(&mut self, instance: usize) -> Option<()> {
        let (cursor, history) = (self.log.cursor.expect("a cursor"), self.log.history.clone().expect("a history"));
        let reply = self.get(instance, &format!("messages?limit=100&since={cursor}&history={history}"), "").await?;
        if reply.status == 409 {
            assert_eq!(reply.json["code"], "history_changed", "{reply}");
            self.begin_anew();
            return None;
        }
        let page = self.well(reply)?;
        self.counts.pages += 1;
        self.log.page(&page);
        Some(())
    }

    async fn get(&self, instance: usize, path: &str, tag: &str) -> Option<Reply> {
        let path = format!("/api/chat/rooms/{}/{path}", self.room);
        let headers: &[(&str, &str)] = if tag.is_empty() { &[] } else { &[("if-none-match", tag)] };
        self.place.apis[instance].attempt(Method::GET, &path, headers, None, CLIENT_PATIENCE).await
    }

    /// The body of a good answer; none if it is one that says to come back.
    fn well(&self, reply: Reply) -> Option<Value> {
        assert!(matches!(reply.status, 200 | 503), "{}: {reply}", self.place.user);
        (reply.status == 200).then_some(reply.json)
    }
}
