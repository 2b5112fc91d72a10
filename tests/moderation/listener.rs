//! A moderation hook as an application would write one: it checks the signature by the contract, counts what it is asked,
//! and answers as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use ring::hmac;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// The key it shares with the service.
pub(super) const KEY: &str = "the key of the tests' own hook, longer than 32 bytes";

/// What it answers.
#[derive(Clone)]
pub(super) enum Answer {
    /// This, whatever is asked.
    Json(Value),
    /// By the content: `flag me` and `reject me` are what they say.
    ByContent,
    /// This status, and these bytes.
    Raw(u16, Vec<u8>),
    /// To go elsewhere.
    Redirect,
    /// Nothing, until it is told to go on; then that it accepts.
    Later,
}

struct Inner {
    answer: Mutex<Answer>,
    asked: Mutex<Vec<Value>>,
    /// What was wrong with a call.
    wrong: Mutex<Vec<String>>,
    go_on: Semaphore,
}

/// The hook; it ends when it is dropped.
pub(super) struct Listener {
    address: SocketAddr,
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listener {
    pub(super) async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner {
            answer: Mutex::new(answer),
            asked: Mutex::default(),
            wrong: Mutex::default(),
            go_on: Semaphore::new(0),
        });
        let router = Router::new().route("/moderate", post(answer_one)).with_state(inner.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, inner, task }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/moderate", self.address)
    }

    /// The flags of a server that asks it, and further ones.
    pub(super) fn flags<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        // Patient, as this machine may be busy with other tests; who tests the deadline says so.
        let own = ["--moderation-hook-url", url, "--moderation-hook-secret", KEY];
        let patient: &[&str] = if more.contains(&"--moderation-hook-deadline-ms") {
            &[]
        } else {
            &["--moderation-hook-deadline-ms", "9000"]
        };
        [&own[..], patient, more].concat()
    }

    pub(super) fn answer(&self, answer: Answer) {
        *self.inner.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    /// Lets one who waits go on.
    pub(super) fn go_on(&self) {
        self.inner.go_on.add_permits(1);
    }

    /// What it was asked since this was asked last; each call of it was signed as it should be.
    #[track_caller]
    pub(super) fn asked(&self) -> Vec<Value> {
        let wrong = self.inner.wrong.lock().unwrap();
        assert!(wrong.is_empty(), "{wrong:?}");
        std::mem::take(&mut self.inner.asked.lock().unwrap())
    }

    /// How many calls came that were not taken out yet.
    pub(super) fn waiting(&self) -> usize {
        self.inner.asked.lock().unwrap().len()
    }
}

async fn answer_one(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response {
    if let Err(wrong) = check(&headers, &body) {
        inner.wrong.lock().unwrap().push(wrong);
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let question: Value = serde_json::from_slice(&body).unwrap();
    let content = question["content"].as_str().unwrap().to_owned();
    inner.asked.lock().unwrap().push(question);
    let answer = inner.answer.lock().unwrap().clone();
    let say = |json: Value| axum::Json(json).into_response();
    match answer {
        Answer::Json(json) => say(json),
        Answer::ByContent if content.contains("reject me") => say(json!({ "action": "reject", "reason": "be kind" })),
        Answer::ByContent if content.contains("flag me") => say(json!({ "action": "flag", "reason": "looks odd" })),
        Answer::ByContent => say(json!({ "action": "accept" })),
        Answer::Raw(status, bytes) => (StatusCode::from_u16(status).unwrap(), bytes).into_response(),
        Answer::Redirect => (StatusCode::TEMPORARY_REDIRECT, [("location", "/moderate")]).into_response(),
        Answer::Later => {
            inner.go_on.acquire().await.unwrap().forget();
            say(json!({ "action": "accept" }))
        }
    }
}

/// As the contract says: the time is of now, and the signature is of time and body.
fn check(headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
    let header = headers.get("x-tidings-signature").ok_or("it is not signed")?.to_str().unwrap();
    let (time, signature) =
        header.strip_prefix("t=").and_then(|rest| rest.split_once(",v1=")).ok_or(format!("no signature: {header}"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let signed: u64 = time.parse().map_err(|_| format!("no time: {header}"))?;
    if now.abs_diff(signed) > 60 {
        return Err(format!("it is of another time: {signed}, not {now}"));
    }
    let tag: Vec<u8> =
        (0..signature.len() / 2).map(|n| u8::from_str_radix(&signature[2 * n..2 * n + 2], 16).unwrap()).collect();
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes());
    let signed = [time.as_bytes(), b".", body].concat();
    hmac::verify(&key, &signed, &tag).map_err(|_| "the signature is wrong".to_owned())?;
    match headers.get("content-type") {
        Some(kind) if kind == "application/json" => Ok(()),
        other => Err(format!("of the content type {other:?}")),
    }
}
