//! The same over two instances on one database: a quota is one, a queue is one, and what is set on a room at one shows at
//! the other.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{decision, messages, queue_of, word_list, written};
use crate::support::{Cluster, Plan, application_token, each, eventually, fresh_id, make_room, meta, say};

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_one_over_rooms_and_instances_and_shows_at_both() {
    // To be told to try again would then be two that wait for each other, not a machine that is busy.
    let environment = [("DATABASE_DEADLINE_MS", "20000")];
    let cluster = Cluster::with(Plan { environment: &environment, ..Plan::default() }).await;
    let [one, two] = [&cluster.instances[0], &cluster.instances[1]];
    let (ann, there) = (one.api("ann"), two.api("ann"));
    let admin = ann.with_token(&application_token());
    let rooms = ["a", "b", "c"];
    for room in rooms {
        make_room(&ann, room, "GROUP", &[]).await;
        assert_eq!(meta(&there, room).await.get("quota"), None);
    }
    admin.put("/api/admin/quotas/daily", json!({ "perDay": 10, "timeZone": "UTC" })).await.ok(200);
    for room in rooms {
        admin.put(&format!("/api/admin/rooms/{room}"), json!({ "quota": "daily" })).await.ok(200);
    }
    // Nothing was published: the other instance finds it when it next looks.
    for room in rooms {
        eventually("the other instance shows the quota", async || {
            meta(&there, room).await.get("quota").filter(|quota| quota["used"] == 0).map(drop)
        })
        .await;
    }
    let mut sends = JoinSet::new();
    for n in 0..64 {
        let (api, room) = (if n % 2 == 0 { ann.clone() } else { there.clone() }, rooms[n % 3]);
        sends.spawn(async move {
            let reply = api.post(&messages(room), json!({ "id": fresh_id(), "content": "hello" })).await;
            if reply.status != 201 {
                assert_eq!(reply.problem(403, "quota_exceeded")["used"], 10);
                return 0;
            }
            1
        });
    }
    assert_eq!(sends.join_all().await.iter().sum::<u64>(), 10);
    let mut stored = 0;
    for room in rooms {
        stored += written(&ann, room).await.len();
    }
    assert_eq!(stored, 10);
    assert_eq!(meta(&there, "b").await["quota"]["used"], 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_and_a_decision_are_learnt_at_the_other_instance() {
    let (_folder, path) = word_list("flag: odd\n");
    let environment = [("MODERATION_WORDS_FILE", path.as_str())];
    let cluster = Cluster::with(Plan { environment: &environment, ..Plan::default() }).await;
    let [one, two] = [&cluster.instances[0], &cluster.instances[1]];
    let ann = one.api("ann");
    make_room(&ann, "garden", "GROUP", &[]).await;
    let mut reader = two.socket("ann").await;
    reader.subscribe("garden", json!({})).await;
    reader.frame("messages").await;
    let first = say(&ann, "garden", "odd").await;
    let second = say(&ann, "garden", "odd too").await;
    let mut heard = Vec::new();
    while heard.len() < 2 {
        heard.extend(reader.messages().await);
    }
    assert_eq!(heard, [first.clone(), second.clone()]);
    let admin = two.api("ann").with_token(&application_token());
    assert_eq!(each(&Value::Array(queue_of(&admin).await), "messageId"), [first["id"].clone(), second["id"].clone()]);
    // Both decide at once: one decision, one change.
    let elsewhere = ann.with_token(&application_token());
    let (path, action) = (decision("garden", &first), json!({ "action": "approve" }));
    let (here, there) = tokio::join!(admin.put(&path, action.clone()), elsewhere.put(&path, action.clone()));
    let (here, there) = (here.ok(200), there.ok(200));
    assert_eq!(here, there);
    reader.hears_as(&here["message"]).await;
    let rejected = elsewhere.put(&decision("garden", &second), json!({ "action": "reject" })).await.ok(200);
    reader.hears_as(&rejected["message"]).await;
    assert!(queue_of(&admin).await.is_empty());
    assert_eq!(reader.settle().await, Vec::<Value>::new());
}
