//! What hyper needs for the answer to an unchanged poll when nothing at all has to be found out.

use std::convert::Infallible;

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::Failure;

async fn unchanged(_: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response.headers_mut().insert(header::ETAG, header::HeaderValue::from_static(super::UNCHANGED));
    Ok(response)
}

#[tokio::main]
#[expect(clippy::disallowed_methods, reason = "no part of the service: it ends with the process")]
pub(super) async fn serve() -> Result<(), Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    super::listening(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A connection that fails is the client's to notice.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(unchanged)));
    }
}
