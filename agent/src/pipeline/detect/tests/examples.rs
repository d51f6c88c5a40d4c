//! The points of the analytic, one by one.

use std::sync::Arc;

use expect_test::{Expect, expect};

use super::*;
use crate::pipeline::alert::AlertState;
use crate::pipeline::exec::{ArgvSource, Unknown};

/// The line that `execs` make, one second apart and handed in one after the other; none or one.
fn alert(execs: &[Exec]) -> Option<Alert> {
    let mut detector = detector(analytic());
    let mut lines = feed_all(&mut detector, execs);
    assert!(lines.len() <= 1, "more than one line");
    lines.pop()
}

fn openings(ports: &[&str]) -> Vec<Exec> {
    let numbered = (1..).zip(ports);
    numbered
        .map(|(second, port)| opening(second * SECOND, port))
        .collect()
}

fn check_alerts(execs: &[Exec], expected: bool) {
    assert_eq!(alert(execs).is_some(), expected);
}

fn check(alert: &Alert, expected: &Expect) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut shown = vec![
        format!(
            "{:?} {} of {}",
            alert.state, alert.revision, alert.rule.name
        ),
        format!(
            "{} -> {}",
            alert.first_seen.boot_ns / SECOND,
            alert.last_seen.boot_ns / SECOND
        ),
        format!(
            "process {} {}",
            text(&alert.key.process_name),
            text(&alert.key.process_path)
        ),
        format!(
            "parent {} {} {}",
            text(&alert.key.parent_process_name),
            text(&alert.key.parent_process_path),
            alert.key.parent_process_id
        ),
        format!("{} on {}", alert.key.user, alert.key.dest),
        format!("ports {} = {}", alert.port_count, alert.ports.join(" ")),
        format!("count {}, pids {:?}", alert.count, alert.pids),
    ];
    let processes = alert.processes_exec.iter();
    shown.extend(processes.map(|process| text(&process.parts[0].bytes)));
    expected.assert_eq(&shown.join("\n"));
}

#[test]
fn three_distinct_ports_alert() {
    let alert = alert(&openings(&["8443", "3269", "995"])).unwrap();
    check(
        &alert,
        &expect![[r#"
            Open 0 of Linux Iptables Firewall Modification
            1 -> 3
            process bash /usr/bin/bash
            parent cpd /tmp/cpd 100
            root on firebox
            ports 3 = 3269 8443 995
            count 3, pids [1000]
            sh -c iptables -I OUTPUT -p tcp --dport 3269 -j ACCEPT &>/dev/null
            sh -c iptables -I OUTPUT -p tcp --dport 8443 -j ACCEPT &>/dev/null
            sh -c iptables -I OUTPUT -p tcp --dport 995 -j ACCEPT &>/dev/null"#]],
    );
}

#[test]
fn two_distinct_ports_do_not_alert_however_often_they_come() {
    check_alerts(&openings(&["636", "989", "636", "989", "636"]), false);
    check_alerts(&openings(&["636", "80", "443", "22"]), false);
}

#[test]
fn ports_that_only_begin_alike_count_as_the_port() {
    check_alerts(&openings(&["6360", "32690", "8443x"]), true);
    check_alerts(&openings(&["6360", "636", "6361"]), false);
}

#[test]
fn one_exec_gives_one_port() {
    let all = "iptables -p tcp --dport 636 -j ACCEPT &>/dev/null; \
               iptables -p tcp --dport 989 -j ACCEPT &>/dev/null; \
               iptables -p tcp --dport 995 -j ACCEPT &>/dev/null";
    check_alerts(&[shell(1, all)], false);
}

#[test]
fn an_exec_without_a_port_counts_in_its_group() {
    let alert = alert(&openings(&["80", " 636", "636", "989", "995"])).unwrap();
    assert_eq!((alert.count, alert.port_count), (5, 3));
    assert_eq!(alert.execs[1].port, None);
    assert_eq!(alert.execs[2].port.as_deref(), Some("636"));
}

#[test]
fn insert_append_delete_and_check_count_alike() {
    let ports = ["636", "989", "994", "995"];
    let execs = ["-I", "-A", "-D", "-C"].iter().zip(ports).zip(1..);
    let execs: Vec<Exec> = execs
        .map(|((action, port), second)| {
            shell(second * SECOND, &command(port).replace("-I", action))
        })
        .collect();
    check_alerts(&execs[..3], true);
    check_alerts(&execs[1..], true);
}

#[test]
fn ports_are_in_string_order() {
    let mut detector = detector(analytic());
    let all = ["994", "995", "8443", "636", "3269", "989"];
    feed_all(&mut detector, &openings(&all));
    let last = end(&mut detector, MINUTE).pop().unwrap();
    assert_eq!(last.ports.join(" "), "3269 636 8443 989 994 995");
}

#[test]
fn pids_are_distinct_and_in_string_order() {
    let mut execs = openings(&["636", "636", "989", "995"]);
    for (exec, pid) in execs.iter_mut().zip([9, 9, 1000, 21]) {
        exec.process.tgid = pid;
    }
    assert_eq!(alert(&execs).unwrap().pids, [1000, 21, 9]);
}

#[test]
fn guids_are_in_string_order_and_execs_in_the_order_of_time() {
    let mut execs = openings(&["636", "989", "995"]);
    for (exec, guid) in execs.iter_mut().zip([0xb, 0xf, 0xa]) {
        exec.guid = ExecGuid::Given(Uuid::from_u128(guid));
    }
    let alert = alert(&execs).unwrap();
    assert_eq!(alert.guids, [0xa, 0xb, 0xf].map(Uuid::from_u128));
    let guids: Vec<Uuid> = alert.execs.iter().map(|exec| exec.guid).collect();
    assert_eq!(guids, [0xb, 0xf, 0xa].map(Uuid::from_u128));
}

#[test]
fn command_lines_are_distinct_and_in_the_order_of_bytes() {
    let mut execs = openings(&["636", "636", "989", "995"]);
    execs[2].argv = Argv::from_arguments([b"\xffsh".as_slice(), command("989").as_bytes()]);
    let first = |alert: &Alert| -> Vec<u8> {
        let processes = alert.processes_exec.iter();
        processes.map(|text| text.parts[0].bytes[0]).collect()
    };
    assert_eq!(first(&alert(&execs).unwrap()), b"ss\xff");
}

#[test]
fn one_exec_delivered_twice_counts_once() {
    let mut detector = detector(analytic());
    let execs = openings(&["636", "989", "995"]);
    for exec in &execs {
        feed(&mut detector, exec);
        assert_eq!(feed(&mut detector, exec), []);
    }
    assert_eq!(end(&mut detector, MINUTE)[0].count, 3);
    assert_eq!(detector.counters().duplicates, 3);
}

#[test]
fn a_second_exec_of_one_process_counts_again() {
    let mut detector = detector(analytic());
    let execs = openings(&["636", "636", "989", "995"]);
    let line = feed_all(&mut detector, &execs).pop().unwrap();
    assert_eq!((line.count, line.pids.len()), (4, 1));
}

#[test]
fn each_of_the_seven_fields_makes_another_group() {
    let change_one: [fn(&mut Exec); 7] = [
        |exec| exec.exe = path("/usr/bin/zsh"),
        |exec| exec.exe = path("/opt/bash"),
        |exec| exec.parent_exe = path("/tmp/x"),
        |exec| exec.parent_exe = path("/var/cpd"),
        |exec| exec.parent.tgid = 101,
        |exec| exec.dest = Some("other".into()),
        |exec| exec.user = Some("daemon".into()),
    ];
    for change in change_one {
        let mut execs = openings(&["636", "989", "995"]);
        change(&mut execs[1]);
        check_alerts(&execs, false);
    }
}

#[test]
fn nothing_else_makes_another_group() {
    let mut execs = openings(&["636", "989", "995"]);
    let other = &mut execs[1];
    other.process = ProcessKey {
        tgid: 2,
        start_ns: 2,
    };
    other.session_id = Some(7);
    other.euid = Some(1);
    other.parent.start_ns = 9;
    other.parent_argv = Some(Argv::from_arguments([b"cpd".as_slice()]));
    other.filename = Box::from(*b"/proc/self/exe");
    other.comm = Box::from(*b"[kworker:0/1]");
    other.host_id = None;
    check_alerts(&execs, true);
}

#[test]
fn unknown_values_are_null_or_unknown() {
    let mut execs = openings(&["636", "989", "995"]);
    for exec in &mut execs {
        exec.exe = ExePath::Unknown(Unknown::Fault);
        exec.parent_exe = ExePath::Unknown(Unknown::Changed);
        exec.dest = None;
        exec.user = None;
    }
    let alert = alert(&execs).unwrap();
    assert_eq!(&*alert.key.process_path, b"null");
    assert_eq!(&*alert.key.process_name, b"null");
    assert_eq!(&*alert.key.parent_process_path, b"null");
    assert_eq!(&*alert.key.parent_process_name, b"null");
    assert_eq!(&*alert.key.dest, "unknown");
    assert_eq!(&*alert.key.user, "unknown");
    assert_eq!(alert.parent_unknown, Some(Unknown::Changed));
    assert_eq!(alert.matched[5].found, b"null");
}

#[test]
fn an_empty_command_line_is_unknown() {
    let mut spec = analytic();
    spec.process = vec!["unknown".to_owned()];
    let mut detector = detector(spec);
    let mut exec = opening(1, "636");
    feed(&mut detector, &exec);
    assert_eq!(detector.counters().matched, 0);
    exec.argv = Argv::from_arguments([]);
    feed(&mut detector, &exec);
    assert_eq!(detector.counters().matched, 1);
}

#[test]
fn a_parent_in_usr_bin_hides_everything() {
    let mut detector = detector(analytic());
    for mut exec in openings(&["636", "989", "995"]) {
        exec.parent_exe = path("/usr/bin/cpd");
        assert_eq!(feed(&mut detector, &exec), []);
    }
    let counters = detector.counters();
    assert_eq!((counters.execs, counters.matched), (3, 0));
}

#[test]
fn an_alert_says_which_clause_found_what_where() {
    let alert = alert(&openings(&["636", "989", "9950"])).unwrap();
    let matched: Vec<String> = alert
        .matched
        .iter()
        .map(|clause| {
            let found = String::from_utf8_lossy(&clause.found);
            format!("{} {:?} [{found}]", clause.clause, clause.offset)
        })
        .collect();
    expect![[r#"
        process="*iptables *" Some(6) [iptables ]
        process="* --dport *" Some(31) [ --dport ]
        process="* ACCEPT*" Some(47) [ ACCEPT]
        process="*&>/dev/null*" Some(55) [&>/dev/null]
        process="* tcp *" Some(27) [ tcp ]
        NOT parent_process_path IN ("/bin/*", "/lib/*", "/usr/bin/*", "/sbin/*") None [/tmp/cpd]
        rex field=process "--dport (?<port>3269|636|989|994|995|8443)" Some(32) [--dport 995]"#]]
    .assert_eq(&matched.join("\n"));
}

#[test]
fn an_id_is_that_of_rule_host_key_and_first_exec() {
    let mut execs = openings(&["636", "989", "995"]);
    execs[0].guid = ExecGuid::Given(Uuid::from_u128(1));
    let id = alert(&execs).unwrap().id;
    // UUIDv5 computed by other means from the encoding that `group::alert_id` documents.
    assert_eq!(id.to_string(), "f0bccc96-1a29-5386-b375-27c7f5a3dc70");

    let changes: [fn(&mut Exec); 3] = [
        |exec| exec.host_id = Some("other".into()),
        |exec| exec.host_id = None,
        |exec| exec.parent.tgid = 101,
    ];
    for change in changes {
        let mut execs = execs.clone();
        execs.iter_mut().for_each(change);
        assert_ne!(alert(&execs).unwrap().id, id);
    }
}

#[test]
fn the_length_of_each_value_keeps_ids_apart() {
    let mut one = openings(&["636", "989", "995"]);
    let mut other = one.clone();
    for (one, other) in one.iter_mut().zip(&mut other) {
        (one.dest, one.user) = (Some("ab".into()), Some("c".into()));
        (other.dest, other.user) = (Some("a".into()), Some("bc".into()));
    }
    assert_ne!(alert(&one).unwrap().id, alert(&other).unwrap().id);
}

#[test]
fn evidence_tells_what_was_lost_of_a_command_line() {
    let mut execs = openings(&["636", "989", "995"]);
    execs[0].argv.bytes_full += 100;
    execs[0].argv.source = ArgvSource::Kernel;
    execs[1].argv.source = ArgvSource::Procfs;
    let alert = alert(&execs).unwrap();
    assert_eq!((alert.blindness.truncated, alert.blindness.faults), (1, 1));
    assert_eq!(alert.execs[0].argv_bytes_lost, 100);
    assert_eq!(alert.execs[1].argv_bytes_lost, 0);
    assert_eq!(alert.execs[1].argv_source, ArgvSource::Procfs);
}

#[test]
fn a_long_command_line_is_shortened_around_what_matched() {
    let mut execs = openings(&["636", "989", "995"]);
    let long = format!("{}; {}", "x".repeat(20_000), command("636"));
    execs[0] = shell(SECOND, &long);
    let alert = alert(&execs).unwrap();
    let text = &alert.execs[0].process_text;
    assert_eq!(text.bytes_full, 6 + long.len() as u64);
    assert_eq!(text.parts.len(), 2);
    assert!(text.parts[1].bytes.ends_with(command("636").as_bytes()));
    // 's' before 'x': the long text comes last, by its own bytes.
    assert_eq!(alert.processes_exec.last(), Some(text));
}

#[test]
fn the_parent_is_that_of_the_exec_that_opened_the_alert() {
    let mut execs = openings(&["636", "989", "995"]);
    execs[2].parent.start_ns = 5;
    assert_eq!(alert(&execs).unwrap().parent.start_ns, 5);
}

#[test]
fn an_alert_names_its_rule_and_window() {
    let alert = alert(&openings(&["636", "989", "995"])).unwrap();
    assert_eq!(alert.rule, Arc::new(analytic().identity));
    assert_eq!(alert.window_mode, WindowMode::Sliding);
    assert_eq!(alert.window_span_s, 3600);
    assert_eq!(alert.state, AlertState::Open);
    assert_eq!(alert.ancestry, []);
    assert_eq!(alert.blindness.lost, 0);
}
