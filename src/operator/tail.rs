//! `tail`: a room's messages as they come. It is a reader like any other: it holds a cursor, and whatever ends a
//! connection, the next one goes on from it.

use std::path::Path;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message as SocketMessage};

use super::client::{Backoff, Client, Denied, Socket};
use super::{Failure, Result, print};
use crate::config::{ConfigError, TailArgs};
use crate::lifecycle;
use crate::model::{History, RoomId};

mod printing;

use printing::{Printed, line};

/// How long the service is waited for before it has said how often it is heard.
const FIRST_FRAME: Duration = Duration::from_secs(15);

/// Prints the room; returns whether it ended as it was asked to.
pub(super) async fn run(args: TailArgs) -> Result<bool> {
    let room: RoomId = args.room.parse().map_err(|rule: &str| ConfigError::new("ROOM", rule))?;
    let cursor = begin(&args)?;
    let client = Client::new(args.server.clone())?;
    let mut tail = Tail { client, room, args, cursor, last_seq: 0, printed: 0, backoff: Backoff::default() };
    let done = tokio::select! {
        done = tail.follow() => done,
        signal = lifecycle::stop_signal() => {
            signal.map(|()| true).map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))
        }
    };
    if let Some(cursor) = tail.cursor.as_ref().filter(|_| tail.args.cursor_file.is_none()) {
        eprintln!("To go on from here: --since {cursor}");
    }
    done
}

/// Up to where messages are printed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cursor {
    history: History,
    rev: u64,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.history, self.rev)
    }
}

impl std::str::FromStr for Cursor {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str = "is HISTORY.REV, as an earlier run printed it";
        // A history's name may hold a full stop, too.
        let (history, rev) = text.trim().rsplit_once('.').ok_or(RULE)?;
        Ok(Self { history: history.parse().map_err(|_| RULE)?, rev: rev.parse().map_err(|_| RULE)? })
    }
}

fn begin(args: &TailArgs) -> Result<Option<Cursor>, ConfigError> {
    let read = |setting, text: &str| text.parse().map(Some).map_err(|rule: &str| ConfigError::new(setting, rule));
    match (&args.since, &args.cursor_file) {
        (Some(since), _) => read("--since", since),
        (None, Some(path)) => match std::fs::read_to_string(path) {
            Ok(text) => read("--cursor-file", &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ConfigError::new("--cursor-file", format!("{}: {error}", path.display()))),
        },
        (None, None) => Ok(None),
    }
}

/// What the service says, as far as it concerns a tail.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Frame {
    #[serde(rename = "type")]
    kind: String,
    rev: Option<u64>,
    history: Option<History>,
    status: Option<String>,
    reason: Option<String>,
    message: Option<Box<RawValue>>,
    messages: Option<Vec<Box<RawValue>>>,
    code: Option<String>,
    detail: Option<String>,
    heartbeat_ms: Option<u64>,
    reconnect_in_ms: Option<u64>,
}

/// What follows a frame.
enum Next {
    /// The next frame.
    Frame,
    /// All that was asked for is printed.
    Done,
}

struct Tail {
    client: Client,
    room: RoomId,
    args: TailArgs,
    cursor: Option<Cursor>,
    last_seq: u64,
    printed: u64,
    backoff: Backoff,
}

/// A connection, and what is known of it.
struct Following {
    /// When it counts as dead, or is to be left.
    until: Instant,
    heartbeat: Duration,
    /// It is to be left then, because its instance stops.
    leaving: bool,
    /// Where the room's log ended when it was subscribed to.
    head: Option<u64>,
    history: Option<History>,
    /// What comes first is not to be printed.
    skips_page: bool,
}

impl Tail {
    async fn follow(&mut self) -> Result<bool> {
        loop {
            let denied = match self.session().await? {
                Ok(()) => return Ok(true),
                Err(denied) => denied,
            };
            match denied {
                Denied::Refused(why) => {
                    eprintln!("{}: {why}", self.room);
                    return Ok(false);
                }
                Denied::Later(why, wait) => {
                    if self.args.following.once {
                        eprintln!("{}: {why}", self.client.url());
                        return Ok(false);
                    }
                    tracing::warn!(why, "the connection is gone; coming back");
                    tokio::time::sleep(wait.unwrap_or_else(|| self.backoff.next())).await;
                }
            }
        }
    }

    /// One connection, to its end.
    async fn session(&mut self) -> Result<Result<(), Denied>> {
        let mut socket = match self.client.socket().await {
            Ok(socket) => socket,
            Err(denied) => return Ok(Err(denied)),
        };
        let mut following = Following {
            until: Instant::now() + FIRST_FRAME,
            heartbeat: FIRST_FRAME,
            leaving: false,
            head: None,
            history: None,
            skips_page: self.cursor.is_none() && self.args.limit == 0,
        };
        loop {
            let text = match timeout_at(following.until, socket.next()).await {
                Err(_) if following.leaving => return Ok(Err(later("the instance stops", Some(Duration::ZERO)))),
                Err(_) => return Ok(Err(later("nothing was heard of it any more", None))),
                Ok(None) => return Ok(Err(later("it hung up", None))),
                Ok(Some(Err(error))) => return Ok(Err(later(error.to_string(), None))),
                Ok(Some(Ok(SocketMessage::Close(frame)))) => return Ok(Err(closed(frame))),
                Ok(Some(Ok(SocketMessage::Text(text)))) => text,
                Ok(Some(Ok(_))) => {
                    following.heard();
                    continue;
                }
            };
            following.heard();
            let Ok(frame) = serde_json::from_str::<Frame>(&text) else {
                return Ok(Err(Denied::Refused("what answers there is no Tidings".to_owned())));
            };
            match self.take(&mut socket, &mut following, frame).await? {
                Ok(Next::Frame) => {}
                Ok(Next::Done) => {
                    // Good manners; whoever is not told finds out.
                    drop(socket.close(None).await);
                    return Ok(Ok(()));
                }
                Err(denied) => return Ok(Err(denied)),
            }
        }
    }

    /// Takes a frame in: the outer failure is this program's, the inner one the service's.
    async fn take(
        &mut self,
        socket: &mut Socket,
        following: &mut Following,
        frame: Frame,
    ) -> Result<Result<Next, Denied>> {
        match frame.kind.as_str() {
            "welcome" => {
                // As a client does: silence of two and a half heartbeats is none.
                following.heartbeat = Duration::from_millis(frame.heartbeat_ms.unwrap_or(25_000)).mul_f64(2.5);
                following.heard();
                if let Err(error) = self.subscribe(socket).await {
                    return Ok(Err(later(error.to_string(), None)));
                }
            }
            "subscribed" => self.subscribed(following, &frame),
            "messages" => {
                let skip = std::mem::take(&mut following.skips_page);
                if self.print(frame.messages.unwrap_or_default(), skip)? {
                    return Ok(Ok(Next::Done));
                }
                self.moved(following, frame.rev)?;
            }
            "message" => {
                if let Some(message) = frame.message {
                    let rev = Printed::of(&message)?.rev;
                    let is_enough = self.print(vec![message], false)?;
                    self.moved(following, Some(rev))?;
                    if is_enough {
                        return Ok(Ok(Next::Done));
                    }
                }
            }
            "removed" => return Ok(Err(Denied::Refused("you are no longer in this room".to_owned()))),
            "error" => return Ok(Err(failed(&frame))),
            "drain" => following.leave(frame.reconnect_in_ms),
            _ => {}
        }
        let is_whole = following.head.is_some_and(|head| self.cursor.as_ref().is_some_and(|c| c.rev >= head));
        Ok(Ok(if self.args.following.once && is_whole { Next::Done } else { Next::Frame }))
    }

    async fn subscribe(&self, socket: &mut Socket) -> Result<(), SocketError> {
        let mut frame = json!({ "type": "subscribe", "id": 1, "roomId": self.room, "limit": self.args.limit.max(1) });
        if let Some(cursor) = &self.cursor {
            frame["since"] = json!(cursor.rev);
            frame["history"] = json!(cursor.history);
        }
        socket.send(SocketMessage::text(frame.to_string())).await
    }

    fn subscribed(&mut self, following: &mut Following, frame: &Frame) {
        self.backoff.reset();
        following.head = frame.rev;
        following.history.clone_from(&frame.history);
        if frame.status.as_deref() == Some("reset") {
            let why = frame.reason.as_deref().unwrap_or("reset");
            eprintln!("{}: the log begins anew ({why}); its newest messages follow.", self.room);
            self.cursor = None;
            self.last_seq = 0;
        }
    }

    /// Prints messages; returns whether these were as many as were asked for.
    fn print(&mut self, messages: Vec<Box<RawValue>>, skip: bool) -> Result<bool> {
        for message in messages {
            let parsed = Printed::of(&message)?;
            let is_new = parsed.seq > self.last_seq;
            self.last_seq = self.last_seq.max(parsed.seq);
            if skip {
                continue;
            }
            print(&if self.args.json { message.get().to_owned() } else { line(&parsed, is_new) })?;
            self.printed += 1;
            if self.args.following.count.is_some_and(|count| self.printed >= count) {
                // Within a page the cursor is not at its end yet; what is printed is what was asked for.
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// All up to `rev` is printed.
    fn moved(&mut self, following: &Following, rev: Option<u64>) -> Result<()> {
        let (Some(rev), Some(history)) = (rev, following.history.clone()) else { return Ok(()) };
        let cursor = Cursor { history, rev };
        if let Some(path) = &self.args.cursor_file {
            keep(path, &cursor)?;
        }
        self.cursor = Some(cursor);
        Ok(())
    }
}

impl Following {
    /// It is alive.
    fn heard(&mut self) {
        if !self.leaving {
            self.until = Instant::now() + self.heartbeat;
        }
    }

    fn leave(&mut self, after: Option<u64>) {
        self.leaving = true;
        self.until = Instant::now() + Duration::from_millis(after.unwrap_or(0));
    }
}

/// Writes the cursor, whole or not at all.
fn keep(path: &Path, cursor: &Cursor) -> Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let written = std::fs::write(&beside, format!("{cursor}\n")).and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|error| Failure::of_file(path, &error))
}

fn later(why: impl Into<String>, wait: Option<Duration>) -> Denied {
    Denied::Later(why.into(), wait)
}

/// Whether to come back, by the range of the code.
fn closed(frame: Option<CloseFrame>) -> Denied {
    let Some(frame) = frame else { return later("it hung up", None) };
    let (code, why) = (u16::from(frame.code), format!("it closed with {} {}", frame.code, frame.reason));
    match code {
        1002 | 1003 | 1007 | 1009 | 4000..=4099 => Denied::Refused(why),
        4200..=4299 => later(why, Some(Duration::ZERO)),
        _ => later(why, None),
    }
}

/// What an error frame means: there is but one call to refuse.
fn failed(frame: &Frame) -> Denied {
    let code = frame.code.as_deref().unwrap_or("error");
    let why = format!("{code}: {}", frame.detail.as_deref().unwrap_or_default());
    if matches!(code, "unavailable" | "internal" | "rate_limited") { later(why, None) } else { Denied::Refused(why) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_printed() {
        for text in ["h1.57", "a.b.0"] {
            assert_eq!(text.parse::<Cursor>().expect(text).to_string(), text);
        }
        for wrong in ["", "57", "h1.", ".5", "h1.x", "h 1.5"] {
            assert!(wrong.parse::<Cursor>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_close_says_whether_to_come_back() {
        let code = |code: u16| closed(Some(CloseFrame { code: code.into(), reason: "".into() }));
        for refused in [1002, 1009, 4001, 4005] {
            assert!(matches!(code(refused), Denied::Refused(_)), "{refused}");
        }
        for again in [1001, 1006, 4100, 4106, 4300] {
            assert!(matches!(code(again), Denied::Later(_, None)), "{again}");
        }
        assert!(matches!(code(4200), Denied::Later(_, Some(Duration::ZERO))));
    }
}
