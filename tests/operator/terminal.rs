//! `tail` and `send`: a room from the terminal, over services that stop, die and come back.

use std::net::{SocketAddr, TcpListener};

use serde_json::{Value, json};

use super::{Place, api, tidings};
use crate::support::{Api, Process, each, make_room, say, token};

/// An address that is free, for a service that is to come back to it.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn serve_at(place: &Place, address: SocketAddr) -> Process {
    let port = address.port().to_string();
    let (process, found) = place.serve(&[("PORT", &port)]);
    assert_eq!(found, address);
    process
}

/// A room of ann and ben, and the service on it.
async fn garden() -> (Place, Process, SocketAddr, [Api; 2]) {
    let (place, address) = (Place::sqlite(), free_address());
    let process = serve_at(&place, address);
    let people = ["ann", "ben"].map(|user| api(address, user));
    for person in &people {
        person.get("/api/session").await.ok(200);
    }
    make_room(&people[0], "garden", "GROUP", &["ben"]).await;
    (place, process, address, people)
}

/// The environment of one of the commands, as this user.
fn environment(address: SocketAddr, user: &str) -> [(&'static str, String); 2] {
    [("TIDINGS_URL", format!("http://{address}")), ("TIDINGS_TOKEN", token(user))]
}

fn run(address: SocketAddr, user: &str, arguments: &[&str], input: &str) -> (Option<i32>, Vec<String>, String) {
    let environment = environment(address, user);
    tidings(arguments, &[(environment[0].0, &environment[0].1), (environment[1].0, &environment[1].1)], input)
}

fn start(address: SocketAddr, user: &str, arguments: &[&str]) -> Process {
    let environment = environment(address, user);
    Process::start(arguments, &[(environment[0].0, &environment[0].1), (environment[1].0, &environment[1].1)])
}

fn messages(room: &str) -> String {
    format!("/api/chat/rooms/{room}/messages?limit=100")
}

/// What people wrote in the room.
async fn written(reader: &Api, room: &str) -> Vec<Value> {
    let page = reader.get(&messages(room)).await.ok(200);
    let people = page["messages"].as_array().unwrap().iter().filter(|m| m["contentType"] != "SYSTEM");
    people.map(|message| message["content"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_prints_what_is_there_and_then_what_comes() {
    let (_place, _process, address, [ann, ben]) = garden().await;
    for text in ["one", "two", "three"] {
        say(&ann, "garden", text).await;
    }
    let mut tail = start(address, "ben", &["tail", "garden", "--limit", "2"]);
    assert!(tokio::task::block_in_place(|| tail.line("#")).ends_with("Ann: two"), "it begins with the newest two");
    let mut next = |part: &str| tokio::task::block_in_place(|| tail.line(part));
    next("Ann: three");
    let message = say(&ben, "garden", "first\nsecond \u{1b}[31mred").await;
    let line = next(&format!("#{} Ben: first", message["seq"]));
    assert!(line.starts_with("20") && line.contains(':'), "{line}");
    assert_eq!(next("second"), "    second \u{fffd}[31mred");
    let path = format!("/api/chat/rooms/garden/messages/{}", message["id"].as_str().unwrap());
    ben.patch(&path, json!({ "content": "better" })).await.ok(200);
    next("Ben (edited): better");
    ann.put(&format!("{path}/reactions/👍"), json!({})).await.ok(200);
    next("[👍 1]");
    ben.delete(&path).await.ok(200);
    next("Ben (deleted)");
    ann.delete("/api/chat/rooms/garden/members/ben").await.ok(204);
    let (status, errors) = tokio::task::block_in_place(|| tail.ended());
    assert!(status.code() == Some(1) && errors.contains("no longer in this room"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn as_json_it_prints_what_the_protocol_has() {
    let (_place, _process, address, [ann, _]) = garden().await;
    say(&ann, "garden", "one").await;
    let (code, lines, _) = run(address, "ben", &["tail", "garden", "--json", "--once"], "");
    let printed: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let page = ann.get(&messages("garden")).await.ok(200);
    assert_eq!((code, json!(printed)), (Some(0), page["messages"].clone()));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_ends_the_connection_no_message_is_missed_or_printed_twice() {
    let (place, mut process, address, [ann, _]) = garden().await;
    let mut tail = start(address, "ben", &["tail", "garden", "--json", "--limit", "100"]);
    let mut seqs = Vec::new();
    let mut take = |text: &str| loop {
        let line = tokio::task::block_in_place(|| tail.line("{"));
        let message: Value = serde_json::from_str(&line).unwrap();
        seqs.push(message["seq"].as_u64().unwrap());
        if message["content"] == text {
            return;
        }
    };
    for (round, end) in ["KILL", "TERM", "KILL"].iter().enumerate() {
        for n in 0..30 {
            say(&ann, "garden", &format!("{round}.{n}")).await;
        }
        // Some are printed, some are under way, and some are written while it is away.
        take(&format!("{round}.{}", 10 * round));
        process.signal(end);
        tokio::task::block_in_place(|| process.ended());
        process = serve_at(&place, address);
        say(&ann, "garden", &format!("{round} and back")).await;
        take(&format!("{round} and back"));
    }
    let last = *seqs.last().unwrap();
    assert_eq!(seqs, (1..=last).collect::<Vec<_>>());
    assert!(last >= 93);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_goes_on_from_a_cursor() {
    let (place, mut process, address, [ann, _]) = garden().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cursor");
    let with_file = ["tail", "garden", "--once", "--json", "--cursor-file", file.to_str().unwrap()];
    let contents = |lines: &[String]| -> Vec<Value> {
        lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["content"].clone()).collect()
    };
    let (code, lines, errors) = run(address, "ben", &["tail", "garden", "--limit", "0", "--once"], "");
    assert!(code == Some(0) && lines.is_empty() && errors.contains("--since "), "none of what was there: {errors}");
    say(&ann, "garden", "one").await;
    let mut tail = start(address, "ben", &["tail", "garden", "--limit", "1"]);
    tokio::task::block_in_place(|| tail.line("one"));
    let (code, lines, _) = run(address, "ben", &with_file, "");
    assert_eq!((code, contents(&lines).last()), (Some(0), Some(&json!("one"))));
    say(&ann, "garden", "two").await;
    let (_, lines, _) = run(address, "ben", &with_file, "");
    assert_eq!(contents(&lines), ["two"].map(Value::from));
    let (_, lines, _) = run(address, "ben", &with_file, "");
    assert_eq!(lines, Vec::<String>::new());
    // At its end a tail says where it was.
    tokio::task::block_in_place(|| tail.line("two"));
    tail.signal("INT");
    let (status, errors) = tokio::task::block_in_place(|| tail.ended());
    assert!(status.success(), "{errors}");
    let (_, cursor) = errors.trim().rsplit_once("--since ").expect(&errors);
    say(&ann, "garden", "three").await;
    let (code, lines, errors) =
        run(address, "ben", &["tail", "garden", "--json", "--count", "1", "--since", cursor], "");
    assert_eq!((code, contents(&lines)), (Some(0), ["three"].map(Value::from).to_vec()), "{errors}");
    // A cursor of a history that is over begins anew, and says so.
    process.signal("KILL");
    tokio::task::block_in_place(|| process.ended());
    place.done(&["new-history"]);
    let _process = serve_at(&place, address);
    let (code, lines, errors) = run(address, "ben", &[&with_file[..], &["--limit", "1"]].concat(), "");
    assert_eq!((code, contents(&lines)), (Some(0), ["three"].map(Value::from).to_vec()));
    assert!(errors.contains("begins anew (history)"), "{errors}");
    std::fs::write(&file, "nonsense").unwrap();
    let (code, _, errors) = run(address, "ben", &with_file, "");
    assert!(code == Some(2) && errors.contains("--cursor-file"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_read_is_told_and_it_ends() {
    let (_place, _process, address, _) = garden().await;
    let (code, _, errors) = run(address, "eve", &["tail", "garden"], "");
    assert!(code == Some(1) && errors.contains("room_not_found"), "{errors}");
    let bad = [("TIDINGS_URL", format!("http://{address}")), ("TIDINGS_TOKEN", "no token".to_owned())];
    let bad = [(bad[0].0, bad[0].1.as_str()), (bad[1].0, bad[1].1.as_str())];
    let (code, _, errors) = tidings(&["tail", "garden"], &bad, "");
    assert!(code == Some(1) && errors.contains("401"), "{errors}");
    let (code, _, errors) = tidings(&["tail", "garden"], &bad[..1], "");
    assert!(code == Some(2) && errors.contains("TIDINGS_TOKEN"), "{errors}");
    let (code, _, errors) = run(free_address(), "ben", &["tail", "garden", "--once"], "");
    assert!(code == Some(1) && errors.contains("http://127.0.0.1"), "{errors}");
    let (code, _, errors) = run(address, "ben", &["tail", "no room"], "");
    assert!(code == Some(2) && errors.contains("ROOM"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_there_and_its_place_is_printed() {
    let (_place, _process, address, [ann, _]) = garden().await;
    let (code, lines, errors) = run(address, "ben", &["send", "garden", "from a terminal"], "");
    assert_eq!(code, Some(0), "{errors}");
    let (code, more, errors) =
        run(address, "ben", &["send", "garden"], "first line\r\n\n  \nsecond line, without an end");
    assert_eq!((code, more.len()), (Some(0), 2), "{errors}");
    assert_eq!(
        written(&ann, "garden").await,
        ["from a terminal", "first line", "second line, without an end"].map(Value::from)
    );
    let page = ann.get(&messages("garden")).await.ok(200);
    let places = page["messages"].as_array().unwrap()[1..].iter();
    let told: Vec<String> = places.map(|m| format!("{} {}", m["id"].as_str().unwrap(), m["seq"])).collect();
    assert_eq!([lines, more].concat(), told);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_is_not_doubled() {
    let (_place, _process, address, [ann, _]) = garden().await;
    let id = "019ab000-0000-7000-8000-000000000001";
    let one = ["send", "garden", "once", "--id", id];
    let first = run(address, "ben", &one, "");
    assert_eq!(first.0, Some(0), "{first:?}");
    assert_eq!(run(address, "ben", &one, "").1, first.1);
    let (code, _, errors) = run(address, "ben", &["send", "garden", "another text under the same id", "--id", id], "");
    assert!(code == Some(1) && errors.contains("message_id_conflict"), "{errors}");
    let batch = ["send", "garden", "--batch", "news of today"];
    // Cut off after two of three, and run again.
    run(address, "ben", &batch, "a\nb\n");
    let (code, lines, errors) = run(address, "ben", &batch, "a\nb\nc\n");
    assert_eq!((code, lines.len()), (Some(0), 3), "{errors}");
    assert_eq!(written(&ann, "garden").await, ["once", "a", "b", "c"].map(Value::from));
    run(address, "ben", &["send", "garden", "--batch", "news of tomorrow"], "a\n");
    assert_eq!(written(&ann, "garden").await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_away_is_waited_for_and_a_refusal_is_not() {
    let (place, mut process, address, [ann, _]) = garden().await;
    process.signal("KILL");
    tokio::task::block_in_place(|| process.ended());
    let (code, _, errors) = run(address, "ben", &["send", "garden", "too early", "--patience", "0"], "");
    assert!(code == Some(1) && errors.contains("--id "), "it says under which id it may be tried again: {errors}");
    let mut sending = start(address, "ben", &["send", "garden", "patient"]);
    let _process = serve_at(&place, address);
    let (status, lines, errors) = tokio::task::block_in_place(|| sending.output());
    assert!(status.success() && lines.len() == 1, "{errors}");
    assert_eq!(written(&ann, "garden").await, ["patient"].map(Value::from));
    let (code, lines, errors) = run(address, "eve", &["send", "garden"], "one\ntwo\n");
    assert_eq!((code, lines.len()), (Some(1), 0));
    assert!(errors.contains("room_not_found") && errors.contains("Line 1"), "{errors}");
    let page = ann.get(&messages("garden")).await.ok(200);
    assert_eq!(each(&page["messages"], "senderId").iter().filter(|id| **id == "eve").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_come_by_file_and_be_of_the_command_itself() {
    let (place, _process, address, [ann, _]) = garden().await;
    let url = place.url();
    let made =
        tidings(&["token", "--user", "ben"], &[("DATABASE_URL", &url), ("JWT_SECRET", crate::support::SECRET)], "");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, made.1.join("\n") + "\n").unwrap();
    let at = format!("http://{address}/");
    let environment = [("TIDINGS_TOKEN_FILE", file.to_str().unwrap())];
    let (code, _, errors) = tidings(&["send", "garden", "by file", "--url", &at], &environment, "");
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(written(&ann, "garden").await, ["by file"].map(Value::from));
}
