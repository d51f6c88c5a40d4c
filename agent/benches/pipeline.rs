//! How fast records pass the pipeline, and how often each allocates.
//!
//! One iteration is one record (or what the name says), on a pipeline that has run for a while. The
//! allocation counters cost a nanosecond or two for each allocation, so the agent itself is a little
//! faster than these figures.

use std::hint::black_box;
use std::mem::offset_of;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher};
use uuid::Uuid;
use wallwatch::config::rule_file;
use wallwatch::delivery::encode::json::json_line;
use wallwatch::delivery::encode::{AlertContext, HostIdentity};
use wallwatch::pipeline::Pipeline;
use wallwatch::pipeline::alert::Alert;
use wallwatch::pipeline::assemble::{Assembler, AssemblerLimits};
use wallwatch::pipeline::decode::{Decoded, Decoder};
use wallwatch::pipeline::detect::{Detector, Limits, Rule};
use wallwatch::pipeline::exec::{Argv, Event, ExePath, ProcessKey, Running, Time};
use wallwatch::pipeline::firewall::program::command_of;
use wallwatch::pipeline::firewall::tamper::{Tamper, TamperLimits};
use wallwatch::pipeline::process_tree::{ProcessTree, TreeLimits};
use wallwatch::pipeline::provenance::Program;
use wallwatch_common::{ExecRecord, ExitRecord, ForkRecord, RecordHeader};

use ring_records::{Exec, Process};

#[path = "../../tests/stub/ring_records.rs"]
mod ring_records;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

/// Iterations of one sample: enough that each sample holds its share of the rare and costly steps.
const SAMPLE: u32 = 1_200;

/// What a pipeline has seen before it is measured: more than the tree and a group remember.
const WARM_UP_COUNT: u32 = 20_000;

/// Process ids come round again, as on a host.
const PIDS: u32 = 32_768;

const WALL_MINUS_BOOT_NS: i64 = 1_700_000_000_000_000_000;
const MILLISECOND_NS: u64 = 1_000_000;

const SHELL: Process = Process {
    tgid: 40,
    start_ns: 1_000,
};

const BULK: Exec<'_> = Exec {
    process: Process {
        tgid: 1_000,
        start_ns: 2_000,
    },
    parent: SHELL,
    filename: "/usr/bin/basename",
    exe: "/usr/bin/basename",
    parent_exe: "/usr/bin/dash",
    argv: &["/usr/bin/basename", "/var/lib/example/file"],
};

/// A firewall tool that opens a port.
const TOOL: Exec<'_> = Exec {
    filename: "/usr/sbin/iptables",
    exe: "/usr/sbin/xtables-nft-multi",
    argv: &[
        "iptables", "-I", "INPUT", "-p", "tcp", "--dport", "636", "-j", "ACCEPT",
    ],
    ..BULK
};

/// The ports that the rule watches, and an exec for each that it counts.
const PORTS: [&str; 6] = ["3269", "636", "989", "994", "995", "8443"];

fn main() {
    divan::main();
}

/// Bytes of a record to an event: an exec that no rule minds.
#[divan::bench(sample_size = SAMPLE)]
fn decode_exec(bencher: Bencher<'_, '_>) {
    let decoder = decoder();
    let record = ring_records::exec(MILLISECOND_NS, &BULK);
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench_local(|| decoder.decode(black_box(&record), WALL_MINUS_BOOT_NS));
}

/// The same, and through the pipeline: a living process execs again.
#[divan::bench(sample_size = SAMPLE)]
fn exec(bencher: Bencher<'_, '_>) {
    let mut host = Host::new();
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench_local(|| host.exec());
}

/// A whole life: fork, exec and exit.
#[divan::bench(sample_size = SAMPLE)]
fn fork_exec_exit(bencher: Bencher<'_, '_>) {
    let mut host = Host::new();
    (0..WARM_UP_COUNT).for_each(|_| host.life(true));
    bencher
        .counter(ItemsCount::new(3_usize))
        .bench_local(|| host.life(true));
}

/// A life without an exec.
#[divan::bench(sample_size = SAMPLE)]
fn fork_exit(bencher: Bencher<'_, '_>) {
    let mut host = Host::new();
    (0..WARM_UP_COUNT).for_each(|_| host.life(false));
    bencher
        .counter(ItemsCount::new(2_usize))
        .bench_local(|| host.life(false));
}

/// What the event loop does for the state directory now and then, for 20,000 living processes.
#[divan::bench]
fn remember_20000_processes(bencher: Bencher<'_, '_>) {
    let tree = tree_of_20000();
    bencher
        .counter(ItemsCount::new(20_000_usize))
        .bench_local(|| tree.remembered());
}

/// Each has a creator and a command line of its own.
fn tree_of_20000() -> ProcessTree {
    let mut tree = ProcessTree::new(TreeLimits::default());
    for tgid in 1..=20_000u32 {
        let argv = [
            &b"/usr/lib/example/worker"[..],
            b"--number",
            &tgid.to_string().into_bytes(),
        ];
        tree.handle_event(&Event::Running(Box::new(Running {
            process: ProcessKey {
                tgid,
                start_ns: u64::from(tgid) * 10 * MILLISECOND_NS,
            },
            parent_tgid: tgid / 10,
            exe: ExePath::Known(b"/usr/lib/example/worker"[..].into()),
            file: None,
            script: None,
            argv: Argv::from_arguments(argv),
            program: Program::default(),
        })));
    }
    tree
}

/// An exec that the rule counts, a hundred a second, all by one parent: an open alert grows.
#[divan::bench(sample_size = SAMPLE)]
fn matching_exec_of_one_group(bencher: Bencher<'_, '_>) {
    let mut host = Host::new();
    (0..WARM_UP_COUNT).for_each(|_| drop(host.matching(1)));
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench_local(|| host.matching(1));
}

/// Twelve execs of each parent, as malware does it: every group alerts, and the oldest have to go.
#[divan::bench(sample_size = SAMPLE)]
fn matching_exec_of_many_groups(bencher: Bencher<'_, '_>) {
    let mut host = Host::new();
    let mut n = 0;
    let mut next = || {
        n += 1;
        n / 12 % PIDS
    };
    (0..WARM_UP_COUNT).for_each(|_| drop(host.matching(next())));
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench_local(|| host.matching(next()));
}

/// What a firewall tool's command line means.
#[divan::bench(sample_size = SAMPLE)]
fn firewall_command(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        let argv = black_box(TOOL.argv)
            .iter()
            .map(|argument| argument.as_bytes());
        command_of(Some(TOOL.exe.as_bytes()), &argv.collect::<Vec<_>>())
    });
}

/// An exec of a firewall tool, from its bytes to the finding that grows by it.
#[divan::bench(sample_size = SAMPLE)]
fn firewall_command_joined(bencher: Bencher<'_, '_>) {
    let mut host = Host::new();
    host.exec = ring_records::exec(0, &TOOL);
    (0..WARM_UP_COUNT).for_each(|_| host.exec());
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench_local(|| host.exec());
}

/// An alert of twelve execs as a line.
#[divan::bench]
fn line_of_12_execs(bencher: Bencher<'_, '_>) {
    bench_line(bencher, 12);
}

/// The longest alert that is held, cut to fit into a line.
#[divan::bench]
fn line_of_1000_execs(bencher: Bencher<'_, '_>) {
    bench_line(bencher, 1_000);
}

fn bench_line(bencher: Bencher<'_, '_>, exec_count: u32) {
    let mut host = Host::new();
    (0..exec_count).for_each(|_| drop(host.matching(1)));
    host.way.pipeline.flush(host.now());
    let alert = std::iter::from_fn(|| host.way.pipeline.next_alert())
        .last()
        .expect("six ports make an alert");
    let context = context();
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench_local(|| json_line(black_box(&alert), &context));
}

/// A host whose records go through a pipeline.
struct Host {
    way: Way,
    boot_ns: u64,
    tgid: u32,
    exec: Vec<u8>,
    fork: Vec<u8>,
    exit: Vec<u8>,
    /// One for each port.
    matching: Vec<Vec<u8>>,
}

impl Host {
    fn new() -> Self {
        let child = BULK.process;
        let matching = PORTS.map(|port| {
            let command = format!("iptables -I OUTPUT -p tcp --dport {port} -j ACCEPT &>/dev/null");
            let argv = ["sh", "-c", &command];
            let exec = Exec {
                filename: "/bin/sh",
                exe: "/usr/bin/dash",
                parent_exe: "/tmp/cpd",
                argv: &argv,
                ..BULK
            };
            ring_records::exec(0, &exec)
        });
        Self {
            way: Way {
                decoder: decoder(),
                assembler: Assembler::new(AssemblerLimits::default()),
                pipeline: pipeline(),
            },
            boot_ns: 10_000 * MILLISECOND_NS,
            tgid: child.tgid,
            exec: ring_records::exec(0, &BULK),
            fork: ring_records::fork(0, child, SHELL),
            exit: ring_records::exit(0, child),
            matching: matching.to_vec(),
        }
    }

    fn exec(&mut self) {
        self.boot_ns += MILLISECOND_NS;
        put_u64(
            &mut self.exec,
            offset_of!(RecordHeader, time_ns),
            self.boot_ns,
        );
        self.way.handle(&self.exec);
    }

    fn life(&mut self, with_exec: bool) {
        self.boot_ns += MILLISECOND_NS;
        self.tgid = self.tgid % PIDS + 1_000;
        for (record, tgid_at, start_at) in [
            (
                &mut self.fork,
                offset_of!(ForkRecord, tgid),
                offset_of!(ForkRecord, start_ns),
            ),
            (
                &mut self.exec,
                offset_of!(ExecRecord, tgid),
                offset_of!(ExecRecord, start_ns),
            ),
            (
                &mut self.exit,
                offset_of!(ExitRecord, tgid),
                offset_of!(ExitRecord, start_ns),
            ),
        ] {
            put_u64(record, offset_of!(RecordHeader, time_ns), self.boot_ns);
            put_u64(record, start_at, self.boot_ns);
            put_u32(record, tgid_at, self.tgid);
        }
        self.way.handle(&self.fork);
        if with_exec {
            self.way.handle(&self.exec);
        }
        self.way.handle(&self.exit);
    }

    fn matching(&mut self, parent_tgid: u32) -> Option<Alert> {
        self.boot_ns += 10 * MILLISECOND_NS;
        self.tgid = self.tgid % PIDS + 1_000;
        self.matching.rotate_left(1);
        let record = &mut self.matching[0];
        put_u64(record, offset_of!(RecordHeader, time_ns), self.boot_ns);
        put_u64(record, offset_of!(ExecRecord, start_ns), self.boot_ns);
        put_u32(record, offset_of!(ExecRecord, tgid), self.tgid);
        put_u32(record, offset_of!(ExecRecord, parent_tgid), parent_tgid);
        self.way.handle(record);
        std::iter::from_fn(|| self.way.pipeline.next_alert()).last()
    }

    fn now(&self) -> Time {
        at(self.boot_ns)
    }
}

/// The way of a record, as the agent has it.
struct Way {
    decoder: Decoder,
    assembler: Assembler,
    pipeline: Pipeline,
}

impl Way {
    fn handle(&mut self, record: &[u8]) {
        let decoded = self
            .decoder
            .decode(black_box(record), WALL_MINUS_BOOT_NS)
            .expect("the record is whole");
        let time_at = offset_of!(RecordHeader, time_ns);
        let time_ns = record[time_at..time_at + 8]
            .try_into()
            .map_or(0, u64::from_ne_bytes);
        let now = at(time_ns);
        match decoded {
            Decoded::Event(event) => self.assembler.handle_event(event, now),
            Decoded::ArgvPart(part) => self.assembler.handle_part(part, now),
            Decoded::CgroupPath(_) => {}
        }
        while let Some(event) = self.assembler.next_event() {
            self.pipeline.handle_event(&event, now);
        }
    }
}

fn at(boot_ns: u64) -> Time {
    Time {
        boot_ns,
        wall_ns: boot_ns.saturating_add_signed(WALL_MINUS_BOOT_NS),
    }
}

fn put_u64(record: &mut [u8], at: usize, value: u64) {
    record[at..at + 8].copy_from_slice(&value.to_ne_bytes());
}

fn put_u32(record: &mut [u8], at: usize, value: u32) {
    record[at..at + 4].copy_from_slice(&value.to_ne_bytes());
}

fn pipeline() -> Pipeline {
    let spec = rule_file::built_in().expect("the built-in rule is valid");
    let rule = Rule::compile(spec).expect("the built-in rule compiles");
    Pipeline::new(
        Detector::new(rule, Limits::default()),
        Some(Tamper::new(TamperLimits::default(), Vec::new())),
        TreeLimits::default(),
    )
}

fn decoder() -> Decoder {
    Decoder {
        boot_id: Uuid::from_u128(7),
        dest: Some("host.example.net".into()),
        host_id: Some("0123456789abcdef0123456789abcdef".into()),
    }
}

fn context() -> AlertContext {
    AlertContext {
        host: HostIdentity {
            name: "host.example.net".to_owned(),
            id: None,
            boot_id: Some(Uuid::from_u128(7)),
            os: None,
            kernel: None,
        },
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        labels: std::collections::BTreeMap::new(),
    }
}
