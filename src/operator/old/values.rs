//! The old application's values turned into ours. What cannot be one of ours is left out and counted; what only says too
//! much, or not enough, is made to fit.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::model::user::{is_name, is_picture};
use crate::model::{
    ContentType, Draft, MessageId, Moderation, Role, RoomId, RoomKind, Set, Timestamp, UserId, UserRole,
};
use crate::store::{
    ForeignMember, ForeignRoom, MessageRecord, OldMember, OldMessage, OldRoom, OldUser, UserRecord, hex,
};

/// Longest name, in characters.
const NAME_CHARS: usize = 80;

/// A person; nothing if their id is none here.
pub(super) fn user(old: OldUser) -> Option<UserRecord> {
    let id = user_id(&old.id)?;
    Some(UserRecord {
        name: name(old.name.as_deref()).unwrap_or_else(|| id.to_string()),
        avatar_url: picture(old.avatar_url),
        role: UserRole::parse(old.role.as_deref().unwrap_or_default()),
        partner_status: old.partner_id.is_some().then_some(old.partner_status).flatten(),
        partner_id: old.partner_id,
        // Their first token wins over all of it.
        set: Set::default(),
        claims_at: Timestamp(0),
        created_at: old.created_at.unwrap_or_else(Timestamp::now),
        id,
    })
}

fn user_id(text: &str) -> Option<UserId> {
    text.parse().ok().filter(|id: &UserId| !id.is_system())
}

/// A name without what controls a terminal or a line, and not too long; nothing if nothing is left of it.
fn name(given: Option<&str>) -> Option<String> {
    let given = given?.trim();
    if is_name(given) {
        return Some(given.to_owned());
    }
    let harmless = |c: &char| is_name(&c.to_string()) || *c == ' ';
    let name: String = given.chars().filter(harmless).take(NAME_CHARS).collect();
    Some(name.trim().to_owned()).filter(|name| is_name(name))
}

fn picture(given: Option<String>) -> Option<String> {
    given.filter(|url| is_picture(url))
}

/// A member; nothing if their id is none here.
pub(super) fn member(old: &OldMember) -> Option<ForeignMember> {
    Some(ForeignMember {
        user_id: user_id(&old.user_id)?,
        role: match old.role.as_deref() {
            Some("OWNER") => Role::Owner,
            Some("ADMIN" | "MODERATOR") => Role::Moderator,
            _ => Role::Member,
        },
        is_active: old.is_active,
        joined_at: old.joined_at,
        last_read_at: old.last_read_at,
    })
}

/// A room. Two people who are both in it, and whose room is of no kind that others may come to, are a pair.
pub(super) fn room(old: OldRoom, id: RoomId, members: &[ForeignMember]) -> ForeignRoom {
    let named = old.kind.as_deref().unwrap_or_default().to_ascii_uppercase();
    let is_pair = members.len() == 2 && members.iter().all(|m| m.is_active && m.role == Role::Member);
    let kind = match named.as_str() {
        "PUBLIC" => RoomKind::Public,
        _ if !is_pair || named.contains("GROUP") || named.contains("MULTI") => RoomKind::Group,
        _ => RoomKind::Direct,
    };
    ForeignRoom {
        id,
        kind,
        key: old.booking_id.filter(|key| !key.is_empty()),
        title: old.title.filter(|title| !title.trim().is_empty()),
        metadata: old.metadata.filter(|metadata| metadata != "{}"),
        created_at: old.created_at.unwrap_or_else(Timestamp::now),
    }
}

/// What becomes of a message.
pub(super) enum Taken {
    /// It is taken in.
    Message(Box<MessageRecord>),
    /// Moderation has rejected it; its id, if it could be here.
    Rejected(Option<MessageId>),
    /// It cannot be taken in.
    Unusable,
}

/// A message without its place.
pub(super) fn message(old: OldMessage) -> Taken {
    let id = old.id.parse::<MessageId>().ok();
    if old.is_rejected {
        return Taken::Rejected(id);
    }
    let sender = match old.sender_id.as_deref() {
        None => Some(UserId::system()),
        Some(sender) => user_id(sender),
    };
    let (Some(id), Some(sender_id), Some(created_at)) = (id, sender, old.created_at) else { return Taken::Unusable };
    let (content_type, metadata) = content_type(&old, &sender_id);
    let Some(empty) = raw(&json!([])) else { return Taken::Unusable };
    let mut message = MessageRecord {
        seq: 0,
        rev: 0,
        id,
        hash: String::new(),
        sender_name: name(old.sender_name.as_deref())
            .unwrap_or_else(|| if sender_id.is_system() { "System".to_owned() } else { sender_id.to_string() }),
        sender_id,
        sender_avatar_url: picture(old.sender_avatar_url),
        content: old.content,
        content_type,
        metadata: metadata.as_ref().and_then(raw),
        reply_to: old.reply_to.and_then(|id| id.parse().ok()),
        reactions: empty,
        moderation: None::<Moderation>,
        created_at,
        edited_at: old.edited_at,
        deleted_at: old.deleted_at,
    };
    message.hash = hash(&message);
    if message.deleted_at.is_some() && content_type != ContentType::System {
        // As what is deleted here: its place stays, and nothing of what it said.
        message.content = String::new();
        message.metadata = None;
    }
    Taken::Message(Box::new(message))
}

/// What its content is, and what is to be known beside it.
fn content_type(old: &OldMessage, sender: &UserId) -> (ContentType, Option<Value>) {
    let image = old.image_url.as_ref().map(|url| json!({ "url": url }));
    match old.content_type.as_deref().unwrap_or("TEXT").to_ascii_uppercase().as_str() {
        // The application's own: what others of its kind say of a room's members is believed.
        "SYSTEM" => (ContentType::System, Some(json!({ "event": "notice" }))),
        _ if sender.is_system() => (ContentType::System, Some(json!({ "event": "notice" }))),
        "IMAGE" => {
            let is_address = old.content.starts_with("https://") || old.content.starts_with("http://");
            (ContentType::Image, image.or_else(|| is_address.then(|| json!({ "url": old.content }))))
        }
        "TEXT" => (ContentType::Text, image),
        other => (ContentType::Text, Some(json!({ "contentType": other }))),
    }
}

fn raw(value: &Value) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(value).ok()
}

/// The hash of the same message sent here, in hex.
fn hash(message: &MessageRecord) -> String {
    let draft = Draft {
        id: message.id.clone(),
        content: message.content.clone(),
        content_type: message.content_type,
        reply_to: message.reply_to.clone(),
        metadata: message.metadata.clone(),
    };
    hex(&draft.hash())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(old: OldMessage) -> MessageRecord {
        let old = OldMessage { id: "m1".to_owned(), created_at: Some(Timestamp(1)), ..old };
        match message(old) {
            Taken::Message(message) => *message,
            Taken::Rejected(_) | Taken::Unusable => panic!("it is left out"),
        }
    }

    #[test]
    fn a_name_is_made_to_fit_or_there_is_none() {
        assert_eq!(name(Some(" Ann ")).as_deref(), Some("Ann"));
        assert_eq!(name(Some("A\u{1b}[1mnn\u{202e}")).as_deref(), Some("A[1mnn"));
        assert_eq!(name(Some(&"x".repeat(200))).map(|name| name.len()), Some(NAME_CHARS));
        for none in [None, Some(""), Some(" \t "), Some("\u{7}")] {
            assert_eq!(name(none), None, "{none:?}");
        }
        let user = user(OldUser { id: "u1".to_owned(), ..OldUser::default() }).expect("a user");
        assert_eq!(user.name, "u1");
        assert_eq!((user.claims_at, user.set), (Timestamp(0), Set::default()));
    }

    #[test]
    fn an_id_that_is_none_here_is_left_out() {
        for id in ["", "a b", "ä", "tidings:system", &"x".repeat(65)] {
            assert!(user(OldUser { id: id.to_owned(), ..OldUser::default() }).is_none(), "{id}");
        }
    }

    #[test]
    fn content_is_what_it_says_it_is() {
        let of = |kind: &str, content: &str| OldMessage {
            sender_id: Some("u1".to_owned()),
            content: content.to_owned(),
            content_type: Some(kind.to_owned()),
            ..OldMessage::default()
        };
        let metadata = |m: &MessageRecord| m.metadata.as_ref().map(|m| m.get().to_owned());
        let text = taken(of("TEXT", "hi"));
        assert_eq!((text.content_type, metadata(&text)), (ContentType::Text, None));
        let image = taken(of("IMAGE", "https://a/b.png"));
        assert_eq!(metadata(&image).as_deref(), Some(r#"{"url":"https://a/b.png"}"#));
        let file = taken(of("FILE", "plan.pdf"));
        assert_eq!(
            (file.content_type, metadata(&file).as_deref()),
            (ContentType::Text, Some(r#"{"contentType":"FILE"}"#))
        );
        let notice = taken(of("SYSTEM", "Ann joined"));
        assert_eq!(
            (notice.content_type, metadata(&notice).as_deref()),
            (ContentType::System, Some(r#"{"event":"notice"}"#))
        );
        let own = taken(OldMessage { sender_id: None, ..of("TEXT", "hello") });
        assert!(own.sender_id.is_system() && own.content_type == ContentType::System);
        let deleted = taken(OldMessage { deleted_at: Some(Timestamp(9)), ..of("TEXT", "secret") });
        assert_eq!((deleted.content.as_str(), deleted.deleted_at), ("", Some(Timestamp(9))));
    }

    #[test]
    fn a_pair_is_two_who_are_both_there() {
        let member = |name: &str, is_active| ForeignMember {
            user_id: name.parse().expect("an id"),
            role: Role::Member,
            is_active,
            joined_at: None,
            last_read_at: None,
        };
        let kind = |named: &str, members: &[ForeignMember]| {
            let old = OldRoom { kind: Some(named.to_owned()), ..OldRoom::default() };
            room(old, "r".parse().expect("an id"), members).kind
        };
        let two = [member("a", true), member("b", true)];
        assert_eq!(kind("BOOKING", &two), RoomKind::Direct);
        assert_eq!(kind("GROUP_BOOKING", &two), RoomKind::Group);
        assert_eq!(kind("BOOKING", &two[..1]), RoomKind::Group);
        assert_eq!(kind("BOOKING", &[member("a", true), member("b", false)]), RoomKind::Group);
        assert_eq!(kind("PUBLIC", &two), RoomKind::Public);
    }
}
