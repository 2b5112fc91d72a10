//! A collector as the service sees it: it takes batches of spans by OTLP over HTTP, and keeps them for the test.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::support::eventually;

/// The header that it wants to see with every call.
pub(super) const HEADERS: &str = "authorization=Bearer%20the%20collector%27s";

/// A span that was recorded.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) name: String,
    /// The `service.instance.id` of whoever recorded it.
    pub(super) instance: String,
    /// Its ids, in hexadecimal; one without a parent has an empty one.
    pub(super) trace: String,
    pub(super) id: String,
    pub(super) parent: String,
    /// The spans it links to.
    pub(super) links: Vec<String>,
    pub(super) attributes: BTreeMap<String, String>,
}

#[derive(Default)]
struct Taken {
    spans: Vec<Span>,
    /// All that came, as it came.
    bytes: Vec<u8>,
}

/// The collector; it ends when it is dropped.
pub(super) struct Collector {
    address: SocketAddr,
    taken: Arc<Mutex<Taken>>,
    task: JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Collector {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Arc::<Mutex<Taken>>::default();
        let router = Router::new().route("/v1/traces", post(take)).with_state(taken.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, taken, task }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Looks until what came is as it should be, and returns all of it.
    pub(super) async fn spans(&self, what: &str, are_there: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        eventually(what, || async {
            let spans = self.taken.lock().unwrap().spans.clone();
            are_there(&spans).then_some(spans)
        })
        .await
    }

    /// Whether this text came, anywhere.
    pub(super) fn has_seen(&self, text: &str) -> bool {
        self.taken.lock().unwrap().bytes.windows(text.len()).any(|part| part == text.as_bytes())
    }
}

async fn take(State(taken): State<Arc<Mutex<Taken>>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let is = |name: &str, value: &str| headers.get(name).is_some_and(|given| given == value);
    if !is("content-type", "application/x-protobuf") || !is("authorization", "Bearer the collector's") {
        return StatusCode::BAD_REQUEST;
    }
    let Ok(batch) = ExportTraceServiceRequest::decode(body.clone()) else { return StatusCode::BAD_REQUEST };
    let mut taken = taken.lock().unwrap();
    taken.bytes.extend_from_slice(&body);
    for of_resource in batch.resource_spans {
        let resource = texts(&of_resource.resource.unwrap_or_default().attributes);
        assert_eq!(resource["service.name"], "tidings");
        for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            taken.spans.push(Span {
                name: span.name,
                instance: resource["service.instance.id"].clone(),
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                links: span.links.iter().map(|link| hex(&link.span_id)).collect(),
                attributes: texts(&span.attributes),
            });
        }
    }
    StatusCode::OK
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    };
    attributes.iter().filter_map(|attribute| Some((attribute.key.clone(), text(attribute)?))).collect()
}
