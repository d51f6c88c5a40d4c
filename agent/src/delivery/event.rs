//! An event of the store, read back: what formats translate and transports put on the envelope.

use jiff::Timestamp;
use serde_json::Value;
use thiserror::Error;

use super::sink::Record;
use crate::config::EventKind;
use crate::pipeline::alert::Severity;

/// Why a record is no event of this version.
#[derive(Debug, Error)]
pub enum NoEvent {
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("`kind` is none of this version's")]
    Kind,
}

/// One event; its fields are those of the native JSON.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    record: &'a Record,
    value: Value,
    kind: EventKind,
}

impl<'a> Event<'a> {
    pub fn parse(record: &'a Record) -> Result<Self, NoEvent> {
        let value: Value = serde_json::from_slice(&record.json)?;
        let word = value["kind"].as_str().unwrap_or_default();
        let kind = EventKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or(NoEvent::Kind)?;
        Ok(Self {
            record,
            value,
            kind,
        })
    }

    /// The same event with other fields, as when they are shortened.
    pub(super) fn with_value(&self, value: Value) -> Self {
        Self {
            record: self.record,
            value,
            kind: self.kind,
        }
    }

    /// The native JSON, as it is stored.
    pub fn native(&self) -> &'a [u8] {
        &self.record.json
    }

    pub fn value(&self) -> &Value {
        &self.value
    }

    pub fn kind(&self) -> EventKind {
        self.kind
    }

    /// Unique among all events of one host; an alert keeps it from revision to revision. Events without an id of
    /// their own are known by their place in the store, `EPOCH.SEQ`.
    pub fn id(&self) -> String {
        match self.text("/id") {
            Some(id) => id.to_owned(),
            None => format!("{}.{}", self.epoch(), self.seq()),
        }
    }

    pub fn revision(&self) -> u64 {
        self.value["revision"].as_u64().unwrap_or(0)
    }

    pub fn epoch(&self) -> &str {
        self.text("/epoch").unwrap_or_default()
    }

    pub fn seq(&self) -> u64 {
        self.record.seq
    }

    pub fn severity(&self) -> Severity {
        let word = self.text("/severity").unwrap_or_default();
        let known = Severity::ALL.into_iter();
        let mut known = known.filter(|severity| severity.as_str() == word);
        known.next().unwrap_or(Severity::Informational)
    }

    /// When it happened, or ended: nanoseconds since 1970, UTC.
    pub fn time_ns(&self) -> u64 {
        let times = ["/last_seen", "/time", "/to"];
        let time = times.into_iter().find_map(|pointer| self.time(pointer));
        time.unwrap_or(0)
    }

    /// A time that the event has at that place.
    pub fn time(&self, pointer: &str) -> Option<u64> {
        let time: Timestamp = self.text(pointer)?.parse().ok()?;
        u64::try_from(time.as_nanosecond()).ok()
    }

    /// The name under which the host reports.
    pub fn host(&self) -> &str {
        let names = ["/host/name", "/dest"];
        let name = names.into_iter().find_map(|pointer| self.text(pointer));
        name.unwrap_or("unknown")
    }

    /// What it was found by: the name of a rule, the word of a finding; else the kind.
    pub fn rule(&self) -> &str {
        let rules = ["/rule/name", "/finding", "/event"];
        let rule = rules.into_iter().find_map(|pointer| self.text(pointer));
        rule.unwrap_or(self.kind.as_str())
    }

    /// What happened, in a few words.
    pub fn title(&self) -> &str {
        let titles = ["/title", "/rule/name", "/text"];
        let title = titles.into_iter().find_map(|pointer| self.text(pointer));
        title.unwrap_or(match self.kind {
            EventKind::Alert => "Alert",
            EventKind::Finding => "Finding",
            EventKind::Summary => "More of the same",
            EventKind::Gap => "Gap in what was seen",
            EventKind::Heartbeat => "Heartbeat",
            EventKind::Own => "wallwatch itself",
        })
    }

    /// A text of the event, by JSON pointer (RFC 6901).
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.value.pointer(pointer)?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(json: &str) -> Record {
        Record {
            seq: 7,
            json: json.as_bytes().to_vec(),
        }
    }

    #[test]
    fn an_event_knows_what_an_envelope_needs() {
        let alert = record(
            r#"{"schema":"wallwatch.alert/1","epoch":"e","seq":7,"id":"i","revision":2,"kind":"alert","severity":"high","last_seen":"2026-11-24T10:00:10.000000001Z","rule":{"name":"R"},"host":{"name":"gateway"}}"#,
        );
        let event = Event::parse(&alert).unwrap();
        assert_eq!(
            (event.id(), event.revision(), event.seq()),
            ("i".to_owned(), 2, 7)
        );
        assert_eq!(event.severity(), Severity::High);
        assert_eq!(event.time_ns(), 1_795_514_410_000_000_001);
        assert_eq!(
            (event.host(), event.rule(), event.title()),
            ("gateway", "R", "R")
        );
        let beat = record(r#"{"epoch":"e","kind":"heartbeat"}"#);
        let event = Event::parse(&beat).unwrap();
        assert_eq!((event.id(), event.title()), ("e.7".to_owned(), "Heartbeat"));
        assert_eq!(event.severity(), Severity::Informational);
    }

    #[test]
    fn what_is_no_event_is_named() {
        for (json, why) in [
            ("{", "not JSON"),
            ("[]", "`kind` is none"),
            (r#"{"kind":"other"}"#, "`kind` is none"),
        ] {
            let record = record(json);
            let error = Event::parse(&record).unwrap_err().to_string();
            assert!(error.starts_with(why), "{json}: {error}");
        }
    }
}
