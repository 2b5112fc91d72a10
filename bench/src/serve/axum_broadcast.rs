//! A chat as axum's examples write it: a broadcast for each room, a task for each socket that sends what it gets from
//! there, buffers as they are.

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

async fn subscribe(State(rooms): State<Rooms>, Path(name): Path<String>, upgrade: WebSocketUpgrade) -> Response {
    // Before the answer, so that who has it hears everything.
    let mut messages = room(&rooms, &name).subscribe();
    upgrade.on_upgrade(async move |socket| {
        let (mut sink, mut stream) = socket.split();
        loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Ok(text) => if sink.send(Message::Text(text.into())).await.is_err() { return },
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
                heard = stream.next() => if !matches!(heard, Some(Ok(_))) { return },
            }
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
