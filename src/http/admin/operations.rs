//! The calls of the admin side as `/openapi.json` tells them. Who adds a route adds a row.

use super::moderation::{Cases, Decided, DecisionBody, Queue};
use super::quotas::{OneQuota, QuotaBody, Quotas};
use super::revocations::RevocationBody;
use super::users::{AdminUser, UserBody};
use crate::chat::{ErasedNow, MemberInput, PageAnswer, RoomSettings};
use crate::http::documents::{Operation, delete, get, post, put};
use crate::http::members::{Members, OneMember, Removal};
use crate::http::messages::{ChangedBody, PageParameters, SentBody};
use crate::http::rooms::{OneRoom, Paging};
use crate::model::PostInput;

/// All of them.
pub(in crate::http) fn operations() -> Vec<Operation> {
    [people(), rooms(), messages(), quotas()].into_iter().flatten().collect()
}

fn people() -> Vec<Operation> {
    vec![
        get("/api/admin/users/{userId}", "adminGetUser", "Who someone is")
            .answers::<AdminUser>(200)
            .fails(&["user_not_found"]),
        put("/api/admin/users/{userId}", "adminPutUser", "Sets who someone is, over what tokens say")
            .takes::<UserBody>()
            .answers::<AdminUser>(200),
        delete(
            "/api/admin/users/{userId}/messages",
            "adminEraseMessages",
            "Blanks what someone wrote, a part with each call",
        )
        .answers::<ErasedNow>(200),
        put("/api/admin/users/{userId}/suspension", "adminSuspendUser", "Keeps someone out").answers_nothing(204),
        delete("/api/admin/users/{userId}/suspension", "adminRestoreUser", "Lets someone in again")
            .answers_nothing(204),
        post(
            "/api/admin/users/{userId}/disconnect",
            "adminDisconnectUser",
            "Ends someone's connections for the moment",
        )
        .answers_nothing(204),
        post("/api/admin/sessions/{sessionId}/disconnect", "adminDisconnectSession", "Ends a session's connections")
            .answers_nothing(204),
        post("/api/admin/revocations", "adminRevoke", "Takes tokens back")
            .takes::<RevocationBody>()
            .answers_nothing(204),
    ]
}

fn rooms() -> Vec<Operation> {
    const OF_ROOMS: &[&str] = &["room_not_found"];
    vec![
        get("/api/admin/rooms/{roomId}", "adminGetRoom", "Any room").answers::<OneRoom>(200).fails(OF_ROOMS),
        put("/api/admin/rooms/{roomId}", "adminPutRoom", "Makes a room, or brings it to what is said")
            .takes::<RoomSettings>()
            .answers::<OneRoom>(201)
            .answers::<OneRoom>(200),
        get("/api/admin/rooms/{roomId}/members", "adminListMembers", "Who is in any room")
            .asks::<Paging>()
            .answers::<Members>(200)
            .fails(OF_ROOMS),
        put("/api/admin/rooms/{roomId}/members/{userId}", "adminPutMember", "Puts anyone into any room, in any role")
            .takes::<MemberInput>()
            .answers::<OneMember>(200)
            .fails(&["room_not_found", "user_not_found"]),
        delete("/api/admin/rooms/{roomId}/members/{userId}", "adminRemoveMember", "Takes anyone out, or bans them")
            .asks::<Removal>()
            .answers_nothing(204)
            .fails(&["room_not_found", "user_not_found"]),
    ]
}

fn messages() -> Vec<Operation> {
    vec![
        get("/api/admin/rooms/{roomId}/messages", "adminListMessages", "A page of any room's whole log")
            .asks::<PageParameters>()
            .answers::<PageAnswer>(200)
            .fails(&["room_not_found", "history_changed", "position_expired"]),
        post(
            "/api/admin/rooms/{roomId}/messages",
            "adminSendMessage",
            "Writes as the application, or in a member's name",
        )
        .takes::<PostInput>()
        .answers::<SentBody<'_>>(201)
        .answers::<SentBody<'_>>(200)
        .fails(&["room_not_found", "message_id_conflict"]),
        delete("/api/admin/rooms/{roomId}/messages/{messageId}", "adminBlankMessage", "Blanks any message")
            .answers::<ChangedBody>(200)
            .fails(&["room_not_found", "message_not_found"]),
        get("/api/admin/moderation", "adminListCases", "What was flagged and waits for a decision")
            .asks::<Paging>()
            .answers::<Queue>(200),
        get(
            "/api/admin/rooms/{roomId}/messages/{messageId}/moderation",
            "adminGetCases",
            "What was flagged of a message, and decided",
        )
        .answers::<Cases>(200)
        .fails(&["not_found"]),
        put("/api/admin/rooms/{roomId}/messages/{messageId}/moderation", "adminDecide", "Decides of a flagged message")
            .takes::<DecisionBody>()
            .answers::<Decided>(200)
            .fails(&["room_not_found", "message_not_found", "not_found"]),
    ]
}

fn quotas() -> Vec<Operation> {
    vec![
        get("/api/admin/quotas", "adminListQuotas", "All daily quotas").answers::<Quotas>(200),
        get("/api/admin/quotas/{name}", "adminGetQuota", "One daily quota")
            .answers::<OneQuota>(200)
            .fails(&["not_found"]),
        put("/api/admin/quotas/{name}", "adminPutQuota", "Makes a daily quota, or changes it")
            .takes::<QuotaBody>()
            .answers::<OneQuota>(200),
        delete("/api/admin/quotas/{name}", "adminDeleteQuota", "Removes a daily quota that no room names")
            .answers_nothing(204),
    ]
}
