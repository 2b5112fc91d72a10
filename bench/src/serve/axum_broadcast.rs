//! A chat as axum's example writes it: a broadcast for each room, two tasks for each socket, one that sends what it gets
//! from there and one that listens, buffers as they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpListener;
use tokio::sync::broadcast::{self, Sender, error::RecvError};

use crate::Failure;

/// Messages that a room keeps for who is behind.
const KEPT: usize = 1024;

type Rooms = Arc<Mutex<HashMap<String, Sender<String>>>>;

fn room(rooms: &Rooms, name: &str) -> Sender<String> {
    let mut rooms = rooms.lock().unwrap_or_else(PoisonError::into_inner);
    rooms.entry(name.to_owned()).or_insert_with(|| broadcast::channel(KEPT).0).clone()
}

#[expect(clippy::disallowed_methods, reason = "no part of the service: it ends with the process")]
async fn subscribe(State(rooms): State<Rooms>, Path(name): Path<String>, upgrade: WebSocketUpgrade) -> Response {
    // Before the answer, so that who has it hears everything.
    let mut messages = room(&rooms, &name).subscribe();
    upgrade.on_upgrade(async move |socket| {
        let (mut sink, mut stream) = socket.split();
        let mut telling = tokio::spawn(async move {
            loop {
                let text = match messages.recv().await {
                    Ok(text) => text,
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => return,
                };
                if sink.send(Message::Text(text.into())).await.is_err() {
                    return;
                }
            }
        });
        let mut hearing = tokio::spawn(async move { while let Some(Ok(_)) = stream.next().await {} });
        tokio::select! {
            _ = &mut telling => hearing.abort(),
            _ = &mut hearing => telling.abort(),
        }
    })
}

async fn publish(State(rooms): State<Rooms>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async move |mut socket: WebSocket| {
        while let Some(Ok(message)) = socket.recv().await {
            if let Message::Text(text) = message
                && let Some((name, payload)) = text.split_once(' ')
            {
                // Nobody there to hear it is no fault.
                drop(room(&rooms, name).send(payload.to_owned()));
            }
        }
    })
}

#[tokio::main]
pub(super) async fn serve() -> Result<(), Failure> {
    let app =
        Router::new().route("/sub/{room}", get(subscribe)).route("/pub", get(publish)).with_state(Rooms::default());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    super::listening(listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}
