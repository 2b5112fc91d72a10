//! The accept loop. Our own, because axum's has no deadline for a request's head, no caps and a short backlog.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::Site;
use crate::lifecycle::Lifecycle;
use crate::limits::{Connections, Peer, TrustedProxies};
use crate::telemetry::Open;

/// Connections the kernel holds for us while we are busy: a storm of reconnects waits here instead of failing.
const BACKLOG: i32 = 4096;
/// Connections that are speaking HTTP at the same time; WebSockets are counted apart. When as many are, further ones
/// wait in the kernel's backlog.
pub const HTTP_CONNECTIONS: u32 = 20_000;
/// How long a stop waits for a request under way. One that is not even whole by then never was to be answered.
const LAST: Duration = Duration::from_secs(2);
/// How long to wait when the process has no file descriptor left for a new connection.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

/// How long a connection more than its address may have has for the request that is refused on it.
const REFUSED_HEAD: Duration = Duration::from_secs(1);

/// Who is let in how, before it is known who they are.
#[derive(Debug, Clone)]
pub struct Door {
    /// How long a request's head may take.
    pub head: Duration,
    /// Proxies in front.
    pub proxies: Arc<TrustedProxies>,
    /// Connections that speak HTTP, by the address of the other end.
    pub connections: Connections,
    /// Whether its connections are those of clients, which are counted.
    pub counted: bool,
}

impl Door {
    /// One for whoever may reach the address at all.
    pub fn open(head: Duration) -> Self {
        Self { head, proxies: Arc::default(), connections: Connections::new(0), counted: false }
    }
}

/// Listens on an address.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for old connections to be forgotten by the kernel.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Takes over a socket that listens already.
pub fn take_over(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Serves until the service stops; while it drains, each connection ends with its next answer. Connections are tasks of
/// their own, and the stop waits for those too. A connection on which no whole head arrives within `door.head` is closed,
/// also one that waits for a further request: a proxy in front should give up its idle connections first, or a request
/// of it meets a closing one.
pub async fn serve(listener: TcpListener, site: Site, door: Door, lifecycle: &Lifecycle) {
    let (site, places) = (Arc::new(site), Arc::new(Semaphore::new(HTTP_CONNECTIONS as usize)));
    let mut last = BACKLOG;
    while last > 0 {
        // Those who wait already when it stops are let in: nobody else would answer them.
        last -= i32::from(lifecycle.is_stopping());
        let accept = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            biased;
            accepted = accept => accepted,
            () = lifecycle.stopping() => return,
        };
        match accepted {
            Ok((stream, from)) => {
                let address = from.ip().to_canonical();
                // A proxy's connections are those of many; they are counted where it is known whose.
                let place_of_address =
                    if door.proxies.contain(address) { Ok(None) } else { door.connections.take(address).map(Some) };
                let peer = Peer { address, refused: place_of_address.as_ref().err().copied() };
                let head = if peer.refused.is_some() { door.head.min(REFUSED_HEAD) } else { door.head };
                let serving = serve_connection(stream, peer, site.clone(), head, lifecycle.clone());
                lifecycle.spawn("http connection", async move {
                    let open = door.counted.then(|| Open::count(|counting| &counting.http_connections));
                    serving.await;
                    drop((place, place_of_address, open));
                });
                // One, and then everybody else's turn: when thousands come back at once, those who are here are served
                // meanwhile, and the kernel holds the others.
                tokio::task::yield_now().await;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(OUT_OF_FILES).await;
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, peer: Peer, site: Arc<Site>, head: Duration, lifecycle: Lifecycle) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(client = %peer.address, %error, "the connection was gone before it began");
        return;
    }
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head).max_buf_size(64 << 10);
    let draining = &lifecycle;
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        let answering = site.clone().answer(request);
        async move {
            let mut response = answering.await;
            // Not cut while it is idle: a request may be on its way, and this one was answered.
            if draining.is_draining() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = lifecycle.stopping() => {
            // The request under way is answered; no further one is read.
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(LAST, connection).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        // A peer that hangs up or speaks no HTTP is its own affair.
        tracing::debug!(client = %peer.address, %error, "a connection ended");
    }
}
