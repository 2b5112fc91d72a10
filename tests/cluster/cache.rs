//! The keys in Redis: there after each write and each cold read, for as long as they should be, and never believed
//! when they are old, of another history, or nonsense.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Few, garden};
use crate::support::{eventually, say, within};

const META: &str = "chat:meta:garden";
const PAGE: &str = "chat:messages:garden:10";
const META_LIFE: i64 = 1_000;
const PAGE_LIFE: i64 = 3_000;
/// Within which a key is there after the answer.
const THERE: Duration = Duration::from_millis(500);

/// Looks, of which one has to find the key if as many are made in that time: a machine that is busy makes fewer, and then
/// the key may have come and ended in between.
const LOOKS: u32 = 10;

/// The key's value once it is there, having looked at how long it lives; nothing if it could not be looked at often enough.
async fn seen(few: &Few, key: &str, life: i64) -> Option<Value> {
    let (begin, mut looks) = (Instant::now(), 0);
    let mut pause = tokio::time::interval(Duration::from_millis(10));
    while begin.elapsed() < THERE {
        pause.tick().await;
        let left: i64 = few.redis("pttl", key, &[]).parse().unwrap();
        assert!(left != -1, "{key} lives for ever");
        assert!(left <= life, "{key} lives for {left} ms");
        let text = few.redis("get", key, &[]);
        if left > 0 && !text.is_empty() {
            return Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{key}: {error}: {text}")));
        }
        looks += 1;
    }
    assert!(looks < LOOKS, "{key} is not there {THERE:?} after the answer");
    None
}

/// The same of a key that lives long enough to be looked at again.
async fn held(few: &Few, key: &str, life: i64) -> Value {
    eventually(&format!("{key} is there"), || seen(few, key, life)).await
}

fn rev(value: &Value) -> u64 {
    value["rev"].as_u64().unwrap_or_else(|| panic!("no rev in {value}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn after_each_send_and_each_cold_read_the_keys_are_there_and_end() {
    let few = Few::start(3).await;
    few.garden(&["ann", "ben"]).await;
    let history = few.api(0, "ann").get(&garden("meta")).await.ok(200)["history"].clone();
    for n in 0..5 {
        let (message, meta) = eventually("what the send leaves is looked at", async || {
            let message = say(&few.api(0, "ann"), "garden", &n.to_string()).await;
            Some((message, seen(&few, META, META_LIFE).await?))
        })
        .await;
        assert_eq!((rev(&meta), &meta["history"]), (message["rev"].as_u64().unwrap(), &history));
    }
    for key in [META, PAGE] {
        few.redis("del", key, &[]);
    }
    // An instance that knows nothing of the room reads, and leaves what it read for the next one.
    let cold = few.api(1, "ben").get(&garden("messages")).await;
    assert_eq!(cold.header("x-cache"), "miss");
    let cold = cold.ok(200);
    let page = held(&few, PAGE, PAGE_LIFE).await;
    assert_eq!((rev(&page), &page["history"]), (rev(&cold), &history));
    let warm = few.api(2, "ben").get(&garden("messages")).await;
    assert_eq!(warm.header("x-cache"), "hit", "the next one does not use it");
    assert_eq!(warm.ok(200), cold);
    let followed = few.api(1, "ben").get(&garden("meta")).await;
    assert_eq!(followed.header("x-cache"), "memory");
    let counted = async |instance: usize, key: &str, result: &str| {
        let labels = [format!("key=\"{key}\""), format!("result=\"{result}\"")];
        few.instances[instance].metric("tidings_cache_total", &[&labels[0], &labels[1]]).await
    };
    assert!(counted(1, "page", "miss").await >= 1);
    assert!(counted(2, "page", "hit").await >= 1);
    assert!(counted(1, "meta", "memory").await >= 1);
    assert!(counted(2, "page", "miss").await == 0, "a hit was counted as a miss too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_meta_is_left_for_the_next_instance() {
    let few = Few::start(3).await;
    few.garden(&["ann", "ben"]).await;
    few.redis("del", META, &[]);
    let cold = few.api(1, "ben").get(&garden("meta")).await;
    assert_eq!(cold.header("x-cache"), "miss");
    held(&few, META, META_LIFE).await;
    let warm = few.api(2, "ben").get(&garden("meta")).await;
    assert_eq!(warm.header("x-cache"), "hit");
    assert_eq!(warm.ok(200), cold.ok(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_newer_value_of_the_same_history_replaces_one() {
    let few = Few::start(2).await;
    few.garden(&["ann", "ben"]).await;
    let ann = few.api(0, "ann");
    say(&ann, "garden", "one").await;
    let meta = held(&few, META, META_LIFE).await;
    let with_rev = |rev: u64| {
        let mut other = meta.clone();
        other["rev"] = json!(rev);
        other.to_string()
    };
    // An older one gives way to the next send; a newer one, as of a faster neighbour, does not.
    few.redis("set", META, &[&with_rev(rev(&meta) - 1), "PX", "60000"]);
    let sent = say(&ann, "garden", "two").await["rev"].as_u64().unwrap();
    within(THERE, "the newer one is there", || async {
        let held: Value = serde_json::from_str(&few.redis("get", META, &[])).unwrap();
        (rev(&held) == sent).then_some(())
    })
    .await;
    few.redis("set", META, &[&with_rev(sent + 100), "PX", "60000"]);
    for n in 0..5 {
        say(&ann, "garden", &n.to_string()).await;
        few.api(1, "ben").get(&garden("messages")).await.ok(200);
    }
    let held: Value = serde_json::from_str(&few.redis("get", META, &[])).unwrap();
    assert_eq!(rev(&held), sent + 100, "an older value replaced a newer one");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_another_history_or_nonsense_is_not_believed_and_replaced() {
    let few = Few::start(7).await;
    few.garden(&["ann", "ben"]).await;
    let message = say(&few.api(0, "ann"), "garden", "true").await;
    let meta = held(&few, META, META_LIFE).await;
    few.api(1, "ben").get(&garden("messages")).await.ok(200);
    let page = held(&few, PAGE, PAGE_LIFE).await;
    let other = |value: &Value| {
        value.to_string().replace(meta["history"].as_str().unwrap(), "another").replace("true", "false")
    };
    let polluted = [
        (other(&meta), other(&page)),
        ("nonsense".to_owned(), "nonsense".to_owned()),
        ("{}".to_owned(), "[]".to_owned()),
        (String::new(), "null".to_owned()),
        (meta.to_string().replace("\"rev\":", "\"rev\":-"), page.to_string().replace("\"messages\"", "\"massages\"")),
    ];
    for (instance, (meta, page)) in (2..).zip(&polluted) {
        few.redis("set", META, &[meta, "PX", "3000"]);
        few.redis("set", PAGE, &[page, "PX", "3000"]);
        let ben = few.api(instance, "ben");
        let reply = ben.get(&garden("messages")).await;
        assert_ne!(reply.header("x-cache"), "hit", "{page} was believed");
        assert_eq!(reply.ok(200)["messages"][1], message);
        assert_eq!(ben.get(&garden("meta")).await.ok(200)["rev"], message["rev"]);
        // What is of another history is left to end by itself; of two instances, either could be the one behind.
        if !page.contains("another") {
            assert_eq!(rev(&held(&few, PAGE, PAGE_LIFE).await), message["rev"].as_u64().unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_value_is_not_shown_to_who_holds_a_newer_cursor() {
    let few = Few::start(4).await;
    few.garden(&["ann", "ben"]).await;
    say(&few.api(0, "ann"), "garden", "one").await;
    let meta = held(&few, META, META_LIFE).await.to_string();
    few.api(1, "ben").get(&garden("messages")).await.ok(200);
    let page = held(&few, PAGE, PAGE_LIFE).await.to_string();
    let newest = say(&few.api(0, "ann"), "garden", "two").await;
    let known = few.api(0, "ben").get(&garden("meta")).await;
    let tag = known.header("etag").to_owned();
    let known = known.ok(200);
    // A slow reader has put back what it read before the second message.
    let put_back = || {
        few.redis("set", META, &[&meta, "PX", "60000"]);
        few.redis("set", PAGE, &[&page, "PX", "60000"]);
    };
    put_back();
    let since =
        format!("messages?since={}&history={}", known["rev"].as_u64().unwrap() - 1, known["history"].as_str().unwrap());
    assert_eq!(few.api(2, "ben").get(&garden(&since)).await.ok(200)["messages"], json!([newest]));
    put_back();
    let polled = few.api(3, "ben").get_with(&garden("meta"), &[("if-none-match", &tag)]).await;
    assert_eq!(polled.status, 304, "an older head was shown to who knows a newer one: {polled}");
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_and_partners_are_there_as_the_application_reads_them() {
    let few = Few::start(2).await;
    let people = std::sync::atomic::AtomicU32::new(0);
    // A Redis that is slow just then is given nothing; whoever comes next is kept by their first read.
    let user = eventually("a user's role is there after they are read", || async {
        let user = format!("p{}", people.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        few.api(1, &user).get("/api/session").await.ok(200);
        let kept = ["role", "partner"].map(|kind| few.redis("get", &format!("stats:user:{user}:{kind}"), &[]));
        (kept == ["CUSTOMER", "null"]).then_some(user)
    })
    .await;
    for (kind, life) in [("role", 30 * 60_000), ("partner", 5 * 60_000)] {
        let key = format!("stats:user:{user}:{kind}");
        let left: i64 = few.redis("pttl", &key, &[]).parse().unwrap();
        assert!(left > 0 && left <= life, "{key} lives for {left} ms");
    }
}
