//! What is published is what is heard, and whatever else is refused.

use super::*;
use crate::model::UserChangeKind;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn frame(room: &str, rev: u64) -> Frame {
    Frame::from(format!(r#"{{"type":"message","roomId":"{room}","message":{{"rev":{rev},"content":"ü"}}}}"#))
}

fn publication() -> BusMessage {
    let user: UserId = "ben".parse().expect("an id");
    let change = |rev| Change {
        rev,
        seq: rev,
        created_at: Timestamp(7),
        sender_id: (rev == 8).then(|| user.clone()),
        effect: (rev == 9).then(|| Effect::Left(user.clone())),
        frame: frame("r", rev),
        committed_at: None,
        from: Origin::Own,
    };
    BusMessage::Commit(Publication {
        from: InstanceId::nil(),
        history: "h".parse().expect("an id"),
        room_id: "r".parse().expect("an id"),
        changes: vec![change(8), change(9)],
        users: vec![UserChange { user_id: user.clone(), rev: 3, what: UserChangeKind::Read(8) }],
        traces: vec![TRACE.parse().expect("a trace")],
        committed_at: Timestamp(9),
    })
}

#[test]
fn what_is_published_is_what_is_heard() {
    let BusMessage::Commit(heard) = BusMessage::decode(&publication().encode()).expect("a publication") else {
        panic!("another kind")
    };
    assert_eq!((heard.room_id.as_str(), heard.history.as_str()), ("r", "h"));
    assert_eq!(heard.changes.iter().map(|c| c.rev).collect::<Vec<_>>(), [8, 9]);
    assert_eq!(heard.changes[0].sender_id.as_ref().map(UserId::as_str), Some("ben"));
    assert!(matches!(&heard.changes[1].effect, Some(Effect::Left(user)) if user.as_str() == "ben"));
    assert_eq!(heard.changes[1].frame, frame("r", 9));
    assert_eq!(heard.users.len(), 1);
    assert_eq!(heard.traces.iter().map(ToString::to_string).collect::<Vec<_>>(), [TRACE]);
    assert_eq!((heard.committed_at, heard.changes[1].committed_at), (Timestamp(9), Some(Timestamp(9))));
    assert_eq!(heard.changes[1].from, Origin::Bus);
    let probe = BusMessage::decode(&BusMessage::Probe("n".to_owned()).encode());
    assert!(matches!(probe, Ok(BusMessage::Probe(nonce)) if nonce == "n"));
}

#[test]
fn instances_that_know_no_traces_are_understood_and_understand() {
    let now = String::from_utf8(publication().encode()).expect("text");
    let before = now.replacen(&format!(r#","traces":["{TRACE}"]"#), "", 1);
    assert_ne!(now, before);
    assert!(matches!(BusMessage::decode(before.as_bytes()), Ok(BusMessage::Commit(heard)) if heard.traces.is_empty()));
    // What such an instance does with the field, this one does with one of a later version.
    let later = now.replacen("\"traces\"", "\"later\"", 1);
    assert!(matches!(BusMessage::decode(later.as_bytes()), Ok(BusMessage::Commit(_))));
}

#[test]
fn garbage_is_refused_wherever_it_is() {
    let good = publication().encode();
    for cut in 0..good.len() {
        assert!(BusMessage::decode(&good[..cut]).is_err(), "cut at {cut}");
    }
    assert!(BusMessage::decode(&[&good[..], b"x"].concat()).is_err(), "longer than it says");
    assert!(BusMessage::decode(&[&good[..good.len() - 3], &[0xff; 3][..]].concat()).is_err(), "no text");
    let text = String::from_utf8(good).expect("text");
    assert!(BusMessage::decode(text.replacen(r#""roomId":"r""#, r#""roomId":"q""#, 1).as_bytes()).is_err());
    let newer = text.replacen(r#""v":1"#, r#""v":2"#, 1);
    assert!(matches!(BusMessage::decode(newer.as_bytes()), Err(BadMessage::Version(2))));
    assert!(matches!(BusMessage::decode(b"{\"v\":3}\n"), Err(BadMessage::Version(3))));
}

#[test]
fn an_aside_that_was_cut_off_is_malformed() {
    let whole = BusMessage::Aside(Aside {
        from: InstanceId::nil(),
        room_id: "r".parse().expect("an id"),
        author: "ben".parse().expect("an id"),
        kind: AsideKind::Typing,
        frame: Frame::from(r#"{"type":"typing"}"#.to_owned()),
    })
    .encode();
    assert!(matches!(BusMessage::decode(&whole), Ok(BusMessage::Aside(_))));
    for end in 0..whole.len() {
        assert!(BusMessage::decode(&whole[..end]).is_err(), "cut off after {end}");
    }
}
