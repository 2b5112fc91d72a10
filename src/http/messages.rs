//! Messages: pages, sending, changing, reactions, read position, typing.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AppState;
use super::extract::{Authenticated, Json as Body, Path, Query};
use crate::chat::{Accepted, PageQuery, ReadTo};
use crate::error::{Error, Result};
use crate::model::{DraftInput, History, Message, MessageId, RoomId};

/// Message ids one call may name.
const NAMED: usize = 500;

#[derive(Deserialize, JsonSchema)]
pub(super) struct PageParameters {
    /// Messages at most; 10 if absent.
    #[schemars(range(min = 1, max = 100))]
    pub(super) limit: Option<u32>,
    /// What changed after this `rev`, by `rev`; goes with `history`.
    since: Option<u64>,
    /// The history that `since` belongs to.
    pub(super) history: Option<History>,
    /// Those before this `seq`.
    before: Option<u64>,
    /// Those after this `seq`.
    after: Option<u64>,
    /// Half before this `seq`, half from it on.
    around: Option<u64>,
    /// The older application's name for `before`.
    cursor: Option<u64>,
}

impl PageParameters {
    pub(super) fn query(&self) -> Result<PageQuery> {
        let given = [
            self.since.map(PageQuery::Since),
            self.before.or(self.cursor).map(PageQuery::Before),
            self.after.map(PageQuery::After),
            self.around.map(PageQuery::Around),
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (None, _) => Ok(PageQuery::Newest),
            (Some(query), None) => Ok(query),
            _ => Err(Error::invalid("query", "give one of `since`, `before`, `after`, `around`")),
        }
    }
}

/// A message that was written, now or before.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SentMessage")]
pub(super) struct SentBody<'a> {
    /// The message as it is now.
    message: &'a Message,
    /// Its id, once more.
    message_id: &'a MessageId,
    /// The history that it belongs to.
    history: &'a History,
}

/// The answer to a send: 201 if it is new, 200 if it was tried again.
pub(super) fn sent(Accepted { message, history, is_new }: &Accepted) -> Response {
    let status = if *is_new { StatusCode::CREATED } else { StatusCode::OK };
    (status, Json(SentBody { message, message_id: &message.id, history })).into_response()
}

/// A message in its new state.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ChangedMessage")]
pub(super) struct ChangedBody {
    /// The message as it is now.
    message: Arc<Message>,
}

/// `GET …/messages`
pub(super) async fn list(
    State(state): State<AppState>,
    who: Authenticated,
    Path(room): Path<RoomId>,
    Query(parameters): Query<PageParameters>,
) -> Result<Response> {
    let timing = who.timing();
    let query = parameters.query()?;
    let page = state.chat.page(&who.caller.id, &room, query, parameters.limit, parameters.history.as_ref()).await?;
    let headers = timing.headers(page.cached);
    Ok((headers, Json(page)).into_response())
}

/// `POST …/messages`
pub(super) async fn send(
    State(state): State<AppState>,
    who: Authenticated,
    Path(room): Path<RoomId>,
    Body(input): Body<DraftInput>,
) -> Result<Response> {
    Ok(sent(&state.chat.send(&who.caller.id, &room, input).await?))
}

/// Another content.
#[derive(Deserialize, JsonSchema)]
pub(super) struct NewContent {
    /// What it says from now on.
    #[schemars(length(min = 1))]
    content: String,
}

pub(super) fn answer(message: &Arc<Message>) -> Json<ChangedBody> {
    Json(ChangedBody { message: message.clone() })
}

/// `PATCH …/messages/{messageId}`
pub(super) async fn edit(
    State(state): State<AppState>,
    who: Authenticated,
    Path((room, message)): Path<(RoomId, MessageId)>,
    Body(new): Body<NewContent>,
) -> Result<impl IntoResponse> {
    Ok(answer(&state.chat.edit(&who.caller.id, &room, &message, new.content).await?))
}

/// `DELETE …/messages/{messageId}`
pub(super) async fn delete(
    State(state): State<AppState>,
    who: Authenticated,
    Path((room, message)): Path<(RoomId, MessageId)>,
) -> Result<impl IntoResponse> {
    Ok(answer(&state.chat.delete(&who.caller.id, &room, &message).await?))
}

/// `PUT …/reactions/{emoji}`
pub(super) async fn react(
    State(state): State<AppState>,
    who: Authenticated,
    Path((room, message, emoji)): Path<(RoomId, MessageId, String)>,
) -> Result<impl IntoResponse> {
    Ok(answer(&state.chat.react(&who.caller.id, &room, &message, emoji, true).await?))
}

/// `DELETE …/reactions/{emoji}`
pub(super) async fn unreact(
    State(state): State<AppState>,
    who: Authenticated,
    Path((room, message, emoji)): Path<(RoomId, MessageId, String)>,
) -> Result<impl IntoResponse> {
    Ok(answer(&state.chat.react(&who.caller.id, &room, &message, emoji, false).await?))
}

/// How far one has read: to a `seq`, or to the highest of some messages, or, with neither, all there is.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReadBody {
    /// The last message that was read.
    seq: Option<u64>,
    /// Messages that were read; the highest counts.
    #[schemars(length(max = 500))]
    message_ids: Option<Vec<MessageId>>,
}

impl ReadBody {
    fn to(self) -> Result<ReadTo> {
        match (self.seq, self.message_ids) {
            (Some(_), Some(_)) => Err(Error::invalid("seq", "give `seq` or `messageIds`, not both")),
            (Some(seq), None) => Ok(ReadTo::Seq(seq)),
            (None, Some(ids)) if ids.len() > NAMED => {
                Err(Error::TooLarge { what: "messageIds", limit: format!("{NAMED} ids") })
            }
            (None, Some(ids)) => Ok(ReadTo::Messages(ids)),
            (None, None) => Ok(ReadTo::Head),
        }
    }
}

/// `POST …/read`
pub(super) async fn read(
    State(state): State<AppState>,
    who: Authenticated,
    Path(room): Path<RoomId>,
    Body(body): Body<ReadBody>,
) -> Result<impl IntoResponse> {
    Ok(Json(state.chat.read(&who.caller.id, &room, body.to()?).await?))
}

/// `POST …/typing`
pub(super) async fn typing(
    State(state): State<AppState>,
    who: Authenticated,
    Path(room): Path<RoomId>,
) -> Result<StatusCode> {
    state.chat.typing(&who.caller.id, &room).await?;
    Ok(StatusCode::NO_CONTENT)
}
