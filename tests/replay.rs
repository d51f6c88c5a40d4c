//! Golden replays: every `data/NAME.exec.jsonl` gives `data/NAME.MODE.alerts.jsonl`, for both windows.
//! `UPDATE_EXPECT=1` writes what came out.

use std::fs;

use serde_json::Value;

use crate::harness::{data, wallwatch_with_defaults};

/// What a replay of `text` gave: exit status, alert lines, complaints.
fn replay(text: &str, arguments: &[&str]) -> (i32, Vec<Value>, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("input.jsonl");
    fs::write(&file, text).unwrap();
    let mut command = wallwatch_with_defaults();
    let output = command
        .arg("replay")
        .args(arguments)
        .arg(&file)
        .output()
        .unwrap();
    let alerts = String::from_utf8(output.stdout).unwrap();
    let alerts = alerts
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let complaints = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), alerts, complaints)
}

#[test]
fn recordings_give_the_alerts_that_are_kept_beside_them() {
    let mut n = 0;
    for entry in fs::read_dir(data()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(name) = name.strip_suffix(".exec.jsonl") else {
            continue;
        };
        for mode in ["sliding", "tumbling"] {
            let output = wallwatch_with_defaults()
                .args(["replay", "--window", mode])
                .arg(&path)
                .output()
                .unwrap();
            assert_eq!(
                output.status.code(),
                Some(0),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let alerts = String::from_utf8(output.stdout).unwrap();
            let expected = data().join(format!("{name}.{mode}.alerts.jsonl"));
            if std::env::var_os("UPDATE_EXPECT").is_some() {
                fs::write(&expected, &alerts).unwrap();
            }
            let kept = fs::read_to_string(&expected).unwrap_or_default();
            assert!(
                alerts == kept,
                "{} is not what came out:\n{alerts}",
                expected.display()
            );
            n += 1;
        }
    }
    assert!(n >= 6, "only {n} recordings were replayed");
}

#[test]
fn the_recording_of_the_seed_gives_the_seeds_row() {
    let text = fs::read_to_string(data().join("cyclops_blink.exec.jsonl")).unwrap();
    for mode in ["sliding", "tumbling"] {
        let (status, mut alerts, complaints) = replay(&text, &["--window", mode]);
        assert_eq!(status, 0, "{complaints}");
        alerts.retain(|alert| alert["kind"] == "alert");
        let last = alerts.last().unwrap();
        assert_eq!(alerts[0]["revision"], 0);
        assert_eq!(last["id"], alerts[0]["id"]);
        assert_eq!(last["port_count"], 6);
        assert_eq!(last["count"], 12);
        let ports = ["3269", "636", "8443", "989", "994", "995"];
        assert_eq!(last["ports"], serde_json::json!(ports));
    }
}

/// The parity alert as Splunk's row shows it.
fn row(alerts: &[Value]) -> Value {
    let alert = alerts.iter().rfind(|alert| alert["kind"] == "alert");
    let alert = alert.expect("the parity rule alerts");
    let columns = ["rule", "ports", "port_count", "count", "processes_exec"];
    let columns = columns.map(|column| (column.to_owned(), alert[column].clone()));
    let group = [
        "process_name",
        "process_path",
        "parent_process_id",
        "dest",
        "user",
    ];
    let group = group.map(|field| (field.to_owned(), alert[field].clone()));
    columns
        .into_iter()
        .chain(group)
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[test]
fn the_logs_of_others_give_the_same_row() {
    let read = |name: &str| fs::read_to_string(data().join(name)).unwrap();
    let (_, alerts, _) = replay(&read("cyclops_blink.exec.jsonl"), &[]);
    let expected = row(&alerts);
    for (format, name, passed_over) in [
        ("sysmon", "cyclops_blink.sysmon.log", 1),
        ("auditd", "cyclops_blink.auditd.log", 1),
        ("laurel", "cyclops_blink.laurel.jsonl", 1),
        ("ecs", "cyclops_blink.ecs.jsonl", 1),
    ] {
        let text = read(name);
        let (status, alerts, complaints) = replay(&text, &[]);
        assert_eq!(status, 0, "{format}: {complaints}");
        assert_eq!(row(&alerts), expected, "{format}");
        let told = alerts
            .iter()
            .rfind(|alert| alert["kind"] == "alert")
            .unwrap();
        assert_eq!(told["parent_process_path"], "/tmp/cpd", "{format}");
        for part in [
            format!("read as --format {format}"),
            format!("passed over, for they are of no exec: {passed_over}"),
        ] {
            assert!(
                complaints.contains(&part),
                "{part:?} is not in {complaints}"
            );
        }

        // The last record cannot be read: it is named, and the others give the same.
        let last = text.len() - text.lines().last().unwrap().len() - 1;
        let cut = format!("{}{}", &text[..last], &text[last..last + 60]);
        let broken = match format {
            "auditd" => format!("{text}type=SYSCALL msg=audit(1.0): pid=1\n"),
            _ => cut,
        };
        let (status, alerts, complaints) = replay(&broken, &["--format", format]);
        assert_eq!(
            (status, row(&alerts)),
            (65, expected.clone()),
            "{format}: {complaints}"
        );
        let lines = broken.lines().count();
        for part in [
            format!("input.jsonl:{lines}: "),
            "could not be read: 1".to_owned(),
        ] {
            assert!(
                complaints.contains(&part),
                "{part:?} is not in {complaints}"
            );
        }
    }
}

#[test]
fn a_log_that_is_of_no_format_is_said_to_be_of_none() {
    let (status, alerts, complaints) = replay("something\nelse\n", &[]);
    assert_eq!((status, alerts.len()), (65, 0));
    assert!(
        complaints.contains("no line says which format this is"),
        "{complaints}"
    );
    let (status, _, complaints) = replay("\n", &[]);
    assert_eq!((status, complaints.as_str()), (0, ""));
}

#[test]
fn a_bad_line_is_named_and_skipped_and_the_exit_status_says_so() {
    let text = fs::read_to_string(data().join("cyclops_blink.exec.jsonl")).unwrap();
    let broken = format!("{{\"time\": true}}\n\n{text}not json\n");
    let (status, alerts, complaints) = replay(&broken, &[]);
    assert_eq!(status, 65);
    assert_eq!(alerts.last().unwrap()["count"], 12);
    assert!(
        complaints.contains("input.jsonl:1: \"true\" is no time"),
        "{complaints}"
    );
    let last = text.lines().count() + 3;
    assert!(
        complaints.contains(&format!("input.jsonl:{last}: expected ident")),
        "{complaints}"
    );
}

/// An exec that the rule counts.
fn matching(time: u64, parent: u32, port: &str) -> String {
    let command = format!("iptables -I OUTPUT -p tcp --dport {port} -j ACCEPT &>/dev/null");
    let exec = serde_json::json!({
        "time": time, "pid": 4000, "ppid": parent, "uid": 0, "exe": "/usr/bin/bash",
        "argv": ["sh", "-c", command], "parent_exe": "/tmp/cpd",
    });
    format!("{exec}\n")
}

#[test]
fn execs_that_come_too_late_are_said_in_one_line_and_by_the_exit_status() {
    // Newest first: of this group only the latest exec is held, two hours after the attack.
    let hour = 3600;
    let mut newest_first = matching(100 * hour, 7, "22");
    for (second, port) in [(3, "995"), (2, "989"), (1, "636")] {
        newest_first.push_str(&matching(98 * hour + second, 7, port));
    }
    let (status, alerts, complaints) = replay(&newest_first, &["--window", "sliding"]);
    assert_eq!((status, alerts.len()), (65, 0), "{complaints}");
    assert_eq!(complaints.lines().count(), 1, "{complaints}");
    for part in ["ERROR", "too late", "time: 3;", "sorted by time"] {
        assert!(complaints.contains(part), "{part:?} is not in {complaints}");
    }

    let mut lines: Vec<&str> = newest_first.lines().collect();
    lines.reverse();
    let (status, alerts, complaints) = replay(&lines.join("\n"), &["--window", "sliding"]);
    assert_eq!((status, alerts.len()), (0, 2), "{complaints}");
}

#[test]
fn an_exec_whose_group_was_given_up_by_then_is_too_late_too() {
    let hour = 3600;
    let text = matching(hour, 7, "636")
        + &matching(9 * hour, 8, "22")
        + &matching(hour + 1, 7, "989")
        + &matching(hour + 2, 7, "995");
    for window in ["sliding", "tumbling"] {
        let (status, alerts, complaints) = replay(&text, &["--window", window]);
        assert_eq!((status, alerts.len()), (65, 0), "{complaints}");
        assert!(complaints.contains("sorted by time"), "{complaints}");
    }
}

#[test]
fn groups_that_found_no_room_are_said_and_leave_the_exit_status_alone() {
    let text: String = (1..5000)
        .map(|parent| matching(1000, parent, "636"))
        .collect();
    let (status, alerts, complaints) = replay(&text, &[]);
    assert_eq!((status, alerts.len()), (0, 0), "{complaints}");
    assert_eq!(complaints.lines().count(), 1, "{complaints}");
    for part in ["WARN", "groups given up for lack of room: 903;"] {
        assert!(complaints.contains(part), "{part:?} is not in {complaints}");
    }
}

#[test]
fn a_recording_that_is_not_there_has_a_status_of_its_own() {
    let output = wallwatch_with_defaults()
        .args(["replay", "/nowhere"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(66));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere: cannot be opened"));
}

#[test]
fn standard_input_is_replayed_and_shown_to_a_person() {
    let input = fs::File::open(data().join("cyclops_blink.exec.jsonl")).unwrap();
    let output = wallwatch_with_defaults()
        .args(["replay", "--human", "-"])
        .stdin(input)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("Linux Iptables Firewall Modification"),
        "{text}"
    );
    assert!(text.contains("3269"), "{text}");
}
