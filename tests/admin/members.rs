//! Members of any room, one by one.

use serde_json::{Value, json};

use super::{admin, administrator, application, events, named, roles, set};
use crate::support::{TestServer, each, make_room, meta};

#[tokio::test]
async fn anyone_becomes_a_member_of_any_room_in_any_role_and_leaves_it_the_same_way() {
    let server = TestServer::start().await;
    let application = application(&server);
    let [ann] = server.people(["ann"]).await;
    for kind in ["GROUP", "PUBLIC"] {
        make_room(&ann, kind, kind, &[]).await;
        let path = admin(kind, "/members/nina");
        let added = application.put(&path, json!({ "role": "MODERATOR", "name": "Nina" })).await.ok(200);
        let expected =
            json!({ "userId": "nina", "name": "Nina", "avatarUrl": null, "role": "MODERATOR", "lastReadSeq": 2 });
        assert_eq!(added["member"], expected);
        assert_eq!(application.put(&path, json!({ "role": "MODERATOR" })).await.ok(200), added);
        assert_eq!(application.put(&path, json!({})).await.ok(200), added, "without a role it stays");
        assert_eq!(meta(&ann, kind).await["rev"], 3);
        application.put(&path, json!({ "role": "OWNER" })).await.ok(200);
        application.delete(&path).await.ok(204);
        application.delete(&path).await.ok(204);
        application.delete(&admin(kind, "/members/nobody")).await.ok(204);
        let expected = ["added", "role", "role", "removed"].map(|event| named(event, "nina"));
        assert_eq!(events(&application, kind, 1).await, expected);
    }
    application.put(&admin("nowhere", "/members/ann"), json!({})).await.problem(404, "room_not_found");
    application.delete(&admin("nowhere", "/members/ann")).await.problem(404, "room_not_found");
    application.put(&admin("GROUP", "/members/ann"), json!({ "role": "KING" })).await.invalid("role");
    application.put(&admin("GROUP", "/members/zoe"), json!({ "name": " " })).await.invalid("name");
    application.put(&admin("GROUP", "/members/a b"), json!({})).await.invalid("path");
}

#[tokio::test]
async fn an_administrator_acts_in_their_own_name() {
    let server = TestServer::start().await;
    let ada = administrator(&server, "ada");
    let [ann] = server.people(["ann"]).await;
    make_room(&ann, "r", "GROUP", &[]).await;
    ada.put(&admin("r", "/members/ben"), json!({})).await.ok(200);
    ada.put(&admin("r", "/members/ada"), json!({})).await.ok(200);
    ada.delete(&admin("r", "/members/ada")).await.ok(204);
    let by_ada = |event: &str, user: &str| (event.to_owned(), user.to_owned(), "ada".to_owned());
    let expected = [by_ada("added", "ben"), by_ada("joined", "ada"), by_ada("left", "ada")];
    assert_eq!(events(&ada, "r", 1).await, expected);
}

#[tokio::test]
async fn a_room_whose_last_owner_is_removed_passes_to_another_member() {
    let server = TestServer::start().await;
    let application = application(&server);
    let [ann, ben] = server.people(["ann", "ben"]).await;
    make_room(&ann, "r", "GROUP", &["ben"]).await;
    application.delete(&admin("r", "/members/ann")).await.ok(204);
    assert_eq!(roles(&application, "r").await, [("ben".to_owned(), "OWNER".to_owned())]);
    assert_eq!(meta(&ben, "r").await["rev"], 3);
}

#[tokio::test]
async fn members_come_in_pages() {
    let server = TestServer::start().await;
    let application = application(&server);
    let people: Vec<Value> = (0..5).map(|n| json!({ "userId": format!("u{n}") })).collect();
    set(&application, "r", json!({ "type": "GROUP", "members": people }), 201).await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = application.get(&admin("r", &format!("/members?limit=2{cursor}"))).await.ok(200);
        seen.extend(each(&page["members"], "userId"));
        let Some(next) = page["cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, ["u0", "u1", "u2", "u3", "u4"]);
    application.get(&admin("nowhere", "/members")).await.problem(404, "room_not_found");
    application.get(&admin("r", "/members?cursor=x")).await.invalid("cursor");
}
