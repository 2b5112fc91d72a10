//! Moving in from the old application: its tables as Prisma makes them, with what years of use leave in such tables.

mod source;

use serde_json::{Value, json};

use super::{Place, api};
use crate::support::{Handshake, Process, each, eventually, meta, token};
use source::{ANN, BEN, CAT, DAN, Old};

/// What a row of the table says of people, rooms, members and messages.
fn row(lines: &[String], name: &str) -> [u64; 4] {
    let line = lines.iter().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {lines:#?}"));
    let numbers: Vec<u64> = line[32..].split_whitespace().map(|number| number.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

/// Imports, and holds the table to what it promises.
fn import(place: &Place, old: &Old, more: &[&str]) -> Vec<String> {
    let url = old.url();
    let lines = place.done(&[&["import", "--old-database-url", &url], more].concat());
    let rows: Vec<[u64; 4]> = lines[1..10].iter().map(|line| row(&lines, &line[..32])).collect();
    for column in 0..4 {
        let sum: u64 = rows[..8].iter().map(|row| row[column]).sum();
        assert_eq!(sum, rows[8][column], "column {column} does not add up: {lines:#?}");
    }
    lines
}

fn messages(room: &str) -> String {
    format!("/api/chat/rooms/{room}/messages?limit=100")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_tables_come_in_whole_and_are_served() {
    let old = Old::tricky().await;
    for place in Place::both().await {
        let lines = import(&place, &old, &["--batch", "2"]);
        assert_eq!(row(&lines, "imported now"), [4, 6, 9, 11], "{lines:#?}");
        assert_eq!(row(&lines, "here before"), [0; 4]);
        assert_eq!(row(&lines, "rejected by moderation"), [0, 0, 0, 1]);
        assert_eq!(row(&lines, "not active, no members"), [0, 0, 2, 0]);
        assert_eq!(row(&lines, "unusable"), [1, 0, 1, 1]);
        assert_eq!(row(&lines, "in the tables"), [5, 6, 12, 13]);
        assert!(lines.iter().any(|line| line.starts_with("1 rooms of two are a GROUP")), "{lines:#?}");
        place.assert_whole().await;
        let (_process, address) = place.serve(&[]);
        let [ann, ben, cat, dan] = [ANN, BEN, CAT, DAN].map(|user| api(address, user));

        let page = ann.get(&messages("pair")).await.ok(200);
        assert_eq!(each(&page["messages"], "id"), ["p1", "p2", "p3", "p4", "p5", "p6"].map(Value::from));
        assert_eq!(each(&page["messages"], "seq"), [1, 2, 3, 4, 5, 6].map(Value::from));
        assert_eq!(
            each(&page["messages"], "createdAt")[..5],
            ["00.000000", "00.500000", "00.500001", "00.500002", "00.501000"]
                .map(|time| json!(format!("2025-03-01T10:00:{time}Z")))
        );
        assert_eq!(page["messages"][0]["senderName"], "Annie", "the name it was written under");
        assert_eq!(page["messages"][1]["senderName"], "Ben");
        assert_eq!(page["messages"][1]["senderAvatarUrl"], "https://img.example/ben.jpg");
        assert_eq!(page["messages"][1]["content"], "text of p2");
        // Ann has read the whole of the millisecond in which she read; ben has read what he wrote.
        assert_eq!((meta(&ann, "pair").await["unreadCount"].clone()), 2);
        assert_eq!(meta(&ben, "pair").await["unreadCount"], 0);

        let room = ann.get("/api/chat/rooms/pair").await.ok(200)["room"].clone();
        assert_eq!((&room["type"], &room["key"]), (&json!("DIRECT"), &json!("booking1")), "{room}");
        assert_eq!(room["metadata"], json!({ "type": "ONE_ON_ONE", "isFreeChat": false }));
        // What the new application asks for is found, not made again.
        let asked = json!({ "type": "DIRECT", "key": "booking1", "memberIds": [ANN] });
        assert_eq!(ben.post("/api/chat/rooms", asked).await.ok(200)["room"]["id"], "pair");

        let group = ann.get(&messages("group")).await.ok(200);
        assert_eq!(each(&group["messages"], "id"), ["g1", "g2", "g3", "g5"].map(Value::from));
        assert_eq!(group["messages"][1]["senderName"], CAT, "without a name, the id");
        assert_eq!(group["messages"][2]["senderName"], "Dan", "a name that moves no terminal");
        cat.get(&messages("group")).await.problem(404, "room_not_found");
        assert_eq!(meta(&dan, "group").await["unreadCount"], 1, "of what came after his own");
        assert_eq!(meta(&ann, "group").await["unreadCount"], 0);

        assert_eq!(meta(&ann, "silent").await["lastSeq"], 0);
        assert_eq!(ann.get(&messages("silent")).await.ok(200)["messages"], json!([]));
        let rooms = ann.get("/api/chat/rooms?limit=50").await.ok(200);
        let mut ids = each(&rooms["rooms"], "id");
        ids.sort_by_key(ToString::to_string);
        assert_eq!(ids, ["free1", "free2", "group", "pair", "silent"].map(Value::from));
        assert_eq!(ann.get("/api/chat/unread-count").await.ok(200)["unreadCount"], 3, "two of pair, and f1");
        // It goes on where the old one ended.
        let sent = ann.post("/api/chat/rooms/pair/messages", json!({ "content": "here now" })).await.ok(201);
        assert_eq!(
            (&sent["message"]["seq"], &sent["message"]["senderName"]),
            (&json!(7), &json!("Cly00000000000000000000an"))
        );
        let replied = json!({ "content": "indeed", "replyTo": "p3" });
        ben.post("/api/chat/rooms/pair/messages", replied).await.ok(201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_run_adds_what_is_new_and_nothing_twice() {
    let old = Old::tricky().await;
    for place in Place::both().await {
        import(&place, &old, &[]);
        let again = import(&place, &old, &[]);
        assert_eq!(row(&again, "imported now"), [0; 4], "{again:#?}");
        assert_eq!(row(&again, "here before"), [4, 6, 9, 11]);
        place.assert_whole().await;
    }
    let places = Place::both().await;
    for place in &places {
        import(place, &old, &[]);
    }
    old.user("cly000000000000000000eve", "Eve").await;
    old.message("p7", "pair", ANN, "11:00:00").await;
    // Written before what was imported, and committed after.
    old.message("p0", "pair", ANN, "09:59:59").await;
    old.message("g6", "group", DAN, "11:00:00").await;
    old.room("later", "GROUP", None).await;
    old.member("later", ANN, true, None).await;
    old.run(&format!(
        r#"update "ChatRoomMember" set "lastReadAt" = '2025-03-01 12:00:00' where "roomId" = 'pair' and "userId" = '{BEN}';
           update "ChatRoomMember" set "isActive" = false where "roomId" = 'group' and "userId" = '{DAN}';
           update "ChatRoomMember" set "isActive" = true where "roomId" = 'group' and "userId" = '{CAT}';
           update "ChatMessage" set "moderationStatus" = 'REJECTED' where "id" = 'p6'"#
    ))
    .await;
    for place in places {
        let lines = import(&place, &old, &[]);
        assert_eq!(row(&lines, "imported now"), [1, 1, 2, 3], "{lines:#?}");
        assert_eq!(row(&lines, "here before"), [4, 6, 8, 10]);
        assert_eq!(row(&lines, "rejected by moderation"), [0, 0, 0, 2]);
        assert_eq!(row(&lines, "not active any more"), [0, 0, 1, 0]);
        for told in ["1 messages came after", "1 messages were rejected after"] {
            assert!(lines.iter().any(|line| line.starts_with(told)), "{told}: {lines:#?}");
        }
        place.assert_whole().await;
        let (process, address) = place.serve(&[]);
        let [ann, ben, cat, dan] = [ANN, BEN, CAT, DAN].map(|user| api(address, user));
        let page = ann.get(&messages("pair")).await.ok(200);
        assert_eq!(
            each(&page["messages"], "id")[6..],
            ["p0", "p7"].map(Value::from),
            "the place of p0 is its own from now on"
        );
        assert_eq!(meta(&ben, "pair").await["unreadCount"], 0);
        // Who came and who went is in the log, as always.
        let page = ann.get(&messages("group")).await.ok(200);
        let events: Vec<_> =
            page["messages"].as_array().unwrap().iter().filter(|m| m["contentType"] == "SYSTEM").collect();
        let told = events
            .iter()
            .map(|event| (event["metadata"]["event"].as_str().unwrap(), event["metadata"]["userId"].as_str().unwrap()));
        assert_eq!(told.collect::<Vec<_>>(), [("added", CAT), ("removed", DAN)]);
        dan.get(&messages("group")).await.problem(404, "room_not_found");
        assert_eq!(
            meta(&cat, "group").await["unreadCount"],
            5,
            "what came after the minute in which they read, and two events"
        );
        let stable = import_while_stopped(process, &place, &old);
        assert_eq!(
            (row(&stable, "imported now"), row(&stable, "not active any more")),
            ([0; 4], [0; 4]),
            "{stable:#?}"
        );
    }
}

/// SQLite is one process's own, so the service stops first.
fn import_while_stopped(process: Process, place: &Place, old: &Old) -> Vec<String> {
    drop(process);
    import(place, old, &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_runs_meanwhile_tells_its_readers() {
    let old = Old::tricky().await;
    let place = Place::postgres().await;
    import(&place, &old, &[]);
    let (_process, address) = place.serve(&[]);
    let mut socket = Handshake::to(address).token(&token(ANN)).welcomed(ANN).await;
    socket.subscribe("pair", json!({})).await;
    let mut watcher = Handshake::to(address).token(&token(ANN)).welcomed(ANN).await;
    watcher.send(json!({ "type": "watch", "id": 1 })).await;
    watcher.expect("all rooms", |frame| frame["type"] == "meta").await;
    old.message("p7", "pair", BEN, "11:00:00").await;
    old.room("later", "GROUP", None).await;
    old.member("later", ANN, true, None).await;
    import(&place, &old, &[]);
    assert_eq!(socket.hears("text of p7").await["seq"], 7);
    let is_told = |frame: &Value| frame["type"] == "meta" && each(&frame["rooms"], "roomId").contains(&json!("later"));
    watcher.expect("a room that is new", is_told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_here_since_is_not_undone_by_a_later_run() {
    let old = Old::tricky().await;
    for place in Place::both().await {
        import(&place, &old, &[]);
        let (process, address) = place.serve(&[]);
        let [ann, dan] = [ANN, DAN].map(|user| api(address, user));
        dan.delete(&format!("/api/chat/rooms/group/members/{DAN}")).await.ok(204);
        ann.post("/api/chat/rooms/silent/read", json!({})).await.ok(200);
        drop(process);
        old.message(&format!("g7{}", place.url().len()), "group", ANN, "12:00:00").await;
        let lines = import(&place, &old, &[]);
        assert_eq!(row(&lines, "decided here since"), [0, 0, 1, 0], "{lines:#?}");
        place.assert_whole().await;
        let (_process, address) = place.serve(&[]);
        api(address, DAN).get(&messages("group")).await.problem(404, "room_not_found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_goes_on_and_comes_to_the_same() {
    const EVERYTHING: &str =
        "select m.seq, m.rev, m.created_at, cast(length(m.id) as bigint) from message m order by m.room_id, m.seq";
    const MEMBERS: &str = "select joined_seq, last_read_seq from member order by room_id, user_id";
    let old = Old::create().await;
    old.fill(6, 1500).await;
    for (cut, whole) in Place::both().await.into_iter().zip(Place::both().await) {
        import(&whole, &old, &[]);
        cut.done(&["migrate"]);
        let (old_url, url) = (old.url(), cut.url());
        let arguments = ["import", "--old-database-url", &old_url, "--batch", "10"];
        let count = "select count(*) from message";
        for least in [1, 2500] {
            let process = Process::start(&arguments, &[("DATABASE_URL", &url)]);
            eventually("some messages are there", || async { (cut.numbers(count).await[0][0] >= least).then_some(()) })
                .await;
            drop(process);
            cut.assert_whole().await;
        }
        let here = cut.numbers(count).await[0][0];
        assert!(here < 9000, "it was not cut off: {here}");
        let lines = import(&cut, &old, &[]);
        let (new, before) = (row(&lines, "imported now")[3], row(&lines, "here before")[3]);
        assert!(new + before == 9000 && before >= 2500, "{lines:#?}");
        cut.assert_whole().await;
        assert_eq!(cut.numbers(EVERYTHING).await, whole.numbers(EVERYTHING).await);
        assert_eq!(cut.numbers(MEMBERS).await, whole.numbers(MEMBERS).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_is_only_read_whatever_its_tables_are_called() {
    let old = Old::tricky().await;
    let name = &old.0.name;
    old.run(&format!(
        r#"alter table "ChatRoom" rename to pre_chat_rooms;
           create schema app; alter table "User" set schema app; alter table app."User" rename to "users of app";
           alter table "ChatMessage" alter "createdAt" type timestamptz using "createdAt" at time zone 'UTC';
           alter table "ChatMessage" add "deletedAt" timestamp(3), add "replyToId" text;
           update "ChatMessage" set "deletedAt" = '2025-03-02 00:00:00' where "id" = 'g2';
           update "ChatMessage" set "replyToId" = 'p3b' where "id" = 'p5';
           update "ChatMessage" set "replyToId" = 'p1' where "id" = 'p6';
           create role reader_{name} login;
           grant usage on schema app, public to reader_{name};
           grant select on all tables in schema app, public to reader_{name};
           alter database {name} set timezone = 'Asia/Taipei'"#
    ))
    .await;
    let url = old.url().replace("postgres@", &format!("reader_{name}@"));
    let place = Place::sqlite();
    let tables = "ChatRoom=pre_chat_rooms,User=app.users of app";
    let lines = place.done(&["import", "--old-database-url", &url, "--old-tables", tables]);
    assert_eq!(row(&lines, "imported now"), [4, 6, 9, 11], "{lines:#?}");
    let (_process, address) = place.serve(&[]);
    let ann = api(address, ANN);
    let page = ann.get(&messages("pair")).await.ok(200);
    assert_eq!(page["messages"][0]["createdAt"], "2025-03-01T10:00:00.000000Z", "whatever zone the database is in");
    assert_eq!(each(&page["messages"], "replyTo")[4..], [Value::Null, json!("p1")], "what was rejected is no answer's");
    let deleted = &ann.get(&messages("group")).await.ok(200)["messages"][1];
    assert_eq!((&deleted["content"], &deleted["deletedAt"]), (&json!(""), &json!("2025-03-02T00:00:00.000000Z")));
    old.run(&format!("drop owned by reader_{name}; drop role reader_{name}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_named_and_nothing_is_made() {
    let old = Old::create().await;
    let place = Place::sqlite();
    let import = |url: &str, more: &[&str]| place.run(&[&["import", "--old-database-url", url], more].concat());
    let url = old.url();
    for (url, more, code, named) in [
        ("mysql://ann:secret@db/app", &[][..], 2, "OLD_DATABASE_URL"),
        ("postgres://ann:secret@127.0.0.1:1/app", &[], 1, "OLD_DATABASE_URL"),
        (&url, &["--old-tables", "ChatRooms=x"], 2, "ChatRooms"),
        (&url, &["--old-tables", "ChatRoom"], 2, "OLD_TABLES"),
        (&url, &["--old-tables", "ChatRoom=nowhere"], 1, "nowhere"),
        (&url, &["--old-tables", "ChatMessage=User"], 1, "senderId"),
    ] {
        let (found, _, errors) = import(url, more);
        assert!(found == Some(code) && errors.contains(named), "{url} {more:?}: {found:?} {errors}");
        assert!(!errors.contains("secret"), "{errors}");
        let Place::Sqlite(folder) = &place else { unreachable!() };
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it left something behind: {errors}");
    }
    let (code, _, errors) = place.run(&["import"]);
    assert!(code == Some(2) && errors.contains("FILE"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_imported_and_is_not_kept_any_more_does_not_come_back() {
    let old = Old::tricky().await;
    for place in Place::both().await {
        import(&place, &old, &[]);
        let few = [("RETENTION_DAYS", "30"), ("RETENTION_EVERY_SECONDS", "1")];
        let (mut process, address) = place.serve(&few);
        eventually("all of the year before is gone", || async {
            (meta(&api(address, ANN), "pair").await["oldestSeq"] == 7).then_some(())
        })
        .await;
        process.signal("TERM");
        let (status, errors) = tokio::task::block_in_place(|| process.ended());
        assert!(status.success(), "{errors}");
        let again = import(&place, &old, &[]);
        assert_eq!(row(&again, "imported now"), [0; 4], "{again:#?}");
        assert_eq!(row(&again, "here before"), [4, 6, 9, 11]);
        place.assert_whole().await;
    }
}
