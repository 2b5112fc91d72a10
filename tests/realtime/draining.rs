//! An instance that is about to stop: everyone is told a moment of their own to come back, and served until they have gone.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{DEADLINE, Handshake, Socket, TestServer, eventually, make_room, raw_request, say, token};

/// Enough that the stop takes seconds.
const MANY: usize = 150;

async fn many(server: &TestServer) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for _ in 0..MANY {
        sockets.push(server.socket("ben").await);
    }
    sockets
}

/// Everyone's moments, in milliseconds from when they were told, the earliest first, with their sockets.
async fn told(sockets: Vec<Socket>) -> Vec<(u64, Socket)> {
    let mut told = Vec::new();
    for mut socket in sockets {
        told.push((socket.frame("drain").await["reconnectInMs"].as_u64().unwrap(), socket));
    }
    told.sort_by_key(|(moment, _)| *moment);
    told
}

async fn refused_handshake(address: SocketAddr) -> String {
    let request = format!(
        "GET /api/chat/ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nauthorization: Bearer {}\r\n\r\n",
        token("ann")
    );
    raw_request(address, request.as_bytes()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_drains_those_who_are_here_are_served_and_nobody_new_stays() {
    let server = TestServer::start().await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    make_room(&ann, "garden", "GROUP", &["ben"]).await;
    let sockets = many(&server).await;
    let address = server.address();
    let stop = async {
        let mut told = told(sockets).await;
        let (last, mut socket) = told.pop().unwrap();
        assert!(last > 1000 && told[0].0 < 500, "moments from {} to {last} ms", told[0].0);
        let (_, mut other) = told.pop().unwrap();
        // It is said that it takes nobody more, and each connection ends with its answer.
        let ready = ann.get("/readyz").await;
        assert_eq!((ready.status, &ready.json), (503, &json!({ "status": "stopping" })));
        assert_eq!(ready.header("connection"), "close");
        let refused = refused_handshake(address).await.to_lowercase();
        assert!(refused.starts_with("http/1.1 503") && refused.contains("retry-after: 1\r\n"), "{refused}");
        assert!(refused.contains("application/problem+json") && refused.contains("\"unavailable\""), "{refused}");
        // A poll is answered at once. Everything else is as ever.
        let meta = ann.get("/api/chat/rooms/garden/meta").await;
        let tag = meta.header("etag").to_owned();
        let begin = Instant::now();
        let polled = ann.get_with("/api/chat/rooms/garden/meta?wait=25", &[("if-none-match", &tag)]).await;
        assert_eq!(polled.status, 304);
        assert!(begin.elapsed() < DEADLINE, "a poll was held");
        socket.subscribe("garden", json!({})).await;
        other.subscribe("garden", json!({})).await;
        let kept = say(&ben, "garden", "by HTTP").await;
        socket.hears_as(&kept).await;
        let sent = json!({ "type": "send", "roomId": "garden", "message": { "content": "by socket" } });
        let ok = other.done(sent).await;
        socket.hears_as(&ok["message"]).await;
        // Who goes is not waited for, and who stays is shown out.
        drop((told, other));
        assert_eq!(socket.closed().await, (4200, "drain".to_owned()));
    };
    let (ended, ()) = tokio::join!(server.stop_in_time(), stop);
    assert!(ended, "something was cut off");
}

#[tokio::test(flavor = "multi_thread")]
async fn moments_to_come_back_lie_evenly() {
    let server = TestServer::start().await;
    server.people(["ben"]).await;
    let sockets = many(&server).await;
    let (_, told) = tokio::join!(server.stop_in_time(), async {
        // Each leaves as soon as it is told.
        let moments: Vec<u64> = told(sockets).await.into_iter().map(|(moment, _)| moment).collect();
        moments
    });
    let even = 1000 * MANY as u64 / (told[MANY - 1] - told[0]);
    let within = |from: &u64| told.iter().filter(|moment| (*from..from + 1000).contains(moment)).count();
    let most = told.iter().map(within).max().unwrap() as u64;
    assert!(10 * most <= 12 * even, "{most} within a second, evenly it would be {even}: {told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn held_polls_are_answered_in_turns_too() {
    let server = TestServer::with(&["--limits", "on", "--polls-per-user", "40"]).await;
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    let tag = ann.get("/api/chat/rooms/garden/meta").await.header("etag").to_owned();
    let mut socket = server.socket("ann").await;
    let polls: Vec<_> = (0..40)
        .map(|_| {
            let (ann, tag) = (ann.clone(), tag.clone());
            tokio::spawn(async move {
                let path = "/api/chat/rooms/garden/meta?wait=25";
                loop {
                    let answer = ann.get_with(path, &[("if-none-match", &tag)]).await;
                    // Its place may be taken by the one that looks whether all are.
                    if answer.status != 429 {
                        return (Instant::now(), answer);
                    }
                }
            })
        })
        .collect();
    eventually("all are held: a further one is refused", || async {
        let answer = ann.get_with("/api/chat/rooms/garden/meta?wait=1", &[("if-none-match", &tag)]).await;
        (answer.status == 429).then_some(())
    })
    .await;
    let begin = Instant::now();
    let stop = async {
        socket.frame("drain").await;
        drop(socket);
        let mut times = Vec::new();
        for poll in polls {
            let (at, answer) = poll.await.unwrap();
            assert_eq!(answer.status, 304, "{answer}");
            times.push(at);
        }
        times.sort();
        times
    };
    let (ended, times) = tokio::join!(server.stop_in_time(), stop);
    assert!(ended && begin.elapsed() < DEADLINE);
    assert!(*times.last().unwrap() - times[0] > Duration::from_millis(100), "all came back at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_late_who_they_are_is_told_too() {
    let server = TestServer::start().await;
    server.people(["ann"]).await;
    let mut late = Handshake::to(server.address()).open("late").await;
    let mut early = server.socket("ann").await;
    let stop = async {
        early.frame("drain").await;
        late.send(json!({ "type": "auth", "token": token("ann") })).await;
        late.frame("welcome").await;
        late.frame("drain").await;
        late.done(json!({ "type": "ping" })).await;
        assert_eq!(late.closed().await, (4200, "drain".to_owned()));
    };
    let (ended, ()) = tokio::join!(server.stop_in_time(), stop);
    assert!(ended, "something was cut off");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_nobody_who_does_not_read() {
    let server = TestServer::start().await;
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "garden", "GROUP", &[]).await;
    let long = "🌱".repeat(4000);
    for _ in 0..60 {
        say(&ann, "garden", &long).await;
    }
    let mut deaf = server.socket("ann").await;
    // A megabyte each: more than the kernel takes.
    for id in 0..12 {
        deaf.send(json!({ "type": "subscribe", "id": id, "roomId": "garden", "limit": 100 })).await;
    }
    let begin = Instant::now();
    assert!(server.stop_in_time().await, "something was cut off");
    assert!(begin.elapsed() < DEADLINE, "it took {:?}", begin.elapsed());
    drop(deaf);
}
