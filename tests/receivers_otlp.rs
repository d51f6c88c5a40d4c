//! The OTLP sink against a collector: rotel, which prints what it was given.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver as Lines};
use std::thread;
use std::time::Duration;

use wallwatch::config::{Destination, OtlpSettings};
use wallwatch::delivery::sink::{Delivery, Record, Sink};

use crate::harness::{data, patience};
use crate::http::{endpoint, receiver};

/// Where `cargo xtask test` puts it: beside what cargo builds. Root must have it; others may go without, aloud.
fn rotel(test: &str) -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_BIN_EXE_wallwatch")).parent()?;
    let tools = built.parent()?.join("tools/bin/rotel-agent");
    let path = std::env::var_os("WALLWATCH_ROTEL").map_or(tools, PathBuf::from);
    if path.exists() {
        return Some(path);
    }
    let how = format!(
        "{} is not there; `cargo xtask test` gets it",
        path.display()
    );
    assert!(!nix::unistd::geteuid().is_root(), "{how}");
    eprintln!("SKIPPED {test}: {how}");
    None
}

struct Collector {
    child: Child,
    lines: Lines<String>,
    port: u16,
}

impl Collector {
    fn start(binary: &Path) -> Self {
        let [grpc, http] = [free_port(), free_port()];
        let mut child = Command::new(binary)
            .args(["start", "--exporter", "blackhole"])
            .args(["--debug-log", "logs", "--debug-log-verbosity", "detailed"])
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let collector = Self {
            child,
            lines,
            port: http,
        };
        collector.wait_until_it_listens();
        collector
    }

    fn wait_until_it_listens(&self) {
        let pause = Duration::from_millis(20);
        for _ in 0..patience().as_millis() / pause.as_millis() {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            thread::sleep(pause);
        }
        panic!("rotel does not listen");
    }

    /// Everything it prints until `count` log records are there whole.
    fn printed(&self, count: usize) -> String {
        let mut text = String::new();
        while text.matches("Flags:").count() < count {
            let line = self.lines.recv_timeout(patience());
            text += &line.unwrap_or_else(|error| panic!("{error}; it printed:\n{text}"));
            text.push('\n');
        }
        text
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Events of all kinds, numbered as the store does.
fn records() -> Vec<Record> {
    let text = fs::read_to_string(data().join("explain.log.jsonl")).unwrap();
    let record = |(index, line): (usize, &str)| Record {
        seq: index as u64 + 1,
        json: line.as_bytes().to_vec(),
    };
    text.lines().enumerate().map(record).collect()
}

/// What rotel prints of one log record: `Name: value` lines, and attributes as `NAME: TYPE(VALUE)`.
fn fields(printed: &str) -> BTreeMap<&str, &str> {
    let lines = printed
        .lines()
        .map(|line| line.trim().trim_start_matches("-> "));
    lines.filter_map(|line| line.split_once(": ")).collect()
}

#[test]
fn a_collector_takes_events_of_all_kinds_as_they_are() {
    let Some(binary) = rotel("a_collector_takes_events_of_all_kinds_as_they_are") else {
        return;
    };
    let collector = Collector::start(&binary);
    let url = format!("http://127.0.0.1:{}/v1/logs", collector.port);
    let mut sink = receiver(Destination::Otlp(OtlpSettings {
        endpoint: endpoint(url),
        token: None,
    }));
    let records = records();
    assert_eq!(sink.deliver(&records), Delivery::all(&records));
    let text = collector.printed(records.len());
    assert!(text.contains("-> service.name: Str(wallwatch)"), "{text}");
    assert!(text.contains("-> host.name: Str(gateway)"), "{text}");
    let mut printed = text.split("LogRecord #").skip(1);
    for record in &records {
        let event: serde_json::Value = serde_json::from_slice(&record.json).unwrap();
        let kind = event["kind"].as_str().unwrap();
        let fields = fields(printed.next().unwrap());
        assert_eq!(fields["EventName"], format!("wallwatch.{kind}"));
        let body = String::from_utf8_lossy(&record.json);
        assert_eq!(fields["Body"], format!("Str({body})"));
        assert_eq!(fields["SeverityText"], event["severity"]);
        let severity = match event["severity"].as_str().unwrap() {
            "informational" => "SEVERITY_NUMBER_INFO(9)",
            "low" => "SEVERITY_NUMBER_INFO2(10)",
            "medium" => "SEVERITY_NUMBER_WARN(13)",
            "high" => "SEVERITY_NUMBER_ERROR(17)",
            "critical" => "SEVERITY_NUMBER_FATAL(21)",
            other => panic!("{other}"),
        };
        assert_eq!(fields["SeverityNumber"], severity);
        assert_eq!(fields["wallwatch.seq"], format!("Int({})", record.seq));
        let revision = event["revision"].as_u64().unwrap_or(0);
        assert_eq!(fields["wallwatch.revision"], format!("Int({revision})"));
        if let Some(id) = event["id"].as_str() {
            assert_eq!(fields["wallwatch.id"], format!("Str({id})"));
            assert_eq!(fields["log.record.uid"], format!("Str({id}.{revision})"));
        }
        let times = ["last_seen", "time", "to"];
        let time = times.iter().find_map(|time| event[time].as_str()).unwrap();
        let time: jiff::Timestamp = time.parse().unwrap();
        assert_eq!(fields["Timestamp"], time.as_nanosecond().to_string());
    }
    assert!(printed.next().is_none(), "{text}");
}

#[test]
fn a_path_that_a_collector_does_not_know_holds() {
    let Some(binary) = rotel("a_path_that_a_collector_does_not_know_holds") else {
        return;
    };
    let collector = Collector::start(&binary);
    let url = format!("http://127.0.0.1:{}/elsewhere", collector.port);
    let mut sink = receiver(Destination::Otlp(OtlpSettings {
        endpoint: endpoint(url),
        token: None,
    }));
    let delivery = sink.deliver(&records());
    assert!(
        crate::http::hold(&delivery).starts_with("404"),
        "{delivery:?}"
    );
}
