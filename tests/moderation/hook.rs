//! The signed hook: asked once for each message, before it is written, and never trusted to be there.

use serde_json::{Value, json};

use super::listener::{Answer, Listener};
use super::{application, decision, messages, queue_of, word_list, written};
use crate::support::{TestServer, eventually, fresh_id, make_room, meta, say};

#[tokio::test]
async fn the_hook_accepts_flags_and_rejects_and_is_told_who_says_what_where() {
    let hook = Listener::start(Answer::ByContent).await;
    let url = hook.url();
    let server = TestServer::with(&Listener::flags(&url, &[])).await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    let admin = application(&server);
    make_room(&ann, "garden", "GROUP", &["ben"]).await;
    let draft = json!({ "id": fresh_id(), "content": "flag me", "contentType": "IMAGE", "metadata": { "url": "x" } });
    let flagged = ben.post(&messages("garden"), draft.clone()).await.ok(201)["message"].clone();
    assert_eq!(flagged["moderation"], "FLAGGED");
    let expected = json!({
        "roomId": "garden", "messageId": draft["id"], "isEdit": false,
        "sender": { "id": "ben", "name": "Ben", "role": "CUSTOMER" },
        "content": "flag me", "contentType": "IMAGE", "metadata": { "url": "x" }
    });
    assert_eq!(hook.asked(), [expected]);
    let queue = queue_of(&admin).await;
    assert_eq!((&queue[0]["flaggedBy"], &queue[0]["reason"]), (&json!("HOOK"), &json!("looks odd")));
    let before = meta(&ann, "garden").await;
    let problem =
        ben.post(&messages("garden"), json!({ "content": "reject me" })).await.problem(422, "content_rejected");
    assert_eq!(problem["reason"], "be kind");
    assert_eq!(meta(&ann, "garden").await, before);
    assert_eq!(say(&ben, "garden", "hello").await["moderation"], Value::Null);
    assert_eq!(hook.asked().len(), 2);
    hook.answer(Answer::Json(json!({ "action": "reject" })));
    let problem = ben.post(&messages("garden"), json!({ "content": "x" })).await.problem(422, "content_rejected");
    assert_eq!(problem["reason"], "no reason was given");
}

#[tokio::test]
async fn what_was_sent_before_is_found_again_without_being_asked_about() {
    let hook = Listener::start(Answer::ByContent).await;
    let url = hook.url();
    let server = TestServer::with(&Listener::flags(&url, &[])).await;
    let [ann, eve] = server.people(["ann", "eve"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    let draft = json!({ "id": fresh_id(), "content": "flag me" });
    let mut socket = server.socket("ann").await;
    let frame = json!({ "type": "send", "roomId": "garden", "message": draft });
    let sent = socket.done(frame.clone()).await["message"].clone();
    // Whatever the hook would say of it now.
    hook.answer(Answer::Json(json!({ "action": "reject" })));
    assert_eq!(socket.done(frame).await["message"], sent);
    assert_eq!(ann.post(&messages("garden"), draft.clone()).await.ok(200)["message"], sent);
    assert_eq!(hook.asked().len(), 1, "repeats were asked about");
    assert_eq!(queue_of(&application(&server)).await.len(), 1);
    let other = json!({ "id": draft["id"], "content": "other" });
    ann.post(&messages("garden"), other).await.problem(409, "message_id_conflict");
    // Nor is what cannot be written anyway.
    eve.post(&messages("garden"), json!({ "content": "let me in" })).await.problem(404, "room_not_found");
    ann.post(&messages("garden"), json!({ "content": " " })).await.problem(400, "invalid");
    assert!(hook.asked().is_empty());
}

#[tokio::test]
async fn an_edit_is_asked_about_unless_it_changes_nothing_or_cannot_be_made() {
    let hook = Listener::start(Answer::ByContent).await;
    let url = hook.url();
    let server = TestServer::with(&Listener::flags(&url, &[])).await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    make_room(&ann, "garden", "GROUP", &["ben"]).await;
    let message = say(&ann, "garden", "hello").await;
    hook.asked();
    let path = format!("{}/{}", messages("garden"), message["id"].as_str().unwrap());
    ann.patch(&path, json!({ "content": "hello" })).await.ok(200);
    ben.patch(&path, json!({ "content": "mine" })).await.problem(403, "forbidden");
    ann.patch(&format!("{}/nothing", messages("garden")), json!({ "content": "x" }))
        .await
        .problem(404, "message_not_found");
    assert!(hook.asked().is_empty());
    ann.patch(&path, json!({ "content": "reject me" })).await.problem(422, "content_rejected");
    assert_eq!(written(&ann, "garden").await, std::slice::from_ref(&message));
    let flagged = ann.patch(&path, json!({ "content": "flag me" })).await.ok(200)["message"].clone();
    assert_eq!(flagged["moderation"], "FLAGGED");
    let asked = hook.asked();
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|asked| asked["isEdit"] == true && asked["messageId"] == message["id"]), "{asked:?}");
    let approved =
        application(&server).put(&decision("garden", &message), json!({ "action": "approve" })).await.ok(200);
    assert_eq!(
        (&approved["message"]["content"], &approved["message"]["moderation"]),
        (&json!("flag me"), &Value::Null)
    );
}

#[tokio::test]
async fn the_words_come_first_and_their_flag_stays() {
    let (_folder, path) = word_list("reject: damn\nflag: odd\n");
    let hook = Listener::start(Answer::ByContent).await;
    let url = hook.url();
    let server = TestServer::with(&Listener::flags(&url, &["--moderation-words-file", &path])).await;
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    ann.post(&messages("garden"), json!({ "content": "damn" })).await.problem(422, "content_rejected");
    assert!(hook.asked().is_empty(), "what the words reject is asked about");
    assert_eq!(say(&ann, "garden", "odd").await["moderation"], "FLAGGED");
    ann.post(&messages("garden"), json!({ "content": "odd, reject me" })).await.problem(422, "content_rejected");
    assert_eq!(hook.asked().len(), 2);
    let queue = queue_of(&application(&server)).await;
    assert_eq!(queue.iter().map(|case| &case["flaggedBy"]).collect::<Vec<_>>(), ["WORDS"]);
}

/// Every way not to answer as one should.
fn no_answers() -> Vec<Answer> {
    let raw = |status: u16, bytes: &[u8]| Answer::Raw(status, bytes.to_vec());
    vec![
        raw(200, b"no JSON"),
        raw(200, b"{}"),
        raw(200, br#"{"action":"perhaps"}"#),
        raw(200, b""),
        raw(500, br#"{"action":"accept"}"#),
        raw(403, br#"{"action":"reject"}"#),
        // Far over what is read of an answer, and a word of which would pass.
        raw(200, format!(r#"{{"action":"reject","reason":"{}"}}"#, "x".repeat(100_000)).as_bytes()),
        Answer::Redirect,
    ]
}

#[tokio::test]
async fn where_the_hook_does_not_answer_as_it_should_a_setting_says_what_becomes_of_the_message() {
    for (setting, is_open) in [("accept", true), ("reject", false)] {
        let hook = Listener::start(Answer::ByContent).await;
        let url = hook.url();
        let server = TestServer::with(&Listener::flags(&url, &["--moderation-hook-failure", setting])).await;
        let [ann] = server.people(["ann"]).await;
        make_room(&ann, "garden", "GROUP", &[]).await;
        let answers = no_answers();
        let many = answers.len();
        for answer in answers {
            hook.answer(answer);
            let draft = json!({ "id": fresh_id(), "content": "reject me" });
            let reply = ann.post(&messages("garden"), draft.clone()).await;
            if is_open {
                assert_eq!(reply.ok(201)["message"]["moderation"], Value::Null);
            } else {
                assert_eq!(reply.header("retry-after"), "1");
                reply.problem(503, "unavailable");
            }
            assert_eq!(hook.asked().len(), 1, "it is asked once, and follows nobody elsewhere");
        }
        hook.answer(Answer::ByContent);
        say(&ann, "garden", "it answers again").await;
        assert_eq!(written(&ann, "garden").await.len(), if is_open { many + 1 } else { 1 });
        // A hook that is not there at all.
        drop(hook);
        let reply = ann.post(&messages("garden"), json!({ "content": "anyone?" })).await;
        assert_eq!(reply.status, if is_open { 201 } else { 503 }, "{reply}");
    }
}

#[tokio::test]
async fn a_hook_that_takes_too_long_is_not_waited_for() {
    let hook = Listener::start(Answer::Later).await;
    let url = hook.url();
    let settings = ["--moderation-hook-failure", "reject", "--moderation-hook-deadline-ms", "300"];
    let server = TestServer::with(&Listener::flags(&url, &settings)).await;
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    let draft = json!({ "id": fresh_id(), "content": "hello" });
    let begin = std::time::Instant::now();
    ann.post(&messages("garden"), draft.clone()).await.problem(503, "unavailable");
    let took = begin.elapsed();
    assert!(took >= std::time::Duration::from_millis(300), "{took:?}");
    assert!(written(&ann, "garden").await.is_empty());
    hook.answer(Answer::ByContent);
    ann.post(&messages("garden"), draft).await.ok(201);
}

#[tokio::test]
async fn while_the_hook_thinks_no_connection_and_no_room_waits_for_it() {
    // Every connection to the database there is could be taken by those who wait.
    const WAITING: usize = 40;
    let hook = Listener::start(Answer::Later).await;
    let url = hook.url();
    let server = TestServer::with(&Listener::flags(&url, &["--database-connections", "4"])).await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    let admin = application(&server);
    make_room(&ann, "garden", "GROUP", &["ben"]).await;
    let mut sends = tokio::task::JoinSet::new();
    for n in 0..WAITING {
        let ann = ann.clone();
        sends.spawn(async move { ann.post(&messages("garden"), json!({ "content": n.to_string() })).await.status });
    }
    eventually("all of them wait for the hook", async || (hook.waiting() == WAITING).then_some(())).await;
    // In the same room, by others and in other ways.
    let notice = json!({ "content": "meanwhile" });
    let sent = admin.post("/api/admin/rooms/garden/messages", notice).await.ok(201)["message"].clone();
    ben.post("/api/chat/rooms/garden/read", json!({})).await.ok(200);
    assert_eq!(meta(&ben, "garden").await["lastSeq"], sent["seq"]);
    for _ in 0..WAITING {
        hook.go_on();
    }
    assert!(sends.join_all().await.iter().all(|status| *status == 201));
    assert_eq!(meta(&ben, "garden").await["lastSeq"], sent["seq"].as_u64().unwrap() + WAITING as u64);
}
