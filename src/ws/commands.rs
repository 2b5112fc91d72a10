//! What each frame of a client does, and its answer.

use std::sync::Arc;

use super::connection::{Connection, Watched};
use super::counting;
use crate::auth::request::Token;
use crate::chat::ReadTo;
use crate::error::{Error, Result};
use crate::model::{Message, RoomId, Session};
use crate::protocol::{Auth, ClientFrame, Close, FrameId, ServerFrame, Subscribe};
use crate::telemetry;

/// Why a renewal is refused.
const OTHER_USER: &str = "a session is renewed with a token of the same user";

impl Connection<'_> {
    /// Does what a frame asks and queues its answer; the caller answers an error.
    pub(super) async fn handle(&mut self, id: Option<FrameId>, frame: ClientFrame) -> Result<()> {
        let chat = &self.context.chat;
        let user = self.reader.user().clone();
        match frame {
            ClientFrame::Subscribe(request) => return self.subscribe(id, request).await,
            ClientFrame::Watch => return self.watch(id).await,
            ClientFrame::Auth(auth) => return self.authenticate_again(id, &auth).await,
            ClientFrame::Unsubscribe(of) => {
                self.leave(&of.room_id);
                self.ok(id);
            }
            ClientFrame::Send(send) => {
                let accepted = chat.send(&user, &send.room_id, send.message).await?;
                self.ok_message(id, &accepted.message);
            }
            ClientFrame::Edit(edit) => {
                let message = chat.edit(&user, &edit.room_id, &edit.message_id, edit.content).await?;
                self.ok_message(id, &message);
            }
            ClientFrame::Delete(of) => {
                let message = chat.delete(&user, &of.room_id, &of.message_id).await?;
                self.ok_message(id, &message);
            }
            ClientFrame::React(react) => {
                let message = chat.react(&user, &react.room_id, &react.message_id, react.emoji, react.on).await?;
                self.ok_message(id, &message);
            }
            ClientFrame::Read(read) => {
                let position = chat.read(&user, &read.room_id, ReadTo::Seq(read.seq)).await?;
                self.answer(id, |id| ServerFrame::Ok { id, message: None, position: Some(position), session: None });
            }
            ClientFrame::Typing(of) => {
                chat.typing(&user, &of.room_id).await?;
                self.ok(id);
            }
            // The answer is itself a sign of life, so it is given with or without an id.
            ClientFrame::Ping => self.replies.push(ServerFrame::Pong { id }.encode()),
        }
        Ok(())
    }

    /// A frame with an id is answered by exactly one; a frame without by none.
    fn answer<'f>(&mut self, id: Option<FrameId>, frame: impl FnOnce(Option<FrameId>) -> ServerFrame<'f>) {
        if id.is_some() {
            self.replies.push(frame(id).encode());
        }
    }

    fn ok(&mut self, id: Option<FrameId>) {
        self.answer(id, ServerFrame::ok);
    }

    fn ok_message(&mut self, id: Option<FrameId>, message: &Arc<Message>) {
        self.answer(id, |id| ServerFrame::Ok { id, message: Some(message), position: None, session: None });
    }

    /// Ends the subscription to a room; of what waits for it nothing is sent any more.
    pub(super) fn leave(&mut self, room: &RoomId) {
        self.rooms.remove(room);
        self.behind.retain(|other| other != room);
    }

    async fn subscribe(&mut self, id: Option<FrameId>, request: Subscribe) -> Result<()> {
        let room_id = request.room_id.clone();
        let most = self.context.settings.limits.rooms_per_connection;
        if !self.rooms.contains(&room_id) && self.rooms.len() >= most {
            telemetry::limit_hit("rooms_per_connection");
            return Err(Error::TooLarge { what: "a connection", limit: format!("{most} rooms") });
        }
        let begin = self.context.chat.subscribe(&self.reader, &request).await?;
        if request.since.is_some() {
            counting::resumed(begin.status, begin.reason);
        }
        let subscribed = ServerFrame::Subscribed {
            id,
            room_id: &room_id,
            rev: begin.head.rev,
            last_seq: begin.head.last_seq,
            history: &begin.head.history,
            status: begin.status,
            reason: begin.reason,
            oldest_seq: begin.head.begins_at(),
        };
        self.replies.push(subscribed.encode());
        self.replies.extend(begin.page);
        // The new subscription takes the old one's place; nothing of the old one follows.
        if !self.behind.contains(&room_id) {
            self.behind.push_back(begin.subscription.log().id().clone());
        }
        self.rooms.insert(begin.subscription);
        Ok(())
    }

    async fn watch(&mut self, id: Option<FrameId>) -> Result<()> {
        // Registered before the list is read, so that nothing passes in between.
        let subscription = self.context.chat.watch(&self.reader).await?;
        let list = self.context.chat.listed(self.reader.user(), None).await?;
        self.ok(id);
        self.watched = Some(Box::new(Watched {
            _subscription: subscription,
            told: std::collections::HashMap::new(),
            moved: std::collections::HashSet::new(),
            relist: false,
            due: None,
        }));
        self.tell_list(list, true);
        Ok(())
    }

    async fn authenticate_again(&mut self, id: Option<FrameId>, auth: &Auth) -> Result<()> {
        let caller = self.context.auth.user(&Token::bearer(&auth.token)).await?;
        if caller.id != *self.reader.user() {
            return Err(Error::Forbidden(OTHER_USER));
        }
        self.renew(&caller);
        // Behind the renewal: should the new token be revoked from here on, the connection is found.
        let session: Session = self.context.chat.session(&caller).await?;
        self.answer(id, |id| ServerFrame::Ok { id, message: None, position: None, session: Some(&session) });
        Ok(())
    }

    /// How an error ends the connection, if it does: it was another user's token, or one that is good no longer.
    pub(super) fn ends_with(error: &Error) -> Option<Close> {
        match error {
            Error::Forbidden(OTHER_USER) => Some(Close::FORBIDDEN),
            Error::TokenRevoked => Some(Close::REVOKED),
            Error::Suspended => Some(Close::SUSPENDED),
            _ => None,
        }
    }
}
