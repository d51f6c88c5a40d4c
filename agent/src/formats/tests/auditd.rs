//! Records of the audit daemon.

use super::*;

const SYSCALL: &str = "arch=c000003e syscall=59 success=yes exit=0 a0=1 items=2 ppid=3485 pid=3486 auid=1000 uid=0 \
                       gid=0 euid=0 tty=pts3 ses=3 comm=\"sh\" exe=\"/usr/bin/dash\" key=(null)";

fn record(kind: &str, serial: u64, fields: &str) -> String {
    format!("type={kind} msg=audit(1795488043.803:{serial}): {fields}\n")
}

pub(super) fn exec_event(serial: u64, arguments: &str) -> String {
    record("SYSCALL", serial, SYSCALL)
        + &record("EXECVE", serial, arguments)
        + &record("CWD", serial, "cwd=\"/\"")
        + &record(
            "PATH",
            serial,
            "item=0 name=\"/bin/sh\" inode=17 dev=08:01 mode=0100755",
        )
        + &record(
            "PATH",
            serial,
            "item=1 name=\"/lib64/ld.so\" inode=18 dev=08:01",
        )
        + &record("PROCTITLE", serial, "proctitle=7368002D63")
}

#[test]
fn records_of_an_audit_event_are_joined() {
    let one = exec_event(
        1,
        "argc=3 a0=\"sh\" a1=\"-c\" a2=6120263E2F6465762F6E756C6C",
    );
    let other = exec_event(2, "argc=2 a0=\"sh\" a1=\"\"");
    let interleaved: String = one
        .lines()
        .zip(other.lines())
        .map(|(a, b)| format!("{a}\n{b}\n"))
        .collect();
    let nodes =
        one.replace("type=", "node=gateway type=") + &one.replace("type=", "node=other type=");
    let enriched = one.replace(
        "key=(null)",
        "key=(null)\u{1d}ARCH=x86_64 SYSCALL=execve UID=\"admin\" AUID=\"user\"",
    );
    check(
        Format::Auditd,
        &(interleaved + &nodes + &enriched),
        expect![[r#"
        1795488043803000000 pid 3486 of 3485 uid 0 euid 0 gid 0 login 1000 session 3 user root tty 136:3 exe /usr/bin/dash filename /bin/sh comm sh guid ["sh", "-c", "a &>/dev/null"]
        1795488043803000000 pid 3486 of 3485 uid 0 euid 0 gid 0 login 1000 session 3 user root tty 136:3 exe /usr/bin/dash filename /bin/sh comm sh guid ["sh", ""]
        1795488043803000000 pid 3486 of 3485 uid 0 euid 0 gid 0 login 1000 session 3 user root dest gateway tty 136:3 exe /usr/bin/dash filename /bin/sh comm sh guid ["sh", "-c", "a &>/dev/null"]
        1795488043803000000 pid 3486 of 3485 uid 0 euid 0 gid 0 login 1000 session 3 user root dest other tty 136:3 exe /usr/bin/dash filename /bin/sh comm sh guid ["sh", "-c", "a &>/dev/null"]
        1795488043803000000 pid 3486 of 3485 uid 0 euid 0 gid 0 login 1000 session 3 user admin tty 136:3 exe /usr/bin/dash filename /bin/sh comm sh guid ["sh", "-c", "a &>/dev/null"]
    "#]],
    );
}

#[test]
fn an_audit_event_without_an_end_is_over_after_two_seconds_or_at_the_end() {
    let event = record("SYSCALL", 1, SYSCALL) + &record("EXECVE", 1, "argc=2 a0=\"sh\"");
    let later = record("USER_LOGIN", 9, "pid=1").replace("043.803", "046.000");
    let (items, counters) = read_counting(Format::Auditd, (event.clone() + &later).as_bytes());
    assert!(matches!(&*items, [Item::Exec(exec), Item::PassedOver] if exec.argv.truncated()));
    assert_eq!(counters.events_cut_short, 1);

    let many: String = (0..300)
        .map(|serial| event.replace(":1)", &format!(":{serial})")))
        .collect();
    let (items, counters) = read_counting(Format::Auditd, many.as_bytes());
    assert_eq!((items.len(), counters.events_cut_short), (300, 300));
}

/// Whose clock is ahead, what was set back, and what anybody can write to syslog must not tear the events of others.
#[test]
fn events_of_other_hosts_and_times_do_not_end_each_other() {
    let one = exec_event(1, "argc=2 a0=\"sh\" a1=\"x\"");
    let whole = |text: &str| {
        let (items, counters) = read_counting(Format::Auditd, text.as_bytes());
        let execs = items.iter().filter_map(|item| match item {
            Item::Exec(exec) => Some(exec.argv.arguments().count()),
            Item::PassedOver | Item::Malformed(_) => None,
        });
        assert_eq!(counters.events_cut_short, 0, "{items:?}");
        execs.collect::<Vec<_>>()
    };
    let forged = "type=X msg=audit(9999999999.000:1): x\n".to_owned();
    assert_eq!(whole(&(forged + &one)), [2]);
    let later = exec_event(7, "argc=1 a0=\"sh\"").replace("5488043", "5488143");
    assert_eq!(whole(&(later + &one)), [1, 2]);
    let ahead = one
        .replace("type=", "node=a type=")
        .replace("043.803", "046.803");
    let nodes: String = one
        .lines()
        .zip(ahead.lines())
        .map(|(a, b)| format!("{a}\n{b}\n"))
        .collect();
    assert_eq!(whole(&nodes), [2, 2]);
}

#[test]
fn an_argument_of_which_a_piece_is_missing_is_cut() {
    let event = |pieces: &str| {
        let fields = format!("argc=2 a0=\"sh\" a1_len=8 {pieces}");
        let (items, counters) = read_counting(Format::Auditd, exec_event(1, &fields).as_bytes());
        let [Item::Exec(exec), ..] = &*items else {
            panic!("{items:?}");
        };
        (exec.argv.truncated(), counters.events_cut_short)
    };
    assert_eq!(event("a1[0]=6162 a1[1]=6364"), (false, 0));
    assert_eq!(event("a1[0]=6162"), (true, 1));
    assert_eq!(event("a1=\"abcdefgh\""), (false, 0));
}

#[test]
fn an_audit_event_that_is_too_large_is_named_and_makes_room() {
    let piece = format!("a1[0]={}", "41".repeat(EVENT_BYTES_MAX / 4));
    let log = record("SYSCALL", 1, SYSCALL)
        + &record("EXECVE", 1, &piece)
        + &record("EXECVE", 1, &piece)
        + &record("EXECVE", 1, &piece)
        + &exec_event(2, "argc=1 a0=\"sh\"");
    let items = read(Format::Auditd, log.as_bytes());
    assert!(
        matches!(&*items, [Item::Malformed(_), Item::Exec(_), ..]),
        "{items:?}"
    );
}

#[test]
fn audit_records_say_what_they_cannot_be_read_for() {
    let log = [
        "something else\n".to_owned(),
        "type=SYSCALL arch=c000003e\n".to_owned(),
        "type=SYSCALL msg=audit(yesterday): arch=c000003e\n".to_owned(),
        exec_event(1, "argc=1 a0=sh"),
        exec_event(2, "argc=1 a0=6100"),
        exec_event(3, "argc=1 a0=\"sh\"").replace(" pid=3486", ""),
        exec_event(4, "argc=1 a0=\"sh\"").replace("uid=0", "uid=root"),
        record("EXECVE", 5, "argc=1 a0=\"sh\""),
        record("EOE", 5, ""),
        exec_event(6, "argc=1 a0=\"sh\"").replace("success=yes", "success=no"),
        exec_event(7, "argc=1 a0=\"sh\"")
            .replace("type=EXECVE", "type=AVC")
            .replace("=59", "=42"),
        record("USER_CMD", 8, "pid=1"),
    ];
    check(
        Format::Auditd,
        &log.concat(),
        expect![[r#"
            passed over
            passed over
            line 3: expected type=… msg=audit(SECONDS.MILLISECONDS:SERIAL): …
            line 5: "sh" is neither quoted nor hexadecimal
            line 11: a NUL byte in an argument or a path
            line 16: a SYSCALL record without pid
            line 22: uid is "root", expected a number
            line 28: an EXECVE record without its SYSCALL record; the log may begin or end amid an event
            passed over
            passed over
            passed over
        "#]],
    );
}

#[test]
fn what_audit_records_lack_stays_unknown_and_a_parent_is_what_it_ran() {
    let cut = record(
        "SYSCALL",
        1,
        &SYSCALL.replace("exe=\"/usr/bin/dash\"", "exe=(null)"),
    ) + &record("UNKNOWN[1327]", 1, "proctitle=7368002D63");
    let none = record(
        "1300",
        2,
        &SYSCALL
            .replace("auid=1000", "auid=4294967295")
            .replace("pts3", "(none)"),
    ) + &record("1320", 2, "");
    let gone = record(
        "SYSCALL",
        3,
        &SYSCALL.replace("\"/usr/bin/dash\"", "2F746D702F78202864656C6574656429"),
    ) + &record(
        "EXECVE",
        3,
        "argc=2 a0=\"x\" a1_len=4 a1[0]=\"ab\" a1[1]=6320",
    ) + &record("EOE", 3, "");
    let child =
        exec_event(4, "argc=1 a0=\"sh\"").replace("ppid=3485 pid=3486", "ppid=3486 pid=3487");
    check(
        Format::Auditd,
        &(cut + &none + &gone + &child),
        expect![[r#"
        1795488043803000000 pid 3486 of 3485 uid 0 euid 0 gid 0 login 1000 session 3 user root tty 136:3 comm sh procfs guid ["sh", "-c"]
        1795488043803000000 pid 3486 of 3485 uid 0 euid 0 gid 0 session 3 user root tty none exe /usr/bin/dash comm sh unread guid []
        1795488043803000000 pid 3486 of 3485 uid 0 euid 0 gid 0 login 1000 session 3 user root tty 136:3 exe /tmp/x comm sh deleted guid ["x", "abc "]
        1795488043803000000 pid 3487 of 3486 uid 0 euid 0 gid 0 login 1000 session 3 user root tty 136:3 exe /usr/bin/dash parent /tmp/x filename /bin/sh comm sh guid ["sh"]
    "#]],
    );
}
