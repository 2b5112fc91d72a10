//! Every call as `/openapi.json` tells it, beside the routes. Who adds a route adds a row: what it takes and answers,
//! and by which codes it fails in its own way. What any call of its kind can answer is not repeated here.

use crate::chat::{PageAnswer, RoomInput};
use crate::http::admin;
use crate::http::documents::{Operation, delete, get, patch, post, put};
use crate::http::members::{MemberBody, Members, OneMember, Presence, Removal};
use crate::http::messages::{ChangedBody, NewContent, PageParameters, ReadBody, SentBody};
use crate::http::meta::{ListPoll, Poll, RoomMetas, Unread};
use crate::http::rooms::{Listing, OneRoom, Paging, PatchBody, Rooms};
use crate::http::session::{DemoBody, DemoSession, Health, ReadyBody};
use crate::model::text::Object;
use crate::model::{DraftInput, Meta, ReadPosition, Session};

/// How one fails who is no member.
const MEMBERS_ONLY: &[&str] = &["room_not_found", "not_a_member"];

/// All of them.
pub(super) fn all() -> Vec<Operation> {
    [people(), rooms(), messages(), news(), admin::operations(), health()].into_iter().flatten().collect()
}

fn people() -> Vec<Operation> {
    vec![
        get("/api/session", "getSession", "Who the caller is").answers::<Session>(200),
        post("/api/demo/session", "createDemoSession", "Makes a person up, where no key of an application is set")
            .takes::<DemoBody>()
            .answers::<DemoSession>(201)
            .fails(&["not_found"]),
    ]
}

fn rooms() -> Vec<Operation> {
    vec![
        get("/api/chat/rooms", "listRooms", "The caller's rooms, or public ones to join")
            .asks::<Listing>()
            .answers::<Rooms>(200),
        post("/api/chat/rooms", "createRoom", "Makes a room; 200 if the caller had made it before")
            .takes::<RoomInput>()
            .answers::<OneRoom>(201)
            .answers::<OneRoom>(200)
            .fails(&["room_not_found", "user_not_found"]),
        get("/api/chat/rooms/{roomId}", "getRoom", "One room").answers::<OneRoom>(200).fails(MEMBERS_ONLY),
        patch("/api/chat/rooms/{roomId}", "updateRoom", "Changes a room's title, metadata or slow mode")
            .takes::<PatchBody>()
            .answers::<OneRoom>(200)
            .fails(MEMBERS_ONLY),
        get("/api/chat/rooms/{roomId}/members", "listMembers", "Who is in a room")
            .asks::<Paging>()
            .answers::<Members>(200)
            .fails(MEMBERS_ONLY),
        put("/api/chat/rooms/{roomId}/members/{userId}", "putMember", "Adds someone, joins, or gives a role")
            .takes::<MemberBody>()
            .answers::<OneMember>(200)
            .fails(&["room_not_found", "not_a_member", "user_not_found"]),
        delete("/api/chat/rooms/{roomId}/members/{userId}", "removeMember", "Removes or bans someone, or leaves")
            .asks::<Removal>()
            .answers_nothing(204)
            .fails(&["room_not_found", "not_a_member", "user_not_found"]),
    ]
}

fn messages() -> Vec<Operation> {
    const CHANGE: &[&str] = &["room_not_found", "not_a_member", "message_not_found"];
    vec![
        get("/api/chat/rooms/{roomId}/messages", "listMessages", "A page of a room's log")
            .asks::<PageParameters>()
            .answers::<PageAnswer>(200)
            .fails(&["room_not_found", "not_a_member", "history_changed", "position_expired"]),
        post("/api/chat/rooms/{roomId}/messages", "sendMessage", "Writes; 200 if the same was written before")
            .takes::<DraftInput>()
            .answers::<SentBody<'_>>(201)
            .answers::<SentBody<'_>>(200)
            .fails(&[
                "room_not_found",
                "not_a_member",
                "message_id_conflict",
                "content_rejected",
                "quota_exceeded",
                "slow_mode",
            ]),
        patch("/api/chat/rooms/{roomId}/messages/{messageId}", "editMessage", "Edits a message of the caller's")
            .takes::<NewContent>()
            .answers::<ChangedBody>(200)
            .fails(&["room_not_found", "not_a_member", "message_not_found", "content_rejected"]),
        delete("/api/chat/rooms/{roomId}/messages/{messageId}", "deleteMessage", "Blanks a message")
            .answers::<ChangedBody>(200)
            .fails(CHANGE),
        put("/api/chat/rooms/{roomId}/messages/{messageId}/reactions/{emoji}", "addReaction", "Reacts to a message")
            .answers::<ChangedBody>(200)
            .fails(&["room_not_found", "not_a_member", "message_not_found", "too_large"]),
        delete(
            "/api/chat/rooms/{roomId}/messages/{messageId}/reactions/{emoji}",
            "removeReaction",
            "Takes a reaction back",
        )
        .answers::<ChangedBody>(200)
        .fails(CHANGE),
    ]
}

fn news() -> Vec<Operation> {
    vec![
        get("/api/chat/meta", "listMeta", "Which of the caller's rooms have changed")
            .asks::<ListPoll>()
            .answers::<RoomMetas>(200)
            .tagged()
            .fails(&["history_changed", "too_large"]),
        get("/api/chat/rooms/{roomId}/meta", "getMeta", "Whether a room has changed")
            .asks::<Poll>()
            .answers::<Meta>(200)
            .tagged()
            .fails(MEMBERS_ONLY),
        get("/api/chat/unread-count", "getUnreadCount", "What is not read, over all rooms").answers::<Unread>(200),
        post("/api/chat/rooms/{roomId}/read", "markRead", "Moves the caller's read position forward")
            .takes::<ReadBody>()
            .answers::<ReadPosition>(200)
            .fails(MEMBERS_ONLY),
        post("/api/chat/rooms/{roomId}/typing", "tellTyping", "Tells the room that the caller is writing")
            .answers_nothing(204)
            .fails(MEMBERS_ONLY),
        get("/api/chat/rooms/{roomId}/presence", "getPresence", "Who is online in a room")
            .answers::<Presence>(200)
            .fails(MEMBERS_ONLY),
        get("/api/chat/ws", "openSocket", "The WebSocket, which asyncapi.json tells of").answers_nothing(101),
    ]
}

fn health() -> Vec<Operation> {
    vec![
        get("/healthz", "getHealth", "Whether the process lives").answers::<Health>(200),
        get("/readyz", "getReadiness", "Whether it can serve").answers::<ReadyBody>(200).answers::<ReadyBody>(503),
        get("/openapi.json", "getOpenApi", "This document").answers::<Object>(200).tagged(),
        get("/asyncapi.json", "getAsyncApi", "What is said on the WebSocket").answers::<Object>(200).tagged(),
    ]
}
