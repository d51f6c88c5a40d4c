//! Logs of others as a replay's input: lines of text → execs. What each format can and cannot tell stands in
//! `agent/docs/replay.md`.
//!
//! A reader takes lines in the order of the file, and gives [`Item`]s: one line may end several events, and an event
//! may take several lines. It judges nothing, and what a format does not tell stays unknown.

mod auditd;
mod ecs;
mod exec;
mod guess;
mod laurel;
mod parents;
mod sysmon;

use crate::pipeline::exec::Exec;
use crate::recording;

pub use guess::Guess;

use auditd::Auditd;
use laurel::Laurel;
use sysmon::Sysmon;

/// Whose log it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// What `wallwatch record` writes
    Wallwatch,
    /// Events of Sysmon for Linux: XML, bare or behind a syslog header
    Sysmon,
    /// Records of the audit daemon, raw or enriched
    Auditd,
    /// The audit daemon's events as LAUREL writes them: one JSON object a line
    Laurel,
    /// Process events in the Elastic Common Schema (Elastic Defend, Auditbeat): one JSON object a line
    Ecs,
}

impl Format {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wallwatch => "wallwatch",
            Self::Sysmon => "sysmon",
            Self::Auditd => "auditd",
            Self::Laurel => "laurel",
            Self::Ecs => "ecs",
        }
    }
}

/// What came of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Exec(Box<Exec>),
    /// An event, a record or a line that is of no exec that succeeded.
    PassedOver,
    Malformed(Malformed),
}

/// Something that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The line on which it begins, the first being 1.
    pub line: u64,
    pub why: String,
}

/// What a reader could not do for lack of room or time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Audit events taken as complete before their end was seen, because too many were open.
    pub events_cut_short: u64,
    /// Processes whose executable was forgotten, so that it is unknown as a parent's.
    pub parents_forgotten: u64,
}

/// Reads one format.
pub struct Reader(Inner);

enum Inner {
    Wallwatch,
    Sysmon(Sysmon),
    Auditd(Box<Auditd>),
    Laurel(Box<Laurel>),
    Ecs,
}

impl Reader {
    /// `event_bytes_max` bounds an event that takes several lines.
    pub fn new(format: Format, event_bytes_max: usize) -> Self {
        Self(match format {
            Format::Wallwatch => Inner::Wallwatch,
            Format::Sysmon => Inner::Sysmon(Sysmon::new(event_bytes_max)),
            Format::Auditd => Inner::Auditd(Box::new(Auditd::new(event_bytes_max))),
            Format::Laurel => Inner::Laurel(Box::default()),
            Format::Ecs => Inner::Ecs,
        })
    }

    /// Takes in the next line, the `number`th. What comes of it is put behind what `items` holds.
    pub fn handle_line(&mut self, line: &[u8], number: u64, items: &mut Vec<Item>) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let read = match &mut self.0 {
            Inner::Sysmon(sysmon) => return sysmon.handle_line(line, number, items),
            _ if line.trim_ascii().is_empty() => return,
            Inner::Auditd(auditd) => return auditd.handle_line(line, number, items),
            Inner::Wallwatch => recording::read_line(line).map_err(|error| error.to_string()),
            Inner::Laurel(laurel) => laurel.read(line),
            Inner::Ecs => ecs::read(line),
        };
        items.push(match read {
            Ok(Some(exec)) => Item::Exec(Box::new(exec)),
            Ok(None) => Item::PassedOver,
            Err(why) => Item::Malformed(Malformed { line: number, why }),
        });
    }

    /// There is no further line.
    pub fn handle_end(&mut self, items: &mut Vec<Item>) {
        match &mut self.0 {
            Inner::Sysmon(sysmon) => sysmon.handle_end(items),
            Inner::Auditd(auditd) => auditd.handle_end(items),
            Inner::Wallwatch | Inner::Laurel(_) | Inner::Ecs => {}
        }
    }

    pub fn counters(&self) -> Counters {
        match &self.0 {
            Inner::Auditd(auditd) => auditd.counters(),
            Inner::Laurel(laurel) => laurel.counters(),
            Inner::Wallwatch | Inner::Sysmon(_) | Inner::Ecs => Counters::default(),
        }
    }
}

#[cfg(test)]
mod tests;
