//! With the feature `otlp`: the spans, and what they are recorded by once a collector is set. Until then, and for a trace
//! that the sampler leaves out, there is nothing but a look at whether it is so.

use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::trace::{
    SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler as Sampling, SdkTracerProvider, ShouldSample,
};
use tokio::sync::oneshot;
use tracing::level_filters::LevelFilter;
use tracing::{Span, error_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::{Layer, Registry};

use super::export::Exporter;
use crate::config::{ConfigError, Recording, Sampler};
use crate::protocol::TraceParent;

/// The target of the spans that the log does not show.
const TARGET: &str = "tidings::trace";
/// The log's span of a request, which is recorded as well.
pub(super) const REQUEST: &str = "request";
/// Spans that may wait to be sent. When as many wait, further ones are dropped.
const QUEUE: usize = 4096;
/// Spans in one call at most.
const BATCH: usize = 512;
/// How long a span may wait for others.
const DELAY: Duration = Duration::from_secs(1);
/// How long a stop waits for the last to be taken.
const LAST: Duration = Duration::from_secs(2);

/// The provider, once traces are recorded.
static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Where traces go.
#[derive(Debug, Default)]
pub struct Traces;

impl Traces {
    /// Sends what is left, and waits a little for it to be taken.
    pub async fn stop(self) {
        let Some(provider) = PROVIDER.get() else { return };
        // It waits without giving way to others; and whoever is told to wait no longer must not wait for a thread of the
        // runtime's, so it has one of its own.
        let (done, stopped) = oneshot::channel();
        std::thread::spawn(move || done.send(provider.shutdown_with_timeout(LAST)));
        // What is not taken by then is lost, as the log has said of the collector already.
        drop(tokio::time::timeout(LAST, stopped).await);
    }
}

/// What records spans, beside the log.
pub(in crate::telemetry) fn layer(recording: &Recording) -> Result<Option<impl Layer<Registry> + use<>>, ConfigError> {
    let provider = PROVIDER.get_or_init({
        let provider = provider(recording)?;
        || provider
    });
    // Events are the log's, and what others trace is theirs.
    let ours = |of: &tracing::Metadata<'_>| of.is_span() && (of.target() == TARGET || of.name() == REQUEST);
    Ok(Some(
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("tidings"))
            .with_context_activation(false)
            .with_tracked_inactivity(false)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_filter(FilterFn::new(ours).with_max_level_hint(LevelFilter::ERROR)),
    ))
}

fn provider(recording: &Recording) -> Result<SdkTracerProvider, ConfigError> {
    // Told all of it, so that it reads nothing from the environment by itself.
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(DELAY)
        .build();
    let exporter = Exporter::new(recording)?;
    let instance = KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string());
    let attributes = recording.attributes.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    let resource = Resource::builder_empty()
        .with_attributes([instance, KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))])
        .with_attributes(attributes)
        .with_service_name(recording.service.clone());
    Ok(SdkTracerProvider::builder()
        .with_sampler(sampling(recording))
        .with_resource(resource.build())
        .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
        .build())
}

fn sampling(recording: &Recording) -> Box<dyn ShouldSample> {
    let ratio = Sampling::TraceIdRatioBased(recording.ratio);
    match recording.sampler {
        Sampler::AlwaysOn => Sampling::AlwaysOn.into(),
        Sampler::AlwaysOff => Sampling::AlwaysOff.into(),
        Sampler::TraceIdRatio => ratio.into(),
        Sampler::ParentBasedAlwaysOn => Sampling::parent_based(Sampling::AlwaysOn).into(),
        Sampler::ParentBasedAlwaysOff => Sampling::parent_based(Sampling::AlwaysOff).into(),
        Sampler::ParentBasedTraceIdRatio => Sampling::parent_based(ratio).into(),
    }
}

/// What a span is in its trace, if that is recorded.
fn recorded(span: &Span) -> Option<SpanContext> {
    PROVIDER.get()?;
    let context = span.context().span().span_context().clone();
    context.is_sampled().then_some(context)
}

/// Whether the current span is recorded.
fn is_recorded_here() -> bool {
    PROVIDER.get().is_some() && recorded(&Span::current()).is_some()
}

/// Where a span stands, if it is recorded.
pub fn here(span: &Span) -> Option<TraceParent> {
    let context = recorded(span)?;
    let trace_id = u128::from_be_bytes(context.trace_id().to_bytes());
    Some(TraceParent { trace_id, span_id: u64::from_be_bytes(context.span_id().to_bytes()), is_sampled: true })
}

/// A request goes on with a trace of its caller's. Before anything happens in it.
pub fn join(request: &Span, parent: impl FnOnce() -> Option<TraceParent>) {
    if PROVIDER.get().is_some()
        && let Some(parent) = parent()
    {
        // It fails on a span that is not recorded, and there is nothing to join.
        drop(request.set_parent(remote(parent)));
    }
}

/// A span of another process.
fn remote(parent: TraceParent) -> Context {
    let (trace, span) = (parent.trace_id.to_be_bytes(), parent.span_id.to_be_bytes());
    let flags = if parent.is_sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    Context::new().with_remote_span_context(SpanContext::new(
        TraceId::from_bytes(trace),
        SpanId::from_bytes(span),
        flags,
        true,
        TraceState::NONE,
    ))
}

/// The request of the current span is answered.
pub fn answered(status: u16) {
    if is_recorded_here() {
        let request = Span::current();
        request.set_attribute("http.response.status_code", i64::from(status));
        if status >= 500 {
            request.set_status(Status::error(""));
        }
    }
}

/// A frame of a client's: a trace of its own, because a connection may last for days.
pub fn frame(kind: &'static str) -> Span {
    if PROVIDER.get().is_none() {
        return Span::none();
    }
    error_span!(target: TARGET, "frame", otel.kind = "server", frame.type = kind)
}

/// A frame was refused.
pub fn refused(frame: &Span, code: &'static str, is_fault: bool) {
    if recorded(frame).is_some() {
        frame.set_attribute("error.type", code);
        if is_fault {
            frame.set_status(Status::error(""));
        }
    }
}

/// A transaction that does these jobs: a span in the trace of each that is recorded, with a link to the first of them.
pub fn commits<'a>(jobs: impl ExactSizeIterator<Item = &'a Span>) -> Recorded {
    let mut all = Recorded::default();
    if PROVIDER.get().is_none() {
        return all;
    }
    let (batch, mut first) = (jobs.len(), None);
    for job in jobs.filter(|job| recorded(job).is_some()) {
        let span = error_span!(target: TARGET, parent: job, "store.commit", batch);
        match &first {
            None => first = recorded(&span),
            Some(first) => span.add_link(first.clone()),
        }
        all.0.push(span);
    }
    all
}

/// A publication to the room of what the current span has committed.
pub fn publish(room: &str) -> Span {
    if !is_recorded_here() {
        return Span::none();
    }
    error_span!(target: TARGET, "publish", otel.kind = "producer", room.id = room)
}

/// A delivery to the room's readers here of what the current span has committed.
pub fn deliver(room: &str) -> Recorded {
    if !is_recorded_here() {
        return Recorded::default();
    }
    Recorded(vec![error_span!(target: TARGET, "deliver", otel.kind = "consumer", room.id = room)])
}

/// The same of what was heard to be committed within these traces.
pub fn deliver_heard(traces: &[TraceParent], room: &str) -> Recorded {
    let mut all = Recorded::default();
    if PROVIDER.get().is_none() {
        return all;
    }
    for parent in traces {
        let span = error_span!(target: TARGET, parent: None, "deliver", otel.kind = "consumer", room.id = room);
        drop(span.set_parent(remote(*parent)));
        all.0.push(span);
    }
    all
}

/// Spans that are recorded for as long as this lives.
#[derive(Debug, Default)]
pub struct Recorded(Vec<Span>);

impl Recorded {
    /// What they are of has failed.
    pub fn fail(&self) {
        for span in &self.0 {
            span.set_status(Status::error(""));
        }
    }

    /// What they are of has ended.
    pub fn end(self) {
        drop(self);
    }
}
