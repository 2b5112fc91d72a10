//! `/asyncapi.json`: what is said on the socket, by AsyncAPI 3.0, as the service sees it: it receives what clients say.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::schemas::Schemas;
use crate::protocol::{ClientFrame, Close, FrameId, SUBPROTOCOL, ServerFrame};

/// Which frames answer one of the client's. Each can also be answered by `error`.
const ANSWERS: [(&str, &[&str]); 11] = [
    ("subscribe", &["subscribed"]),
    ("unsubscribe", &["ok"]),
    ("watch", &["ok"]),
    ("send", &["ok"]),
    ("edit", &["ok"]),
    ("delete", &["ok"]),
    ("react", &["ok"]),
    ("read", &["ok"]),
    ("typing", &["ok"]),
    ("auth", &["welcome", "ok"]),
    ("ping", &["pong"]),
];
const CHANNEL: &str = "#/channels/socket";

/// The document of a service behind this base path.
pub(super) fn document(base_path: &str) -> Value {
    let mut schemas = Schemas::new(SchemaSettings::draft07);
    let id = schemas.read(SchemaGenerator::subschema_for::<FrameId>);
    let said = frames(&schemas.read(ClientFrame::json_schema));
    let heard = frames(&schemas.written(ServerFrame::json_schema));
    let mut messages = Map::new();
    for (name, mut payload) in said.clone() {
        payload["properties"]["id"] = id.clone();
        messages.insert(format!("client.{name}"), message(&name, payload));
    }
    for (name, payload) in heard.clone() {
        messages.insert(format!("server.{name}"), message(&name, payload));
    }
    let references =
        messages.keys().map(|name| (name.clone(), json!({ "$ref": format!("#/components/messages/{name}") })));
    let references: Map<String, Value> = references.collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tidings",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What is said on the WebSocket. What it means, and how it goes together, is in docs/PROTOCOL.md. The calls by HTTP are in openapi.json, beside this.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "servers": { "here": {
            "host": "{host}",
            "pathname": format!("{base_path}/"),
            "protocol": "wss",
            "description": "Where this document comes from.",
            "variables": { "host": { "default": "localhost:8080" } },
            "security": [{ "$ref": "#/components/securitySchemes/bearer" }, { "$ref": "#/components/securitySchemes/session" }],
        } },
        "channels": { "socket": socket(&references) },
        "operations": operations(&said, &heard),
        "components": {
            "schemas": schemas.components(),
            "messages": messages,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
                "session": { "type": "httpApiKey", "in": "cookie", "name": "next-auth.session-token" },
            },
        },
    })
}

/// The frames of one side, by type.
fn frames(side: &Value) -> Vec<(String, Value)> {
    let of = |frame: &Value| Some((frame["properties"]["type"]["const"].as_str()?.to_owned(), frame.clone()));
    side["oneOf"].as_array().into_iter().flatten().filter_map(of).collect()
}

fn message(name: &str, mut payload: Value) -> Value {
    let summary = payload.as_object_mut().and_then(|payload| payload.remove("description"));
    let mut message = json!({ "name": name, "summary": summary, "payload": payload });
    if !message["payload"]["properties"]["id"].is_null() {
        message["correlationId"] = json!({ "location": "$message.payload#/id" });
    }
    message
}

fn socket(messages: &Map<String, Value>) -> Value {
    let closes: Vec<_> = Close::ALL
        .iter()
        .map(|(close, meaning)| json!({ "code": close.code, "reason": close.reason, "description": meaning.trim() }))
        .collect();
    let protocol = json!({ "type": "string", "description": format!("`{SUBPROTOCOL}`, and a browser's token as `bearer.<token>` beside it.") });
    json!({
        "address": "api/chat/ws",
        "title": "The socket",
        "description": "One JSON object per text frame. A frame with an `id` is answered by exactly one frame with that `id`. How the service closes is in `x-close-codes`: 4000 to 4099 mean not to come back, 4100 to 4199 to come back, each time after a longer wait, 4200 to 4299 to come back after the delay that `drain` gave.",
        "messages": messages,
        "bindings": { "ws": {
            "method": "GET",
            "headers": { "type": "object", "properties": { "Sec-WebSocket-Protocol": protocol } },
            "bindingVersion": "0.1.0",
        } },
        "x-close-codes": closes,
    })
}

/// What the service does: it takes each frame of a client, and answers it; and it says what it has to say.
fn operations(said: &[(String, Value)], heard: &[(String, Value)]) -> Map<String, Value> {
    let named = |side: &str, name: &str| json!({ "$ref": format!("{CHANNEL}/messages/{side}.{name}") });
    let mut operations = Map::new();
    for (name, frame) in said {
        let answers = ANSWERS.iter().find(|(said, _)| said == name).map(|(_, answers)| *answers);
        let answers = answers.unwrap_or_else(|| panic!("say in ANSWERS what answers {name}")).iter().chain(&["error"]);
        let reply: Vec<_> = answers.map(|answer| named("server", answer)).collect();
        operations.insert(
            name.clone(),
            json!({
                "action": "receive",
                "channel": { "$ref": CHANNEL },
                "summary": frame["description"],
                "messages": [named("client", name)],
                "reply": { "channel": { "$ref": CHANNEL }, "messages": reply },
            }),
        );
    }
    let all: Vec<_> = heard.iter().map(|(name, _)| named("server", name)).collect();
    let summary = "What the service says, unasked and in answer.";
    operations.insert(
        "tell".to_owned(),
        json!({
            "action": "send", "channel": { "$ref": CHANNEL }, "summary": summary, "messages": all,
        }),
    );
    operations
}
