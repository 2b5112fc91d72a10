//! What instances tell each other: commits on their way out, and what is heard on its way in.

use std::collections::HashMap;
use std::time::Duration;

use tracing::Span;

use super::Chat;
use crate::broker::{Bucket, Cause, Heard, Sent};
use crate::hub::{Applied, Delivery};
use crate::model::{Commit, UserChange};
use crate::protocol::publication::{Aside, AsideKind, BusMessage, Publication};
use crate::telemetry::{self, trace, trace::Recorded};

impl Chat {
    /// Tells everyone of a commit: those here at once and without the bus, then cache and bus. What is returned tells
    /// when these have it.
    pub(super) fn tell_all(&self, commit: &Commit) -> Sent {
        metrics::counter!(telemetry::CHANGES).increment(commit.changes.len() as u64);
        let room = &commit.room_id;
        let mut publication = Publication::new(self.0.broker.instance(), commit);
        let moves_log = !publication.changes.is_empty();
        self.apply(&publication, trace::deliver(room.as_str()));
        if !self.0.broker.has_others() {
            return Sent::done();
        }
        let publishing = trace::publish(room.as_str());
        publication.traces.extend(trace::here(&publishing));
        // To each bucket its own users: one commit may be about a thousand of them.
        let mut buckets: HashMap<Bucket, Vec<UserChange>> = HashMap::new();
        for change in &commit.users {
            buckets.entry(Bucket::of(change.user_id.as_str())).or_default().push(change.clone());
        }
        let mut messages = Vec::with_capacity(1 + buckets.len());
        let to_users = |(bucket, users)| (bucket, BusMessage::User(publication.for_users(users)));
        messages.extend(buckets.into_iter().map(to_users));
        messages.push((Bucket::of(room.as_str()), BusMessage::Commit(publication)));
        let replacement = Some(&commit.head).filter(|_| moves_log);
        let replacement = replacement.and_then(|head| self.0.cache.replace_head(room, head));
        self.0.broker.publish(replacement, messages, publishing)
    }

    /// Resolves once this instance is sure to hear others; at once where there is no bus to wait for.
    pub async fn bus_proven(&self) {
        let mut look = tokio::time::interval(Duration::from_millis(10));
        while self.0.broker.status() == "unproven" {
            look.tick().await;
        }
    }

    /// Our own publication comes back, too: whoever began to follow the room between its commit and its way to the
    /// cache knows of it only from there.
    fn apply(&self, publication: &Publication, delivering: Recorded) {
        let Applied { behind, delivery } = self.0.hub.apply(publication);
        self.finish(delivery, delivering);
        if let Some(log) = behind {
            self.repair_soon(log, Cause::Hole);
        }
    }

    /// What records the delivery of what was heard: not of one's own, which is delivered, nor where nobody reads it.
    fn delivering(&self, heard: &Publication) -> Recorded {
        let is_new = heard.from != self.0.broker.instance();
        if heard.traces.is_empty() || !is_new || self.0.hub.followed(&heard.room_id).is_none() {
            return Recorded::default();
        }
        trace::deliver_heard(&heard.traces, heard.room_id.as_str())
    }

    /// Brings a long delivery to its end, step by step, so that others get their turn.
    pub(super) fn finish(&self, delivery: Option<Delivery>, delivering: Recorded) {
        if let Some(mut delivery) = delivery {
            self.0.lifecycle.spawn("delivery", async move {
                while delivery.step() {
                    tokio::task::yield_now().await;
                }
                delivering.end();
            });
        }
    }

    /// Takes in what the bus brings, for as long as the service runs.
    pub(super) async fn listen(self) {
        loop {
            let heard = tokio::select! {
                () = self.0.lifecycle.stopping() => return,
                heard = self.0.broker.hear() => heard,
            };
            match heard {
                Heard::Message(BusMessage::Commit(commit)) if commit.history == self.history() => {
                    self.apply(&commit, self.delivering(&commit));
                }
                Heard::Message(BusMessage::User(commit)) if commit.history == self.history() => {
                    self.0.hub.apply_users(&commit);
                }
                // Of another history: one of the two instances has not noticed yet. The database tells which.
                Heard::Message(BusMessage::Commit(_) | BusMessage::User(_)) => self.0.look.notify_one(),
                Heard::Message(BusMessage::Access) => self.access_hinted(),
                Heard::Message(BusMessage::Aside(aside)) => self.tell_aside(&aside),
                Heard::Message(BusMessage::Probe(_)) => {}
                Heard::Missed(cause) => self.distrust(cause),
            }
        }
    }

    /// Something may have been missed: whatever is followed is compared with the store, now.
    fn distrust(&self, cause: Cause) {
        tracing::info!(cause = cause.as_str(), "the bus may have missed something; comparing with the database");
        self.0.hub.distrust();
        self.0.look.notify_one();
        self.access_hinted();
    }

    /// Gives a best-effort frame of another instance to those who read here.
    fn tell_aside(&self, aside: &Aside) {
        let Some(log) = self.0.hub.followed(&aside.room_id) else { return };
        // Several instances may have let one through, each by its own bucket.
        let wanted = aside.kind != AsideKind::Typing || self.0.limits.typing(&aside.author, &aside.room_id);
        if wanted {
            log.tell(&aside.frame, &aside.author);
        }
    }

    /// Gives a best-effort frame to everyone who reads the room but its author, here and elsewhere.
    pub(super) fn tell_aside_to_all(&self, aside: Aside) {
        if let Some(log) = self.0.hub.followed(&aside.room_id) {
            log.tell(&aside.frame, &aside.author);
        }
        if self.0.broker.has_others() {
            let bucket = Bucket::of(aside.room_id.as_str());
            drop(self.0.broker.publish(None, vec![(bucket, BusMessage::Aside(aside))], Span::none()));
        }
    }

    /// Hears no longer what nobody here follows.
    pub(super) fn leave_buckets(&self) {
        let rooms = self.0.hub.rooms();
        let users = self.0.hub.users();
        let rooms = rooms.iter().map(|log| Bucket::of(log.id().as_str()));
        self.0.broker.keep(rooms.chain(users.iter().map(|feed| Bucket::of(feed.user().as_str()))).collect());
    }
}
