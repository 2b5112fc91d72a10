//! Writing messages: send, edit, delete, react, typing.

use std::sync::Arc;

use super::Chat;
use super::moderation::Looked;
use crate::error::Result;
use crate::model::text::{check_emoji, check_text};
use crate::model::{DraftInput, History, Message, MessageId, RoomId, UserId};
use crate::protocol::ServerFrame;
use crate::protocol::publication::{Aside, AsideKind};
use crate::store::{Store, Written};
use crate::telemetry;

/// How long a client shows that someone is writing.
const TYPING_TTL_MS: u64 = 6000;

/// A send that is acknowledged.
#[derive(Debug)]
pub struct Accepted {
    /// The message as it is now.
    pub message: Arc<Message>,
    /// The history it belongs to.
    pub history: History,
    /// Whether it is new; the same send tried again is not.
    pub is_new: bool,
}

impl From<Written> for (Accepted, Option<crate::model::Commit>) {
    fn from(Written { message, history, commit }: Written) -> Self {
        (Accepted { message, history, is_new: commit.is_some() }, commit)
    }
}

/// What became of a send, for the metrics.
fn result_of(sent: &Result<Accepted>) -> &'static str {
    match sent {
        Ok(accepted) if accepted.is_new => "new",
        Ok(_) => "repeated",
        Err(error) if error.is_fault() => "failed",
        Err(_) => "refused",
    }
}

impl Chat {
    /// Sends a message; the same send tried again returns the same message.
    pub async fn send(&self, user: &UserId, room: &RoomId, input: DraftInput) -> Result<Accepted> {
        let sent = self.send_once(user, room, input).await;
        if let Some(counter) = telemetry::handles().and_then(|counting| counting.sends.of(result_of(&sent))) {
            counter.increment(1);
        }
        sent
    }

    async fn send_once(&self, user: &UserId, room: &RoomId, input: DraftInput) -> Result<Accepted> {
        let draft = input.check(self.0.message_chars)?;
        if let Err(limited) = self.take_send(user) {
            // Trying again is free: it finds what the first try stored even when the bucket is empty.
            let sent = self.0.store.sent_before(room, user, &draft).await?;
            return sent.map(|sent| <(Accepted, _)>::from(sent).0).ok_or(limited);
        }
        let flag = match self.look_at_send(user, room, &draft).await? {
            Looked::Before(sent) => return Ok(sent),
            Looked::May(flag) => flag,
        };
        let (store, room, user) = (self.0.store.clone(), room.clone(), user.clone());
        self.write(async move { store.send(&room, &user, draft, flag).await.map(Into::into) }).await
    }

    /// Changes one's own message.
    pub async fn edit(&self, user: &UserId, room: &RoomId, id: &MessageId, content: String) -> Result<Arc<Message>> {
        check_text("content", &content, self.0.message_chars)?;
        self.take_change(user)?;
        let flag = match self.look_at_edit(user, room, id, &content).await? {
            Looked::Before(unchanged) => return Ok(unchanged),
            Looked::May(flag) => flag,
        };
        let (room, user, id) = (room.clone(), user.clone(), id.clone());
        self.change(move |store| async move { store.edit(&room, &user, &id, content, flag).await }).await
    }

    /// Blanks a message.
    pub async fn delete(&self, user: &UserId, room: &RoomId, id: &MessageId) -> Result<Arc<Message>> {
        self.take_change(user)?;
        let (room, user, id) = (room.clone(), user.clone(), id.clone());
        self.change(move |store| async move { store.delete(&room, &user, &id).await }).await
    }

    /// Gives an emoji, or takes it back.
    pub async fn react(
        &self,
        user: &UserId,
        room: &RoomId,
        id: &MessageId,
        emoji: String,
        on: bool,
    ) -> Result<Arc<Message>> {
        check_emoji(&emoji)?;
        self.take_change(user)?;
        let (room, user, id) = (room.clone(), user.clone(), id.clone());
        self.change(move |store| async move { store.react(&room, &user, &id, emoji, on).await }).await
    }

    pub(super) async fn change<F>(&self, work: impl FnOnce(Store) -> F) -> Result<Arc<Message>>
    where
        F: Future<Output = Result<Written>> + Send + 'static,
    {
        let work = work(self.0.store.clone());
        self.write(async move { work.await.map(|written| (written.message, written.commit)) }).await
    }

    /// Tells the room that one is writing: best effort, at most once in 3 s per person and room.
    pub async fn typing(&self, user: &UserId, room: &RoomId) -> Result<()> {
        self.follow(user, room).await?;
        if self.0.limits.typing(user, room) {
            let frame = ServerFrame::Typing { room_id: room, user_id: user, ttl_ms: TYPING_TTL_MS }.encode();
            let (from, room_id, author) = (self.0.broker.instance(), room.clone(), user.clone());
            self.tell_aside_to_all(Aside { from, room_id, author, kind: AsideKind::Typing, frame });
        }
        Ok(())
    }
}
