//! Redis, alone and as a cluster of three masters. It keeps nothing: started again it is empty.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use super::{Daemon, folder, free_port, program, unprivileged, until};

const PACKAGE: &str = "redis-server";
const TOOLS: &str = "redis-tools";

/// A running server, or one that was killed and may be started again.
pub(crate) struct Redis {
    folder: PathBuf,
    port: u16,
    settings: Vec<String>,
    daemon: Option<Daemon>,
}

impl Redis {
    /// A server of the caller's own, which may be killed.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// The same with further settings, as flags.
    pub(crate) fn with(settings: &[&str]) -> Self {
        let mut server = Self::stopped();
        server.settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        server.run();
        server
    }

    /// One that does not run yet, but whose port is known.
    pub(crate) fn stopped() -> Self {
        Self { folder: folder(), port: free_port(), settings: Vec::new(), daemon: None }
    }

    /// The one that all tests share which only need their own prefix.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: LazyLock<Redis> = LazyLock::new(Redis::start);
        &SHARED
    }

    fn run(&mut self) {
        let mut command = unprivileged(&program("redis-server", PACKAGE), "KILL");
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string()]);
        command.args(["--save", "", "--appendonly", "no", "--unixsocketperm", "777"]);
        command.arg("--dir").arg(&self.folder).arg("--unixsocket").arg(self.socket()).args(&self.settings);
        let mut daemon = Daemon::start(command, self.folder.join("log"));
        // One that wants a password answers too.
        daemon.ready("Redis to be ready", || {
            let answer = self.try_cli(&["ping"]);
            answer.contains("PONG") || answer.contains("NOAUTH")
        });
        self.daemon = Some(daemon);
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("redis.sock")
    }

    /// `kill -9`; what it held is gone.
    pub(crate) fn kill(&mut self) {
        tokio::task::block_in_place(|| self.daemon = None);
    }

    /// Starts it on the same port, empty.
    pub(crate) fn start_again(&mut self) {
        assert!(self.daemon.is_none(), "it runs");
        tokio::task::block_in_place(|| self.run());
    }

    /// Sends it a signal, such as `STOP` and `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        self.daemon.as_ref().expect("it runs").signal(name);
    }

    /// Where it listens by TCP.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where it is, by TCP.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Where it is, by the socket in its folder.
    pub(crate) fn socket_url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// What it answers to a command; a refusal fails.
    pub(crate) fn cli(&self, command: &[&str]) -> String {
        let answer = self.try_cli(command);
        assert!(!answer.starts_with("ERR") && !answer.contains("Could not connect"), "{command:?}: {answer}");
        answer
    }

    /// What it answers, whatever that is.
    pub(crate) fn try_cli(&self, command: &[&str]) -> String {
        let mut cli = Command::new(program("redis-cli", TOOLS));
        let output = cli.args(["-p", &self.port.to_string()]).args(command).output().expect("redis-cli");
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        text.trim_end().to_owned()
    }
}

/// Three masters that share the slots.
pub(crate) struct RedisCluster {
    nodes: Vec<Redis>,
}

impl RedisCluster {
    pub(crate) fn start() -> Self {
        let settings = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        let nodes: Vec<Redis> = (0..3).map(|_| Redis::with(&settings)).collect();
        let mut create = Command::new(program("redis-cli", TOOLS));
        create.args(["--cluster", "create"]).args(nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)));
        let created = create.args(["--cluster-replicas", "0", "--cluster-yes"]).output().expect("redis-cli");
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stdout));
        let cluster = Self { nodes };
        cluster.agreed();
        cluster
    }

    fn agreed(&self) {
        until("all nodes of the cluster to agree", || {
            self.nodes.iter().all(|node| node.cli(&["cluster", "info"]).contains("cluster_state:ok"))
        });
    }

    pub(crate) fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        let others: Vec<String> = self.nodes[1..].iter().map(|node| format!("node=127.0.0.1:{}", node.port)).collect();
        format!("redis-cluster://127.0.0.1:{}?{}", self.nodes[0].port, others.join("&"))
    }

    /// Gives the slot of a key or bus name to another master.
    pub(crate) fn move_slot_of(&self, name: &str) {
        let slot = self.nodes[0].cli(&["cluster", "keyslot", name]);
        let number: u16 = slot.parse().expect("a slot");
        let ids: Vec<String> = self.nodes.iter().map(|node| node.cli(&["cluster", "myid"])).collect();
        let from = self.owner(number);
        let to = (from + 1) % self.nodes.len();
        self.nodes[to].cli(&["cluster", "setslot", &slot, "importing", &ids[from]]);
        self.nodes[from].cli(&["cluster", "setslot", &slot, "migrating", &ids[to]]);
        // A node that holds keys of the slot does not let it go; these are a cache.
        for key in self.nodes[from].cli(&["cluster", "getkeysinslot", &slot, "1000"]).lines() {
            self.nodes[from].cli(&["del", key]);
        }
        for node in [to, from].into_iter().chain(0..self.nodes.len()) {
            self.nodes[node].cli(&["cluster", "setslot", &slot, "node", &ids[to]]);
        }
        until("the slot to be the other's", || self.owner(number) == to);
        self.agreed();
    }

    /// Which node says that a slot is its own.
    fn owner(&self, slot: u16) -> usize {
        let owns = |node: &Redis| {
            let nodes = node.cli(&["cluster", "nodes"]);
            let line = nodes.lines().find(|line| line.contains("myself")).expect("a node knows itself");
            line.split_whitespace().skip(8).filter(|range| !range.starts_with('[')).any(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                (first.parse().expect("a slot")..=last.parse().expect("a slot")).contains(&slot)
            })
        };
        self.nodes.iter().position(owns).expect("somebody has the slot")
    }
}
