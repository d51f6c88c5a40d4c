//! What a run of the agent leaves to the next one.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::can_run;
use crate::harness::{
    Agent, complains, is_of, json_lines, patience, stub_in, wallwatch_with_defaults_in,
};

#[test]
fn a_process_leads_to_its_origin_though_the_agent_was_stopped_in_between() {
    if !can_run("a_process_leads_to_its_origin_though_the_agent_was_stopped_in_between") {
        return;
    }
    let mut agent = Agent::run("");
    let folder = tempfile::tempdir().unwrap();
    let stdin = start_daemon(folder.path());
    agent.run_again(Signal::SIGTERM);
    attack_and_check(&mut agent, folder.path(), stdin);
    let stopped = agent.stop();
    assert!(!complains(&stopped.log), "{}", stopped.log);
}

#[test]
fn a_process_leads_to_its_origin_though_the_agent_was_killed_in_between() {
    if !can_run("a_process_leads_to_its_origin_though_the_agent_was_killed_in_between") {
        return;
    }
    let mut agent = Agent::run("[state]\nsave_interval_s = 1\n");
    let folder = tempfile::tempdir().unwrap();
    let stdin = start_daemon(folder.path());
    let file = agent.folder.path().join("state/processes.jsonl");
    let daemon = folder.path().join("cpd");
    wait_until("the daemon is saved, and that its parent has ended", || {
        let processes = json_lines(&file);
        let ended = |creator: &Value| {
            let is_it = |process: &&Value| {
                process["pid"] == creator["pid"] && process["start_ns"] == creator["start_ns"]
            };
            processes
                .iter()
                .find(is_it)
                .map(|process| &process["ended"])
        };
        processes.iter().any(|process| {
            process["exe"].as_str() == daemon.to_str()
                && process["ended"] == false
                && ended(&process["creator"]) == Some(&Value::Bool(true))
        })
    });
    agent.run_again(Signal::SIGKILL);
    attack_and_check(&mut agent, folder.path(), stdin);
    agent.stop();
}

#[test]
fn numbers_go_on_though_the_agent_was_killed_in_between() {
    if !can_run("numbers_go_on_though_the_agent_was_killed_in_between") {
        return;
    }
    let mut agent = Agent::run("");
    agent.wait_for_event(|event| event["seq"] == 1);
    agent.run_again(Signal::SIGKILL);
    agent.wait_for_event(|event| event["seq"] == 2);
    let state = agent.folder.path().join("state");
    let output = wallwatch_with_defaults_in(agent.folder.path())
        .args(["spool", "status", "--json", "--state"])
        .arg(state)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["owned"], true, "{status}");
    let stopped = agent.stop();
    let seqs = stopped.heartbeats.iter().map(|beat| beat["seq"].as_u64());
    let mut seqs: Vec<u64> = seqs.map(Option::unwrap).collect();
    // One that was delivered just before the end may come once more.
    seqs.dedup();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    let epochs = stopped.heartbeats.iter().map(|beat| &beat["epoch"]);
    assert!(
        epochs
            .clone()
            .all(|epoch| *epoch == stopped.heartbeats[0]["epoch"])
    );
    let last = stopped.heartbeats.last().unwrap();
    assert_eq!(last["store"]["durable"], true, "{last}");
    assert_eq!(last["store"]["degraded"], false, "{last}");
    assert!(!complains(&stopped.log), "{}", stopped.log);
}

/// `origin` starts `cpd`, which becomes a daemon; the daemon alone lives on, and waits for its input to end.
fn start_daemon(folder: &Path) -> ChildStdin {
    let origin = stub_in(folder, "origin");
    let daemon = stub_in(folder, "cpd");
    let commands: String = ["636", "989", "995"]
        .map(|port| format!(" 'true iptables -p tcp --dport {port} -j ACCEPT &>/dev/null'"))
        .concat();
    let mut started = Command::new(origin)
        .arg("system")
        .arg(format!("exec {} daemon{commands}", daemon.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // `wait` would close it.
    let stdin = started.stdin.take().unwrap();
    let mut said = String::new();
    let mut stdout = BufReader::new(started.stdout.take().unwrap());
    stdout.read_line(&mut said).unwrap();
    assert_eq!(said, "ready\n");
    assert!(started.wait().unwrap().success());
    wait_until("the daemon alone is left", || running(&daemon) == 1);
    stdin
}

/// Processes that run the program. One that has ended runs none.
fn running(program: &Path) -> usize {
    let processes = fs::read_dir("/proc").unwrap();
    let exe = processes.filter_map(|process| fs::read_link(process.ok()?.path().join("exe")).ok());
    exe.filter(|exe| exe == program).count()
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

fn attack_and_check(agent: &mut Agent, folder: &Path, stdin: ChildStdin) {
    let (origin, daemon) = (folder.join("origin"), folder.join("cpd"));
    drop(stdin);
    let alert = agent.wait_for_alert(|alert| is_of(alert, &daemon) && alert["port_count"] == 3);
    let steps: Vec<(&str, bool)> = alert["parent"]["ancestry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| {
            let exe = step["executable"].as_str().unwrap_or_default();
            (exe, step["ended"].as_bool().unwrap())
        })
        .collect();
    let [origin, daemon] = [&origin, &daemon].map(|path| path.to_str().unwrap());
    // The daemon, which may have ended since; the process in the middle; the one that was started; and who
    // started that.
    assert_eq!(steps[0].0, daemon);
    let expected = [(daemon, true), (daemon, true), (origin, true)];
    assert_eq!(steps.get(1..4), Some(&expected[..]), "{}", agent.log_text());
    let this = std::env::current_exe().unwrap();
    assert_eq!(steps[4], (this.to_str().unwrap(), false));
    let step = &alert["parent"]["ancestry"][3];
    let line = step["command_line"].as_str().unwrap();
    assert!(
        line.contains(&format!("system exec {daemon} daemon")),
        "{line}"
    );
    assert_ne!(step["exec_time"], Value::Null);
}
