//! `ExportLogsServiceRequest` in protobuf's JSON: keys in camel case, 64-bit numbers as texts.
//!
//! ```text
//! resourceLogs  one for each host: service.name, host.name, host.id
//!   scopeLogs   wallwatch and its version
//!     logRecords  one for each event
//! ```

use serde_json::{Value, json};

use crate::delivery::sinks::Message;
use crate::pipeline::alert::Severity;

/// One event as a log record, and of which host it is.
#[derive(Clone, Debug)]
pub(super) struct Log {
    resource: Value,
    pub(super) record: String,
}

impl Log {
    pub(super) fn of(message: &Message<'_>) -> Self {
        Self {
            resource: resource(message),
            record: record(message).to_string(),
        }
    }
}

pub(super) fn encode(logs: &[Log]) -> Vec<u8> {
    let scope = json!({"name": "wallwatch", "version": env!("CARGO_PKG_VERSION")});
    let of_hosts = logs.chunk_by(|log, next| log.resource == next.resource);
    let of_hosts = of_hosts.map(|logs| {
        let records: Vec<_> = logs.iter().map(|log| log.record.as_str()).collect();
        let resource = logs.first().map(|log| &log.resource);
        format!(
            r#"{{"resource":{},"scopeLogs":[{{"scope":{scope},"logRecords":[{}]}}]}}"#,
            json!(resource),
            records.join(",")
        )
    });
    let of_hosts: Vec<_> = of_hosts.collect();
    format!(r#"{{"resourceLogs":[{}]}}"#, of_hosts.join(",")).into_bytes()
}

fn resource(message: &Message<'_>) -> Value {
    let event = &message.event;
    let mut attributes = vec![
        text("service.name", "wallwatch"),
        text("host.name", event.host()),
    ];
    let optional = [
        ("service.version", "/agent/version"),
        ("host.id", "/host/id"),
    ];
    let optional = optional
        .into_iter()
        .filter_map(|(key, pointer)| Some(text(key, event.text(pointer)?)));
    attributes.extend(optional);
    json!({"attributes": attributes})
}

fn record(message: &Message<'_>) -> Value {
    let event = &message.event;
    let time = event.time_ns().to_string();
    let body = message.body();
    json!({
        "timeUnixNano": time,
        "observedTimeUnixNano": time,
        "severityNumber": severity_number(event.severity()),
        "severityText": event.severity().as_str(),
        "eventName": format!("wallwatch.{}", event.kind().as_str()),
        "body": {"stringValue": String::from_utf8_lossy(&body)},
        "attributes": [
            // The same for whatever is sent again.
            text("log.record.uid", &format!("{}.{}", event.id(), event.revision())),
            text("wallwatch.id", &event.id()),
            number("wallwatch.revision", event.revision()),
            text("wallwatch.epoch", event.epoch()),
            number("wallwatch.seq", event.seq()),
            text("wallwatch.rule", event.rule()),
            text("wallwatch.title", event.title()),
        ],
    })
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn number(key: &str, value: u64) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}

/// <https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber>: INFO, INFO2, WARN, ERROR, FATAL.
fn severity_number(severity: Severity) -> u8 {
    match severity {
        Severity::Informational => 9,
        Severity::Low => 10,
        Severity::Medium => 13,
        Severity::High => 17,
        Severity::Critical => 21,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Format;
    use crate::delivery::event::Event;
    use crate::delivery::sink::Record;

    fn record(json: &str) -> Record {
        Record {
            seq: 7,
            json: json.as_bytes().to_vec(),
        }
    }

    fn encoded(records: &[Record]) -> Value {
        let logs = records.iter().map(|record| {
            let event = Event::parse(record).unwrap();
            let format = Format::Native;
            Log::of(&Message { event, format })
        });
        let logs: Vec<_> = logs.collect();
        serde_json::from_slice(&encode(&logs)).unwrap()
    }

    #[test]
    fn an_event_becomes_a_log_record_of_its_host() {
        let alert = r#"{"schema":"wallwatch.alert/1","epoch":"e","seq":7,"id":"i","revision":2,"kind":"alert","severity":"high","last_seen":"2026-11-24T10:00:10.000000001Z","rule":{"name":"R"},"host":{"name":"gateway","id":"0f1e"},"agent":{"version":"0.1.0"}}"#;
        let request = encoded(&[record(alert)]);
        let expected = json!({"resourceLogs": [{
            "resource": {"attributes": [
                {"key": "service.name", "value": {"stringValue": "wallwatch"}},
                {"key": "host.name", "value": {"stringValue": "gateway"}},
                {"key": "service.version", "value": {"stringValue": "0.1.0"}},
                {"key": "host.id", "value": {"stringValue": "0f1e"}},
            ]},
            "scopeLogs": [{
                "scope": {"name": "wallwatch", "version": env!("CARGO_PKG_VERSION")},
                "logRecords": [{
                    "timeUnixNano": "1795514410000000001",
                    "observedTimeUnixNano": "1795514410000000001",
                    "severityNumber": 17,
                    "severityText": "high",
                    "eventName": "wallwatch.alert",
                    "body": {"stringValue": alert},
                    "attributes": [
                        {"key": "log.record.uid", "value": {"stringValue": "i.2"}},
                        {"key": "wallwatch.id", "value": {"stringValue": "i"}},
                        {"key": "wallwatch.revision", "value": {"intValue": "2"}},
                        {"key": "wallwatch.epoch", "value": {"stringValue": "e"}},
                        {"key": "wallwatch.seq", "value": {"intValue": "7"}},
                        {"key": "wallwatch.rule", "value": {"stringValue": "R"}},
                        {"key": "wallwatch.title", "value": {"stringValue": "R"}},
                    ],
                }],
            }],
        }]});
        assert_eq!(request, expected);
    }

    #[test]
    fn events_of_one_host_stand_together_and_a_renamed_host_is_another() {
        let beat = |host: &str| {
            record(&format!(
                r#"{{"kind":"heartbeat","epoch":"e","host":{{"name":"{host}"}}}}"#
            ))
        };
        let request = encoded(&[beat("a"), beat("a"), beat("b")]);
        let count = |host: usize| {
            let records = &request["resourceLogs"][host]["scopeLogs"][0]["logRecords"];
            records.as_array().unwrap().len()
        };
        assert_eq!((count(0), count(1)), (2, 1));
        let names = request["resourceLogs"].as_array().unwrap().len();
        assert_eq!(names, 2);
    }
}
