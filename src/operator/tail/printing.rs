//! A message as a line for people. What others wrote must not steer the terminal it is shown on.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::{ContentType, Reaction};
use crate::operator::{Failure, Result};

/// What of a message is shown.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Printed {
    /// Its place.
    pub(super) seq: u64,
    /// Its last change.
    pub(super) rev: u64,
    sender_name: String,
    content: String,
    content_type: ContentType,
    #[serde(default)]
    reactions: Vec<Reaction>,
    created_at: String,
    edited_at: Option<String>,
    deleted_at: Option<String>,
}

impl Printed {
    /// Reads it from a frame.
    pub(super) fn of(message: &RawValue) -> Result<Self> {
        serde_json::from_str(message.get())
            .map_err(|error| Failure::failed(format!("a message cannot be read: {error}")))
    }
}

/// The line, with the message's further lines below it.
pub(super) fn line(message: &Printed, is_new: bool) -> String {
    let Printed { seq, sender_name, content, created_at, .. } = message;
    let time = created_at.get(..19).unwrap_or(created_at).replace('T', " ");
    let (name, content) = (shown(sender_name).replace('\n', " "), shown(content).replace('\n', "\n    "));
    let head = format!("{} #{seq}", shown(&time));
    if message.deleted_at.is_some() {
        return format!("{head} {name} (deleted)");
    }
    if message.content_type == ContentType::System {
        return format!("{head} * {content}");
    }
    let edited = if message.edited_at.is_some() { " (edited)" } else { "" };
    let changed = if is_new || !edited.is_empty() { "" } else { " (changed)" };
    let given =
        message.reactions.iter().map(|r| format!(" [{} {}]", shown(&r.emoji), r.count)).collect::<Vec<_>>().concat();
    format!("{head} {name}{edited}{changed}: {content}{given}")
}

/// A text without what moves the cursor, changes colours or turns the direction of a line.
fn shown(text: &str) -> String {
    let hidden = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
    };
    text.chars()
        .map(|c| {
            if c == '\t' {
                ' '
            } else if hidden(c) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(json: &serde_json::Value) -> Printed {
        serde_json::from_value(json.clone()).expect("a message")
    }

    #[test]
    fn a_line_says_what_became_of_the_message() {
        let mut json = serde_json::json!({
            "seq": 7, "rev": 9, "senderName": "Ann", "content": "two\nlines", "contentType": "TEXT", "reactions": [],
            "createdAt": "2026-11-22T10:00:00.000001Z", "editedAt": null, "deletedAt": null,
        });
        assert_eq!(line(&message(&json), true), "2026-11-22 10:00:00 #7 Ann: two\n    lines");
        json["reactions"] = serde_json::json!([{ "emoji": "👍", "count": 2, "userIds": ["ben"] }]);
        assert_eq!(line(&message(&json), false), "2026-11-22 10:00:00 #7 Ann (changed): two\n    lines [👍 2]");
        json["editedAt"] = "2026-11-22T10:00:01.000001Z".into();
        assert!(line(&message(&json), false).starts_with("2026-11-22 10:00:00 #7 Ann (edited): "));
        json["deletedAt"] = "2026-11-22T10:00:02.000001Z".into();
        assert_eq!(line(&message(&json), false), "2026-11-22 10:00:00 #7 Ann (deleted)");
    }

    #[test]
    fn a_message_cannot_steer_the_terminal() {
        let json = serde_json::json!({
            "seq": 1, "rev": 1, "senderName": "A\u{1b}[31mnn\n", "content": "\u{1b}]0;title\u{7}\r\u{9b}2J\u{202e}gnp.exe",
            "contentType": "TEXT", "createdAt": "2026-11-22T10:00:00.000001Z",
        });
        let line = line(&message(&json), true);
        assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
    }
}
