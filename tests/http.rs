//! Sinks over HTTP, whole: records through `Receiver` to a server that answers as receivers do.

mod connection;
mod elastic;
mod hec;
mod post;
mod transcript;

use std::time::Duration;

use serde_json::Value;
use wallwatch::config::{
    Destination, Endpoint, EventKind, Format, Selection, SinkSettings, TlsSettings,
};
use wallwatch::delivery::sink::{Delivery, Record, Sink, Trouble};
use wallwatch::delivery::sinks::Receiver;
use wallwatch::pipeline::alert::Severity;

/// How to reach `url`, with the patience of a test.
pub(crate) fn endpoint(url: String) -> Endpoint {
    Endpoint {
        url,
        proxy: None,
        tls: TlsSettings::default(),
        timeout: Duration::from_secs(10),
        gzip: true,
        headers: Vec::new(),
    }
}

/// A sink that gets everything.
pub(crate) fn receiver(destination: Destination) -> Receiver {
    Receiver::new(&SinkSettings {
        name: "siem".to_owned(),
        format: Format::Native,
        selection: Selection {
            kinds: EventKind::ALL.to_vec(),
            severity_min: Severity::Informational,
            rules: Vec::new(),
        },
        destination,
    })
}

/// Events with the numbers 1 to `count`, each a revision of its own.
pub(crate) fn records(count: u64) -> Vec<Record> {
    let record = |seq| {
        Record {
        seq,
        json: format!(
            r#"{{"schema":"wallwatch.alert/1","epoch":"e","seq":{seq},"id":"id-{seq}","revision":1,"kind":"alert","severity":"high","last_seen":"2026-11-24T10:00:10.250Z","host":{{"name":"gateway"}},"text":"event {seq}."}}"#
        )
        .into_bytes(),
    }
    };
    (1..=count).map(record).collect()
}

/// What became of records in the end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) delivered: Vec<u64>,
    pub(crate) dead: Vec<u64>,
    pub(crate) troubles: Vec<Trouble>,
}

/// Goes on until each record is delivered or dead, as the sink's thread does but without its pauses.
pub(crate) fn deliver_all(receiver: &mut Receiver, records: &[Record]) -> Told {
    let mut told = Told::default();
    let mut rest = records;
    while !rest.is_empty() {
        let Delivery { delivered, trouble } = receiver.deliver(rest);
        let (done, left) = rest.split_at(delivered);
        told.delivered.extend(done.iter().map(|record| record.seq));
        rest = left;
        if let (Some(Trouble::Poison { .. }), [dead, left @ ..]) = (&trouble, rest) {
            told.dead.push(dead.seq);
            rest = left;
        }
        told.troubles.extend(trouble);
        assert!(told.troubles.len() < 100, "{told:?}");
    }
    told
}

/// Events arrived in the order of their first arrival, each at least once, duplicates with the same content.
pub(crate) fn check_arrived(events: &[Value], expected: impl IntoIterator<Item = u64>) {
    let mut first: Vec<&Value> = Vec::new();
    for event in events {
        let known = first.iter().find(|known| known["id"] == event["id"]);
        match known {
            Some(known) => assert_eq!(known, &event, "a duplicate is another one"),
            None => first.push(event),
        }
    }
    let seqs: Vec<_> = first
        .iter()
        .filter_map(|event| event["seq"].as_u64())
        .collect();
    assert_eq!(seqs, expected.into_iter().collect::<Vec<_>>());
}

pub(crate) fn is_retry(trouble: Option<&Trouble>) -> bool {
    matches!(trouble, Some(Trouble::Retry { .. }))
}

pub(crate) fn why(trouble: Option<&Trouble>) -> &str {
    match trouble {
        Some(Trouble::Retry { why, .. } | Trouble::Hold { why } | Trouble::Poison { why }) => why,
        None => "",
    }
}

/// Of a delivery that waits for somebody.
pub(crate) fn hold(delivery: &Delivery) -> &str {
    let Some(Trouble::Hold { why }) = &delivery.trouble else {
        panic!("{delivery:?}");
    };
    why
}
