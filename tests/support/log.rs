//! A client's copy of a room, kept exactly by the contract: a change is applied by `id` unless it is older than
//! what is held, and only pages and live frames move the cursor. Whatever breaks the contract panics here, so that
//! every test that keeps a log also checks it.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::Api;

/// What one client holds of one room.
#[derive(Debug)]
pub(crate) struct Log {
    room: String,
    by_seq: BTreeMap<u64, Value>,
    seq_of: HashMap<String, u64>,
    /// Complete up to here; none before the first page.
    pub(crate) cursor: Option<u64>,
    /// The history the cursor belongs to.
    pub(crate) history: Option<String>,
    /// The first message that the service keeps.
    pub(crate) oldest: u64,
    /// The first message of the first page.
    begun: Option<u64>,
    /// Each message's first arrival, in order.
    pub(crate) arrivals: Vec<u64>,
}

impl Log {
    pub(crate) fn new(room: &str) -> Self {
        Self {
            room: room.to_owned(),
            by_seq: BTreeMap::new(),
            seq_of: HashMap::new(),
            cursor: None,
            history: None,
            oldest: 1,
            begun: None,
            arrivals: Vec::new(),
        }
    }

    /// Applies a page of `GET …/messages` that moves the cursor: the newest, or one by `since`.
    pub(crate) fn page(&mut self, page: &Value) {
        self.same_history(page);
        self.begins_at(page);
        self.rows(&page["messages"]);
        self.complete_to(page["rev"].as_u64().expect("a page has a rev"));
    }

    /// Applies a frame of the socket; those that do not concern this room's log change nothing.
    pub(crate) fn frame(&mut self, frame: &Value) {
        if frame["roomId"] != self.room.as_str() {
            return;
        }
        match frame["type"].as_str().unwrap_or_default() {
            "subscribed" => {
                if frame["status"] == "reset" {
                    *self = Self::new(&self.room);
                }
                self.same_history(frame);
                self.begins_at(frame);
            }
            "messages" => {
                self.begins_at(frame);
                self.rows(&frame["messages"]);
                self.complete_to(frame["rev"].as_u64().expect("messages has a rev"));
            }
            "message" => {
                let rev = frame["message"]["rev"].as_u64().expect("a message has a rev");
                let cursor = self.cursor.expect("a live frame comes after the page that precedes it");
                assert_eq!(rev, cursor + 1, "a live frame is the next change, got {frame}");
                self.apply(&frame["message"]);
                self.cursor = Some(rev);
            }
            _ => {}
        }
    }

    /// One list holds one history: another one comes with a reset, or to a client that has dropped what it held.
    fn same_history(&mut self, from: &Value) {
        let named = from["history"].as_str().expect("what sets a cursor names its history");
        let held = self.history.get_or_insert_with(|| named.to_owned());
        assert_eq!(held, named, "a list of two histories");
    }

    /// Drops what the service keeps no longer.
    fn begins_at(&mut self, from: &Value) {
        self.oldest = self.oldest.max(from["oldestSeq"].as_u64().unwrap_or(1));
        self.by_seq = self.by_seq.split_off(&self.oldest);
    }

    /// Fails if there is a hole in what it holds from the first page on, which is complete. What lies before that, and came
    /// because it changed, is forgotten.
    pub(crate) fn assert_whole(&mut self) {
        let first = self.begun.unwrap_or(1).max(self.oldest);
        self.by_seq = self.by_seq.split_off(&first);
        let seqs: Vec<u64> = self.by_seq.keys().copied().collect();
        let dense: Vec<_> = (first..first + seqs.len() as u64).collect();
        assert_eq!(seqs, dense, "a hole that nobody told of, from {first} on");
    }

    /// Applies all that a socket received.
    pub(crate) fn frames<'a>(&mut self, frames: impl IntoIterator<Item = &'a Value>) {
        frames.into_iter().for_each(|frame| self.frame(frame));
    }

    fn rows(&mut self, rows: &Value) {
        let rows = rows.as_array().expect("messages is an array");
        if self.cursor.is_none() {
            self.begun = rows.iter().filter_map(|row| row["seq"].as_u64()).min();
        }
        for row in rows {
            self.apply(row);
        }
    }

    fn complete_to(&mut self, rev: u64) {
        assert!(self.cursor.is_none_or(|cursor| cursor <= rev), "the cursor went back to {rev} in {self:?}");
        self.cursor = Some(rev);
    }

    fn apply(&mut self, message: &Value) {
        assert_eq!(message["roomId"], self.room.as_str(), "a message of another room");
        if message["seq"].as_u64() < Some(self.oldest) {
            return;
        }
        let id = message["id"].as_str().expect("a message has an id");
        let seq = message["seq"].as_u64().expect("a message has a seq");
        assert_eq!(*self.seq_of.entry(id.to_owned()).or_insert(seq), seq, "{id} changed its place");
        match self.by_seq.get(&seq) {
            Some(held) => {
                assert_eq!(held["id"], id, "two messages at {seq}");
                if held["rev"].as_u64() > message["rev"].as_u64() {
                    return;
                }
            }
            None => self.arrivals.push(seq),
        }
        self.by_seq.insert(seq, message.clone());
    }

    /// The messages held, by place.
    pub(crate) fn messages(&self) -> impl Iterator<Item = &Value> {
        self.by_seq.values()
    }

    /// Their texts, by place, those of the system left out.
    pub(crate) fn texts(&self) -> Vec<&str> {
        let written = self.messages().filter(|message| message["contentType"] != "SYSTEM");
        written.map(|message| message["content"].as_str().expect("content is text")).collect()
    }

    /// Fails unless this copy, from the first message it holds, is what the server holds, message by message.
    pub(crate) async fn assert_equals_server(&self, api: &Api) {
        let from = *self.by_seq.keys().next().expect("the log holds something");
        let mut theirs = BTreeMap::new();
        let mut before = None;
        loop {
            let query = before.map_or(String::new(), |before: u64| format!("&before={before}"));
            // An instance may be one publication behind what was acknowledged; its page says so, and one asks again.
            let page = super::eventually("the page reaches what the copy holds", || async {
                let page = api.get(&format!("/api/chat/rooms/{}/messages?limit=100{query}", self.room)).await.ok(200);
                (page["rev"].as_u64() >= self.cursor).then_some(page)
            })
            .await;
            for message in page["messages"].as_array().expect("messages is an array") {
                theirs.insert(message["seq"].as_u64().unwrap(), message.clone());
            }
            match page["cursor"].as_u64() {
                Some(cursor) if cursor > from => before = Some(cursor),
                _ => break,
            }
        }
        theirs.retain(|seq, _| *seq >= from);
        let seqs: Vec<_> = theirs.keys().copied().collect();
        let dense: Vec<_> = (from..from + seqs.len() as u64).collect();
        assert_eq!(seqs, dense, "the server's own log has holes");
        for (seq, message) in &theirs {
            assert_eq!(self.by_seq.get(seq), Some(message), "the copy differs at {seq}");
        }
        assert_eq!(self.by_seq.len(), theirs.len(), "the copy holds what the server does not");
    }
}
