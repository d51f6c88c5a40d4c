//! One connection to a receiver: opened, written to, listened to.

mod secure;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, setsockopt, sockopt};
use thiserror::Error;

use super::drain::drain;
use super::retry;
use crate::config::{Address, TlsSettings};
use crate::delivery::sink::Trouble;
use crate::delivery::sinks::tls::needs_somebody;

use secure::Secure;
pub(super) use secure::TlsPeer;

/// Of one name.
const ADDRESSES_MAX: usize = 8;
/// What a receiver says is read so often at most before it is the agent's turn again.
const READS_MAX: usize = 16;
/// A receiver may refuse a client after the handshake, as TLS 1.3 lets it do with a certificate, or after it has
/// accepted a connection: it has so long before what was sent first counts as delivered.
const SETTLE: Duration = Duration::from_secs(1);
/// Between connections that are not used and a peer that is gone lie a minute and a half, in seconds.
const KEEPALIVE_IDLE_S: u32 = 60;
const KEEPALIVE_INTERVAL_S: u32 = 10;
const KEEPALIVE_PROBES: u32 = 3;

/// Who is connected to.
pub(super) enum Peer {
    Tcp(Address),
    Tls(Box<TlsPeer>),
    Unix(PathBuf),
}

impl Peer {
    pub(super) fn tcp(address: &Address) -> Self {
        Self::Tcp(address.clone())
    }

    pub(super) fn tls(address: &Address, tls: &TlsSettings, server_name: Option<&str>) -> Self {
        Self::Tls(Box::new(TlsPeer {
            address: address.clone(),
            settings: tls.clone(),
            server_name: server_name.unwrap_or(&address.host).to_owned(),
        }))
    }

    fn name(&self) -> String {
        match self {
            Self::Tcp(Address { host, port }) => format!("{host}, port {port}"),
            Self::Tls(peer) => format!("{}, port {}", peer.address.host, peer.address.port),
            Self::Unix(path) => path.display().to_string(),
        }
    }
}

/// Why a connection is of no more use.
#[derive(Debug, Error)]
pub(super) enum Ending {
    /// With everything read.
    #[error("the receiver closed the connection")]
    Closed,
    #[error("the receiver took nothing for {0:?}")]
    Stalled(Duration),
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    #[error("TLS: {0}")]
    Tls(rustls::Error),
}

impl Ending {
    /// Whether the receiver may not have read what its kernel had confirmed.
    pub(super) fn may_have_lost(&self) -> bool {
        match self {
            Self::Broken(_) | Self::Tls(_) => true,
            // A receiver that is slow still has it to read.
            Self::Closed | Self::Stalled(_) => false,
        }
    }

    pub(super) fn trouble(&self, peer: &Peer) -> Trouble {
        let why = format!("{}: {self}", peer.name());
        match self {
            Self::Tls(error) if needs_somebody(error) => Trouble::Hold { why },
            Self::Closed | Self::Stalled(_) | Self::Broken(_) | Self::Tls(_) => retry(why),
        }
    }
}

pub(super) struct Connection {
    socket: Socket,
    timeout: Duration,
    description: String,
    /// Whether the receiver had its time to refuse.
    is_settled: bool,
}

enum Socket {
    Tcp(TcpStream),
    Tls(Box<Secure>),
    Unix(UnixStream),
}

impl Connection {
    /// Connecting, and each step of a handshake, take `timeout` at the most.
    pub(super) fn open(peer: &Peer, timeout: Duration) -> Result<Self, Trouble> {
        let broken = |error| Ending::Broken(error).trouble(peer);
        let (socket, description) = match peer {
            Peer::Unix(path) => {
                let stream = UnixStream::connect(path).map_err(cannot_connect(peer))?;
                stream.set_write_timeout(Some(timeout)).map_err(broken)?;
                (Socket::Unix(stream), path.display().to_string())
            }
            Peer::Tcp(address) => {
                let tcp = tcp_to(address, timeout).map_err(cannot_connect(peer))?;
                let description = format!("TCP to {}", tcp.peer_addr().map_err(broken)?);
                (Socket::Tcp(tcp), description)
            }
            Peer::Tls(tls) => {
                // The files first: what is wrong with them is told even when nobody listens.
                let client = tls.client()?;
                let tcp = tcp_to(&tls.address, timeout).map_err(cannot_connect(peer))?;
                let secure = Secure::shake_hands(client, tcp, timeout);
                let secure = secure.map_err(|ending| ending.trouble(peer))?;
                let description = secure.description();
                (Socket::Tls(Box::new(secure)), description)
            }
        };
        Ok(Self {
            is_settled: matches!(socket, Socket::Unix(_)),
            socket,
            timeout,
            description,
        })
    }

    /// What a person can use to tell who is connected, and how.
    pub(super) fn description(&self) -> &str {
        &self.description
    }

    /// Sends `bytes` and waits until the peer has them. Gives the time that took.
    pub(super) fn deliver(&mut self, bytes: &[u8]) -> Result<Duration, Ending> {
        if let Err(error) = self.write(bytes) {
            // An alert says more about a refusal than the reset behind it.
            return Err(match self.listen() {
                Err(ending @ Ending::Tls(_)) => ending,
                Ok(()) | Err(_) => self.ending(error),
            });
        }
        let settle = match self.is_settled {
            true => Duration::ZERO,
            false => SETTLE,
        };
        let timeout = self.timeout;
        let waited = match &mut self.socket {
            Socket::Tcp(tcp) => drain(&*tcp, settle, timeout, || listen_plain(&*tcp)),
            Socket::Unix(unix) => drain(&*unix, settle, timeout, || listen_plain(&*unix)),
            Socket::Tls(secure) => secure.drain(settle, timeout),
        }?;
        self.is_settled = true;
        Ok(waited)
    }

    /// Takes what the receiver said, without waiting for it; fails when the connection has ended.
    pub(super) fn listen(&mut self) -> Result<(), Ending> {
        match &mut self.socket {
            Socket::Tcp(tcp) => listen_plain(tcp),
            Socket::Unix(unix) => listen_plain(unix),
            Socket::Tls(secure) => secure.listen(),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.socket {
            Socket::Tcp(tcp) => tcp.write_all(bytes),
            Socket::Unix(unix) => unix.write_all(bytes),
            Socket::Tls(secure) => secure.write(bytes),
        }
    }

    fn ending(&self, error: io::Error) -> Ending {
        ending_of(error, self.timeout)
    }
}

/// A socket with a timeout says that it would block when the time is over.
fn ending_of(error: io::Error, timeout: Duration) -> Ending {
    if error.kind() == io::ErrorKind::WouldBlock {
        Ending::Stalled(timeout)
    } else {
        Ending::Broken(error)
    }
}

/// Receivers of syslog say nothing; what one says all the same is read past.
fn listen_plain(socket: &impl AsFd) -> Result<(), Ending> {
    let mut bytes = [0; 4096];
    for _ in 0..READS_MAX {
        match recv_now(socket, &mut bytes) {
            Ok(0) => return Err(Ending::Closed),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(Ending::Broken(error)),
        }
    }
    Ok(())
}

/// What has come, without waiting.
fn recv_now(socket: &impl AsFd, bytes: &mut [u8]) -> io::Result<usize> {
    loop {
        let descriptor = socket.as_fd().as_raw_fd();
        match recv(descriptor, bytes, MsgFlags::MSG_DONTWAIT) {
            Err(Errno::EINTR) => {}
            result => return Ok(result?),
        }
    }
}

fn cannot_connect(peer: &Peer) -> impl FnOnce(io::Error) -> Trouble {
    move |error| retry(format!("cannot connect to {}: {error}", peer.name()))
}

/// The first addresses of a name.
pub(super) fn resolve(address: &Address) -> io::Result<impl Iterator<Item = SocketAddr>> {
    let addresses = (address.host.as_str(), address.port).to_socket_addrs()?;
    Ok(addresses.take(ADDRESSES_MAX))
}

fn tcp_to(address: &Address, timeout: Duration) -> io::Result<TcpStream> {
    let mut failure = io::Error::other("the name has no address");
    for address in resolve(address)? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(tcp) => {
                set_options(&tcp, timeout)?;
                return Ok(tcp);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// A peer that is gone without a word is noticed (`tcp(7)`).
fn set_options(tcp: &TcpStream, timeout: Duration) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    tcp.set_write_timeout(Some(timeout))?;
    tcp.set_read_timeout(Some(timeout))?;
    let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
    setsockopt(tcp, sockopt::TcpUserTimeout, &timeout_ms)?;
    setsockopt(tcp, sockopt::KeepAlive, &true)?;
    setsockopt(tcp, sockopt::TcpKeepIdle, &KEEPALIVE_IDLE_S)?;
    setsockopt(tcp, sockopt::TcpKeepInterval, &KEEPALIVE_INTERVAL_S)?;
    setsockopt(tcp, sockopt::TcpKeepCount, &KEEPALIVE_PROBES)?;
    Ok(())
}
