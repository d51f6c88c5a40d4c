//! Ways to open a firewall unseen, each walked by real tools in a network namespace that ends with the test,
//! past a running agent. What was found is the table in `agent/docs/evasions.md`: `UPDATE_EXPECT=1` writes it.

mod blind;
mod cases;
mod edits;
mod no_cgroup;
mod telling;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use expect_test::expect_file;
use serde_json::Value;

use super::can_run;
use super::netfilter::in_own_namespace;
use crate::harness::{Agent, Stopped, in_guest, stub_in};
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

/// Who saw the change that the marker is in, whichever revision shows it.
fn witnesses(findings: &[Value], kind: &str, marker: &str) -> String {
    let findings = findings.iter().filter(|event| fits(event, kind, marker));
    let changes = findings.flat_map(|finding| finding["changes"].as_array().into_iter().flatten());
    let witnesses: BTreeSet<&str> = changes
        .filter(|change| change["text"].to_string().contains(marker))
        .filter_map(|change| change["witness"].as_str())
        .collect();
    if witnesses.is_empty() {
        return "exec".to_owned();
    }
    witnesses.into_iter().collect::<Vec<_>>().join(", ")
}

/// One line of the table.
fn line(case: &Case, stopped: &Stopped) -> String {
    let Case {
        number,
        technique,
        script: _,
        finding,
        marker,
    } = case;
    let is_alert = |alert: &&Value| alert["processes_exec"].to_string().contains(marker);
    let parity = match stopped.alerts.iter().find(is_alert) {
        Some(_) => "alert",
        None => "-",
    };
    let evidence = witnesses(&stopped.findings, finding, marker);
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
                eprintln!("{}: {}", case.number, case.technique);
                agent.wait_for_event(|event| fits(event, case.finding, case.marker));
            }
            let stopped = agent.stop();
            lines.extend(group.cases.iter().map(|case| line(case, &stopped)));
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
        if in_guest() {
            eprintln!("every way was found; the page was not compared: a guest has no sources");
        } else {
            expect_file!["../../agent/docs/evasions.md"].assert_eq(&page);
        }
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
        let stopped = agent.stop();
        assert!(stopped.gaps.is_empty());
        // Others on the machine may change a firewall meanwhile.
        let own = |finding: &&Value| {
            let mut lineage = finding["lineage"].as_array().into_iter().flatten();
            lineage.any(|ancestor| ancestor["pid"] == std::process::id())
        };
        let found: Vec<&Value> = stopped.findings.iter().filter(own).collect();
        assert!(found.is_empty(), "{found:#?}");
    });
}
