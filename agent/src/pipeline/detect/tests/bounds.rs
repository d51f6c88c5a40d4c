//! What is given up when there is too much.

use super::*;
use crate::pipeline::alert::AlertState;

fn limited(limits: Limits) -> Detector {
    Detector::new(Rule::compile(analytic()).unwrap(), limits)
}

fn by_parent(at_ns: u64, parent: u32, port: &str) -> Exec {
    let mut exec = opening(at_ns, port);
    exec.parent.tgid = parent;
    exec
}

/// Feeds `n` execs of two ports, then a third port, and returns the line.
fn flooded(limits: Limits, n: u64) -> (Alert, Detector) {
    let mut detector = limited(limits);
    for index in 0..n {
        let port = if index % 2 == 0 { "636" } else { "989" };
        let script = format!("{} # {index}", command(port));
        assert_eq!(feed(&mut detector, &shell(index * MS, &script)), []);
    }
    let lines = feed(&mut detector, &opening(n * MS, "995"));
    (lines.into_iter().next().unwrap(), detector)
}

#[test]
fn evidence_keeps_the_first_and_the_latest_execs() {
    let limits = Limits {
        evidence_per_group_max: 4,
        ..Limits::default()
    };
    let (line, detector) = flooded(limits, 20);
    let times: Vec<u64> = line
        .execs
        .iter()
        .map(|exec| exec.time.boot_ns / MS)
        .collect();
    assert_eq!(times, [0, 1, 19, 20]);
    assert_eq!((line.count, line.blindness.execs_omitted), (21, 17));
    assert_eq!(detector.counters().evidence_omitted, 17);
}

#[test]
fn evidence_keeps_an_exec_of_each_port() {
    let limits = Limits {
        evidence_per_group_max: 4,
        ..Limits::default()
    };
    let mut detector = limited(limits);
    let mut execs: Vec<Exec> = (0..100).map(|ms| opening(ms * MS, "636")).collect();
    execs[50] = opening(50 * MS, "989");
    execs[99] = opening(99 * MS, "995");
    let line = feed_all(&mut detector, &execs).remove(0);
    let times: Vec<u64> = line
        .execs
        .iter()
        .map(|exec| exec.time.boot_ns / MS)
        .collect();
    assert_eq!(times, [0, 1, 50, 99]);
}

#[test]
fn lists_keep_the_first_values_and_count_goes_on() {
    let limits = Limits {
        texts_per_group_max: 3,
        guids_per_group_max: 5,
        ..Limits::default()
    };
    let (line, detector) = flooded(limits, 2000);
    assert_eq!((line.count, line.port_count), (2001, 3));
    assert_eq!(line.processes_exec.len(), 3);
    assert_eq!(line.guids.len(), 5);
    assert_eq!(line.first_seen, time(0));
    let counters = detector.counters();
    assert_eq!(counters.texts_omitted, 1998);
    assert_eq!(counters.guids_omitted, 1996);
}

#[test]
fn no_bound_but_that_of_groups_loses_a_crossing() {
    let limits = Limits {
        groups_max: 1,
        evidence_bytes_max: 0,
        evidence_per_group_max: 0,
        texts_per_group_max: 0,
        guids_per_group_max: 0,
    };
    let (line, detector) = flooded(limits, 10);
    assert_eq!(line.ports, ["636", "989", "995"]);
    assert_eq!((line.count, line.blindness.execs_omitted), (11, 11));
    assert_eq!(detector.levels().evidence_bytes, 0);
}

#[test]
fn unlisted_execs_leave_the_window_too() {
    let limits = Limits {
        guids_per_group_max: 0,
        ..Limits::default()
    };
    let mut detector = limited(limits);
    for index in 0..100 {
        feed(&mut detector, &opening(index * MINUTE, "636"));
    }
    feed(&mut detector, &opening(99 * MINUTE + 1, "989"));
    let line = feed(&mut detector, &opening(99 * MINUTE + 2, "995")).remove(0);
    assert_eq!(line.count, 60 + 2);
    assert_eq!(line.first_seen, time(40 * MINUTE));
}

#[test]
fn an_unlisted_exec_delivered_twice_counts_once() {
    let limits = Limits {
        guids_per_group_max: 1,
        ..Limits::default()
    };
    let mut detector = limited(limits);
    for (at, port) in [(1, "636"), (2, "989"), (3, "995")] {
        for _ in 0..2 {
            feed(&mut detector, &opening(at, port));
        }
    }
    assert_eq!(end(&mut detector, 4)[0].count, 3);
    assert_eq!(detector.counters().duplicates, 3);
}

#[test]
fn the_least_recently_active_group_without_an_alert_goes_first() {
    let limits = Limits {
        groups_max: 3,
        ..Limits::default()
    };
    let mut detector = limited(limits);
    // Parent 1 has an alert, 2 is older than 3 but active again.
    for (at, port) in [(1, "636"), (2, "989"), (3, "995")] {
        feed(&mut detector, &by_parent(at, 1, port));
    }
    for (at, parent, port) in [(4, 2, "636"), (5, 3, "636"), (6, 2, "989"), (7, 4, "636")] {
        assert_eq!(feed(&mut detector, &by_parent(at, parent, port)), []);
    }
    assert_eq!(detector.counters().groups_evicted, 1);
    assert_eq!(feed(&mut detector, &by_parent(8, 2, "995")).len(), 1);
    // 3 was given up: two more ports of it do not alert.
    feed(&mut detector, &by_parent(9, 3, "989"));
    assert_eq!(feed(&mut detector, &by_parent(10, 3, "995")), []);
}

#[test]
fn an_open_alert_gets_its_last_line_before_it_is_given_up() {
    let limits = Limits {
        groups_max: 2,
        ..Limits::default()
    };
    let mut detector = limited(limits);
    for parent in [1, 2] {
        for (at, port) in [(1, "636"), (2, "989"), (3, "995")] {
            feed(&mut detector, &by_parent(at, parent, port));
        }
    }
    let lines = feed(&mut detector, &by_parent(4, 3, "636"));
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].key.parent_process_id, 1);
    assert_eq!((lines[0].revision, lines[0].state), (1, AlertState::Closed));
    let levels = detector.levels();
    assert_eq!((levels.groups, levels.alerts_open), (2, 1));
}

#[test]
fn the_least_recently_active_group_gives_up_its_evidence_first() {
    let mut detector = limited(Limits::default());
    for parent in [1, 2] {
        feed(&mut detector, &by_parent(1, parent, "636"));
    }
    let limits = Limits {
        evidence_bytes_max: detector.levels().evidence_bytes,
        ..Limits::default()
    };
    let mut detector = limited(limits);
    for (at, parent) in [(1, 1), (1, 2), (2, 2)] {
        feed(&mut detector, &by_parent(at, parent, "636"));
    }
    let line = |detector: &mut Detector, parent| {
        feed(detector, &by_parent(3, parent, "989"));
        let mut lines = feed(detector, &by_parent(4, parent, "995"));
        lines.remove(0)
    };
    assert_eq!(detector.counters().evidence_omitted, 1);
    let stripped = line(&mut detector, 1);
    assert_eq!((stripped.count, stripped.blindness.execs_omitted), (3, 1));
}
