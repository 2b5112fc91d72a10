//! HTTP out of the service, to what its operator has set: one client, a deadline and a size cap for each call, no
//! redirects, no proxy of the environment, and no address that anything but a setting names.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// It could not be made, or the answer broke off or was too long.
    #[error("calling {host}")]
    Failed {
        /// Whom it was to reach. Never the whole address: that may hold a secret.
        host: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It was not answered in time.
    #[error("{host} did not answer within {} ms", deadline.as_millis())]
    Late {
        /// Who did not.
        host: String,
        /// In which time.
        deadline: Duration,
    },
    /// It was answered with a status that is no success.
    #[error("{host} answered {status}")]
    Status {
        /// Who answered.
        host: String,
        /// With what.
        status: u16,
    },
}

/// The client. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Outbound(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Outbound {
    /// A client. Fails if the system's certificates cannot be read.
    pub fn new() -> std::io::Result<Self> {
        let connector = HttpsConnectorBuilder::new().with_native_roots()?.https_or_http().enable_http1().build();
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }

    /// GETs an address; the answer's body, at most `limit` bytes, whole within `deadline`.
    pub async fn get(&self, uri: &Uri, deadline: Duration, limit: usize) -> Result<Bytes, OutboundError> {
        let request = Request::builder().method(Method::GET).uri(uri);
        self.call(request, Bytes::new(), uri, deadline, limit).await
    }

    /// POSTs something of this type with further headers, and reads the answer likewise.
    pub async fn post<H: AsRef<str>>(
        &self,
        uri: &Uri,
        headers: &[(H, String)],
        (kind, body): (&'static str, Bytes),
        deadline: Duration,
        limit: usize,
    ) -> Result<Bytes, OutboundError> {
        let request = Request::builder().method(Method::POST).uri(uri).header(CONTENT_TYPE, kind);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name.as_ref(), value));
        self.call(request, body, uri, deadline, limit).await
    }

    async fn call(
        &self,
        request: hyper::http::request::Builder,
        body: Bytes,
        uri: &Uri,
        deadline: Duration,
        limit: usize,
    ) -> Result<Bytes, OutboundError> {
        let host = uri.host().unwrap_or("an address without a host").to_owned();
        let failed = |source| OutboundError::Failed { host: host.clone(), source };
        let called = async {
            let request = request.body(Full::new(body)).map_err(|error| failed(error.into()))?;
            let response = self.0.request(request).await.map_err(|error| failed(error.into()))?;
            if !response.status().is_success() {
                return Err(OutboundError::Status { host: host.clone(), status: response.status().as_u16() });
            }
            Ok(Limited::new(response.into_body(), limit).collect().await.map_err(failed)?.to_bytes())
        };
        let answer = tokio::time::timeout(deadline, called).await;
        answer.unwrap_or_else(|_| Err(OutboundError::Late { host: host.clone(), deadline }))
    }
}
