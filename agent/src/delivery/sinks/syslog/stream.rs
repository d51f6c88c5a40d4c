//! Messages over a connection, and when they count as delivered.
//!
//! Syslog has no acknowledgement. A message is delivered when the peer's kernel has all that was sent (`SIOCOUTQ` is 0)
//! and the connection showed no end after that. A receiver that ends without having read everything makes its kernel
//! answer with a reset (RFC 1122, section 4.2.2.13); then what was sent last is sent again, before anything else.

use std::collections::VecDeque;
use std::time::Duration;

use super::connection::{Connection, Ending, Peer};
use super::{LOCAL_RETRY_MAX, Style};
use crate::delivery::sink::{Delivery, RETRY_MAX, Trouble};
use crate::delivery::sinks::{Message, Transport};

/// What is sent before it is waited for, unless one message is longer.
const PORTION_BYTES_MAX: usize = 64 * 1024;
/// What was delivered last is kept for a receiver that had not read it; at least the last portion. A receiver's kernel
/// may hold more (`net.ipv4.tcp_rmem`: up to 6 MiB); but what is kept is sent again after each reset.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// Where a message ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// `LENGTH SP MESSAGE` (RFC 6587, section 3.4.1; RFC 5425, section 4.3).
    OctetCounting,
    /// At LF, which no message has (RFC 6587, section 3.4.2).
    Lines,
}

pub(super) struct Stream {
    style: Style,
    peer: Peer,
    framing: Framing,
    connection: Option<Connection>,
    last: Last,
    /// Whether the receiver may have ended without having read `last`.
    is_last_lost: bool,
    answer: Option<String>,
}

/// Messages that are confirmed together, as they are sent.
#[derive(Default)]
struct Portion {
    bytes: Vec<u8>,
    messages: usize,
}

/// What was delivered last, within a bound.
#[derive(Default)]
struct Last {
    portions: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Last {
    fn push(&mut self, portion: Vec<u8>) {
        self.bytes += portion.len();
        self.portions.push_back(portion);
        while self.bytes > KEPT_BYTES_MAX && self.portions.len() > 1 {
            self.bytes -= self.portions.pop_front().map_or(0, |oldest| oldest.len());
        }
    }
}

impl Stream {
    pub(super) fn new(style: Style, peer: Peer, framing: Framing) -> Self {
        Self {
            style,
            peer,
            framing,
            connection: None,
            last: Last::default(),
            is_last_lost: false,
            answer: None,
        }
    }

    /// As many messages as go together; at least one of those that there are.
    fn portion(&self, messages: &[Message<'_>]) -> Portion {
        let mut portion = Portion::default();
        for message in messages {
            let bytes = self
                .style
                .envelope
                .wrap(message, self.style.message_bytes_max);
            if portion.messages > 0 && portion.bytes.len() + bytes.len() > PORTION_BYTES_MAX {
                break;
            }
            match self.framing {
                Framing::OctetCounting => {
                    portion
                        .bytes
                        .extend(format!("{} ", bytes.len()).into_bytes());
                    portion.bytes.extend(bytes);
                }
                Framing::Lines => {
                    portion.bytes.extend(bytes);
                    portion.bytes.push(b'\n');
                }
            }
            portion.messages += 1;
        }
        portion
    }

    fn deliver(&mut self, portion: &Portion) -> Result<Duration, Trouble> {
        let result = match self.still_open() {
            Some(connection) => connection.deliver(&portion.bytes),
            None => self.open()?.deliver(&portion.bytes),
        };
        result.map_err(|ending| {
            self.ended(&ending);
            ending.trouble(&self.peer)
        })
    }

    /// The connection of the last delivery, unless it has ended since: a receiver may close one that is not used.
    fn still_open(&mut self) -> Option<&mut Connection> {
        if let Err(ending) = self.connection.as_mut()?.listen() {
            self.ended(&ending);
        }
        self.connection.as_mut()
    }

    fn open(&mut self) -> Result<&mut Connection, Trouble> {
        let mut connection = Connection::open(&self.peer, self.style.timeout)?;
        if self.is_last_lost {
            for portion in &self.last.portions {
                let result = connection.deliver(portion);
                result.map_err(|ending| ending.trouble(&self.peer))?;
            }
            self.is_last_lost = false;
        }
        Ok(self.connection.insert(connection))
    }

    fn ended(&mut self, ending: &Ending) {
        self.connection = None;
        self.is_last_lost |= ending.may_have_lost() && !self.last.portions.is_empty();
    }
}

impl Transport for Stream {
    fn send(&mut self, messages: &[Message<'_>]) -> Delivery {
        let mut delivered = 0;
        while delivered < messages.len() {
            let portion = self.portion(&messages[delivered..]);
            match self.deliver(&portion) {
                Ok(waited) => {
                    let description = self.connection.as_ref().map(Connection::description);
                    self.answer = description.map(|description| {
                        let waited_ms = waited.as_millis();
                        format!("{description}; queue confirmed by the peer within {waited_ms} ms")
                    });
                }
                Err(trouble) => {
                    self.answer = None;
                    return Delivery {
                        delivered,
                        trouble: Some(trouble),
                    };
                }
            }
            delivered += portion.messages;
            self.last.push(portion.bytes);
        }
        Delivery {
            delivered,
            trouble: None,
        }
    }

    fn reload(&mut self) {
        // One that has ended in the meantime says so now or never.
        if self.still_open().is_some() {
            self.connection = None;
        }
    }

    fn answer(&self) -> Option<String> {
        self.answer.clone()
    }

    fn retry_max(&self) -> Duration {
        match self.peer {
            Peer::Unix(_) => LOCAL_RETRY_MAX,
            Peer::Tcp(_) | Peer::Tls { .. } => RETRY_MAX,
        }
    }
}
