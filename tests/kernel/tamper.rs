//! Ways to open a firewall unseen, and what malware did to firewalls, by real tools in a network namespace that ends
//! with the test, past a running agent. What was found are the tables in `agent/docs/evasions.md`:
//! `UPDATE_EXPECT=1` writes them.

mod blind;
mod cases;
mod edits;
mod families;
mod legacy;
mod no_cgroup;
mod page;
mod quiet;
mod telling;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;

use super::can_run;
use super::netfilter::in_own_namespace;
use crate::harness::{Agent, Stopped, host_program, in_guest, stub_in};
use cases::{Case, Group, groups};
use page::check_table;

/// Puts a script where it reaches neither the host's services nor its configuration: the files of ufw are those in
/// the folder of the test, and there is no bus. Programs that talk to one fail, and their execs are seen.
const APART: &str = "mkdir -p \"$1/etc\"
    for name in ufw default; do
        [ -d \"$1/etc/$name\" ] || cp -a \"/etc/$name\" \"$1/etc/$name\"
        mount --bind \"$1/etc/$name\" \"/etc/$name\"
    done
    mount -t tmpfs none /run; unset DBUS_SYSTEM_BUS_ADDRESS DBUS_SESSION_BUS_ADDRESS
    ";

/// Runs a shell's script with the folder of the test as `$1`.
fn run(script: &str, folder: &Path) {
    let output = host_program("bash")
        .args(["-ec", script, "script"])
        .arg(folder)
        .stdin(Stdio::null())
        .output()
        .expect("start bash");
    assert_success(script, &output);
}

/// The same, [`APART`] from the host.
fn run_apart(script: &str, folder: &Path) {
    let output = host_program("unshare")
        .args(["--mount", "--propagation", "private", "bash", "-ec"])
        .arg([APART, script].concat())
        .arg("script")
        .arg(folder)
        .stdin(Stdio::null())
        .output()
        .expect("start unshare (util-linux)");
    assert_success(script, &output);
}

fn assert_success(script: &str, output: &Output) {
    assert!(
        output.status.success(),
        "{script}: {} {} (this test needs the packages nftables, iptables and ipset)",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Whether the programs are there. Guests have few, and firewalld, once installed, takes over a machine's firewall; any
/// other machine must have the rest.
fn can_walk(needs: &[&'static str]) -> bool {
    let missing = missing(needs);
    let may_lack = in_guest() || missing == ["firewall-cmd"];
    assert!(missing.is_empty() || may_lack, "{missing:?}");
    missing.is_empty()
}

/// Those of the programs that are not there.
fn missing(programs: &[&'static str]) -> Vec<&'static str> {
    let is_there = |program: &str| {
        let mut command = host_program("bash");
        command.args(["-c", "command -v \"$1\" >/dev/null", "script", program]);
        command.status().expect("start bash").success()
    };
    let absent = programs.iter().filter(|program| !is_there(program));
    absent.copied().collect()
}

/// Whether the finding or the alert is about what this test did: others on the machine may change a firewall
/// meanwhile.
fn is_own(event: &Value) -> bool {
    let lineages = [&event["lineage"], &event["parent"]["ancestry"]];
    let mut lineage = lineages.into_iter().filter_map(Value::as_array).flatten();
    lineage.any(|ancestor| ancestor["pid"] == std::process::id())
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
    let is_alert =
        |alert: &&Value| is_own(alert) && alert["processes_exec"].to_string().contains(marker);
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
        let (mut lines, mut is_whole) = (Vec::new(), true);
        for group in groups() {
            if can_walk(group.needs) {
                lines.extend(walk(group));
            } else {
                eprintln!("LEFT OUT: {}", techniques(group));
                is_whole = false;
            }
        }
        lines.sort_by_key(|(number, _)| *number);
        let rows: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
        check_table("Ways past a rule", &rows, is_whole);
    });
}

/// Walks the ways of a group past one agent; the lines of the table, each with its number.
fn walk(group: &Group) -> Vec<(u32, String)> {
    let folder = tempfile::tempdir().unwrap();
    stub_in(folder.path(), "stub");
    run(group.set_up, folder.path());
    let mut agent = Agent::run("");
    for case in group.cases {
        match group.apart {
            true => run_apart(case.script, folder.path()),
            false => run(case.script, folder.path()),
        }
    }
    for case in group.cases {
        eprintln!("{}: {}", case.number, case.technique);
        agent.wait_for_event(|event| fits(event, case.finding, case.marker));
    }
    let stopped = agent.stop();
    run(
        "nft flush ruleset; iptables-legacy -F; iptables-legacy -P INPUT ACCEPT",
        folder.path(),
    );
    let lines = group.cases.iter();
    lines
        .map(|case| (case.number, line(case, &stopped)))
        .collect()
}

fn techniques(group: &Group) -> String {
    let names: Vec<&str> = group.cases.iter().map(|case| case.technique).collect();
    names.join(", ")
}
