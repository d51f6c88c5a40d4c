//! Sinks against the log servers that others made, and against one that misbehaves.
//!
//! Each server runs as the page `agent/docs/sinks/syslog.md` configures it, on ports of the loopback and in a folder of
//! its own. As root these tests run, or fail; for anybody else those whose server is not there are skipped, aloud.

mod daemon;
mod rsyslog;
mod syslog_ng;
mod unruly;

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use wallwatch::config::{
    Address, Destination, EventKind, Format, Selection, SinkSettings, SyslogSettings,
    SyslogTransport, TlsSettings,
};
use wallwatch::delivery::encode::json::passive_line;
use wallwatch::delivery::event::Event;
use wallwatch::delivery::format::translate;
use wallwatch::delivery::sink::{Delivery, Record, Sink, Trouble};
use wallwatch::delivery::sinks::Receiver;
use wallwatch::pipeline::alert::Severity;

use crate::harness::{data, patience};
use daemon::{Daemon, Ports};

/// Longer than any test event, and less than what UDP takes.
const MESSAGE_BYTES_MAX: usize = 60_000;
const EPOCH: &str = "3f2c1d6e-0000-5000-8000-00000000e90c";

fn sink(transport: SyslogTransport, format: Format) -> Receiver {
    sink_with(transport, format, Duration::from_secs(20))
}

fn sink_with(transport: SyslogTransport, format: Format, timeout: Duration) -> Receiver {
    Receiver::new(&SinkSettings {
        name: "siem".to_owned(),
        format,
        selection: Selection {
            kinds: EventKind::ALL.to_vec(),
            severity_min: Severity::Informational,
            rules: Vec::new(),
        },
        destination: Destination::Syslog(SyslogSettings {
            transport,
            facility: 10,
            enterprise_id: 32473,
            message_bytes_max: MESSAGE_BYTES_MAX,
            timeout,
        }),
    })
}

/// Over this transport the server reads what is sent, in each of these formats, and the sink's answer tells that.
fn check_transport(daemon: &Daemon, transport: SyslogTransport, formats: &[Format], answer: &str) {
    let records = records();
    for format in formats {
        let before = daemon.events().len();
        let mut sink = sink(transport.clone(), *format);
        assert_eq!(deliver_all(&mut sink, &records, records.len()), []);
        let events = daemon.wait_for_events(before + records.len());
        let read = events[before..].iter().map(daemon.read).collect();
        check(read, &records, *format);
        let said = sink.answer().unwrap();
        assert!(said.contains(answer), "{said}");
    }
}

/// Over UDP, TCP, and TLS as somebody whom the server's authority has certified.
fn check_network(daemon: &Daemon, formats: &[Format]) {
    let Ports {
        udp: udp_port,
        tcp: tcp_port,
        tls: tls_port,
    } = daemon.ports;
    let trust = daemon.authority.trusted_by_client();
    for (transport, answer) in [
        (udp(udp_port), "UDP tells nothing"),
        (tcp(tcp_port), "confirmed by the peer within"),
        (tls(tls_port, trust), "TLS 1.3"),
    ] {
        check_transport(daemon, transport, formats, answer);
    }
}

fn udp(port: u16) -> SyslogTransport {
    SyslogTransport::Udp {
        address: local(port),
    }
}

fn tcp(port: u16) -> SyslogTransport {
    SyslogTransport::Tcp {
        address: local(port),
    }
}

fn tls(port: u16, tls: TlsSettings) -> SyslogTransport {
    SyslogTransport::Tls {
        address: local(port),
        tls,
        server_name: Some("localhost".to_owned()),
    }
}

fn unix(path: PathBuf) -> SyslogTransport {
    SyslogTransport::Unix { path }
}

fn local(port: u16) -> Address {
    Address {
        host: "127.0.0.1".to_owned(),
        port,
    }
}

/// An event as the store has it.
fn record(seq: u64, mut event: Value) -> Record {
    event["epoch"] = json!(EPOCH);
    event["seq"] = json!(seq);
    let mut json = passive_line(&event).unwrap();
    json.pop();
    Record { seq, json }
}

/// Events of each kind, and one of somebody who chose each text with care.
fn records() -> Vec<Record> {
    let text = std::fs::read_to_string(data().join("explain.log.jsonl")).unwrap();
    let told = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let hostile = "\u{1b}[2J\r\n<0>1 - evil - - - - \"]\\ [x@1 a=\"b\"] \u{202e}\u{feff}é漢\u{7f}\t'%n$(id)\\";
    let chosen = json!({
        "schema": "wallwatch.finding/1", "kind": "finding", "id": "7b1c0d5e-4f3a-5b2c-8d1e-0a9b8c7d6e5f",
        "revision": 3, "severity": "critical", "finding": hostile, "title": hostile, "user": hostile,
        "last_seen": "2026-11-24T10:00:10.123456789Z", "dest": "gateway",
        "changes": [{"text": hostile}], "command_line": hostile.repeat(200),
    });
    told.chain([chosen])
        .zip(1..)
        .map(|(event, seq)| record(seq, event))
        .collect()
}

/// Many events of which each has its number.
fn numbered(count: u64) -> Vec<Record> {
    let event = |seq| {
        let text = "x".repeat((seq * 37 % 900) as usize);
        let event =
            json!({"kind": "heartbeat", "dest": "gateway", "severity": "low", "text": text});
        record(seq, event)
    };
    (1..=count).map(event).collect()
}

/// What a receiver must have read of a message.
#[derive(Debug, PartialEq)]
struct Read {
    priority: u64,
    timestamp: String,
    hostname: String,
    app: String,
    process: String,
    msgid: String,
    sd: Value,
    message: String,
}

/// The same, from the event itself; `sd` as far as it stands in every message.
fn expected(record: &Record, format: Format) -> Read {
    let value: Value = serde_json::from_slice(&record.json).unwrap();
    let event = Event::parse(record).unwrap();
    let severity = match event.severity() {
        Severity::Informational => 6,
        Severity::Low => 5,
        Severity::Medium => 4,
        Severity::High => 3,
        Severity::Critical => 2,
    };
    let time = ["last_seen", "time", "to"]
        .into_iter()
        .find_map(|key| value[key].as_str());
    // The nanoseconds of the event are the microseconds of syslog.
    let timestamp = time.map_or_else(String::new, |time| format!("{}Z", &time[..26]));
    Read {
        priority: 80 + severity,
        timestamp,
        hostname: "gateway".to_owned(),
        app: "wallwatch".to_owned(),
        process: std::process::id().to_string(),
        msgid: value["kind"].as_str().unwrap().to_uppercase(),
        sd: json!({
            "id": event.id(), "revision": event.revision().to_string(), "seq": record.seq.to_string(),
            "epoch": EPOCH, "rule": shown(event.rule()), "severity": event.severity().as_str(),
        }),
        message: String::from_utf8(translate(&event, format, MESSAGE_BYTES_MAX)).unwrap(),
    }
}

/// A text without what acts, as structured data has it.
fn shown(text: &str) -> String {
    let json = passive_line(&text).unwrap();
    let json = std::str::from_utf8(&json).unwrap().trim();
    let text = &json[1..json.len() - 1];
    // What JSON escapes and structured data does in its own way, or writes longer.
    let pairs = [
        ("\\\"", "\""),
        ("\\\\", "\\"),
        ("\\r", "\\u000d"),
        ("\\n", "\\u000a"),
        ("\\t", "\\u0009"),
    ];
    pairs
        .into_iter()
        .fold(text.to_owned(), |text, (json, plain)| {
            text.replace(json, plain)
        })
}

/// Compares what a server read, in order, with what was sent to it.
fn check(read: Vec<Read>, records: &[Record], format: Format) {
    assert_eq!(read.len(), records.len());
    for (mut read, record) in read.into_iter().zip(records) {
        let expected = expected(record, format);
        let all = read.sd.as_object().unwrap();
        let compared = expected.sd.as_object().unwrap();
        let known = all.iter().filter(|(name, _)| compared.contains_key(*name));
        read.sd = known
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        assert_eq!(read, expected);
    }
}

/// Delivers everything, as the agent does: what was not delivered is tried again.
fn deliver_all(sink: &mut Receiver, records: &[Record], batch: usize) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    let mut rest = records;
    let pause = Duration::from_millis(50);
    for _ in 0..patience().as_millis() / pause.as_millis() {
        if rest.is_empty() {
            return troubles;
        }
        let Delivery { delivered, trouble } = sink.deliver(&rest[..batch.min(rest.len())]);
        rest = &rest[delivered..];
        if let Some(trouble) = trouble {
            troubles.push(trouble);
            thread::sleep(pause);
        }
    }
    panic!("{} events are left: {troubles:?}", rest.len());
}

/// Asserts that every event came, and that each came first in its turn.
fn all_in_order(seqs: &[u64], count: u64) {
    let mut next = 1;
    for &seq in seqs {
        assert!(seq <= next, "{seq} came before {next}");
        if seq == next {
            next += 1;
        }
    }
    assert_eq!(next, count + 1);
}

fn held(delivery: &Delivery) -> &str {
    match &delivery.trouble {
        Some(Trouble::Hold { why }) if delivery.delivered == 0 => why,
        Some(Trouble::Hold { .. } | Trouble::Retry { .. } | Trouble::Poison { .. }) | None => {
            panic!("{delivery:?}")
        }
    }
}

fn retried(delivery: &Delivery) -> &str {
    match &delivery.trouble {
        Some(Trouble::Retry { why, .. }) => why,
        Some(Trouble::Hold { .. } | Trouble::Poison { .. }) | None => panic!("{delivery:?}"),
    }
}
