//! The whole way: real execs through real eBPF to receivers that stop and go on.

use std::fs;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{Agent, json_lines, patience, stub_in};
use crate::http_double::Double;
use crate::http_double::hec::{Hec, TOKEN};
use crate::kernel::{can_run, run_stub};

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..patience().as_millis() / 20 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("{what}: not within {:?}", patience());
}

/// Alerts that the indexer has, of a parent with that path.
fn alerts_of(hec: &Double<Hec>, parent: &str) -> Vec<Value> {
    hec.with(|hec| {
        let events = hec.stored.iter().map(|envelope| &envelope["event"]);
        let alerts = events.filter(|event| event["parent_process_path"] == parent);
        alerts.cloned().collect()
    })
}

#[test]
fn a_wrong_token_holds_alerts_and_the_right_one_and_a_hangup_let_them_go() {
    if !can_run("a_wrong_token_holds_alerts_and_the_right_one_and_a_hangup_let_them_go") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (token, ecs) = (folder.path().join("token"), folder.path().join("ecs.jsonl"));
    fs::write(&token, "of yesterday\n").unwrap();
    let hec = Double::start(Hec::default());
    let mut agent = Agent::run(&format!(
        "[labels]\nenv = \"test\"\n\
         [[sinks]]\nname = \"splunk\"\ntype = \"hec\"\nurl = {:?}\ntoken_file = {token:?}\ntimeout_s = 5\n\
         [[sinks]]\nname = \"ecs\"\ntype = \"file\"\nformat = \"ecs\"\npath = {ecs:?}\nkinds = [\"alert\"]\n",
        hec.url()
    ));
    // Its own word on the sink that holds goes to whoever still hears.
    agent.wait_for_event(|event| event["event"] == "sink-held" && event["sink"] == "splunk");
    let stub = stub_in(folder.path(), "cpd");
    run_stub(&stub, &["cyclops"]);
    let parent = stub.to_str().unwrap().to_owned();
    let alert = agent.wait_for_alert(|alert| alert["parent_process_path"] == parent.as_str());
    assert_eq!(alert["labels"]["env"], "test");
    wait_until("the alert in the other sink", || {
        let lines = if ecs.exists() {
            json_lines(&ecs)
        } else {
            Vec::new()
        };
        lines
            .iter()
            .any(|line| line["process"]["parent"]["executable"] == parent.as_str())
    });
    assert!(alerts_of(&hec, &parent).is_empty());
    fs::write(&token, format!("{TOKEN}\n")).unwrap();
    agent.signal(Signal::SIGHUP);
    wait_until("the alert at the indexer", || {
        !alerts_of(&hec, &parent).is_empty()
    });
    agent.wait_for_event(|event| event["event"] == "sink-resumed" && event["sink"] == "splunk");
    let arrived = alerts_of(&hec, &parent);
    assert_eq!(arrived[0]["id"], alert["id"]);
    let stopped = agent.stop();
    assert!(!stopped.log.contains(TOKEN), "{}", stopped.log);
}
