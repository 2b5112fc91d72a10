//! What is kept, and what is left of the rest.

use serde_json::json;

use super::{application, begins_at, keep, path, server};
use crate::support::{TestServer, each, make_room, meta, say};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_the_number_is_gone_on_every_path_and_each_path_says_so() {
    let server = server().await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    make_room(&ann, "r", "GROUP", &["ben"]).await;
    let mut said = Vec::new();
    for n in 2..=10 {
        said.push(say(&ann, "r", &format!("text {n}")).await);
    }
    let gone = said[0]["id"].as_str().unwrap();
    let reaction = path(&format!("messages/{gone}/reactions/%F0%9F%91%8D"));
    ben.put(&reaction, json!({})).await.ok(200);
    let before = meta(&ben, "r").await;
    assert_eq!((&before["unreadCount"], &before["oldestSeq"]), (&json!(9), &json!(null)));
    keep(&server, &ben, json!({ "messages": 4 }), 7).await;

    let after = meta(&ben, "r").await;
    assert_eq!((&after["lastSeq"], &after["unreadCount"]), (&json!(10), &json!(4)), "what is gone is not unread");
    assert!(after["rev"].as_u64() > before["rev"].as_u64(), "it is a change of the room");
    assert_eq!(ben.get("/api/chat/unread-count").await.ok(200)["unreadCount"], 4);
    let list = ben.get("/api/chat/rooms").await.ok(200);
    assert_eq!((&list["rooms"][0]["oldestSeq"], &list["rooms"][0]["unreadCount"]), (&json!(7), &json!(4)));
    assert_eq!(ben.get("/api/chat/meta").await.ok(200)["rooms"][0]["oldestSeq"], 7);

    let newest = ben.get(&path("messages")).await.ok(200);
    assert_eq!(each(&newest["messages"], "seq"), [7, 8, 9, 10]);
    let end = (&newest["cursor"], &newest["hasMore"], &newest["oldestSeq"]);
    assert_eq!(end, (&json!(null), &json!(false), &json!(7)), "there is nothing before it");
    let page = ben.get(&path("messages?limit=2&before=9")).await.ok(200);
    assert_eq!((each(&page["messages"], "seq"), &page["hasMore"]), (vec![json!(7), json!(8)], &json!(false)));
    assert_eq!(ben.get(&path("messages?before=5")).await.ok(200)["messages"], json!([]));
    assert_eq!(each(&ben.get(&path("messages?after=6")).await.ok(200)["messages"], "seq"), [7, 8, 9, 10]);
    assert_eq!(each(&ben.get(&path("messages?around=7")).await.ok(200)["messages"], "seq"), [7, 8, 9, 10]);
    let history = after["history"].as_str().unwrap();
    let floor = after["rev"].as_u64().unwrap() - 1;
    for refused in [
        "after=5",
        "after=0",
        "around=6",
        &format!("since=0&history={history}"),
        &format!("since={}&history={history}", floor - 1),
    ] {
        let problem = ben.get(&path(&format!("messages?{refused}"))).await.problem(410, "position_expired");
        assert_eq!(problem["oldestSeq"], 7, "{refused}");
        let admin = format!("/api/admin/rooms/r/messages?{refused}");
        application(&server).get(&admin).await.problem(410, "position_expired");
    }
    // The reaction was the last change of what is gone: whoever knows of it has missed nothing.
    let page = ben.get(&path(&format!("messages?since={floor}&history={history}"))).await.ok(200);
    assert_eq!((&page["messages"], &page["rev"], &page["oldestSeq"]), (&json!([]), &after["rev"], &json!(7)));

    ben.put(&reaction, json!({})).await.problem(404, "message_not_found");
    let answer = json!({ "content": "to that", "replyTo": gone });
    ben.post(&path("messages"), answer).await.problem(400, "invalid");
    let read = ben.post(&path("read"), json!({ "seq": 8 })).await.ok(200);
    assert_eq!(read, json!({ "lastReadSeq": 8, "unreadCount": 2 }));
    assert_eq!(say(&ann, "r", "goes on").await["seq"], 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_its_days_is_gone_even_if_it_is_all_there_is() {
    let server = server().await;
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "r", "GROUP", &[]).await;
    for n in 2..=6 {
        say(&ann, "r", &format!("text {n}")).await;
    }
    let mut database = server.beside().await;
    database.run("update message set created_at = created_at - 259200000000 where seq <= 4").await;
    keep(&server, &ann, json!({ "days": 2 }), 5).await;
    assert_eq!(each(&ann.get(&path("messages")).await.ok(200)["messages"], "seq"), [5, 6]);
    database.run("update message set created_at = created_at - 259200000000").await;
    begins_at(&ann, 7).await;
    let newest = ann.get(&path("messages")).await.ok(200);
    assert_eq!((&newest["messages"], &newest["hasMore"], &newest["cursor"]), (&json!([]), &json!(false), &json!(null)));
    let room = ann.get("/api/chat/rooms/r").await.ok(200);
    let left = (&room["room"]["lastSeq"], &room["room"]["lastMessage"], &room["room"]["unreadCount"]);
    assert_eq!(left, (&json!(6), &json!(null), &json!(0)));
    assert_eq!(room["room"]["retention"], json!({ "days": 2, "messages": null }));
    // Its numbers and times go on from where they were.
    let next = say(&ann, "r", "on").await;
    assert_eq!(next["seq"], 7);
    assert!(next["createdAt"].as_str() > room["room"]["lastMessageAt"].as_str());
    database.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_says_nothing_keeps_what_the_service_says_and_one_that_says_so_keeps_all() {
    let server = TestServer::with(&[&super::AT_ONCE[..], &["--retention-messages", "2"]].concat()).await;
    let application = application(&server);
    let [ann] = server.people(["ann"]).await;
    let wrong = json!({ "type": "GROUP", "retention": { "days": 0 } });
    let refused = application.put("/api/admin/rooms/all", wrong).await.problem(400, "invalid");
    assert_eq!(refused["field"], "retention.days");
    for (id, retention) in [("all", json!({})), ("r", json!(null))] {
        let room = json!({ "type": "GROUP", "retention": retention, "members": [{ "userId": "ann" }] });
        let made = application.put(&format!("/api/admin/rooms/{id}"), room).await.ok(201);
        let shown = if id == "all" { json!({ "days": null, "messages": null }) } else { json!(null) };
        assert_eq!(made["room"]["retention"], shown);
        for n in 2..=5 {
            say(&ann, id, &format!("text {n}")).await;
        }
    }
    begins_at(&ann, 4).await;
    // "all" comes first in a pass, so it was looked at by now.
    assert_eq!(meta(&ann, "all").await["oldestSeq"], json!(null));
    application.put("/api/admin/rooms/all", json!({ "retention": null })).await.ok(200);
    crate::support::eventually("it keeps no more than others now", || async {
        (meta(&ann, "all").await["oldestSeq"] == 4).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sees_the_log_from_their_joining_misses_nothing_of_what_was_before() {
    let server = server().await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    let members = json!([{ "userId": "ann", "role": "OWNER" }]);
    let room = json!({ "type": "GROUP", "historyFor": "joined", "members": members });
    application(&server).put("/api/admin/rooms/r", room).await.ok(201);
    for n in 2..=8 {
        say(&ann, "r", &format!("text {n}")).await;
    }
    ann.put("/api/chat/rooms/r/members/ben", json!({})).await.ok(200);
    keep(&server, &ann, json!({ "messages": 3 }), 7).await;
    ann.get(&path("messages?after=0")).await.problem(410, "position_expired");
    assert_eq!(each(&ben.get(&path("messages?after=0")).await.ok(200)["messages"], "seq"), [9]);
    assert_eq!(ben.get(&path("messages?around=3")).await.ok(200)["cursor"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_flagged_goes_with_its_message() {
    let folder = tempfile::tempdir().unwrap();
    let words = folder.path().join("words");
    std::fs::write(&words, "flag: odd\n").unwrap();
    let flags = [&super::AT_ONCE[..], &["--moderation-words-file", words.to_str().unwrap()]].concat();
    let server = TestServer::with(&flags).await;
    let application = application(&server);
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "r", "GROUP", &[]).await;
    say(&ann, "r", "an odd one").await;
    say(&ann, "r", "another odd one").await;
    assert_eq!(application.get("/api/admin/moderation").await.ok(200)["cases"].as_array().unwrap().len(), 2);
    keep(&server, &ann, json!({ "messages": 1 }), 3).await;
    let open = application.get("/api/admin/moderation").await.ok(200);
    assert_eq!(each(&open["cases"], "seq"), [3], "nobody is asked about what is not there");
}
