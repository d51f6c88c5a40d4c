//! ArcSight Common Event Format, version 0 ("Implementing ArcSight Common Event Format", revisions 25 and 26).
//!
//! ```text
//! CEF:0|wallwatch|wallwatch|VERSION|CLASS|NAME|SEVERITY|KEY=VALUE KEY=VALUE …
//! ```
//!
//! In the header `\` and `|` are escaped, in values `\` and `=`; a value shows its line breaks as `\n` and `\r`. Any
//! other active character is shown as `\x1b`, its backslash escaped as each other one. A value that is longer than its
//! key allows is cut and marked, and the key is named in `wallwatchTruncated`.

use serde_json::Value;

use super::process::{Process, execs};
use super::shorten::SHORTENED;
use super::{action, sentence, texts};
use crate::config::EventKind;
use crate::delivery::encode::human::passive;
use crate::delivery::encode::is_active;
use crate::delivery::event::Event;
use crate::pipeline::alert::Severity;

/// Of a value in characters, by the dictionary of the format.
const CUSTOM_CHARS_MAX: usize = 4000;
const TEXT_CHARS_MAX: usize = 1023;
const ID_CHARS_MAX: usize = 255;
const HOST_CHARS_MAX: usize = 100;
const ACT_CHARS_MAX: usize = 63;
/// The format bounds the header as a whole; this leaves room for it in the shortest messages.
const HEADER_CHARS_MAX: usize = 100;

/// Of what stands for the characters that were cut.
const MARK_CHARS_MAX: usize = 32;

pub(super) fn encode(event: &Event<'_>) -> Vec<u8> {
    let mut line = String::from("CEF:0");
    for field in header(event) {
        line.push('|');
        line.push_str(&field);
    }
    line.push('|');
    line.push_str(&extension(event).text());
    line.into_bytes()
}

fn header(event: &Event<'_>) -> [String; 6] {
    let version = event.text("/agent/version").unwrap_or_default();
    let class = event.text("/rule/id").unwrap_or(event.rule());
    let severity = severity(event.severity()).to_string();
    let fields = [
        "wallwatch",
        "wallwatch",
        version,
        class,
        event.title(),
        &severity,
    ];
    fields.map(|field| header_field(&cut(field, HEADER_CHARS_MAX).0))
}

/// 0 to 10.
fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::Informational => 1,
        Severity::Low => 3,
        Severity::Medium => 5,
        Severity::High => 8,
        Severity::Critical => 10,
    }
}

fn extension(event: &Event<'_>) -> Extension {
    let mut extension = Extension::default();
    put_identity(&mut extension, event);
    put_actor(&mut extension, event);
    put_evidence(&mut extension, event);
    extension.put("msg", TEXT_CHARS_MAX, &sentence(event));
    if event.value().get(SHORTENED).is_some() {
        extension.truncated.push("event");
    }
    extension
}

fn put_identity(extension: &mut Extension, event: &Event<'_>) {
    let start = ["/first_seen", "/from"];
    let start = start.into_iter().find_map(|pointer| event.time(pointer));
    extension.put("rt", ID_CHARS_MAX, &ms(event.time_ns()));
    if let Some(start) = start {
        extension.put("start", ID_CHARS_MAX, &ms(start));
        extension.put("end", ID_CHARS_MAX, &ms(event.time_ns()));
    }
    // The dictionary has 40 characters for it: enough for a UUID, and not for the place in the store by which other
    // events are known. That stands in flexString1 and cn2.
    if let Some(id) = event.text("/id") {
        extension.put("externalId", 40, id);
    }
    extension.put("cat", ACT_CHARS_MAX, event.kind().as_str());
    extension.put_text(event, "dvchost", HOST_CHARS_MAX, "/host/name");
    extension.put_text(event, "deviceExternalId", ID_CHARS_MAX, "/host/id");
    if event.value()["test"] == true {
        extension.put_labelled("cs6", "Test", "true");
    }
    extension.put("act", ACT_CHARS_MAX, action(event).unwrap_or_default());
    extension.put_labelled("cn1", "Revision", &event.revision().to_string());
    extension.put_labelled("cn2", "Sequence", &event.seq().to_string());
    extension.put_labelled("cn3", "RiskScore", &number(event, "/risk_score"));
    extension.put_labelled("flexString1", "Epoch", event.epoch());
    let count = ["/count", "/withheld", "/execs_lost"];
    let mut counts = count.map(|pointer| number(event, pointer)).into_iter();
    let count = counts.find(|count| !count.is_empty()).unwrap_or_default();
    extension.put("cnt", ID_CHARS_MAX, &count);
}

/// CEF has two processes: here the parent is the source, and what it ran the destination.
fn put_actor(extension: &mut Extension, event: &Event<'_>) {
    let exec = execs(event).last().unwrap_or(&Value::Null);
    let Process {
        pid, executable, ..
    } = Process::last(event);
    let parent = Process::parent_of(event, exec).unwrap_or_default();
    let id = |id: Option<u64>| id.map_or_else(String::new, |id| id.to_string());
    extension.put_text(event, "suser", TEXT_CHARS_MAX, "/user");
    extension.put("suid", TEXT_CHARS_MAX, &id(exec["uid"].as_u64()));
    extension.put("spid", ID_CHARS_MAX, &id(parent.pid));
    let path = parent.executable.unwrap_or_default();
    extension.put("sproc", TEXT_CHARS_MAX, path);
    extension.put("dpid", ID_CHARS_MAX, &id(pid));
    extension.put("dproc", TEXT_CHARS_MAX, executable.unwrap_or_default());
    let hash = exec["file"]["sha256"].as_str().unwrap_or_default();
    extension.put("fileHash", ID_CHARS_MAX, hash);
    extension.put_text(event, "filePath", TEXT_CHARS_MAX, "/edits/0/path");
    let command_line = parent.command_line.unwrap_or_default();
    extension.put_labelled("cs5", "ParentCommandLine", command_line);
}

fn put_evidence(extension: &mut Extension, event: &Event<'_>) {
    extension.put_labelled("cs1", "CommandLine", &command_lines(event));
    extension.put_labelled("cs2", "Ports", &joined(texts(event, "/ports"), " "));
    let techniques = joined(texts(event, "/mitre_technique_id"), " ");
    extension.put_labelled("cs3", "Techniques", &techniques);
    extension.put_labelled("cs4", "Reasons", &reasons(event));
    let changes = event.value()["changes"].as_array().into_iter().flatten();
    let changes = changes.filter_map(|change| change["text"].as_str());
    extension.put_labelled("cs6", "Changes", &joined(changes, "\n"));
    let labels = event.value()["labels"].as_object().into_iter().flatten();
    let labels: Vec<String> = labels
        .filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?)))
        .collect();
    extension.put_labelled("flexString2", "Labels", &labels.join(", "));
}

/// One a line: of an alert the distinct ones, of a finding those of its execs.
fn command_lines(event: &Event<'_>) -> String {
    match event.kind() {
        EventKind::Alert => joined(texts(event, "/processes_exec"), "\n"),
        EventKind::Finding => {
            let command_lines = execs(event).iter();
            let command_lines = command_lines.filter_map(|exec| exec["command_line"].as_str());
            joined(command_lines, "\n")
        }
        EventKind::Summary | EventKind::Gap | EventKind::Heartbeat | EventKind::Own => {
            String::new()
        }
    }
}

/// The clauses of a rule that held, what a finding weighs, why execs were lost, or what a receiver said.
fn reasons(event: &Event<'_>) -> String {
    let matched = event.value()["matched"].as_array().into_iter().flatten();
    let clauses = matched.filter_map(|clause| clause["clause"].as_str());
    let causes = event.value()["causes"].as_object().into_iter().flatten();
    let causes = causes.map(|(cause, _)| cause.as_str());
    let told = event
        .text("/why")
        .filter(|_| event.kind() == EventKind::Own);
    let reasons = texts(event, "/reasons").chain(causes).chain(told);
    joined(clauses.chain(reasons), ", ")
}

fn joined<'a>(texts: impl Iterator<Item = &'a str>, between: &str) -> String {
    texts.collect::<Vec<_>>().join(between)
}

fn number(event: &Event<'_>, pointer: &str) -> String {
    let number = event.value().pointer(pointer).and_then(Value::as_u64);
    number.map_or_else(String::new, |number| number.to_string())
}

/// CEF has times in milliseconds since 1970, UTC.
fn ms(ns: u64) -> String {
    (ns / 1_000_000).to_string()
}

/// Keys and values, in the order of writing.
#[derive(Default)]
struct Extension {
    /// Escaped.
    pairs: Vec<String>,
    /// Keys whose values were cut.
    truncated: Vec<&'static str>,
}

impl Extension {
    /// Nothing is put for an empty value.
    fn put(&mut self, key: &'static str, chars_max: usize, value: &str) {
        if value.is_empty() {
            return;
        }
        let (value, is_cut) = cut(value, chars_max);
        if is_cut {
            self.truncated.push(key);
        }
        self.pairs
            .push(format!("{key}={}", extension_value(&value)));
    }

    fn put_text(&mut self, event: &Event<'_>, key: &'static str, chars_max: usize, pointer: &str) {
        self.put(key, chars_max, event.text(pointer).unwrap_or_default());
    }

    /// A key that means what its label says.
    fn put_labelled(&mut self, key: &'static str, label: &str, value: &str) {
        if !value.is_empty() {
            self.put(key, CUSTOM_CHARS_MAX, value);
            self.pairs.push(format!("{key}Label={label}"));
        }
    }

    fn text(mut self) -> String {
        if !self.truncated.is_empty() {
            let truncated = self.truncated.join(",");
            self.pairs.push(format!("wallwatchTruncated={truncated}"));
        }
        self.pairs.join(" ")
    }
}

/// At most `chars_max` characters of `value`, and whether that is less than it had. What was cut stands in bytes at
/// the end.
fn cut(value: &str, chars_max: usize) -> (String, bool) {
    if value.chars().nth(chars_max).is_none() {
        return (value.to_owned(), false);
    }
    let kept = chars_max.saturating_sub(MARK_CHARS_MAX);
    let at = value.char_indices().nth(kept).map_or(0, |(at, _)| at);
    let (head, rest) = value.split_at(at);
    (format!("{head} […{} bytes…]", rest.len()), true)
}

fn header_field(value: &str) -> String {
    escaped(value, |char| match char {
        '\\' => Some("\\\\"),
        '|' => Some("\\|"),
        _ => None,
    })
}

fn extension_value(value: &str) -> String {
    escaped(value, |char| match char {
        '\\' => Some("\\\\"),
        '=' => Some("\\="),
        '\n' => Some("\\n"),
        '\r' => Some("\\r"),
        _ => None,
    })
}

/// `value` with what `escape` knows of, and with active characters shown.
fn escaped(value: &str, escape: fn(char) -> Option<&'static str>) -> String {
    let mut escaped = String::with_capacity(value.len());
    for char in value.chars() {
        match escape(char) {
            Some(escape) => escaped.push_str(escape),
            None if is_active(char) => {
                let shown = passive(char.encode_utf8(&mut [0; 4]));
                escaped.push_str(&shown.replace('\\', "\\\\"));
            }
            None => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
pub(in crate::delivery::format) mod tests;
