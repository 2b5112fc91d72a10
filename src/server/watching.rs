//! `GET /metrics` on an address of its own, and the task that keeps it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;

use super::{StartError, listen, serve};
use crate::chat::Chat;
use crate::config::{Config, Switch};
use crate::http;
use crate::lifecycle::Lifecycle;
use crate::telemetry::{self, Handles};

/// Counting has begun, and nobody is answered yet.
#[derive(Debug)]
pub(super) struct Watching {
    listener: TcpListener,
    handles: &'static Handles,
}

impl Watching {
    /// Begins to count, if `METRICS_ADDR` is set: before anything is there that could be counted.
    pub(super) fn begin(config: &Config) -> Result<Option<Self>, StartError> {
        let Some(address) = config.metrics_addr else { return Ok(None) };
        let listener = listen("METRICS_ADDR", address)?;
        let handles = telemetry::count();
        let limits_off = config.limits.limits == Switch::Off;
        metrics::gauge!(telemetry::LIMITS_OFF).set(u8::from(limits_off));
        for (transport, most) in [("websocket", config.limits.max_connections), ("http", http::HTTP_CONNECTIONS)] {
            metrics::gauge!(telemetry::CONNECTIONS_LIMIT, "transport" => transport).set(most);
        }
        Ok(Some(Self { listener, handles }))
    }

    /// Answers from now on. Returns where: the caller may have left the port to the system.
    pub(super) fn serve(self, head: Duration, chat: &Chat, lifecycle: &Lifecycle) -> Result<SocketAddr, StartError> {
        let Self { listener, handles } = self;
        let address = listener.local_addr().map_err(StartError::Passed)?;
        let looking = chat.clone();
        let router = telemetry::router(handles, move || {
            let chat = looking.clone();
            async move { chat.look().await }
        });
        serve(listener, http::Site::plain(router), http::Door::open(head), lifecycle);
        let life = lifecycle.clone();
        lifecycle.supervise("metrics", move || keep(handles, life.clone()));
        Ok(address)
    }
}

async fn keep(handles: &'static Handles, lifecycle: Lifecycle) {
    let mut tick = tokio::time::interval(telemetry::UPKEEP);
    loop {
        tokio::select! {
            () = lifecycle.stopping() => return,
            _ = tick.tick() => handles.upkeep(),
        }
    }
}
