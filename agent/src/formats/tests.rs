//! What each reader makes of a log written for the purpose.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use self::auditd::exec_event;
use super::*;
use crate::pipeline::exec::{ArgvSource, ExecGuid};

mod auditd;

const EVENT_BYTES_MAX: usize = 1 << 18;

pub(super) fn read(format: Format, text: &[u8]) -> Vec<Item> {
    read_counting(format, text).0
}

fn read_counting(format: Format, text: &[u8]) -> (Vec<Item>, Counters) {
    let mut reader = Reader::new(format, EVENT_BYTES_MAX);
    let mut items = Vec::new();
    for (line, number) in text.split_inclusive(|&byte| byte == b'\n').zip(1..) {
        reader.handle_line(line, number, &mut items);
    }
    reader.handle_end(&mut items);
    (items, reader.counters())
}

/// An exec in one line; what is unknown is left out.
fn shown(exec: &Exec) -> String {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let mut process = Vec::new();
    exec.argv.join_into(&mut process);
    let arguments: Vec<String> = exec.argv.arguments().map(text).collect();
    let mut out = format!(
        "{} pid {} of {}",
        exec.time.wall_ns, exec.process.tgid, exec.parent.tgid
    );
    let ids = [
        ("uid", exec.uid),
        ("euid", exec.euid),
        ("gid", exec.gid),
        ("login", exec.login_uid),
        ("session", exec.session_id),
    ];
    for (name, id) in ids {
        out += &id.map_or_else(String::new, |id| format!(" {name} {id}"));
    }
    for (name, value) in [
        ("user", &exec.user),
        ("dest", &exec.dest),
        ("host", &exec.host_id),
    ] {
        out += &value
            .as_ref()
            .map_or_else(String::new, |it| format!(" {name} {it}"));
    }
    if exec.tty != crate::pipeline::tty::Tty::Unknown {
        out += &format!(" tty {}", exec.tty);
    }
    for (name, path) in [("exe", &exec.exe), ("parent", &exec.parent_exe)] {
        out += &path
            .known()
            .map_or_else(String::new, |it| format!(" {name} {}", text(it)));
    }
    for (name, value) in [("filename", &exec.filename), ("comm", &exec.comm)] {
        if !value.is_empty() {
            out += &format!(" {name} {}", text(value));
        }
    }
    for (name, is) in [
        ("deleted", exec.exe_deleted),
        ("memfd", exec.exe_memfd),
        ("cut", exec.argv.truncated()),
        ("unread", exec.argv.source == ArgvSource::Unread),
        ("procfs", exec.argv.source == ArgvSource::Procfs),
        ("file", exec.exe_file.is_some()),
        ("guid", exec.guid != ExecGuid::OfBoot(uuid::Uuid::nil())),
    ] {
        out += if is { " " } else { "" };
        out += if is { name } else { "" };
    }
    out + &format!(" {arguments:?}")
}

fn check(format: Format, text: &str, expect: Expect) {
    let lines = read(format, text.as_bytes())
        .into_iter()
        .map(|item| match item {
            Item::Exec(exec) => shown(&exec) + "\n",
            Item::PassedOver => "passed over\n".to_owned(),
            Item::Malformed(Malformed { line, why }) => format!("line {line}: {why}\n"),
        });
    expect.assert_eq(&lines.collect::<String>());
}

fn sysmon(data: &[(&str, &str)]) -> String {
    let data = data
        .iter()
        .map(|(name, value)| format!("<Data Name=\"{name}\">{value}</Data>"));
    format!(
        "<Event><System><Provider Name=\"Linux-Sysmon\" Guid=\"{{0}}\"/><EventID>1</EventID>\
         <TimeCreated SystemTime=\"2026-11-24T02:40:44.5Z\"/><Correlation/><Computer>gateway</Computer></System>\
         <EventData>{}</EventData></Event>",
        data.collect::<String>()
    )
}

const LEAST: [(&str, &str); 2] = [("ProcessId", "7"), ("ParentProcessId", "6")];

fn sysmon_line(command_line: &str) -> String {
    sysmon(&[LEAST[0], LEAST[1], ("CommandLine", command_line)])
}

#[test]
fn an_event_of_sysmon_is_read_behind_any_header() {
    let event = sysmon(&[
        ("RuleName", "-"),
        ("UtcTime", "2026-11-24 02:40:43.803"),
        ("ProcessGuid", "{ec23eae3-3a27-62f2-085e-16549b550000}"),
        ("ProcessId", "3486"),
        ("Image", "/usr/bin/dash"),
        (
            "CommandLine",
            "sh -c iptables -D OUTPUT  &amp;&gt;/dev/null",
        ),
        ("User", "admin"),
        ("LogonId", "1000"),
        ("TerminalSessionId", "3"),
        (
            "ParentProcessGuid",
            "{00000000-0000-0000-0000-000000000000}",
        ),
        ("ParentProcessId", "3485"),
        ("ParentImage", "/tmp/cpd"),
        ("ParentCommandLine", "-"),
        ("ParentUser", "-"),
    ]);
    let log = format!(
        "{event}\nNov 24 02:40:43 gateway sysmon: {event}\n<13>1 - gateway sysmon[12]: {event}{event}\r\n\n"
    );
    check(
        Format::Sysmon,
        &log,
        expect![[r#"
        1795488043803000000 pid 3486 of 3485 uid 1000 session 3 user admin dest gateway exe /usr/bin/dash parent /tmp/cpd guid ["sh", "-c", "iptables", "-D", "OUTPUT", "", "&>/dev/null"]
        1795488043803000000 pid 3486 of 3485 uid 1000 session 3 user admin dest gateway exe /usr/bin/dash parent /tmp/cpd guid ["sh", "-c", "iptables", "-D", "OUTPUT", "", "&>/dev/null"]
        1795488043803000000 pid 3486 of 3485 uid 1000 session 3 user admin dest gateway exe /usr/bin/dash parent /tmp/cpd guid ["sh", "-c", "iptables", "-D", "OUTPUT", "", "&>/dev/null"]
        1795488043803000000 pid 3486 of 3485 uid 1000 session 3 user admin dest gateway exe /usr/bin/dash parent /tmp/cpd guid ["sh", "-c", "iptables", "-D", "OUTPUT", "", "&>/dev/null"]
    "#]],
    );
}

#[test]
fn an_event_of_sysmon_may_take_several_lines() {
    let pretty = sysmon_line("a\nb").replace("><", ">\n  <");
    let log = format!("<?xml version=\"1.0\"?>\n<Events>\n{pretty}\n{pretty}</Events>\n");
    check(
        Format::Sysmon,
        &log,
        expect![[r#"
        1795488044500000000 pid 7 of 6 dest gateway ["a\\nb"]
        1795488044500000000 pid 7 of 6 dest gateway ["a\\nb"]
    "#]],
    );
}

#[test]
fn references_are_decoded_once_and_what_is_none_stands_as_it_is() {
    for (written, read) in [
        ("&lt;&gt;&amp;&apos;&quot;", r#"["<>&\\'\\\""]"#),
        ("&#62;&#x3e;&#x20AC;", r#"[">>\\xe2\\x82\\xac"]"#),
        ("&amp;gt; &amp;amp;", r#"["&gt;", "&amp;"]"#),
        (
            "<![CDATA[<a> &amp; </Event>]]>",
            r#"["<a>", "&amp;", "</Event>"]"#,
        ),
        ("a &>/dev/null; b", r#"["a", "&>/dev/null;", "b"]"#),
        ("&later; \u{7}\u{7f}", r#"["&later;", "\\x07\\x7f"]"#),
        ("file ", r#"["file", ""]"#),
        ("-", r#"unread []"#),
    ] {
        let items = read_one(&sysmon_line(written));
        assert!(
            items.ends_with(read),
            "{written:?} gives {items}, not {read}"
        );
    }
}

fn read_one(line: &str) -> String {
    match &*read(Format::Sysmon, line.as_bytes()) {
        [Item::Exec(exec)] => shown(exec),
        other => format!("{other:?}"),
    }
}

#[test]
fn what_is_no_exec_of_sysmon_is_passed_over_and_what_is_broken_is_named() {
    let whole = sysmon_line("true");
    let log = [
        "Nov 24 02:40:43 gateway cron[1]: something else".to_owned(),
        whole.replace("<EventID>1<", "<EventID>5<"),
        whole.replace("Linux-Sysmon", "Microsoft-Windows-Kernel"),
        whole[..whole.len() - 30].to_owned(),
        whole.clone(),
        whole.replace("</System>", "</Data>"),
        whole.replace(">7<", ">seven<"),
        whole.replace(">6<", ">-<"),
        whole.replace("2026-11-24T", "yesterday "),
        whole.replace("true", "echo <b>x</b>"),
        whole.replace("true", "&#0;"),
        whole.replace("true", "&#xd800;"),
        format!("<Event>{}", "x".repeat(EVENT_BYTES_MAX)),
        "<Event><EventID>1</EventID>".to_owned(),
    ];
    check(
        Format::Sysmon,
        &log.join("\n"),
        expect![[r#"
            passed over
            passed over
            passed over
            line 4: an event that is cut: expected </Event>
            1795488044500000000 pid 7 of 6 dest gateway ["true"]
            line 6: ill-formed document: expected `</System>`, but `</Data>` was found
            line 7: ProcessId is "seven", expected a number
            line 8: ParentProcessId is missing, expected a number
            line 9: UtcTime is "yesterday 02:40:44.5Z", expected a date and time as 2026-11-24 02:40:43.803
            line 10: markup in a field
            1795488044500000000 pid 7 of 6 dest gateway ["&#0;"]
            1795488044500000000 pid 7 of 6 dest gateway ["&#xd800;"]
            line 13: an event longer than 262144 bytes
            line 14: an event that is cut: expected </Event>
        "#]],
    );
}

const LAUREL: &str = r#"{"ID":"1795488043.803:17","NODE":"gateway","SYSCALL":{"arch":"0xc000003e","syscall":59,"success":"yes","exit":0,"ppid":3485,"pid":3486,"auid":4294967295,"uid":0,"gid":0,"euid":0,"tty":"(none)","ses":4294967295,"comm":"sh","exe":"/usr/bin/dash","key":null,"ARCH":"x86_64","SYSCALL":"execve","UID":"root","PPID":{"EVENT_ID":"1.0:1","comm":"cpd","exe":"/tmp/cpd","ppid":1}},"EXECVE":{"argc":3,"ARGV":["sh","-c","a%2b %ff%25 %zz"]},"CWD":{"cwd":"/"},"PATH":[{"item":0,"name":"/bin/sh","mode":"0o100755"}],"PROCTITLE":{"ARGV":["sh"]}}"#;

#[test]
fn an_event_of_laurel_is_read_in_each_of_its_forms() {
    let parent = r#","PPID":{"EVENT_ID":"1.0:1","comm":"cpd","exe":"/tmp/cpd","ppid":1}"#;
    let log = [
        format!("laurel: {LAUREL}"),
        LAUREL.replace(
            r#""ARGV":["sh","-c","a%2b %ff%25 %zz"]"#,
            r#""ARGV_STR":"sh -c a  b""#,
        ),
        LAUREL
            .replace(r#""argc":3"#, r#""argc":5"#)
            .replace(parent, ""),
        LAUREL
            .replace(r#""arch":"0xc000003e","syscall":59,"#, "")
            .replace(r#""uid":0,"#, ""),
        LAUREL.replace(parent, "").replace(
            r#","CWD""#,
            r#","PARENT_INFO":{"exe":"/tmp/x (deleted)"},"CWD""#,
        ),
        LAUREL
            .replace(r#""EXECVE""#, r#""LATER""#)
            .replace("\"ppid\":3485,\"pid\":3486", "\"ppid\":3486,\"pid\":3487")
            .replace(parent, ""),
    ];
    check(
        Format::Laurel,
        &log.join("\n"),
        expect![[r#"
        1795488043803000000 pid 3486 of 3485 uid 0 euid 0 gid 0 user root dest gateway tty none exe /usr/bin/dash parent /tmp/cpd filename /bin/sh comm sh guid ["sh", "-c", "a+ \\xff% %zz"]
        1795488043803000000 pid 3486 of 3485 uid 0 euid 0 gid 0 user root dest gateway tty none exe /usr/bin/dash parent /tmp/cpd filename /bin/sh comm sh guid ["sh", "-c", "a", "", "b"]
        1795488043803000000 pid 3486 of 3485 uid 0 euid 0 gid 0 user root dest gateway tty none exe /usr/bin/dash filename /bin/sh comm sh cut guid ["sh", "-c", "a+ \\xff% %zz"]
        1795488043803000000 pid 3486 of 3485 uid 0 euid 0 gid 0 user root dest gateway tty none exe /usr/bin/dash parent /tmp/cpd filename /bin/sh comm sh guid ["sh", "-c", "a+ \\xff% %zz"]
        1795488043803000000 pid 3486 of 3485 uid 0 euid 0 gid 0 user root dest gateway tty none exe /usr/bin/dash parent /tmp/x filename /bin/sh comm sh guid ["sh", "-c", "a+ \\xff% %zz"]
        1795488043803000000 pid 3487 of 3486 uid 0 euid 0 gid 0 user root dest gateway tty none exe /usr/bin/dash parent /usr/bin/dash filename /bin/sh comm sh procfs guid ["sh"]
    "#]],
    );
}

#[test]
fn a_command_line_from_which_laurel_cut_is_marked() {
    let read = |execve: &str| {
        let line = format!(
            r#"{{"ID":"1795488043.803:1","SYSCALL":{{"arch":"0xc000003e","syscall":59,"success":"yes","pid":2,"ppid":1}},"EXECVE":{execve}}}"#
        );
        let items = read(Format::Laurel, line.as_bytes());
        let [Item::Exec(exec)] = &*items else {
            panic!("{items:?}");
        };
        (exec.argv.arguments().count(), exec.argv.truncated())
    };
    assert_eq!(read(r#"{"argc":2,"ARGV":["sh","x"]}"#), (2, false));
    assert_eq!(
        read(r#"{"argc":5,"ARGV":["sh",{"skipped_args":3,"skipped_bytes":9000},"x"]}"#),
        (2, true)
    );
    assert!(read(r#"{"ARGV_STR":"sh <<< Skipped: args=3, bytes=9000 >>> x"}"#).1);
}

#[test]
fn lines_of_laurel_that_are_of_no_exec_are_passed_over_and_broken_ones_named() {
    let log = [
        r#"{"ID":"1795488043.803:17","USER_LOGIN":[{}]}"#.to_owned(),
        LAUREL.replace("yes", "no"),
        LAUREL
            .replace(r#""EXECVE""#, r#""LATER""#)
            .replace("59", "42")
            .replace("execve", "connect"),
        LAUREL.replace(r#""pid":3486,"#, ""),
        LAUREL.replace("1795488043.803:17", "17"),
        LAUREL.replace("%ff", "%00"),
        LAUREL.replace(r#""comm":"sh""#, r#""comm":7"#),
        "no object".to_owned(),
        "{".to_owned(),
    ];
    check(
        Format::Laurel,
        &log.join("\n"),
        expect![[r#"
        passed over
        passed over
        passed over
        line 4: SYSCALL.pid is missing, expected a number
        line 5: ID is "17", expected SECONDS.MILLISECONDS:SERIAL
        line 6: a NUL byte in an argument or a path
        line 7: invalid type: integer `7`, expected a string at line 1 column 218
        line 8: expected a JSON object
        line 9: EOF while parsing an object at line 1 column 1
    "#]],
    );
}

const ECS: &str = r#"{"@timestamp":"2026-11-24T02:40:43.803Z","event":{"category":["process"],"type":["start"],"action":"exec"},"process":{"pid":3486,"entity_id":"MzQ4Ng==","executable":"/usr/bin/dash","args":["sh","-c","a  b"],"args_count":3,"command_line":"sh -c \"a  b\"","parent":{"pid":3485,"executable":"/tmp/cpd","args":["cpd"]},"tty":{"char_device":{"major":136,"minor":3}}},"user":{"name":"root","id":"0"},"group":{"id":"0"},"host":{"name":"gateway","id":"0123"}}"#;

#[test]
fn a_process_event_of_ecs_is_read_in_each_of_its_forms() {
    let dotted = r#"{"@timestamp":1795488043803,"event.category":"process","event.action":["executed"],"event.outcome":"success","process.pid":"3486","process.ppid":3485,"process":{"executable":"/tmp/x (deleted)"},"user.id":"S-1-5","user.name":"admin","user.audit.id":"1000","auditd.session":"3","host.hostname":"gateway"}"#;
    let log = [
        ECS.to_owned(),
        format!(r#"{{"_index":"logs","_source":{ECS}}}"#),
        dotted.to_owned(),
        format!(
            r#"{{"fields":{}}}"#,
            r#"{"@timestamp":["2026-11-24T02:40:43.803Z"],"event.category":["process"],"event.type":["start"],"process.pid":[3486],"process.parent.pid":[3485]}"#
        ),
        ECS.replace(r#""args_count":3"#, r#""args_count":9"#),
        ECS.replace(r#""action":"exec""#, r#""module":"sysmon_linux""#),
        ECS.replace(
            r#""pid":3486"#,
            r#""pid":3486,"real_user":{"id":1000,"name":"admin"},"real_group":{"id":1000}"#,
        ),
    ];
    check(
        Format::Ecs,
        &log.join("\n"),
        expect![[r#"
        1795488043803000000 pid 3486 of 3485 uid 0 gid 0 user root dest gateway host 0123 tty 136:3 exe /usr/bin/dash parent /tmp/cpd guid ["sh", "-c", "a  b"]
        1795488043803000000 pid 3486 of 3485 uid 0 gid 0 user root dest gateway host 0123 tty 136:3 exe /usr/bin/dash parent /tmp/cpd guid ["sh", "-c", "a  b"]
        1795488043803000000 pid 3486 of 3485 login 1000 session 3 user admin dest gateway exe /tmp/x deleted unread []
        1795488043803000000 pid 3486 of 3485 unread []
        1795488043803000000 pid 3486 of 3485 uid 0 gid 0 user root dest gateway host 0123 tty 136:3 exe /usr/bin/dash parent /tmp/cpd cut guid ["sh", "-c", "a  b"]
        1795488043803000000 pid 3486 of 3485 uid 0 gid 0 user root dest gateway host 0123 tty 136:3 exe /usr/bin/dash parent /tmp/cpd guid ["sh", "-c", "\\\"a", "", "b\\\""]
        1795488043803000000 pid 3486 of 3485 uid 1000 euid 0 gid 1000 user admin dest gateway host 0123 tty 136:3 exe /usr/bin/dash parent /tmp/cpd guid ["sh", "-c", "a  b"]
    "#]],
    );
}

#[test]
fn ecs_events_that_are_of_no_exec_are_passed_over_and_broken_ones_named() {
    let log = [
        ECS.replace(r#"["process"]"#, r#"["network"]"#),
        ECS.replace(r#""exec""#, r#""fork""#),
        ECS.replace(r#""start""#, r#""end""#)
            .replace(r#""exec""#, r#""end""#),
        ECS.replace(
            r#""action":"exec""#,
            r#""action":"executed","outcome":"failure""#,
        ),
        ECS.replace("3486", "-1"),
        ECS.replace(r#""pid":3485,"#, ""),
        ECS.replace("2026-11-24T", "today "),
        ECS.replace("/tmp/cpd", "/tmp/\\u0000"),
        ECS.replace("a  b\"],", "a\\u0000b\"],"),
        "[1]".to_owned(),
        "{\"process\":".to_owned(),
    ];
    check(
        Format::Ecs,
        &log.join("\n"),
        expect![[r#"
        passed over
        passed over
        passed over
        passed over
        line 5: process.pid is -1, expected a number
        line 6: process.parent.pid is missing
        line 7: @timestamp is "today 02:40:43.803Z", expected RFC 3339
        line 8: a NUL byte in an argument or a path
        line 9: a NUL byte in an argument or a path
        line 10: expected a JSON object
        line 11: EOF while parsing a value at line 1 column 11
    "#]],
    );
}

#[test]
fn every_architecture_has_its_calls_that_start_a_program() {
    use super::auditd::syscall::is_exec;
    for (arch, numbers) in [
        (0xc000_003e, [59, 322]),
        (0xc000_003e, [0x4000_0208, 0x4000_0221]),
        (0x4000_0003, [11, 358]),
        (0xc000_00b7, [221, 281]),
        (0x4000_0028, [11, 387]),
    ] {
        assert!(
            numbers.iter().all(|&number| is_exec(arch, number)),
            "{arch:x}"
        );
        assert!(!is_exec(arch, 1));
    }
    assert!(!is_exec(0, 59));
}

/// As Sysmon escapes.
fn xml(text: &str) -> String {
    let amp = text.replace('&', "&amp;").replace('<', "&lt;");
    amp.replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&apos;")
}

/// As the kernel writes what a program chose (`audit_log_n_untrustedstring`).
fn untrusted(bytes: &[u8]) -> String {
    let is_plain = |byte: &u8| (0x21..0x7f).contains(byte) && *byte != b'"';
    if bytes.iter().all(is_plain) {
        return format!("\"{}\"", String::from_utf8_lossy(bytes));
    }
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// As LAUREL encodes, of what is not printable ASCII.
fn percent(bytes: &[u8]) -> String {
    let one = |&byte: &u8| match byte {
        b'%' | b'+' => format!("%{byte:02x}"),
        0x20..0x7f => char::from(byte).to_string(),
        _ => format!("%{byte:02x}"),
    };
    bytes.iter().map(one).collect()
}

fn process_of(items: &[Item]) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let [Item::Exec(exec)] = items else {
        return None;
    };
    let mut joined = Vec::new();
    exec.argv.join_into(&mut joined);
    Some((joined, exec.argv.arguments().map(<[u8]>::to_vec).collect()))
}

proptest! {
    #[test]
    fn arguments_of_audit_records_and_laurel_come_back(
        argv in proptest::collection::vec(proptest::collection::vec(1..=255u8, 0..20), 1..6),
        at in 0..20usize,
    ) {
        let fields = argv.iter().enumerate().map(|(index, argument)| {
            // Any may be in two pieces, as long ones are.
            let (one, other) = argument.split_at(at.min(argument.len()));
            if at % 2 == 0 {
                return format!("a{index}={}", untrusted(argument));
            }
            format!("a{index}_len={} a{index}[1]={} a{index}[0]={}", argument.len(), untrusted(other), untrusted(one))
        });
        let fields: Vec<String> = fields.collect();
        let event = exec_event(1, &format!("argc={} {}", argv.len(), fields.join(" ")));
        let (_, told) = process_of(&read(Format::Auditd, event.as_bytes())).unwrap();
        prop_assert_eq!(&told, &argv);

        let encoded: Vec<String> = argv.iter().map(|argument| percent(argument)).collect();
        let encoded = serde_json::to_string(&encoded).unwrap();
        let line = LAUREL.replace(r#"["sh","-c","a%2b %ff%25 %zz"]"#, &encoded);
        let (_, told) = process_of(&read(Format::Laurel, line.as_bytes())).unwrap();
        prop_assert_eq!(&told, &argv);
    }

    #[test]
    fn the_process_of_sysmon_and_ecs_is_argv_joined(argv in proptest::collection::vec("[^\u{0}\n\r]{0,12}", 1..6)) {
        let joined = argv.join(" ");
        prop_assume!(joined != "-" && !joined.is_empty());
        let (process, _) = process_of(&read(Format::Sysmon, sysmon_line(&xml(&joined)).as_bytes())).unwrap();
        prop_assert_eq!(&*process, joined.as_bytes());

        let mut event: serde_json::Value = serde_json::from_str(ECS).unwrap();
        event["process"]["args"] = serde_json::json!(argv);
        let (_, told) = process_of(&read(Format::Ecs, event.to_string().as_bytes())).unwrap();
        let told: Vec<&[u8]> = told.iter().map(Vec::as_slice).collect();
        let argv: Vec<&[u8]> = argv.iter().map(String::as_bytes).collect();
        prop_assert_eq!(told, argv);
    }

    #[test]
    fn no_bytes_whatever_break_a_reader(text in proptest::collection::vec(any::<u8>(), 0..300)) {
        for format in [Format::Sysmon, Format::Auditd, Format::Laurel, Format::Ecs] {
            read(format, &text);
        }
    }
}
