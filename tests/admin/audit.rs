//! Who comes in at the admin side, and the line that each call leaves in the log.

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::tempdir;

use super::admin;
use crate::support::{Api, DEADLINE, Process, SECRET, application_token, database_url, fresh_id, token, token_with};

/// Every route of rooms, each with a body that does something.
fn calls() -> Vec<(Method, String, Value)> {
    let (get, put, post, delete) = (Method::GET, Method::PUT, Method::POST, Method::DELETE);
    vec![
        (put.clone(), admin("r", ""), json!({ "type": "GROUP", "title": SAID, "members": [{ "userId": "ann" }] })),
        (get.clone(), admin("r", ""), Value::Null),
        (put, admin("r", "/members/ben"), json!({ "name": SAID })),
        (get.clone(), admin("r", "/members"), Value::Null),
        (delete.clone(), admin("r", "/members/ben?ban=true"), Value::Null),
        (post, admin("r", "/messages"), json!({ "id": ID, "content": SAID })),
        (get, admin("r", "/messages?limit=5"), Value::Null),
        (delete, admin("r", &format!("/messages/{ID}")), Value::Null),
    ]
}

const SAID: &str = "what-is-said-is-nobodys-business";
const ID: &str = "019ab000-0000-7000-8000-0000000000aa";

async fn call(api: &Api, (method, path, body): &(Method, String, Value)) -> u16 {
    let body = (!body.is_null()).then_some(body);
    let reply = api.attempt(method.clone(), path, &[], body, DEADLINE).await.expect("an answer");
    if reply.status >= 400 {
        let (status, code) = (reply.status, reply.json["code"].as_str().unwrap_or_default().to_owned());
        reply.problem(status, &code);
        assert!(["forbidden", "unauthenticated", "token_expired"].contains(&code.as_str()), "{path}: {code}");
        return status;
    }
    reply.status
}

#[tokio::test]
async fn only_the_application_and_administrators_come_in_and_each_call_is_a_line() {
    let directory = tempdir().unwrap();
    let database = database_url(&directory);
    let environment = [
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("DATABASE_URL", &database),
        ("JWT_SECRET", SECRET),
        ("RUST_LOG", "info"),
    ];
    let mut process = Process::start(&[], &environment);
    let address = process.address();
    let application = application_token();
    let ada = token_with("ada", &json!({ "role": "ADMIN" }));
    let (ann, pat) = (token("ann"), token_with("pat", &json!({ "role": "PARTNER" })));
    let expired = token_with("ada", &json!({ "role": "ADMIN", "exp": 1_000_000_000 }));
    let other_scope = tidings::auth::mint(SECRET, &json!({ "scope": "chat:read", "exp": 4_000_000_000_u64 }));
    let mut expected = Vec::new();
    for (token, by, refusal) in [
        (None, "nobody", Some(401)),
        (Some(&expired), "nobody", Some(401)),
        (Some(&other_scope), "nobody", Some(401)),
        (Some(&ann), "", Some(403)),
        (Some(&pat), "", Some(403)),
        (Some(&application), "tidings:system", None),
        (Some(&ada), "ada", None),
    ] {
        let api = Api::new(address, token.cloned());
        for one in calls() {
            let status = call(&api, &one).await;
            match refusal {
                Some(refusal) => assert_eq!(status, refusal, "{by}: {} {}", one.0, one.1),
                None => assert!(status < 300, "{by}: {} {}: {status}", one.0, one.1),
            }
            let path = one.1.split('?').next().unwrap().to_owned();
            expected.push((by, one.0.to_string(), path, status));
        }
    }
    // The application's token is nobody's in the rest.
    Api::new(address, Some(application.clone())).get("/api/session").await.problem(403, "forbidden");
    process.signal("INT");
    let (status, log) = process.ended();
    assert!(status.success(), "{log}");
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("an admin call")).collect();
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, (by, method, path, status)) in lines.iter().zip(expected) {
        for part in [by, &method, &format!("path=\"{path}\""), &format!("status={status}")] {
            assert!(line.contains(part), "no {part} in {line}");
        }
    }
    for secret in [SAID, &application, &ada, &ann, application.rsplit('.').next().unwrap()] {
        assert_eq!(log.lines().find(|line| line.contains(secret)), None, "the log shows {secret}");
    }
}

#[tokio::test]
async fn a_demo_has_no_admin_side() {
    let server = crate::support::TestServer::demo().await;
    let made = server.anonymous().post("/api/demo/session", json!({ "name": "Ann" })).await.ok(201);
    let visitor = server.anonymous().with_token(made["token"].as_str().unwrap());
    visitor.get(&admin("lobby", "")).await.problem(403, "forbidden");
    let body = json!({ "id": fresh_id(), "content": "hello" });
    visitor.post(&admin("lobby", "/messages"), body).await.problem(403, "forbidden");
}
