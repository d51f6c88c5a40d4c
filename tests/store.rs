//! The store on real disks: writers that are killed, a disk that is full, and what the commands say of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{example, in_namespaces, json_lines, wallwatch_with_defaults};

const KILLS: u64 = 25;

struct Fixture {
    folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn writer(&self, first: u64, count: u64) -> Command {
        let mut command = Command::new(example("store-writer"));
        command
            .arg(self.path("state"))
            .arg(self.path("alerts.jsonl"));
        command.args([first.to_string(), count.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    fn command(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = wallwatch_with_defaults();
        command
            .args(arguments)
            .arg("--state")
            .arg(self.path("state"));
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text)
    }

    fn stored(&self) -> Vec<Value> {
        let (code, text) = self.command(&["alerts", "--json"]);
        assert_eq!(code, Some(0));
        let parse = |line| serde_json::from_str(line).unwrap();
        text.lines().map(parse).collect()
    }
}

fn ids(events: &[Value]) -> Vec<u64> {
    let id = |event: &Value| event["id"].as_str().unwrap().parse().unwrap();
    events.iter().map(id).collect()
}

fn seqs(events: &[Value]) -> Vec<u64> {
    events
        .iter()
        .map(|event| event["seq"].as_u64().unwrap())
        .collect()
}

#[test]
fn whenever_the_writer_is_killed_what_it_had_stored_is_there() {
    let fixture = Fixture::new();
    let mut acknowledged = BTreeSet::new();
    for round in 0..KILLS {
        let first = 1 + round * 1_000_000;
        let mut child = fixture.writer(first, 0).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        // Some die at once, some in the middle of the work.
        let lives = Duration::from_millis(round * 7919 % 173);
        let reader = thread::spawn(move || {
            let lines = stdout.lines().map_while(Result::ok);
            let last = lines.filter_map(|line| line.strip_prefix("stored ")?.parse::<u64>().ok());
            last.max()
        });
        thread::sleep(lives);
        child.kill().unwrap();
        child.wait().unwrap();
        if let Some(last) = reader.join().unwrap() {
            acknowledged.extend(first..=last);
        }
    }
    assert!(
        !acknowledged.is_empty(),
        "no writer came as far as a record"
    );
    let events = fixture.stored();
    let stored: BTreeSet<u64> = ids(&events).into_iter().collect();
    let lost: Vec<_> = acknowledged.difference(&stored).collect();
    assert!(lost.is_empty(), "{lost:?} of {}", acknowledged.len());
    assert_eq!(stored.len(), events.len(), "each once");
    assert!(seqs(&events).is_sorted_by(|a, b| a < b));
    assert!(ids(&events).is_sorted());
    // Whoever comes next delivers what is left.
    let config = fixture.path("wallwatch.toml");
    let log = fixture.path("alerts.jsonl");
    fs::write(&config, format!("[alerts]\npath = {log:?}\n")).unwrap();
    let status = wallwatch_with_config(&config)
        .args(["spool", "drain", "--state"])
        .arg(fixture.path("state"))
        .status();
    assert_eq!(status.unwrap().code(), Some(0));
    // A line that was torn by a kill stands there too, and once more as a whole.
    let text = fs::read_to_string(&log).unwrap();
    let whole = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let delivered: BTreeSet<u64> = ids(&whole.collect::<Vec<_>>()).into_iter().collect();
    assert_eq!(delivered, stored);
    let (code, text) = fixture.command(&["spool"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("sink     file: "), "{text}");
    assert!(text.contains("backlog 0;"), "{text}");
}

fn wallwatch_with_config(config: &Path) -> Command {
    let mut command = crate::harness::wallwatch();
    command.arg("--config").arg(config);
    command
}

#[test]
fn a_full_disk_costs_no_alert_and_takes_them_again_when_there_is_room() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED a_full_disk_costs_no_alert: only root may mount a small disk");
        return;
    }
    let fixture = Fixture::new();
    fs::create_dir(fixture.path("state")).unwrap();
    // 400 events of 1 KiB for a disk of 256 KiB, most of which is taken at first.
    let script = r#"
        mount -t tmpfs -o size=256k none "$1/state"
        head -c 100000 /dev/zero > "$1/state/ballast"
        "$2" "$1/state" "$1/alerts.jsonl" 1 400 > "$1/first"
        rm "$1/state/ballast"
        "$2" "$1/state" "$1/alerts.jsonl" 1001 20 > "$1/second"
        cp -r "$1/state/spool" "$1/spool"
        umount "$1/state"
        mv "$1/spool" "$1/state/spool"
    "#;
    let writer = example("store-writer");
    in_namespaces(
        script,
        &[fixture.folder.path().as_os_str(), writer.as_os_str()],
    );
    let first = fs::read_to_string(fixture.path("first")).unwrap();
    let end = first.lines().last().unwrap();
    assert!(end.contains("degraded true"), "{first}");
    let second = fs::read_to_string(fixture.path("second")).unwrap();
    assert!(
        second.contains("held 0 degraded false faults 0"),
        "{second}"
    );
    // The log is on another disk, and has everything.
    let log = json_lines(&fixture.path("alerts.jsonl"));
    let delivered: BTreeSet<u64> = ids(&log).into_iter().collect();
    let expected: BTreeSet<u64> = (1..=400).chain(1001..=1020).collect();
    assert_eq!(delivered, expected);
    // The small disk has what came when there was room. What had been delivered may have given way before.
    let stored = ids(&fixture.stored());
    assert!((1001..=1020).all(|id| stored.contains(&id)), "{stored:?}");
    // A cursor that could not be written repeats lines; but no pair of epoch and number stands for two events.
    let mut events = BTreeMap::new();
    for event in &log {
        let pair = (event["epoch"].to_string(), event["seq"].to_string());
        let id = events.entry(pair).or_insert(&event["id"]);
        assert_eq!(*id, &event["id"], "{event}");
    }
}

#[test]
fn the_commands_show_what_is_stored() {
    let fixture = Fixture::new();
    assert!(fixture.writer(1, 3).status().unwrap().success());
    let (code, text) = fixture.command(&["alerts"]);
    assert_eq!(code, Some(0));
    assert_eq!(
        text,
        "1 - high alert 1/1 -\n2 - high alert 2/1 -\n3 - high alert 3/1 -\n"
    );
    let (_, text) = fixture.command(&["alerts", "--since", "2"]);
    assert_eq!(text, "3 - high alert 3/1 -\n");
    let (code, text) = fixture.command(&["alerts", "show", "2"]);
    assert!(text.contains("\"id\": \"2\""), "{text}");
    assert_eq!(code, Some(0));
    assert_eq!(fixture.command(&["alerts", "show", "none"]).0, Some(1));
    let (code, text) = fixture.command(&["spool", "status", "--json"]);
    let status: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, Some(0));
    assert_eq!(
        (&status["seq"], &status["owned"]),
        (&3.into(), &false.into())
    );
    let sink = &status["sinks"][0];
    assert_eq!(
        (&sink["backlog"], &sink["cursor"]["delivered"]),
        (&0.into(), &3.into())
    );
    assert_eq!(status["epoch"], fixture.stored()[0]["epoch"]);
    let nowhere = wallwatch_with_defaults()
        .args(["alerts", "--state", "/nowhere"])
        .output();
    assert_eq!(nowhere.unwrap().status.code(), Some(74));
}
