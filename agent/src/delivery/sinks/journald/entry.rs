//! An event as an entry of the journal.

use serde_json::Value;

use crate::config::EventKind;
use crate::delivery::event::Event;
use crate::delivery::sinks::Message;
use crate::delivery::sinks::plain::plain;
use crate::delivery::sinks::syslog::severity;

/// Of the line for people.
const MESSAGE_BYTES_MAX: usize = 1024;
/// Of one list; an entry may have 1024 fields.
const VALUES_MAX: usize = 64;

/// The entry as the socket takes it: `NAME=VALUE LF`, or `NAME LF LENGTH VALUE LF` for a value of several lines.
pub(super) fn encode(message: &Message<'_>) -> Vec<u8> {
    let event = &message.event;
    let mut entry = Vec::new();
    let mut put = |name: &str, value: &[u8]| field(&mut entry, name, value);
    put("MESSAGE", line(event).as_bytes());
    put("MESSAGE_ID", message_id(event.kind()).as_bytes());
    put(
        "PRIORITY",
        severity(event.severity()).to_string().as_bytes(),
    );
    put("SYSLOG_IDENTIFIER", b"wallwatch");
    put("WALLWATCH_ALERT_ID", event.id().as_bytes());
    put(
        "WALLWATCH_REVISION",
        event.revision().to_string().as_bytes(),
    );
    put("WALLWATCH_SEQ", event.seq().to_string().as_bytes());
    put("WALLWATCH_EPOCH", event.epoch().as_bytes());
    put("WALLWATCH_KIND", event.kind().as_str().as_bytes());
    put("WALLWATCH_RULE", event.rule().as_bytes());
    put("WALLWATCH_SEVERITY", event.severity().as_str().as_bytes());
    for (name, pointer) in [
        ("WALLWATCH_RULE_ID", "/rule/id"),
        ("WALLWATCH_USER", "/user"),
    ] {
        if let Some(text) = event.text(pointer) {
            put(name, text.as_bytes());
        }
    }
    for (name, pointer) in [
        ("WALLWATCH_PORTS", "/ports"),
        ("WALLWATCH_TECHNIQUE", "/mitre_technique_id"),
    ] {
        for text in texts(event, pointer).take(VALUES_MAX) {
            put(name, text.as_bytes());
        }
    }
    put("WALLWATCH_EVENT", &message.body());
    entry
}

fn field(entry: &mut Vec<u8>, name: &str, value: &[u8]) {
    entry.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value);
    entry.push(b'\n');
}

/// What `journalctl MESSAGE_ID=…` finds; never given to another kind.
fn message_id(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Alert => "8483ef0eae4b4353ac12499b5dbbdcb2",
        EventKind::Finding => "d98e3309ea5040319a31c1048fd9003f",
        EventKind::Summary => "d31b14ac64e64fabb2597c17fa37578d",
        EventKind::Gap => "8c895dd6e6234b8c9235480aba2a41ce",
        EventKind::Heartbeat => "46285fb62200460abcd704077602dc1d",
        EventKind::Own => "dfacde41948b447aa55b18102876b04a",
    }
}

/// The event in one line: what, where, who, and what makes it this one.
fn line(event: &Event<'_>) -> String {
    let mut line = format!("{} on {}", event.title(), event.host());
    if let Some(user) = event.text("/user") {
        line.push_str(&format!(", user {user}"));
    }
    if let Some(path) = event.text("/parent_process_path") {
        line.push_str(&format!(", by {path}"));
    }
    let ports: Vec<&str> = texts(event, "/ports").take(VALUES_MAX).collect();
    if !ports.is_empty() {
        line.push_str(&format!(": ports {}", ports.join(", ")));
    }
    let whats = ["/changes/0/text", "/why", "/state"];
    let what = whats.into_iter().find_map(|pointer| event.text(pointer));
    if let (true, Some(what)) = (ports.is_empty(), what) {
        line.push_str(&format!(": {what}"));
    }
    within(plain(&line), MESSAGE_BYTES_MAX)
}

fn within(mut text: String, bytes_max: usize) -> String {
    const CUT: &str = " […]";
    if text.len() > bytes_max {
        let end = text.floor_char_boundary(bytes_max - CUT.len());
        text.truncate(end);
        text.push_str(CUT);
    }
    text
}

/// The texts of a list.
fn texts<'a>(event: &'a Event<'_>, pointer: &str) -> impl Iterator<Item = &'a str> {
    let list = event.value().pointer(pointer).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}
