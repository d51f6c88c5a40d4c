//! The seeds, made here and kept in `corpus/TARGET/`. `UPDATE_EXPECT=1` writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::mem::offset_of;
use std::path::Path;

use wallwatch::delivery::sinks::elastic::answer::items;
use wallwatch::delivery::sinks::hec::verdict::{acknowledged, text};
use wallwatch::delivery::sinks::otlp::answer::partial;
use wallwatch::exit_code::ExitCode;
use wallwatch::formats::Format;
use wallwatch::host::btf::Offsets;
use wallwatch_common::{
    ArgvChunk, ExecRecord, FailedExecRecord, MEMBERS, RECORD_VERSION, RecordHeader, RecordKind,
};

use wallwatch::pipeline::firewall::change::Command;
use wallwatch::pipeline::firewall::netlink::Datagram;

use crate::{answers, btf, command, formats, netlink, record, recording, ruleset, spool, xtables};
use ring_records::{Exec, Process};

mod firewall_seeds;
#[path = "../../stub/ring_records.rs"]
mod ring_records;

type Seeds = BTreeMap<&'static str, Vec<u8>>;

const PORTS: [&str; 4] = ["3269", "636", "989", "8443"];

#[test]
fn the_seeds_that_are_kept_are_those_made_here() {
    for (target, seeds) in [
        ("answers", answers_seeds()),
        ("spool", spool_seeds()),
        ("record", record_seeds()),
        ("recording", recording_seeds()),
        ("btf", btf_seeds()),
        ("sysmon", format_seeds(Format::Sysmon)),
        ("auditd", format_seeds(Format::Auditd)),
        ("laurel", format_seeds(Format::Laurel)),
        ("ecs", format_seeds(Format::Ecs)),
        ("netlink", firewall_seeds::netlink()),
        ("xtables", firewall_seeds::xtables()),
        ("command", firewall_seeds::command()),
        ("ruleset", firewall_seeds::ruleset()),
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(target);
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::create_dir_all(&folder).unwrap();
            for (name, bytes) in &seeds {
                fs::write(folder.join(name), bytes).unwrap();
            }
        }
        let kept = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap());
        let kept: BTreeSet<_> = kept.map(|entry| entry.file_name()).collect();
        let made = seeds.keys().map(|name| (*name).into()).collect();
        assert_eq!(kept, made, "{target}");
        for (name, bytes) in seeds {
            let kept = fs::read(folder.join(name)).unwrap();
            assert!(kept == bytes, "{target}/{name} is not what is made here");
        }
    }
}

/// Files of a spool, whole and damaged.
fn spool_seeds() -> Seeds {
    const CURSOR: &str = r#"{"schema":"wallwatch.cursor/1"}"#;
    let record = |seq: u64, json: &str| {
        let body = format!("{seq} {json}");
        format!("{:08x} {body}\n", crc32(body.as_bytes()))
    };
    let two = record(1, r#"{"id":"a"}"#) + &record(2, r#"{"id":"b"}"#);
    let second = record(100, r#"{"id":"c"}"#);
    let books = r#"{"schema":"wallwatch.store/1","epoch":"00000000-0000-0000-0000-000000000007","ran_s":7,"begun":[[1,0],[100,5]]}"#;
    let files = |parts: &[&str]| {
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        parts.join(spool::CUT)
    };
    Seeds::from([
        ("whole", files(&[&two, &second, books, CURSOR])),
        ("torn", files(&[&two, &second[..second.len() - 5], books])),
        (
            "damaged",
            files(&[&two.replace("\"a", "\"x"), &second, books]),
        ),
        ("out-of-order", files(&[&second, &two])),
        ("last-number", files(&[&record(u64::MAX, "{}"), "", books])),
    ])
}

/// CRC-32 of IEEE 802.3, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[test]
fn the_spool_seeds_are_recovered() {
    for (name, bytes) in spool_seeds() {
        println!("{name}");
        spool::check(&bytes);
    }
}

/// A status, and what receivers say with it.
fn answers_seeds() -> Seeds {
    let answer = |status: u16, body: &str| [&status.to_be_bytes(), body.as_bytes()].concat();
    Seeds::from([
        (
            "hec-accepted",
            answer(200, r#"{"text":"Success","code":0,"ackId":7}"#),
        ),
        (
            "hec-acknowledged",
            answer(200, r#"{"acks":{"0":true,"1":true,"2":false}}"#),
        ),
        (
            "hec-busy",
            answer(503, r#"{"text":"Server is busy","code":9}"#),
        ),
        (
            "hec-invalid",
            answer(
                400,
                r#"{"text":"Event field is required","code":12,"invalid-event-number":1}"#,
            ),
        ),
        (
            "otlp-rejected",
            answer(
                200,
                r#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"too old"}}"#,
            ),
        ),
        (
            "elastic-items",
            answer(
                200,
                r#"{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"failed to parse"}}}]}"#,
            ),
        ),
    ])
}

#[test]
fn the_answers_seeds_are_read_as_what_they_are_named() {
    for (name, bytes) in answers_seeds() {
        answers::check(&bytes);
        let body = &bytes[2..];
        let is_read = [
            ("hec-", text(body).is_some() || acknowledged(body).is_some()),
            (
                "otlp-",
                partial(body).is_some_and(|partial| partial.rejected == 2),
            ),
            (
                "elastic-",
                items(body).is_some_and(|items| items.len() == 2),
            ),
        ];
        let (_, is_read) = is_read
            .into_iter()
            .find(|(of, _)| name.starts_with(of))
            .unwrap();
        assert!(is_read, "{name}");
    }
}

#[test]
fn the_record_seeds_decode_and_the_attack_alerts() {
    for (name, bytes) in record_seeds() {
        let n_alerts = record::alerts_of(&bytes);
        assert_eq!(n_alerts > 0, name == "attack", "{name}");
    }
}

#[test]
fn the_recording_seeds_parse_and_the_attack_alerts() {
    for (name, bytes) in recording_seeds() {
        recording::check(&bytes);
        let summary = recording::replayed(&bytes, Format::Wallwatch);
        assert_eq!(summary.exit_code(), ExitCode::Success, "{name}");
        // The full one has a path beyond `PATH_MAX`.
        let alerts = name == "attack" || name == "full";
        assert_eq!(summary.alert_lines > 0, alerts, "{name}");
    }
}

#[test]
fn the_seeds_of_the_formats_are_read_and_each_attack_alerts() {
    for format in [Format::Sysmon, Format::Auditd, Format::Laurel, Format::Ecs] {
        for (name, bytes) in format_seeds(format) {
            formats::check(format, &bytes);
            let summary = recording::replayed(&bytes, format);
            assert_eq!(summary.exit_code(), ExitCode::Success, "{format:?} {name}");
            assert_eq!(
                summary.alert_lines > 0,
                name == "attack",
                "{format:?} {name}"
            );
        }
    }
}

#[test]
fn the_btf_seeds_resolve_and_the_whole_kernel_lacks_nothing() {
    for (name, bytes) in btf_seeds() {
        btf::check(&bytes);
        let n_missing = Offsets::resolve(&bytes).unwrap().missing().count();
        assert_eq!(n_missing == 0, name == "whole", "{name}");
    }
}

#[test]
fn the_netlink_seeds_are_read_whole_and_change_something() {
    for (name, bytes) in firewall_seeds::netlink() {
        netlink::check(&bytes);
        assert_eq!(Datagram::decode(&bytes).malformed, 0, "{name}");
        assert!(netlink::changes_of(&bytes) > 0, "{name}");
    }
}

#[test]
fn the_xtables_seeds_are_read_whole() {
    for (name, bytes) in firewall_seeds::xtables() {
        xtables::check(&bytes);
        assert!(name != "listing" || xtables::changes_of(&bytes) > 0);
    }
}

#[test]
fn the_command_seeds_are_tools_that_change_something() {
    for (name, bytes) in firewall_seeds::command() {
        command::check(&bytes);
        let meaning = command::meaning(&bytes);
        let changes = matches!(meaning, Some((_, Command::Changes(_))));
        assert!(changes, "{name}: {meaning:?}");
    }
}

#[test]
fn the_ruleset_seeds_are_read_whole_in_their_language() {
    for (name, bytes) in firewall_seeds::ruleset() {
        ruleset::check(&bytes);
        let (restored, command) = ruleset::meanings(&bytes);
        let is_nft = matches!(command, Command::Changes(_));
        let is_restored = restored.fault.is_none() && !restored.changes.is_empty();
        assert_eq!(is_nft, name.starts_with("nft"), "{name}: {command:?}");
        assert_eq!(is_restored, !is_nft, "{name}: {restored:?}");
    }
}

fn record_seeds() -> Seeds {
    let shell = process(40);
    let child = process(41);
    let bulk = Exec {
        process: child,
        parent: shell,
        filename: "/usr/bin/basename",
        exe: "/usr/bin/basename",
        parent_exe: "/usr/bin/dash",
        argv: &["/usr/bin/basename", "/var/lib/example/file", ""],
    };
    let life = [
        ring_records::fork(1_000, child, shell),
        ring_records::exec(2_000, &bulk),
        ring_records::exit(3_000, child),
    ];
    let attack = PORTS.iter().zip(50_u32..).map(|(port, tgid)| {
        let command = command(port);
        let argv = ["sh", "-c", &command];
        let exec = Exec {
            process: process(tgid),
            parent: child,
            filename: "/bin/sh",
            exe: "/usr/bin/dash",
            parent_exe: "/tmp/cpd",
            argv: &argv,
        };
        ring_records::exec(u64::from(tgid) * 1_000_000, &exec)
    });
    Seeds::from([
        ("exec", ring_records::exec(1_000, &bulk)),
        ("life", life.concat()),
        ("long", with_more_arguments(&bulk)),
        ("failed", failed_exec()),
        ("attack", attack.collect::<Vec<_>>().concat()),
    ])
}

/// An exec whose command line goes on for 40,000 bytes, in three pieces. Of these only the beginning is
/// kept; the target fills them up.
fn with_more_arguments(exec: &Exec<'_>) -> Vec<u8> {
    const TIME_NS: u64 = 1_000;
    let mut out = ring_records::exec(TIME_NS, exec);
    let full_at = offset_of!(ExecRecord, argv_bytes_full);
    let full: [u8; 8] = out[full_at..full_at + 8].try_into().unwrap();
    let first = u64::from_ne_bytes(full);
    out[full_at..full_at + 8].copy_from_slice(&(first + 40_000).to_ne_bytes());
    for (offset, bytes) in [(0, 16_384), (16_384, 16_384), (32_768, 7_232)] {
        let length = offset_of!(ArgvChunk, argv) as u32 + 8;
        out.extend(TIME_NS.to_ne_bytes());
        out.extend(length.to_ne_bytes());
        // The share follows.
        out.extend([RecordKind::ArgvChunk as u8, RECORD_VERSION, 0, 0]);
        out.extend(u64::to_ne_bytes(first + offset));
        out.extend(exec.process.tgid.to_ne_bytes());
        out.extend(u32::to_ne_bytes(bytes));
        out.extend(b"argument");
    }
    out
}

/// An exec that found no file.
fn failed_exec() -> Vec<u8> {
    let (filename, argv) = (b"/sbin/nft\0", b"nft\0list ruleset\0");
    let mut out = vec![0; size_of::<FailedExecRecord>()];
    let total = (out.len() + filename.len() + argv.len()) as u32;
    let mut put = |at: usize, value: &[u8]| out[at..at + value.len()].copy_from_slice(value);
    put(offset_of!(RecordHeader, time_ns), &1_000u64.to_ne_bytes());
    put(
        offset_of!(RecordHeader, kind),
        &[RecordKind::FailedExec as u8],
    );
    put(offset_of!(RecordHeader, version), &[RECORD_VERSION]);
    put(offset_of!(FailedExecRecord, comm), b"sh");
    for (at, value) in [
        (offset_of!(RecordHeader, bytes), total),
        (offset_of!(FailedExecRecord, tgid), 41),
        (offset_of!(FailedExecRecord, tid), 41),
        (offset_of!(FailedExecRecord, parent_tgid), 40),
        (offset_of!(FailedExecRecord, login_uid), u32::MAX),
        (offset_of!(FailedExecRecord, session_id), u32::MAX),
        (offset_of!(FailedExecRecord, error), 2),
        (
            offset_of!(FailedExecRecord, filename_bytes),
            filename.len() as u32,
        ),
        (offset_of!(FailedExecRecord, argv_bytes), argv.len() as u32),
    ] {
        put(at, &value.to_ne_bytes());
    }
    out.extend(filename);
    out.extend(argv);
    out
}

fn process(tgid: u32) -> Process {
    Process {
        tgid,
        start_ns: u64::from(tgid) * 1_000,
    }
}

fn command(port: &str) -> String {
    format!("iptables -I OUTPUT -p tcp --dport {port} -j ACCEPT &>/dev/null")
}

fn recording_seeds() -> Seeds {
    let minimal = r#"{"time": 1795488043.803, "pid": 3486, "ppid": 3485, "uid": 0, "exe": "/usr/bin/true", "argv": ["true"], "parent_exe": null}
"#;
    let full = r#"{"time":1795488043.803000001,"guid":"79ff81aa-7100-5520-b494-70a95bccfefa","pid":3486,"tid":3487,"start_time":12.5,"ppid":3485,"parent_start_time":12.25,"uid":0,"gid":0,"euid":0,"login_uid":1000,"session_id":2,"user":"root","host":"gateway","host_id":"0123","comm":"sh","filename":"./run","interp":"/bin/sh","exe":null,"exe_unknown":"unfinished","exe_deleted":true,"exe_memfd":true,"argv":["sh","a b",""],"argv_bytes_full":9000,"argv_unread":true,"parent_exe":{"base64":"L3RtcC//"},"parent_argv":["cpd"],"cgroup_id":1,"cgroup":"/system.slice/cron.service","namespaces":{"mount":{"inum":4026531840,"host":true},"pid":{"inum":4026531836,"host":true},"net":{"inum":4026531833,"host":false},"user":{"inum":4026531837,"host":null}},"stdout_null":true,"stderr_null":true}
"#;
    let attack: String = PORTS
        .iter()
        .enumerate()
        .map(|(index, port)| {
            let command = command(port);
            format!(
                r#"{{"time":{}.5,"pid":{},"ppid":3485,"uid":0,"exe":"/usr/bin/dash","argv":["sh","-c","{command}"],"parent_exe":"/tmp/cpd"}}"#,
                1_795_488_043 + index,
                3_486 + index,
            ) + "\n"
        })
        .collect();
    Seeds::from([
        ("minimal", minimal.into()),
        ("full", full.into()),
        ("attack", attack.into()),
    ])
}

fn format_seeds(format: Format) -> Seeds {
    let cpd = one_exec(format, 3_485, "/tmp/cpd", &["cpd"]);
    let attack = PORTS
        .iter()
        .zip(3_486..)
        .map(|(port, pid)| one_exec(format, pid, "/usr/bin/dash", &["sh", "-c", &command(port)]));
    let other = match format {
        Format::Wallwatch => "{\"kind\":\"later\"}\n",
        Format::Sysmon => "<Event><System><EventID>5</EventID>\n</System></Event>\n",
        Format::Auditd => "node=a type=USER_LOGIN msg=audit(1795488043.803:1): pid=1\n",
        Format::Laurel => "{\"ID\":\"1795488043.803:1\",\"USER_LOGIN\":[{}]}\n",
        Format::Ecs => "{\"_source\":{\"event.category\":\"network\"}}\n",
    };
    Seeds::from([
        ("exec", cpd.clone().into_bytes()),
        ("other", other.into()),
        ("attack", (cpd + &attack.collect::<String>()).into_bytes()),
    ])
}

/// One exec of a child of process 3485, as the format has it.
fn one_exec(format: Format, pid: u32, exe: &str, argv: &[&str]) -> String {
    let list = argv.join("\",\"");
    let joined = argv.join(" ").replace('&', "&amp;").replace('>', "&gt;");
    let mut out = match format {
        Format::Wallwatch => format!(
            r#"{{"time":1795488043.8,"pid":{pid},"ppid":3485,"uid":0,"exe":"{exe}","argv":["{list}"],"parent_exe":"/tmp/cpd"}}"#
        ),
        Format::Sysmon => {
            let data = [
                ("UtcTime", "2026-11-24 02:40:43.803"),
                ("ProcessId", &pid.to_string()),
                ("Image", exe),
                ("CommandLine", &joined),
                ("ParentProcessId", "3485"),
                ("ParentImage", "/tmp/cpd"),
            ];
            let data = data.map(|(name, value)| format!("<Data Name=\"{name}\">{value}</Data>"));
            format!(
                "sysmon: <Event><System><EventID>1</EventID></System><EventData>{}</EventData></Event>",
                data.concat()
            )
        }
        Format::Auditd => {
            let stamp = format!("msg=audit(1795488043.803:{pid}):");
            let hex =
                |text: &str| -> String { text.bytes().map(|byte| format!("{byte:02X}")).collect() };
            let arguments = argv.iter().enumerate();
            let arguments = arguments.map(|(index, text)| format!(" a{index}={}", hex(text)));
            format!(
                "type=SYSCALL {stamp} arch=c000003e syscall=59 success=yes ppid=3485 pid={pid} uid=0 exe=\"{exe}\"\n\
                 type=EXECVE {stamp} argc={}{}\ntype=EOE {stamp}",
                argv.len(),
                arguments.collect::<String>()
            )
        }
        Format::Laurel => format!(
            r#"{{"ID":"1795488043.803:{pid}","SYSCALL":{{"arch":"0xc000003e","syscall":59,"success":"yes","pid":{pid},"ppid":3485,"exe":"{exe}"}},"EXECVE":{{"argc":{},"ARGV":["{list}"]}}}}"#,
            argv.len()
        ),
        Format::Ecs => format!(
            r#"{{"@timestamp":"2026-11-24T02:40:43.803Z","event":{{"category":["process"],"action":"exec"}},"process":{{"pid":{pid},"executable":"{exe}","args":["{list}"],"parent":{{"pid":3485,"executable":"/tmp/cpd"}}}}}}"#
        ),
    };
    out.push('\n');
    out
}

fn btf_seeds() -> Seeds {
    Seeds::from([
        ("whole", kernel_types(|_| true)),
        ("least", kernel_types(|required| required)),
    ])
}

/// The types of a kernel that has the members whose need is `wanted`, and no others.
fn kernel_types(wanted: impl Fn(bool) -> bool) -> Vec<u8> {
    let mut structures: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for spec in MEMBERS.iter().filter(|spec| wanted(spec.required)) {
        let members = structures.entry(spec.structure).or_default();
        // Of several names the first.
        let path = spec.path.split('|').next().unwrap_or_default();
        if !path.is_empty() {
            members.insert(path);
        }
    }
    let mut types = Types::default();
    for (name, members) in structures {
        types.structure(name, &members);
    }
    types.finish()
}

/// BTF under construction (`Documentation/bpf/btf.rst`).
#[derive(Default)]
struct Types {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

impl Types {
    /// A structure with these members, eight bytes each. One with a dot is a typedef of a structure;
    /// every third stands in an anonymous union.
    fn structure(&mut self, name: &str, paths: &BTreeSet<&str>) -> u32 {
        let mut inner: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for path in paths {
            let (first, rest) = path.split_once('.').unwrap_or((path, ""));
            let members = inner.entry(first).or_default();
            members.extend((!rest.is_empty()).then_some(rest));
        }
        let mut members = Vec::new();
        for (index, (member, paths)) in inner.into_iter().enumerate() {
            let mut r#type = match paths.is_empty() {
                true => self.r#type("long", 1 << 24, 8, &[64]),
                false => {
                    let structure = self.structure("", &paths);
                    self.r#type("alias", 8 << 24, structure, &[])
                }
            };
            let mut member = self.string(member);
            if index % 3 == 2 {
                r#type = self.r#type("", 5 << 24 | 1, 8, &[member, r#type, 0]);
                member = 0;
            }
            members.extend([member, r#type, index as u32 * 64]);
        }
        let count = members.len() as u32 / 3;
        self.r#type(name, 4 << 24 | count, count * 8, &members)
    }

    fn r#type(&mut self, name: &str, info: u32, size_or_type: u32, rest: &[u32]) -> u32 {
        let name = self.string(name);
        for word in [name, info, size_or_type].iter().chain(rest) {
            self.types.extend_from_slice(&word.to_ne_bytes());
        }
        self.count += 1;
        self.count
    }

    fn string(&mut self, text: &str) -> u32 {
        if self.strings.is_empty() {
            self.strings.push(0);
        }
        if text.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        at
    }

    fn finish(self) -> Vec<u8> {
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        let mut out = 0xeb9f_u16.to_ne_bytes().to_vec();
        out.extend([1, 0]);
        for word in [24, 0, types, types, strings] {
            out.extend_from_slice(&u32::to_ne_bytes(word));
        }
        out.extend(self.types);
        out.extend(self.strings);
        out
    }
}
