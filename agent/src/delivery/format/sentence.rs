//! What happened, in one sentence: what a person reads first in any SIEM.

use serde_json::Value;

use super::texts;
use crate::config::EventKind;
use crate::delivery::encode::text_within;
use crate::delivery::event::Event;

/// Of one path, name or change.
const PART_BYTES_MAX: usize = 200;
const PORTS_MAX: usize = 8;

/// One sentence on `event`, of at most some 1,500 bytes. It may hold any character: whoever writes it escapes it.
pub fn sentence(event: &Event<'_>) -> String {
    let title = part(event.title());
    let host = part(event.host());
    match event.kind() {
        EventKind::Alert => alert(event, &title, &host),
        EventKind::Finding => finding(event, &title, &host),
        EventKind::Summary => format!("{title} on {host}"),
        EventKind::Gap => gap(event, &host),
        EventKind::Heartbeat => heartbeat(event, &host),
        EventKind::Own => own(event, &title, &host),
    }
}

fn alert(event: &Event<'_>, title: &str, host: &str) -> String {
    let mut ports: Vec<String> = texts(event, "/ports").take(PORTS_MAX).map(part).collect();
    let count = number(event, "/port_count").unwrap_or(0);
    if count > ports.len() as u64 && !ports.is_empty() {
        ports.push("…".to_owned());
    }
    let ports = match ports.is_empty() {
        true => String::new(),
        false => format!(": {}", ports.join(" ")),
    };
    let from = event.text("/parent_process_path");
    let from = from.map_or_else(String::new, |path| format!(", from {}", part(path)));
    format!("{title}: {count} ports{ports}{} on {host}{from}", by(event))
}

fn finding(event: &Event<'_>, title: &str, host: &str) -> String {
    let what = ["/changes/0/text", "/edits/0/path"];
    let what = what.into_iter().find_map(|pointer| event.text(pointer));
    let what = what.map_or_else(String::new, |what| format!(": {}", part(what)));
    format!("{title}{what}{} on {host}", by(event))
}

fn by(event: &Event<'_>) -> String {
    let user = event.text("/user");
    user.map_or_else(String::new, |user| format!(" by {}", part(user)))
}

fn own(event: &Event<'_>, title: &str, host: &str) -> String {
    let why = event.text("/why");
    let why = why.map_or_else(String::new, |why| format!(": {}", part(why)));
    format!("{title} on {host}{why}")
}

fn gap(event: &Event<'_>, host: &str) -> String {
    match number(event, "/execs_lost") {
        Some(execs) => format!("{execs} execs not seen on {host}"),
        None => format!("Changes of nf_tables not heard on {host}"),
    }
}

fn heartbeat(event: &Event<'_>, host: &str) -> String {
    let state = part(event.text("/state").unwrap_or("alive"));
    let number = |pointer| number(event, pointer).unwrap_or(0);
    let (lines, gaps) = (number("/alerts"), number("/gaps"));
    format!("wallwatch is {state} on {host}: {lines} events, {gaps} gaps so far")
}

fn number(event: &Event<'_>, pointer: &str) -> Option<u64> {
    event.value().pointer(pointer).and_then(Value::as_u64)
}

fn part(text: &str) -> String {
    text_within(text.as_bytes(), PART_BYTES_MAX)
}
