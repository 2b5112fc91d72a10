//! Whoever publishes keys, on loopback: answers every request with what the test has put there, and counts them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A server that knows one answer at a time.
pub(crate) struct Publisher {
    address: SocketAddr,
    answer: Arc<Mutex<String>>,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Publisher {
    /// One that publishes these keys.
    pub(crate) async fn start(keys: &[Value]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(Mutex::new(whole("200 OK", "", &set(keys))));
        let (connections, requests) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let (said, connected, requested) = (answer.clone(), connections.clone(), requests.clone());
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                connected.fetch_add(1, Ordering::SeqCst);
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { break };
                    head.push(byte);
                }
                if head.starts_with(b"GET ") {
                    requested.fetch_add(1, Ordering::SeqCst);
                    let answer = said.lock().unwrap().clone();
                    drop(stream.write_all(answer.as_bytes()).await);
                }
            }
        });
        Self { address, answer, connections, requests, task }
    }

    /// Publishes these keys from now on.
    pub(crate) fn publish(&self, keys: &[Value]) {
        self.answer_with("200 OK", "", &set(keys));
    }

    /// Answers anything else from now on.
    pub(crate) fn answer_with(&self, status: &str, header: &str, body: &str) {
        *self.answer.lock().unwrap() = whole(status, header, body);
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    /// How often it was asked.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// How often anything connected to it.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

fn whole(status: &str, header: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{header}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}
