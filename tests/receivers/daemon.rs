//! A log server of others, started by a test from `target/tools`.

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::Read;
use crate::certificates::Authority;
use crate::harness::{json_lines, patience};

const PAUSE: Duration = Duration::from_millis(20);

/// What the page about syslog says.
const PAGE: &str = include_str!("../../agent/docs/sinks/syslog.md");

/// The folder into which `cargo xtask test` unpacked a server. `None` when it is not there and the user is not root,
/// which is said.
fn unpacked(server: &str, test: &str) -> Option<PathBuf> {
    let binary = Path::new(env!("CARGO_BIN_EXE_wallwatch"));
    let mut folders = binary
        .ancestors()
        .map(|folder| folder.join("tools").join(server));
    let found = folders.find(|folder| folder.join("usr/sbin").exists());
    if found.is_none() {
        assert!(
            !nix::unistd::geteuid().is_root(),
            "{server} is not there: `cargo xtask test` unpacks it"
        );
        eprintln!("SKIPPED {test}: there is no {server}, so nothing was checked with it");
    }
    found
}

/// How a server is started.
pub(crate) struct Server {
    /// Of its folder, and of the block of the page that configures it.
    pub(crate) name: &'static str,
    /// How its configuration writes a port.
    pub(crate) port_as: fn(u16) -> String,
    /// What runs it, given where it was unpacked and the folder of the test.
    pub(crate) command: fn(&Path, &Path) -> Command,
    /// A line of what it writes.
    pub(crate) read: fn(&Value) -> Read,
    /// Unix sockets that it makes in that folder.
    pub(crate) sockets: &'static [&'static str],
}

/// Where the page's configuration listens here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) udp: u16,
    pub(crate) tcp: u16,
    pub(crate) tls: u16,
}

impl Ports {
    fn free() -> Self {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let [tcp, tls] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        Self {
            udp: udp.local_addr().unwrap().port(),
            tcp: tcp.local_addr().unwrap().port(),
            tls: tls.local_addr().unwrap().port(),
        }
    }
}

/// A server with a configuration of the page, in a folder of its own.
pub(crate) struct Daemon {
    pub(crate) folder: TempDir,
    pub(crate) ports: Ports,
    /// Who certified the server; those whom it certifies may send.
    pub(crate) authority: Authority,
    /// A line of what it wrote.
    pub(crate) read: fn(&Value) -> Read,
    command: Command,
    sockets: &'static [&'static str],
    child: Option<Child>,
}

impl Daemon {
    /// `None` when the server is not there and the user is not root, which is said.
    pub(crate) fn start(server: &Server, test: &str) -> Option<Self> {
        let Server {
            name,
            port_as,
            command,
            read,
            sockets,
        } = server;
        let unpacked = &unpacked(name, test)?;
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("the receiver's authority", folder.path());
        authority.certify("server", "localhost");
        let ports = Ports::free();
        let here = folder.path().to_str().unwrap();
        let mut config = block(name).to_owned();
        for (there, here) in [
            ("/etc/siem", here),
            ("/var/log/siem", here),
            ("/run/siem", here),
            ("0.0.0.0", "127.0.0.1"),
            (&port_as(514), &port_as(ports.udp)),
            (&port_as(601), &port_as(ports.tcp)),
            (&port_as(6514), &port_as(ports.tls)),
        ] {
            config = config.replace(there, here);
        }
        fs::write(folder.path().join("config"), config).unwrap();
        let mut command = command(unpacked, folder.path());
        let log = fs::File::create(folder.path().join("log")).unwrap();
        command
            .env("LD_LIBRARY_PATH", libraries(unpacked))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let mut daemon = Self {
            folder,
            ports,
            authority,
            command,
            read: *read,
            sockets,
            child: None,
        };
        daemon.start_again();
        Some(daemon)
    }

    /// Waits until it listens.
    pub(crate) fn start_again(&mut self) {
        self.child = Some(self.command.spawn().unwrap());
        for _ in 0..patience().as_millis() / PAUSE.as_millis() {
            if self.listens() {
                return;
            }
            thread::sleep(PAUSE);
        }
        panic!("it does not listen; it said:\n{}", self.log());
    }

    fn listens(&self) -> bool {
        let takes_tcp = |&port: &u16| TcpStream::connect(("127.0.0.1", port)).is_ok();
        let takes_local = |name: &&str| {
            let path = self.path(name);
            let datagrams = UnixDatagram::unbound().unwrap().connect(&path);
            datagrams.is_ok() || UnixStream::connect(path).is_ok()
        };
        [self.ports.tcp, self.ports.tls].iter().all(takes_tcp)
            && self.sockets.iter().all(takes_local)
    }

    pub(crate) fn stop(&mut self, signal: Signal) {
        let mut child = self.child.take().unwrap();
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What it has written of what it got.
    pub(crate) fn events(&self) -> Vec<Value> {
        json_lines(&self.path("wallwatch.jsonl"))
    }

    /// The same, when it is `count` or more.
    pub(crate) fn wait_for_events(&self, count: usize) -> Vec<Value> {
        for _ in 0..patience().as_millis() / PAUSE.as_millis() {
            let events = self.events();
            if events.len() >= count {
                return events;
            }
            thread::sleep(PAUSE);
        }
        let events = self.events().len();
        panic!("{events} of {count} events; it said:\n{}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// The text of the page between the fence with that word and the next one.
fn block(language: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

/// Folders with what the server needs and this machine may lack.
fn libraries(unpacked: &Path) -> String {
    let library = unpacked.join("usr/lib");
    let multiarch = library.join(format!("{}-linux-gnu", std::env::consts::ARCH));
    let second = unpacked.join(format!("lib/{}-linux-gnu", std::env::consts::ARCH));
    let folders = [library.join("syslog-ng"), multiarch, second];
    let folders: Vec<&str> = folders
        .iter()
        .map(|folder| folder.to_str().unwrap())
        .collect();
    folders.join(":")
}
