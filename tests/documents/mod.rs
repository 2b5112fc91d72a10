//! What machines read of the API is whole and true: each route, error and frame stands in it, and whatever the server
//! is asked, it answers as it says there.

mod fuzzing;
mod heard;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::protocol::coverage;
use crate::support::TestServer;

pub(crate) use heard::Heard;

type Set = BTreeSet<String>;

fn source(path: &str) -> String {
    std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

async fn document(name: &str) -> Value {
    TestServer::start().await.anonymous().get(name).await.ok(200)
}

/// Every operation of the document, as `METHOD /path`.
fn operations(openapi: &Value) -> Vec<(String, &Value)> {
    let of_path = |(path, methods): (&String, &'_ Value)| {
        let methods = methods.as_object().unwrap().keys().map(|method| (method.clone(), path.clone()));
        methods.collect::<Vec<_>>()
    };
    let all = openapi["paths"].as_object().unwrap().iter().flat_map(of_path);
    all.map(|(method, path)| (format!("{} {path}", method.to_uppercase()), &openapi["paths"][path][method])).collect()
}

#[tokio::test]
async fn every_route_is_told_of_and_nothing_else() {
    let openapi = document("/openapi.json").await;
    let told: Set = operations(&openapi).into_iter().map(|(name, _)| name).collect();
    let routed = &coverage::routes(&source("src/http/mod.rs")) | &coverage::routes(&source("src/http/admin/mod.rs"));
    let missing: Vec<_> = routed.difference(&told).collect();
    assert!(
        missing.is_empty(),
        "{missing:?}: add a row to src/http/operations.rs, or to src/http/admin/operations.rs, with what it takes and \
         answers and the codes of its own errors"
    );
    let stale: Vec<_> = told.difference(&routed).collect();
    assert!(stale.is_empty(), "{stale:?}: there is no such route any more; take its row away");
    let ids: Vec<_> = operations(&openapi).iter().map(|(_, operation)| operation["operationId"].to_string()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "two operations have one name: {ids:?}");
}

#[tokio::test]
async fn every_error_is_told_of_by_what_can_end_with_it() {
    let openapi = document("/openapi.json").await;
    let codes = |response: &Value| {
        let schema = &response["content"]["application/problem+json"]["schema"];
        let codes = schema["allOf"][1]["properties"]["code"]["enum"].as_array().cloned().unwrap_or_default();
        codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let told: Set = openapi["components"]["responses"].as_object().unwrap().values().flat_map(codes).collect();
    let text = source("src/error.rs");
    let body = text.split("fn code(").nth(1).unwrap().split("\n    }").next().unwrap();
    let mut codes: Set = body.split("=> \"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect();
    // That is of what has no operation.
    codes.remove("method_not_allowed");
    let missing: Vec<_> = codes.difference(&told).collect();
    assert!(missing.is_empty(), "{missing:?}: add the code to the rows of the operations that can end with it");
}

#[tokio::test]
async fn every_frame_and_close_is_told_of() {
    let asyncapi = document("/asyncapi.json").await;
    let wire = source("src/protocol.rs");
    let sides =
        [("client", coverage::variants(&wire, "ClientFrame")), ("server", coverage::variants(&wire, "ServerFrame"))];
    let frames: Set =
        sides.iter().flat_map(|(side, names)| names.iter().map(move |name| format!("{side}.{name}"))).collect();
    let told: Set = asyncapi["components"]["messages"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(told, frames);
    let closes = asyncapi["channels"]["socket"]["x-close-codes"].as_array().unwrap();
    let told: Set = closes.iter().map(|close| close["code"].to_string()).collect();
    let text = source("src/protocol/close.rs");
    let codes = text.split("code: ").skip(1).filter_map(|rest| rest.split([',', ' ']).next());
    let codes: Set = codes.filter(|code| code.parse::<u16>().is_ok()).map(str::to_owned).collect();
    assert!(!codes.is_empty());
    assert_eq!(told, codes);
    assert!(closes.iter().all(|close| !close["description"].as_str().unwrap().is_empty()), "{closes:?}");
}

#[tokio::test]
async fn they_are_sent_once_and_say_where_the_service_is() {
    let server = TestServer::with(&["--base-path", "/chat"]).await;
    let api = server.anonymous();
    for name in ["openapi.json", "asyncapi.json"] {
        let path = format!("/chat/{name}");
        let first = api.get(&path).await;
        let tag = first.header("etag").to_owned();
        assert_eq!(first.header("content-type"), "application/json");
        assert_eq!(api.get(&path).await.header("etag"), tag, "it is made anew");
        let again = api.get_with(&path, &[("if-none-match", &tag)]).await;
        assert!(again.status == 304 && again.bytes.is_empty() && tag.len() > 10, "{again}");
        let document = first.ok(200);
        let place = if name == "openapi.json" {
            &document["servers"][0]["url"]
        } else {
            &document["servers"]["here"]["pathname"]
        };
        assert_eq!(place.as_str().unwrap().trim_end_matches('/'), "/chat");
    }
}
