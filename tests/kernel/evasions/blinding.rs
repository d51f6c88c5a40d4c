//! What is done to the agent itself, or between it and the truth: line 26.

use std::fs;

use serde_json::Value;

use crate::harness::{Agent, is_of, stub_in};
use crate::kernel::{can_run, run_stub, stub};

use super::{ancestors, run};

/// Line 26: who traces a process is its parent for the purposes of `wait`, and for no other.
#[test]
fn a_tracer_does_not_become_the_parent() {
    if !can_run("a_tracer_does_not_become_the_parent") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let traced = stub_in(folder.path(), "traced");
    let tracer = stub_in(folder.path(), "tracer");
    let mut agent = Agent::run("");
    let script = "\"$1\" traced \"$2\" ports exec sh /bin/sh -c %";
    run(script, &[&traced, &tracer]);
    let alert = agent.wait_for_alert(|alert| is_of(alert, &traced) && alert["count"] == 3);
    assert_eq!(ancestors(&alert)[0], traced.to_str());
    assert!(!ancestors(&alert).contains(&tracer.to_str()));
    let stopped = agent.stop();
    assert!(stopped.alerts_of(&tracer).is_empty());
}

/// Line 26: a log that stops without a last word was cut off.
#[test]
fn the_log_begins_and_ends_with_a_sign_of_life() {
    if !can_run("the_log_begins_and_ends_with_a_sign_of_life") {
        return;
    }
    let (_folder, stub) = stub();
    let mut agent = Agent::run("");
    run_stub(&stub, &["cyclops"]);
    agent.wait_for_alert(|alert| is_of(alert, &stub) && alert["count"] == 12);
    let file = agent.folder.path().join("alerts.jsonl");
    let log = fs::File::open(file).unwrap();
    agent.stop();
    let text = std::io::read_to_string(log).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let states = [lines.first(), lines.last()].map(|line| {
        let line = line.unwrap();
        assert_eq!(line["kind"], "heartbeat");
        line["state"].as_str().unwrap().to_owned()
    });
    assert_eq!(states, ["armed", "stopping"]);
}

/// Line 26: the kernel lets nobody detach the programs from outside; `bpf(2)` has no such operation for
/// tracing links.
#[test]
fn nobody_else_can_detach_the_programs() {
    if !can_run("nobody_else_can_detach_the_programs") {
        return;
    }
    let (_folder, stub) = stub();
    let mut agent = Agent::run("");
    let links = links_of(agent.pid());
    assert!(!links.is_empty(), "the agent has links");
    let mut detached = 0;
    for id in links {
        match detach(id) {
            Ok(()) => detached += 1,
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP), "link {id}");
            }
        }
    }
    assert!(detached <= 1, "only the link to a cgroup can be taken off");
    if detached == 1 {
        agent.wait_for_log("somebody took off a kernel program; it is back");
        assert_eq!(
            links_of(agent.pid())
                .iter()
                .filter(|&&id| detach(id).is_ok())
                .count(),
            1
        );
    }
    run_stub(&stub, &["cyclops"]);
    agent.wait_for_alert(|alert| is_of(alert, &stub) && alert["count"] == 12);
    assert_eq!(agent.stop().text("reconciled"), "true");
}

/// The links that a process has open, by what `/proc` says of its descriptors.
fn links_of(process: u32) -> Vec<u32> {
    let folder = fs::read_dir(format!("/proc/{process}/fdinfo")).unwrap();
    let texts = folder.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
    texts
        .filter_map(|text| {
            let mut lines = text.lines();
            let id = lines.find_map(|line| line.strip_prefix("link_id:"))?;
            id.trim().parse().ok()
        })
        .collect()
}

/// What `bpftool link detach id ID` does.
fn detach(id: u32) -> std::io::Result<()> {
    // `enum bpf_cmd`, include/uapi/linux/bpf.h.
    const BPF_LINK_GET_FD_BY_ID: u32 = 30;
    const BPF_LINK_DETACH: u32 = 34;
    let link = bpf(BPF_LINK_GET_FD_BY_ID, id)?;
    let detached = bpf(BPF_LINK_DETACH, link);
    // SAFETY: the descriptor is this function's own.
    unsafe { libc::close(link as i32) };
    detached.map(|_| ())
}

/// A command whose attributes are one number.
fn bpf(command: u32, attribute: u32) -> std::io::Result<u32> {
    let attributes = [attribute, 0, 0, 0];
    // SAFETY: the attributes outlive the call, and their size is told.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_ptr(),
            size_of_val(&attributes),
        )
    };
    match u32::try_from(result) {
        Ok(result) => Ok(result),
        Err(_) => Err(std::io::Error::last_os_error()),
    }
}
