//! One datagram for each message.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;

use super::connection::{Ending, resolve};
use super::drain::drain;
use super::{Style, retry};
use crate::config::Address;
use crate::delivery::sink::{Delivery, Trouble};
use crate::delivery::sinks::{Message, Transport};

/// What IPv4 takes (RFC 791, RFC 768): 65,535 bytes without the headers of IP and UDP.
const UDP_BYTES_MAX: usize = 65_535 - 20 - 8;
/// A message is not cut further for a socket that takes no longer one.
const MESSAGE_BYTES_MIN: usize = 1024;

/// Nothing is confirmed over UDP. A Unix socket is asked whether its reader took everything.
pub(super) struct Datagrams {
    style: Style,
    peer: Peer,
    answer: Option<String>,
}

enum Peer {
    Address(Address),
    Path(PathBuf),
}

/// Connected for one delivery: a daemon that was started anew needs no care.
pub(super) enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Datagrams {
    pub(super) fn to_address(mut style: Style, address: &Address) -> Self {
        style.message_bytes_max = style.message_bytes_max.min(UDP_BYTES_MAX);
        Self {
            style,
            peer: Peer::Address(address.clone()),
            answer: None,
        }
    }

    pub(super) fn to_path(style: Style, path: &Path) -> Self {
        Self {
            style,
            peer: Peer::Path(path.to_owned()),
            answer: None,
        }
    }

    pub(super) fn connect(&self) -> io::Result<Socket> {
        match &self.peer {
            Peer::Address(address) => {
                let mut failure = io::Error::other("the name has no address");
                for address in resolve(address)? {
                    match udp_to(address) {
                        Ok(socket) => return Ok(Socket::Udp(socket)),
                        Err(error) => failure = error,
                    }
                }
                Err(failure)
            }
            Peer::Path(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                socket.set_write_timeout(Some(self.style.timeout))?;
                Ok(Socket::Unix(socket))
            }
        }
    }

    pub(super) fn send_over(
        &mut self,
        socket: io::Result<Socket>,
        messages: &[Message<'_>],
    ) -> Delivery {
        self.answer = None;
        let socket = match socket {
            Ok(socket) => socket,
            Err(error) => return self.stopped(0, retry(format!("{}: {error}", self.name()))),
        };
        for (index, message) in messages.iter().enumerate() {
            if let Err(error) = self.send_one(&socket, message) {
                return self.stopped(index, self.trouble(&error));
            }
        }
        match self.confirm(&socket) {
            Ok(answer) => {
                self.answer = Some(answer);
                self.delivered(messages.len())
            }
            Err(ending) => self.stopped(0, retry(format!("{}: {ending}", self.name()))),
        }
    }

    /// Cuts a message for which the socket is too small.
    fn send_one(&self, socket: &Socket, message: &Message<'_>) -> io::Result<()> {
        let mut bytes_max = self.style.message_bytes_max;
        loop {
            let bytes = self.style.envelope.wrap(message, bytes_max);
            match socket.send(&bytes) {
                Err(error) if is_too_long(&error) && bytes_max / 2 >= MESSAGE_BYTES_MIN => {
                    bytes_max /= 2;
                }
                result => return result,
            }
        }
    }

    fn confirm(&self, socket: &Socket) -> Result<String, Ending> {
        let name = self.name();
        match socket {
            Socket::Udp(_) => Ok(format!("sent to {name}; UDP tells nothing of its arrival")),
            Socket::Unix(socket) => {
                let listen = || match socket.take_error() {
                    Ok(None) => Ok(()),
                    Ok(Some(error)) | Err(error) => Err(Ending::Broken(error)),
                };
                let waited = drain(socket, Duration::ZERO, self.style.timeout, listen)?;
                let waited_ms = waited.as_millis();
                Ok(format!("{name} read everything within {waited_ms} ms"))
            }
        }
    }

    fn trouble(&self, error: &io::Error) -> Trouble {
        let name = self.name();
        match is_too_long(error) {
            true => Trouble::Poison {
                why: format!("{name} does not even take it cut short: {error}"),
            },
            false if error.kind() == io::ErrorKind::WouldBlock => {
                retry(format!("{name} took nothing for {:?}", self.style.timeout))
            }
            false => retry(format!("{name}: {error}")),
        }
    }

    fn name(&self) -> String {
        match &self.peer {
            Peer::Address(Address { host, port }) => format!("{host}, port {port}"),
            Peer::Path(path) => path.display().to_string(),
        }
    }

    fn delivered(&self, delivered: usize) -> Delivery {
        Delivery {
            delivered,
            trouble: None,
        }
    }

    fn stopped(&self, delivered: usize, trouble: Trouble) -> Delivery {
        Delivery {
            delivered,
            trouble: Some(trouble),
        }
    }
}

impl Transport for Datagrams {
    fn send(&mut self, messages: &[Message<'_>]) -> Delivery {
        let socket = self.connect();
        self.send_over(socket, messages)
    }

    fn reload(&mut self) {}

    fn answer(&self) -> Option<String> {
        self.answer.clone()
    }
}

impl Socket {
    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp(socket) => {
                socket.send(bytes)?;
                // A host on which nobody listens may say so at once (ICMP, port unreachable).
                socket.take_error()?.map_or(Ok(()), Err)
            }
            Self::Unix(socket) => socket.send(bytes).map(drop),
        }
    }
}

fn udp_to(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)),
    }?;
    socket.connect(address)?;
    Ok(socket)
}

fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EMSGSIZE as i32)
}

#[cfg(test)]
mod tests {
    use super::super::message::Envelope;
    use super::*;
    use crate::config::Format;
    use crate::delivery::event::Event;
    use crate::delivery::sink::Record;

    fn style(message_bytes_max: usize) -> Style {
        Style {
            envelope: Envelope {
                facility: 10,
                enterprise_id: 32473,
                process_id: 1,
            },
            message_bytes_max,
            timeout: Duration::from_secs(20),
        }
    }

    /// Of 120,000 bytes.
    fn long_event() -> Record {
        let field = |number| format!(r#","field_{number}":"{}""#, "x".repeat(400));
        let fields: String = (0..290).map(field).collect();
        let json = format!(r#"{{"kind":"self"{fields}}}"#).into_bytes();
        Record { seq: 1, json }
    }

    fn sent(datagrams: &mut Datagrams, receiver: &UdpSocket) -> usize {
        let record = long_event();
        let message = Message {
            event: Event::parse(&record).unwrap(),
            format: Format::Native,
        };
        let delivery = datagrams.send(&[message]);
        assert_eq!((delivery.delivered, delivery.trouble), (1, None));
        receiver.recv(&mut [0; 100_000]).unwrap()
    }

    #[test]
    fn a_message_is_cut_to_what_the_socket_takes() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let address = Address {
            host: "127.0.0.1".to_owned(),
            port: receiver.local_addr().unwrap().port(),
        };
        let mut datagrams = Datagrams::to_address(style(131_072), &address);
        let bytes = sent(&mut datagrams, &receiver);
        assert!(bytes <= UDP_BYTES_MAX, "{bytes}");
        // As with a local socket of which nobody knows what it takes: whole, it would be longer.
        datagrams.style.message_bytes_max = 131_072;
        let record = long_event();
        let whole = Message {
            event: Event::parse(&record).unwrap(),
            format: Format::Native,
        };
        assert!(whole.body_within(130_000).len() > UDP_BYTES_MAX);
        let bytes = sent(&mut datagrams, &receiver);
        assert!(bytes <= UDP_BYTES_MAX, "{bytes}");
    }
}
