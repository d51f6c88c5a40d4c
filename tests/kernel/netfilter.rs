//! Real changes by real tools, in network namespaces that end with the test.

use std::fmt::Write;
use std::fs;
use std::process::{Command, Stdio};
use std::thread;

use nix::sched::{CloneFlags, unshare};
use wallwatch::host::netfilter::{Listener, RECEIVE_BUFFER_BYTES, Received, snapshot};
use wallwatch::pipeline::exec::Time;
use wallwatch::pipeline::firewall::change::{self, FirewallChange};
use wallwatch::pipeline::firewall::netlink::snapshot::{Snapshot, diff};
use wallwatch::pipeline::firewall::netlink::{Limits, Transaction, Transactions};

use super::can_run;
use crate::harness::data;

#[path = "../netfilter_data.rs"]
mod netfilter_data;
#[path = "../show_change.rs"]
mod show_change;

mod other_namespaces;
mod overrun;

use netfilter_data::Case;
use show_change::show;

/// Runs `test` in a thread that is alone in a network namespace, within a runtime. Whatever it starts is in
/// the namespace, too.
pub(super) fn in_own_namespace(test: impl FnOnce() + Send + 'static) {
    let thread = thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("make a network namespace");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .expect("make a runtime");
        let _within = runtime.enter();
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a shell's command, which must succeed, and gives what it wrote.
fn run(command: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .output()
        .expect("start sh");
    assert!(
        output.status.success(),
        "{command}: {} {} (this test needs the packages nftables, iptables and iproute2)",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A listener and what it makes of what it hears.
struct Ear {
    listener: Listener,
    transactions: Transactions,
    datagrams: Vec<Vec<u8>>,
    overruns: u64,
}

impl Ear {
    fn open(buffer_bytes: usize) -> Self {
        Self {
            listener: Listener::open(buffer_bytes).expect("listen to nf_tables"),
            transactions: Transactions::new(Limits::default()),
            datagrams: Vec::new(),
            overruns: 0,
        }
    }

    /// Everything that there is to read: the kernel has sent it when the command that changed something ends.
    fn hear(&mut self) -> Vec<Transaction> {
        self.datagrams.clear();
        let mut heard = Vec::new();
        loop {
            match self.listener.receive().expect("read the socket") {
                Received::Datagram { nsid, bytes } => {
                    self.datagrams.push(bytes.to_vec());
                    let now = Time::default();
                    heard.extend(self.transactions.handle_datagram(nsid, bytes, now));
                }
                Received::Overrun => {
                    self.overruns += 1;
                    self.transactions.handle_overrun();
                }
                Received::Refused => panic!("only the kernel sends"),
                Received::Nothing => return heard,
            }
        }
    }

    /// What is known from messages alone is what a listing says.
    fn assert_up_to_date(&self, after: &str) {
        let listed = snapshot().expect("list the ruleset");
        let known = Snapshot {
            generation: listed.generation,
            ruleset: self.transactions.ruleset(None).cloned().unwrap_or_default(),
        };
        let missed: Vec<_> = diff(&known, &listed).iter().map(show).collect();
        assert!(missed.is_empty(), "after {after}: {missed:#?}");
        // Also the order of the rules.
        assert!(
            known == listed,
            "after {after}: {:#?}",
            first_difference(&known, &listed)
        );
    }
}

/// The first line that differs, with the one before it.
fn first_difference(known: &Snapshot, listed: &Snapshot) -> Vec<String> {
    let (known, listed) = (format!("{known:#?}"), format!("{listed:#?}"));
    let mut before = "";
    for (ours, theirs) in known.lines().zip(listed.lines()) {
        if ours != theirs {
            return vec![before.to_owned(), ours.to_owned(), theirs.to_owned()];
        }
        before = ours;
    }
    Vec::new()
}

fn changes(heard: &[Transaction]) -> Vec<FirewallChange> {
    heard
        .iter()
        .flat_map(|transaction| transaction.changes.clone())
        .collect()
}

#[test]
fn each_command_is_told_as_the_changes_that_it_makes() {
    if !can_run("each_command_is_told_as_the_changes_that_it_makes") {
        return;
    }
    in_own_namespace(|| {
        let path = data().join("netfilter.txt");
        let mut cases = netfilter_data::parse(&fs::read_to_string(&path).unwrap());
        assert!(cases.len() > 40);
        let mut ear = Ear::open(RECEIVE_BUFFER_BYTES);
        let mut faults = String::new();
        for case in &mut cases {
            run(&case.command);
            let shown: Vec<_> = changes(&ear.hear()).iter().map(show).collect();
            ear.assert_up_to_date(&case.command);
            if case.changes != shown {
                let Case {
                    command, changes, ..
                } = &case;
                writeln!(faults, "{command}\nexpected {changes:#?}\nheard {shown:#?}").unwrap();
            }
            case.changes = shown;
            case.datagrams.clone_from(&ear.datagrams);
        }
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&path, written(&cases)).unwrap();
            return;
        }
        assert!(faults.is_empty(), "{faults}");
        let counters = ear.transactions.counters();
        assert_eq!((counters.malformed, counters.ignored), (0, 0));
    });
}

fn written(cases: &[Case]) -> String {
    let mut text = String::new();
    for case in cases {
        writeln!(text, "$ {}", case.command).unwrap();
        for datagram in &case.datagrams {
            let digits: String = datagram.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(text, "< {digits}").unwrap();
        }
        for change in &case.changes {
            writeln!(text, "= {change}").unwrap();
        }
        text.push('\n');
    }
    text
}

#[test]
fn a_transaction_names_the_thread_that_made_it() {
    if !can_run("a_transaction_names_the_thread_that_made_it") {
        return;
    }
    in_own_namespace(|| {
        let mut ear = Ear::open(RECEIVE_BUFFER_BYTES);
        let mut tool = Command::new("nft")
            .args(["add", "table", "inet", "t"])
            .spawn()
            .expect("start nft (package nftables)");
        let pid = tool.id();
        assert!(tool.wait().unwrap().success());
        let heard = ear.hear();
        let [transaction] = heard.as_slice() else {
            panic!("one transaction, not {heard:?}");
        };
        assert_eq!(transaction.thread_id, pid);
        assert_eq!(transaction.name, b"nft");
        assert_eq!(transaction.nsid, None);
        assert!(!transaction.incomplete);
        let first = transaction.generation;
        run("nft add table inet u");
        assert_eq!(ear.hear()[0].generation, first + 1);
    });
}

#[test]
fn nft_monitor_counts_the_same_events() {
    if !can_run("nft_monitor_counts_the_same_events") {
        return;
    }
    in_own_namespace(|| {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("monitor");
        let mut monitor = Command::new("nft")
            .arg("monitor")
            .stdout(fs::File::create(&log).unwrap())
            .spawn()
            .expect("start nft (package nftables)");
        let mut ear = Ear::open(RECEIVE_BUFFER_BYTES);
        // It listens when it tells of a table.
        let mut probes = 0;
        while !fs::read_to_string(&log).unwrap().contains("add table") {
            run(&format!("nft add table inet probe{probes}"));
            probes += 1;
            assert!(probes < 1000, "nft monitor says nothing");
        }
        run("nft flush ruleset");
        let wait_for_flush = || {
            let text = fs::read_to_string(&log).unwrap();
            text.matches("delete table").count() >= 1 && text.trim_end().ends_with("(nft)")
        };
        while !wait_for_flush() {
            thread::yield_now();
        }
        let before = fs::read_to_string(&log).unwrap().len();
        ear.hear();
        run(
            "nft 'add table ip t; add chain ip t c { type filter hook input priority 0; policy drop; }; \
            add rule ip t c tcp dport { 1, 2 } accept; add rule ip t c accept; insert rule ip t c drop'",
        );
        run(
            "nft 'add set ip t s { type ipv4_addr; }; add element ip t s { 192.0.2.1, 192.0.2.2 }'",
        );
        run("nft 'flush chain ip t c; delete chain ip t c'");
        run("nft delete table ip t");
        let mut heard = ear.hear();
        heard.retain(|transaction| !transaction.changes.is_empty());
        let shown: Vec<_> = changes(&heard).iter().map(show).collect();
        let text = wait_for_generations(&log, before, heard.len());
        drop(monitor.kill());
        drop(monitor.wait());
        for (theirs, ours) in [
            ("add table", ": AddTable"),
            ("add chain", ": add chain"),
            ("insert rule", ": add rule 1:"),
            ("add set", ": add set"),
            ("delete rule", ": delete rule"),
            ("delete chain", ": DeleteChain"),
            ("delete table", ": DeleteTable"),
        ] {
            let theirs = text.lines().filter(|line| line.starts_with(theirs)).count();
            let ours = shown.iter().filter(|line| line.contains(ours)).count();
            assert_eq!(theirs, ours, "{text}\n{shown:#?}");
        }
        let rules = text
            .lines()
            .filter(|line| line.contains("d rule ip") || line.contains("t rule ip"));
        let ours = shown.iter().filter(|line| line.contains(": add rule"));
        assert_eq!(rules.count(), ours.count(), "{text}\n{shown:#?}");
    });
}

/// What `nft monitor` wrote behind `before`, once it holds so many transactions.
fn wait_for_generations(log: &std::path::Path, before: usize, count: usize) -> String {
    loop {
        let text = fs::read_to_string(log).unwrap()[before..].to_owned();
        if text.matches("# new generation").count() >= count {
            return text;
        }
        thread::yield_now();
    }
}
