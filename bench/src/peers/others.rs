//! What else one might use, as programs in bench/peers: JavaScript by packages of npm, which are installed when they are
//! missing, and nginx with Nchan, which is not: the error says how.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tempfile::TempDir;

use super::databases::{free_port, listening, program};
use super::{Child, Peer};
use crate::report::said;
use crate::{Failure, Options};

/// Where Debian puts the module.
const NCHAN: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";
const INSTALL_NCHAN: &str =
    "nginx with Nchan is not installed; on Debian: apt-get install nginx-light libnginx-mod-nchan";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// A program in JavaScript.
pub(super) fn script(peer: Peer, options: &Options) -> Result<Child, Failure> {
    let name = peer.name();
    let script = format!("{name}.js");
    let plan = Child::new(&runtime(peer)?).within(&folder()).pinned(options.pins().server);
    plan.set("NODE_ENV", "production").start(&[&script])
}

fn runtime(peer: Peer) -> Result<PathBuf, Failure> {
    match peer {
        Peer::Bun => Ok(folder().join("node_modules/.bin/bun")),
        _ => program("node", "nodejs"),
    }
}

/// Makes sure that a peer can be started: fetches what comes from npm, and names what has to be installed.
pub(crate) fn install(peer: Peer, options: &Options) -> Result<(), Failure> {
    match peer {
        Peer::Floor | Peer::AxumBroadcast | Peer::Hyper => {}
        Peer::Tidings => drop(options.binary()?),
        Peer::TidingsPostgres => {
            options.binary()?;
            program("initdb", "postgresql")?;
            program("redis-server", "redis-server")?;
        }
        Peer::Nchan => drop(nginx()?),
        Peer::Bun | Peer::NodeWs | Peer::SocketIo => {
            program("node", "nodejs")?;
            if !folder().join("node_modules").is_dir() {
                let npm = program("npm", "npm")?;
                Child::new(&npm).within(&folder()).run(&["ci", "--no-audit", "--no-fund"])?;
            }
        }
    }
    Ok(())
}

/// Where nginx is, if it has the module.
fn nginx() -> Result<PathBuf, Failure> {
    match program("nginx", "nginx-light") {
        Ok(nginx) if Path::new(NCHAN).is_file() => Ok(nginx),
        _ => Err(INSTALL_NCHAN.into()),
    }
}

/// nginx, its port and the folder it writes to.
pub(super) fn nchan(options: &Options) -> Result<(Child, u16, TempDir), Failure> {
    let nginx = nginx()?;
    let scratch = tempfile::Builder::new().prefix("tidings-bench-").tempdir()?;
    fs::set_permissions(scratch.path(), PermissionsExt::from_mode(0o777))?;
    let place = scratch.path().to_str().ok_or("the temporary folder's name is no text")?;
    let port = free_port()?;
    let text = fs::read_to_string(folder().join("nchan.conf"))?;
    let text = text.replace("MODULE", NCHAN).replace("FOLDER", place).replace("PORT", &port.to_string());
    let configuration = scratch.path().join("nginx.conf");
    fs::write(&configuration, text.lines().skip_while(|line| line.starts_with('#')).collect::<Vec<_>>().join("\n"))?;
    let configuration = configuration.to_str().ok_or("the temporary folder's name is no text")?;
    // As whoever runs this: with Nchan, nginx makes a folder in /var/lib whatever is configured. Its worker is www-data.
    let plan = Child::new(&nginx).pinned(options.pins().server);
    let log = format!("{place}/error.log");
    let child = plan.start(&["-e", &log, "-p", place, "-c", configuration])?;
    listening(port, "nginx")?;
    Ok((child, port, scratch))
}

/// Which version of a peer is measured, if it has one of its own.
pub(crate) fn version(peer: Peer, options: &Options) -> Option<String> {
    match peer {
        Peer::Tidings | Peer::TidingsPostgres => Some(said(options.binary().ok()?.to_str()?, &["--version"])),
        Peer::Bun => Some(said(runtime(peer).ok()?.to_str()?, &["--version"])),
        Peer::NodeWs => Some(format!("ws {}, Node {}", package("ws")?, said("node", &["--version"]))),
        Peer::SocketIo => Some(format!("{}, Node {}", package("socket.io")?, said("node", &["--version"]))),
        Peer::Nchan => {
            let nchan = said("dpkg-query", &["-W", "-f", "${Version}", "libnginx-mod-nchan"]);
            Some(format!("{nchan}, {}", said(program("nginx", "").ok()?.to_str()?, &["-v"])))
        }
        Peer::AxumBroadcast => locked("axum"),
        Peer::Hyper => locked("hyper"),
        Peer::Floor => None,
    }
}

fn package(name: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Package {
        version: String,
    }
    let text = fs::read_to_string(folder().join("node_modules").join(name).join("package.json")).ok()?;
    serde_json::from_str::<Package>(&text).ok().map(|package| package.version)
}

/// What Cargo.lock has of a crate.
fn locked(name: &str) -> Option<String> {
    let lock = include_str!("../../../Cargo.lock");
    let (_, after) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    after.split('"').next().map(str::to_owned)
}
