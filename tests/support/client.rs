//! HTTP as a user would speak it: what is sent and what is answered, nothing interpreted on the way.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tokio::net::TcpStream;

use super::{DEADLINE, discretion};

/// One user's HTTP client.
#[derive(Clone)]
pub(crate) struct Api {
    client: reqwest::Client,
    address: SocketAddr,
    token: Option<String>,
}

/// What was answered, with the call it answers for the report.
pub(crate) struct Reply {
    call: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
    pub(crate) bytes: Vec<u8>,
}

impl Api {
    pub(crate) fn new(address: SocketAddr, token: Option<String>) -> Self {
        let client = reqwest::Client::builder().no_proxy().timeout(DEADLINE * 4).build().unwrap();
        Self { client, address, token }
    }

    /// The same server as somebody else.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path, &[], None).await
    }

    /// A GET with headers of one's own.
    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.call(Method::GET, path, headers, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.json(Method::POST, path, &body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Reply {
        self.json(Method::PATCH, path, &body).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.json(Method::PUT, path, &body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.call(Method::DELETE, path, &[], None).await
    }

    async fn json(&self, method: Method, path: &str, body: &Value) -> Reply {
        let headers = [("content-type", "application/json")];
        self.call(method, path, &headers, Some(body.to_string().into_bytes())).await
    }

    /// Any call at all.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Reply {
        let call = format!("{method} {path}");
        let reply = self.send(self.request(method, path, headers, body), &call).await;
        reply.unwrap_or_else(|error| panic!("{call}: no whole answer: {error:?}"))
    }

    /// A call for times when things break: no answer within `patience` is an answer too.
    pub(crate) async fn attempt(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
        patience: Duration,
    ) -> Option<Reply> {
        let call = format!("{method} {path}");
        let mut headers = headers.to_vec();
        headers.extend(body.map(|_| ("content-type", "application/json")));
        let body = body.map(|body| body.to_string().into_bytes());
        self.send(self.request(method, path, &headers, body).timeout(patience), &call).await.ok()
    }

    fn request(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<Vec<u8>>) -> RequestBuilder {
        let mut request = self.client.request(method, format!("http://{}{path}", self.address));
        if let Some(token) = &self.token {
            discretion::token(token);
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            discretion::header(name, value);
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            discretion::body(&body);
            request = request.body(body);
        }
        request
    }

    async fn send(&self, request: RequestBuilder, call: &str) -> Result<Reply, reqwest::Error> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await?;
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if let Some(token) = json["token"].as_str() {
            discretion::token(token);
        }
        Ok(Reply { call: call.to_owned(), status, headers, json, bytes: bytes.to_vec() })
    }
}

impl Reply {
    /// The body of an answer with this status; any other fails and is shown.
    #[track_caller]
    pub(crate) fn ok(self, status: u16) -> Value {
        assert!(self.status == status, "expected {status} from {self}");
        self.json
    }

    /// The problem of an answer with this status and code, well formed by RFC 9457.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Value {
        assert!(self.status == status && self.json["code"] == code, "expected {status} {code} from {self}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self}");
        assert_eq!(self.json["status"], status, "{self}");
        assert_eq!(self.json["error"], self.json["detail"], "{self}");
        self.json
    }

    /// The problem of a field that does not hold what it must.
    #[track_caller]
    pub(crate) fn invalid(self, field: &str) -> Value {
        let problem = self.problem(400, "invalid");
        assert_eq!(problem["field"], field, "{problem}");
        problem
    }

    /// A header's text; empty when it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, got {} {}", self.call, self.status, String::from_utf8_lossy(&self.bytes))
    }
}

/// Bytes straight onto a connection, and all that comes back until the server closes it: for requests no client
/// library would send. Whoever wants the server to close sends `Connection: close`.
pub(crate) async fn raw_request(address: SocketAddr, bytes: &[u8]) -> String {
    let exchange = async {
        let stream = TcpStream::connect(address).await.unwrap();
        write_all(&stream, bytes).await;
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            stream.readable().await.unwrap();
            match stream.try_read(&mut buffer) {
                Ok(0) => return answer,
                Ok(n) => answer.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return answer, // a reset says the same as an end here: nothing more comes
            }
        }
    };
    let answer = tokio::time::timeout(DEADLINE * 4, exchange).await.expect("the server neither answers nor closes");
    String::from_utf8_lossy(&answer).into_owned()
}

/// All of it; a peer that closes midway ends it early, and what it answered tells why.
pub(crate) async fn write_all(stream: &TcpStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        stream.writable().await.unwrap();
        match stream.try_write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
