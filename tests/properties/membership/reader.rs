//! A reader who looks for what is not theirs, on every path there is.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::model::Model;
use crate::support::{Api, Random, Reply, Socket, each};

/// What one reader holds: a socket at one instance, if it is open, and how far they have read each room there.
pub(super) struct Reader {
    pub(super) who: &'static str,
    pub(super) socket: Option<Socket>,
    pub(super) subscribed: BTreeMap<&'static str, bool>,
    cursors: BTreeMap<&'static str, u64>,
}

impl Reader {
    pub(super) fn new(who: &'static str) -> Self {
        Self { who, socket: None, subscribed: BTreeMap::new(), cursors: BTreeMap::new() }
    }

    /// Takes what has come by the socket; all of it must be theirs to see by what has happened until now.
    pub(super) async fn take(&mut self, rooms: &[Model]) {
        let Some(socket) = &mut self.socket else { return };
        for frame in socket.settle().await {
            if frame["type"] == "meta" {
                check_list(self.who, rooms, &frame["rooms"]);
            }
            let Some(room) = rooms.iter().find(|room| frame["roomId"] == room.id) else { continue };
            let cursor = match frame["type"].as_str().unwrap() {
                "message" => {
                    let rev = number(&frame["message"], "rev");
                    check(self.who, room, std::slice::from_ref(&frame["message"]), rev, &frame);
                    rev
                }
                "messages" => {
                    let rev = number(&frame, "rev");
                    check(self.who, room, frame["messages"].as_array().unwrap(), rev, &frame);
                    rev
                }
                "removed" => {
                    self.subscribed.insert(room.id, false);
                    continue;
                }
                _ => continue,
            };
            self.cursors.insert(room.id, cursor);
        }
    }

    /// Follows a room, from the cursor if there is one and chance has it so, and else from the newest page.
    pub(super) async fn subscribe(&mut self, random: &mut Random, room: &Model, history: &str) {
        let Some(socket) = &mut self.socket else { return };
        let since = self.cursors.get(room.id).filter(|_| random.percent(60));
        let answer =
            socket.request(json!({ "type": "subscribe", "roomId": room.id, "since": since, "history": history })).await;
        let is_member = room.members.contains_key(self.who);
        assert_eq!(answer["type"] == "subscribed", is_member, "{} and {}: {answer}", self.who, room.id);
        if is_member {
            self.subscribed.insert(room.id, true);
        }
    }

    /// Tries a path by HTTP.
    pub(super) async fn look(&self, random: &mut Random, api: &Api, rooms: &[Model], room: &Model, history: &str) {
        let base = format!("/api/chat/rooms/{}", room.id);
        let seq = 1 + random.below(room.last_seq());
        let (size, since) = (1 + random.below(12), random.below(room.rev() + 1));
        match random.below(9) {
            0 | 1 => {
                let Some(page) = self.allowed(room, api.get(&format!("{base}/messages")).await) else { return };
                self.check_newest(room, &page, 10);
            }
            2 => {
                let Some(page) = self.allowed(room, api.get(&format!("{base}/messages?limit={size}")).await) else {
                    return;
                };
                self.check_newest(room, &page, size);
            }
            3 => self.check_page(room, api.get(&format!("{base}/messages?before={seq}&limit={size}")).await),
            4 => self.check_page(room, api.get(&format!("{base}/messages?after={seq}&limit={size}")).await),
            5 => self.check_page(room, api.get(&format!("{base}/messages?around={seq}&limit={size}")).await),
            6 => {
                let query = format!("since={since}&history={history}&limit={size}");
                let Some(page) = self.allowed(room, api.get(&format!("{base}/messages?{query}")).await) else { return };
                check(self.who, room, page["messages"].as_array().unwrap(), number(&page, "rev"), &page);
            }
            7 => {
                if let Some(meta) = self.allowed(room, api.get(&format!("{base}/meta")).await) {
                    assert!(room.was_member(self.who, number(&meta, "rev")), "{} sees {meta} of {room:?}", self.who);
                }
                check_list(self.who, rooms, &api.get("/api/chat/meta").await.ok(200)["rooms"]);
            }
            _ => {
                if let Some(shown) = self.allowed(room, api.get(&base).await) {
                    self.check_preview(room, &shown["room"]);
                }
                for list in ["/api/chat/rooms", "/api/chat/rooms?type=PUBLIC"] {
                    for shown in api.get(list).await.ok(200)["rooms"].as_array().unwrap() {
                        let of = rooms.iter().find(|room| shown["id"] == room.id).expect("a room of this test");
                        self.check_preview(of, shown);
                    }
                }
            }
        }
    }

    /// The answer, if it is none of refusal, which is only for those who are no member.
    fn allowed(&self, room: &Model, reply: Reply) -> Option<Value> {
        let is_member = room.members.contains_key(self.who);
        match reply.status {
            200 => Some(reply.json),
            403 | 404 if !is_member => None,
            _ => panic!("{} who is {} in {}: {reply}", self.who, if is_member { "" } else { "not " }, room.id),
        }
    }

    /// The newest page is what they see of the room at its `rev`, no more and no less.
    fn check_newest(&self, room: &Model, page: &Value, size: u64) {
        let rev = number(page, "rev");
        let sight = room.sight(self.who, rev);
        let (first, last) = sight.unwrap_or_else(|| panic!("{} was not there: {page} of {room:?}", self.who));
        let expected: Vec<Value> = (first.max((last + 1).saturating_sub(size))..=last).map(Value::from).collect();
        assert_eq!(each(&page["messages"], "seq"), expected, "{} at {rev} of {room:?}", self.who);
    }

    /// A page by place is within what they see of the room at its `rev`.
    fn check_page(&self, room: &Model, reply: Reply) {
        let Some(page) = self.allowed(room, reply) else { return };
        let sight = room.sight(self.who, number(&page, "rev"));
        let (first, last) = sight.unwrap_or_else(|| panic!("{} was not there: {page} of {room:?}", self.who));
        for message in page["messages"].as_array().unwrap() {
            assert!((first..=last).contains(&number(message, "seq")), "{} is shown {page} of {room:?}", self.who);
        }
    }

    fn check_preview(&self, room: &Model, shown: &Value) {
        let rev = number(shown, "rev");
        let sight = room.sight(self.who, rev);
        assert_eq!(shown["me"].is_object(), sight.is_some(), "{}: {shown} of {room:?}", self.who);
        match sight {
            Some((_, last)) => assert_eq!(shown["lastMessage"]["seq"], last, "{}: {shown} of {room:?}", self.who),
            None => assert_eq!((&shown["lastMessage"], &shown["members"]), (&Value::Null, &json!([])), "{shown}"),
        }
    }
}

/// Each message is theirs to see in what is complete up to `rev`.
fn check(who: &str, room: &Model, messages: &[Value], rev: u64, shown: &Value) {
    for message in messages {
        let (seq, own) = (number(message, "seq"), number(message, "rev"));
        assert!(own <= rev, "{shown} holds a later change");
        assert!(room.may_see(who, seq, rev), "{who} is shown {seq} as of {rev} in {shown} of {room:?}");
    }
}

/// A list of rooms shows them as they were while the reader was in them.
fn check_list(who: &str, rooms: &[Model], list: &Value) {
    for shown in list.as_array().unwrap() {
        let room = rooms.iter().find(|room| shown["roomId"] == room.id).expect("a room of this test");
        assert!(room.was_member(who, number(shown, "rev")), "{who}'s list shows {shown} of {room:?}");
    }
}

fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("no {field} in {value}"))
}
