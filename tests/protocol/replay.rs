//! Plays the examples. People keep their socket from one example to the next, as they do in the document; all that
//! does not fit is reported at once, each with its line.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use reqwest::Method;
use serde_json::{Value, json};

use super::document;
use super::example::{Answer, Example, Request, Step, examples};
use super::pattern::Names;
use crate::documents::Heard;
use crate::support::{Api, Handshake, Socket, TestServer, application_token, token, token_with};

/// Frames that tell of other people's doings when they happen: an example that is not about them leaves them out.
const PASSING: [&str; 4] = ["meta", "presence", "read", "typing"];

/// The people of the document.
const PEOPLE: [&str; 4] = ["ann", "ben", "cara", "dan"];

struct Stage {
    server: TestServer,
    names: Names,
    sockets: BTreeMap<String, Socket>,
    /// Where in the document we are.
    at: String,
    /// All that was said, for the documents that machines read.
    heard: Heard,
}

impl Stage {
    fn new(server: TestServer) -> Self {
        let mut names = Names::default();
        for who in PEOPLE {
            names.set(&format!("{who}'s token"), token(who).into());
        }
        names.set("expired token", token_with("ann", &json!({ "exp": 1_000_000_000 })).into());
        Self { server, names, sockets: BTreeMap::new(), at: String::new(), heard: Heard::default() }
    }

    async fn play(&mut self, example: &Example) -> Result<(), String> {
        self.at = format!("docs/PROTOCOL.md:{}", example.line);
        for step in &example.steps {
            match step {
                Step::Call { request, answer, websocket: false } => {
                    self.call(example.who.as_deref(), request, answer).await?;
                }
                Step::Call { request, answer, websocket: true } => {
                    let who = example.who.as_deref().ok_or("nobody opens this socket")?;
                    self.handshake(who, request, answer).await?;
                }
                Step::Say { who, frame } => {
                    let frame = self.names.fill_json(frame)?;
                    self.heard.say(&self.at, &frame);
                    self.socket(who)?.send(frame).await;
                }
                Step::Leave { who } => self.sockets.remove(who).ok_or("has no socket")?.close().await,
                Step::Hear { who, frame } => self.hear(who, frame).await?,
                Step::Closed { who, code, reason } => {
                    let closed = self.socket(who)?.closed().await;
                    self.sockets.remove(who);
                    if closed != (*code, reason.clone()) {
                        return Err(format!("close {code} {reason} expected, got {closed:?}"));
                    }
                }
            }
        }
        Ok(())
    }

    async fn call(&mut self, who: Option<&str>, request: &Request, expected: &Answer) -> Result<(), String> {
        let token = |who| if who == "application" { application_token() } else { token(who) };
        let api = Api::new(self.server.address(), who.map(token));
        let method = Method::from_bytes(request.method.as_bytes()).map_err(|error| error.to_string())?;
        let path = self.names.fill(&request.path)?;
        let mut headers = Vec::new();
        for (name, value) in &request.headers {
            headers.push((name.clone(), self.names.fill(value)?));
        }
        let body = request.body.as_ref().map(|body| self.names.fill_json(body)).transpose()?;
        if body.is_some() && !headers.iter().any(|(name, _)| name == "content-type") {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let bytes = body.as_ref().map(|body| body.to_string().into_bytes());
        let reply = api.call(method.clone(), &path, &headers, bytes).await;
        self.heard.answer(&self.at, (&method, &path, body), &reply);
        if reply.status != expected.status {
            return Err(format!("{} expected: {reply}", expected.status));
        }
        for (name, value) in &expected.headers {
            self.names.fits_text(value, reply.header(name)).map_err(|wrong| format!("{name}: {wrong}"))?;
        }
        match &expected.body {
            Some(body) => self.names.fits(body, &reply.json).map_err(|wrong| format!("{wrong}\n    {reply}")),
            None if reply.bytes.is_empty() => Ok(()),
            None => Err(format!("no body expected: {reply}")),
        }
    }

    async fn handshake(&mut self, who: &str, request: &Request, expected: &Answer) -> Result<(), String> {
        let mut handshake = Handshake::to(self.server.address()).path(&self.names.fill(&request.path)?);
        for (name, value) in &request.headers {
            handshake = handshake.header(name, &self.names.fill(value)?);
        }
        match handshake.try_open(who).await {
            Ok((socket, response)) => {
                self.sockets.insert(who.to_owned(), socket);
                if expected.status != 101 {
                    return Err(format!("{} expected, got a WebSocket", expected.status));
                }
                expected.headers.iter().try_for_each(|(name, value)| {
                    let got = response.headers().get(name).map_or("", |value| value.to_str().unwrap_or_default());
                    self.names.fits_text(value, got).map_err(|wrong| format!("{name}: {wrong}"))
                })
            }
            Err((status, body)) if status == expected.status => {
                self.names.fits(expected.body.as_ref().unwrap_or(&Value::Null), &body)
            }
            Err(refusal) => Err(format!("{} expected, got {refusal:?}", expected.status)),
        }
    }

    async fn hear(&mut self, who: &str, expected: &Value) -> Result<(), String> {
        let expected_id = expected.get("id").map(|id| self.names.fill_json(id)).transpose()?;
        let frame = self
            .socket(who)?
            .expect(&expected.to_string(), |frame| {
                frame["type"] == expected["type"] && frame.get("id") == expected_id.as_ref()
            })
            .await;
        self.heard.frame(&self.at, &frame);
        self.names.fits(expected, &frame).map_err(|wrong| format!("{wrong}\n    {frame}"))
    }

    fn socket(&mut self, who: &str) -> Result<&mut Socket, String> {
        self.sockets.get_mut(who).ok_or_else(|| format!("{who} has no socket"))
    }

    /// What came and stands nowhere in the document, or not as those for machines tell it.
    async fn unexplained(mut self) -> Vec<String> {
        let mut unexplained = Vec::new();
        for (who, socket) in &mut self.sockets {
            for frame in socket.settle().await {
                if !PASSING.contains(&frame["type"].as_str().unwrap_or_default()) {
                    unexplained.push(format!("{who} was sent what no example shows: {frame}"));
                }
                self.heard.frame("in passing", &frame);
            }
        }
        unexplained.extend(self.heard.complaints(&self.server).await);
        unexplained
    }
}

#[tokio::test]
async fn every_example_of_the_contract_is_true() {
    let folder = tempfile::tempdir().unwrap();
    let words = folder.path().join("words");
    std::fs::write(&words, "reject: rubbish\nflag: bargain\n").unwrap();
    let mut flags = vec!["--moderation-words-file", words.to_str().unwrap()];
    // What is not to be kept is removed while the examples are played, and not minutes after.
    flags.extend(["--retention-at-least-minutes", "0", "--retention-every-seconds", "1"]);
    let mut with_keys = Stage::new(TestServer::with(&flags).await);
    let mut demo = Stage::new(TestServer::demo().await);
    let mut failures = Vec::new();
    let examples = examples(&document());
    for example in &examples {
        let stage = if example.demo { &mut demo } else { &mut with_keys };
        // A panic is how the sockets report; here it is one finding among others.
        let played = AssertUnwindSafe(stage.play(example)).catch_unwind().await;
        let finding = played.unwrap_or_else(|panic| {
            Err(panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "it panicked".to_owned()))
        });
        if let Err(finding) = finding {
            failures.push(format!("docs/PROTOCOL.md:{}: {finding}", example.line));
        }
    }
    failures.extend(with_keys.unexplained().await);
    failures.extend(demo.unexplained().await);
    assert!(examples.len() >= 30, "only {} examples were found", examples.len());
    assert!(failures.is_empty(), "{} of {} examples:\n{}", failures.len(), examples.len(), failures.join("\n"));
}
