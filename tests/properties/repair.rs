//! A followed log fed with publications that are dropped, doubled and shuffled, and repaired from the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;
use tidings::hub::{Hub, Pull, RoomLog};
use tidings::model::{
    Changes, ContentType, Head, History, HistoryFor, Member, Message, MessageId, Role, RoomId, RoomKind, Timestamp,
    UserId,
};
use tidings::protocol::publication::{self, InstanceId, Publication};

use crate::support::Log;

/// One change as the store commits it: a new message, or an edit of an older one.
#[derive(Debug, Clone, Copy)]
enum Change {
    New,
    Edit(usize),
}

/// What happens to the publications.
#[derive(Debug, Clone)]
struct Weather {
    changes: Vec<Change>,
    /// For each publication: lost, or delivered once or twice, each so many places late.
    deliveries: Vec<Vec<usize>>,
    /// Before which deliveries the reader reads.
    reads: Vec<bool>,
    /// How many rows a page of the store has.
    page: usize,
}

fn weather() -> impl Strategy<Value = Weather> {
    (1_usize..40).prop_flat_map(|n| {
        let change = prop_oneof![2 => Just(Change::New), 1 => (0_usize..40).prop_map(Change::Edit)];
        let delivery = prop::collection::vec(0_usize..8, 0..3);
        (
            prop::collection::vec(change, n),
            prop::collection::vec(delivery, n),
            prop::collection::vec(any::<bool>(), 3 * n),
            1_usize..5,
        )
            .prop_map(|(changes, deliveries, reads, page)| Weather { changes, deliveries, reads, page })
    })
}

pub(super) fn message(seq: u64, rev: u64) -> Arc<Message> {
    Arc::new(Message {
        id: format!("m{seq}").parse::<MessageId>().unwrap(),
        room_id: "r".parse().unwrap(),
        seq,
        rev,
        sender_id: "ann".parse().unwrap(),
        sender_name: "Ann".to_owned(),
        sender_avatar_url: None,
        content: format!("as of {rev}"),
        content_type: ContentType::Text,
        metadata: None,
        reply_to: None,
        reactions: RawValue::from_string("[]".to_owned()).unwrap(),
        moderation: None,
        created_at: Timestamp(i64::try_from(seq).unwrap()),
        edited_at: None,
        deleted_at: None,
    })
}

/// The table: each message in its current state, and every state it was published in.
fn commit_all(changes: &[Change]) -> (BTreeMap<u64, Arc<Message>>, Vec<Arc<Message>>) {
    let mut table = BTreeMap::new();
    let mut published = Vec::new();
    for (n, change) in changes.iter().enumerate() {
        let last = table.len() as u64;
        let seq = match change {
            Change::Edit(which) if last > 0 => 1 + *which as u64 % last,
            _ => last + 1,
        };
        let state = message(seq, n as u64 + 1);
        table.insert(seq, state.clone());
        published.push(state);
    }
    (table, published)
}

pub(super) fn head(rev: u64, last_seq: u64) -> Head {
    Head {
        history: History::trusted("h".to_owned()),
        kind: RoomKind::Group,
        history_for: HistoryFor::All,
        last_seq,
        rev,
        last_message_at: None,
        member_count: 1,
        quota: None,
    }
}

pub(super) fn publication_of(room: &RoomId, changes: Vec<publication::Change>) -> Publication {
    let history = History::trusted("h".to_owned());
    Publication {
        from: InstanceId::nil(),
        history,
        room_id: room.clone(),
        changes,
        users: Vec::new(),
        traces: Vec::new(),
    }
}

/// What the store answers after `rev`, in pages, by the table as it is at the end.
fn changes_after(table: &BTreeMap<u64, Arc<Message>>, rev: u64, newest: u64, page: usize) -> Changes {
    let mut messages: Vec<_> = table.values().filter(|m| m.rev > rev).cloned().collect();
    messages.sort_by_key(|m| m.rev);
    let more = messages.len() > page;
    messages.truncate(page);
    let complete = if more { messages.last().unwrap().rev } else { newest };
    Changes { messages, rev: complete, head: head(newest, table.len() as u64) }
}

fn read(log: &RoomLog, user: &UserId, copy: &mut Log) {
    loop {
        let cursor = copy.cursor.unwrap();
        let Pull::Frames { frames, rev } = log.pull(user, cursor, 1, 200) else {
            panic!("forty changes are within the ring");
        };
        for frame in &frames {
            copy.frame(&serde_json::from_str::<Value>(frame.as_str()).unwrap());
        }
        assert_eq!(copy.cursor, Some(rev), "the cursor is where the frames lead");
        if frames.is_empty() {
            return;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn invariant_3_a_reader_ends_with_the_log_whatever_the_bus_does(weather in weather()) {
        let (table, published) = commit_all(&weather.changes);
        let newest = published.len() as u64;
        let room: RoomId = "r".parse().unwrap();
        let user: UserId = "ben".parse().unwrap();
        let hub = Hub::default();
        let log = hub.room(&room);
        let mut queue: Vec<(usize, usize)> = Vec::new();
        for (n, late) in weather.deliveries.iter().enumerate() {
            queue.extend(late.iter().map(|late| (n + late, n)));
        }
        queue.sort_unstable();
        let mut copy = Log::new("r");
        copy.cursor = Some(0);
        // The head is read after the first publications came: they must wait.
        for (step, (_, n)) in queue.iter().enumerate() {
            if step == queue.len() / 4 {
                log.load(head(0, 0));
            }
            hub.apply(&publication_of(&room, vec![publication::Change::new(&room, &published[*n])]));
            if weather.reads[step % weather.reads.len()] && log.head().is_some() {
                read(&log, &user, &mut copy);
            }
        }
        log.load(head(0, 0));
        // What the tail check or the next publication starts: repair until there is no hole and nothing newer.
        let mut pages = 0;
        log.expect(newest);
        while let Some((after, expected)) = log.behind() {
            pages += 1;
            prop_assert!(pages <= newest, "each page leads on");
            log.fill(&changes_after(&table, after, newest, weather.page), expected);
            read(&log, &user, &mut copy);
        }
        read(&log, &user, &mut copy);
        let held: BTreeMap<u64, u64> =
            copy.messages().map(|m| (m["seq"].as_u64().unwrap(), m["rev"].as_u64().unwrap())).collect();
        let truth: BTreeMap<u64, u64> = table.values().map(|m| (m.seq, m.rev)).collect();
        prop_assert_eq!(held, truth);
        prop_assert_eq!(log.head().unwrap().last_seq, table.len() as u64);
    }

    #[test]
    fn what_memory_answers_to_a_cursor_is_what_the_store_would(weather in weather()) {
        let (table, published) = commit_all(&weather.changes);
        let newest = published.len() as u64;
        let room: RoomId = "r".parse().unwrap();
        let hub = Hub::default();
        let log = hub.room(&room);
        log.load(head(0, 0));
        let changes: Vec<_> = published.iter().map(|m| publication::Change::new(&room, m)).collect();
        hub.apply(&publication_of(&room, changes));
        let end = head(newest, table.len() as u64);
        let member = Member { role: Role::Member, joined_seq: 1, last_read_seq: 0 };
        for cursor in 0..=newest {
            let found = log.since(&end, &member, cursor, weather.page).expect("all of it is in the ring");
            let truth = changes_after(&table, cursor, newest, weather.page);
            let found_messages: Vec<Value> = serde_json::from_str(found.messages.get()).unwrap();
            let truth_messages: Vec<Value> =
                truth.messages.iter().map(|m| serde_json::to_value(&**m).unwrap()).collect();
            prop_assert_eq!(found_messages, truth_messages);
            prop_assert_eq!((found.rev, found.has_more), (truth.rev, truth.rev < newest));
        }
        prop_assert!(log.since(&end, &member, newest + 1, 1).is_none(), "a cursor above the head is the store's");
    }
}
