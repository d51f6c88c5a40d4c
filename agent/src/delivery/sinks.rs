//! The receivers that `[[sinks]]` names: which events each gets, in whose words, over which transport.

mod batch;
pub mod elastic;
mod file;
pub mod hec;
mod http;
mod journald;
mod named_file;
pub mod otlp;
mod plain;
mod post;
mod syslog;
mod tls;

use std::time::Duration;

use crate::config::{Destination, EventKind, Format, Selection, SinkSettings};

use super::encode::json::LINE_BYTES_MAX;
use super::event::Event;
use super::format::translate;
use super::sink::{Delivery, RETRY_MAX, Record, Sink, Trouble};
use file::LineFile;
use journald::Journald;

/// One way to reach a receiver. It connects when there is something to send, and again after a failure: a receiver
/// that is not there, and a file that cannot be read, are troubles of a delivery and none of the start.
pub trait Transport: Send {
    /// Sends all of `messages`, in order. Says how many from the front are the receiver's for good, and what stopped
    /// the others.
    fn send(&mut self, messages: &[Message<'_>]) -> Delivery;

    /// Forgets connections, certificates and secrets: the next delivery reads them anew.
    fn reload(&mut self);

    /// What the receiver said last, for a person; `None` when it says nothing.
    fn answer(&self) -> Option<String> {
        None
    }

    /// The longest pause between two tries.
    fn retry_max(&self) -> Duration {
        RETRY_MAX
    }
}

/// An event on its way out.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    pub event: Event<'a>,
    pub format: Format,
}

impl Message<'_> {
    /// Its translation, as long as it comes.
    pub fn body(&self) -> Vec<u8> {
        self.body_within(8 * LINE_BYTES_MAX)
    }

    /// Its translation in at most `bytes_max` bytes.
    pub fn body_within(&self, bytes_max: usize) -> Vec<u8> {
        translate(&self.event, self.format, bytes_max)
    }
}

/// A sink of the configuration: what it does not want counts as delivered.
pub struct Receiver {
    name: String,
    selection: Selection,
    format: Format,
    transport: Box<dyn Transport>,
}

impl Receiver {
    pub fn new(settings: &SinkSettings) -> Self {
        let SinkSettings {
            name,
            format,
            selection,
            destination,
        } = settings;
        Self {
            name: name.clone(),
            selection: selection.clone(),
            format: *format,
            transport: transport(destination),
        }
    }

    /// Sends one event, whatever the sink selects.
    pub fn deliver_unselected(&mut self, record: &Record) -> Delivery {
        match Event::parse(record) {
            Ok(event) => {
                let format = self.format;
                self.transport.send(&[Message { event, format }])
            }
            Err(error) => Delivery {
                delivered: 0,
                trouble: Some(Trouble::Poison {
                    why: error.to_string(),
                }),
            },
        }
    }

    /// What the receiver said last, for a person.
    pub fn answer(&self) -> Option<String> {
        self.transport.answer()
    }
}

fn transport(destination: &Destination) -> Box<dyn Transport> {
    match destination {
        Destination::File(settings) => Box::new(LineFile::new(settings)),
        Destination::Journald(settings) => Box::new(Journald::new(settings)),
        Destination::Syslog(settings) => syslog::transport(settings),
        Destination::Hec(settings) => Box::new(hec::Hec::new(settings)),
        Destination::Otlp(settings) => Box::new(otlp::Otlp::new(settings)),
        Destination::Http(settings) => Box::new(post::HttpPost::new(settings)),
        Destination::Elastic(settings) => Box::new(elastic::Elastic::new(settings)),
    }
}

impl Sink for Receiver {
    fn name(&self) -> &str {
        &self.name
    }

    fn deliver(&mut self, records: &[Record]) -> Delivery {
        let mut messages = Vec::new();
        // How many records are done when so many messages are.
        let mut ends = Vec::new();
        let mut unreadable = None;
        let mut end = 0;
        for record in records {
            let event = match Event::parse(record) {
                Ok(event) => event,
                Err(error) => {
                    unreadable = Some(error.to_string());
                    break;
                }
            };
            if wants(&self.selection, &event) {
                ends.push(end);
                let format = self.format;
                messages.push(Message { event, format });
            }
            end += 1;
        }
        let Delivery { delivered, trouble } = match messages.is_empty() {
            true => Delivery {
                delivered: 0,
                trouble: None,
            },
            false => self.transport.send(&messages),
        };
        if let Some(&delivered) = ends.get(delivered) {
            return Delivery { delivered, trouble };
        }
        Delivery {
            delivered: end,
            trouble: match unreadable {
                Some(why) => Some(Trouble::Poison { why }),
                None => trouble,
            },
        }
    }

    fn retry_max(&self) -> Duration {
        self.transport.retry_max()
    }

    fn can_be_left(&self) -> bool {
        true
    }

    fn reload(&mut self) {
        self.transport.reload();
    }
}

/// Whether a sink is to get an event.
fn wants(selection: &Selection, event: &Event<'_>) -> bool {
    let Selection {
        kinds,
        severity_min,
        rules,
    } = selection;
    let kind = event.kind();
    match kind {
        EventKind::Alert | EventKind::Finding | EventKind::Summary => {
            let is_chosen = |rule: &String| rule == event.rule();
            kinds.contains(&kind)
                && event.severity() >= *severity_min
                && (rules.is_empty() || rules.iter().any(is_chosen))
        }
        EventKind::Gap | EventKind::Heartbeat | EventKind::Own => kinds.contains(&kind),
    }
}
