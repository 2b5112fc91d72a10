//! Daily quotas: counted exactly, whatever comes at once and by whichever way, and only for what people wrote.

use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::task::JoinSet;

use super::{application, messages, word_list, written};
use crate::support::{Api, Instance, TestServer, database_url, fresh_id, make_room, meta, say};

/// Makes a quota, and lets these rooms name it.
async fn limit(admin: &Api, name: &str, per_day: u32, rooms: &[&str]) {
    let quota = json!({ "perDay": per_day, "timeZone": "Europe/Berlin" });
    admin.put(&format!("/api/admin/quotas/{name}"), quota).await.ok(200);
    for room in rooms {
        let set = admin.put(&format!("/api/admin/rooms/{room}"), json!({ "quota": name })).await.ok(200);
        assert_eq!(set["room"]["quota"], name);
    }
}

/// The same as a statement for what serves no admin side of its own.
fn draft() -> Value {
    json!({ "id": fresh_id(), "content": "hello" })
}

#[track_caller]
fn assert_exceeded(problem: &Value, used: u64, limit: u64) {
    assert_eq!((&problem["used"], &problem["limit"]), (&json!(used), &json!(limit)), "{problem}");
    let resets_at = problem["resetsAt"].as_str().unwrap();
    // Midnight in Berlin is 22 or 23 o'clock in Greenwich.
    assert!(resets_at.ends_with("T22:00:00.000000Z") || resets_at.ends_with("T23:00:00.000000Z"), "{resets_at}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_64_sends_at_once_a_quota_of_10_lets_exactly_10_through() {
    let server = TestServer::start().await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    let rooms = ["a", "b", "c", "d"];
    for room in rooms {
        make_room(&ben, room, "GROUP", &["ann"]).await;
    }
    make_room(&ben, "free", "GROUP", &["ann"]).await;
    let admin = application(&server);
    limit(&admin, "one", 10, &rooms[..1]).await;
    limit(&admin, "several", 10, &rooms[1..]).await;
    for rooms in [&rooms[..1], &rooms[1..]] {
        let mut sends = JoinSet::new();
        for n in 0..64 {
            let (ann, room) = (ann.clone(), rooms[n % rooms.len()]);
            let socket = if n % 2 == 0 { Some(server.socket("ann").await) } else { None };
            sends.spawn(async move {
                let Some(mut socket) = socket else {
                    let reply = ann.post(&messages(room), draft()).await;
                    return if reply.status == 201 { None } else { Some(reply.problem(403, "quota_exceeded")) };
                };
                let answer = socket.request(json!({ "type": "send", "roomId": room, "message": draft() })).await;
                (answer["type"] == "error").then(|| {
                    assert_eq!(answer["code"], "quota_exceeded", "{answer}");
                    answer
                })
            });
        }
        let refused: Vec<Value> = sends.join_all().await.into_iter().flatten().collect();
        assert_eq!(refused.len(), 54);
        for problem in &refused {
            assert_exceeded(problem, 10, 10);
        }
        let mut stored = 0;
        for room in rooms {
            let found = written(&ann, room).await;
            let last = meta(&ann, room).await["lastSeq"].as_u64().unwrap();
            assert_eq!(last, 1 + found.len() as u64, "what was refused left a hole in {room}");
            stored += found.len();
        }
        assert_eq!(stored, 10);
    }
    say(&ben, "a", "others have their own").await;
    say(&ann, "free", "other rooms do not count").await;
}

#[tokio::test]
async fn repeats_and_refusals_are_free_and_so_is_what_no_person_writes() {
    let (_folder, path) = word_list("reject: damn\nflag: odd\n");
    let server = TestServer::with(&["--moderation-words-file", &path]).await;
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    let admin = application(&server);
    limit(&admin, "daily", 3, &["garden"]).await;
    let used = async || meta(&ann, "garden").await["quota"]["used"].clone();
    let first = draft();
    ann.post(&messages("garden"), first.clone()).await.ok(201);
    for _ in 0..3 {
        ann.post(&messages("garden"), first.clone()).await.ok(200);
    }
    assert_eq!(used().await, 1);
    ann.post(&messages("garden"), json!({ "content": "damn" })).await.problem(422, "content_rejected");
    ann.post(&messages("garden"), json!({ "content": "x", "replyTo": "nothing" })).await.problem(400, "invalid");
    ann.post(&messages("garden"), json!({ "id": first["id"], "content": "x" }))
        .await
        .problem(409, "message_id_conflict");
    ann.patch("/api/chat/rooms/garden", json!({ "title": "Garden" })).await.ok(200);
    for member in [Value::Null, json!("ann")] {
        let post = json!({ "content": "from the application", "as": member });
        admin.post("/api/admin/rooms/garden/messages", post).await.ok(201);
    }
    let path = format!("{}/{}", messages("garden"), first["id"].as_str().unwrap());
    ann.patch(&path, json!({ "content": "edited" })).await.ok(200);
    assert_eq!(used().await, 1);
    say(&ann, "garden", "odd, but written").await;
    ann.delete(&path).await.ok(200);
    assert_eq!(used().await, 2, "what was deleted was written all the same");
    say(&ann, "garden", "the third").await;
    let problem = ann.post(&messages("garden"), draft()).await.problem(403, "quota_exceeded");
    assert_exceeded(&problem, 3, 3);
    assert_eq!(ann.post(&messages("garden"), first.clone()).await.ok(200)["messageId"], first["id"]);
}

#[tokio::test]
async fn meta_shows_ones_own_quota_and_its_tag_changes_with_it() {
    let server = TestServer::start().await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    for room in ["garden", "attic", "free"] {
        make_room(&ann, room, "GROUP", &["ben"]).await;
        meta(&ann, room).await;
        meta(&ben, room).await;
    }
    let admin = application(&server);
    limit(&admin, "daily", 5, &["garden", "attic"]).await;
    let path = "/api/chat/rooms/garden/meta";
    let shown = async |api: &Api, tag: &str| {
        let reply = api.get_with(path, &[("if-none-match", tag)]).await;
        (reply.status, reply.header("etag").to_owned(), reply.json)
    };
    let (status, tag, before) = shown(&ann, "").await;
    assert_eq!((status, &before["quota"]["used"], &before["quota"]["limit"]), (200, &json!(0), &json!(5)));
    assert_exceeded(&before["quota"], 0, 5);
    assert_eq!(shown(&ann, &tag).await.0, 304);
    let (_, ben_tag, _) = shown(&ben, "").await;
    // Elsewhere, so that nothing but the quota changes here.
    say(&ann, "attic", "hello").await;
    let (status, next, after) = shown(&ann, &tag).await;
    assert_eq!((status, &after["quota"]["used"], &after["rev"]), (200, &json!(1), &before["rev"]));
    assert_ne!(next, tag);
    assert_eq!(shown(&ben, &ben_tag).await.0, 304, "another's use is not ben's");
    // The day turns.
    let mut beside = server.beside().await;
    beside.run("update quota_use set day = '2020-02-02'").await;
    let (status, _, turned) = shown(&ann, &next).await;
    assert_eq!((status, &turned["quota"]["used"]), (200, &json!(0)));
    say(&ann, "attic", "another day").await;
    assert_eq!(shown(&ann, "").await.2["quota"]["used"], 1, "what was used before counts no more");
    // Another clock was ahead: the day does not go back.
    beside.run("update quota_use set day = '9999-12-31', used = 4").await;
    say(&ann, "attic", "the fifth").await;
    ann.post(&messages("garden"), draft()).await.problem(403, "quota_exceeded");
    beside.close().await;
    let free = ann.get("/api/chat/rooms/free/meta").await;
    assert_eq!(free.header("x-cache"), "memory");
    assert_eq!(free.ok(200).get("quota"), None);
    let list = ann.get("/api/chat/meta").await.ok(200);
    assert!(list["rooms"].as_array().unwrap().iter().all(|room| room.get("quota").is_none()), "{list}");
    assert_eq!(ann.get("/api/chat/rooms/garden").await.ok(200)["room"]["quota"], "daily");
    assert_eq!(ann.get("/api/chat/rooms/free").await.ok(200)["room"]["quota"], Value::Null);
    // Without one again: it shows at once, though the log did not move.
    admin.put("/api/admin/rooms/garden", json!({ "quota": null })).await.ok(200);
    let (status, _, without) = shown(&ann, &next).await;
    assert_eq!((status, without.get("quota")), (200, None));
}

#[tokio::test]
async fn quotas_are_made_changed_and_removed_by_the_admin_side_alone() {
    let server = TestServer::start().await;
    let [ann] = server.people(["ann"]).await;
    let admin = application(&server);
    make_room(&ann, "garden", "GROUP", &[]).await;
    let (path, quota) = ("/api/admin/quotas/daily", json!({ "perDay": 5, "timeZone": "Asia/Kathmandu" }));
    for _ in 0..2 {
        let made = admin.put(path, quota.clone()).await.ok(200);
        assert_eq!(made["quota"], json!({ "name": "daily", "perDay": 5, "timeZone": "Asia/Kathmandu" }));
    }
    assert_eq!(admin.get(path).await.ok(200)["quota"]["perDay"], 5);
    admin.put("/api/admin/quotas/a", json!({ "perDay": 1, "timeZone": "UTC" })).await.ok(200);
    let names = admin.get("/api/admin/quotas").await.ok(200);
    assert_eq!(crate::support::each(&names["quotas"], "name"), ["a", "daily"]);
    for (field, wrong) in [
        ("perDay", json!({ "perDay": 0, "timeZone": "UTC" })),
        ("perDay", json!({ "perDay": 1_000_001, "timeZone": "UTC" })),
        ("perDay", json!({ "perDay": -1, "timeZone": "UTC" })),
        ("timeZone", json!({ "perDay": 1, "timeZone": "Atlantis/Capital" })),
        ("timeZone", json!({ "perDay": 1, "timeZone": "+01:00" })),
    ] {
        admin.put(path, wrong).await.invalid(field);
    }
    admin.put(path, json!({ "perDay": 1 })).await.problem(400, "invalid");
    admin.put("/api/admin/quotas/a%20b", quota.clone()).await.invalid("path");
    admin.get("/api/admin/quotas/none").await.problem(404, "not_found");
    for call in [ann.get(path).await, ann.put(path, quota.clone()).await, ann.delete(path).await] {
        call.problem(403, "forbidden");
    }
    admin.put("/api/admin/rooms/garden", json!({ "quota": "none" })).await.invalid("quota");
    admin.put("/api/admin/rooms/garden", json!({ "quota": "daily" })).await.ok(200);
    admin.delete(path).await.invalid("name");
    for n in 0..3 {
        say(&ann, "garden", &n.to_string()).await;
    }
    // Fewer than were used already.
    admin.put(path, json!({ "perDay": 2, "timeZone": "Europe/Berlin" })).await.ok(200);
    let problem = ann.post(&messages("garden"), draft()).await.problem(403, "quota_exceeded");
    assert_exceeded(&problem, 3, 2);
    admin.put("/api/admin/rooms/garden", json!({ "quota": null })).await.ok(200);
    for _ in 0..2 {
        assert_eq!(admin.delete(path).await.status, 204);
    }
    admin.get(path).await.problem(404, "not_found");
    say(&ann, "garden", "free again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_without_a_quota_costs_no_query_more() {
    let folder = tempdir().unwrap();
    let database = database_url(&folder);
    let mut instance = Instance::new(&[("DATABASE_URL", &database)]);
    instance.start().await;
    let ann = instance.api("ann");
    let admin = ann.with_token(&crate::support::application_token());
    for room in ["free", "garden"] {
        make_room(&ann, room, "GROUP", &[]).await;
        say(&ann, room, "so that it is followed").await;
        meta(&ann, room).await;
    }
    limit(&admin, "daily", 100, &["garden"]).await;
    let queries = async |room: &str, send: bool| {
        let before = instance.metric("tidings_queries_total", &[]).await;
        for _ in 0..10 {
            if send {
                say(&ann, room, "hello").await;
            } else {
                meta(&ann, room).await;
            }
        }
        instance.metric("tidings_queries_total", &[]).await - before
    };
    assert_eq!(queries("free", false).await, 0);
    assert_eq!(queries("garden", false).await, 10);
    // BEGIN with the room, the sender and the message; what it writes with COMMIT.
    assert_eq!(queries("free", true).await, 20);
    // The quota, and its use.
    assert_eq!(queries("garden", true).await, 40);
    admin.put("/api/admin/rooms/free", json!({ "slowModeSeconds": 1 })).await.ok(200);
    assert_eq!(queries("free", true).await, 20, "slow mode costs no statement");
}
