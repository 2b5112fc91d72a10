//! PostgreSQL, as safe as in production: every commit is synced.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{Daemon, folder, free_port, program, unprivileged};

const PACKAGE: &str = "postgresql";
/// Of the user `postgres`, for connections by TCP.
pub(crate) const PASSWORD: &str = "open-sesame";

/// A running server, or one that was killed and may be started again.
pub(crate) struct Postgres {
    folder: PathBuf,
    port: u16,
    daemon: Option<Daemon>,
}

impl Postgres {
    /// A server of the caller's own, which may be killed.
    pub(crate) fn start() -> Self {
        let folder = folder();
        let data = folder.join("data");
        let password = folder.join("password");
        std::fs::write(&password, PASSWORD).expect("a file in the folder");
        let mut initdb = unprivileged(&program("initdb", PACKAGE), "TERM");
        initdb.args(["-U", "postgres", "--auth-local=trust", "--auth-host=password", "-E", "UTF8", "--locale=C.UTF-8"]);
        initdb.args(["--no-sync", "--no-instructions", "--pwfile"]).arg(&password).arg("-D").arg(&data);
        let made = initdb.stdin(Stdio::null()).output().expect("initdb can be started");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut server = Self { folder, port: free_port(), daemon: None };
        server.run();
        server
    }

    /// The one that all tests share which only need a database.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: LazyLock<Postgres> = LazyLock::new(Postgres::start);
        &SHARED
    }

    fn run(&mut self) {
        let mut command = unprivileged(&program("postgres", PACKAGE), "INT");
        command.arg("-D").arg(self.folder.join("data")).arg("-k").arg(&self.folder);
        for setting in [
            &format!("port={}", self.port),
            "listen_addresses=127.0.0.1",
            "fsync=on",
            "synchronous_commit=on",
            "full_page_writes=on",
            "max_connections=300",
            // In its folder, where what a kill leaves behind goes with the rest.
            "dynamic_shared_memory_type=mmap",
            "log_line_prefix=%m %d ",
        ] {
            command.args(["-c", setting]);
        }
        let mut daemon = Daemon::start(command, self.folder.join("log"));
        let ready = program("pg_isready", PACKAGE);
        let (folder, port) = (&self.folder, self.port.to_string());
        daemon.ready("PostgreSQL to be ready", || {
            let asked = Command::new(&ready).arg("-h").arg(folder).args(["-p", &port]).stdout(Stdio::null()).status();
            asked.is_ok_and(|status| status.success())
        });
        self.daemon = Some(daemon);
    }

    /// `kill -9` of all its processes.
    pub(crate) fn kill(&mut self) {
        tokio::task::block_in_place(|| self.daemon = None);
    }

    /// Starts it again on the same data and port.
    pub(crate) fn start_again(&mut self) {
        assert!(self.daemon.is_none(), "it runs");
        for left in [self.folder.join("data/postmaster.pid"), self.folder.join(format!(".s.PGSQL.{}.lock", self.port))]
        {
            drop(std::fs::remove_file(left));
        }
        tokio::task::block_in_place(|| self.run());
    }

    /// Runs again, whatever was done to it.
    pub(crate) fn recovered(mut self) -> Self {
        match &self.daemon {
            Some(daemon) => daemon.signal("CONT"),
            None => self.start_again(),
        }
        self
    }

    /// Sends a signal to all its processes, such as `STOP` and `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        self.daemon.as_ref().expect("it runs").signal(name);
    }

    /// Where it listens by TCP.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A database by TCP, with the password.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// A database by the socket in the folder.
    pub(crate) fn socket_url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost:{}/{database}?host={}", self.port, self.folder.display())
    }

    /// A connection to a database.
    pub(crate) async fn connect(&self, database: &str) -> PgConnection {
        PgConnection::connect(&self.socket_url(database)).await.expect("a connection to the tests' own PostgreSQL")
    }

    /// Statements on a database, as its owner.
    pub(crate) async fn run_on(&self, database: &str, statements: &str) {
        let mut connection = self.connect(database).await;
        let done = sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut connection).await;
        done.unwrap_or_else(|error| panic!("{statements}: {error}"));
        connection.close().await.expect("a clean end");
    }

    /// A new, empty database.
    pub(crate) async fn create(&self, database: &str) {
        self.run_on("postgres", &format!("create database {database}")).await;
    }

    /// Takes a database away, whoever is connected to it; does not wait for that.
    pub(crate) fn remove_later(&self, database: &str) {
        let mut drop = self.tool("dropdb", &["--force", "--if-exists", database]);
        std::thread::spawn(move || drop.stderr(Stdio::null()).status());
    }

    /// A client program of PostgreSQL, such as `pg_dump`, that speaks to this server.
    pub(crate) fn tool(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program(name, PACKAGE));
        command.arg("-h").arg(&self.folder).args(["-p", &self.port.to_string(), "-U", "postgres"]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Where it keeps what it has; a place for files of its own.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}
