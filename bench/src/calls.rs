//! Calls by HTTP, some at once over connections that are kept: how a measurement is prepared.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::load::{Incoming, Links};

/// Without an answer for so long, something is wrong.
const PATIENCE: Duration = Duration::from_mins(1);

/// A call that has to succeed.
#[derive(Debug)]
pub(crate) struct Call {
    request: Vec<u8>,
}

impl Call {
    pub(crate) fn new(method: &str, path: impl AsRef<str>, token: &str, body: &str) -> Self {
        let (path, length) = (path.as_ref(), body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        Self { request: (head + body).into_bytes() }
    }

    pub(crate) fn get(path: impl AsRef<str>, token: &str) -> Self {
        Self::new("GET", path, token, "")
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    pub(crate) etag: String,
    pub(crate) body: Vec<u8>,
    pub(crate) took: Duration,
}

/// Makes all calls, so many at once; one that fails is the end.
pub(crate) fn all(address: SocketAddr, calls: Vec<Call>, width: usize) -> Result<(), Failure> {
    each(address, calls, width, |_, _| ())
}

/// One call.
pub(crate) fn one(address: SocketAddr, call: Call) -> Result<Answered, Failure> {
    let mut found = None;
    each(address, vec![call], 1, |_, answer| found = Some(answer))?;
    found.ok_or_else(|| "no answer".into())
}

/// Makes all calls and tells each answer with the number of its call.
pub(crate) fn each(
    address: SocketAddr,
    calls: Vec<Call>,
    width: usize,
    mut on: impl FnMut(usize, Answered),
) -> Result<(), Failure> {
    let total = calls.len();
    let mut links = Links::new(None)?;
    let mut waiting = calls.into_iter().enumerate();
    // For each connection, the call that is under way there.
    let mut under_way: Vec<Option<(usize, Instant)>> = vec![None; width.min(total)];
    for place in &mut under_way {
        let link = links.http(address)?;
        if let Some((number, call)) = waiting.next() {
            *place = Some((number, Instant::now()));
            if let Some(link) = links.get(link) {
                link.send(&call.request);
            }
        }
    }
    let (mut done, mut failed, mut last) = (0, None, Instant::now());
    while done < total {
        links.turn(Duration::from_millis(500), |link_number, link, incoming| match incoming {
            Incoming::Answer { status, head, body } => {
                last = Instant::now();
                let Some((number, began)) = under_way[link_number].take() else { return };
                if !(200..300).contains(&status) {
                    failed = Some(format!("call {number}: {status} {}", String::from_utf8_lossy(body)));
                }
                let etag = crate::load::header(head, "etag").unwrap_or_default().to_owned();
                on(number, Answered { etag, body: body.to_vec(), took: began.elapsed() });
                done += 1;
                if let Some((number, call)) = waiting.next() {
                    under_way[link_number] = Some((number, Instant::now()));
                    link.send(&call.request);
                }
            }
            Incoming::Closed(why) => failed = Some(why),
            Incoming::Upgraded | Incoming::Text(_) => {}
        })?;
        if let Some(failed) = failed.take() {
            return Err(failed.into());
        }
        if last.elapsed() > PATIENCE {
            return Err(format!("{done} of {total} calls were answered").into());
        }
    }
    Ok(())
}
