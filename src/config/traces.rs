//! Where traces go, and how many. The names are OpenTelemetry's own.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{ConfigError, or_file};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";

/// Settings of traces. They count in a program that was built with the feature `otlp`; any other says so and sends none.
#[derive(Clone, Args)]
pub struct TraceSettings {
    /// Collector that traces are sent to, such as `http://collector:4318`; none are recorded unless set
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otel_exporter_otlp_endpoint: Option<String>,

    /// How it is spoken to; there is one way
    #[arg(long, env = "OTEL_EXPORTER_OTLP_PROTOCOL", default_value = "http/protobuf", value_name = "http/protobuf")]
    pub otel_exporter_otlp_protocol: TraceProtocol,

    /// Headers of each call to it, such as `authorization=Bearer%20secret,tenant=chat`
    #[arg(long, env = "OTEL_EXPORTER_OTLP_HEADERS", value_name = "NAME=VALUE,…", hide_env_values = true)]
    pub otel_exporter_otlp_headers: Option<String>,

    /// File that holds these headers instead
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_HEADERS_FILE",
        value_name = "FILE",
        conflicts_with = "otel_exporter_otlp_headers"
    )]
    pub otel_exporter_otlp_headers_file: Option<PathBuf>,

    /// What traces call the service
    #[arg(long, env = "OTEL_SERVICE_NAME", default_value = "tidings", value_name = "NAME")]
    pub otel_service_name: String,

    /// What else traces say of this instance, such as `service.instance.id=pod-7`
    #[arg(long, env = "OTEL_RESOURCE_ATTRIBUTES", default_value = "", value_name = "NAME=VALUE,…")]
    pub otel_resource_attributes: String,

    /// Which requests and frames are recorded; `parentbased_…` asks a trusted proxy's `traceparent` first
    #[arg(long, env = "OTEL_TRACES_SAMPLER", default_value = "parentbased_traceidratio")]
    pub otel_traces_sampler: Sampler,

    /// How many of all, from 0 to 1, if the sampler goes by a ratio
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", default_value = "0.01", value_parser = ratio, value_name = "RATIO")]
    pub otel_traces_sampler_arg: f64,
}

/// How a collector is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TraceProtocol {
    /// OTLP in protobuf over HTTP.
    #[value(name = "http/protobuf")]
    HttpProtobuf,
}

/// Which requests and frames are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Sampler {
    /// All.
    AlwaysOn,
    /// None.
    AlwaysOff,
    /// A part of them.
    #[value(name = "traceidratio")]
    TraceIdRatio,
    /// Those whose caller's is; without a caller's, all.
    #[value(name = "parentbased_always_on")]
    ParentBasedAlwaysOn,
    /// Those whose caller's is.
    #[value(name = "parentbased_always_off")]
    ParentBasedAlwaysOff,
    /// Those whose caller's is; without a caller's, a part of them.
    #[value(name = "parentbased_traceidratio")]
    ParentBasedTraceIdRatio,
}

/// What to record, and whom to give it.
#[derive(Clone)]
pub struct Recording {
    /// Where calls go.
    pub address: String,
    /// What goes with each.
    pub headers: Vec<(String, String)>,
    /// What traces call the service.
    pub service: String,
    /// What else they say of this instance.
    pub attributes: Vec<(String, String)>,
    /// Which are recorded.
    pub sampler: Sampler,
    /// How many of all, if it goes by that.
    pub ratio: f64,
}

impl TraceSettings {
    /// What to record, if anything.
    pub fn recording(&self) -> Result<Option<Recording>, ConfigError> {
        let file = self.otel_exporter_otlp_headers_file.as_deref();
        let headers = or_file(self.otel_exporter_otlp_headers.as_ref(), "OTEL_EXPORTER_OTLP_HEADERS_FILE", file)?;
        let headers = pairs(HEADERS, headers.as_deref().unwrap_or_default())?;
        // An empty one is as good as none, as OpenTelemetry wants it.
        let endpoint = self.otel_exporter_otlp_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty());
        let Some(endpoint) = endpoint else { return Ok(None) };
        if !["http://", "https://"].iter().any(|scheme| endpoint.starts_with(scheme)) {
            return Err(ConfigError::new(ENDPOINT, "begins with http:// or https://"));
        }
        if endpoint.contains('@') {
            return Err(ConfigError::new(ENDPOINT, "holds no password; OTEL_EXPORTER_OTLP_HEADERS may"));
        }
        Ok(Some(Recording {
            address: format!("{}/v1/traces", endpoint.trim_end_matches('/')),
            headers,
            service: self.otel_service_name.clone(),
            attributes: pairs(ATTRIBUTES, &self.otel_resource_attributes)?,
            sampler: self.otel_traces_sampler,
            ratio: self.otel_traces_sampler_arg,
        }))
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio)).ok_or_else(|| "it is a number from 0 to 1".to_owned())
}

/// Reads `name=value,…`, the values with %XX for what cannot stand there. Says nothing of what it was given: that may be
/// a secret.
fn pairs(setting: &'static str, text: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let pair = |part: &str| {
        let (name, value) = part.split_once('=')?;
        Some((name.trim().to_owned(), decoded(value.trim())?)).filter(|(name, _)| !name.is_empty())
    };
    let wrong = || ConfigError::new(setting, "is name=value, several with commas between, and %2C for one in a value");
    parts.map(|part| pair(part).ok_or_else(wrong)).collect()
}

fn decoded(value: &str) -> Option<String> {
    let mut parts = value.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::Config;

    fn recording(flags: &[&str]) -> Result<Option<Recording>, ConfigError> {
        Config::try_parse_from([&["tidings"], flags].concat()).expect("flags").traces.recording()
    }

    #[test]
    fn a_collector_is_given_what_is_set() {
        let set = recording(&[
            "--otel-exporter-otlp-endpoint=http://collector:4318/",
            "--otel-exporter-otlp-headers=authorization=Bearer%20a%2Cb, tenant = chat",
            "--otel-resource-attributes=service.instance.id=pod-7",
        ]);
        let set = set.expect("settings").expect("a collector");
        assert_eq!(set.address, "http://collector:4318/v1/traces");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(set.headers, [pair("authorization", "Bearer a,b"), pair("tenant", "chat")]);
        assert_eq!(set.attributes, [pair("service.instance.id", "pod-7")]);
        assert_eq!((set.sampler, set.ratio), (Sampler::ParentBasedTraceIdRatio, 0.01));
        assert!(recording(&[]).expect("settings").is_none());
        assert!(recording(&["--otel-exporter-otlp-endpoint="]).expect("settings").is_none());
    }

    #[test]
    fn what_cannot_work_is_named_and_not_shown() {
        let endpoint = "--otel-exporter-otlp-endpoint=http://collector:4318";
        for (flags, named) in [
            (vec!["--otel-exporter-otlp-endpoint=collector:4317"], ENDPOINT),
            (vec!["--otel-exporter-otlp-endpoint=https://user:secret@collector"], ENDPOINT),
            (vec![endpoint, "--otel-exporter-otlp-headers=secret"], HEADERS),
            (vec![endpoint, "--otel-exporter-otlp-headers=a=secret%2"], HEADERS),
            (vec![endpoint, "--otel-exporter-otlp-headers=a=secret%€"], HEADERS),
            (vec![endpoint, "--otel-resource-attributes==secret"], ATTRIBUTES),
        ] {
            let Err(error) = recording(&flags) else { panic!("{flags:?} are taken") };
            assert_eq!(error.setting, named);
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        for flag in
            ["--otel-traces-sampler-arg=1.5", "--otel-exporter-otlp-protocol=grpc", "--otel-traces-sampler=some"]
        {
            assert!(Config::try_parse_from(["tidings", flag]).is_err(), "{flag}");
        }
    }
}
