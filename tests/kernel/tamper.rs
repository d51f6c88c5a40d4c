//! Ways to open a firewall unseen, each walked by real tools in a network namespace that ends with the test,
//! past a running agent. What was found is the table in `agent/docs/evasions.md`: `UPDATE_EXPECT=1` writes it.

mod cases;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use expect_test::expect_file;
use serde_json::Value;

use super::can_run;
use super::netfilter::in_own_namespace;
use crate::harness::{Agent, stub_in};
use cases::{Case, GROUPS, QUIET};

/// Runs a shell's script with the folder of the test as `$1`.
fn run(script: &str, folder: &Path) {
    let output = Command::new("bash")
        .args(["-ec", script, "script"])
        .arg(folder)
        .stdin(Stdio::null())
        .output()
        .expect("start bash");
    assert!(
        output.status.success(),
        "{script}: {} {} (this test needs the packages nftables, iptables and ipset)",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Whether a finding shows `marker`: in a change, or in the command line of an exec.
fn shows(finding: &Value, marker: &str) -> bool {
    let texts = |list: &str, key: &str| -> Vec<String> {
        let list = finding[list].as_array().into_iter().flatten();
        list.map(|entry| entry[key].to_string()).collect()
    };
    let mut all = texts("changes", "text");
    all.extend(texts("execs", "command_line"));
    all.extend(texts("lineage", "command_line"));
    all.iter().any(|text| text.contains(marker))
}

fn fits(event: &Value, kind: &str, marker: &str) -> bool {
    event["kind"] == "finding" && event["finding"] == kind && shows(event, marker)
}

/// Who saw the change that the marker is in.
fn witnesses(finding: &Value, marker: &str) -> String {
    let changes = finding["changes"].as_array().into_iter().flatten();
    let witnesses: BTreeSet<&str> = changes
        .filter(|change| change["text"].to_string().contains(marker))
        .filter_map(|change| change["witness"].as_str())
        .collect();
    let list: Vec<&str> = witnesses.into_iter().collect();
    if list.is_empty() {
        "exec".to_owned()
    } else {
        list.join(", ")
    }
}

/// One line of the table, once the agent has found what it must.
fn walk(agent: &mut Agent, case: &Case) -> String {
    let Case {
        number,
        technique,
        script: _,
        finding,
        marker,
    } = case;
    eprintln!("{number}: {technique}: waiting for {finding}");
    let found = agent.wait_for_event(|event| fits(event, finding, marker));
    let parity = agent.events().into_iter().any(|event| {
        event["kind"] == "alert" && event["processes_exec"].to_string().contains(marker)
    });
    let parity = if parity { "alert" } else { "-" };
    let evidence = witnesses(&found, marker);
    format!("| {number} | {technique} | {parity} | {finding} | {evidence} |")
}

#[test]
fn every_way_past_a_command_line_rule_is_found() {
    if !can_run("every_way_past_a_command_line_rule_is_found") {
        return;
    }
    in_own_namespace(|_| {
        let mut lines = Vec::new();
        for group in GROUPS {
            let folder = tempfile::tempdir().unwrap();
            stub_in(folder.path(), "stub");
            run(group.set_up, folder.path());
            let mut agent = Agent::run("");
            for case in group.cases {
                run(case.script, folder.path());
            }
            for case in group.cases {
                lines.push(walk(&mut agent, case));
            }
            agent.stop();
            run(
                "nft flush ruleset; iptables-legacy -F; iptables-legacy -P INPUT ACCEPT",
                folder.path(),
            );
        }
        lines.sort_by_key(|line| {
            let number = line
                .split(' ')
                .nth(1)
                .and_then(|number| number.parse().ok());
            number.unwrap_or(0u32)
        });
        let mut page = include_str!("tamper/page.md").to_owned();
        for line in lines {
            writeln!(page, "{line}").unwrap();
        }
        expect_file!["../../agent/docs/evasions.md"].assert_eq(&page);
    });
}

#[test]
fn what_only_reads_or_was_not_done_is_silent() {
    if !can_run("what_only_reads_or_was_not_done_is_silent") {
        return;
    }
    in_own_namespace(|_| {
        let folder = tempfile::tempdir().unwrap();
        run(
            "iptables -A INPUT -p tcp --dport 22 -j ACCEPT; iptables -A INPUT -j DROP",
            folder.path(),
        );
        let agent = Agent::run("");
        for script in QUIET {
            run(script, folder.path());
        }
        let log = agent.folder.path().join("alerts.jsonl");
        let stopped = agent.stop();
        assert!(stopped.gaps.is_empty());
        assert!(!log.exists() || !fs::read_to_string(log).unwrap().contains("\"finding\""));
    });
}
