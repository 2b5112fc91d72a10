//! The way to the collector: OTLP in protobuf over HTTP, one attempt with a deadline. Called from a thread of the batches' own, so
//! nobody else waits. What fails is said once, and again when it is over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::Uri;
use opentelemetry::trace::SpanKind;
use opentelemetry::{Key, KeyValue};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use prost::Message;
use tokio::runtime::Handle;

use super::recorded::REQUEST;
use crate::config::{ConfigError, Recording};
use crate::outbound::Outbound;

const SETTING: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// How long the collector may take for a batch.
const DEADLINE: Duration = Duration::from_secs(5);
/// Longest answer, in bytes; nothing of it is needed.
const ANSWER_BYTES: usize = 64 << 10;
/// What the log calls an attribute of a request, and what traces call it.
const NAMES: [(&str, &str); 3] =
    [("client", "client.address"), ("method", "http.request.method"), ("path", "url.path")];

/// Gives batches of spans to the collector.
#[derive(Debug)]
pub(super) struct Exporter {
    outbound: Outbound,
    address: Uri,
    headers: Vec<(String, String)>,
    resource: ResourceAttributesWithSchema,
    /// Where the call is made: the batches' thread is none of the runtime's.
    runtime: Handle,
    failing: AtomicBool,
}

impl Exporter {
    /// One for what is set. Called within the runtime.
    pub(super) fn new(recording: &Recording) -> Result<Self, ConfigError> {
        let address = recording.address.parse::<Uri>().ok().filter(|address| address.host().is_some());
        let address =
            address.ok_or_else(|| ConfigError::new(SETTING, "is no address such as http://collector:4318"))?;
        let unreadable = |error| ConfigError::new(SETTING, format!("no certificates can be read: {error}"));
        Ok(Self {
            outbound: Outbound::new().map_err(unreadable)?,
            address,
            headers: recording.headers.clone(),
            resource: ResourceAttributesWithSchema::default(),
            runtime: Handle::current(),
            failing: AtomicBool::new(false),
        })
    }

    fn tell(&self, failure: Option<&str>) {
        let before = self.failing.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(why) if !before => tracing::warn!(why, "the collector does not take traces; they are lost meanwhile"),
            None if before => tracing::info!("the collector takes traces again"),
            _ => {}
        }
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        batch.iter_mut().filter(|span| span.name == REQUEST).for_each(complete);
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let (outbound, address, headers) = (self.outbound.clone(), self.address.clone(), self.headers.clone());
        // Bounded by its deadline, and waited for here.
        let calling = self.runtime.spawn(async move {
            let body = ("application/x-protobuf", body.into());
            outbound.post(&address, &headers, body, DEADLINE, ANSWER_BYTES).await
        });
        let failure = match calling.await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("the service has stopped".to_owned()),
        };
        self.tell(failure.as_deref());
        failure.map_or(Ok(()), |why| Err(OTelSdkError::InternalFailure(why)))
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}

/// What makes the log's span of a request the one of a server that others look for.
fn complete(request: &mut SpanData) {
    request.span_kind = SpanKind::Server;
    for KeyValue { key, .. } in &mut request.attributes {
        if let Some((_, name)) = NAMES.iter().find(|(name, _)| *name == key.as_str()) {
            *key = Key::from_static_str(name);
        }
    }
}
