//! An instance of the service as a program of its own, which can be killed and started again where it was.

use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::services::free_port;
use super::{Api, DEADLINE, Handshake, Process, SECRET, Socket, token, within};

/// The longest an instance may doubt a bus that works: half a minute after it was found to have lost something.
const DOUBT: Duration = Duration::from_secs(40);

/// One instance: where it is does not change, whether it runs does.
pub(crate) struct Instance {
    environment: Vec<(String, String)>,
    address: SocketAddr,
    metrics: SocketAddr,
    process: Option<Process>,
}

impl Instance {
    /// One that is not running yet, with this environment and what all have in common. Of one name the last counts.
    pub(crate) fn new(environment: &[(&str, &str)]) -> Self {
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let (address, metrics) = (address(free_port()), address(free_port()));
        let (port, metrics_addr) = (address.port().to_string(), metrics.to_string());
        let own = [
            ("HOST", "127.0.0.1"),
            ("PORT", &port),
            ("METRICS_ADDR", &metrics_addr),
            ("JWT_SECRET", SECRET),
            ("LIMITS", "off"),
            ("RUST_LOG", "info,tidings=debug"),
        ];
        let mut all: Vec<(String, String)> = Vec::new();
        for (name, value) in own.iter().chain(environment) {
            all.retain(|(other, _)| other != name);
            all.push(((*name).to_owned(), (*value).to_owned()));
        }
        Self { environment: all, address, metrics, process: None }
    }

    /// Starts it; it may take a while until it is ready.
    pub(crate) fn launch(&mut self) {
        let environment: Vec<(&str, &str)> = self.environment.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        self.process = Some(Process::start(&[], &environment));
    }

    /// Looks until it answers that it is ready, degraded or not.
    pub(crate) async fn ready(&mut self) {
        let begin = Instant::now();
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        loop {
            pause.tick().await;
            let process = self.process.as_mut().expect("it was launched");
            assert!(!process.has_ended(), "it did not start:\n{}", process.log());
            if self.readiness().await.is_some_and(|(status, _)| status == 200) {
                return;
            }
            assert!(begin.elapsed() < 2 * DEADLINE, "waited for it to be ready:\n{}", self.log());
        }
    }

    pub(crate) async fn start(&mut self) {
        self.launch();
        self.ready().await;
    }

    /// What `/readyz` answers, if anything does.
    pub(crate) async fn readiness(&self) -> Option<(u16, Value)> {
        let api = Api::new(self.address, None);
        let reply = api.attempt(reqwest::Method::GET, "/readyz", &[], None, Duration::from_secs(3)).await?;
        Some((reply.status, reply.json))
    }

    /// Looks until it says of the bus what is expected, such as `proven`.
    pub(crate) async fn bus_is(&self, expected: &str) {
        within(DOUBT, &format!("it says that the bus is {expected}"), || async {
            self.readiness().await.filter(|(_, said)| said["bus"] == expected)
        })
        .await;
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Sends it a signal, such as `STOP` and `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        self.process.as_ref().expect("it runs").signal(name);
    }

    /// How it ended by itself, and what it wrote.
    pub(crate) fn ended(&mut self) -> (ExitStatus, String) {
        let mut process = self.process.take().expect("it runs");
        tokio::task::block_in_place(|| process.ended())
    }

    /// What it wrote to its log since it was started last.
    pub(crate) fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// HTTP as this user.
    pub(crate) fn api(&self, user: &str) -> Api {
        Api::new(self.address, Some(token(user)))
    }

    /// A WebSocket as this user, welcomed.
    pub(crate) async fn socket(&self, user: &str) -> Socket {
        Handshake::to(self.address).token(&token(user)).welcomed(user).await
    }

    /// Where its metrics are.
    pub(crate) fn metrics_address(&self) -> SocketAddr {
        self.metrics
    }

    /// All of its metrics, as Prometheus reads them.
    pub(crate) async fn metrics(&self) -> String {
        let page = Api::new(self.metrics, None).get("/metrics").await;
        String::from_utf8(page.bytes).unwrap()
    }

    /// The sum of a metric over all its labels that contain each of `parts`.
    pub(crate) async fn metric(&self, name: &str, parts: &[&str]) -> u64 {
        let text = self.metrics().await;
        let lines = text.lines().filter(|line| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            rest.starts_with([' ', '{']) && parts.iter().all(|part| rest.contains(part))
        });
        lines.filter_map(|line| line.rsplit_once(' ')?.1.split('.').next()?.parse::<u64>().ok()).sum()
    }
}
