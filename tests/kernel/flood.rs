//! Storms: what they may cost, and what they may not. An attack in the middle is alerted, and every exec is
//! either received or told as lost.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::{can_run, run_stub};
use crate::harness::{Agent, Stopped, in_guest, in_namespaces, is_of, stub_in};
use crate::tiny_elf;

/// What a storm is made of: a program that does nothing, under a name of choice.
struct Storm {
    folder: TempDir,
    stub: PathBuf,
    program: PathBuf,
}

impl Storm {
    fn of(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join(name);
        tiny_elf::write(&program).unwrap();
        let stub = stub_in(folder.path(), "storm");
        Self {
            folder,
            stub,
            program,
        }
    }

    /// Starts it on all processors. `argv_bytes` pads the command line of each exec.
    fn begin(&self, execs: u64, argv_bytes: usize) -> JoinHandle<()> {
        let workers = thread::available_parallelism().unwrap().get();
        let stub = self.stub.clone();
        let arguments = [
            "storm".to_owned(),
            execs.to_string(),
            workers.to_string(),
            self.program.to_str().unwrap().to_owned(),
            argv_bytes.to_string(),
        ];
        thread::spawn(move || run_stub(&stub, &arguments.each_ref().map(String::as_str)))
    }
}

/// Guests are slow.
fn fewer_in_guest(count: u64) -> u64 {
    if in_guest() { count / 40 } else { count }
}

/// Every exec was received, or a gap tells of it; and none is missing without a reason.
fn check_books(stopped: &Stopped) {
    assert_eq!(stopped.text("reconciled"), "true", "{}", stopped.log);
    let lost = stopped.number("execs_dropped") + stopped.number("execs_missed");
    let told = |gap: &Value| gap["execs_lost"].as_u64().unwrap();
    assert_eq!(
        stopped.gaps.iter().map(told).sum::<u64>(),
        lost,
        "{:#?}",
        stopped.gaps
    );
    for gap in &stopped.gaps {
        assert_eq!(gap["causes"]["unexplained"], Value::Null, "{gap:#}");
        assert!(gap["from"].as_str() <= gap["to"].as_str(), "{gap:#}");
    }
    let last = stopped.heartbeats.last().unwrap();
    assert_eq!(last["state"], "stopping");
    let books = &last["sensor"];
    assert_eq!(
        books["execs_seen"].as_u64().unwrap() + stopped.number("execs_missed"),
        books["execs_received"].as_u64().unwrap() + books["execs_lost"].as_u64().unwrap()
    );
}

fn all_of_the_attack(agent: &mut Agent, attacker: &Path) -> Value {
    agent.wait_for_alert(|alert| is_of(alert, attacker) && alert["count"] == 12)
}

#[test]
fn an_attack_while_the_agent_is_stopped_in_a_storm_is_alerted() {
    if !can_run("an_attack_while_the_agent_is_stopped_in_a_storm_is_alerted") {
        return;
    }
    let storm = Storm::of("tiny");
    let attacker = stub_in(storm.folder.path(), "cpd");
    let mut agent = Agent::run("");
    let blowing = storm.begin(fewer_in_guest(30_000), 0);
    thread::sleep(Duration::from_millis(200));
    agent.signal(Signal::SIGSTOP);
    run_stub(&attacker, &["cyclops"]);
    thread::sleep(Duration::from_secs(1));
    agent.signal(Signal::SIGCONT);
    all_of_the_attack(&mut agent, &attacker);
    blowing.join().unwrap();
    check_books(&agent.stop());
}

#[test]
fn a_niced_agent_keeps_its_books_in_a_storm_of_long_command_lines_and_deep_paths() {
    if !can_run("a_niced_agent_keeps_its_books_in_a_storm_of_long_command_lines_and_deep_paths") {
        return;
    }
    let mut storm = Storm::of("tiny");
    let deep = storm.folder.path().join("d/".repeat(300));
    std::fs::create_dir_all(&deep).unwrap();
    storm.program = deep.join("tiny");
    tiny_elf::write(&storm.program).unwrap();
    let attacker = stub_in(storm.folder.path(), "cpd");
    let mut agent = Agent::run("");
    agent.renice(19);
    let blowing = storm.begin(fewer_in_guest(4_000), 120_000);
    run_stub(&attacker, &["cyclops"]);
    all_of_the_attack(&mut agent, &attacker);
    blowing.join().unwrap();
    check_books(&agent.stop());
}

#[test]
fn twenty_thousand_living_processes_are_no_shelter() {
    if !can_run("twenty_thousand_living_processes_are_no_shelter") {
        return;
    }
    let storm = Storm::of("tiny");
    let attacker = stub_in(storm.folder.path(), "cpd");
    let mut crowd = Command::new(&storm.stub)
        .args(["crowd", &fewer_in_guest(20_000).to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(crowd.stdout.take().unwrap()),
        &mut ready,
    )
    .unwrap();
    assert_eq!(ready, "ready\n");
    let mut agent = Agent::run("");
    let blowing = storm.begin(fewer_in_guest(10_000), 0);
    run_stub(&attacker, &["cyclops"]);
    all_of_the_attack(&mut agent, &attacker);
    blowing.join().unwrap();
    drop(crowd.stdin.take());
    assert!(crowd.wait().unwrap().success());
    let stopped = agent.stop();
    let processes = stopped.heartbeats[0]["processes"].as_u64().unwrap();
    assert!(processes >= fewer_in_guest(20_000), "{processes}");
    check_books(&stopped);
}

/// Runs the stub in a cgroup of its own, `$1/$2`; the hierarchy is mounted for it alone.
const IN_CGROUP: &str = "mount -t cgroup2 none \"$1\"; mkdir -p \"$1/$2\"
    echo $$ > \"$1/$2/cgroup.procs\"; folder=$1; name=$2; shift 2; \"$@\"
    echo $$ > \"$folder/cgroup.procs\"; rmdir -p --ignore-fail-on-non-empty \"$folder/$name\" || true";

fn run_in_cgroup(mount_point: &Path, cgroup: &str, stub: &Path, arguments: &[&str]) {
    let mut all = vec![
        mount_point.as_os_str(),
        OsStr::new(cgroup),
        stub.as_os_str(),
    ];
    all.extend(arguments.iter().map(OsStr::new));
    in_namespaces(IN_CGROUP, &all);
}

/// Rings in which a storm of some thousand execs finds no room.
const SMALL_RINGS: &str = "[sensor]\nbulk_ring_bytes = \"256KiB\"\nurgent_ring_bytes = \"64KiB\"\n";

#[test]
fn a_storm_that_imitates_firewall_work_costs_itself_records_and_is_named() {
    if !can_run("a_storm_that_imitates_firewall_work_costs_itself_records_and_is_named") {
        return;
    }
    let storm = Storm::of("iptables");
    let attacker = stub_in(storm.folder.path(), "cpd");
    let mount_point = storm.folder.path().join("cgroup");
    std::fs::create_dir(&mount_point).unwrap();
    let cgroup = format!("wallwatch-{}-storm.service", std::process::id());
    let mut agent = Agent::run(SMALL_RINGS);
    agent.signal(Signal::SIGSTOP);
    let program = storm.program.to_str().unwrap();
    run_in_cgroup(
        &mount_point,
        &cgroup,
        &storm.stub,
        &["storm", "3000", "2", program, "0"],
    );
    run_stub(&attacker, &["cyclops"]);
    agent.signal(Signal::SIGCONT);
    all_of_the_attack(&mut agent, &attacker);
    let gap = agent.wait_for_event(|event| event["kind"] == "gap");
    assert!(
        gap["causes"]["share"].as_u64().unwrap() > 1000,
        "the storm held half of the ring: {gap:#}"
    );
    assert_eq!(gap["causes"]["ring-full"], Value::Null, "{gap:#}");
    let lineage = &gap["lineages"][0];
    assert_eq!(lineage["cgroup"]["path"], format!("/{cgroup}"));
    assert_eq!(lineage["cgroup"]["unit"], cgroup);
    assert!(lineage["execs_lost"].as_u64() >= gap["causes"]["share"].as_u64());
    let ancestry = lineage["ancestry"].as_array().unwrap();
    let is_storm = |ancestor: &&Value| ancestor["executable"].as_str() == storm.stub.to_str();
    assert!(
        ancestry.iter().any(|ancestor| is_storm(&ancestor)),
        "{gap:#}"
    );
    check_books(&agent.stop());
}

#[test]
fn an_exec_that_was_lost_is_judged_while_its_process_lives() {
    if !can_run("an_exec_that_was_lost_is_judged_while_its_process_lives") {
        return;
    }
    let storm = Storm::of("iptables");
    let attacker = stub_in(storm.folder.path(), "cpd");
    let mut agent = Agent::run(SMALL_RINGS);
    agent.signal(Signal::SIGSTOP);
    storm.begin(3000, 0).join().unwrap();
    // The storm's share, which is this one too, is used up by now.
    let waits = if in_guest() { 60 } else { 15 };
    let open = |port| {
        format!(
            "iptables -I OUTPUT -p tcp --dport {port} -j ACCEPT &>/dev/null; sleep {waits}; true"
        )
    };
    let commands = ["636", "989", "995"].map(open);
    let [a, b, c] = commands.each_ref().map(String::as_str);
    let attack = {
        let (attacker, commands) = (attacker.clone(), [a, b, c].map(str::to_owned));
        thread::spawn(move || {
            let [a, b, c] = commands.each_ref().map(String::as_str);
            run_stub(&attacker, &["together", a, b, c]);
        })
    };
    thread::sleep(Duration::from_millis(if in_guest() { 5000 } else { 500 }));
    agent.signal(Signal::SIGCONT);
    let alert = agent.wait_for_alert(|alert| is_of(alert, &attacker) && alert["port_count"] == 3);
    assert_eq!(alert["execs"][0]["argv_source"], "procfs");
    let gap = agent.wait_for_event(|event| event["kind"] == "gap");
    assert!(
        gap["repair"]["execs_recovered"].as_u64().unwrap() >= 3,
        "{gap:#}"
    );
    check_books(&agent.stop());
    attack.join().unwrap();
}

#[test]
fn heartbeats_come_at_the_chosen_interval_and_carry_the_books() {
    if !can_run("heartbeats_come_at_the_chosen_interval_and_carry_the_books") {
        return;
    }
    let mut agent = Agent::run("[heartbeat]\ninterval_s = 1\n");
    agent.wait_for_event(|event| event["kind"] == "heartbeat" && event["number"] == 3);
    let stopped = agent.stop();
    let states: Vec<_> = stopped
        .heartbeats
        .iter()
        .map(|beat| beat["state"].as_str().unwrap())
        .collect();
    assert_eq!(states.first(), Some(&"armed"));
    assert_eq!(states[1], "watching");
    assert_eq!(states.last(), Some(&"stopping"));
    assert_eq!(stopped.heartbeats[0]["interval_s"], 1);
    assert_eq!(
        stopped.heartbeats.last().unwrap()["interval_s"],
        Value::Null
    );
    for pair in stopped.heartbeats.windows(2) {
        let seen = |beat: &Value| beat["sensor"]["execs_seen"].as_u64().unwrap();
        assert!(seen(&pair[0]) <= seen(&pair[1]));
    }
    check_books(&stopped);
}
