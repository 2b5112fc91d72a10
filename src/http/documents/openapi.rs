//! `/openapi.json`: the calls, by OpenAPI 3.1.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::failures::{self, Failure};
use super::operation::{Audience, Operation, Shape};
use super::schemas::{Schemas, without_null};
use crate::http::problem::Problem;
use crate::model::{MessageId, QuotaName, RoomId, UserId};

/// What the calls are about, with the beginnings of their paths; the first that fits counts.
const TAGS: [(&str, &str, &str); 5] = [
    ("admin", "/api/admin/", "What the application's backend and its administrators may do."),
    ("messages", "/api/chat/rooms/{roomId}/messages", "A room's log."),
    ("rooms", "/api/chat/", "Rooms, who is in them, and what is new there."),
    ("people", "/api/", "Who calls."),
    ("service", "/", "How the service is, and what it can be asked."),
];

/// The document of a service behind this base path.
pub(super) fn document(operations: &[Operation], base_path: &str) -> Value {
    let mut writer = Writer::default();
    let mut paths = Map::new();
    for operation in operations {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = writer.operation(operation);
    }
    let Writer { schemas, responses, .. } = writer;
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tidings",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "A WebSocket-first chat service with a polling fallback that loses nothing.",
            "description": "What the calls mean, and how they go together, is in docs/PROTOCOL.md. The socket is in asyncapi.json, beside this.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": if base_path.is_empty() { "/" } else { base_path } }],
        "tags": TAGS.map(|(name, _, description)| json!({ "name": name, "description": description })),
        "paths": paths,
        "components": {
            "schemas": schemas.components(),
            "responses": responses,
            "headers": headers(),
            "securitySchemes": security_schemes(),
        },
    })
}

/// How callers say who they are.
fn security_schemes() -> Value {
    json!({
        "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": "next-auth.session-token",
            "description": "The session of the application, if the operator has named its cookie; with calls that change something it counts only together with an allowed Origin.",
        },
    })
}

/// Headers that answers have in common.
fn headers() -> Value {
    let header = |description: &str, kind: &str| json!({ "description": description, "required": true, "schema": { "type": kind } });
    json!({
        "X-Request-Id": header("Finds the call in the service's log.", "string"),
        "ETag": header("Stands for what the answer says; send it back in `If-None-Match`.", "string"),
        "Retry-After": header("Seconds after which it is worth trying again.", "integer"),
        "WWW-Authenticate": header("How to say who calls.", "string"),
    })
}

struct Writer {
    schemas: Schemas,
    failures: Vec<Failure>,
    /// Answers of what went wrong, by their status and codes.
    responses: BTreeMap<String, Value>,
}

impl Default for Writer {
    fn default() -> Self {
        let schemas = Schemas::new(SchemaSettings::draft2020_12);
        Self { schemas, failures: failures::all(), responses: BTreeMap::new() }
    }
}

impl Writer {
    fn operation(&mut self, operation: &Operation) -> Value {
        let mut written = json!({
            "operationId": operation.id,
            "summary": operation.summary,
            "tags": [tag(operation.path)],
            "parameters": self.parameters(operation),
            "responses": self.responses(operation),
            "security": match operation.audience() {
                Audience::Anybody => json!([]),
                Audience::Newcomers => json!([{}, { "bearer": [] }]),
                Audience::Callers | Audience::Admins => json!([{ "bearer": [] }, { "session": [] }]),
            },
        });
        if let Some(body) = &operation.body {
            // None is an empty object.
            let required = !self.schemas.read(body.in_full)["required"].is_null();
            let content = json!({ "application/json": { "schema": self.schemas.read(body.named) } });
            written["requestBody"] = json!({ "required": required, "content": content });
        }
        written
    }

    fn parameters(&mut self, operation: &Operation) -> Vec<Value> {
        let mut parameters = Vec::new();
        for name in operation.ids() {
            let schema = self.schemas.read(id(name));
            parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
        }
        let mut query = operation.query.map(|query| self.schemas.read(query)).unwrap_or_default();
        let required = query["required"].as_array().cloned().unwrap_or_default();
        for (name, schema) in query["properties"].as_object_mut().into_iter().flatten() {
            without_null(schema);
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            parameters.push(json!({
                "name": name,
                "in": "query",
                "required": required.contains(&json!(name)),
                "description": description,
                "schema": schema,
            }));
        }
        if operation.is_tagged {
            let schema = json!({ "type": "string" });
            let description = "The `ETag` of the last answer: 304 while nothing has changed.";
            parameters
                .push(json!({ "name": "If-None-Match", "in": "header", "description": description, "schema": schema }));
        }
        parameters
    }

    fn responses(&mut self, operation: &Operation) -> Value {
        let mut responses = Map::new();
        for &(status, body) in &operation.answers {
            let mut headers = vec!["X-Request-Id"];
            headers.extend(operation.is_tagged.then_some("ETag"));
            let mut answer = json!({ "description": title(status), "headers": references(&headers) });
            if let Some(body) = body {
                answer["content"] = json!({ "application/json": { "schema": self.schemas.written(body) } });
            }
            responses.insert(status.to_string(), answer);
        }
        if operation.is_tagged {
            responses.insert("304".to_owned(), json!({ "description": title(304), "headers": references(&["ETag"]) }));
        }
        let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
        for code in operation.failures() {
            let failure = self.failures.iter().find(|failure| failure.code == code);
            let failure = failure.unwrap_or_else(|| panic!("{}: no error has the code {code}", operation.id));
            by_status.entry(failure.status.as_u16()).or_default().push(failure.code);
        }
        for (status, codes) in by_status {
            let name = self.failure(status, &codes);
            responses.insert(status.to_string(), json!({ "$ref": format!("#/components/responses/{name}") }));
        }
        responses.into()
    }

    /// The answer of this status with one of these codes, as a component; returns its name.
    fn failure(&mut self, status: u16, codes: &[&str]) -> String {
        let name = format!("{status}.{}", codes.join("."));
        if self.responses.contains_key(&name) {
            return name;
        }
        let meant: Vec<&Failure> = self.failures.iter().filter(|failure| codes.contains(&failure.code)).collect();
        let sentences: Vec<_> =
            meant.iter().map(|failure| format!("`{}`: {}", failure.code, failure.sentence)).collect();
        let mut headers = vec!["X-Request-Id"];
        headers.extend(meant.iter().all(|failure| failure.is_delayed).then_some("Retry-After"));
        headers.extend((status == StatusCode::UNAUTHORIZED).then_some("WWW-Authenticate"));
        let problem = self.schemas.written(SchemaGenerator::subschema_for::<Problem<'_>>);
        let narrowed = json!({ "properties": { "status": { "const": status }, "code": { "enum": codes } } });
        let schema = json!({ "allOf": [problem, narrowed] });
        let response = json!({
            "description": sentences.join("\n\n"),
            "headers": references(&headers),
            "content": { "application/problem+json": { "schema": schema } },
        });
        self.responses.insert(name.clone(), response);
        name
    }
}

fn tag(path: &str) -> &'static str {
    TAGS.iter().find(|(_, begin, _)| path.starts_with(begin)).map_or("service", |(name, ..)| name)
}

/// What the parameters of paths are.
fn id(name: &str) -> Shape {
    match name {
        "roomId" => SchemaGenerator::subschema_for::<RoomId>,
        "userId" => SchemaGenerator::subschema_for::<UserId>,
        "messageId" => SchemaGenerator::subschema_for::<MessageId>,
        "name" => SchemaGenerator::subschema_for::<QuotaName>,
        "sessionId" => |_| schemars::json_schema!({ "type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$" }),
        "emoji" => |_| schemars::json_schema!({ "type": "string", "minLength": 1, "examples": ["👍"] }),
        other => panic!("say here what {{{other}}} of a path is"),
    }
}

fn title(status: u16) -> &'static str {
    match status {
        101 => "The socket is open",
        200 => "Done",
        201 => "Made",
        204 => "Done; there is nothing to say",
        304 => "Nothing has changed",
        503 => "It cannot serve",
        other => panic!("say here what {other} means"),
    }
}

fn references(headers: &[&str]) -> Value {
    let all =
        headers.iter().map(|name| ((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") })));
    all.collect::<Map<_, _>>().into()
}
