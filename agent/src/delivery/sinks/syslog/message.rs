//! An event as a message of RFC 5424.
//!
//! ```text
//! <PRI>1 TIMESTAMP HOSTNAME wallwatch PROCID MSGID [wallwatch@PEN id="…" revision="…" seq="…" epoch="…" …] BODY
//! ```
//!
//! The structured data is kept whole, the body takes what is left. No byte order mark stands before the body: rsyslog
//! would make it part of the text.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde_json::Value;

use crate::config::EventKind;
use crate::delivery::event::Event;
use crate::delivery::sinks::Message;
use crate::delivery::sinks::plain::plain;
use crate::pipeline::alert::Severity;

/// RFC 5424, section 6.2.4.
const HOSTNAME_BYTES_MAX: usize = 255;
const APP_NAME: &str = "wallwatch";
/// Of a value of the structured data, its escapes included.
const VALUE_BYTES_MAX: usize = 256;
/// Of an id and an epoch, which are UUIDs or not much longer.
const KEY_BYTES_MAX: usize = 64;
/// RFC 5424 has microseconds at the most (section 6.2.3).
const SECOND_DIGITS: u8 = 6;
/// What stands for nothing.
const NIL: &str = "-";
/// What stands for the rest.
const CUT: char = '…';

/// What is the same in all messages of a sink.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    /// 0 to 23.
    pub(super) facility: u8,
    pub(super) enterprise_id: u32,
    pub(super) process_id: u32,
}

impl Envelope {
    /// `message` in at most `bytes_max` bytes, of which there must be 1024.
    pub(super) fn wrap(&self, message: &Message<'_>, bytes_max: usize) -> Vec<u8> {
        let event = &message.event;
        let mut text = self.header(event, bytes_max);
        text.push(' ');
        // With half of the room the least body is one that every format can keep.
        self.structured_data(event, bytes_max / 2, &mut text);
        text.push(' ');
        let body = message.body_within(bytes_max.saturating_sub(text.len()));
        let mut bytes = text.into_bytes();
        bytes.extend(body);
        bytes
    }

    /// RFC 5424, section 6.2.
    fn header(&self, event: &Event<'_>, bytes_max: usize) -> String {
        let priority = u32::from(self.facility) * 8 + severity(event.severity());
        let hostname = hostname(event.host(), HOSTNAME_BYTES_MAX.min(bytes_max / 8));
        format!(
            "<{priority}>1 {} {hostname} {APP_NAME} {} {}",
            timestamp(event.time_ns()),
            self.process_id,
            message_id(event.kind()),
        )
    }

    /// RFC 5424, section 6.3: what tells the event apart, and as much of what it says as keeps `text` within
    /// `bytes_max`.
    fn structured_data(&self, event: &Event<'_>, bytes_max: usize, text: &mut String) {
        text.push('[');
        text.push_str(APP_NAME);
        text.push('@');
        text.push_str(&self.enterprise_id.to_string());
        for (name, value) in [
            ("id", event.id()),
            ("revision", event.revision().to_string()),
            ("seq", event.seq().to_string()),
            ("epoch", event.epoch().to_owned()),
        ] {
            text.push_str(&parameter(name, &value, KEY_BYTES_MAX));
        }
        for (name, value) in details(event) {
            let parameter = parameter(name, &value, VALUE_BYTES_MAX);
            if text.len() + parameter.len() < bytes_max {
                text.push_str(&parameter);
            }
        }
        text.push(']');
    }
}

/// RFC 5424, section 6.2.1, table 2.
pub(in crate::delivery::sinks) fn severity(severity: Severity) -> u32 {
    match severity {
        Severity::Informational => 6,
        Severity::Low => 5,
        Severity::Medium => 4,
        Severity::High => 3,
        Severity::Critical => 2,
    }
}

fn message_id(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Alert => "ALERT",
        EventKind::Finding => "FINDING",
        EventKind::Summary => "SUMMARY",
        EventKind::Gap => "GAP",
        EventKind::Heartbeat => "HEARTBEAT",
        EventKind::Own => "SELF",
    }
}

fn timestamp(time_ns: u64) -> String {
    match Timestamp::from_nanosecond(i128::from(time_ns)) {
        Ok(time) if time_ns > 0 => DateTimePrinter::new()
            .precision(Some(SECOND_DIGITS))
            .timestamp_to_string(&time),
        Ok(_) | Err(_) => NIL.to_owned(),
    }
}

/// Visible ASCII without spaces.
fn hostname(host: &str, bytes_max: usize) -> String {
    let visible = |char: char| if char.is_ascii_graphic() { char } else { '?' };
    let hostname: String = host.chars().map(visible).take(bytes_max).collect();
    match hostname.is_empty() {
        true => NIL.to_owned(),
        false => hostname,
    }
}

/// What a receiver may want to sort by without reading the body; the most telling first. Lists are joined by commas.
fn details(event: &Event<'_>) -> impl Iterator<Item = (&'static str, String)> {
    let value = event.value();
    let own = [
        ("rule", event.rule().to_owned()),
        ("severity", event.severity().as_str().to_owned()),
    ];
    let pointers = [
        ("ports", "/ports"),
        ("user", "/user"),
        ("technique", "/mitre_technique_id"),
        ("first", "/first_seen"),
        ("count", "/count"),
        ("ppid", "/parent_process_id"),
        ("ppath", "/parent_process_path"),
    ];
    let told = pointers.into_iter().filter_map(|(name, pointer)| {
        let text = shown(value.pointer(pointer)?)?;
        Some((name, text))
    });
    own.into_iter().chain(told)
}

/// `None` for what is empty or has parts of its own.
fn shown(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Array(items) if !items.is_empty() => {
            let items: Option<Vec<String>> = items.iter().map(shown).collect();
            Some(items?.join(","))
        }
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// ` NAME="VALUE"`; a value that was cut ends with `…`.
fn parameter(name: &str, value: &str, bytes_max: usize) -> String {
    let mut escaped = String::new();
    for char in plain(value).chars() {
        let end = escaped.len();
        // Section 6.3.3.
        if matches!(char, '"' | '\\' | ']') {
            escaped.push('\\');
        }
        escaped.push(char);
        if escaped.len() > bytes_max - CUT.len_utf8() {
            escaped.truncate(end);
            escaped.push(CUT);
            break;
        }
    }
    format!(" {name}=\"{escaped}\"")
}

#[cfg(test)]
mod tests;
