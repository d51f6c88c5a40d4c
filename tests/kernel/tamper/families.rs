//! What malware was reported to do to firewalls, done by real tools past a running agent.

mod known;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::page::check_table;
use super::{can_walk, is_own, run_apart};
use crate::harness::{Agent, Stopped, in_guest, stub_in};
use crate::kernel::can_run;
use crate::kernel::netfilter::in_own_namespace;
use known::FAMILIES;

/// Everything begins with this script, in a folder that anybody may write; else the weight of what is found would hang
/// on where this test's own program stands.
const RUN: &str = "run.sh";

/// One family, or one test of those who imitate them.
struct Family {
    name: &'static str,
    source: &'static str,
    /// For people.
    commands: &'static str,
    /// Before the agent starts.
    set_up: &'static str,
    /// For `bash`, with the folder of the test as `$1`, where the stub stands under the name `stub`.
    script: &'static str,
    /// Whether the analytic alerts.
    parity: bool,
    /// All that must be found, and nothing else.
    findings: &'static [&'static str],
}

#[test]
fn what_published_families_do_is_found() {
    if !can_run("what_published_families_do_is_found") {
        return;
    }
    if in_guest() {
        eprintln!("SKIPPED what_published_families_do_is_found: guests have no ufw");
        return;
    }
    assert!(can_walk(&["ufw", "systemctl", "service"]));
    in_own_namespace(|_| {
        let seen: Vec<(String, bool)> = FAMILIES.iter().map(walk).collect();
        let from_nowhere = seen.iter().all(|(_, from_nowhere)| *from_nowhere);
        if !from_nowhere {
            eprintln!("the severity is another one: the origin is known here, and weighs");
        }
        let rows: Vec<String> = seen.into_iter().map(|(row, _)| row).collect();
        check_table("Published families", &rows, from_nowhere);
    });
}

/// The row of a family, and whether what was found comes from an origin that is not known.
fn walk(family: &Family) -> (String, bool) {
    let Family {
        name,
        source,
        commands,
        set_up,
        script,
        parity,
        findings,
    } = family;
    eprintln!("{name}: {commands}");
    let root = root();
    run_apart(set_up, root.path());
    let mut agent = Agent::run_on(root.path(), None);
    fs::write(root.path().join(RUN), script).unwrap();
    run_apart("bash -e \"$1/run.sh\" \"$1\"", root.path());
    for kind in *findings {
        agent.wait_for_event(|event| event["finding"] == *kind && is_own(event));
    }
    if *parity {
        agent.wait_for_alert(|alert| is_below(alert, root.path()));
    }
    let stopped = agent.stop();
    run_apart("nft flush ruleset", root.path());

    let own: Vec<&Value> = stopped
        .findings
        .iter()
        .filter(|event| is_own(event))
        .collect();
    let kinds: BTreeSet<&str> = own
        .iter()
        .filter_map(|finding| finding["finding"].as_str())
        .collect();
    assert_eq!(
        kinds,
        findings.iter().copied().collect(),
        "{name}: {own:#?}"
    );
    assert_eq!(alerts(&stopped, root.path()), *parity, "{name}");
    let worst = own
        .iter()
        .max_by_key(|finding| finding["risk_score"].as_u64());
    let severity = worst.map_or("-", |finding| finding["severity"].as_str().unwrap());
    let parity = if *parity { "alert" } else { "-" };
    let found = match findings {
        [] => "-".to_owned(),
        kinds => kinds.join(", "),
    };
    let row = format!("| {name} | {source} | `{commands}` | {parity} | {found} | {severity} |");
    let from_nowhere = own
        .iter()
        .all(|finding| finding["origin"]["kind"] == "unknown");
    (row, from_nowhere)
}

/// A host's files as the agent sees them; commands see them in their places.
fn root() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    symlink("/proc", root.path().join("proc")).unwrap();
    stub_in(root.path(), "stub");
    run_apart("", root.path());
    root
}

fn is_below(alert: &Value, folder: &Path) -> bool {
    let path = alert["parent_process_path"].as_str();
    path.is_some_and(|path| Path::new(path).starts_with(folder))
}

fn alerts(stopped: &Stopped, folder: &Path) -> bool {
    stopped.alerts.iter().any(|alert| is_below(alert, folder))
}
