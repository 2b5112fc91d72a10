//! schemathesis makes calls up by `/openapi.json`, good ones and bad ones, and complains of each answer that is a fault
//! of the server or not as the document tells it. What it is told to do, and what not and why, is in schemathesis.toml.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::heard::{check, fetch, here, tool};
use super::operations;
use crate::support::{TestServer, application_token, token};

/// What no made-up call can do well: it takes more than a call to open a socket.
const NEVER: &str = "GET /api/chat/ws";

/// A server with people, rooms and messages of which schemathesis.toml knows.
async fn stage() -> (TestServer, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let words = folder.path().join("words");
    fs::write(&words, "flag: bargain\n").unwrap();
    let server = TestServer::with(&["--moderation-words-file", words.to_str().unwrap()]).await;
    let [ann, ..] = server.people(["ann", "ben", "cara"]).await;
    let application = ann.with_token(&application_token());
    application.put("/api/admin/quotas/daily", json!({ "perDay": 1_000_000, "timeZone": "UTC" })).await.ok(200);
    for (room, kind) in [("garden", "GROUP"), ("square", "PUBLIC")] {
        ann.post("/api/chat/rooms", json!({ "id": room, "type": kind, "title": room, "memberIds": ["ben"] }))
            .await
            .ok(201);
        for number in 1..=3 {
            let id = format!("019ab000-0000-7000-8000-{number:012}");
            let message = json!({ "id": id, "content": "a bargain" });
            ann.post(&format!("/api/chat/rooms/{room}/messages"), message).await.ok(201);
        }
    }
    (server, folder)
}

/// Lets schemathesis loose on these operations. None may answer otherwise than the document says, and each must have been
/// done well at least once: of what is only refused, nothing is known.
async fn fuzz(server: &TestServer, token: Option<&str>, is_meant: fn(&str) -> bool) {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    fetch(&server.anonymous(), folder.path()).await;
    let closed = check("closed", folder.path()).output().unwrap();
    assert!(closed.status.success(), "{}", String::from_utf8_lossy(&closed.stderr));
    fs::write(file("closed.json"), closed.stdout).unwrap();
    fs::write(file("schemathesis.toml"), settings(server, token).await).unwrap();
    let openapi: Value = serde_json::from_str(&fs::read_to_string(file("openapi.json")).unwrap()).unwrap();
    let meant: BTreeSet<String> = operations(&openapi).into_iter().map(|(name, _)| name).collect();
    let meant: BTreeSet<String> = meant.into_iter().filter(|name| is_meant(path_of(name))).collect();
    // By the interpreter: a program of an environment names the folder that this was made in.
    let mut st = Command::new(tool("python"));
    st.args(["-m", "schemathesis.cli"]);
    st.arg("--config-file").arg(file("schemathesis.toml")).arg("run").arg(file("closed.json"));
    st.args(["--url", &format!("http://{}", server.address())]);
    let paths: BTreeSet<&str> = meant.iter().map(|name| path_of(name)).collect();
    st.args(paths.iter().flat_map(|path| ["--include-path", path]));
    st.current_dir(folder.path()).env("ANSWERS", file("answers")).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || st.output().unwrap()).await.unwrap();
    let report = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}");
    let answers = fs::read_to_string(file("answers")).unwrap();
    let done = answers.lines().filter_map(|line| line.rsplit_once(' ')).filter(|(_, status)| status.starts_with('2'));
    let done: BTreeSet<&str> = done.map(|(operation, _)| operation).collect();
    let missed: Vec<_> = meant.iter().filter(|name| !done.contains(name.as_str()) && *name != NEVER).collect();
    assert!(missed.is_empty() && !meant.is_empty(), "never done well: {missed:?}\n{report}");
}

fn path_of(operation: &str) -> &str {
    operation.split_once(' ').unwrap().1
}

async fn settings(server: &TestServer, token: Option<&str>) -> String {
    let all = fs::read_to_string(here().join("schemathesis.toml")).unwrap();
    let history = server.api("ann").get("/api/chat/meta").await.json["history"].as_str().unwrap_or("none").to_owned();
    let all = all.replace("<history>", &history).replace("<hooks>", here().join("hooks.py").to_str().unwrap());
    match token {
        Some(token) => all.replace("<token>", token),
        None => all.lines().filter(|line| !line.contains("<token>")).collect::<Vec<_>>().join("\n"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_of_a_user_is_answered_otherwise_than_the_document_says() {
    let (server, _words) = stage().await;
    fuzz(&server, Some(&token("ann")), |path| !path.starts_with("/api/admin/") && !path.starts_with("/api/demo/"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_of_the_application_is_answered_otherwise_than_the_document_says() {
    let (server, _words) = stage().await;
    fuzz(&server, Some(&application_token()), |path| path.starts_with("/api/admin/")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_of_a_newcomer_is_answered_otherwise_than_the_document_says() {
    fuzz(&TestServer::demo().await, None, |path| path.starts_with("/api/demo/")).await;
}
