//! Tables of the older x_tables: what changed in them, by whom, and while nobody looked.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{fits, run, shows};
use crate::harness::{Agent, complains, stub_in};
use crate::kernel::can_run;
use crate::kernel::netfilter::in_own_namespace;

/// A firewall as a host has it.
const FIREWALL: &str = "iptables-legacy -P INPUT DROP
    iptables-legacy -N ban
    iptables-legacy -A INPUT -p tcp --dport 22 -j ACCEPT
    iptables-legacy -A INPUT -p tcp --dport 6400 -j DROP
    iptables-legacy -A INPUT -s 203.0.113.0/24 -j ban
    iptables-legacy -A ban -p tcp --dport 6401 -m comment --comment banned -j REJECT
    ip6tables-legacy -A INPUT -p udp --dport 6402 -j DROP";

fn script(text: &str) {
    run(text, Path::new("/"));
}

fn kept(folder: &Path) -> PathBuf {
    folder.join("state/tables.xtables")
}

/// The change of a finding that shows `marker`, by that witness.
fn change<'a>(finding: &'a Value, witness: &str, marker: &str) -> Option<&'a Value> {
    let mut changes = finding["changes"].as_array().into_iter().flatten();
    changes
        .find(|change| change["witness"] == witness && change["text"].to_string().contains(marker))
}

/// Waits for the finding whose change the table shows.
fn wait_for(agent: &mut Agent, kind: &str, marker: &str) -> Value {
    eprintln!("waiting for {kind} with {marker}");
    agent.wait_for_event(|event| {
        event["finding"] == kind && change(event, "table", marker).is_some()
    })
}

#[test]
fn what_a_legacy_tool_changed_is_one_finding_with_its_command() {
    if !can_run("what_a_legacy_tool_changed_is_one_finding_with_its_command") {
        return;
    }
    in_own_namespace(|_| {
        script(FIREWALL);
        let mut agent = Agent::run("");
        script("iptables-legacy -I INPUT 2 -p tcp --dport 6410 -j ACCEPT");
        let finding = wait_for(
            &mut agent,
            "accept-opened",
            "insert rule 2 protocol tcp dport 6410 accept",
        );
        let asked = change(&finding, "command", "6410").expect("the command is in it, too");
        let made = change(&finding, "table", "6410").unwrap();
        assert_eq!(made["pid"], asked["pid"], "{finding:#}");
        assert_eq!(made["backend"], "xtables-legacy");
        let stopped = agent.stop();
        let ids: Vec<&Value> = stopped
            .findings
            .iter()
            .filter(|event| shows(event, "6410"))
            .map(|event| &event["id"])
            .collect();
        assert!(ids.iter().all(|id| **id == finding["id"]), "{ids:?}");
        assert!(!complains(&stopped.log), "{}", stopped.log);
    });
}

#[test]
fn what_no_command_line_shows_is_read_from_the_table() {
    if !can_run("what_no_command_line_shows_is_read_from_the_table") {
        return;
    }
    in_own_namespace(|_| {
        script(FIREWALL);
        let mut agent = Agent::run("");
        script(
            "printf '*filter\\n-A INPUT -p tcp --dport 6420 -j ACCEPT\\nCOMMIT\\n' | iptables-legacy-restore -n",
        );
        wait_for(
            &mut agent,
            "accept-opened",
            "add rule protocol tcp dport 6420 accept",
        );
        script("iptables-legacy -D INPUT 2");
        wait_for(
            &mut agent,
            "drop-removed",
            "delete rule 2 protocol tcp dport 6400 drop",
        );
        script("iptables-legacy -P INPUT ACCEPT");
        wait_for(
            &mut agent,
            "policy-opened",
            "ip filter INPUT: policy accept",
        );
        script("iptables-legacy -F");
        wait_for(
            &mut agent,
            "drop-removed",
            "ip filter ban: delete rule 1 protocol tcp dport 6401 reject",
        );
        script("ip6tables-legacy -F");
        wait_for(
            &mut agent,
            "drop-removed",
            "ip6 filter INPUT: delete rule 1 protocol udp dport 6402 drop",
        );
        let stopped = agent.stop();
        let last = stopped.heartbeats.last().unwrap();
        assert_eq!(last["xtables"]["tables"], 2, "{last:#}");
        assert_eq!(last["xtables"]["failed"], 0, "{last:#}");
        assert!(
            !stopped
                .findings
                .iter()
                .any(|event| event["finding"] == "changed-while-blind"
                    || event["finding"] == "change-without-tool"),
            "{:#?}",
            stopped.findings
        );
    });
}

#[test]
fn what_a_program_without_a_tool_changed_is_told() {
    if !can_run("what_a_program_without_a_tool_changed_is_told") {
        return;
    }
    in_own_namespace(|_| {
        script(FIREWALL);
        let folder = tempfile::tempdir().unwrap();
        stub_in(folder.path(), "stub");
        let mut agent = Agent::run("");
        run("\"$1/stub\" xtables-open marked6430", folder.path());
        let finding = wait_for(
            &mut agent,
            "policy-opened",
            "ip filter INPUT: policy accept",
        );
        assert!(shows(&finding, "marked6430"), "{finding:#}");
        let without = wait_for(&mut agent, "change-without-tool", "policy accept");
        assert!(change(&without, "setsockopt", "replace the table").is_some());
        agent.stop();
    });
}

#[test]
fn legacy_rules_that_changed_while_the_agent_was_down_are_found() {
    if !can_run("legacy_rules_that_changed_while_the_agent_was_down_are_found") {
        return;
    }
    in_own_namespace(|_| {
        script(FIREWALL);
        let mut agent = Agent::run("");
        agent.run_again_after(Signal::SIGTERM, |folder| {
            assert!(kept(folder).exists(), "the first run keeps the tables");
            script("iptables-legacy -I INPUT -p tcp --dport 6440 -j ACCEPT");
        });
        let finding = wait_for(
            &mut agent,
            "changed-while-blind",
            "insert rule 1 protocol tcp dport 6440 accept",
        );
        assert_eq!(
            finding["changes"].as_array().map(Vec::len),
            Some(1),
            "{finding:#}"
        );
        assert!(finding["reasons"].to_string().contains("actor-unknown"));
        // It is kept at the end of that run: the third one has nothing to say.
        agent.run_again(Signal::SIGTERM);
        let stopped = agent.stop();
        let others = stopped.findings.iter().filter(|event| {
            event["finding"] == "changed-while-blind" && event["id"] != finding["id"]
        });
        assert_eq!(others.count(), 0);
        assert!(!complains(&stopped.log), "{}", stopped.log);
    });
}

#[test]
fn damaged_tables_are_warned_about_and_ignored() {
    if !can_run("damaged_tables_are_warned_about_and_ignored") {
        return;
    }
    in_own_namespace(|_| {
        script(FIREWALL);
        let mut agent = Agent::run("");
        agent.run_again_after(Signal::SIGTERM, |folder| {
            let path = kept(folder);
            let mut bytes = fs::read(&path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(&path, bytes).unwrap();
            script("iptables-legacy -I INPUT -p tcp --dport 6450 -j ACCEPT");
        });
        let stopped = agent.stop();
        assert!(
            !stopped
                .findings
                .iter()
                .any(|event| fits(event, "changed-while-blind", "6450"))
        );
        assert!(
            stopped.log.contains("tables.xtables: damaged"),
            "{}",
            stopped.log
        );
        assert!(
            stopped.log.contains("rulesets_damaged: 1"),
            "{}",
            stopped.log
        );
    });
}

/// Without the kernel's type information no program tells who replaces a table.
#[test]
fn without_word_of_the_call_a_change_is_found_and_not_by_whom() {
    if !can_run("without_word_of_the_call_a_change_is_found_and_not_by_whom") {
        return;
    }
    in_own_namespace(|_| {
        script(FIREWALL);
        let mut agent = Agent::run_without_btf();
        script("iptables-legacy -I INPUT -p tcp --dport 6460 -j ACCEPT");
        let finding = wait_for(
            &mut agent,
            "changed-while-blind",
            "insert rule 1 protocol tcp dport 6460 accept",
        );
        let made = change(&finding, "table", "6460").unwrap();
        assert!(made["pid"].is_null(), "{finding:#}");
        assert!(finding["reasons"].to_string().contains("actor-unknown"));
        agent.stop();
    });
}
