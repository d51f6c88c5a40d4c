//! `explain` and `replay --explain`, through the binary.

use std::fs;
use std::process::{Output, Stdio};

use expect_test::expect_file;

use crate::harness::{data, wallwatch_with_defaults};

const FINDING: &str = "7b1c0d5e-4f3a-5b2c-8d1e-0a9b8c7d6e5f";

fn explain(arguments: &[&str]) -> Output {
    let mut command = wallwatch_with_defaults();
    command.current_dir(data()).arg("explain").args(arguments);
    command.output().unwrap()
}

fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn a_finding_is_explained_from_its_log() {
    let output = explain(&[FINDING, "--alerts", "explain.log.jsonl"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    expect_file![data().join("explain.finding.txt")].assert_eq(stdout(&output));
}

#[test]
fn an_alert_of_the_rule_is_explained_by_the_beginning_of_its_id() {
    let output = explain(&["1e5e4a67", "--alerts", "cyclops_blink.sliding.alerts.jsonl"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    expect_file![data().join("explain.cyclops_blink.txt")].assert_eq(stdout(&output));
}

#[test]
fn the_log_that_the_configuration_names_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("kept.jsonl");
    fs::copy(data().join("explain.log.jsonl"), &log).unwrap();
    let config = folder.path().join("wallwatch.toml");
    let text = format!("[alerts]\npath = \"{}\"\n", log.display());
    fs::write(&config, text).unwrap();
    let mut command = crate::harness::wallwatch();
    let command = command.arg("--config").arg(&config);
    let output = command.args(["explain", FINDING]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("redirect-added: "));
}

#[test]
fn rotated_logs_and_standard_input_count_together_and_a_bad_line_is_named() {
    let text = fs::read_to_string(data().join("explain.log.jsonl")).unwrap();
    let (old, new): (Vec<_>, Vec<_>) = text
        .lines()
        .partition(|line| line.contains(r#""revision":0"#));
    let folder = tempfile::tempdir().unwrap();
    let rotated = folder.path().join("alerts.jsonl.1");
    let current = folder.path().join("alerts.jsonl");
    fs::write(&rotated, format!("{}\n{{\"schema\":\n", old.join("\n"))).unwrap();
    fs::write(&current, new.join("\n")).unwrap();
    let mut command = wallwatch_with_defaults();
    let command = command.args(["explain", FINDING, "--alerts", "-", "--alerts"]);
    let output = command
        .arg(&rotated)
        .stdin(Stdio::from(fs::File::open(&current).unwrap()))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
    let line = old.len() + 1;
    let place = format!("alerts.jsonl.1:{line}: expected a JSON object");
    assert!(stderr(&output).contains(&place), "{}", stderr(&output));
    let whole = explain(&[FINDING, "--alerts", "explain.log.jsonl"]);
    assert_eq!(stdout(&output), stdout(&whole));
}

#[test]
fn what_is_not_there_has_statuses_of_its_own() {
    let status = |arguments: &[&str]| explain(arguments).status.code();
    let log = ["--alerts", "explain.log.jsonl"];
    assert_eq!(status(&["00000000", log[0], log[1]]), Some(1));
    assert_eq!(status(&[FINDING, "--alerts", "/nowhere"]), Some(66));
    assert_eq!(status(&["7b1c0d5", log[0], log[1]]), Some(64));
    let output = explain(&["00000000", log[0], log[1]]);
    assert!(stdout(&output).starts_with("no finding or alert of that id"));
}

#[test]
fn an_ambiguous_beginning_lists_the_candidates() {
    let output = explain(&["7b1c0d5e", "--alerts", "explain.log.jsonl"]);
    assert_eq!(output.status.code(), Some(1));
    for id in [FINDING, "7b1c0d5e-9000-5000-8000-00000000beef"] {
        assert!(stdout(&output).contains(id), "{}", stdout(&output));
    }
}

#[test]
fn a_replay_says_of_every_exec_why_it_matched_or_did_not() {
    for name in ["cyclops_blink", "hosting_panel"] {
        let mut command = wallwatch_with_defaults();
        let output = command
            .args(["replay", "--explain", "--window", "sliding"])
            .arg(data().join(format!("{name}.exec.jsonl")))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let expected = data().join(format!("{name}.explained.txt"));
        expect_file![expected].assert_eq(stdout(&output));
    }
}

#[test]
fn nothing_in_a_recording_acts_on_the_terminal_of_who_reads_the_explanation() {
    let hostile = "\u{1b}[2J\u{202e}\u{7}\n";
    let exec = serde_json::json!({
        "time": 1, "pid": 7, "ppid": 6, "uid": 0, "exe": format!("/usr/sbin/nft{hostile}"),
        "argv": ["nft", format!("add rule ip {hostile} input accept")],
        "parent_exe": format!("/usr/bin/{hostile}"),
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("input.jsonl");
    fs::write(&file, format!("{exec}\n")).unwrap();
    let mut command = wallwatch_with_defaults();
    let output = command.args(["replay", "--explain"]).arg(&file).output();
    let output = output.unwrap();
    let text = stdout(&output);
    assert!(
        text.contains(r"/usr/sbin/nft\x1b[2J\u{202e}\x07\x0a (7): nft add"),
        "{text}"
    );
    let is_active = |char: char| char != '\n' && (char.is_control() || char == '\u{202e}');
    assert!(!text.contains(is_active), "{text}");
}
