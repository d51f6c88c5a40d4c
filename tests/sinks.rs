//! `wallwatch sinks`: what it lists, and what it says of receivers that take a test, hold, refuse, or are not there.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::wallwatch;
use crate::http_double::hec::{Hec, TOKEN};
use crate::http_double::{Double, Fault, Reply, Sink};

struct Fixture {
    folder: TempDir,
}

impl Fixture {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("wallwatch.toml"), config).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sinks(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = wallwatch();
        command.arg("--config").arg(self.path("wallwatch.toml"));
        let output = command.arg("sinks").args(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains(TOKEN), "{text}");
        (output.status.code(), text)
    }

    /// What is said of each sink, by its name.
    fn test(&self, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
        let (code, text) = self.sinks(&[&["test", "--json"], arguments].concat());
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        (code, lines.collect())
    }
}

fn hec(name: &str, url: &str, token: &str) -> String {
    format!(
        "[[sinks]]\nname = {name:?}\ntype = \"hec\"\nurl = {url:?}\ntoken = {token:?}\nkinds = [\"alert\"]\ntimeout_s = 5\n"
    )
}

#[test]
fn a_test_arrives_whatever_the_sink_selects_and_says_that_it_is_one() {
    let double = Double::start(Hec::default());
    let fixture = Fixture::new(&hec("splunk", &double.url(), TOKEN));
    let (code, told) = fixture.test(&[]);
    assert_eq!(code, Some(0), "{told:?}");
    assert_eq!(told[0]["sink"], "splunk");
    assert_eq!(told[0]["outcome"], "delivered");
    assert!(
        told[0]["answer"].as_str().unwrap().contains("200"),
        "{told:?}"
    );
    double.with(|hec| {
        let [envelope] = &*hec.stored else {
            panic!("{:?}", hec.stored);
        };
        let event = &envelope["event"];
        assert_eq!(
            (&event["kind"], &event["event"]),
            (&"self".into(), &"test".into())
        );
        assert_eq!(event["test"], true);
    });
    let (code, text) = fixture.sinks(&["test"]);
    assert_eq!(code, Some(0));
    assert!(text.starts_with("splunk (hec http://localhost:"), "{text}");
    assert!(text.contains("\n  delivered ("), "{text}");
}

#[test]
fn each_sink_says_what_is_to_be_done() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let splunk = Double::start(Hec::default());
    let webhook = Double::start(Sink(200));
    webhook.fail([Fault::Say(Reply::new(422, "no such field"))]);
    let config = hec("wrong-token", &splunk.url(), "another")
        + &hec("closed", &format!("http://{closed}"), TOKEN)
        + &format!(
            "[[sinks]]\nname = \"webhook\"\ntype = \"http\"\nurl = {:?}\n",
            webhook.url()
        )
        + "[[sinks]]\nname = \"no-secret\"\ntype = \"otlp\"\nurl = \"http://127.0.0.1:1/v1/logs\"\ntoken_file = \"/nowhere/token\"\n";
    let fixture = Fixture::new(&config);
    let (code, told) = fixture.test(&[]);
    assert_eq!(code, Some(1));
    let outcomes: Vec<_> = told
        .iter()
        .map(|told| told["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["held", "failed", "held", "held"], "{told:?}");
    let why = |index: usize| told[index]["why"].as_str().unwrap();
    assert!(why(0).contains("401"), "{told:?}");
    assert!(why(2).contains("422"), "{told:?}");
    assert!(why(3).contains("/nowhere/token"), "{told:?}");
    let (code, told) = fixture.test(&["closed"]);
    assert_eq!((code, told.len()), (Some(1), 1));
    assert_eq!(fixture.test(&["nobody"]), (Some(1), vec![]));
}

#[test]
fn a_receiver_that_says_nothing_does_not_hold_up_the_test() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let fixture = Fixture::new(&format!(
        "[[sinks]]\nname = \"mute\"\ntype = \"http\"\nurl = {url:?}\ntimeout_s = 600\n"
    ));
    let (code, told) = fixture.test(&["--timeout", "1"]);
    assert_eq!(code, Some(1));
    assert_eq!(told[0]["outcome"], "timed-out");
}

#[test]
fn a_list_has_name_type_place_and_format_and_no_secret() {
    let config = hec("splunk", "https://splunk:8088", TOKEN)
        + "[[sinks]]\nname = \"siem\"\ntype = \"syslog\"\ntransport = \"tls\"\naddress = \"[::1]\"\nformat = \"cef\"\n";
    let (code, text) = Fixture::new(&config).sinks(&[]);
    assert_eq!(code, Some(0));
    assert_eq!(
        text,
        "splunk hec https://splunk:8088 native\nsiem syslog tls [::1]:6514 cef\n"
    );
}
