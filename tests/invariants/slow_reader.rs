//! 8 slow readers cost bounded memory, and lose nothing.

use std::time::Instant;

use serde_json::json;

use crate::support::{Api, Handshake, Log, Process, SECRET, token};

const MESSAGES: usize = 50_000;
const WRITERS: usize = 64;
/// What the whole process may grow by while the reader is stalled, in KiB: caches, batches and the allocator. The
/// messages that pass are four times that.
const GROWTH: u64 = 8 << 10;

fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_8_a_reader_who_stops_reading_while_50_000_messages_pass_costs_little_and_gets_all() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("tidings.db").display());
    let flags =
        ["--port", "0", "--host", "127.0.0.1", "--database-url", &database, "--jwt-secret", SECRET, "--limits", "off"];
    let mut process = Process::start(&flags, &[]);
    let address = process.address();
    let api = |user: &str| Api::new(address, Some(token(user)));
    let names: Vec<String> = (0..WRITERS).map(|n| format!("writer{n}")).collect();
    for name in names.iter().map(String::as_str).chain(["ann", "slow"]) {
        api(name).get("/api/session").await.ok(200);
    }
    let members: Vec<&str> = names.iter().map(String::as_str).chain(["slow"]).collect();
    api("ann").post("/api/chat/rooms", json!({ "id": "r", "type": "GROUP", "memberIds": members })).await.ok(201);

    let mut slow = Handshake::to(address).token(&token("slow")).welcomed("slow").await;
    slow.subscribe("r", json!({})).await;
    let mut sockets = Vec::new();
    for name in &names {
        sockets.push(Handshake::to(address).token(&token(name)).welcomed(name).await);
    }
    // The first part warms everything that is allocated once.
    let text = "x".repeat(400);
    let mut sockets = write(sockets, MESSAGES / 10, &text).await;
    let before = resident(process.id());
    let begin = Instant::now();
    sockets = write(sockets, MESSAGES - MESSAGES / 10, &text).await;
    let grown = resident(process.id()).saturating_sub(before);
    eprintln!("{MESSAGES} messages in {:?}; the process grew by {grown} KiB", begin.elapsed());
    assert!(grown < GROWTH, "the process grew by {grown} KiB while one reader did not read");
    drop(sockets);

    let mut copy = Log::new("r");
    let end = 1 + MESSAGES as u64;
    while copy.cursor.is_none_or(|cursor| cursor < end) {
        copy.frame(&slow.expect("the rest of the log", |frame| frame["roomId"] == "r").await);
    }
    assert_eq!(copy.arrivals, (1..=end).collect::<Vec<_>>(), "each once, in order");
}

async fn write(sockets: Vec<crate::support::Socket>, messages: usize, text: &str) -> Vec<crate::support::Socket> {
    let each = messages.div_ceil(sockets.len());
    let extra = each * sockets.len() - messages;
    let mut tasks = Vec::new();
    for (n, mut socket) in sockets.into_iter().enumerate() {
        let text = text.to_owned();
        let mine = if n < extra { each - 1 } else { each };
        tasks.push(tokio::spawn(async move {
            for _ in 0..mine {
                socket.done(json!({ "type": "send", "roomId": "r", "message": { "content": text } })).await;
            }
            socket
        }));
    }
    let mut back = Vec::new();
    for task in tasks {
        back.push(task.await.unwrap());
    }
    back
}
