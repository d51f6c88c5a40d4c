//! The same through the binary: a generated recording, replayed in both windows, against the oracle's rows of
//! the same JSON.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::generator::{self, Kind};
use super::oracle::{self, Delivery, Row};
use super::random::Random;
use super::{SEED, number};
use crate::harness::wallwatch_with_defaults;

const LINES: usize = 50_000;

#[test]
fn a_recording_gives_the_oracles_rows_through_the_binary() {
    let seed = number("WALLWATCH_PARITY_SEED", SEED);
    eprintln!("WALLWATCH_PARITY_SEED={seed}");
    let mut random = Random::new(seed);
    let deliveries = generator::stream(&mut random, Kind::Recording, LINES);
    let text: String = deliveries.iter().map(line).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("generated.jsonl");
    fs::write(&file, &text).unwrap();

    let read: Vec<Delivery> = text.lines().map(delivery).collect();
    let groups = oracle::groups(&read);
    let windows = [
        ("tumbling", oracle::tumbling(&groups)),
        ("sliding", oracle::sliding(&groups)),
    ];
    thread::scope(|scope| {
        for (window, expected) in &windows {
            scope.spawn(|| compare(window, &replayed(window, &file), expected));
        }
    });
}

/// The last line of each alert.
fn replayed(window: &str, file: &Path) -> Vec<Value> {
    let mut replay = wallwatch_with_defaults();
    replay.args(["replay", "--window", window]).arg(file);
    let output = replay.output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{complaints}");
    let alerts = String::from_utf8(output.stdout).unwrap();
    let lines = alerts
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let is_last = |line: &Value| line["kind"] == "alert" && line["state"] == "closed";
    lines.filter(is_last).collect()
}

/// Whatever its bounds, an alert has these; with the last moment they tell one row from another.
const ALWAYS: [&str; 12] = [
    "process_name",
    "parent_process_name",
    "parent_process_id",
    "dest",
    "user",
    "parent_process_path",
    "process_path",
    "first_seen",
    "last_seen",
    "ports",
    "port_count",
    "count",
];
/// What an alert lists as far as its bounds and its line have room.
const LISTED: [&str; 3] = ["processes_exec", "guids", "pids"];

/// Row by row. Of one that leaves something out, what it lists must be of the oracle's.
fn compare(window: &str, alerts: &[Value], expected: &[Row]) {
    let always = |row: &Value| ALWAYS.map(|column| row[column].to_string());
    let mut alerts = alerts.to_vec();
    let mut expected: Vec<Value> = expected.iter().map(shown).collect();
    alerts.sort_by_key(always);
    expected.sort_by_key(always);
    assert!(expected.len() > LINES / 200, "{} rows", expected.len());
    let mut n_bounded = 0;
    for (alert, expected) in alerts.iter().zip(&expected) {
        assert_eq!(always(alert), always(expected), "{window}");
        let is_bounded = is_bounded(alert);
        n_bounded += usize::from(is_bounded);
        for column in LISTED {
            let (listed, all) = (&alert[column], &expected[column]);
            let is_part = is_bounded && holds(all, listed);
            assert!(is_part || listed == all, "{window}: {alert:#} {expected:#}");
        }
    }
    assert_eq!(alerts.len(), expected.len(), "{window}");
    assert!(n_bounded * 20 < expected.len(), "{n_bounded} rows in part");
}

fn is_bounded(alert: &Value) -> bool {
    let omitted = ["processes_exec_omitted", "guids_omitted"];
    alert.get("cut").is_some() || omitted.iter().any(|name| alert["sensor"][name] != 0)
}

fn holds(all: &Value, listed: &Value) -> bool {
    let (all, listed) = (all.as_array().unwrap(), listed.as_array().unwrap());
    listed.iter().all(|value| all.contains(value))
}

/// The oracle's row as an alert has it.
fn shown(row: &Row) -> Value {
    let [name, parent_name, parent_pid, dest, user, parent_path, path] =
        row.key.each_ref().map(|value| text(value));
    let processes: Vec<String> = row.processes_exec.iter().map(|it| text(it)).collect();
    json!({
        "process_name": name, "parent_process_name": parent_name, "parent_process_id": parent_pid,
        "dest": dest, "user": user, "parent_process_path": parent_path, "process_path": path,
        "processes_exec": processes, "ports": row.ports, "guids": row.guids, "pids": row.pids,
        "port_count": row.port_count, "count": row.count,
        "first_seen": time(row.first_seen.1), "last_seen": time(row.last_seen.1),
    })
}

/// Bytes that are not UTF-8 are shown as `\xNN`.
fn text(mut bytes: &[u8]) -> String {
    let mut out = String::new();
    while !bytes.is_empty() {
        // A character is as long as its shortest beginning that is UTF-8.
        let lengths = 1..=bytes.len().min(4);
        match lengths
            .into_iter()
            .find_map(|n| str::from_utf8(&bytes[..n]).ok())
        {
            Some(character) => {
                out.push_str(character);
                bytes = &bytes[character.len()..];
            }
            None => {
                out.push_str(&format!("\\x{:02x}", bytes[0]));
                bytes = &bytes[1..];
            }
        }
    }
    out
}

/// RFC 3339 with nine decimals. Of the day by counting, for the streams begin with 2026.
fn time(wall: u64) -> String {
    let (seconds, fraction) = (wall / 1_000_000_000, wall % 1_000_000_000);
    let (mut year, mut day) = (1970, seconds / 86_400);
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let days = |year: u64| if is_leap(year) { 366 } else { 365 };
    while day >= days(year) {
        day -= days(year);
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let day = day + 1;
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:09}Z")
}

fn line(delivery: &Delivery) -> String {
    let argv: Vec<Value> = delivery.argv.iter().map(|it| bytes(it)).collect();
    let path = |path: &Option<Vec<u8>>| path.as_deref().map_or(Value::Null, bytes);
    let mut rest = json!({
        "guid": delivery.guid, "pid": delivery.pid, "ppid": delivery.parent_pid, "uid": 0, "argv": argv,
        "exe": path(&delivery.path), "parent_exe": path(&delivery.parent_path),
    });
    for (name, value) in [("user", &delivery.user), ("host", &delivery.dest)] {
        if let Some(value) = value {
            rest[name] = json!(value);
        }
    }
    let (seconds, fraction) = (delivery.wall / 1_000_000_000, delivery.wall % 1_000_000_000);
    // A number of JSON's own would not hold nanoseconds.
    let rest = rest.to_string();
    format!("{{\"time\":{seconds}.{fraction:09},{}\n", &rest[1..])
}

fn bytes(value: &[u8]) -> Value {
    match str::from_utf8(value) {
        Ok(text) => json!(text),
        Err(_) => json!({"base64": STANDARD.encode(value)}),
    }
}

/// Reads a line without the engine's reader.
fn delivery(line: &str) -> Delivery {
    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(line).unwrap();
    let value = |name: &str| -> Value {
        let raw = members.get(name).map_or("null", |raw| raw.get());
        serde_json::from_str(raw).unwrap()
    };
    let of = |value: Value| match &value["base64"] {
        Value::String(text) => STANDARD.decode(text).unwrap(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.as_str().unwrap().as_bytes().to_vec()
        }
    };
    let path = |name: &str| Some(value(name)).filter(|it| !it.is_null()).map(of);
    let word = |name: &str| value(name).as_str().map(str::to_owned);
    let id = |name: &str| value(name).as_u64().unwrap() as u32;
    let time: u64 = members["time"].get().replace('.', "").parse().unwrap();
    Delivery {
        boot: time,
        wall: time,
        arrival_boot: time,
        arrival_wall: time,
        guid: word("guid").unwrap(),
        pid: id("pid"),
        parent_pid: id("ppid"),
        user: word("user"),
        dest: word("host"),
        path: path("exe"),
        parent_path: path("parent_exe"),
        argv: value("argv")
            .as_array()
            .unwrap()
            .iter()
            .cloned()
            .map(of)
            .collect(),
    }
}
