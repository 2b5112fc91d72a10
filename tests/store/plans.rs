//! How PostgreSQL finds messages among a million: every statement that the store gives it is run as the service runs
//! it, and the plan that the server really used is read from the server (`auto_explain`).

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tidings::model::{Decision, Flag, FlaggedBy, MessageId, RoomId, RoomKind, UserId};
use tidings::store::{MemberChange, NewRoom, PageQuery, ReadTo, RoomPatch, Ruling, Store};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use super::{caller, draft, draft_as, new_room, room, settings, user};
use crate::support::{Database, Postgres};

/// Statements of the store that touch messages. One more, and it is to be called below.
const STATEMENTS: usize = 15;
/// So often is each run, because PostgreSQL makes a plan for any parameters only after five for those it was given.
const RUNS: u64 = 8;

/// A thousand and one rooms with a million messages: a hundred thousand in one, nine hundred in each other. A hundred people,
/// all of them in every room, so that a list of rooms has something to sort.
const FILL: &str = "
    set synchronous_commit = off;
    insert into \"user\" (id, name, role, created_at) select 'u' || n, 'u' || n, 'CUSTOMER', 1 from generate_series(1, 100) n;
    insert into room (id, kind, created_at, last_message_at, last_seq, rev, member_count)
        select 'r' || n, case n % 10 when 0 then 'PUBLIC' else 'GROUP' end, 1, n * 1000, seqs, seqs, 100
        from (select n, case n when 1 then 100000 else 900 end as seqs from generate_series(1, 1001) n) sizes;
    insert into member (room_id, user_id, role, joined_seq, last_read_seq)
        select r.id, u.id, case u.id when 'u1' then 'OWNER' else 'MEMBER' end, 1, 1 from room r cross join \"user\" u;
    insert into message (room_id, seq, rev, id, hash, sender_id, sender_name, content, content_type, created_at)
        select r.id, seq, seq, r.id || ':' || seq, '', 'u' || (1 + seq % 100), 'somebody',
               'some forty bytes of text, as people write', 'TEXT', seq
        from room r cross join lateral generate_series(1, r.last_seq) seq;
    insert into moderation_case (room_id, seq, rev, message_id, sender_id, sender_name, content, content_type, flagged_by,
                                 reason, flagged_at, decision)
        select r.id, seq, seq, r.id || ':' || seq, 'u1', 'somebody', 'odd', 'TEXT', 'HOOK', 'odd', seq,
               case seq % 10 when 0 then null else 'APPROVED' end
        from room r cross join generate_series(1, 50) seq;
    analyze;";

/// Takes down what the server says of its plans.
#[derive(Clone, Default)]
struct Plans(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Plans {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Message<'a>(&'a mut Vec<String>);
        impl Visit for Message<'_> {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                if field.name() == "message" {
                    self.0.push(format!("{value:?}"));
                }
            }
            fn record_str(&mut self, field: &Field, value: &str) {
                if field.name() == "message" {
                    self.0.push(value.to_owned());
                }
            }
        }
        if event.metadata().target() == "sqlx::postgres::notice" {
            event.record(&mut Message(&mut self.0.lock().unwrap()));
        }
    }
}

impl Plans {
    /// Each statement with all plans it was run by.
    fn taken(&self) -> BTreeMap<String, Vec<Value>> {
        let mut plans: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for message in self.0.lock().unwrap().iter() {
            let Some((_, plan)) = message.split_once("plan:") else { continue };
            let plan: Value = serde_json::from_str(plan).unwrap_or_else(|error| panic!("{error}: {plan}"));
            plans.entry(plan["Query Text"].as_str().unwrap().to_owned()).or_default().push(plan["Plan"].clone());
        }
        plans
    }
}

/// The node, and all under it.
fn nodes(plan: &Value) -> Vec<&Value> {
    let under = plan["Plans"].as_array().into_iter().flatten().flat_map(nodes);
    std::iter::once(plan).chain(under).collect()
}

fn reads_messages(plan: &Value) -> bool {
    nodes(plan).iter().any(|node| node["Relation Name"] == "message" && node["Node Type"] != "ModifyTable")
}

/// What is wrong with a plan.
fn findings(plan: &Value) -> Vec<String> {
    let wrong = |node: &&Value| {
        let kind = node["Node Type"].as_str().unwrap();
        (kind == "Seq Scan" && node["Relation Name"] == "message") || (kind.ends_with("Sort") && reads_messages(node))
    };
    nodes(plan).into_iter().filter(wrong).map(|node| format!("{node:#}")).collect()
}

/// Everything the store does with messages, each time with other parameters.
async fn use_everything(store: &Store, n: u64) {
    let (id, ann) = (room(if n.is_multiple_of(2) { "r1" } else { "r7" }), user("u1"));
    let sent = draft_as(MessageId::fresh(), "first");
    let message = store.send(&id, &ann, sent.clone(), None).await.unwrap().message;
    assert!(store.send(&id, &ann, sent.clone(), None).await.unwrap().commit.is_none());
    assert!(store.sent_before(&id, &ann, &sent).await.unwrap().is_some());
    let mut answer = draft("an answer");
    answer.reply_to = Some(message.id.clone());
    store.send(&id, &ann, answer, None).await.unwrap();
    store.edit(&id, &ann, &message.id, "second".to_owned(), None).await.unwrap();
    moderate(store, &id, &ann).await;
    store.react(&id, &ann, &message.id, "👍".to_owned(), true).await.unwrap();
    store.delete(&id, &ann, &message.id).await.unwrap();
    let middle = 400 + 10 * n;
    for query in [
        PageQuery::Newest,
        PageQuery::Before(middle),
        PageQuery::After(middle),
        PageQuery::Around(middle),
        PageQuery::Since(middle),
        PageQuery::Since(message.rev - 1),
    ] {
        let limit = if n.is_multiple_of(3) { 100 } else { 10 };
        let page = store.page(&id, &ann, query, limit).await.unwrap();
        assert!(!page.messages.is_empty(), "{query:?}");
    }
    store.changes(&id, message.rev - 1, 100).await.unwrap();
    store.changes(&id, middle, 100).await.unwrap();
    store.head(&id).await.unwrap();
    store.room(&id, &ann).await.unwrap();
    let (rooms, cursor) = store.rooms(&ann, None, 20).await.unwrap();
    assert!(rooms.len() == 20 && rooms.iter().any(|room| room.last_message.is_some()));
    store.rooms(&ann, cursor, 20).await.unwrap();
    store.public_rooms(&ann, None, 20).await.unwrap();
    store.user_rooms(&ann, 500).await.unwrap();
    store.unread_count(&ann).await.unwrap();
    let ids = (0..20).map(|k| format!("{id}:{}", middle + k).parse().unwrap()).collect();
    let (position, _) = store.read(&id, &user("u2"), ReadTo::Messages(ids)).await.unwrap();
    assert_eq!(position.last_read_seq, middle + 19);
    let comer = caller(&format!("new{n}"));
    store.ensure_user(&comer).await.unwrap();
    store.change_member(&id, &ann, &comer.id, MemberChange::Put(None)).await.unwrap();
    let patch = RoomPatch { title: Some(Some(format!("title {n}"))), metadata: None, slow_mode_seconds: Some(1) };
    store.update_room(&id, &ann, patch).await.unwrap();
    store.create_room(&ann, NewRoom { member_ids: vec![comer.id], ..new_room(RoomKind::Group) }).await.unwrap();
}

/// What is flagged, looked at and decided of.
async fn moderate(store: &Store, id: &RoomId, by: &UserId) {
    let flag = Flag { by: FlaggedBy::Hook, reason: "odd".to_owned() };
    let flagged = store.send(id, by, draft("odd"), Some(flag)).await.unwrap().message;
    assert!(!store.open_cases(None, 20).await.unwrap().is_empty());
    assert_eq!(store.cases_of(id, &flagged.id).await.unwrap().len(), 1);
    let ruling = Ruling { by: by.clone(), decision: Decision::Approved, reason: None, up_to: None };
    assert!(store.decide(id, &flagged.id, ruling).await.unwrap().commit.is_some());
}

/// A store on the database that says how it is asked, for as long as the guard lives. Two connections: one reads and
/// one writes, so that each prepares everything and runs it often enough.
async fn explained(database: &Database) -> (Plans, Store, tracing::subscriber::DefaultGuard) {
    let name = &database.name;
    for setting in [
        "session_preload_libraries = 'auto_explain'",
        "auto_explain.log_min_duration = 0",
        "auto_explain.log_format = 'json'",
        "auto_explain.log_level = 'notice'",
    ] {
        Postgres::shared().run_on(name, &format!("alter database {name} set {setting}")).await;
    }
    let plans = Plans::default();
    let guard = tracing_subscriber::registry().with(plans.clone()).set_default();
    let mut few = settings(database.url());
    few.connections = 2;
    (plans, Store::open(&few).await.unwrap(), guard)
}

// Plans are kept: what is chosen for the first messages is used until the next ANALYZE, for however many.
#[tokio::test]
async fn on_an_empty_database_rows_are_looked_up_by_all_that_is_known_of_them() {
    let database = Database::create().await;
    let (plans, store, guard) = explained(&database).await;
    let ann = store.ensure_user(&caller("ann")).await.unwrap().id;
    let new = NewRoom { id: Some(room("r")), ..new_room(RoomKind::Group) };
    store.create_room(&ann, new).await.unwrap();
    for n in 0..RUNS {
        let message = store.send(&room("r"), &ann, draft("first"), None).await.unwrap().message;
        store.edit(&room("r"), &ann, &message.id, format!("second {n}"), None).await.unwrap();
    }
    store.close().await;
    drop(guard);
    let taken = plans.taken();
    // What a migration does with the rows it makes up is not meant.
    let found: Vec<(&String, &Value)> = taken
        .iter()
        .filter(|(statement, _)| !statement.contains("'no room %'"))
        .flat_map(|(statement, plans)| plans.iter().flat_map(nodes).map(move |node| (statement, node)))
        .collect();
    let of_messages = found.iter().filter(|(_, node)| node["Relation Name"] == "message").count();
    assert!(of_messages as u64 > 2 * RUNS, "{found:#?}");
    let wrong: Vec<_> = found.into_iter().filter(|(_, node)| reads_others(node)).collect();
    assert!(wrong.is_empty(), "these read other rows too: {wrong:#?}");
}

/// Whether a scan of a table that grows may read rows that are not meant.
fn reads_others(node: &Value) -> bool {
    let keys: &[&str] = match node["Relation Name"].as_str() {
        Some("message") => &["(room_id ", "(id ", "(seq ", "(rev "],
        Some("member") => &["(room_id ", "(user_id "],
        Some("room" | "user") => &["(id "],
        _ => return false,
    };
    if node["Node Type"] == "ModifyTable" {
        return false;
    }
    let by = node["Index Cond"].as_str().unwrap_or_default();
    let known = keys.iter().filter(|key| by.contains(**key)).count();
    // One row at most is looked at further where its id is known.
    known < keys.len().min(2) || (keys.len() > 1 && !node["Filter"].is_null())
}

// On one thread, so that what the driver tells of the server's notices is told to this test alone.
#[tokio::test]
async fn no_statement_scans_or_sorts_messages_among_a_million() {
    let database = Database::create().await;
    Store::open(&settings(database.url())).await.unwrap().close().await;
    Postgres::shared().run_on(&database.name, FILL).await;
    let (plans, store, guard) = explained(&database).await;
    for n in 0..RUNS {
        use_everything(&store, n).await;
    }
    store.close().await;
    drop(guard);
    let taken = plans.taken();
    let mut wrong = Vec::new();
    let mut touching = Vec::new();
    for (statement, plans) in &taken {
        if plans.iter().any(|plan| nodes(plan).iter().any(|node| node["Relation Name"] == "message")) {
            touching.push(statement);
        }
        wrong.extend(plans.iter().flat_map(findings).map(|finding| format!("{statement}\n{finding}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert_eq!(touching.len(), STATEMENTS, "{touching:#?}");
}

#[test]
fn a_plan_that_scans_or_sorts_messages_is_found() {
    let scan = serde_json::json!({ "Node Type": "Seq Scan", "Relation Name": "message" });
    let index = serde_json::json!({ "Node Type": "Index Scan", "Relation Name": "message" });
    let sorted = |under: &Value| serde_json::json!({ "Node Type": "Incremental Sort", "Plans": [under] });
    let joined = |under: &Value| serde_json::json!({ "Node Type": "Nested Loop", "Plans": [under] });
    assert_eq!(findings(&joined(&scan)).len(), 1);
    assert_eq!(findings(&sorted(&joined(&index))).len(), 1);
    assert!(findings(&joined(&index)).is_empty());
}
