//! Makes an event fit: long texts give way first, then entries of lists, then whole fields, and never what says which
//! event it is.
//!
//! It is the native event that is shortened and translated anew, so every format leaves out the same, and each can be
//! marked: the event gets a field [`SHORTENED`].

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::delivery::encode::text_within;
use crate::delivery::event::Event;

/// In so many bytes each event can be told in each format, with nothing but what says which it is.
pub const BYTES_MIN: usize = 512;

/// The field that says what was left out.
pub(super) const SHORTENED: &str = "shortened";

/// Says which event it is, and when. In the order of the native format.
pub(super) const HEAD: [&str; 11] = [
    "schema",
    "epoch",
    "seq",
    "id",
    "revision",
    "kind",
    "state",
    "severity",
    "last_seen",
    "time",
    "to",
];

/// What an analyst asks first.
const ESSENTIAL: [&str; 34] = [
    "agent",
    "changes_asked",
    "changes_made",
    "count",
    "dest",
    "event",
    "execs_lost",
    "finding",
    "first_seen",
    "from",
    "host",
    "interval_s",
    "labels",
    "lines_withheld",
    "mitre_technique_id",
    "number",
    "origin",
    "origin_executable",
    "parent_process_id",
    "parent_process_path",
    "port_count",
    "ports",
    "process_path",
    "reasons",
    "redacted",
    "risk_score",
    "rule",
    "sink",
    "test",
    "text",
    "title",
    "user",
    "why",
    "withheld",
];

/// What an analyst asks next, in the fewest words.
const EVIDENCE: [&str; 4] = ["causes", "changes", "edits", "processes_exec"];

/// Of the longest that is not cut at all: an id, a time, a SHA-256 in hexadecimal digits.
const TEXT_BYTES_MIN: usize = 64;
/// From much to little.
const TEXT_BYTES: [usize; 8] = [8192, 4096, 2048, 1024, 512, 256, 128, TEXT_BYTES_MIN];

/// Which fields are told, and how many entries of each list; from much to little.
const OUTLINES: [(Fields, usize); 8] = [
    (Fields::All, usize::MAX),
    (Fields::All, 32),
    (Fields::All, 16),
    (Fields::All, 8),
    (Fields::All, 4),
    (Fields::Evidence, 16),
    (Fields::Evidence, 4),
    (Fields::Essential, 4),
];

#[derive(Clone, Copy)]
enum Fields {
    All,
    Evidence,
    Essential,
}

impl Fields {
    fn include(self, name: &str) -> bool {
        let is_essential = HEAD.contains(&name) || ESSENTIAL.contains(&name);
        match self {
            Self::All => true,
            Self::Evidence => is_essential || EVIDENCE.contains(&name),
            Self::Essential => is_essential,
        }
    }
}

/// How much of an event is told.
#[derive(Clone, Copy)]
struct Bounds {
    fields: Fields,
    /// Of a list.
    entries: usize,
    /// Of a text, before it is encoded.
    text_bytes: usize,
}

/// What `encode` makes of `event`, shortened until it has at most `bytes_max` bytes, or [`BYTES_MIN`] if that is more.
pub(super) fn within(
    event: &Event<'_>,
    bytes_max: usize,
    encode: fn(&Event<'_>) -> Vec<u8>,
) -> Vec<u8> {
    let bytes_max = bytes_max.max(BYTES_MIN);
    let whole = encode(event);
    if whole.len() <= bytes_max {
        return whole;
    }
    let Some(fields) = event.value().as_object() else {
        return whole;
    };
    let mark = json!({"bytes_full": whole.len(), "bytes_max": bytes_max});
    let told = |bounds: Bounds| {
        let told = encode(&event.with_value(shortened(fields, bounds, &mark)));
        (told.len() <= bytes_max).then_some(told)
    };
    for (fields, entries) in OUTLINES {
        let bounds = |text_bytes| Bounds {
            fields,
            entries,
            text_bytes,
        };
        // An outline that does not fit with the shortest texts is not tried with longer ones.
        if let Some(shortest) = told(bounds(TEXT_BYTES_MIN)) {
            let longest = TEXT_BYTES.into_iter().find_map(|bytes| told(bounds(bytes)));
            return longest.unwrap_or(shortest);
        }
    }
    encode(&event.with_value(bare(fields, &mark)))
}

fn shortened(fields: &Map<String, Value>, bounds: Bounds, mark: &Value) -> Value {
    let mut cutter = Cutter {
        bounds,
        omitted: BTreeMap::new(),
    };
    let told = fields
        .iter()
        .filter(|(name, _)| bounds.fields.include(name));
    let mut told: Map<String, Value> = told
        .map(|(name, value)| (name.clone(), cutter.cut(name, value)))
        .collect();
    let mut mark = mark.clone();
    mark["text_bytes_max"] = bounds.text_bytes.into();
    if !cutter.omitted.is_empty() {
        mark["entries_omitted"] = json!(cutter.omitted);
    }
    if told.len() < fields.len() {
        mark["fields_omitted"] = (fields.len() - told.len()).into();
    }
    told.insert(SHORTENED.to_owned(), mark);
    Value::Object(told)
}

/// Shortens texts and lists, and counts what it leaves out of each list.
struct Cutter {
    bounds: Bounds,
    /// By the names that lead to the list, joined by dots.
    omitted: BTreeMap<String, usize>,
}

impl Cutter {
    fn cut(&mut self, path: &str, value: &Value) -> Value {
        match value {
            Value::String(text) => {
                Value::String(text_within(text.as_bytes(), self.bounds.text_bytes))
            }
            Value::Array(list) => Value::Array(self.cut_list(path, list)),
            Value::Object(fields) => {
                let cut = |(name, value): (&String, &Value)| {
                    let path = format!("{path}.{name}");
                    (name.clone(), self.cut(&path, value))
                };
                fields.iter().map(cut).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    /// Keeps the beginning and the end: what came first, and what was last.
    fn cut_list(&mut self, path: &str, list: &[Value]) -> Vec<Value> {
        let omitted = list.len().saturating_sub(self.bounds.entries);
        if omitted > 0 {
            *self.omitted.entry(path.to_owned()).or_default() += omitted;
        }
        let head = (list.len() - omitted).div_ceil(2);
        let is_kept = |index: usize| index < head || index >= head + omitted;
        let kept = list.iter().enumerate().filter(|(index, _)| is_kept(*index));
        kept.map(|(_, value)| self.cut(path, value)).collect()
    }
}

/// Whether nothing is left of an event but what says which it is.
pub(super) fn is_bare(event: &Event<'_>) -> bool {
    let is_there = |name| event.value().get(name).is_some();
    is_there(SHORTENED) && !is_there("agent")
}

/// Only what says which event it is, in characters that no format has to escape.
fn bare(fields: &Map<String, Value>, mark: &Value) -> Value {
    let head = HEAD.into_iter().filter_map(|name| {
        let value = match fields.get(name)? {
            Value::String(text) => Value::String(plain(text)),
            value @ (Value::Number(_) | Value::Bool(_)) => value.clone(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        Some((name.to_owned(), value))
    });
    let mut bare: Map<String, Value> = head.collect();
    let mut mark = mark.clone();
    mark["fields_omitted"] = (fields.len() - bare.len()).into();
    bare.insert(SHORTENED.to_owned(), mark);
    Value::Object(bare)
}

/// Ids, words and times have no other characters, and are no longer.
fn plain(text: &str) -> String {
    let is_plain = |char: &char| char.is_ascii_alphanumeric() || "-.:/".contains(*char);
    text.chars()
        .filter(is_plain)
        .take(PLAIN_BYTES_MAX)
        .collect()
}

/// Of a UUID.
const PLAIN_BYTES_MAX: usize = 36;
