//! What retention has removed is not in the file of a room, and the room begins over there where it begins here.

use serde_json::{Value, json};

use super::rooms::{Exported, ended, message, of};
use super::{Place, api};
use crate::support::{application_token, each, eventually, make_room, meta, say};

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_does_not_keep_all_goes_through_a_file_as_it_is() {
    let [sqlite, postgres] = Place::both().await;
    let at_once = [("RETENTION_AT_LEAST_MINUTES", "0"), ("RETENTION_EVERY_SECONDS", "1")];
    for (from, to) in [(&sqlite, Place::postgres().await), (&postgres, Place::sqlite())] {
        let (process, address) = from.serve(&at_once);
        let [ann, application] = [api(address, "ann"), api(address, "ann").with_token(&application_token())];
        make_room(&ann, "garden", "GROUP", &[]).await;
        for n in 2..=9 {
            let said = say(&ann, "garden", &format!("text {n}")).await;
            ann.put(&format!("{}/reactions/👍", message(&said)), json!({})).await.ok(200);
        }
        // The file of a room before, and after.
        let set = json!({ "retention": { "messages": 4, "days": 300 } });
        application.put("/api/admin/rooms/garden", set).await.ok(200);
        let before = eventually("the room begins later", || async {
            let meta = meta(&ann, "garden").await;
            (meta["oldestSeq"] == 6).then_some(meta)
        })
        .await;
        process.signal("TERM");
        ended(process);
        let file = Exported::of(from, "garden");
        let lines = file.lines();
        assert_eq!((of(&lines, "message").len(), of(&lines, "reaction").len()), (4, 4));
        let room = &of(&lines, "room")[0];
        assert_eq!(room["retention"], json!({ "days": 300, "messages": 4 }));
        assert_eq!((&room["expired"]["lastSeq"], &room["expired"]["rev"]), (&json!(5), &json!(9)));
        for _ in 0..2 {
            to.done(&["import", file.path()]);
            to.assert_whole().await;
            assert_eq!(Exported::of(&to, "garden").room(), file.room());
        }
        let (_process, address) = to.serve(&[]);
        let ann = api(address, "ann");
        let after = meta(&ann, "garden").await;
        for field in ["lastSeq", "rev", "oldestSeq", "unreadCount", "lastReadSeq"] {
            assert_eq!(after[field], before[field], "{field}");
        }
        let page = ann.get("/api/chat/rooms/garden/messages?limit=100").await.ok(200);
        assert_eq!(
            (each(&page["messages"], "seq"), &page["hasMore"]),
            ((6..=9).map(Value::from).collect(), &json!(false))
        );
        let since = format!("/api/chat/rooms/garden/messages?since=8&history={}", after["history"].as_str().unwrap());
        assert_eq!(ann.get(&since).await.problem(410, "position_expired")["oldestSeq"], 6);
    }
}
