//! Work that must stay quiet, by real tools.

use std::fs;

use serde_json::Value;

use super::page::check_table;
use super::{can_walk, is_own, run, run_apart};
use crate::harness::Agent;
use crate::kernel::can_run;
use crate::kernel::netfilter::in_own_namespace;

/// What is done, and by which commands, away from the host's services.
const QUIET: &[(&str, &str)] = &[
    ("rules are listed", "iptables -L -n -v; iptables -S"),
    (
        "a rule is looked for",
        "iptables -C INPUT -p tcp --dport 22 -j ACCEPT",
    ),
    ("rules are saved", "iptables-save; ip6tables-save"),
    ("a ruleset is listed", "nft list ruleset; nft list tables"),
    (
        "a ruleset is checked",
        "nft -c 'add table inet x'; echo 'add table inet x' > \"$1/checked\"; nft -c -f \"$1/checked\"",
    ),
    (
        "a rule is translated",
        "xtables-nft-multi iptables-translate -A INPUT -j ACCEPT",
    ),
    (
        "a version is asked for",
        "iptables --version; nft --version",
    ),
    (
        "a command is refused by its tool",
        "iptables -A INPUT --no-such-option 1 -j ACCEPT || true",
    ),
    (
        "a rule drops, and its comment looks like one that accepts (line 23)",
        "iptables -A INPUT -m comment --comment 'ACCEPT tcp --dport 636 &>/dev/null' -p tcp --dport 6066 -j DROP",
    ),
    (
        "a rule of nft drops, and its comment looks like one that accepts (line 23)",
        "nft add table inet q; nft add chain inet q c '{ type filter hook input priority 0; }'; nft add rule inet q c tcp dport 6067 drop comment '\"tcp dport 636 accept\"'",
    ),
    (
        "answers are let in",
        "iptables -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
    ),
    (
        "the host talks to itself",
        "iptables -A INPUT -i lo -j ACCEPT",
    ),
    (
        "somebody is banned",
        "nft add set inet q b '{ type ipv4_addr; }'; nft add rule inet q c ip saddr @b drop; nft add element inet q b '{ 203.0.113.61 }'",
    ),
    (
        "what is too much is dropped",
        "nft add rule inet q c tcp dport 22 ct state new limit rate over 5/minute drop",
    ),
];

/// The same, each for a program that not every machine has.
const QUIET_TOOLS: &[(&str, &str, &str)] = &[
    (
        "iptables-translate",
        "a rule is translated, by the tool's own name",
        "iptables-translate -A INPUT -j ACCEPT",
    ),
    ("ufw", "ufw is asked", "ufw status; ufw show raw"),
    (
        "systemctl",
        "a service is asked for",
        "systemctl status nftables || true",
    ),
    (
        "firewall-cmd",
        "firewalld is asked",
        "firewall-cmd --list-all || true",
    ),
];

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
        for (_, script) in QUIET {
            run(script, folder.path());
        }
        let mut is_whole = true;
        for (program, what, script) in QUIET_TOOLS {
            if can_walk(&[program]) {
                run_apart(script, folder.path());
            } else {
                eprintln!("LEFT OUT: {what}");
                is_whole = false;
            }
        }
        let stopped = agent.stop();
        assert!(stopped.gaps.is_empty());
        let found: Vec<&Value> = stopped
            .findings
            .iter()
            .filter(|event| is_own(event))
            .collect();
        assert!(found.is_empty(), "{found:#?}");
        let tools = QUIET_TOOLS.iter().map(|(_, what, script)| (*what, *script));
        let all = QUIET.iter().copied().chain(tools);
        let rows: Vec<String> = all
            .map(|(what, script)| format!("| {what} | `{}` |", script.replace('|', "\\|")))
            .collect();
        check_table("Quiet work", &rows, is_whole);
    });
}

/// What a manager opens is told, and weighs little.
#[test]
fn an_opening_by_a_manager_is_of_low_severity() {
    if !can_run("an_opening_by_a_manager_is_of_low_severity") {
        return;
    }
    in_own_namespace(|_| {
        let folder = tempfile::tempdir().unwrap();
        let manager = folder.path().join("manager");
        let rule = "iptables -A INPUT -p tcp --dport 6201 -j ACCEPT";
        fs::write(&manager, format!("#!/bin/sh\n{rule}\n:\n")).unwrap();
        let config = format!("[tamper]\nmanagers = [\"{}\"]\n", manager.display());
        let mut agent = Agent::run(&config);
        run("chmod +x \"$1/manager\"; \"$1/manager\"", folder.path());
        let told =
            |port: &'static str| move |event: &Value| super::fits(event, "accept-opened", port);
        let by_manager = agent.wait_for_event(told("6201"));
        let severity = by_manager["severity"].as_str().unwrap();
        assert!(
            ["informational", "low"].contains(&severity),
            "{by_manager:#}"
        );
        assert_eq!(by_manager["origin"]["kind"], "manager");
        assert_eq!(by_manager["origin"]["script"].as_str(), manager.to_str());

        // The kernel told that script; what a command line claims is no excuse.
        let claim = rule.replace("6201", "6202");
        fs::write(&manager, format!("{claim}\n:\n")).unwrap();
        run("sh \"$1/manager\"", folder.path());
        let by_claim = agent.wait_for_event(told("6202"));
        assert_ne!(by_claim["origin"]["kind"], "manager", "{by_claim:#}");
        let reasons = by_claim["reasons"].to_string();
        assert!(!reasons.contains("known-manager"), "{reasons}");
        let lineage = by_claim["lineage"].as_array().unwrap();
        let mut claimed = lineage.iter().map(|step| &step["claimed_script"]);
        assert!(claimed.any(|script| script.as_str() == manager.to_str()));
        agent.stop();
    });
}
