//! One connection: authenticate, then read, do, write, until it ends. One task, no channel. While it is up to date in a
//! room, the hub pushes past it to its socket. As soon as the socket takes no more, what moves only marks the
//! connection's reader, and the connection pulls it from its cursors once the socket has taken what was written before.
//! So a slow socket holds no more than one batch, however much it misses.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::Instrument;

use super::outbound::close_of;
use super::rooms::Rooms;
use super::socket::{Incoming, Socket};
use super::{AsWho, Call, Context, Presented, counting};
use crate::auth::request::Token;
use crate::error::{Error, Result};
use crate::hub::{Entered, ListSubscription, Reader};
use crate::lifecycle::Guest;
use crate::limits::FrameBucket;
use crate::model::{Caller, RoomId, Session, Timestamp};
use crate::protocol::{ClientFrame, Close, Frame, FrameId, ServerFrame, decode};
use crate::telemetry::{self, trace};

/// How long before its end a session's client is warned.
const WARNING: Duration = Duration::from_mins(1);
/// How long after it a client may still renew.
const GRACE: Duration = Duration::from_secs(30);
/// Frames refused, beyond those let through since, after which a connection is closed.
const REFUSALS: u32 = 200;

/// The room list the connection watches.
pub(super) struct Watched {
    pub(super) _subscription: ListSubscription,
    /// `rev` and read position last told of each room.
    pub(super) told: HashMap<RoomId, (u64, u64)>,
    /// Rooms that moved since.
    pub(super) moved: HashSet<RoomId>,
    /// Whether the whole list has to be compared with what was told.
    pub(super) relist: bool,
    /// When to tell.
    pub(super) due: Option<Instant>,
}

/// An authenticated connection.
pub(super) struct Connection<'a> {
    pub(super) context: &'a Context,
    pub(super) call: Arc<Call>,
    pub(super) reader: Arc<Reader>,
    _entered: Entered,
    /// When its token ends.
    expires_at: Timestamp,
    pub(super) rooms: Rooms,
    /// Rooms whose log may hold something after the cursor, in the order they are served.
    pub(super) behind: VecDeque<RoomId>,
    pub(super) watched: Option<Box<Watched>>,
    /// Answers, in the order of what they answer. At most those of one frame wait: the next is read after them.
    pub(super) replies: Vec<Frame>,
    /// When a read that failed is tried again.
    pub(super) retry: Option<Instant>,
    bucket: FrameBucket,
    refusals: u32,
    heard: Instant,
    pinged: Instant,
    warned: bool,
    /// When it has to be gone, because the instance stops.
    leaves: Option<Instant>,
}

/// Serves a connection to its end; returns how to close it, nothing if the peer is gone.
pub(super) async fn run(
    context: &Context,
    guest: &Guest,
    socket: &mut Socket,
    presented: Box<Presented>,
) -> Option<Close> {
    let span = presented.call.span();
    let known = tokio::select! {
        known = Box::pin(authenticate(context, socket, presented).instrument(span)) => known,
        // Who has not said who they are by then is not waited for.
        () = context.lifecycle.stopping() => return Some(Close::DRAIN),
    };
    match known {
        Ok(known) => Connection::welcome(context, known).serve(guest, socket).await,
        Err(close) => close,
    }
}

/// Who has authenticated, with their place among those who are here.
struct Known {
    caller: Arc<Caller>,
    session: Session,
    reader: Arc<Reader>,
    entered: Entered,
    call: Arc<Call>,
}

async fn authenticate(
    context: &Context,
    socket: &mut Socket,
    presented: Box<Presented>,
) -> Result<Box<Known>, Option<Close>> {
    let Presented { as_who, call } = *presented;
    let (id, caller) = match as_who {
        AsWho::Token(verified) => (None, verified),
        AsWho::Nothing => first_frame(context, socket).await?,
    };
    let known = async {
        let caller = caller?;
        let reader = Arc::new(Reader::of_connection(&caller, socket.outlet().clone()));
        let entered = context.chat.enter(&reader, &caller)?;
        let session = context.chat.session(&caller).await?;
        Ok::<_, Error>(Box::new(Known { caller, session, reader, entered, call }))
    };
    match known.await {
        Ok(known) => Ok(known),
        Err(error) => {
            report(&error);
            // A peer that is gone already needs no answer.
            socket.feed(&ServerFrame::error(id, &error).encode());
            let _ = socket.flush().await;
            Err(Some(match error {
                Error::TokenExpired => Close::TOKEN_EXPIRED,
                Error::TokenRevoked => Close::REVOKED,
                Error::Suspended => Close::SUSPENDED,
                Error::RateLimited { .. } => Close::TOO_MANY_CONNECTIONS,
                error if error.is_fault() => Close::OVERLOADED,
                _ => Close::UNAUTHENTICATED,
            }))
        }
    }
}

/// Waits for the frame that must come first, `auth`. Whatever else comes is as good as no token.
async fn first_frame(
    context: &Context,
    socket: &mut Socket,
) -> Result<(Option<FrameId>, Result<Arc<Caller>>), Option<Close>> {
    let deadline = Instant::now() + context.settings.auth_deadline;
    loop {
        match timeout_at(deadline, socket.next()).await.map_err(|_| Some(Close::AUTH_TIMEOUT))? {
            Incoming::Alive => {}
            Incoming::End(close) => return Err(close),
            Incoming::Text(text) => {
                return Ok(match decode(&text) {
                    Ok((id, ClientFrame::Auth(auth))) => (id, context.auth.user(&Token::bearer(&auth.token)).await),
                    Ok((id, _)) => (id, Err(Error::Unauthenticated("the first frame is `auth`"))),
                    Err(bad) => (bad.id, Err(bad.error)),
                });
            }
        }
    }
}

/// Shows the log what the service did wrong, once.
pub(super) fn report(error: &Error) {
    if error.is_fault() {
        metrics::counter!(telemetry::FAULTS, "code" => error.code()).increment(1);
        tracing::error!(code = error.code(), error = error.chain(), "a frame failed");
    } else {
        tracing::debug!(code = error.code(), error = error.discreet(), "a frame was refused");
    }
}

impl<'a> Connection<'a> {
    /// A connection that begins with its `welcome`.
    #[expect(clippy::boxed_local, reason = "the box is to end here, and not with the connection")]
    fn welcome(context: &'a Context, known: Box<Known>) -> Self {
        let Known { caller, session, reader, entered, call } = *known;
        let settings = &context.settings;
        let welcome = ServerFrame::Welcome {
            session: &session,
            history: &context.chat.history(),
            heartbeat_ms: u64::try_from(settings.heartbeat.as_millis()).unwrap_or(u64::MAX),
            limits: &settings.limits,
            request_id: &call.request_id,
        };
        let replies = vec![welcome.encode()];
        Self {
            context,
            call,
            reader,
            _entered: entered,
            expires_at: caller.expires_at(),
            rooms: Rooms::default(),
            behind: VecDeque::new(),
            watched: None,
            replies,
            retry: None,
            bucket: context.chat.limits().connection(),
            refusals: 0,
            heard: Instant::now(),
            pinged: Instant::now(),
            warned: false,
            leaves: None,
        }
    }

    async fn serve(&mut self, guest: &Guest, socket: &mut Socket) -> Option<Close> {
        let lifecycle = &self.context.lifecycle;
        let reader = self.reader.clone();
        loop {
            // Neither a stop nor the end of the session waits for a peer that does not read.
            let written = tokio::select! {
                written = self.write(socket) => written,
                ending = reader.over() => return Some(close_of(ending)),
                () = lifecycle.stopping() => return Some(Close::DRAIN),
            };
            let more = match written {
                Ok(more) => more,
                Err(close) => return Some(close),
            };
            let wake_at = self.next_deadline();
            // In this order: whoever floods us with frames is still written to, one batch per frame.
            tokio::select! {
                biased;
                () = guest.called(), if self.leaves.is_none() => {
                    let turn = guest.turn();
                    self.leaves = Some(turn.end);
                    let wait = turn.moment.saturating_duration_since(Instant::now());
                    let reconnect_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                    self.replies.push(ServerFrame::Drain { reconnect_in_ms }.encode());
                }
                incoming = socket.next() => match incoming {
                    // Nothing more is done for who has to end; the next write says so.
                    _ if reader.ending().is_some() => {}
                    Incoming::Alive => {
                        self.heard = Instant::now();
                        // Signs of life are few; a flood of them is one like any other.
                        if self.take_frame().is_err() && self.is_flooding() {
                            return Some(Close::RATE_LIMITED);
                        }
                    }
                    Incoming::End(close) => return close,
                    Incoming::Text(text) => {
                        self.heard = Instant::now();
                        // Boxed, as all that is rare: an idle connection does not keep room for it.
                        let span = self.call.span();
                        if let Some(close) = Box::pin(self.receive(text, socket).instrument(span)).await {
                            return Some(close);
                        }
                    }
                },
                () = reader.woken(), if !more => {}
                () = std::future::ready(()), if more => {}
                () = sleep_until(wake_at) => {}
            }
            if let Err(close) = self.keep_time(socket) {
                if close == Close::DRAIN {
                    guest.shown_out();
                }
                return Some(close);
            }
        }
    }

    /// Does what one frame asks, and answers it; returns how to close, if that is how it ends.
    async fn receive(&mut self, text: Frame, socket: &mut Socket) -> Option<Close> {
        let close = self.obey(&text).await?;
        // The answer that says why goes out before the close. The peer may be gone: no matter.
        let _ = self.write(socket).await;
        Some(close)
    }

    async fn obey(&mut self, text: &str) -> Option<Close> {
        if let Err(error) = self.take_frame() {
            let id = decode(text).map_or_else(|bad| bad.id, |(id, _)| id);
            self.replies.push(ServerFrame::error(id, &error).encode());
            return self.is_flooding().then_some(Close::RATE_LIMITED);
        }
        let begin = Instant::now();
        let (id, kind, result) = match decode(text) {
            Ok((id, frame)) => {
                let (kind, span) = (counting::kind(Some(&frame)), trace::frame(frame.name()));
                let result = self.handle(id.clone(), frame).instrument(span.clone()).await;
                if let Err(error) = &result {
                    trace::refused(&span, error.code(), error.is_fault());
                }
                (id, kind, result)
            }
            Err(bad) => (bad.id, counting::kind(None), Err(bad.error)),
        };
        counting::done(kind, begin.elapsed(), result.as_ref().err());
        let Err(error) = result else { return None };
        report(&error);
        self.replies.push(ServerFrame::error(id, &error).encode());
        Self::ends_with(&error)
    }

    /// Takes one frame from the bucket, and keeps count of those that it refuses.
    fn take_frame(&mut self) -> Result<()> {
        let taken = self.bucket.frame();
        // Paid back one by one: the bucket lets a frame through now and then even under a flood.
        self.refusals = if taken.is_ok() { self.refusals.saturating_sub(1) } else { self.refusals + 1 };
        taken
    }

    fn is_flooding(&self) -> bool {
        self.refusals >= REFUSALS
    }

    fn next_deadline(&self) -> Instant {
        let heartbeat = self.heard.max(self.pinged) + self.context.settings.heartbeat;
        let due = self.watched.as_ref().and_then(|watched| watched.due);
        let session = self.session_ends(if self.warned { Duration::ZERO } else { WARNING + GRACE });
        [Some(heartbeat), due, self.retry, Some(session), self.leaves].into_iter().flatten().min().unwrap_or(heartbeat)
    }

    /// So long before the last moment in which the session may be renewed.
    fn session_ends(&self, before: Duration) -> Instant {
        let left = self.expires_at.0.saturating_sub(Timestamp::now().0);
        let left = Duration::from_micros(u64::try_from(left).unwrap_or(0)) + GRACE;
        // A token of a hundred years does not fit into an instant.
        Instant::now() + left.saturating_sub(before).min(Duration::from_hours(24))
    }

    /// Heartbeats, and the session's end.
    fn keep_time(&mut self, socket: &mut Socket) -> Result<(), Close> {
        let now = Instant::now();
        let heartbeat = self.context.settings.heartbeat;
        if self.leaves.is_some_and(|end| end <= now) {
            return Err(Close::DRAIN);
        }
        if now.duration_since(self.heard) >= heartbeat.mul_f32(2.5) {
            return Err(Close::HEARTBEAT_TIMEOUT);
        }
        if now.duration_since(self.heard.max(self.pinged)) >= heartbeat {
            self.pinged = now;
            socket.ping();
        }
        let left = self.expires_at.0 - Timestamp::now().0;
        if left <= -i64::try_from(GRACE.as_micros()).unwrap_or(i64::MAX) {
            return Err(Close::TOKEN_EXPIRED);
        }
        if !self.warned && left <= i64::try_from(WARNING.as_micros()).unwrap_or(0) {
            self.warned = true;
            self.replies.push(ServerFrame::Expiring { in_ms: u64::try_from(left / 1000).unwrap_or(0) }.encode());
        }
        Ok(())
    }

    /// A renewed session counts from now on.
    pub(super) fn renew(&mut self, caller: &Caller) {
        self.reader.renew(caller.credential.clone());
        self.expires_at = caller.expires_at();
        self.warned = false;
    }
}
