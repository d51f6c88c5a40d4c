//! What changed while nobody looked: while the agent was down, and while the kernel dropped messages.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{fits, run, shows};
use crate::harness::{Agent, complains, patience};
use crate::kernel::can_run;
use crate::kernel::netfilter::in_own_namespace;

/// A firewall as a host has it.
const FIREWALL: &str = "table inet fw { chain input { type filter hook input priority 0; policy drop; \
    tcp dport { 22, 443 } accept; udp dport 53 accept; tcp dport 445 drop; }; }";

/// How many rules of one port the listener's buffer was seen to hold; see `RECEIVE_BUFFER_BYTES`.
const RULES_AT_ONCE: u32 = 20_000;

fn nft(script: &str) {
    run(&format!("nft '{script}'"), Path::new("/"));
}

fn load() {
    nft(&format!("flush ruleset; {FIREWALL}"));
}

fn kept(folder: &Path) -> PathBuf {
    folder.join("state/ruleset.netlink")
}

/// What was found by comparing.
fn blind(events: &[Value]) -> Vec<&Value> {
    let findings = events.iter();
    findings
        .filter(|event| event["finding"] == "changed-while-blind")
        .collect()
}

/// Runs the agent twice past a loaded firewall, `meanwhile` in between, and gives the findings of the second run
/// and its log.
fn between_two_runs(meanwhile: impl FnOnce(&Path)) -> (Vec<Value>, String) {
    load();
    let mut agent = Agent::run("");
    agent.run_again_after(Signal::SIGTERM, |folder| {
        assert!(kept(folder).exists(), "the first run keeps the ruleset");
        meanwhile(folder);
    });
    let stopped = agent.stop();
    let findings = blind(&stopped.findings).into_iter().cloned().collect();
    (findings, stopped.log)
}

#[test]
fn a_rule_that_was_added_while_the_agent_was_down_is_found() {
    if !can_run("a_rule_that_was_added_while_the_agent_was_down_is_found") {
        return;
    }
    in_own_namespace(|_| {
        load();
        let mut agent = Agent::run("");
        agent.run_again_after(Signal::SIGTERM, |_| {
            nft("insert rule inet fw input tcp dport 31337 accept");
        });
        let finding = agent.wait_for_event(|event| fits(event, "changed-while-blind", "31337"));
        assert_eq!(finding["changes"].as_array().map(Vec::len), Some(1));
        assert_eq!(finding["dest"], finding["host"]["name"]);
        // It is kept at the end of that run: the third one has nothing to say.
        agent.run_again(Signal::SIGTERM);
        let stopped = agent.stop();
        let all = blind(&stopped.findings);
        assert!(
            all.iter().all(|other| other["id"] == finding["id"]),
            "{all:?}"
        );
    });
}

#[test]
fn a_rule_that_was_added_after_the_agent_was_killed_is_found() {
    if !can_run("a_rule_that_was_added_after_the_agent_was_killed_is_found") {
        return;
    }
    in_own_namespace(|_| {
        load();
        let mut agent = Agent::run("[state]\nsave_interval_s = 1\n");
        let file = kept(agent.folder.path());
        wait_until("the ruleset is kept", || file.exists());
        agent.run_again_after(Signal::SIGKILL, |_| {
            nft("add chain inet fw input { policy accept; }");
        });
        agent.wait_for_event(|event| {
            let change = &event["changes"][0]["text"];
            event["finding"] == "changed-while-blind" && change.to_string().contains("policy")
        });
        agent.stop();
    });
}

#[test]
fn the_same_ruleset_is_no_finding_though_it_was_loaded_anew() {
    if !can_run("the_same_ruleset_is_no_finding_though_it_was_loaded_anew") {
        return;
    }
    in_own_namespace(|_| {
        for meanwhile in [(|| ()) as fn(), load] {
            let (found, log) = between_two_runs(|_| meanwhile());
            assert_eq!(found, [Value::Null; 0]);
            assert!(!complains(&log), "{log}");
        }
    });
}

#[test]
fn a_flush_is_found_on_the_same_boot_and_no_finding_after_another() {
    if !can_run("a_flush_is_found_on_the_same_boot_and_no_finding_after_another") {
        return;
    }
    in_own_namespace(|_| {
        let (found, _) = between_two_runs(|_| nft("flush ruleset"));
        assert!(
            found.iter().any(|finding| shows(finding, "fw")),
            "{found:?}"
        );
        let (found, log) = between_two_runs(|folder| {
            as_of_another_boot(&kept(folder));
            nft("flush ruleset");
        });
        assert_eq!(found, [Value::Null; 0], "{log}");
        let (found, _) = between_two_runs(|folder| {
            as_of_another_boot(&kept(folder));
            load();
            nft("add rule inet fw input tcp dport 31337 accept");
        });
        assert!(found.iter().all(|finding| shows(finding, "31337")));
        assert!(!found.is_empty());
    });
}

#[test]
fn a_damaged_ruleset_is_warned_about_and_ignored() {
    if !can_run("a_damaged_ruleset_is_warned_about_and_ignored") {
        return;
    }
    in_own_namespace(|_| {
        let (found, log) = between_two_runs(|folder| {
            let path = kept(folder);
            let mut bytes = fs::read(&path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(&path, bytes).unwrap();
        });
        assert_eq!(found, [Value::Null; 0]);
        assert!(log.contains("ruleset.netlink: damaged"), "{log}");
        assert!(log.contains("rulesets_damaged: 1"), "{log}");
    });
}

/// The agent is held while more is told than the kernel keeps for it.
#[test]
fn an_overrun_is_a_gap_and_what_was_missed_is_found() {
    if !can_run("an_overrun_is_a_gap_and_what_was_missed_is_found") {
        return;
    }
    in_own_namespace(|_| {
        load();
        let folder = tempfile::tempdir().unwrap();
        let mut flood = String::new();
        for port in 1..=RULES_AT_ONCE {
            writeln!(flood, "add rule inet fw flood tcp dport {port} drop").unwrap();
        }
        fs::write(folder.path().join("flood"), flood).unwrap();
        let mut agent = Agent::run("");
        agent.signal(Signal::SIGSTOP);
        run(
            "for round in 1 2 3; do
                nft add chain inet fw flood
                nft -f \"$1/flood\"
                nft flush chain inet fw flood
            done
            nft add rule inet fw input tcp dport 31337 accept",
            folder.path(),
        );
        agent.signal(Signal::SIGCONT);
        let gap = agent.wait_for_event(|event| event["kind"] == "gap");
        assert_eq!(gap["why"], "netfilter-overrun");
        assert_eq!(gap["schema"], "wallwatch.gap/1");
        assert!(gap["overruns"].as_u64() > Some(0), "{gap}");
        assert!(gap["from"].as_str() < gap["to"].as_str(), "{gap}");
        agent.wait_for_event(|event| fits(event, "changed-while-blind", "31337"));
        let stopped = agent.stop();
        let last = stopped.heartbeats.last().unwrap();
        assert_eq!(last["gaps"], stopped.gaps.len());
        assert_eq!(last["netfilter"]["overruns"], gap["overruns"]);
        assert!(last["netfilter"]["transactions"].as_u64() > Some(0));
        assert!(last["tamper"]["commands"].as_u64() > Some(0), "{last}");
    });
}

/// Puts the number of another boot into the file.
fn as_of_another_boot(path: &Path) {
    let bytes = fs::read(path).unwrap();
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    let (head, messages) = bytes.split_at(end);
    let mut head: Value = serde_json::from_slice(head).unwrap();
    head["boot_id"] = "00000000-0000-4000-8000-000000000001".into();
    fs::write(path, [head.to_string().as_bytes(), messages].concat()).unwrap();
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let pause = Duration::from_millis(10);
    for _ in 0..patience().as_millis() / pause.as_millis() {
        if holds() {
            return;
        }
        thread::sleep(pause);
    }
    panic!("waited in vain until {what}");
}
