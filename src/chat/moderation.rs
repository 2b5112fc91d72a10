//! What may be written: the word list and the hook before the write, and decisions after it. The hook is asked before
//! the write begins, so that no lock and no connection is held while somebody else's server thinks.

use std::sync::Arc;

use super::{Accepted, Chat};
use crate::error::{Error, Result};
use crate::model::moderation::{DecisionInput, REASON_CHARS};
use crate::model::{Case, CaseCursor, Draft, Flag, Message, MessageId, RoomId, User, UserId, Verdict};
use crate::moderation::{Asked, Sender, together};
use crate::store::Ruling;

/// What came of looking at a message.
pub(super) enum Looked<T> {
    /// It was written before as it is: nobody was asked.
    Before(T),
    /// It may be written, with this flag.
    May(Option<Flag>),
}

impl Chat {
    /// Looks at a message that is to be sent. Who has sent it before gets what became of it then.
    pub(super) async fn look_at_send(&self, user: &UserId, room: &RoomId, draft: &Draft) -> Result<Looked<Accepted>> {
        let words = self.0.screen.words(&draft.content);
        if self.is_settled(&words) {
            return Ok(Looked::May(flag_of(words)?));
        }
        let (sender, sent) = self.0.store.before_send(room, user, draft).await?;
        if let Some(sent) = sent {
            return Ok(Looked::Before(<(Accepted, _)>::from(sent).0));
        }
        let asked = Asked {
            room_id: room,
            message_id: &draft.id,
            is_edit: false,
            sender: sender_of(&sender),
            content: &draft.content,
            content_type: draft.content_type,
            metadata: draft.metadata.as_deref(),
        };
        self.ask(words, &asked).await.map(Looked::May)
    }

    /// The same for an edit.
    pub(super) async fn look_at_edit(
        &self,
        user: &UserId,
        room: &RoomId,
        id: &MessageId,
        content: &str,
    ) -> Result<Looked<Arc<Message>>> {
        let words = self.0.screen.words(content);
        if self.is_settled(&words) {
            return Ok(Looked::May(flag_of(words)?));
        }
        let (sender, written) = self.0.store.before_edit(room, user, id).await?;
        let message = written.message;
        if message.content == content {
            return Ok(Looked::Before(message));
        }
        let asked = Asked {
            room_id: room,
            message_id: id,
            is_edit: true,
            sender: sender_of(&sender),
            content,
            content_type: message.content_type,
            metadata: message.metadata.as_deref(),
        };
        self.ask(words, &asked).await.map(Looked::May)
    }

    /// Whether it is known without a query what becomes of it: the write itself finds out the rest.
    fn is_settled(&self, words: &Verdict) -> bool {
        self.0.screen.hook().is_none() && !matches!(words, Verdict::Reject(_))
    }

    async fn ask(&self, words: Verdict, asked: &Asked<'_>) -> Result<Option<Flag>> {
        // What the words reject, the hook is not asked about.
        let flag = flag_of(words)?;
        match self.0.screen.hook() {
            Some(hook) => flag_of(together(flag, hook.ask(asked).await?)),
            None => Ok(flag),
        }
    }

    /// Cases that nobody has decided yet, oldest first, and where to go on.
    pub async fn open_cases(&self, after: Option<CaseCursor>, limit: u32) -> Result<(Vec<Case>, Option<CaseCursor>)> {
        let mut cases = self.0.store.open_cases(after, limit + 1).await?;
        let more = cases.len() > limit as usize;
        cases.truncate(limit as usize);
        let cursor = cases.last().filter(|_| more).map(|last| (last.flagged_at.0, last.room_id.clone(), last.rev));
        Ok((cases, cursor))
    }

    /// All cases of a message, whatever was decided.
    pub async fn cases_of(&self, room: &RoomId, message: &MessageId) -> Result<Vec<Case>> {
        let cases = self.0.store.cases_of(room, message).await?;
        if cases.is_empty() { Err(Error::NotFound) } else { Ok(cases) }
    }

    /// Decides of a message that was flagged.
    pub async fn decide(
        &self,
        by: &UserId,
        room: &RoomId,
        message: &MessageId,
        ruling: (DecisionInput, Option<String>, Option<u64>),
    ) -> Result<Arc<Message>> {
        let (decision, reason, up_to) = ruling;
        if reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON_CHARS || reason.contains('\0')) {
            return Err(Error::invalid("reason", format!("at most {REASON_CHARS} characters, none of them NUL")));
        }
        let ruling = Ruling { by: by.clone(), decision: decision.into(), reason, up_to };
        let (room, message) = (room.clone(), message.clone());
        self.change(move |store| async move { store.decide(&room, &message, ruling).await }).await
    }
}

fn sender_of(user: &User) -> Sender<'_> {
    Sender { id: &user.id, name: &user.name, role: user.role }
}

/// The flag of what may be written.
fn flag_of(verdict: Verdict) -> Result<Option<Flag>> {
    match verdict {
        Verdict::Accept => Ok(None),
        Verdict::Flag(flag) => Ok(Some(flag)),
        Verdict::Reject(reason) => Err(Error::ContentRejected { reason }),
    }
}
