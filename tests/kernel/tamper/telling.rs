//! What of a finding is told, and what is not: by real tools.

use std::fs;
use std::process::Command;

use super::{fits, run};
use crate::harness::{Agent, wallwatch};
use crate::kernel::can_run;
use crate::kernel::netfilter::in_own_namespace;

const ACCEPT: &str = "iptables -A INPUT -p tcp --dport 6301 -j ACCEPT";

#[test]
fn a_finding_bears_the_hash_of_the_tool() {
    if !can_run("a_finding_bears_the_hash_of_the_tool") {
        return;
    }
    in_own_namespace(|_| {
        let folder = tempfile::tempdir().unwrap();
        let mut agent = Agent::run("");
        run(ACCEPT, folder.path());
        let finding = agent.wait_for_event(|event| {
            fits(event, "accept-opened", "6301") && event["execs"][0]["file"]["sha256"].is_string()
        });
        let exec = &finding["execs"][0];
        let told = exec["file"]["sha256"].as_str().unwrap();
        let output = Command::new("sha256sum")
            .arg(exec["executable"].as_str().unwrap())
            .output()
            .unwrap();
        let expected = String::from_utf8(output.stdout).unwrap();
        assert_eq!(Some(told), expected.split(' ').next());
        agent.stop();
    });
}

#[test]
fn a_filter_withholds_what_it_names_and_nothing_beside_it() {
    if !can_run("a_filter_withholds_what_it_names_and_nothing_beside_it") {
        return;
    }
    in_own_namespace(|_| {
        let folder = tempfile::tempdir().unwrap();
        let panel = folder.path().join("panel.sh");
        fs::write(&panel, format!("#!/bin/bash\n{ACCEPT}; exit 0\n")).unwrap();
        let config = format!(
            "[[filters]]\nname = \"panel\"\nowner = \"web\"\nreason = \"4711\"\nexpires = \"never\"\n\
             lineage = [\"{}\"]\nchange = [\"* dport 6301 accept*\"]\n",
            panel.display()
        );
        let mut agent = Agent::run(&config);
        run(
            &format!("chmod +x {0}; {0}", panel.display()),
            folder.path(),
        );
        run(
            "iptables -A INPUT -p tcp --dport 6302 -j ACCEPT",
            folder.path(),
        );
        agent.wait_for_event(|event| fits(event, "accept-opened", "6302"));
        let stopped = agent.stop();
        let hidden = stopped
            .findings
            .iter()
            .filter(|finding| fits(finding, "accept-opened", "6301"));
        // Where one origin stands behind both, the second brings the first to light, and rightly so.
        assert!(
            hidden
                .clone()
                .all(|finding| fits(finding, "accept-opened", "6302")),
            "{hidden:#?}"
        );
        let last = stopped.heartbeats.last().unwrap();
        assert_eq!(last["filters"][0]["name"], "panel", "{last:#}");
    });
}

/// What `explain` proposes is what an operator will paste.
#[test]
fn the_filter_that_explain_proposes_withholds_what_it_was_made_from() {
    if !can_run("the_filter_that_explain_proposes_withholds_what_it_was_made_from") {
        return;
    }
    in_own_namespace(|_| {
        let folder = tempfile::tempdir().unwrap();
        let mut agent = Agent::run("");
        run(ACCEPT, folder.path());
        let finding = agent.wait_for_event(|event| {
            fits(event, "accept-opened", "6301") && event["changes_made"] == 1
        });
        agent.stop();
        let log = folder.path().join("alerts.jsonl");
        fs::write(&log, finding.to_string()).unwrap();
        let output = wallwatch()
            .args(["explain", finding["id"].as_str().unwrap(), "--alerts"])
            .arg(&log)
            .output()
            .unwrap();
        let page = String::from_utf8(output.stdout).unwrap();
        let proposed = page.split_once("[[filters]]").expect(&page).1;
        let filter = format!("[[filters]]{proposed}")
            .replace("owner = \"\"", "owner = \"web\"")
            .replace("reason = \"\"", "reason = \"4711\"");

        let agent = Agent::run(&filter);
        run(ACCEPT, folder.path());
        let stopped = agent.stop();
        let told = |finding: &&serde_json::Value| fits(finding, "accept-opened", "6301");
        let told: Vec<_> = stopped.findings.iter().filter(told).collect();
        assert!(told.is_empty(), "{filter}\n{told:#?}");
        let last = stopped.heartbeats.last().unwrap();
        assert_eq!(last["tamper"]["transactions"], 1, "{last:#}");
        assert!(
            last["filters"][0]["lines_withheld"].as_u64() >= Some(1),
            "{last:#}"
        );
    });
}
