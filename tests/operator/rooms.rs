//! A room taken out and put in: whole, with its numbers, times and everything that hangs on its messages, between either
//! database; again and again; and never half.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Place, api};
use crate::support::{Api, Process, application_token, each, eventually, make_room, meta, say};

/// A file in a folder of its own.
pub(super) struct Exported {
    _folder: TempDir,
    path: PathBuf,
}

impl Exported {
    pub(super) fn of(place: &Place, room: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("room.jsonl");
        place.done(&["export", room, "--output", path.to_str().unwrap()]);
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(left, ["room.jsonl"]);
        Self { _folder: folder, path }
    }

    pub(super) fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }

    pub(super) fn lines(&self) -> Vec<Value> {
        read(&self.path)
    }

    /// All that is of the room, and not of where and when it was exported.
    pub(super) fn room(&self) -> Vec<Value> {
        self.lines().split_off(1)
    }
}

fn read(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// Lines of one kind.
pub(super) fn of<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter_map(|line| line.get(kind)).collect()
}

/// A service that finds some words odd.
fn serve(place: &Place) -> (Process, [Api; 4], Api, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let words = folder.path().join("words");
    std::fs::write(&words, "flag: odd\n").unwrap();
    let (process, address) = place.serve(&[("MODERATION_WORDS_FILE", words.to_str().unwrap())]);
    let application = api(address, "ann").with_token(&application_token());
    (process, ["ann", "ben", "cat", "dan"].map(|user| api(address, user)), application, folder)
}

pub(super) fn message(of: &Value) -> String {
    format!("/api/chat/rooms/garden/messages/{}", of["id"].as_str().unwrap())
}

/// A room in which everything has happened that can happen in a room.
async fn live(place: &Place) {
    let (process, [ann, ben, cat, dan], application, _words) = serve(place);
    for person in [&ann, &ben, &cat, &dan] {
        person.get("/api/session").await.ok(200);
    }
    application.put("/api/admin/quotas/daily", json!({ "perDay": 50, "timeZone": "Europe/Berlin" })).await.ok(200);
    let members = json!([{ "userId": "ann", "role": "OWNER" }, { "userId": "ben" }, { "userId": "cat" }]);
    let room = json!({ "type": "PUBLIC", "title": "Garden", "key": "plot-7", "quota": "daily", "members": members,
                       "metadata": { "plot": 7 }, "slowModeSeconds": 0 });
    application.put("/api/admin/rooms/garden", room).await.ok(201);
    let first = say(&ann, "garden", "first").await;
    let second = say(&ben, "garden", "second").await;
    ann.patch(&message(&first), json!({ "content": "first, edited" })).await.ok(200);
    for (person, emoji) in [(&ann, "👍"), (&ben, "👍"), (&ben, "☀️")] {
        let path = format!("{}/reactions/{emoji}", message(&second));
        person.put(&path, json!({})).await.ok(200);
    }
    let gone = say(&cat, "garden", "deleted soon").await;
    cat.delete(&message(&gone)).await.ok(200);
    let odd = say(&ben, "garden", "something odd").await;
    let worse = say(&ben, "garden", "something odd as well").await;
    let decision = format!("/api/admin/rooms/garden/messages/{}/moderation", odd["id"].as_str().unwrap());
    application.put(&decision, json!({ "action": "approve", "reason": "it was not" })).await.ok(200);
    let answer = json!({ "content": "an \"answer\",\nwith \\u0000 and 👍", "replyTo": second["id"], "metadata": { "mood": "keen" } });
    ann.post("/api/chat/rooms/garden/messages", answer).await.ok(201);
    dan.put("/api/chat/rooms/garden/members/dan", json!({})).await.ok(200);
    ann.delete("/api/chat/rooms/garden/members/dan?ban=true").await.ok(204);
    ann.put("/api/chat/rooms/garden/members/ben", json!({ "role": "MODERATOR" })).await.ok(200);
    cat.post("/api/chat/rooms/garden/read", json!({ "seq": worse["seq"] })).await.ok(200);
    process.signal("TERM");
    ended(process);
}

pub(super) fn ended(mut process: Process) {
    let (status, errors) = tokio::task::block_in_place(|| process.ended());
    assert!(status.success(), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_went_through_a_file_is_the_same_room() {
    let [sqlite, postgres] = Place::both().await;
    for (from, to) in [(&sqlite, Place::postgres().await), (&postgres, Place::sqlite())] {
        live(from).await;
        let file = Exported::of(from, "garden");
        let lines = file.lines();
        for (kind, count) in [("user", 4), ("member", 3), ("ban", 1), ("case", 2), ("reaction", 3), ("message", 11)] {
            assert_eq!(of(&lines, kind).len(), count, "{kind}: {lines:#?}");
        }
        let printed = to.done(&["import", file.path()]);
        assert!(printed.iter().any(|line| line.starts_with("messages: 11 new")), "{printed:#?}");
        to.assert_whole().await;
        assert_eq!(Exported::of(&to, "garden").room(), file.room());
        // Once more, and nothing is new.
        let printed = to.done(&["import", file.path()]);
        assert!(
            printed.iter().any(|line| line.starts_with("messages: 0 new + 0 changed since + 11 here")),
            "{printed:#?}"
        );
        assert_eq!(Exported::of(&to, "garden").room(), file.room());
        assert_served(&to).await;
    }
}

/// It is used as it was: by who may, up to where they had read, and with its quota, bans and open cases.
async fn assert_served(place: &Place) {
    let (_process, [ann, ben, cat, dan], application, _words) = serve(place);
    let page = cat.get("/api/chat/rooms/garden/messages?limit=100").await.ok(200);
    let seqs: Vec<u64> = page["messages"].as_array().unwrap().iter().map(|m| m["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=11).collect::<Vec<_>>());
    let heads = [meta(&ann, "garden").await, meta(&cat, "garden").await];
    assert_eq!(heads[0]["quota"]["limit"], 50);
    assert_eq!(heads[1]["unreadCount"], 5, "{heads:#?}");
    dan.put("/api/chat/rooms/garden/members/dan", json!({})).await.problem(403, "forbidden");
    let open = application.get("/api/admin/moderation").await.ok(200);
    assert_eq!(each(&open["cases"], "content"), ["something odd as well"].map(Value::from));
    let rev = page["rev"].as_u64().unwrap();
    let sent = say(&ben, "garden", "it goes on").await;
    assert_eq!((&sent["seq"], &sent["rev"]), (&json!(12), &json!(rev + 1)));
    // The history is this database's own, so that no cursor of the other means anything here.
    let since = format!("/api/chat/rooms/garden/messages?since=1&history={}", "of.another");
    cat.get(&since).await.problem(409, "history_changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_export_brings_what_changed() {
    let from = Place::sqlite();
    live(&from).await;
    let first = Exported::of(&from, "garden");
    let places = Place::both().await;
    for place in &places {
        place.done(&["import", first.path()]);
    }
    let (process, [ann, ben, cat, dan], application, _words) = serve(&from);
    let page = ann.get("/api/chat/rooms/garden/messages?limit=100").await.ok(200);
    let second = &page["messages"][2];
    assert_eq!(second["content"], "second");
    ben.delete(&format!("{}/reactions/👍", message(second))).await.ok(200);
    cat.put(&format!("{}/reactions/🎉", message(second)), json!({})).await.ok(200);
    ben.patch(&message(second), json!({ "content": "second, edited" })).await.ok(200);
    cat.delete("/api/chat/rooms/garden/members/cat").await.ok(204);
    ann.put("/api/chat/rooms/garden/members/dan", json!({})).await.ok(200);
    say(&dan, "garden", "let in again").await;
    let odd = page["messages"].as_array().unwrap().iter().find(|m| m["content"] == "something odd as well").unwrap();
    let decision = format!("/api/admin/rooms/garden/messages/{}/moderation", odd["id"].as_str().unwrap());
    application.put(&decision, json!({ "action": "reject" })).await.ok(200);
    drop(process);
    let second = Exported::of(&from, "garden");
    for place in &places {
        let printed = place.done(&["import", second.path()]);
        let told = "messages: 3 new + 2 changed since + 9 here before = 14";
        assert!(printed.iter().any(|line| line == told), "{printed:#?}");
        place.assert_whole().await;
        assert_eq!(Exported::of(place, "garden").room(), second.room());
        // What is older than what is here would take something back.
        let errors = place.fails(&["import", first.path()]);
        assert!(errors.contains("garden") && errors.contains("after the export"), "{errors}");
        assert_eq!(Exported::of(place, "garden").room(), second.room());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_whole_changes_nothing() {
    let from = Place::sqlite();
    live(&from).await;
    let file = Exported::of(&from, "garden");
    let text = std::fs::read_to_string(&file.path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let join = |lines: &[&str]| lines.iter().flat_map(|line| [line, "\n"]).collect::<String>();
    let mut wrong: Vec<(String, &str)> = (0..lines.len()).map(|end| (join(&lines[..end]), "not whole")).collect();
    // Cut within a line, as by a full disk.
    wrong.push((text[..text.len() - 9].to_owned(), "EOF"));
    for n in 0..lines.len() - 1 {
        let mut without = lines.clone();
        without.remove(n);
        wrong.push((join(&without), "line"));
    }
    let mut turned = lines.clone();
    turned.swap(6, 7);
    wrong.push((join(&turned), "message 1 is to come here"));
    wrong.push((text.clone() + "\n", "EOF"));
    wrong.push((text.clone() + lines[1] + "\n", "no place"));
    wrong.push((text.replacen("\"version\":1", "\"version\":2", 1), "version"));
    wrong.push((text.replacen("tidings room", "other room", 1), "no file of"));
    wrong.push((text.replacen("second", "sec\\u0000ond", 1), "NUL"));
    wrong.push(("{}\n".to_owned(), "line 1"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrong.jsonl");
    let place = Place::sqlite();
    for (text, named) in wrong {
        std::fs::write(&path, &text).unwrap();
        let errors = place.fails(&["import", path.to_str().unwrap()]);
        assert!(errors.contains(named) && errors.contains("wrong.jsonl"), "{named}: {errors}\n{text}");
        let Place::Sqlite(data) = &place else { unreachable!() };
        assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0, "a database was made: {errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_is_seen_by_nobody_and_goes_on() {
    let from = Place::sqlite();
    from.done(&["migrate"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.jsonl");
    write_large(&path, 6000);
    for to in Place::both().await {
        to.done(&["migrate"]);
        let url = to.url();
        let arguments = ["import", path.to_str().unwrap(), "--batch", "20"];
        let process = Process::start(&arguments, &[("DATABASE_URL", &url)]);
        eventually("some messages are there", || async {
            (to.numbers("select count(*) from message").await[0][0] > 200).then_some(())
        })
        .await;
        drop(process);
        to.assert_whole().await;
        let here = to.numbers("select count(*) from message").await[0][0];
        assert!(here < 6000, "it was not cut off");
        {
            let (_process, address) = to.serve(&[]);
            let ann = api(address, "u1");
            ann.get("/api/chat/rooms/large/messages").await.problem(404, "room_not_found");
            let found = ann.get("/api/chat/rooms?type=PUBLIC").await.ok(200);
            assert_eq!(found["rooms"], json!([]), "a room that is not whole is found");
        }
        let printed = to.done(&arguments);
        let told = format!("messages: {} new + 0 changed since + {here} here before = 6000", 6000 - here);
        assert!(printed.contains(&told), "{told}: {printed:#?}");
        to.assert_whole().await;
        // Who looked for it has a name since then, of their token.
        let but_who_looked = |mut lines: Vec<Value>| {
            lines.retain(|line| line["user"]["id"] != "u1");
            lines
        };
        let (found, meant) =
            (but_who_looked(Exported::of(&to, "large").room()), but_who_looked(read(&path).split_off(1)));
        assert_eq!(found.iter().zip(&meant).find(|(found, meant)| found != meant), None);
        assert_eq!(found.len(), meant.len());
        let (_process, address) = to.serve(&[]);
        assert_eq!(meta(&api(address, "u1"), "large").await["unreadCount"], 5999);
    }
}

/// A room of so many messages and a hundred members, as `export` would have written it.
fn write_large(path: &Path, messages: u64) {
    let time = |n: u64| format!("2026-01-01T{:02}:{:02}:{:02}.000000Z", n / 3600, n / 60 % 60, n % 60);
    let user = |n: u64| format!("u{n:03}");
    let mut lines = vec![
        json!({ "export": { "format": "tidings room", "version": 1, "history": "h1", "exportedAt": time(0) } }),
        json!({ "room": { "id": "large", "type": "PUBLIC", "key": null, "title": null, "metadata": null,
            "historyFor": "all", "slowModeSeconds": 3, "quota": null, "createdAt": time(0),
            "lastMessageAt": time(messages), "lastSeq": messages, "rev": messages } }),
    ];
    let set = json!({ "name": false, "avatarUrl": false, "role": false, "partner": false });
    let mut ids: Vec<String> = std::iter::once("u1".to_owned()).chain((0..99).map(user)).collect();
    ids.sort();
    lines.extend(ids.iter().map(|id| {
        json!({ "user": { "id": id, "name": id, "avatarUrl": null, "role": "CUSTOMER", "partnerId": null,
            "partnerStatus": null, "set": set, "claimsAt": "1970-01-01T00:00:00.000000Z", "createdAt": time(0) } })
    }));
    lines.extend((1..=messages).map(|n| {
        json!({ "message": { "seq": n, "rev": n, "id": format!("m{n}"), "hash": "00ff", "senderId": "u000",
            "senderName": "Somebody", "senderAvatarUrl": null, "content": format!("message {n}"), "contentType": "TEXT",
            "metadata": null, "replyTo": null, "reactions": [], "moderation": null, "createdAt": time(n),
            "editedAt": null, "deletedAt": null } })
    }));
    lines.extend(ids.iter().map(|id| {
        json!({ "member": { "userId": id, "role": "MEMBER", "joinedSeq": 1, "lastReadSeq": 1, "lastSentAt": null } })
    }));
    lines.push(json!({ "end": { "users": ids.len(), "messages": messages, "reactions": 0, "cases": 0, "bans": 0,
        "members": ids.len() } }));
    let text: String = lines.iter().flat_map(|line| [line.to_string(), "\n".to_owned()]).collect();
    std::fs::write(path, text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_went_a_way_of_its_own_is_left_alone() {
    for place in Place::both().await {
        let from = Place::sqlite();
        live(&from).await;
        let file = Exported::of(&from, "garden");
        place.done(&["import", file.path()]);
        // The same number of messages in both, and not the same ones.
        for (place, text) in [(&place, "here"), (&from, "there")] {
            let (_process, [ann, ..], ..) = serve(place);
            say(&ann, "garden", text).await;
        }
        let later = Exported::of(&from, "garden");
        let before = Exported::of(&place, "garden");
        let errors = place.fails(&["import", later.path()]);
        assert!(errors.contains("message 12") && errors.contains("its own"), "{errors}");
        assert_eq!(Exported::of(&place, "garden").room(), before.room());
        // Another room of this name.
        let other = Place::sqlite();
        let (process, [ann, ..], ..) = serve(&other);
        make_room(&ann, "garden", "GROUP", &[]).await;
        drop(process);
        let errors = other.fails(&["import", file.path()]);
        assert!(errors.contains("garden is here already"), "{errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_is_put_in_once() {
    let from = Place::sqlite();
    let (process, [ann, ben, ..], ..) = serve(&from);
    ben.get("/api/session").await.ok(200);
    let pair = json!({ "id": "pair", "type": "DIRECT", "memberIds": ["ben"] });
    ann.post("/api/chat/rooms", pair).await.ok(201);
    say(&ben, "pair", "hello").await;
    drop(process);
    let file = Exported::of(&from, "pair");
    let place = Place::postgres().await;
    place.done(&["import", file.path()]);
    assert_eq!(Exported::of(&place, "pair").room(), file.room());
    let (process, [ann, ..], ..) = serve(&place);
    let asked = ann.post("/api/chat/rooms", json!({ "type": "DIRECT", "memberIds": ["ben"] })).await.ok(200);
    assert_eq!(asked["room"]["id"], "pair");
    drop(process);
    let other = Place::sqlite();
    let (process, [ann, ben, ..], ..) = serve(&other);
    ben.get("/api/session").await.ok(200);
    ann.post("/api/chat/rooms", json!({ "type": "DIRECT", "memberIds": ["ben"] })).await.ok(201);
    drop(process);
    let errors = other.fails(&["import", file.path()]);
    assert!(errors.contains("have a room of this key"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_says_what_is_in_its_way() {
    let place = Place::sqlite();
    let errors = place.fails(&["export", "nowhere"]);
    assert!(errors.contains("there is no room nowhere"), "{errors}");
    let (code, _, errors) = place.run(&["export", "no room"]);
    assert!(code == Some(2) && errors.contains("ROOM"), "{errors}");
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("taken");
    std::fs::write(&taken, "mine").unwrap();
    let (code, _, errors) = place.run(&["export", "nowhere", "--output", taken.to_str().unwrap()]);
    assert!(code == Some(2) && errors.contains("there already"), "{errors}");
    assert_eq!(std::fs::read_to_string(&taken).unwrap(), "mine");
    let (_process, [ann, ..], ..) = serve(&place);
    make_room(&ann, "garden", "GROUP", &[]).await;
    let errors = place.fails(&["export", "garden"]);
    assert!(errors.contains("in use"), "SQLite is one process's own: {errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_exported_while_people_write_in_it_and_is_of_one_moment() {
    let place = Place::postgres().await;
    let (_process, [ann, ..], ..) = serve(&place);
    make_room(&ann, "busy", "GROUP", &[]).await;
    for n in 0..20 {
        say(&ann, "busy", &format!("before {n}")).await;
    }
    let writing = tokio::spawn(async move {
        for n in 0.. {
            let message = say(&ann, "busy", &format!("meanwhile {n}")).await;
            let path = format!("/api/chat/rooms/busy/messages/{}", message["id"].as_str().unwrap());
            ann.patch(&path, json!({ "content": "edited meanwhile" })).await.ok(200);
        }
    });
    for _ in 0..3 {
        let lines = Exported::of(&place, "busy").lines();
        let (room, messages) = (of(&lines, "room")[0].clone(), of(&lines, "message"));
        assert_eq!(room["lastSeq"], messages.len());
        let highest = messages.iter().map(|message| message["rev"].as_u64().unwrap()).max();
        assert_eq!(room["rev"].as_u64(), highest, "the last change is of a message that is there");
        let member = of(&lines, "member")[0];
        assert_eq!(member["lastReadSeq"], room["lastSeq"], "who writes has read");
    }
    writing.abort();
}
