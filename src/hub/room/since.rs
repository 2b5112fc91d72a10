//! What changed after a cursor, from the frames that are kept for sockets: a poll that comes for what a meta told it
//! asks no database.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::RoomLog;
use crate::model::{Head, Member};

/// Changes after a cursor, each message in its current state.
#[derive(Debug)]
pub struct Since {
    /// By `rev`, as JSON.
    pub messages: Box<RawValue>,
    /// Complete up to here.
    pub rev: u64,
    /// Whether there is more.
    pub has_more: bool,
}

impl RoomLog {
    /// The first `limit` messages that changed after `cursor`, up to this head, for a member at this head; nothing if
    /// memory does not reach back that far.
    pub fn since(&self, head: &Head, member: &Member, cursor: u64, limit: usize) -> Option<Since> {
        let state = self.lock();
        let covered = cursor == head.rev || state.ring.front().is_some_and(|first| first.after <= cursor);
        if !covered || cursor > head.rev {
            return None;
        }
        let first_seq = member.first_seq(head.history_for);
        let begin = format!(r#"{{"type":"message","roomId":"{}","message":"#, self.id());
        // A message that changed twice is there once, at its last change.
        let mut newest: HashMap<u64, (u64, &str)> = HashMap::new();
        for entry in state.ring.iter().filter(|entry| entry.rev > cursor && entry.rev <= head.rev) {
            // A page of several is not taken apart.
            let message = entry.frame.as_str().strip_prefix(&begin)?.strip_suffix('}')?;
            if entry.min_seq >= first_seq {
                newest.insert(entry.min_seq, (entry.rev, message));
            }
        }
        let mut changes: Vec<(u64, &str)> = newest.into_values().collect();
        changes.sort_unstable_by_key(|(rev, _)| *rev);
        let has_more = changes.len() > limit;
        changes.truncate(limit);
        let rev = changes.last().filter(|_| has_more).map_or(head.rev, |(rev, _)| *rev);
        let texts: Vec<&str> = changes.into_iter().map(|(_, message)| message).collect();
        let messages = RawValue::from_string(format!("[{}]", texts.join(","))).ok()?;
        Some(Since { messages, rev, has_more })
    }
}
