//! However the program ends, what it acknowledged is there afterwards, in its place.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::net::TcpListener;

use super::{people, start};
use crate::support::{
    Api, DEADLINE, Handshake, Postgres, Process, SECRET, Socket, each, fresh_id, make_room, say, token,
};

async fn socket(address: SocketAddr, user: &str) -> Socket {
    Handshake::to(address).token(&token(user)).welcomed(user).await
}

/// The whole log of a room.
async fn log(reader: &Api, room: &str) -> Vec<Value> {
    let mut messages: Vec<Value> = Vec::new();
    loop {
        let after = messages.last().map_or(0, |last| last["seq"].as_u64().unwrap());
        let page = reader.get(&format!("/api/chat/rooms/{room}/messages?limit=100&after={after}")).await.ok(200);
        messages.extend(page["messages"].as_array().unwrap().iter().cloned());
        if page["hasMore"] == false {
            return messages;
        }
    }
}

#[tokio::test]
async fn a_stop_by_signal_is_clean_and_everything_is_there_afterwards() {
    let directory = tempdir().unwrap();
    let mut before: Option<(Vec<Value>, Value)> = None;
    for signal in ["INT", "TERM", "INT"] {
        let (mut process, address) = start(&directory, &[]);
        let [ann] = people(address, ["ann"]).await;
        match &before {
            None => drop(make_room(&ann, "garden", "GROUP", &[]).await),
            Some((kept, history)) => {
                assert_eq!(&log(&ann, "garden").await, kept);
                assert_eq!(&ann.get("/api/chat/rooms/garden/meta").await.ok(200)["history"], history);
            }
        }
        let message = say(&ann, "garden", &format!("before {signal}")).await;
        let path = format!("/api/chat/rooms/garden/messages/{}", message["id"].as_str().unwrap());
        ann.put(&format!("{path}/reactions/%F0%9F%91%8D"), json!({})).await.ok(200);
        let history = ann.get("/api/chat/rooms/garden/meta").await.ok(200)["history"].clone();
        before = Some((log(&ann, "garden").await, history));
        let mut socket = socket(address, "ann").await;
        process.signal(signal);
        assert_eq!(socket.closed().await, (4200, "drain".to_owned()));
        let (status, errors) = process.ended();
        assert!(status.success(), "{signal}: {status} {errors}");
        assert!(!errors.contains("ERROR") && !errors.contains("panic"), "{errors}");
    }
}

#[tokio::test]
async fn a_stop_takes_a_moment_if_somebody_is_there_and_none_if_nobody_is() {
    let directory = tempdir().unwrap();
    let mut took = Vec::new();
    for is_there in [true, false] {
        let (mut process, address) = start(&directory, &[]);
        let open = if is_there { Some(socket(address, "ann").await) } else { None };
        let begin = Instant::now();
        process.signal("INT");
        if let Some(mut open) = open {
            assert_eq!(open.frame("drain").await["reconnectInMs"], 0, "one alone is in nobody's way");
            assert_eq!(open.closed().await.0, 4200);
        }
        let (status, errors) = process.ended();
        took.push(begin.elapsed());
        assert!(status.success(), "{errors}");
        let closed = format!("gone=0 closed={} cut=false", u8::from(is_there));
        assert!(errors.contains(&closed), "no {closed} in {errors}");
    }
    let second = Duration::from_secs(1);
    assert!(took[0] >= second && took[0] < 4 * second && took[1] < took[0], "{took:?}");
}

#[tokio::test]
async fn a_second_signal_waits_for_nobody() {
    let directory = tempdir().unwrap();
    for (first, second) in [("TERM", "TERM"), ("INT", "TERM")] {
        let (mut process, address) = start(&directory, &[]);
        let mut socket = socket(address, "ann").await;
        process.signal(first);
        socket.frame("drain").await;
        process.signal(second);
        let (status, errors) = process.ended();
        assert_eq!(status.code(), Some(3), "{errors}");
        assert!(errors.contains("was cut off"), "{errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_has_to_cut_something_off_says_so() {
    let postgres = Postgres::start();
    let database = postgres.url("postgres");
    let environment = [("DATABASE_URL", database.as_str()), ("JWT_SECRET", SECRET), ("DATABASE_DEADLINE_MS", "60000")];
    let mut process = Process::start(&["--host", "127.0.0.1", "--port", "0"], &environment);
    let address = process.address();
    let [ann] = people(address, ["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    postgres.signal("STOP");
    let unanswered = tokio::spawn(async move {
        let body = json!({ "content": "will it be there?" });
        ann.attempt(Method::POST, "/api/chat/rooms/garden/messages", &[], Some(&body), DEADLINE * 3).await
    });
    Api::new(address, None).get("/healthz").await.ok(200);
    process.signal("TERM");
    let (status, _, errors) = tokio::task::block_in_place(|| process.output());
    postgres.signal("CONT");
    assert_eq!(status.code(), Some(3), "{errors}");
    assert!(errors.contains("cut=true") && errors.contains("was cut off"), "{errors}");
    assert!(unanswered.await.unwrap().is_none(), "what was cut off was answered");
}

#[tokio::test]
async fn a_stop_while_it_starts_is_no_failure() {
    // A database that takes the connection and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let database = format!("postgres://chat@{}/chat", silent.local_addr().unwrap());
    for signal in ["TERM", "INT"] {
        let environment = [("DATABASE_URL", database.as_str()), ("JWT_SECRET", SECRET)];
        let mut process = Process::start(&["--host", "127.0.0.1", "--port", "0"], &environment);
        let _connection = tokio::time::timeout(DEADLINE, silent.accept()).await.unwrap().unwrap();
        process.signal(signal);
        let (status, errors) = process.ended();
        assert!(status.success(), "{signal}: {status} {errors}");
    }
}

#[tokio::test]
async fn a_kill_loses_nothing_that_was_acknowledged() {
    const WRITERS: [&str; 3] = ["ann", "ben", "cara"];
    const IN_FLIGHT: usize = 60;
    let directory = tempdir().unwrap();
    let mut acknowledged: Vec<Value> = Vec::new();
    for round in 0..3 {
        let (mut process, address) = start(&directory, &[("LIMITS", "off")]);
        let [ann, ..] = people(address, WRITERS).await;
        if round == 0 {
            make_room(&ann, "garden", "GROUP", &WRITERS[1..]).await;
        }
        let kept = log(&ann, "garden").await;
        assert_eq!(each(&json!(kept), "seq"), (1..=kept.len()).collect::<Vec<_>>(), "seq is 1..n");
        for message in &acknowledged {
            let found = kept.iter().find(|other| other["id"] == message["id"]);
            assert_eq!(found, Some(message), "it was acknowledged");
        }
        let mut sockets = Vec::new();
        for writer in WRITERS {
            let mut socket = socket(address, writer).await;
            for _ in 0..IN_FLIGHT {
                let id = fresh_id();
                let message = json!({ "id": id, "content": format!("{writer} {round} {id}") });
                socket.send(json!({ "type": "send", "id": id, "roomId": "garden", "message": message })).await;
            }
            sockets.push(socket);
        }
        // In the midst of it: some are acknowledged, others are on their way.
        for _ in 0..10 {
            for socket in &mut sockets {
                acknowledged.push(socket.frame("ok").await["message"].take());
            }
        }
        process.signal("KILL");
        let mut late = 0;
        for socket in &mut sockets {
            socket.closed().await;
            let oks: Vec<Value> = socket.untaken().filter(|frame| frame["type"] == "ok").cloned().collect();
            late += oks.len();
            acknowledged.extend(oks.into_iter().map(|mut ok| ok["message"].take()));
        }
        assert!(!process.ended().0.success());
        assert!(late + 30 < IN_FLIGHT * WRITERS.len(), "all were acknowledged before the kill: it came too late");
    }
    let (_process, address) = start(&directory, &[]);
    let [ann] = people(address, ["ann"]).await;
    let kept = log(&ann, "garden").await;
    assert_eq!(each(&json!(kept), "seq"), (1..=kept.len()).collect::<Vec<_>>());
    assert!(acknowledged.iter().all(|message| kept.contains(message)));
    assert!(kept.len() > acknowledged.len().min(90), "{} of {}", kept.len(), acknowledged.len());
}

#[tokio::test]
async fn a_send_that_a_kill_left_unanswered_can_be_sent_again() {
    let directory = tempdir().unwrap();
    let (mut process, address) = start(&directory, &[]);
    let [ann] = people(address, ["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    let ids: Vec<String> = (0..30).map(|_| fresh_id()).collect();
    let mut writer = socket(address, "ann").await;
    for id in &ids {
        let message = json!({ "id": id, "content": "once" });
        writer.send(json!({ "type": "send", "roomId": "garden", "message": message })).await;
    }
    process.signal("KILL");
    process.ended();
    let (_process, address) = start(&directory, &[("LIMITS", "off")]);
    let [ann] = people(address, ["ann"]).await;
    for id in &ids {
        let reply = ann.post("/api/chat/rooms/garden/messages", json!({ "id": id, "content": "once" })).await;
        assert!(matches!(reply.status, 200 | 201), "{reply}");
    }
    let mut found = each(&json!(log(&ann, "garden").await), "id")[1..].to_vec();
    found.sort_by_key(ToString::to_string);
    assert_eq!(found, ids, "each once");
}
