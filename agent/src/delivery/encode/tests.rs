use std::sync::Arc;

use expect_test::expect;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::Value;

use crate::pipeline::alert::Evidence;
use crate::pipeline::alert::{Blindness, ExcerptPart, GroupKey, RuleIdentity, Severity};
use crate::pipeline::cgroup::Cgroup;
use crate::pipeline::exec::{ArgvSource, FileId, FileStat, Namespace, Namespaces, ProcessKey};
use crate::pipeline::tty::Tty;

use super::human::human;
use super::json::{LINE_BYTES_MAX, json_line};
use super::schema::assert_valid;
use super::text::is_active;
use super::*;

const START: u64 = 1_795_488_043_803_000_000;

fn context() -> AlertContext {
    AlertContext {
        host: HostIdentity {
            name: "web-1".to_owned(),
            id: Some("4f3c0b7e5a1d4c0e9b7a2f6d8e1c3a5b".to_owned()),
            boot_id: Some(Uuid::from_u128(7)),
            os: Some("Debian GNU/Linux 12 (bookworm)".to_owned()),
            kernel: None,
        },
        agent_version: "0.1.0".to_owned(),
        labels: BTreeMap::new(),
    }
}

fn at(ms: u64) -> Time {
    Time {
        boot_ns: ms * 1_000_000,
        wall_ns: START + ms * 1_000_000,
    }
}

fn process(tgid: u32) -> ProcessKey {
    ProcessKey {
        tgid,
        start_ns: u64::from(tgid) * 1_000_000,
    }
}

fn path(text: &str) -> ExePath {
    ExePath::Known(text.as_bytes().into())
}

fn whole(text: &[u8]) -> Excerpt {
    Excerpt {
        parts: vec![ExcerptPart {
            offset: 0,
            bytes: text.to_vec(),
        }],
        bytes_full: text.len() as u64,
        sha256: None,
    }
}

fn command(port: &str) -> Vec<u8> {
    format!("sh -c iptables -I OUTPUT -p tcp --dport {port} -j ACCEPT &>/dev/null").into_bytes()
}

fn evidence(index: u32, text: Excerpt, port: Option<&str>) -> Evidence {
    Evidence {
        time: at(u64::from(index) * 10),
        guid: Uuid::from_u128(u128::from(index) + 1),
        process: process(4000 + index),
        exe: path("/usr/bin/bash"),
        exe_deleted: false,
        exe_memfd: false,
        uid: Some(0),
        euid: Some(0),
        login_uid: Some(1000),
        cgroup_id: 4242,
        session_id: Some(3),
        tty: Tty::Device(136 << 20 | 3),
        cap_effective: Some(0x1ff_ffff_ffff),
        cgroup: Cgroup::parse(b"/system.slice/cron.service").map(Arc::new),
        namespaces: Namespaces {
            net: Namespace {
                inum: 4_026_531_840,
                is_host: Some(true),
            },
            ..Namespaces::default()
        },
        exe_sha256: None,
        user: None,
        exe_file: Some(FileId {
            inode: 1234,
            device: 8 << 20 | 1,
        }),
        exe_stat: Some(FileStat {
            uid: 0,
            gid: 0,
            mode: 0o100_755,
            links: 1,
            change_ns: 1_795_488_043_000_000_000,
            overlay_upper: false,
        }),
        script: None,
        stdout_null: false,
        stderr_null: true,
        process_text: text,
        argv_bytes_lost: 0,
        argv_source: ArgvSource::Kernel,
        port: port.map(str::to_owned),
    }
}

fn ancestor(tgid: u32, exe: ExePath, command_line: &str) -> Ancestor {
    Ancestor {
        program: crate::pipeline::provenance::Program::default(),
        process: process(tgid),
        exe,
        script: None,
        claimed_script: None,
        command_line: command_line.as_bytes().to_vec(),
        command_line_bytes_full: command_line.len() as u64,
        exec_time: None,
        ended: false,
    }
}

/// What the published sequence looks like, three ports long.
fn sample() -> Alert {
    let ports = ["3269", "636", "8443"];
    let clause = |clause: &str, offset, found: &[u8]| ClauseMatch {
        clause: clause.to_owned(),
        offset,
        found: found.to_vec(),
    };
    Alert {
        id: Uuid::from_u128(0xa1e7),
        revision: 0,
        state: AlertState::Open,
        rule: Arc::new(RuleIdentity {
            id: "309d59dc-1e1b-49b2-9800-7cf18d12f7b7".to_owned(),
            name: "Linux Iptables Firewall Modification".to_owned(),
            version: 1,
            severity: Severity::Medium,
            risk_score: 25,
            mitre_technique_id: vec!["T1562.004".to_owned(), "T1686".to_owned()],
        }),
        window_mode: WindowMode::Sliding,
        window_span_s: 3600,
        first_seen: at(0),
        last_seen: at(20),
        key: GroupKey {
            process_name: b"bash"[..].into(),
            parent_process_name: b"cpd"[..].into(),
            parent_process_id: 3485,
            dest: "web-1".into(),
            user: "root".into(),
            parent_process_path: b"/tmp/.x/cpd"[..].into(),
            process_path: b"/usr/bin/bash"[..].into(),
        },
        processes_exec: ports.iter().map(|port| whole(&command(port))).collect(),
        ports: ports.map(str::to_owned).into(),
        guids: (1..=3).map(Uuid::from_u128).collect(),
        pids: vec![4000, 4001, 4002],
        port_count: 3,
        count: 3,
        execs: (0..)
            .zip(ports)
            .map(|(index, port)| evidence(index, whole(&command(port)), Some(port)))
            .collect(),
        matched: vec![
            clause("process=\"*iptables *\"", Some(6), b"iptables "),
            clause("process=\"* ACCEPT*\"", Some(48), b" ACCEPT"),
            clause(
                "NOT parent_process_path IN (\"/bin/*\")",
                None,
                b"/tmp/.x/cpd",
            ),
        ],
        parent: process(3485),
        parent_unknown: None,
        parent_deleted: false,
        parent_memfd: false,
        origin: Vec::new(),
        ancestry: vec![
            ancestor(3485, path("/tmp/.x/cpd"), "[kworker:0/1]"),
            Ancestor {
                ended: true,
                exec_time: Some(at(0)),
                ..ancestor(3001, ExePath::Unknown(Unknown::NotRecorded), "")
            },
            ancestor(1, path("/usr/lib/systemd/systemd"), "/sbin/init"),
        ],
        blindness: Blindness::default(),
        redacted: 0,
    }
}

/// An alert of `count` execs with command lines of `text_bytes`.
fn large(count: u32, text_bytes: usize) -> Alert {
    let texts: Vec<Excerpt> = (0..count)
        .map(|index| {
            let mut text = format!("sh -c {index:06} ").into_bytes();
            text.resize(text_bytes.max(text.len()), b'x');
            whole(&text)
        })
        .collect();
    Alert {
        guids: (0..count).map(|it| Uuid::from_u128(it.into())).collect(),
        pids: (0..count).collect(),
        count: count.into(),
        execs: (0..count)
            .zip(&texts)
            .map(|(index, text)| evidence(index, text.clone(), None))
            .collect(),
        processes_exec: texts,
        ..sample()
    }
}

fn parsed(line: &[u8]) -> Value {
    assert!(line.len() <= LINE_BYTES_MAX, "{} bytes", line.len());
    let text = str::from_utf8(line).unwrap();
    let (json, end) = text.split_at(text.len() - 1);
    assert_eq!(end, "\n");
    assert!(!json.contains(is_active), "{json:?}");
    let event = serde_json::from_str(json).unwrap();
    assert_valid(&event);
    event
}

#[test]
fn an_alert_is_one_line_with_its_fields_in_a_fixed_order() {
    let line = json_line(&sample(), &context());
    expect![[r#"
        {"schema":"wallwatch.alert/1","id":"00000000-0000-0000-0000-00000000a1e7","revision":0,"kind":"alert","state":"open","rule":{"id":"309d59dc-1e1b-49b2-9800-7cf18d12f7b7","name":"Linux Iptables Firewall Modification","version":1},"severity":"medium","risk_score":25,"mitre_technique_id":["T1562.004","T1686"],"first_seen":"2026-11-24T02:40:43.803000000Z","last_seen":"2026-11-24T02:40:43.823000000Z","process_name":"bash","parent_process_name":"cpd","parent_process_id":"3485","dest":"web-1","user":"root","parent_process_path":"/tmp/.x/cpd","process_path":"/usr/bin/bash","processes_exec":["sh -c iptables -I OUTPUT -p tcp --dport 3269 -j ACCEPT &>/dev/null","sh -c iptables -I OUTPUT -p tcp --dport 636 -j ACCEPT &>/dev/null","sh -c iptables -I OUTPUT -p tcp --dport 8443 -j ACCEPT &>/dev/null"],"ports":["3269","636","8443"],"guids":["00000000-0000-0000-0000-000000000001","00000000-0000-0000-0000-000000000002","00000000-0000-0000-0000-000000000003"],"pids":["4000","4001","4002"],"port_count":3,"count":3,"window":{"mode":"sliding","span_seconds":3600},"host":{"name":"web-1","id":"4f3c0b7e5a1d4c0e9b7a2f6d8e1c3a5b","boot_id":"00000000-0000-0000-0000-000000000007","os":"Debian GNU/Linux 12 (bookworm)","kernel":null},"agent":{"name":"wallwatch","version":"0.1.0"},"execs":[{"time":"2026-11-24T02:40:43.803000000Z","guid":"00000000-0000-0000-0000-000000000001","pid":4000,"start_ns":4000000000,"executable":"/usr/bin/bash","deleted":false,"memfd":false,"file":{"inode":1234,"device":"8:1","uid":0,"gid":0,"mode":"100755","links":1,"changed":"2026-11-24T02:40:43.000000000Z","overlay_upper":false},"uid":0,"euid":0,"login_uid":1000,"session_id":3,"tty":"136:3","cap_effective":"000001ffffffffff","cgroup":{"id":4242,"path":"/system.slice/cron.service","unit":"cron.service"},"namespaces":{"mount":{"inum":0,"host":null},"pid":{"inum":0,"host":null},"net":{"inum":4026531840,"host":true},"user":{"inum":0,"host":null}},"stdout_null":false,"stderr_null":true,"command_line":"sh -c iptables -I OUTPUT -p tcp --dport 3269 -j ACCEPT &>/dev/null","argv_source":"kernel","argv_bytes_lost":0,"port":"3269"},{"time":"2026-11-24T02:40:43.813000000Z","guid":"00000000-0000-0000-0000-000000000002","pid":4001,"start_ns":4001000000,"executable":"/usr/bin/bash","deleted":false,"memfd":false,"file":{"inode":1234,"device":"8:1","uid":0,"gid":0,"mode":"100755","links":1,"changed":"2026-11-24T02:40:43.000000000Z","overlay_upper":false},"uid":0,"euid":0,"login_uid":1000,"session_id":3,"tty":"136:3","cap_effective":"000001ffffffffff","cgroup":{"id":4242,"path":"/system.slice/cron.service","unit":"cron.service"},"namespaces":{"mount":{"inum":0,"host":null},"pid":{"inum":0,"host":null},"net":{"inum":4026531840,"host":true},"user":{"inum":0,"host":null}},"stdout_null":false,"stderr_null":true,"command_line":"sh -c iptables -I OUTPUT -p tcp --dport 636 -j ACCEPT &>/dev/null","argv_source":"kernel","argv_bytes_lost":0,"port":"636"},{"time":"2026-11-24T02:40:43.823000000Z","guid":"00000000-0000-0000-0000-000000000003","pid":4002,"start_ns":4002000000,"executable":"/usr/bin/bash","deleted":false,"memfd":false,"file":{"inode":1234,"device":"8:1","uid":0,"gid":0,"mode":"100755","links":1,"changed":"2026-11-24T02:40:43.000000000Z","overlay_upper":false},"uid":0,"euid":0,"login_uid":1000,"session_id":3,"tty":"136:3","cap_effective":"000001ffffffffff","cgroup":{"id":4242,"path":"/system.slice/cron.service","unit":"cron.service"},"namespaces":{"mount":{"inum":0,"host":null},"pid":{"inum":0,"host":null},"net":{"inum":4026531840,"host":true},"user":{"inum":0,"host":null}},"stdout_null":false,"stderr_null":true,"command_line":"sh -c iptables -I OUTPUT -p tcp --dport 8443 -j ACCEPT &>/dev/null","argv_source":"kernel","argv_bytes_lost":0,"port":"8443"}],"parent":{"pid":3485,"start_ns":3485000000,"executable":"/tmp/.x/cpd","deleted":false,"memfd":false,"ancestry":[{"pid":3485,"start_ns":3485000000,"executable":"/tmp/.x/cpd","command_line":"[kworker:0/1]","exec_time":null,"ended":false},{"pid":3001,"start_ns":3001000000,"executable":null,"executable_unknown":"not-recorded","command_line":"","exec_time":"2026-11-24T02:40:43.803000000Z","ended":true},{"pid":1,"start_ns":1000000,"executable":"/usr/lib/systemd/systemd","command_line":"/sbin/init","exec_time":null,"ended":false}]},"matched":[{"clause":"process=\"*iptables *\"","offset":6,"found":"iptables "},{"clause":"process=\"* ACCEPT*\"","offset":48,"found":" ACCEPT"},{"clause":"NOT parent_process_path IN (\"/bin/*\")","offset":null,"found":"/tmp/.x/cpd"}],"sensor":{"truncated":0,"faults":0,"lost":0,"execs_omitted":0,"processes_exec_omitted":0,"guids_omitted":0}}
    "#]].assert_eq(str::from_utf8(&line).unwrap());
}

#[test]
fn an_alert_of_unknowns_says_why_they_are_unknown() {
    let exec = Evidence {
        exe: ExePath::Unknown(Unknown::Fault),
        login_uid: None,
        port: None,
        argv_source: ArgvSource::Unread,
        process_text: whole(b""),
        ..evidence(0, whole(b""), None)
    };
    let alert = Alert {
        parent_unknown: Some(Unknown::Changed),
        parent_deleted: true,
        parent_memfd: false,
        execs: vec![exec],
        ancestry: Vec::new(),
        ..sample()
    };
    let line = parsed(&json_line(&alert, &context()));
    expect![[r#"
        [{"argv_bytes_lost":0,"argv_source":"unread","cap_effective":"000001ffffffffff","cgroup":{"id":4242,"path":"/system.slice/cron.service","unit":"cron.service"},"command_line":"","deleted":false,"euid":0,"executable":null,"executable_unknown":"fault","file":{"changed":"2026-11-24T02:40:43.000000000Z","device":"8:1","gid":0,"inode":1234,"links":1,"mode":"100755","overlay_upper":false,"uid":0},"guid":"00000000-0000-0000-0000-000000000001","login_uid":null,"memfd":false,"namespaces":{"mount":{"host":null,"inum":0},"net":{"host":true,"inum":4026531840},"pid":{"host":null,"inum":0},"user":{"host":null,"inum":0}},"pid":4000,"port":null,"session_id":3,"start_ns":4000000000,"stderr_null":true,"stdout_null":false,"time":"2026-11-24T02:40:43.803000000Z","tty":"136:3","uid":0}]
        {"ancestry":[],"deleted":true,"executable":null,"executable_unknown":"changed","memfd":false,"pid":3485,"start_ns":3485000000}
    "#]].assert_eq(&format!("{}\n{}\n", line["execs"], line["parent"]));
}

#[test]
fn a_long_command_line_is_shown_in_pieces_with_its_length_and_hash() {
    let part = |offset, text: &str| ExcerptPart {
        offset,
        bytes: text.into(),
    };
    let text = Excerpt {
        parts: vec![part(0, "sh -c :"), part(20_000, "iptables --dport 636")],
        bytes_full: 20_100,
        sha256: Some([0xab; 32]),
    };
    let alert = Alert {
        processes_exec: vec![text.clone()],
        execs: vec![evidence(0, text, Some("636"))],
        ..sample()
    };
    let line = parsed(&json_line(&alert, &context()));
    let exec = &line["execs"][0];
    expect![[r#"
        ["sh -c : […19993 bytes…] iptables --dport 636 […80 bytes…] "]
        "sh -c : […19993 bytes…] iptables --dport 636 […80 bytes…] "
        {"bytes":20100,"sha256":"abababababababababababababababababababababababababababababababab","shown":[[0,7],[20000,20]]}
    "#]].assert_eq(&format!(
        "{}\n{}\n{}\n",
        line["processes_exec"], exec["command_line"], exec["command_line_cut"]
    ));
    assert_eq!(line.get("cut"), None);
}

#[test]
fn what_acts_on_a_terminal_or_ends_a_line_is_escaped() {
    let text = "\x1b[2J\r\n\u{7f}\u{9b}31m\u{2028}\u{202e}\u{feff}\u{200b}\u{e0041}é \"\\";
    let alert = Alert {
        processes_exec: vec![whole(text.as_bytes()), whole(b"\xff\x80 \\xff")],
        ..sample()
    };
    let line = json_line(&alert, &context());
    assert_eq!(parsed(&line)["processes_exec"][0], text);
    let line = String::from_utf8(line).unwrap();
    let (_, list) = line.split_once("\"processes_exec\":").unwrap();
    let (list, _) = list.split_once(",\"ports\"").unwrap();
    expect![[r#"["\u001b[2J\r\n\u007f\u009b31m\u2028\u202e\ufeff\u200b\udb40\udc41é \"\\","\\xff\\x80 \\xff"]"#]]
        .assert_eq(list);
    assert!(
        !human(&alert, &context())
            .replace('\n', "")
            .contains(is_active)
    );
}

/// What a line keeps of a large alert: command lines, execs, guids, bytes, and what it says is gone.
fn kept(alert: &Alert) -> String {
    let line = json_line(alert, &context());
    let value = parsed(&line);
    let count = |key: &str| value[key].as_array().unwrap().len();
    let text = value["execs"][0]["command_line"].as_str().unwrap();
    format!(
        "{} processes_exec, {} execs, {} guids, {} characters of text, {} bytes, {}\n",
        count("processes_exec"),
        count("execs"),
        count("guids"),
        text.chars().count(),
        line.len(),
        value.get("cut").unwrap_or(&Value::Null)
    )
}

#[test]
fn a_line_that_would_be_too_long_gives_up_text_before_items() {
    let cases = [
        (3, 100),
        (12, 4096),
        (60, 80),
        (200, 80),
        (2000, 4096),
        (50_000, 20),
    ];
    let kept: String = cases
        .map(|(count, text_bytes)| kept(&large(count, text_bytes)))
        .concat();
    expect![[r#"
        3 processes_exec, 3 execs, 3 guids, 100 characters of text, 4814 bytes, null
        12 processes_exec, 12 execs, 12 guids, 2064 characters of text, 62777 bytes, {"text_bytes_max":2048}
        60 processes_exec, 60 execs, 60 guids, 80 characters of text, 59579 bytes, null
        32 processes_exec, 32 execs, 128 guids, 80 characters of text, 36953 bytes, {"execs":168,"guids":72,"pids":72,"processes_exec":168,"text_bytes_max":16384}
        16 processes_exec, 16 execs, 64 guids, 1040 characters of text, 52483 bytes, {"execs":1984,"guids":1936,"pids":1936,"processes_exec":1984,"text_bytes_max":1024}
        64 processes_exec, 64 execs, 256 guids, 20 characters of text, 64517 bytes, {"execs":49936,"guids":49744,"pids":49744,"processes_exec":49936,"text_bytes_max":16384}
    "#]].assert_eq(&kept);
}

#[test]
fn what_the_lists_of_an_alert_leave_out_is_said_to_a_program_and_to_a_person() {
    let alert = Alert {
        count: 3000,
        blindness: Blindness {
            execs_omitted: 2997,
            processes_exec_omitted: 2990,
            guids_omitted: 1976,
            ..Blindness::default()
        },
        ..sample()
    };
    let sensor = &parsed(&json_line(&alert, &context()))["sensor"];
    expect![[r#"{"execs_omitted":2997,"faults":0,"guids_omitted":1976,"lost":0,"processes_exec_omitted":2990,"truncated":0}"#]]
        .assert_eq(&sensor.to_string());
    let page = human(&alert, &context());
    let lines = page.lines().map(str::trim);
    let lines: Vec<_> = lines
        .filter(|line| line.starts_with("what") || line.starts_with("unseen"))
        .collect();
    expect![[r#"
          what     3000 runs of /usr/bin/bash, 3 of up to 2993 command lines:
          unseen   2997 execs counted but not listed, 1976 guids and their pids not listed"#]]
    .assert_eq(&lines.join(
        "
",
    ));
}

#[test]
fn what_is_reserved_for_a_store_is_not_in_an_alert() {
    let line = parsed(&json_line(&sample(), &context()));
    assert_eq!((line.get("seq"), line.get("epoch")), (None, None));
}

#[test]
fn of_many_execs_the_first_and_the_last_are_kept() {
    let line = parsed(&json_line(&large(2000, 80), &context()));
    let execs = line["execs"].as_array().unwrap();
    let last = execs.len() - 1;
    assert_eq!(execs[0]["pid"], 4000);
    assert_eq!(execs[last]["pid"], 4000 + 1999);
    assert_eq!(line["cut"]["execs"], 2000 - execs.len());
    assert_eq!(line["count"], 2000);
}

#[test]
fn a_text_that_is_cut_to_fit_gets_the_hash_of_the_whole() {
    let alert = large(64, 4096);
    let line = parsed(&json_line(&alert, &context()));
    let cut = &line["execs"][0]["command_line_cut"];
    let whole = &alert.execs[0].process_text.parts[0].bytes;
    let sha256: String = Sha256::digest(whole)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(cut["bytes"], 4096);
    assert_eq!(cut["sha256"], sha256);
}

#[test]
fn a_person_reads_who_from_where_what_when_and_why() {
    expect![[r#"
        ALERT: Linux Iptables Firewall Modification (medium, risk 25, T1562.004, T1686)
          who      root (uid 0, logged in as uid 1000) on web-1, in cron.service
          from     /tmp/.x/cpd, pid 3485
          what     3 runs of /usr/bin/bash, 3 command lines:
                     sh -c iptables -I OUTPUT -p tcp --dport 3269 -j ACCEPT &>/dev/null
                     sh -c iptables -I OUTPUT -p tcp --dport 636 -j ACCEPT &>/dev/null
                     sh -c iptables -I OUTPUT -p tcp --dport 8443 -j ACCEPT &>/dev/null
          ports    3269 636 8443 (3 distinct)
          when     2026-11-24T02:40:43.803000000Z to 2026-11-24T02:40:43.823000000Z (0.020 s)
          lineage  cpd (3485) < ? (3001, ended) < systemd (1)
          why      each clause of the rule held:
                     process="*iptables *"  `iptables ` at byte 6
                     process="* ACCEPT*"  ` ACCEPT` at byte 48
                     NOT parent_process_path IN ("/bin/*")  `/tmp/.x/cpd`
          unseen   nothing
          alert    00000000-0000-0000-0000-00000000a1e7 revision 0 (open, may still grow), wallwatch 0.1.0
    "#]].assert_eq(&human(&sample(), &context()));
    let large = human(&large(300, 500), &context());
    assert!((15..=25).contains(&large.lines().count()), "{large}");
}

/// A short pattern, over and over: large alerts would take too long to draw byte by byte.
fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    let pattern = prop_oneof![
        vec(any::<u8>(), 1..24),
        vec(
            prop_oneof![Just(0u8), Just(0x1b), Just(0xff), Just(b'"')],
            1..8
        ),
        vec(any::<char>(), 1..8).prop_map(|chars| chars.into_iter().collect::<String>().into()),
    ];
    (pattern, 0..max).prop_map(|(pattern, length)| {
        let endless = pattern.iter().copied().cycle();
        endless.take(length).collect()
    })
}

/// A few entries, over and over.
fn list<T: Clone + std::fmt::Debug>(
    entry: impl Strategy<Value = T>,
    max: usize,
) -> impl Strategy<Value = Vec<T>> {
    (vec(entry, 1..4), 0..max).prop_map(|(few, length)| {
        let endless = few.iter().cloned().cycle();
        endless.take(length).collect()
    })
}

fn text(max: usize) -> impl Strategy<Value = String> {
    bytes(max).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn any_excerpt() -> impl Strategy<Value = Excerpt> {
    let part =
        (any::<u64>(), bytes(3000)).prop_map(|(offset, bytes)| ExcerptPart { offset, bytes });
    prop_oneof![
        bytes(8000).prop_map(|bytes| whole(&bytes)),
        (vec(part, 0..8), any::<u64>(), option::of(any::<[u8; 32]>())).prop_map(
            |(parts, bytes_full, sha256)| Excerpt {
                parts,
                bytes_full,
                sha256,
            }
        ),
    ]
}

fn any_exec() -> impl Strategy<Value = Evidence> {
    (
        any_excerpt(),
        bytes(5000),
        any::<u64>(),
        option::of(text(80)),
    )
        .prop_map(|(process_text, exe, number, port)| Evidence {
            time: Time {
                boot_ns: number,
                wall_ns: number,
            },
            exe: ExePath::Known(exe.into()),
            cgroup_id: number,
            argv_bytes_lost: number,
            port,
            ..evidence(u32::MAX - 5000, process_text, None)
        })
}

fn any_ancestor() -> impl Strategy<Value = Ancestor> {
    let texts = (bytes(5000), option::of(bytes(5000)), bytes(5000));
    (texts, any::<u64>()).prop_map(|((exe, claimed, command_line), bytes_full)| Ancestor {
        claimed_script: claimed.map(Into::into),
        command_line,
        command_line_bytes_full: bytes_full,
        ..ancestor(1, ExePath::Known(exe.into()), "")
    })
}

fn any_clause() -> impl Strategy<Value = ClauseMatch> {
    (text(5000), option::of(any::<u64>()), bytes(500)).prop_map(|(clause, offset, found)| {
        ClauseMatch {
            clause,
            offset,
            found,
        }
    })
}

prop_compose! {
    fn any_key()(
        process_name in bytes(300),
        parent_process_name in bytes(300),
        dest in text(300),
        user in text(300),
        parent_process_path in bytes(5000),
        process_path in bytes(5000),
    ) -> GroupKey {
        GroupKey {
            process_name: process_name.into(),
            parent_process_name: parent_process_name.into(),
            parent_process_id: u32::MAX,
            dest: dest.into(),
            user: user.into(),
            parent_process_path: parent_process_path.into(),
            process_path: process_path.into(),
        }
    }
}

prop_compose! {
    fn any_alert()(
        key in any_key(),
        processes_exec in list(any_excerpt(), 40),
        ports in list(text(100), 1500),
        guids in list(any::<u128>(), 3000),
        pids in list(any::<u32>(), 3000),
        execs in list(any_exec(), 300),
        ancestry in list(any_ancestor(), 40),
        origin in list(any_ancestor(), 40),
        matched in list(any_clause(), 40),
        rule_name in text(3000),
        techniques in list(text(200), 40),
        number in any::<u64>(),
    ) -> Alert {
        let rule = RuleIdentity {
            name: rule_name,
            mitre_technique_id: techniques,
            ..(*sample().rule).clone()
        };
        Alert {
            rule: Arc::new(rule),
            key,
            processes_exec,
            ports,
            guids: guids.into_iter().map(Uuid::from_u128).collect(),
            pids,
            execs,
            ancestry,
            origin,
            matched,
            count: number,
            blindness: Blindness {
                truncated: number,
                faults: number,
                lost: number,
                execs_omitted: number,
                processes_exec_omitted: number,
                guids_omitted: number,
            },
            ..sample()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_alert_is_one_line_of_json_that_fits_and_acts_on_nothing(alert in any_alert()) {
        let line = json_line(&alert, &context());
        let value = parsed(&line);
        prop_assert_eq!(&value["count"], alert.count);
        let context = context();
        let everything = AlertLine::of(&alert, &context, Budget::UNLIMITED);
        // An escape takes six bytes for one.
        let fits = serde_json::to_vec(&everything).unwrap().len() < LINE_BYTES_MAX / 6;
        prop_assert!(!fits || value.get("cut").is_none());
        for (list, full) in [
            ("execs", alert.execs.len()),
            ("processes_exec", alert.processes_exec.len()),
            ("ports", alert.ports.len()),
            ("guids", alert.guids.len()),
            ("pids", alert.pids.len()),
            ("ancestry", alert.ancestry.len()),
            ("origin", alert.origin.len()),
            ("matched", alert.matched.len()),
            ("mitre_technique_id", alert.rule.mitre_technique_id.len()),
        ] {
            let shown = match list {
                "ancestry" | "origin" => &value["parent"][list],
                _ => &value[list],
            };
            let cut = value["cut"][list].as_u64().unwrap_or(0);
            let shown = shown.as_array().map_or(0, Vec::len);
            prop_assert_eq!(shown as u64 + cut, full as u64);
        }
    }

    #[test]
    fn a_page_for_a_person_is_short_and_acts_on_nothing(alert in any_alert()) {
        let page = human(&alert, &context());
        prop_assert!(!page.replace('\n', "").contains(is_active));
        prop_assert!(page.lines().count() <= 30);
        prop_assert!(page.len() <= 32 * 1024);
    }
}
