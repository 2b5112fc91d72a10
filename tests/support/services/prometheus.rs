//! Prometheus: reads instances every half second, evaluates rules four times a second, and is asked.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;

use super::{Daemon, folder, free_port, program, unprivileged};
use crate::support::Api;

const PACKAGE: &str = "prometheus";

/// A running server.
pub(crate) struct Prometheus {
    address: SocketAddr,
    _daemon: Daemon,
}

impl Prometheus {
    /// One that reads these, as the job `tidings`, and knows these rules.
    pub(crate) fn start(instances: &[SocketAddr], rules: &str) -> Self {
        let (folder, address) = (folder(), SocketAddr::from(([127, 0, 0, 1], free_port())));
        let targets: Vec<String> = instances.iter().map(|instance| format!("'{instance}'")).collect();
        let settings = format!(
            "global: {{ scrape_interval: 500ms, scrape_timeout: 450ms, evaluation_interval: 250ms }}\n\
             rule_files: [rules.yaml]\n\
             scrape_configs: [{{ job_name: tidings, static_configs: [{{ targets: [{}] }}] }}]\n",
            targets.join(", ")
        );
        std::fs::write(folder.join("prometheus.yaml"), settings).expect("a file in the folder");
        std::fs::write(folder.join("rules.yaml"), rules).expect("a file in the folder");
        let mut command = unprivileged(&program("prometheus", PACKAGE), "KILL");
        command.arg(format!("--config.file={}", folder.join("prometheus.yaml").display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
        command.arg(format!("--web.listen-address={address}"));
        let mut daemon = Daemon::start(command, folder.join("log"));
        daemon.ready("Prometheus to be ready", || {
            use std::io::{Read, Write};

            let Ok(mut stream) = std::net::TcpStream::connect(address) else { return false };
            let mut answer = String::new();
            let asked = stream.write_all(b"GET /-/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
        });
        Self { address, _daemon: daemon }
    }

    /// The program that checks and tests rules.
    pub(crate) fn tool() -> PathBuf {
        program("promtool", PACKAGE)
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What an expression is now: its series, each with its labels and its value.
    pub(crate) async fn query(&self, expression: &str) -> Vec<(Value, f64)> {
        let mut path = "/api/v1/query?query=".to_owned();
        for byte in expression.bytes() {
            write!(path, "%{byte:02x}").expect("a text takes more");
        }
        let answer = Api::new(self.address, None).get(&path).await.ok(200);
        let series = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{expression}: {answer}")).iter();
        let value = |one: &Value| one["value"][1].as_str().expect("a number as text").parse().expect("a number");
        series.map(|one| (one["metric"].clone(), value(one))).collect()
    }

    /// The names of the alerts that fire now.
    pub(crate) async fn firing(&self) -> Vec<String> {
        let series = self.query("ALERTS{alertstate='firing'}").await;
        series.iter().map(|(labels, _)| labels["alertname"].as_str().expect("a name").to_owned()).collect()
    }
}
