//! One event as HEC wants it: what Splunk indexes it under, and the event itself.

use serde::Serialize;

use crate::config::HecSettings;
use crate::delivery::sinks::Message;

const NS_PER_MS: u64 = 1_000_000;

/// An event and its envelope, encoded but for the index.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    /// Without the brace at its end.
    head: Vec<u8>,
    index: Vec<u8>,
    event: Vec<u8>,
}

#[derive(Serialize)]
struct Head<'a> {
    /// Seconds since 1970. Without it Splunk takes the time at which it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<f64>,
    host: &'a str,
    source: &'a str,
    sourcetype: &'a str,
}

impl Envelope {
    pub(super) fn of(message: &Message<'_>, settings: &HecSettings) -> Self {
        let event = &message.event;
        let head = Head {
            // To the millisecond, which is exact enough in 53 bits.
            time: Some(event.time_ns() / NS_PER_MS)
                .filter(|ms| *ms > 0)
                .map(|ms| ms as f64 / 1000.0),
            host: event.host(),
            source: &settings.source,
            sourcetype: &settings.sourcetype,
        };
        let mut head = serde_json::to_vec(&head).expect("texts and a finite number have a JSON");
        head.pop();
        let index = settings.index.as_ref();
        let index = index.map(|index| format!(r#","index":{}"#, serde_json::json!(index)));
        Self {
            head,
            index: index.unwrap_or_default().into_bytes(),
            event: message.body(),
        }
    }

    /// Without what JSON needs around it.
    pub(super) fn bytes(&self) -> usize {
        self.head.len() + self.index.len() + self.event.len()
    }

    pub(super) fn encode(&self, with_index: bool) -> Vec<u8> {
        let Self { head, index, event } = self;
        let index = if with_index { &**index } else { b"" };
        [head, index, br#","event":"#, event, b"}"].concat()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::tests::settings;
    use super::*;
    use crate::config::Format;
    use crate::delivery::event::Event;
    use crate::delivery::sink::Record;

    fn encoded(json: &str, settings: &HecSettings, with_index: bool) -> String {
        let record = Record {
            seq: 7,
            json: json.as_bytes().to_vec(),
        };
        let event = Event::parse(&record).unwrap();
        let format = Format::Native;
        let envelope = Envelope::of(&Message { event, format }, settings);
        String::from_utf8(envelope.encode(with_index)).unwrap()
    }

    const ALERT: &str = r#"{"kind":"alert","last_seen":"2026-11-24T10:00:10.123456789Z","host":{"name":"gate\"way"}}"#;

    #[test]
    fn an_envelope_has_time_to_the_millisecond_and_the_event_as_an_object() {
        let settings = HecSettings {
            index: Some("a\"b".to_owned()),
            ..settings()
        };
        let head = r#"{"time":1795514410.123,"host":"gate\"way","source":"wallwatch","sourcetype":"wallwatch:alert""#;
        let expected = format!(r#"{head},"index":"a\"b","event":{ALERT}}}"#);
        assert_eq!(encoded(ALERT, &settings, true), expected);
        let expected = format!(r#"{head},"event":{ALERT}}}"#);
        assert_eq!(encoded(ALERT, &settings, false), expected);
    }

    #[test]
    fn an_event_without_a_time_gets_that_of_its_arrival() {
        let envelope = encoded(r#"{"kind":"self"}"#, &settings(), true);
        let envelope: Value = serde_json::from_str(&envelope).unwrap();
        assert_eq!((envelope.get("time"), envelope.get("index")), (None, None));
        assert_eq!(envelope["host"], "unknown");
    }
}
