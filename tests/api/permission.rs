//! The table of docs/PROTOCOL.md, who may do what in a room: every kind of room, every role, every action.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Api, TestServer, make_room, say};

const ROLES: [&str; 3] = ["MEMBER", "MODERATOR", "OWNER"];

/// The least role that may, by kind of room.
const TABLE: [(&str, [Option<&str>; 3]); 10] = [
    ("write", [Some("MEMBER"), Some("MEMBER"), Some("MEMBER")]),
    ("change one's own", [Some("MEMBER"), Some("MEMBER"), Some("MEMBER")]),
    ("delete another's", [None, Some("MODERATOR"), Some("MODERATOR")]),
    ("change the room", [None, Some("MODERATOR"), Some("MODERATOR")]),
    ("add", [None, Some("MEMBER"), Some("MODERATOR")]),
    ("give a role", [None, Some("OWNER"), Some("OWNER")]),
    ("remove", [None, Some("MODERATOR"), Some("MODERATOR")]),
    ("ban", [None, Some("MODERATOR"), Some("MODERATOR")]),
    ("lift a ban", [None, Some("MODERATOR"), Some("MODERATOR")]),
    ("leave", [None, Some("MEMBER"), Some("MEMBER")]),
];

/// `sam` tries; returns the status.
async fn attempt(sam: &Api, room: &str, action: &str, own: &str, others: &str) -> u16 {
    let base = format!("/api/chat/rooms/{room}");
    let (method, path, body) = match action {
        "write" => (Method::POST, "/messages".to_owned(), json!({ "content": "more" })),
        "change one's own" => (Method::PATCH, format!("/messages/{own}"), json!({ "content": "changed" })),
        "delete another's" => (Method::DELETE, format!("/messages/{others}"), Value::Null),
        "change the room" => (Method::PATCH, String::new(), json!({ "title": "Renamed" })),
        "add" => (Method::PUT, "/members/nina".to_owned(), json!({})),
        "give a role" => (Method::PUT, "/members/omar".to_owned(), json!({ "role": "MODERATOR" })),
        "remove" => (Method::DELETE, "/members/pia".to_owned(), Value::Null),
        "ban" => (Method::DELETE, "/members/quin?ban=true".to_owned(), Value::Null),
        "lift a ban" => (Method::PUT, "/members/rex".to_owned(), json!({})),
        "leave" => (Method::DELETE, "/members/sam".to_owned(), Value::Null),
        other => panic!("no such action: {other}"),
    };
    let body = (!body.is_null()).then(|| body.to_string().into_bytes());
    let reply = sam.call(method, &format!("{base}{path}"), &[("content-type", "application/json")], body).await;
    if reply.status >= 400 {
        let status = reply.status;
        reply.problem(status, "forbidden");
        return status;
    }
    reply.status
}

#[tokio::test]
async fn every_role_may_do_what_the_table_says_and_nothing_else() {
    let server = TestServer::start().await;
    let [ann, sam, omar, ..] = server.people(["ann", "sam", "omar", "pia", "nina", "quin", "rex"]).await;
    let mut findings = Vec::new();
    for (kind_at, kind) in ["DIRECT", "GROUP", "PUBLIC"].into_iter().enumerate() {
        for (role_at, role) in ROLES.into_iter().enumerate() {
            if kind == "DIRECT" && role != "MEMBER" {
                continue; // a DIRECT room has no other roles
            }
            let room = format!("{kind}-{role}");
            if kind == "DIRECT" {
                make_room(&omar, &room, kind, &["sam"]).await;
            } else {
                make_room(&ann, &room, kind, &["sam", "omar", "pia"]).await;
                ann.put(&format!("/api/chat/rooms/{room}/members/sam"), json!({ "role": role })).await.ok(200);
                ann.delete(&format!("/api/chat/rooms/{room}/members/rex?ban=true")).await.ok(204);
            }
            let own = say(&sam, &room, "mine").await["id"].as_str().unwrap().to_owned();
            let others = say(&omar, &room, "theirs").await["id"].as_str().unwrap().to_owned();
            for (action, least) in TABLE {
                let least = least[kind_at].and_then(|least| ROLES.iter().position(|role| *role == least));
                let may = least.is_some_and(|least| role_at >= least);
                // In a DIRECT room there is only omar to be removed; that pia is not in it would be another answer.
                let room_action = if kind == "DIRECT" && action == "remove" { "give a role" } else { action };
                let status = attempt(&sam, &room, room_action, &own, &others).await;
                if (status < 300) != may {
                    findings.push(format!("{kind}: a {role} got {status} for: {action}"));
                }
            }
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[tokio::test]
async fn nobody_is_removed_from_a_direct_room() {
    let server = TestServer::start().await;
    let [ann, ben] = server.people(["ann", "ben"]).await;
    make_room(&ann, "two", "DIRECT", &["ben"]).await;
    for (who, whom) in [(&ann, "ben"), (&ben, "ann"), (&ann, "ann")] {
        who.delete(&format!("/api/chat/rooms/two/members/{whom}")).await.problem(403, "forbidden");
    }
    say(&ben, "two", "still here").await;
}
