use std::path::Path;

use proptest::prelude::*;
use serde_json::json;
use syslog_loose::{Protocol, Variant, parse_message};

use super::*;
use crate::config::Format;
use crate::delivery::sink::Record;

const ENVELOPE: Envelope = Envelope {
    facility: 10,
    enterprise_id: 32473,
    process_id: 4711,
};

fn message(record: &Record) -> Message<'_> {
    Message {
        event: Event::parse(record).unwrap(),
        format: Format::Native,
    }
}

fn wrapped(record: &Record, bytes_max: usize) -> Vec<u8> {
    ENVELOPE.wrap(&message(record), bytes_max)
}

fn record(seq: u64, value: &Value) -> Record {
    let json = serde_json::to_vec(value).unwrap();
    Record { seq, json }
}

/// The parts of a message by the grammar of RFC 5424, section 6, and nothing that deviates from it.
#[derive(Debug, PartialEq, Eq)]
struct Parts {
    /// Up to the message's name.
    header: Vec<String>,
    sd_id: String,
    parameters: Vec<(String, String)>,
    body: Vec<u8>,
}

fn parse(message: &[u8]) -> Parts {
    let text = String::from_utf8_lossy(message);
    let mut words = text.splitn(7, ' ');
    let header: Vec<String> = words.by_ref().take(6).map(str::to_owned).collect();
    for part in &header {
        assert!(part.bytes().all(|byte| byte.is_ascii_graphic()), "{part}");
    }
    let rest = words.next().unwrap().strip_prefix('[').unwrap();
    let id_end = rest.find([' ', ']']).unwrap();
    let (sd_id, mut rest) = rest.split_at(id_end);
    let mut parameters = Vec::new();
    while let Some(parameter) = rest.strip_prefix(' ') {
        let (name, value) = parameter.split_once("=\"").unwrap();
        assert!((1..=32).contains(&name.len()), "{name}");
        let (value, end) = unescaped(value);
        parameters.push((name.to_owned(), value));
        rest = end;
    }
    let head_bytes = text.len() - rest.strip_prefix("] ").unwrap().len();
    Parts {
        header,
        sd_id: sd_id.to_owned(),
        parameters,
        body: message[head_bytes..].to_vec(),
    }
}

/// A value up to its quote, and what stands behind that.
fn unescaped(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next().unwrap() {
            '"' => return (value, chars.as_str()),
            '\\' => {
                let escaped = chars.next().unwrap();
                assert!(['"', '\\', ']'].contains(&escaped), "{escaped:?}");
                value.push(escaped);
            }
            bare => {
                assert_ne!(bare, ']', "unescaped");
                value.push(bare);
            }
        }
    }
}

fn golden() -> Vec<Record> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/explain.log.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let records: Vec<Record> = text
        .lines()
        .zip(1..)
        .map(|(line, seq)| Record {
            seq,
            json: line.as_bytes().to_vec(),
        })
        .collect();
    assert!(records.len() >= 8);
    records
}

#[test]
fn the_envelope_of_each_kind() {
    let mut shown = String::new();
    let mut seen = Vec::new();
    for record in golden() {
        let kind = Event::parse(&record).unwrap().kind();
        if seen.contains(&kind) {
            continue;
        }
        seen.push(kind);
        let message = wrapped(&record, 1 << 17);
        let head = message.strip_suffix(&record.json[..]).unwrap();
        shown.push_str(std::str::from_utf8(head).unwrap().trim_end());
        shown.push('\n');
    }
    expect_test::expect![[r#"
        <86>1 2026-11-24T10:00:00.000000Z gateway wallwatch 4711 HEARTBEAT [wallwatch@32473 id=".1" revision="0" seq="1" epoch="" rule="heartbeat" severity="informational"]
        <82>1 2026-11-24T10:00:10.000000Z gateway wallwatch 4711 FINDING [wallwatch@32473 id="7b1c0d5e-4f3a-5b2c-8d1e-0a9b8c7d6e5f" revision="0" seq="2" epoch="" rule="redirect-added" severity="critical" user="www-data" technique="T1686,T1562.004" first="2026-11-24T10:00:10.000000000Z"]
        <83>1 2026-11-24T10:00:12.000000Z gateway wallwatch 4711 GAP [wallwatch@32473 id=".3" revision="0" seq="3" epoch="" rule="gap" severity="high"]
        <84>1 2026-11-24T10:00:31.000000Z gateway wallwatch 4711 ALERT [wallwatch@32473 id="7b1c0d5e-9000-5000-8000-00000000beef" revision="0" seq="6" epoch="" rule="Linux Iptables Firewall Modification" severity="medium" ports="3269,636,989" user="www-data" technique="T1562.004,T1686" first="2026-11-24T10:00:30.000000000Z" count="4" ppid="901" ppath="/tmp/.x/hook"]
    "#]].assert_eq(&shown);
}

#[test]
fn a_parser_of_others_reads_the_same() {
    for record in golden() {
        let bytes = wrapped(&record, 1 << 17);
        let text = std::str::from_utf8(&bytes).unwrap();
        let message = parse_message(text, Variant::RFC5424);
        assert_eq!(message.protocol, Protocol::RFC5424(1));
        let parts = parse(&bytes);
        assert_eq!(message.hostname, Some(&*parts.header[2]));
        assert_eq!(message.appname, Some("wallwatch"));
        assert_eq!(message.msgid, Some(&*parts.header[5]));
        assert_eq!(message.msg.as_bytes(), parts.body);
        let [element] = &message.structured_data[..] else {
            panic!("{message:?}");
        };
        assert_eq!(element.id, "wallwatch@32473");
        let read = element
            .params()
            .map(|(name, value)| (name.to_string(), value));
        assert_eq!(read.collect::<Vec<_>>(), parts.parameters);
    }
}

#[test]
fn a_time_that_is_not_known_and_a_name_that_is_none_are_left_out() {
    let unknown = record(1, &json!({"kind": "heartbeat", "dest": ""}));
    let parts = parse(&wrapped(&unknown, 1024));
    assert_eq!(parts.header[..3], ["<86>1", "-", "-"]);
    assert_eq!(hostname("a b\u{e9}\n", 255), "a?b??");
    assert_eq!(hostname(&"x".repeat(300), 255).len(), 255);
    assert_eq!(
        timestamp(1_795_514_410_123_456_789),
        "2026-11-24T10:00:10.123456Z"
    );
    assert_eq!(timestamp(u64::MAX), "2554-07-21T23:34:33.709551Z");
}

#[test]
fn what_tells_an_event_apart_outlives_every_limit() {
    let long = "é\"\\]".repeat(1000);
    let record = record(
        u64::MAX,
        &json!({
            "kind": "alert", "id": "7b1c0d5e-9000-5000-8000-00000000beef", "revision": u64::MAX,
            "epoch": "00000000-0000-5000-8000-000000000901", "dest": "h".repeat(300), "user": long,
            "rule": {"name": long}, "ports": vec![long.clone(); 50], "parent_process_path": long,
        }),
    );
    for bytes_max in [1024, 2048, 8192, 131_072] {
        let message = wrapped(&record, bytes_max);
        assert!(message.len() <= bytes_max, "{bytes_max}: {}", message.len());
        let parts = parse(&message);
        let keys: Vec<&str> = parts.parameters[..4]
            .iter()
            .map(|(_, value)| &**value)
            .collect();
        assert_eq!(
            keys,
            [
                "7b1c0d5e-9000-5000-8000-00000000beef",
                "18446744073709551615",
                "18446744073709551615",
                "00000000-0000-5000-8000-000000000901"
            ]
        );
        let room = bytes_max - (message.len() - parts.body.len());
        assert!(room >= 512, "{bytes_max}: {room}");
        assert!(
            parts.parameters[4..]
                .iter()
                .all(|(_, value)| value.len() <= 256)
        );
    }
    // The head of a long value, and a mark.
    let parts = parse(&wrapped(&record, 8192));
    let (name, rule) = &parts.parameters[4];
    assert_eq!(name, "rule");
    let kept = rule.strip_suffix('…').unwrap();
    assert!(long.starts_with(kept) && kept.len() > 100, "{rule}");
}

proptest! {
    #[test]
    fn no_text_of_an_event_leaves_its_place(
        texts in prop::collection::vec(any::<String>(), 6),
        ports in prop::collection::vec(any::<String>(), 0..5),
        bytes_max in 1024_usize..20_000,
    ) {
        let [id, epoch, host, user, rule, path] = &texts[..] else { unreachable!() };
        let record = record(9, &json!({
            "kind": "finding", "id": id, "epoch": epoch, "dest": host, "user": user, "finding": rule,
            "ports": ports, "parent_process_path": path, "severity": "critical",
        }));
        let message = wrapped(&record, bytes_max);
        prop_assert!(message.len() <= bytes_max);
        let parts = parse(&message);
        prop_assert_eq!(&parts.header[0], "<82>1");
        prop_assert_eq!(&parts.sd_id, "wallwatch@32473");
        for (name, value) in &parts.parameters {
            let sent = match &**name {
                "id" => id.clone(),
                "epoch" => epoch.clone(),
                "user" => user.clone(),
                "rule" => rule.clone(),
                "ppath" => path.clone(),
                "ports" => ports.join(","),
                "revision" => "0".to_owned(),
                "seq" => "9".to_owned(),
                "severity" => "critical".to_owned(),
                other => panic!("{other}"),
            };
            let sent = plain(&sent);
            let head = value.strip_suffix(CUT).filter(|_| *value != sent);
            prop_assert!(sent.starts_with(head.unwrap_or(value)), "{}: {}", name, value);
            prop_assert!(head.is_some() || *value == sent, "{}: {}", name, value);
        }
        let head_bytes = message.len() - parts.body.len();
        let room = bytes_max - head_bytes;
        prop_assert!(room >= 512);
        prop_assert_eq!(parts.body, self::message(&record).body_within(room));
    }
}
