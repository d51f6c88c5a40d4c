//! Real changes by real tools, in network namespaces that end with the test.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use nix::sched::{CloneFlags, unshare};
use nix::sys::utsname::uname;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use wallwatch::host::netfilter::{Listener, RECEIVE_BUFFER_BYTES, Received, snapshot};
use wallwatch::pipeline::exec::Time;
use wallwatch::pipeline::firewall::change::{self, FirewallChange};
use wallwatch::pipeline::firewall::netlink::snapshot::{Snapshot, diff};
use wallwatch::pipeline::firewall::netlink::{Limits, Transaction, Transactions};

use super::can_run;
use crate::harness::{data, host_program, patience};

#[path = "../netfilter_data.rs"]
mod netfilter_data;
#[path = "../show_change.rs"]
mod show_change;

mod legacy_tables;
mod other_namespaces;
mod overrun;

use netfilter_data::Case;
use show_change::show;

/// Runs `test` in a thread that is alone in a network namespace, within a runtime. Whatever it starts is in
/// the namespace, too.
pub(super) fn in_own_namespace(test: impl FnOnce(&Runtime) + Send + 'static) {
    let thread = thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("make a network namespace");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("make a runtime");
        let _within = runtime.enter();
        test(&runtime);
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a shell's command, which must succeed, and gives what it wrote.
fn run(command: &str) -> String {
    let output = host_program("sh")
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
        if !tells_places() {
            return;
        }
        // Also the order of the rules.
        assert!(
            known == listed,
            "after {after}: {:#?}",
            first_difference(&known, &listed)
        );
    }
}

/// Whether the kernel's messages say where a rule was put: since Linux 5.15.
fn tells_places() -> bool {
    let names = uname().expect("which kernel");
    let release = names.release().to_string_lossy().into_owned();
    let mut numbers = release
        .split(['.', '-'])
        .map(|number| number.parse::<u32>());
    let mut number = || {
        numbers
            .next()
            .and_then(Result::ok)
            .expect("5.10.0-46-amd64")
    };
    (number(), number()) >= (5, 15)
}

/// The change as this kernel tells it.
fn as_told(shown: &str) -> String {
    const ADDS: &str = ": add rule ";
    match shown.split_once(ADDS) {
        Some((before, after)) if !tells_places() => {
            let rule = after.split_once(':').map_or(after, |(_, rule)| rule);
            format!("{before}{ADDS}untold:{rule}")
        }
        _ => shown.to_owned(),
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
    in_own_namespace(|_| {
        // A guest has the test alone, and no sources.
        let mut cases = netfilter_data::parse(include_str!("../data/netfilter.txt"));
        assert!(cases.len() > 40);
        let mut ear = Ear::open(RECEIVE_BUFFER_BYTES);
        let mut faults = String::new();
        for case in &mut cases {
            run(&case.command);
            let shown: Vec<_> = changes(&ear.hear()).iter().map(show).collect();
            ear.assert_up_to_date(&case.command);
            let expected: Vec<_> = case.changes.iter().map(|change| as_told(change)).collect();
            if expected != shown {
                let Case {
                    command, changes, ..
                } = &case;
                writeln!(faults, "{command}\nexpected {changes:#?}\nheard {shown:#?}").unwrap();
            }
            case.changes = shown;
            case.datagrams.clone_from(&ear.datagrams);
        }
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(data().join("netfilter.txt"), written(&cases)).unwrap();
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
    in_own_namespace(|_| {
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

/// Changes nf_tables without any tool: a batch that adds one table (`nfnetlink_rcv_batch`,
/// `net/netfilter/nfnetlink.c`).
fn add_table_by_hand(name: &str) {
    const BATCH_BEGIN: u16 = 0x10;
    const BATCH_END: u16 = 0x11;
    const NEWTABLE: u16 = 10 << 8;
    /// `NLM_F_REQUEST`, `NLM_F_CREATE`
    const FLAGS: u16 = 0x1 | 0x400;
    let mut attribute = Vec::new();
    attribute.extend_from_slice(&(5 + name.len() as u16).to_ne_bytes());
    attribute.extend_from_slice(&1_u16.to_ne_bytes());
    attribute.extend_from_slice(name.as_bytes());
    attribute.push(0);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    let mut batch = Vec::new();
    for (kind, family, resource, body) in [
        (BATCH_BEGIN, 0, 10, &[][..]),
        (NEWTABLE, 2, 0, &attribute[..]),
        (BATCH_END, 0, 10, &[][..]),
    ] {
        batch.extend_from_slice(&(20 + body.len() as u32).to_ne_bytes());
        batch.extend_from_slice(&kind.to_ne_bytes());
        batch.extend_from_slice(&FLAGS.to_ne_bytes());
        batch.extend_from_slice(&[0; 8]);
        batch.extend_from_slice(&[family, 0, 0, resource]);
        batch.extend_from_slice(body);
    }
    let socket = Socket::new(NETLINK_NETFILTER).unwrap();
    let kernel = SocketAddr::new(0, 0);
    assert_eq!(socket.send_to(&batch, &kernel, 0).unwrap(), batch.len());
}

#[test]
fn a_change_without_a_tool_names_the_thread_and_not_its_process() {
    if !can_run("a_change_without_a_tool_names_the_thread_and_not_its_process") {
        return;
    }
    in_own_namespace(|_| {
        let mut ear = Ear::open(RECEIVE_BUFFER_BYTES);
        add_table_by_hand("t");
        let heard = ear.hear();
        let thread_id = nix::unistd::gettid().as_raw().cast_unsigned();
        assert_ne!(thread_id, std::process::id());
        assert_eq!(heard[0].thread_id, thread_id);
        assert_eq!(
            changes(&heard).iter().map(show).collect::<Vec<_>>(),
            ["Nftables Ipv4 t: AddTable"]
        );
        assert_eq!(run("nft list tables").trim(), "table ip t");
    });
}

/// Whoever may send to the socket is not taken for the kernel.
#[test]
fn a_datagram_of_a_process_is_refused() {
    if !can_run("a_datagram_of_a_process_is_refused") {
        return;
    }
    in_own_namespace(|_| {
        let mut listener = Listener::open(RECEIVE_BUFFER_BYTES).unwrap();
        let forger = Socket::new(NETLINK_NETFILTER).unwrap();
        // The first socket of a process has its id as its port (`netlink_autobind`, `net/netlink/af_netlink.c`).
        let target = SocketAddr::new(std::process::id(), 0);
        let sent = forger.send_to(&[0; 20], &target, 0);
        let received = listener.receive().unwrap();
        match sent {
            Ok(_) => assert_eq!(received, Received::Refused),
            Err(error) => panic!("send to {target:?}: {error}"),
        }
        assert_eq!(listener.counters().refused, 1);
        assert_eq!(listener.receive().unwrap(), Received::Nothing);
    });
}

#[test]
fn whoever_waits_is_woken() {
    if !can_run("whoever_waits_is_woken") {
        return;
    }
    in_own_namespace(|runtime| {
        let mut ear = Ear::open(RECEIVE_BUFFER_BYTES);
        for table in ["t", "u"] {
            assert!(ear.hear().is_empty());
            let tool = Command::new("nft")
                .args(["add", "table", "ip", table])
                .spawn();
            let mut tool = tool.expect("start nft (package nftables)");
            let woken =
                runtime.block_on(async { timeout(patience(), ear.listener.readable()).await });
            woken.expect("it is woken").unwrap();
            assert!(tool.wait().unwrap().success());
            assert_eq!(ear.hear().len(), 1);
        }
    });
}

#[test]
fn nft_monitor_counts_the_same_events() {
    if !can_run("nft_monitor_counts_the_same_events") {
        return;
    }
    in_own_namespace(|_| {
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
        wait_until("the flush is told", wait_for_flush);
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
            // Without a flag that says otherwise, nft calls it an insertion.
            (
                "insert rule",
                if tells_places() {
                    ": add rule 1:"
                } else {
                    ": add rule untold:"
                },
            ),
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
fn wait_for_generations(log: &Path, before: usize, count: usize) -> String {
    let text = || fs::read_to_string(log).unwrap()[before..].to_owned();
    wait_until("every transaction is told", || {
        text().matches("# new generation").count() >= count
    });
    text()
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let pause = Duration::from_millis(5);
    for _ in 0..patience().as_millis() / pause.as_millis() {
        if holds() {
            return;
        }
        thread::sleep(pause);
    }
    panic!("not in time: {what}");
}
