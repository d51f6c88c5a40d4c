//! Agents that are killed at random, receivers that fail in every way they know, an outage that outlasts several lives:
//! what existed is at every sink, in order, and what came twice is the same. One seed makes one campaign, as far as
//! processes can be repeated; a failure tells it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{example, wallwatch};
use crate::http_double::bulk::Bulk;
use crate::http_double::hec::{Hec, TOKEN};
use crate::http_double::{Double, Fault, Reply};

const LIVES: u64 = 16;
/// Of these, the ones in which nobody answers but with "busy".
const OUTAGE: std::ops::Range<u64> = 5..9;
const EVENTS_IN_OUTAGE: u64 = 400;
const DRAIN_S: &str = "120";

/// xorshift64, Marsaglia 2003.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// A collector of syslog over TCP: it reads whatever comes until the peer is gone, so that what its kernel has taken is
/// not lost. A frame that a killed agent left unfinished is let go.
struct Collector {
    address: SocketAddr,
    bodies: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let theirs = Arc::clone(&bodies);
        // One connection after the other: the agents have one at a time, so what they say stays in order.
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                collect(connection, &theirs);
            }
        });
        Self { address, bodies }
    }
}

/// RFC 6587, section 3.4.1: `LEN SP MSG`.
fn collect(connection: TcpStream, bodies: &Mutex<Vec<String>>) {
    let mut stream = BufReader::new(connection);
    loop {
        let mut length = Vec::new();
        if stream.read_until(b' ', &mut length).unwrap_or(0) == 0 {
            return;
        }
        let digits = String::from_utf8(length).unwrap();
        let Ok(length) = digits.trim_end().parse::<usize>() else {
            return;
        };
        let mut message = vec![0; length];
        if stream.read_exact(&mut message).is_err() {
            return;
        }
        let message = String::from_utf8(message).unwrap();
        let body = message.find("] {").map(|at| message[at + 2..].to_owned());
        bodies.lock().unwrap().push(body.expect("a JSON body"));
    }
}

struct Campaign {
    folder: TempDir,
    random: Random,
    hec: Double<Hec>,
    bulk: Double<Bulk>,
    collector: Collector,
}

impl Campaign {
    fn new(seed: u64) -> Self {
        let campaign = Self {
            folder: tempfile::tempdir().unwrap(),
            random: Random(seed | 1),
            hec: Double::start(Hec::default()),
            bulk: Double::start(Bulk::default()),
            collector: Collector::start(),
        };
        let config = format!(
            "[alerts]\npath = {:?}\n[state]\ndirectory = {:?}\n\
             [[sinks]]\nname = \"hec\"\ntype = \"hec\"\nurl = {:?}\ntoken = \"{TOKEN}\"\ntimeout_s = 5\n\
             [[sinks]]\nname = \"elastic\"\ntype = \"elastic\"\nformat = \"native\"\nurl = {:?}\ntimeout_s = 5\n\
             [[sinks]]\nname = \"syslog\"\ntype = \"syslog\"\ntransport = \"tcp\"\naddress = \"{}\"\n\
             [[sinks]]\nname = \"second-file\"\ntype = \"file\"\npath = {:?}\n",
            campaign.path("alerts.jsonl"),
            campaign.path("state"),
            campaign.hec.url(),
            campaign.bulk.url(),
            campaign.collector.address,
            campaign.path("second.jsonl"),
        );
        fs::write(campaign.path("wallwatch.toml"), config).unwrap();
        campaign
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What goes wrong with the next requests of one receiver.
    fn faults(&mut self, is_outage: bool) -> Vec<Fault> {
        let busy = || Fault::Say(Reply::new(503, r#"{"text":"Server is busy","code":9}"#));
        if is_outage {
            return std::iter::repeat_with(busy).take(50).collect();
        }
        let count = self.random.below(4);
        (0..count)
            .map(|_| match self.random.below(4) {
                0 => busy(),
                1 => Fault::Cut,
                2 => Fault::HalfClose,
                _ => Fault::Slow(Duration::from_millis(self.random.below(300))),
            })
            .collect()
    }

    /// An agent that stores as much as it can until it is killed.
    fn live(&mut self, life: u64) {
        let is_outage = OUTAGE.contains(&life);
        self.hec.recover();
        self.bulk.recover();
        let faults = self.faults(is_outage);
        self.hec.fail(faults);
        let faults = self.faults(is_outage);
        self.bulk.fail(faults);
        let (first, count) = (
            1 + life * 1_000_000,
            if is_outage { EVENTS_IN_OUTAGE } else { 0 },
        );
        let mut writer = Command::new(example("store-writer"));
        writer.args([self.path("state"), self.path("alerts.jsonl")]);
        writer.args([first.to_string(), count.to_string()]);
        writer.arg(self.path("wallwatch.toml"));
        writer
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut writer = writer.spawn().unwrap();
        thread::sleep(Duration::from_millis(20 + self.random.below(400)));
        writer.kill().unwrap();
        writer.wait().unwrap();
    }

    fn wallwatch(&self, arguments: &[&str]) -> String {
        let mut command = wallwatch();
        command.arg("--config").arg(self.path("wallwatch.toml"));
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What each receiver got, in the order in which it came.
    fn arrived(&self) -> BTreeMap<&'static str, Vec<Value>> {
        let lines = |name: &str| {
            let text = fs::read_to_string(self.path(name)).unwrap();
            // A line that was torn by a kill stands there too, and once more as a whole.
            let whole = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            whole.collect::<Vec<Value>>()
        };
        let bodies = self.collector.bodies.lock().unwrap();
        let bodies = bodies
            .iter()
            .map(|body| serde_json::from_str(body).unwrap());
        BTreeMap::from([
            ("file", lines("alerts.jsonl")),
            ("second-file", lines("second.jsonl")),
            ("syslog", bodies.collect()),
            (
                "hec",
                self.hec.with(|hec| {
                    let events = hec.stored.iter().map(|envelope| envelope["event"].clone());
                    events.collect()
                }),
            ),
            (
                "elastic",
                self.bulk.with(|bulk| {
                    let mut documents: Vec<Value> = bulk
                        .documents
                        .values()
                        .map(|(document, _)| document.clone())
                        .collect();
                    // It keeps them by their ids.
                    documents.sort_by_key(seq);
                    documents
                }),
            ),
        ])
    }
}

fn seq(event: &Value) -> u64 {
    event["seq"].as_u64().unwrap()
}

/// Everything, in order, and nothing under a number that another event has.
fn check(sink: &str, arrived: &[Value], stored: &[Value]) {
    let mut by_seq = BTreeMap::new();
    let mut newest = 0;
    for event in arrived {
        let seq = seq(event);
        if let Some(first) = by_seq.get(&seq) {
            assert_eq!(*first, event, "{sink}: what came twice is another one");
            continue;
        }
        by_seq.insert(seq, event);
        assert!(seq > newest, "{sink}: {seq} came behind {newest}");
        newest = seq;
    }
    let lacks = |event: &&Value| by_seq.get(&seq(event)) != Some(event);
    let missing: Vec<u64> = stored.iter().filter(lacks).map(seq).collect();
    let all = stored.len();
    assert!(missing.is_empty(), "{sink} lacks {missing:?} of {all}");
}

#[test]
fn whatever_fails_every_sink_gets_what_existed_in_order() {
    let seed = std::env::var("WALLWATCH_CAMPAIGN_SEED");
    let seed = seed.map_or(20_261_124, |seed| seed.parse().expect("a number"));
    println!("WALLWATCH_CAMPAIGN_SEED={seed}");
    let mut campaign = Campaign::new(seed);
    for life in 0..LIVES {
        campaign.live(life);
    }
    campaign.wallwatch(&["spool", "drain", "--timeout", DRAIN_S]);
    let stored: Vec<Value> = campaign
        .wallwatch(&["alerts", "--json"])
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(stored.len() > 500, "only {} events", stored.len());
    for (sink, arrived) in campaign.arrived() {
        check(sink, &arrived, &stored);
    }
    let status: Value =
        serde_json::from_str(&campaign.wallwatch(&["spool", "status", "--json"])).unwrap();
    assert_eq!(status["sinks"].as_array().unwrap().len(), 5, "{status}");
}
