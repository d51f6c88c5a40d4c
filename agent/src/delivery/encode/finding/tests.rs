use std::sync::Arc;

use expect_test::expect;
use serde_json::Value;

use crate::delivery::encode::json::LINE_BYTES_MAX;
use crate::delivery::encode::schema::assert_valid;
use crate::delivery::encode::{HostIdentity, Shape, shaped_finding};
use crate::pipeline::alert::{AlertState, Severity};
use crate::pipeline::exec::{ProcessKey, Time};
use crate::pipeline::firewall::edit::EditKind;
use crate::pipeline::firewall::finding::{FindingKind, Reason};

use super::*;

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

/// A finding of `edits` edits of which `listed` are listed, each of the same path.
fn edited(path: &[u8], edits: u64, listed: usize) -> Finding {
    let time = Time {
        boot_ns: 5,
        wall_ns: 1_795_488_043_803_000_000,
    };
    let edit = EditEvidence {
        time,
        process: Some(ProcessKey {
            tgid: 42,
            start_ns: 7,
        }),
        exe: Some(b"/usr/bin/sed".as_slice().into()),
        path: path.to_vec(),
        what: EditKind::Renamed,
    };
    Finding {
        id: Uuid::from_u128(7),
        revision: 0,
        state: AlertState::Open,
        kind: FindingKind::ConfigEdited,
        severity: Severity::Medium,
        risk_score: 40,
        reasons: vec![Reason::ActorUnknown],
        first_seen: time,
        last_seen: time,
        dest: Some(Arc::from("web-1")),
        user: None,
        origin: Origin::unknown(),
        asked: 0,
        made: 0,
        changes: Vec::new(),
        edited: edits,
        edits: vec![edit; listed],
        execs: Vec::new(),
        execs_omitted: 0,
        lineage: Vec::new(),
        redacted: 0,
    }
}

fn line(finding: &Finding) -> Value {
    let line = shaped_finding(finding, &context(), Shape::JsonLines);
    assert!(line.len() <= LINE_BYTES_MAX);
    let event = serde_json::from_slice(&line).unwrap();
    assert_valid(&event);
    event
}

#[test]
fn an_edit_is_written_with_its_file_and_who_made_it() {
    let line = line(&edited(b"/etc/ufw/user\xff.rules", 1, 1));
    assert_eq!(line["finding"], "config-edited");
    assert_eq!(line["title"], "Firewall Configuration Edited");
    assert_eq!(line["mitre_technique_id"][0], "T1686");
    assert_eq!(line["edits_omitted"], 0);
    let edits = line["edits"].to_string();
    expect![[r#"[{"executable":"/usr/bin/sed","path":"/etc/ufw/user\\xff.rules","pid":42,"time":"2026-11-24T02:40:43.803000000Z","what":"renamed"}]"#]]
        .assert_eq(&edits);
}

#[test]
fn edits_beyond_the_list_are_counted() {
    assert_eq!(
        line(&edited(b"/etc/sysctl.conf", 100, 32))["edits_omitted"],
        68
    );
}

#[test]
fn the_longest_paths_do_not_break_the_bound_of_a_line() {
    let line = line(&edited(&[0xff; 4096], 32, 32));
    let shown = line["edits"].as_array().unwrap().len() as u64;
    assert_eq!(shown + line["edits_omitted"].as_u64().unwrap(), 32);
    assert!(shown > 0);
}

#[test]
fn a_person_reads_which_file_and_who() {
    let page = shaped_finding(&edited(b"/etc/ufw/\x1b[2J", 6, 6), &context(), Shape::Human);
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("0 asked for, 0 made, 6 edits"), "{page}");
    assert!(page.contains("by /usr/bin/sed (42)"), "{page}");
    assert!(page.contains("and 2 more"), "{page}");
    assert!(!page.contains('\x1b'), "{page}");
}
