//! `send`: messages by HTTP. Each has its id before the first attempt and keeps it over all of them, so that it is
//! written once however often its answer was lost.

use std::io::BufRead;
use std::time::{Duration, Instant};

use ring::digest;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::client::{Backoff, Client, Denied};
use super::{Failure, Result, print};
use crate::config::{ConfigError, SendArgs};
use crate::model::RoomId;

/// Sends what the arguments or standard input say; returns whether all of it was taken.
pub(super) async fn run(args: SendArgs) -> Result<bool> {
    let room: RoomId = args.room.parse().map_err(|rule: &str| ConfigError::new("ROOM", rule))?;
    let sender = Sender {
        client: Client::new(args.server)?,
        path: format!("/api/chat/rooms/{room}/messages"),
        patience: Duration::from_secs(args.patience),
    };
    if let Some(text) = args.text {
        let id = match args.id {
            None => Uuid::now_v7(),
            Some(id) => Uuid::try_parse(&id).map_err(|_| ConfigError::new("--id", "is a UUID"))?,
        };
        return sender.send(id, &text).await;
    }
    let mut number = 0_u64;
    while let Some(line) = tokio::task::block_in_place(next_line)? {
        number += 1;
        if line.trim().is_empty() {
            continue;
        }
        let id = match &args.batch {
            None => Uuid::now_v7(),
            Some(batch) => id_of_line(batch, &room, number),
        };
        if !sender.send(id, &line).await? {
            eprintln!("Line {number} was not sent, nor what follows it.");
            return Ok(false);
        }
    }
    Ok(true)
}

fn next_line() -> Result<Option<String>> {
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    match read.map_err(|error| Failure::failed(format!("standard input: {error}")))? {
        0 => Ok(None),
        _ => Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned())),
    }
}

/// The same for the same line of the same batch, and for no other.
fn id_of_line(batch: &str, room: &RoomId, number: u64) -> Uuid {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [batch, room.as_str(), &number.to_string()] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&context.finish().as_ref()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

struct Sender {
    client: Client,
    path: String,
    patience: Duration,
}

/// What of an answer is printed.
#[derive(Deserialize)]
struct Answer {
    message: Place,
}

#[derive(Deserialize)]
struct Place {
    seq: u64,
}

impl Sender {
    /// Sends a message until it is taken, refused, or patience ends; returns whether it was taken.
    async fn send(&self, id: Uuid, content: &str) -> Result<bool> {
        let (until, mut backoff) = (Instant::now() + self.patience, Backoff::default());
        let body = json!({ "id": id, "content": content }).to_string();
        loop {
            match self.client.post(&self.path, body.clone()).await {
                Ok(answer) => {
                    let answer: Answer = serde_json::from_slice(&answer)
                        .map_err(|_| Failure::failed(format!("{}: what answers is no Tidings", self.client.url())))?;
                    print(&format!("{id} {}", answer.message.seq))?;
                    return Ok(true);
                }
                Err(Denied::Refused(why)) => {
                    eprintln!("{why}");
                    return Ok(false);
                }
                Err(Denied::Later(why, wait)) => {
                    let wait = wait.unwrap_or_else(|| backoff.next());
                    if Instant::now() + wait > until {
                        eprintln!("{}: {why}; given up. It may be sent again with --id {id}", self.client.url());
                        return Ok(false);
                    }
                    tracing::info!(why, "trying again with the same id");
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_batch_keeps_its_id_and_shares_it_with_none() {
        let room = |name: &str| name.parse::<RoomId>().expect("an id");
        let id = id_of_line("news", &room("lobby"), 1);
        assert_eq!(id, id_of_line("news", &room("lobby"), 1));
        for other in [("new", "slobby", 1), ("news", "lobby", 2), ("news", "hall", 1), ("old", "lobby", 1)] {
            assert_ne!(id, id_of_line(other.0, &room(other.1), other.2), "{other:?}");
        }
        assert!(crate::model::MessageId::trusted(id.to_string()).is_uuid());
    }
}
