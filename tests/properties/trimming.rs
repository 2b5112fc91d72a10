//! A followed log from whose beginning retention removes messages: a step like any other, and one who missed it and what
//! it removed is shown nothing that could not be theirs.

use std::sync::Arc;

use serde_json::{Value, json};
use tidings::hub::{Hub, Lookup, Position, Pull, Reader};
use tidings::model::{Changes, Head, Member, Role, RoomId, UserId};
use tidings::protocol::publication::{BusMessage, Change};

use super::delivery::{Peer, caller};
use super::repair::{head, message, publication_of};

fn trimmed(rev: u64, last_seq: u64, oldest_seq: u64, expired_rev: u64) -> Head {
    Head { oldest_seq, expired_rev, ..head(rev, last_seq) }
}

const MEMBER: Member = Member { role: Role::Member, joined_seq: 1, last_read_seq: 0 };

#[test]
fn a_removal_is_a_step_of_the_log_and_travels_like_one() {
    let (room, user): (RoomId, UserId) = ("r".parse().unwrap(), "ben".parse().unwrap());
    let hub = Hub::default();
    let log = hub.room(&room);
    log.load(head(3, 3));
    let cut = trimmed(4, 3, 3, 2);
    let both = vec![Change::expired(&room, &cut), Change::new(&room, &message(4, 5))];
    let sent = BusMessage::Commit(publication_of(&room, both)).encode();
    let BusMessage::Commit(heard) = BusMessage::decode(&sent).unwrap() else { panic!("another kind") };
    assert!(
        heard.changes[1].rev == 5 && hub.apply(&publication_of(&room, vec![heard.changes[1].clone()])).behind.is_some()
    );
    hub.apply(&publication_of(&room, vec![heard.changes[0].clone()]));
    let known = log.head().unwrap();
    assert_eq!((known.rev, known.last_seq, known.oldest_seq, known.expired_rev), (5, 4, 3, 2));
    let Pull::Frames { frames, rev: 5 } = log.pull(&user, 3, 1, 10_000) else { panic!("all of it is in memory") };
    let frames: Vec<Value> = frames.iter().map(|frame| serde_json::from_str(frame.as_str()).unwrap()).collect();
    let told = json!({ "type": "messages", "roomId": "r", "messages": [], "rev": 4, "oldestSeq": 3 });
    assert_eq!((&frames[0], &frames[1]["message"]["rev"]), (&told, &json!(5)));
    assert!(log.since(&known, &MEMBER, 3, 10).is_none(), "of what was removed since, the store knows");
    assert!(log.since(&known, &MEMBER, 4, 10).is_some());
    // A frame of another kind does not get out to readers by it.
    let text = String::from_utf8(sent).unwrap();
    for (of, by) in [(r#""messages":[],"#, r#""messages":[1],"#), (r#"{"expired":[3,2]}"#, r#"{"left":"ben"}"#)] {
        assert!(text.contains(of), "{of} in {text}");
        let other = text.replacen(of, by, 1);
        let shift = i64::try_from(by.len()).unwrap() - i64::try_from(of.len()).unwrap();
        let line = format!(r#""bytes":{}"#, frames_len(&heard.changes[0], if of.starts_with('"') { shift } else { 0 }));
        let old = format!(r#""bytes":{}"#, frames_len(&heard.changes[0], 0));
        assert!(BusMessage::decode(other.replacen(&old, &line, 1).as_bytes()).is_err(), "{by}");
    }
}

fn frames_len(change: &Change, shift: i64) -> i64 {
    i64::try_from(change.frame.len()).unwrap() + shift
}

#[test]
fn whoever_may_have_left_in_what_was_missed_and_removed_reads_in_the_store() {
    let (room, user): (RoomId, UserId) = ("r".parse().unwrap(), "ann".parse().unwrap());
    let hub = Hub::default();
    let log = hub.room(&room);
    log.load(head(2, 2));
    let Lookup::Read(ticket) = log.member(&user) else { panic!("nothing is known yet") };
    assert_eq!(log.learn(&hub.user(&user), ticket, 0, Some(MEMBER)), Some(Some(MEMBER)));
    let peer = Peer::new(3);
    let reader = Arc::new(Reader::of_connection(&caller("ann"), peer.clone()));
    let subscription = log.subscribe(&reader);
    subscription.move_to(Position { cursor: 2, joined_seq: 1 });
    subscription.go_live();
    // Meanwhile 3 to 6 were written, and 1 to 5 removed.
    let cut = trimmed(7, 6, 6, 5);
    log.expect(7);
    log.fill(&Changes { messages: vec![message(6, 6)], rev: 7, head: cut.clone() }, 7);
    assert!(hub.deliver(&log).is_none());
    assert_eq!(log.head(), Some(cut));
    assert!(peer.revs().is_empty(), "nobody is pushed what lies behind it");
    assert!(reader.take().0.contains(&room), "but told to read on");
    assert!(matches!(log.pull(&user, subscription.pause().cursor, 1, 1000), Pull::Behind));
    assert!(matches!(log.member(&user), Lookup::Read(_)), "and who is a member is asked again");
    // Whoever has read on is served from memory as before.
    hub.apply(&publication_of(&room, vec![Change::new(&room, &message(7, 8))]));
    assert!(matches!(log.pull(&user, 7, 1, 1000), Pull::Frames { rev: 8, .. }));
}

#[test]
fn a_removal_that_was_missed_but_not_what_it_removed_is_told_like_any_change() {
    let (room, user): (RoomId, UserId) = ("r".parse().unwrap(), "ben".parse().unwrap());
    let hub = Hub::default();
    let log = hub.room(&room);
    log.load(head(6, 6));
    log.expect(7);
    let cut = trimmed(7, 6, 6, 5);
    log.fill(&Changes { messages: Vec::new(), rev: 7, head: cut.clone() }, 7);
    assert_eq!(log.head(), Some(cut));
    let Pull::Frames { frames, rev: 7 } = log.pull(&user, 6, 1, 1000) else { panic!("it is in memory") };
    let frame: Value = serde_json::from_str(frames[0].as_str()).unwrap();
    assert_eq!(frame, json!({ "type": "messages", "roomId": "r", "messages": [], "rev": 7, "oldestSeq": 6 }));
}
