//! One event of each kind, and how to make it hostile.

use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::delivery::encode::json::{passive_line, stamped};
use crate::delivery::event::Event;
use crate::delivery::sink::Record;

const ALERTS: &str = include_str!("../../../../../tests/data/cyclops_blink.sliding.alerts.jsonl");
const LOG: &str = include_str!("../../../../../tests/data/explain.log.jsonl");

/// An event as the store has it.
#[derive(Clone, Debug)]
pub(in crate::delivery::format) struct Sample {
    pub(in crate::delivery::format) seq: u64,
    pub(in crate::delivery::format) json: Vec<u8>,
}

impl Sample {
    pub(in crate::delivery::format) fn value(&self) -> Value {
        serde_json::from_slice(&self.json).unwrap()
    }
}

pub(in crate::delivery::format) fn with_event<T>(
    sample: &Sample,
    tell: impl FnOnce(&Event<'_>) -> T,
) -> T {
    let record = Record {
        seq: sample.seq,
        json: sample.json.clone(),
    };
    tell(&Event::parse(&record).unwrap())
}

/// The alert of Cyclops Blink, a finding, a gap, a heartbeat, an event of the agent, a summary.
pub(in crate::delivery::format) fn samples() -> Vec<Sample> {
    let of_kind = |lines: &'static str, kind: &str| {
        let kind = format!(r#""kind":"{kind}""#);
        lines.lines().rfind(|line| line.contains(&kind)).unwrap()
    };
    let lines = [
        of_kind(ALERTS, "alert").to_owned(),
        of_kind(LOG, "finding").to_owned(),
        of_kind(LOG, "gap").to_owned(),
        of_kind(LOG, "heartbeat").to_owned(),
        own().to_string(),
        summary().to_string(),
    ];
    let mut samples = Vec::new();
    for (seq, line) in (7..).zip(lines) {
        let value: Value = serde_json::from_str(&line).unwrap();
        // A line begins with its schema, as the encoders write it.
        let json = match line.starts_with(r#"{"schema""#) {
            true => stamped(line.as_bytes(), epoch(), seq),
            false => stored(&value, seq).json,
        };
        samples.push(Sample { seq, json });
    }
    samples
}

fn epoch() -> Uuid {
    Uuid::from_u128(0x0f1e_2d3c_4b5a_4697_8879_6a5b_4c3d_2e1f)
}

/// An event that is about to be stored under that number.
pub(in crate::delivery::format) fn stored(value: &Value, seq: u64) -> Sample {
    let mut value = value.clone();
    let fields = value.as_object_mut().unwrap();
    let schema = fields.remove("schema").unwrap_or_default();
    fields.remove("seq");
    fields.remove("epoch");
    let mut rest = passive_line(&fields).unwrap();
    rest.pop();
    let mut json = format!(r#"{{"schema":{schema},"epoch":"{}","seq":{seq},"#, epoch());
    json.push_str(std::str::from_utf8(&rest[1..]).unwrap());
    Sample {
        seq,
        json: json.into_bytes(),
    }
}

fn host() -> Value {
    json!({"name": "gateway", "id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "boot_id": null, "os": null, "kernel": null})
}

fn own() -> Value {
    json!({
        "schema": "wallwatch.self/1", "kind": "self", "event": "sink-held", "severity": "medium",
        "time": "2026-11-24T10:00:00.000000000Z", "text": "sink \"splunk\" holds: 401 Unauthorized",
        "sink": "splunk", "first_seq": null, "last_seq": null, "records": null,
        "host": host(), "agent": {"name": "wallwatch", "version": "0.1.0"},
    })
}

fn summary() -> Value {
    json!({
        "schema": "wallwatch.summary/1", "id": "5f1c0d5e-4f3a-5b2c-8d1e-0a9b8c7d6e5f", "revision": 0,
        "kind": "summary", "severity": "high", "finding": "accept-opened",
        "title": "41 more: Firewall Opened by a Rule That Accepts",
        "first_seen": "2026-11-24T10:00:00.000000000Z", "last_seen": "2026-11-24T10:59:59.500000000Z",
        "withheld": 41, "ids": ["c45c4fee-feb1-51f7-87f7-7a1728824708"], "dest": "gateway",
        "host": host(), "agent": {"name": "wallwatch", "version": "0.1.0"},
        "labels": {"env": "prod", "team.name": "net|ops=1"},
    })
}

/// Texts as an attacker would choose them: what acts on a terminal, what ends a value, and much of it.
pub(in crate::delivery::format) fn any_text() -> impl Strategy<Value = String> {
    let special = proptest::sample::select(
        "\0\u{1b}\n\r\t\"\\|= \u{7f}\u{85}\u{2028}\u{202e}\u{200b}\u{feff}]{}"
            .chars()
            .collect::<Vec<_>>(),
    );
    let char = prop_oneof![any::<char>(), special, proptest::char::range(' ', '~')];
    let text = proptest::collection::vec(char, 0..30);
    let times = prop_oneof![9 => 1usize..3, 1 => 1usize..200];
    (text, times).prop_map(|(text, times)| text.iter().collect::<String>().repeat(times))
}

/// The event with other texts everywhere but in the fields to `keep`, and in the one without which it is no event.
pub(in crate::delivery::format) fn hostile(
    sample: &Sample,
    keep: &[&str],
    texts: &[String],
) -> Sample {
    let mut value = sample.value();
    let mut texts = texts.iter().cycle();
    for (name, field) in value.as_object_mut().unwrap() {
        if name != "kind" && !keep.contains(&name.as_str()) {
            replace_texts(field, &mut texts);
        }
    }
    match keep.contains(&"schema") {
        true => stored(&value, sample.seq),
        false => Sample {
            seq: sample.seq,
            json: passive_line(&value).unwrap(),
        },
    }
}

fn replace_texts<'a>(value: &mut Value, texts: &mut impl Iterator<Item = &'a String>) {
    match value {
        Value::String(text) => text.clone_from(texts.next().unwrap()),
        Value::Array(list) => list
            .iter_mut()
            .for_each(|value| replace_texts(value, texts)),
        Value::Object(fields) => {
            let entries: Vec<(String, Value)> = std::mem::take(fields).into_iter().collect();
            for (index, (name, mut value)) in entries.into_iter().enumerate() {
                replace_texts(&mut value, texts);
                // Names of fields may be anybody's where objects are maps.
                let name = match index % 5 {
                    4 => format!("{name}{}", texts.next().unwrap()),
                    _ => name,
                };
                fields.insert(name, value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
