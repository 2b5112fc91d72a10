//! A disk that takes nothing any more, as a limit on the size of files stands in for it.

use std::process::Command;

use serde_json::{Value, json};
use tempfile::tempdir;

use super::{people, start};
use crate::support::{Handshake, Log, Process, fresh_id, make_room, meta, say, token};

/// The soft limit on the size of the files it writes.
fn limit_files(process: &Process, bytes: &str) {
    let arguments = [format!("--pid={}", process.id()), format!("--fsize={bytes}:")];
    let done = Command::new("prlimit").args(arguments).status().expect("prlimit, of util-linux");
    assert!(done.success(), "the limit cannot be set");
}

#[tokio::test]
async fn a_full_disk_refuses_sends_clearly_and_ends_nothing() {
    let directory = tempdir().unwrap();
    let (mut process, address) = start(&directory, &[("LIMITS", "off")]);
    let [ann, ben] = people(address, ["ann", "ben"]).await;
    make_room(&ann, "garden", "GROUP", &["ben"]).await;
    let mut reader = Handshake::to(address).token(&token("ben")).welcomed("ben").await;
    let mut log = Log::new("garden");
    log.frame(&reader.subscribe("garden", json!({})).await);
    log.frame(&reader.frame("messages").await);
    say(&ann, "garden", "before").await;
    log.frame(&reader.frame("message").await);
    let mut writer = Handshake::to(address).token(&token("ann")).welcomed("ann").await;
    let path = "/api/chat/rooms/garden/messages";
    let id = fresh_id();
    let body = json!({ "id": id, "content": "meanwhile" });
    for _ in 0..2 {
        limit_files(&process, "1");
        for _ in 0..3 {
            let refused = ann.post(path, body.clone()).await;
            assert_eq!(refused.header("retry-after"), "1");
            refused.problem(503, "unavailable");
            let send = json!({ "type": "send", "roomId": "garden", "message": body });
            assert!(writer.refused(send, "unavailable").await["retryAfterMs"].is_u64());
        }
        ann.post("/api/chat/rooms", json!({ "id": "shed", "type": "GROUP" })).await.problem(503, "unavailable");
        let page = ben.get(path).await.ok(200);
        assert_eq!(page["rev"], log.cursor.unwrap(), "reading goes on");
        assert_eq!(meta(&ben, "garden").await["rev"], log.cursor.unwrap());
        assert_eq!(reader.settle().await, Vec::<Value>::new(), "what was refused is shown to nobody");
        limit_files(&process, "unlimited");
        say(&ann, "garden", "again").await;
        log.frame(&reader.frame("message").await);
    }
    ann.post(path, body.clone()).await.ok(201);
    log.frame(&reader.frame("message").await);
    ann.post(path, body).await.ok(200);
    assert_eq!(log.texts(), ["before", "again", "again", "meanwhile"]);
    log.assert_equals_server(&ben).await;
    process.signal("TERM");
    let (status, errors) = process.ended();
    assert!(status.success(), "{errors}");
    assert!(errors.contains("unavailable"), "the log says nothing of it: {errors}");
    let (_process, address) = start(&directory, &[]);
    let [ben] = people(address, ["ben"]).await;
    log.assert_equals_server(&ben).await;
}
