//! What a server said, held against what its documents tell of it. Python's `jsonschema` is the judge: a validator of
//! our own would be wrong where the schemas are.

use std::path::{Path, PathBuf};
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Api, Reply, TestServer};

/// All that was said by both sides.
#[derive(Default)]
pub(crate) struct Heard(Vec<Value>);

impl Heard {
    /// An answer by HTTP, and what it answers.
    pub(crate) fn answer(&mut self, at: &str, (method, path, sent): (&Method, &str, Option<Value>), reply: &Reply) {
        let text = |value: &reqwest::header::HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let headers = reply.headers.iter().map(|(name, value)| (name.to_string(), Value::from(text(value))));
        self.0.push(json!({
            "at": at,
            "method": method.as_str(),
            "path": path,
            "sent": sent,
            "status": reply.status,
            "headers": headers.collect::<serde_json::Map<_, _>>(),
            "body": reply.json,
        }));
    }

    /// A client's frame. Should it be refused, it is as if it had not been said.
    pub(crate) fn say(&mut self, at: &str, frame: &Value) {
        self.0.push(json!({ "at": at, "side": "client", "frame": frame }));
    }

    /// A frame of the server.
    pub(crate) fn frame(&mut self, at: &str, frame: &Value) {
        if frame["type"] == "error" {
            self.0.retain(|said| said["side"] != "client" || said["frame"]["id"] != frame["id"] || said["at"] != at);
        }
        self.0.push(json!({ "at": at, "side": "server", "frame": frame }));
    }

    /// What of it the documents of the server do not tell, each with where it was said.
    pub(crate) async fn complaints(self, server: &TestServer) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        fetch(&server.anonymous(), folder.path()).await;
        let lines: Vec<String> = self.0.iter().map(Value::to_string).collect();
        std::fs::write(folder.path().join("heard"), lines.join("\n")).unwrap();
        let output = check("heard", folder.path()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let complaints: Vec<String> = text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        assert!(output.status.success() == complaints.is_empty(), "{}: {text}", output.status);
        complaints
    }
}

/// Puts the documents into a folder.
pub(super) async fn fetch(api: &Api, folder: &Path) {
    for name in ["openapi.json", "asyncapi.json"] {
        std::fs::write(folder.join(name), api.get(&format!("/{name}")).await.ok(200).to_string()).unwrap();
    }
}

/// What Python knows of documents in this folder.
pub(super) fn check(what: &str, folder: &Path) -> Command {
    let mut python = Command::new(tool("python"));
    python.arg(here().join("check.py")).arg(what).arg(folder);
    python
}

/// A program of the Python environment that the test command makes.
pub(super) fn tool(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin").join(name);
    assert!(path.exists(), "{} is not there; tests/run makes it", path.display());
    path
}

pub(super) fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/documents")
}
