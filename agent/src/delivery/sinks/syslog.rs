//! Syslog: RFC 5424 messages over UDP (RFC 5426), TCP (RFC 6587, octet counting), TLS (RFC 5425) and Unix sockets.

mod connection;
mod datagram;
mod drain;
mod message;
mod stream;

use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;

use super::{Message, Transport};
use crate::config::{SyslogSettings, SyslogTransport};
use crate::delivery::sink::{Delivery, Trouble};

use connection::Peer;
use datagram::Datagrams;
use message::Envelope;
pub(super) use message::severity;
use stream::{Framing, Stream};

/// Between two tries with a daemon of this host.
const LOCAL_RETRY_MAX: Duration = Duration::from_secs(10);

/// The way to a syslog receiver.
pub(super) fn transport(settings: &SyslogSettings) -> Box<dyn Transport> {
    let SyslogSettings {
        transport,
        facility,
        enterprise_id,
        message_bytes_max,
        timeout,
    } = settings;
    let style = Style {
        envelope: Envelope {
            facility: *facility,
            enterprise_id: *enterprise_id,
            process_id: std::process::id(),
        },
        message_bytes_max: *message_bytes_max,
        timeout: *timeout,
    };
    match transport {
        SyslogTransport::Udp { address } => Box::new(Datagrams::to_address(style, address)),
        SyslogTransport::Unix { path } => Box::new(LocalSocket::new(style, path)),
        SyslogTransport::Tcp { address } => {
            let peer = Peer::tcp(address);
            Box::new(Stream::new(style, peer, Framing::OctetCounting))
        }
        SyslogTransport::Tls {
            address,
            tls,
            server_name,
        } => {
            let peer = Peer::tls(address, tls, server_name.as_deref());
            Box::new(Stream::new(style, peer, Framing::OctetCounting))
        }
    }
}

/// How messages look and how long their way may take.
#[derive(Clone)]
struct Style {
    envelope: Envelope,
    message_bytes_max: usize,
    timeout: Duration,
}

/// A socket like `/dev/log`, which takes datagrams or, as some daemons make it, a stream.
struct LocalSocket {
    datagrams: Datagrams,
    stream: Stream,
    is_stream: bool,
}

impl LocalSocket {
    fn new(style: Style, path: &Path) -> Self {
        Self {
            datagrams: Datagrams::to_path(style.clone(), path),
            stream: Stream::new(style, Peer::Unix(path.to_owned()), Framing::Lines),
            is_stream: false,
        }
    }
}

impl Transport for LocalSocket {
    fn send(&mut self, messages: &[Message<'_>]) -> Delivery {
        // Asked each time: the next daemon may make it the other way.
        let socket = self.datagrams.connect();
        let wrong_type =
            |error: &std::io::Error| error.raw_os_error() == Some(Errno::EPROTOTYPE as i32);
        self.is_stream = socket.as_ref().is_err_and(wrong_type);
        match self.is_stream {
            true => self.stream.send(messages),
            false => self.datagrams.send_over(socket, messages),
        }
    }

    fn reload(&mut self) {
        self.stream.reload();
    }

    fn answer(&self) -> Option<String> {
        match self.is_stream {
            true => self.stream.answer(),
            false => self.datagrams.answer(),
        }
    }

    fn retry_max(&self) -> Duration {
        LOCAL_RETRY_MAX
    }
}

fn retry(why: String) -> Trouble {
    Trouble::Retry { after: None, why }
}
