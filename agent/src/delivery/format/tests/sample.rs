//! One event of each kind, and how to make it hostile.

use proptest::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use crate::delivery::encode::json::{passive_line, stamped};
use crate::delivery::encode::{AlertContext, HostIdentity, Shape, notice_line, shaped_summary};
use crate::delivery::event::Event;
use crate::delivery::sink::Record;
use crate::pipeline::alert::{AlertState, Severity};
use crate::pipeline::exec::Time;
use crate::pipeline::repeats::Summary;
use crate::pipeline::watch::{Notice, NoticeKind};

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
        of_kind(ALERTS, "alert").as_bytes().to_vec(),
        of_kind(LOG, "finding").as_bytes().to_vec(),
        of_kind(LOG, "gap").as_bytes().to_vec(),
        of_kind(LOG, "heartbeat").as_bytes().to_vec(),
        own(),
        summary(),
    ];
    let samples = (7..).zip(lines).map(|(seq, line)| Sample {
        seq,
        json: stamped(line.trim_ascii_end(), epoch(), seq),
    });
    samples.collect()
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

fn context() -> AlertContext {
    let labels = [("env", "prod"), ("team", "net|ops=1")];
    AlertContext {
        host: HostIdentity {
            name: "gateway".to_owned(),
            id: Some("0f1e2d3c4b5a69788796a5b4c3d2e1f0".to_owned()),
            boot_id: None,
            os: None,
            kernel: None,
        },
        agent_version: "0.1.0".to_owned(),
        labels: labels
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    }
}

fn at(wall_ms: u64) -> Time {
    Time {
        boot_ns: 0,
        wall_ns: wall_ms * 1_000_000,
    }
}

fn own() -> Vec<u8> {
    let notice = Notice {
        sink: "splunk".to_owned(),
        kind: NoticeKind::SinkHeld {
            why: "401 Unauthorized: \"Invalid token\"".to_owned(),
        },
    };
    notice_line(&notice, at(1_795_514_400_000), &context())
}

fn summary() -> Vec<u8> {
    let summary = Summary {
        id: Uuid::from_u128(0x5f1c_0d5e_4f3a_5b2c_8d1e_0a9b_8c7d_6e5f),
        revision: 3,
        state: AlertState::Open,
        what: "accept-opened".into(),
        is_finding: true,
        title: "Firewall Opened by a Rule That Accepts".into(),
        severity: Severity::High,
        dest: "gateway".into(),
        culprit: Some(b"/opt/panel/panel.py".as_slice().into()),
        first_seen: at(1_795_514_400_000),
        last_seen: at(1_795_517_999_500),
        withheld: 41,
        lines: 57,
        ids: vec![Uuid::from_u128(1), Uuid::from_u128(2)],
    };
    shaped_summary(&summary, &context(), Shape::JsonLines)
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
