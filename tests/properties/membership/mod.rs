//! Nobody is shown a message that their membership and the room's `historyFor` do not allow: people come, go, are added,
//! removed, banned and let in again, write and edit, the application sets members and where the history begins, in rooms of every
//! kind; and after each step somebody looks, on every path, at every instance there is.

mod model;
mod reader;

use reqwest::Method;
use serde_json::{Value, json};

use model::{Model, Role, Try};
use reader::Reader;

use crate::support::{Api, Random, Reply, TestServer, application_token, eventually, fresh_id, seed};

const PEOPLE: [&str; 5] = ["ann", "ben", "cara", "dan", "eve"];
const STEPS: usize = 300;
/// Looks after each step.
const LOOKS: usize = 4;

/// A message somebody wrote, for edits.
struct Said {
    room: usize,
    by: &'static str,
    id: String,
}

struct World {
    random: Random,
    servers: Vec<TestServer>,
    application: Api,
    history: String,
    rooms: Vec<Model>,
    readers: Vec<Reader>,
    said: Vec<Said>,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_sequence_of_comings_goings_bans_and_sends_shows_anyone_what_is_not_theirs() {
    let mut world = World::new().await;
    for who in PEOPLE {
        world.connect(who).await;
        for room in 0..world.rooms.len() {
            world.follow(who, room).await;
        }
    }
    for step in 0..STEPS {
        // Shown if the test fails.
        eprintln!("{step}: {}", world.step().await);
        world.look().await;
    }
}

impl World {
    async fn new() -> Self {
        let servers = TestServer::several().await;
        let people = servers[0].people(PEOPLE).await;
        let application = servers[0].anonymous().with_token(&application_token());
        let mut rooms = Vec::new();
        for (id, kind, all, members) in [
            ("group-all", "GROUP", true, &PEOPLE[..3]),
            ("group-joined", "GROUP", false, &PEOPLE[..3]),
            ("public-all", "PUBLIC", true, &PEOPLE[..2]),
            ("public-joined", "PUBLIC", false, &PEOPLE[..2]),
            ("direct", "DIRECT", false, &PEOPLE[..2]),
        ] {
            let history_for = if all { "all" } else { "joined" };
            let body = json!({ "id": id, "type": kind, "historyFor": history_for, "memberIds": members });
            people[0].post("/api/chat/rooms", body).await.ok(201);
            rooms.push(Model::new(id, kind, all, members));
        }
        let page = people[0].get("/api/chat/rooms/direct/messages").await.ok(200);
        let history = page["history"].as_str().unwrap().to_owned();
        let readers = PEOPLE.map(Reader::new).into_iter().collect();
        Self { random: Random::new(seed(), 0), servers, application, history, rooms, readers, said: Vec::new() }
    }

    fn person(&mut self) -> &'static str {
        PEOPLE[self.random.index(PEOPLE.len())]
    }

    /// Anyone but the owner, who stays so that there is one.
    fn other(&mut self) -> &'static str {
        PEOPLE[1 + self.random.index(PEOPLE.len() - 1)]
    }

    /// Something happens at some instance; returns what, for the report.
    async fn step(&mut self) -> String {
        let at = self.random.index(self.servers.len());
        let room = self.random.index(self.rooms.len());
        let (by, whom) = (self.person(), self.other());
        let direct = self.rooms[room].kind == "DIRECT";
        let what = match self.random.below(30) {
            0..=2 => self.attempt(at, room, by, Try::Put, whom).await,
            3..=6 => self.attempt(at, room, whom, Try::Put, whom).await,
            7 => self.attempt(at, room, by, Try::Remove, whom).await,
            8 => self.attempt(at, room, whom, Try::Remove, whom).await,
            9 => self.attempt(at, room, by, Try::Ban, whom).await,
            10..=12 => self.send(at, room, by).await,
            13..=17 => self.edit(at).await,
            18 | 19 if !direct => self.administer(at, room, Try::Put, whom).await,
            20 if !direct => self.administer(at, room, Try::Remove, whom).await,
            21 if !direct => self.administer(at, room, Try::Ban, whom).await,
            22 if !direct => self.set_members(at, room).await,
            23 => self.set_history(at, room).await,
            24 => self.connect(whom).await,
            25..=27 => self.follow(by, room).await,
            _ => self.post(at, room, by).await,
        };
        for room in &mut self.rooms {
            let path = format!(
                "/api/admin/rooms/{}/messages?since={}&history={}&limit=100",
                room.id,
                room.rev(),
                self.history
            );
            room.take_in(&self.application.get(&path).await.ok(200)["messages"]);
        }
        // Whoever has come follows the room soon: what is not theirs would come by itself.
        if self.random.percent(50) {
            self.follow(whom, room).await;
        }
        format!("at {at}, {what}")
    }

    /// Whoever has a socket takes what came by it; then some look around. Whoever is not a member is soon told so
    /// everywhere.
    async fn look(&mut self) {
        for reader in &mut self.readers {
            reader.take(&self.rooms).await;
        }
        for _ in 0..LOOKS {
            let reader = &self.readers[self.random.index(PEOPLE.len())];
            let room = &self.rooms[self.random.index(self.rooms.len())];
            let api = self.servers[self.random.index(self.servers.len())].api(reader.who);
            reader.look(&mut self.random, &api, &self.rooms, room, &self.history).await;
        }
    }

    fn user(&self, at: usize, who: &str) -> Api {
        self.servers[at].api(who)
    }

    fn admin(&self, at: usize) -> Api {
        self.servers[at].anonymous().with_token(&application_token())
    }

    /// Fails unless the answer is what the rules say.
    #[track_caller]
    fn judge(&self, room: usize, allowed: bool, reply: &Reply) {
        let refused = [403, 404].contains(&reply.status);
        assert!(
            if allowed { reply.status < 300 } else { refused },
            "allowed: {allowed}; {reply}; {:?}",
            self.rooms[room]
        );
    }

    async fn attempt(&mut self, at: usize, room: usize, by: &'static str, what: Try, whom: &'static str) -> String {
        let path = format!("/api/chat/rooms/{}/members/{whom}", self.rooms[room].id);
        let reply = change(&self.user(at, by), &path, what).await;
        let allowed = self.rooms[room].allows(by, what, whom);
        self.judge(room, allowed, &reply);
        if allowed {
            self.rooms[room].carry_out(what, whom);
            self.gone(room, whom).await;
        }
        format!("{by}: {what:?} {whom} in {}: {allowed}", self.rooms[room].id)
    }

    async fn administer(&mut self, at: usize, room: usize, what: Try, whom: &'static str) -> String {
        let path = format!("/api/admin/rooms/{}/members/{whom}", self.rooms[room].id);
        let reply = change(&self.admin(at), &path, what).await;
        self.judge(room, true, &reply);
        self.rooms[room].carry_out(what, whom);
        self.gone(room, whom).await;
        format!("application: {what:?} {whom} in {}", self.rooms[room].id)
    }

    /// Everyone the application wants, and nobody else.
    async fn set_members(&mut self, at: usize, room: usize) -> String {
        let mut members = vec![json!({ "userId": "ann" })];
        let old = self.rooms[room].members.clone();
        for who in &PEOPLE[1..] {
            if self.random.percent(50) {
                let (role, name) = match self.random.below(3) {
                    0 => (Some(Role::Moderator), json!("MODERATOR")),
                    1 => (Some(Role::Member), json!("MEMBER")),
                    _ => (None, Value::Null),
                };
                members.push(json!({ "userId": who, "role": name }));
                self.rooms[room].carry_out(Try::Put, who);
                if let Some(role) = role {
                    self.rooms[room].members.insert(who, role);
                }
            } else {
                self.rooms[room].carry_out(Try::Remove, who);
            }
        }
        let path = format!("/api/admin/rooms/{}", self.rooms[room].id);
        let reply = self.admin(at).put(&path, json!({ "members": members })).await;
        self.judge(room, true, &reply);
        for who in old.keys() {
            self.gone(room, who).await;
        }
        format!("application: sets {members:?} in {}", self.rooms[room].id)
    }

    async fn set_history(&mut self, at: usize, room: usize) -> String {
        let history_for = if self.random.percent(50) { "all" } else { "joined" };
        let path = format!("/api/admin/rooms/{}", self.rooms[room].id);
        self.admin(at).put(&path, json!({ "historyFor": history_for })).await.ok(200);
        format!("application: history for {history_for} in {}", self.rooms[room].id)
    }

    async fn send(&mut self, at: usize, room: usize, by: &'static str) -> String {
        let id = fresh_id();
        let path = format!("/api/chat/rooms/{}/messages", self.rooms[room].id);
        let reply = self.user(at, by).post(&path, json!({ "id": id, "content": format!("by {by}") })).await;
        let allowed = self.rooms[room].members.contains_key(by);
        self.judge(room, allowed, &reply);
        if allowed {
            self.said.push(Said { room, by, id });
        }
        format!("{by}: sends in {}: {allowed}", self.rooms[room].id)
    }

    async fn post(&mut self, at: usize, room: usize, member: &'static str) -> String {
        let path = format!("/api/admin/rooms/{}/messages", self.rooms[room].id);
        let member = if self.random.percent(50) { Some(member) } else { None };
        let allowed = member.is_none_or(|member| self.rooms[room].members.contains_key(member));
        let reply = self.admin(at).post(&path, json!({ "content": "by the application", "as": member })).await;
        self.judge(room, allowed, &reply);
        format!("application: posts as {member:?} in {}", self.rooms[room].id)
    }

    /// Its author changes a message that may be older than the membership of some: it comes with a new `rev`.
    async fn edit(&mut self, at: usize) -> String {
        if self.said.is_empty() {
            return "nothing to edit".to_owned();
        }
        let which = self.random.index(self.said.len());
        let Said { room, by, id } = &self.said[which];
        let path = format!("/api/chat/rooms/{}/messages/{id}", self.rooms[*room].id);
        let reply = self.user(at, by).patch(&path, json!({ "content": fresh_id() })).await;
        // One's own may lie before one's latest joining, and then is out of sight.
        if !self.rooms[*room].members.contains_key(by) {
            self.judge(*room, false, &reply);
        }
        format!("{by}: edits in {}: {}", self.rooms[*room].id, reply.status)
    }

    /// Opens a socket at some instance, or hangs up.
    async fn connect(&mut self, who: &'static str) -> String {
        let at = self.random.index(self.servers.len());
        let reader = self.readers.iter_mut().find(|reader| reader.who == who).unwrap();
        reader.subscribed.clear();
        if let Some(socket) = reader.socket.take() {
            socket.close().await;
        } else {
            let mut socket = self.servers[at].socket(who).await;
            socket.done(json!({ "type": "watch" })).await;
            reader.socket = Some(socket);
        }
        format!("{who}: connected: {}", reader.socket.is_some())
    }

    async fn follow(&mut self, who: &'static str, room: usize) -> String {
        let reader = self.readers.iter_mut().find(|reader| reader.who == who).unwrap();
        let room = &self.rooms[room];
        if reader.subscribed.get(room.id) != Some(&true) {
            reader.subscribe(&mut self.random, room, &self.history).await;
        }
        format!("{who}: follows {}", room.id)
    }

    /// Whoever is no member any more is told so by every instance, soon.
    async fn gone(&self, room: usize, who: &'static str) {
        if self.rooms[room].members.contains_key(who) {
            return;
        }
        for at in 0..self.servers.len() {
            let (api, path) = (self.user(at, who), format!("/api/chat/rooms/{}/messages", self.rooms[room].id));
            eventually("who is gone is refused", || async {
                ([403, 404].contains(&api.get(&path).await.status)).then_some(())
            })
            .await;
        }
    }
}

async fn change(api: &Api, path: &str, what: Try) -> Reply {
    match what {
        Try::Put => api.put(path, json!({})).await,
        Try::Remove => api.delete(path).await,
        Try::Ban => api.call(Method::DELETE, &format!("{path}?ban=true"), &[], None).await,
    }
}
