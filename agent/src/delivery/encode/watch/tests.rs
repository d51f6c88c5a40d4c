use serde_json::{Value, json};
use uuid::Uuid;

use super::super::{HostIdentity, Shape, heartbeat_line, shaped_change_gap};
use super::*;
use crate::config::EventKind;
use crate::delivery::encode::schema::{SCHEMA, assert_valid, fields};
use crate::pipeline::exec::Time;
use crate::pipeline::watch::{AgentState, SinkBooks, StoreBooks};

fn context() -> AlertContext {
    AlertContext {
        host: HostIdentity {
            name: "web-1".to_owned(),
            id: None,
            boot_id: None,
            os: None,
            kernel: None,
        },
        agent_version: "0.1.0".to_owned(),
        labels: BTreeMap::new(),
    }
}

fn at(wall_s: u64) -> Time {
    Time {
        boot_ns: 0,
        wall_ns: wall_s * 1_000_000_000,
    }
}

fn gap() -> ChangeGap {
    ChangeGap {
        number: 3,
        from: at(1),
        to: at(2),
        overruns: 4,
    }
}

#[test]
fn a_gap_of_changes_is_a_gap_event_with_its_reason() {
    let line = shaped_change_gap(&gap(), &context(), Shape::JsonLines);
    let gap: Value = serde_json::from_slice(&line).unwrap();
    assert_valid(&gap);
    let expected = [
        ("schema", json!("wallwatch.gap/1")),
        ("kind", json!("gap")),
        ("number", json!(3)),
        ("severity", json!("high")),
        ("why", json!("netfilter-overrun")),
        ("overruns", json!(4)),
    ];
    for (field, value) in expected {
        assert_eq!(gap[field], value, "{field}");
    }
    assert!(gap["from"].as_str() < gap["to"].as_str(), "{gap}");
    assert_eq!(gap["host"]["name"], "web-1");
}

#[test]
fn a_person_reads_what_was_lost_and_why() {
    let page = shaped_change_gap(&gap(), &context(), Shape::Human);
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("GAP: changes of nf_tables lost"), "{page}");
    assert!(page.contains("netfilter-overrun"), "{page}");
}

fn store_books() -> StoreBooks {
    StoreBooks {
        epoch: Uuid::from_u128(7),
        seq: 1,
        durable: true,
        degraded: false,
        bytes: 2,
        held: 3,
        undelivered: 0,
        refused: 4,
        unstored: 5,
        damaged: 6,
        torn: 7,
        segments_unreadable: 8,
        segments_removed: 9,
        faults: 10,
        sinks: vec![SinkBooks {
            name: "file".to_owned(),
            backlog: 11,
            delivered: 12,
            dropped: 13,
            damaged: 14,
            dead_letters: 15,
            in_trouble: true,
        }],
    }
}

fn heartbeat(tamper: Option<TamperCounters>, netfilter: Option<NetfilterBooks>) -> Value {
    let heartbeat = Heartbeat {
        number: 1,
        repeats_withheld: 0,
        suppressed: BTreeMap::from([("panel".to_owned(), 2), ("idle".to_owned(), 0)]),
        state: AgentState::Watching,
        time: at(2),
        since: at(1),
        interval_s: Some(60),
        sight: String::new(),
        execs_seen: 0,
        execs_received: 0,
        losses: Losses::default(),
        forks_seen: 0,
        exits_seen: 0,
        lineage_lost: 0,
        argv_broken: 0,
        paths_unknown: 0,
        parent_paths_unknown: 0,
        failed_execs: None,
        processes: 0,
        processes_dropped: 0,
        groups_evicted: 0,
        tamper,
        netfilter,
        xtables: netfilter.map(|_| XtablesBooks {
            looks: 14,
            failed: 15,
            changed: 16,
            tables: 17,
            unreadable: 18,
            notices_refused: 19,
        }),
        gaps: 0,
        alerts: 0,
        lines_lost: 0,
        store: store_books(),
    };
    let event = serde_json::from_slice(&heartbeat_line(&heartbeat, &context())).unwrap();
    assert_valid(&event);
    event
}

#[test]
fn a_heartbeat_has_every_field_of_its_schema() {
    let optional = ["epoch", "seq", "labels", "shortened"];
    let line = heartbeat(None, None);
    for field in fields(EventKind::Heartbeat) {
        let is_there = line.get(field).is_some();
        assert_eq!(is_there, !optional.contains(&field), "{field}");
    }
    let nested = |object: &str| {
        let properties = &SCHEMA["$defs"]["heartbeat"]["properties"][object]["properties"];
        let properties = properties.as_object().unwrap().keys();
        properties.map(String::as_str).collect::<Vec<_>>()
    };
    for object in ["sensor", "store"] {
        for field in nested(object) {
            assert!(line[object].get(field).is_some(), "{object}.{field}");
        }
    }
}

#[test]
fn a_heartbeat_has_the_books_of_the_tamper_layer() {
    let tamper = TamperCounters {
        commands: 1,
        queries: 2,
        rejected: 3,
        transactions: 4,
        groups_dropped: 5,
        hashes_refused: 6,
        edits: 13,
    };
    let netfilter = NetfilterBooks {
        datagrams: 6,
        refused: 7,
        overruns: 8,
        transactions: 9,
        malformed: 10,
        omitted: 11,
        namespaces_forgotten: 12,
    };
    let line = heartbeat(Some(tamper), Some(netfilter));
    let expected = json!({
        "commands": 1, "queries": 2, "rejected": 3, "transactions": 4, "groups_dropped": 5, "hashes_refused": 6, "edits": 13,
    });
    assert_eq!(line["tamper"], expected);
    let expected = json!({
        "datagrams": 6, "refused": 7, "overruns": 8, "transactions": 9, "malformed": 10,
        "omitted": 11, "namespaces_forgotten": 12,
    });
    assert_eq!(line["netfilter"], expected);
    let expected = json!({
        "looks": 14, "failed": 15, "changed": 16, "tables": 17, "unreadable": 18,
        "notices_refused": 19,
    });
    assert_eq!(line["xtables"], expected);
    let line = heartbeat(None, None);
    let expected = json!({
        "epoch": "00000000-0000-0000-0000-000000000007", "seq": 1, "durable": true, "degraded": false,
        "bytes": 2, "held": 3, "refused": 4, "unstored": 5, "damaged": 6, "torn": 7,
        "segments_unreadable": 8, "segments_removed": 9, "faults": 10,
        "sinks": [{
            "name": "file", "backlog": 11, "delivered": 12, "dropped": 13, "damaged": 14,
            "dead_letters": 15, "in_trouble": true,
        }],
    });
    assert_eq!(line["store"], expected);
    assert_eq!(
        (&line["tamper"], &line["netfilter"], &line["xtables"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
}
