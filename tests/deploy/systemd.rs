//! The program under a supervisor such as systemd: it is told what becomes of the service, and passes the socket.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram};
use std::process::Stdio;
use std::time::Instant;

use tempfile::{TempDir, tempdir};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{
    Api, DEADLINE, PROGRAM, Postgres, Process, SECRET, database_url, free_port, program, token, within,
};

/// Hands its input on as the first passed descriptor, and becomes the command.
const PASS: [&str; 4] = [
    "/bin/sh",
    "-c",
    "export LISTEN_FDS=${FDS:-1} LISTEN_PID=${PID:-$$}; exec 3<&0 4<&0 0</dev/null; exec \"$@\"",
    "sh",
];
/// The shortest database deadline, so that the watchdog may be short.
const QUICK: (&str, &str) = ("DATABASE_DEADLINE_MS", "100");

/// Where the program tells what becomes of it.
struct Ear {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Ear {
    fn new() -> Self {
        let folder = tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { socket, folder }
    }

    fn path(&self) -> String {
        self.folder.path().join("notify").display().to_string()
    }

    /// The next that this process tells, as its first line.
    fn next(&self, process: &Process) -> String {
        let mut buffer = [0; 1000];
        let heard = self.socket.recv(&mut buffer);
        let length = heard.unwrap_or_else(|error| panic!("it tells nothing: {error}\n{}", process.log()));
        String::from_utf8_lossy(&buffer[..length]).lines().next().unwrap().to_owned()
    }

    /// Until this is told, only that the service is alive is.
    fn until(&self, process: &Process, expected: &str) {
        let begin = Instant::now();
        loop {
            match self.next(process) {
                told if told == expected => return,
                told => assert_eq!(told, "WATCHDOG=1", "before {expected}"),
            }
            assert!(begin.elapsed() < DEADLINE, "waited {DEADLINE:?} for {expected}");
        }
    }
}

#[tokio::test]
async fn a_supervisor_hears_that_it_is_ready_alive_and_stopping() {
    let ear = Ear::new();
    let folder = tempdir().unwrap();
    let environment = [
        ("NOTIFY_SOCKET", ear.path()),
        ("WATCHDOG_USEC", "800000".to_owned()),
        ("DATABASE_URL", database_url(&folder)),
        (QUICK.0, QUICK.1.to_owned()),
    ];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut process = Process::start(&["--port", "0"], &environment);
    assert_eq!(ear.next(&process), "READY=1");
    // Not before it serves.
    Api::new(process.address(), None).get("/readyz").await.ok(200);
    let begin = Instant::now();
    for _ in 0..4 {
        assert_eq!(ear.next(&process), "WATCHDOG=1");
    }
    assert!(begin.elapsed().as_millis() > 500, "it tells more often than it needs to");
    process.signal("TERM");
    ear.until(&process, "STOPPING=1");
    let (status, errors) = process.ended();
    assert!(status.success() && !errors.contains("supervisor"), "{errors}");
}

#[tokio::test]
async fn a_watchdog_that_is_not_asked_for_is_silent() {
    let ear = Ear::new();
    let folder = tempdir().unwrap();
    let (path, database) = (ear.path(), database_url(&folder));
    let own = [("NOTIFY_SOCKET", path.as_str()), ("DATABASE_URL", &database), QUICK];
    // Nor one that is another process's, which this one inherited the words from.
    for watchdog in [&[][..], &[("WATCHDOG_USEC", "800000"), ("WATCHDOG_PID", "1")]] {
        let mut process = Process::start(&["--port", "0"], &[&own[..], watchdog].concat());
        assert_eq!(ear.next(&process), "READY=1");
        Api::new(process.address(), None).get("/readyz").await.ok(200);
        process.signal("TERM");
        assert_eq!(ear.next(&process), "STOPPING=1");
        assert!(process.ended().0.success());
    }
}

#[test]
fn a_watchdog_shorter_than_the_database_may_take_is_refused() {
    for (watchdog, named) in [("11999999", "at least 12s"), ("0", "microseconds"), ("soon", "microseconds")] {
        let (status, errors) = Process::start(&["--port", "0"], &[("WATCHDOG_USEC", watchdog)]).ended();
        assert_eq!(status.code(), Some(2), "{errors}");
        assert!(errors.contains("WATCHDOG_USEC") && errors.contains(named), "{errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_does_not_get_the_service_killed() {
    let ear = Ear::new();
    let postgres = Postgres::start();
    let (path, database) = (ear.path(), postgres.url("postgres"));
    let environment = [
        ("NOTIFY_SOCKET", path.as_str()),
        ("WATCHDOG_USEC", "800000"),
        ("DATABASE_URL", &database),
        ("JWT_SECRET", SECRET),
        QUICK,
    ];
    let mut process = Process::start(&["--host", "127.0.0.1", "--port", "0"], &environment);
    ear.until(&process, "READY=1");
    let api = Api::new(process.address(), None);
    api.get("/readyz").await.ok(200);
    postgres.signal("STOP");
    within(DEADLINE, "it is not ready", || async { (api.get("/readyz").await.status == 503).then_some(()) }).await;
    ear.socket.set_nonblocking(true).unwrap();
    while ear.socket.recv(&mut [0; 100]).is_ok() {}
    ear.socket.set_nonblocking(false).unwrap();
    ear.socket.set_read_timeout(Some(std::time::Duration::from_millis(800))).unwrap();
    for _ in 0..5 {
        assert_eq!(ear.next(&process), "WATCHDOG=1", "within the time the supervisor allows");
    }
    postgres.signal("CONT");
}

/// A program on a socket of the caller's, which stays open whatever becomes of the program.
fn on(socket: impl Into<OwnedFd>, environment: &[(&str, &str)]) -> Process {
    Process::by(&[&PASS[..], &[PROGRAM]].concat(), Stdio::from(socket.into()), environment)
}

#[tokio::test]
async fn a_passed_socket_outlives_restarts_and_refuses_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let folder = tempdir().unwrap();
    let database = database_url(&folder);
    // An address that cannot be listened on shows that the socket goes before the settings.
    let environment =
        [("HOST", "192.0.2.1"), ("PORT", "1"), ("DATABASE_URL", database.as_str()), ("JWT_SECRET", SECRET)];
    for _ in 0..2 {
        // Nobody takes it yet, and it is not refused.
        let mut early = TcpStream::connect(address).await.unwrap();
        early.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut process = on(listener.try_clone().unwrap(), &environment);
        assert_eq!(process.address(), address);
        let mut answer = String::new();
        tokio::time::timeout(DEADLINE, early.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let api = Api::new(address, Some(token("ann")));
        assert_eq!(api.get("/api/session").await.ok(200)["user"]["id"], "ann");
        process.signal("TERM");
        assert!(process.ended().0.success());
    }
}

#[tokio::test]
async fn systemds_own_tool_starts_it_when_somebody_connects() {
    let folder = tempdir().unwrap();
    let (address, database) = (format!("127.0.0.1:{}", free_port()), database_url(&folder));
    let tool = program("systemd-socket-activate", "systemd").display().to_string();
    let words = [&tool, "-l", &address, "-E", &format!("DATABASE_URL={database}"), PROGRAM];
    let mut process = Process::by(&words, Stdio::null(), &[]);
    within(DEADLINE, "the tool listens", || async { process.log().contains("Listening").then_some(()) }).await;
    // It has not been started yet: this starts it.
    let api = Api::new(address.parse().unwrap(), None);
    api.get("/readyz").await.ok(200);
    assert_eq!(process.address().to_string(), address);
    process.signal("TERM");
    assert!(process.ended().0.success());
}

#[tokio::test]
async fn a_name_without_a_file_is_told_as_well() {
    let name = format!("tidings-tests-{}", std::process::id());
    let address = UnixAddress::from_abstract_name(name.as_bytes()).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let ear = Ear { socket, folder: tempdir().unwrap() };
    let (notify, database) = (format!("@{name}"), database_url(&ear.folder));
    let environment = [("NOTIFY_SOCKET", notify.as_str()), ("DATABASE_URL", &database)];
    let process = Process::start(&["--port", "0"], &environment);
    assert_eq!(ear.next(&process), "READY=1");
}

#[test]
fn what_is_passed_and_cannot_be_listened_on_is_refused() {
    let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let not_ours = UnixDatagram::unbound().unwrap();
    for (mut process, named) in [
        (on(udp, &[]), "no listening TCP socket"),
        (on(not_ours, &[]), "no listening TCP socket"),
        (on(listener(), &[("FDS", "2")]), "2 sockets"),
    ] {
        let (status, errors) = process.ended();
        assert_eq!(status.code(), Some(2), "{errors}");
        assert!(errors.contains("LISTEN_FDS") && errors.contains(named), "{errors}");
    }
}

#[test]
fn a_socket_for_another_process_is_left_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let folder = tempdir().unwrap();
    let database = database_url(&folder);
    let mut process = on(listener, &[("PID", "1"), ("PORT", "0"), ("DATABASE_URL", &database)]);
    assert_ne!(process.address(), address);
}

#[test]
fn the_demo_is_refused_on_a_passed_socket_that_others_reach() {
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let (status, errors) = on(TcpListener::bind(everywhere).unwrap(), &[]).ended();
    assert_eq!(status.code(), Some(2), "{errors}");
    assert!(errors.contains("HOST: is reachable from outside"), "{errors}");
}
