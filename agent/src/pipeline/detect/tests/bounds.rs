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
        group_bytes_max: 0,
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

/// A half-done attack, then 1,100 harmless groups whose only exec opens `decoy`, then the third port.
fn check_decoys(decoy: &str) {
    let limits = Limits {
        groups_max: 1024,
        ..Limits::default()
    };
    let mut detector = limited(limits);
    feed(&mut detector, &by_parent(SECOND, 1, "636"));
    feed(&mut detector, &by_parent(2 * SECOND, 1, "989"));
    for index in 0..1100 {
        let exec = by_parent(3 * SECOND + index * MS, 1000 + index as u32, decoy);
        assert_eq!(feed(&mut detector, &exec), []);
    }
    assert!(detector.counters().groups_evicted > 0);
    let lines = feed(&mut detector, &by_parent(10 * SECOND, 1, "995"));
    assert_eq!(lines.len(), 1, "decoys with port {decoy}");
    assert_eq!(lines[0].ports, ["636", "989", "995"]);
    assert_eq!(lines[0].count, 3);
}

#[test]
fn groups_with_fewer_ports_do_not_push_out_one_with_more() {
    check_decoys("22");
    check_decoys("636");
}

#[test]
fn long_paths_cost_groups_and_not_memory() {
    let limits = Limits {
        group_bytes_max: 1024 * 1024,
        ..Limits::default()
    };
    let mut detector = limited(limits);
    feed(&mut detector, &by_parent(SECOND, 1, "636"));
    feed(&mut detector, &by_parent(2 * SECOND, 1, "989"));
    for index in 0..1000 {
        let mut exec = by_parent(3 * SECOND + index * MS, 1000 + index as u32, "636");
        exec.parent_exe = path(&format!("/tmp/{index:04000}"));
        feed(&mut detector, &exec);
        assert!(detector.levels().group_bytes <= limits.group_bytes_max);
    }
    assert!((100..500).contains(&detector.levels().groups));
    assert!(detector.counters().groups_evicted > 500);
    assert_eq!(
        feed(&mut detector, &by_parent(10 * SECOND, 1, "995")).len(),
        1
    );
}

#[test]
fn ports_out_of_reach_do_not_keep_a_group() {
    let limits = Limits {
        groups_max: 2,
        ..Limits::default()
    };
    let mut detector = limited(limits);
    // Parent 1 had two ports, two hours before its latest exec.
    for (at, port) in [(0, "636"), (1, "989"), (2 * HOUR, "80")] {
        let exec = by_parent(at, 1, port);
        detector.handle_exec(&exec, time(0));
    }
    feed(&mut detector, &by_parent(2 * HOUR + 1, 2, "636"));
    feed(&mut detector, &by_parent(2 * HOUR + 2, 3, "636"));
    assert_eq!(detector.counters().groups_evicted, 1);
    feed(&mut detector, &by_parent(2 * HOUR + 3, 2, "989"));
    let lines = feed(&mut detector, &by_parent(2 * HOUR + 4, 2, "995"));
    assert_eq!(lines.len(), 1);
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

/// Distinct command lines of some length, all by one parent.
fn wordy(at_ns: u64, parent: u32, port: &str, index: u64) -> Exec {
    let script = format!("{} # {index:<2000}", command(port));
    let mut exec = shell(at_ns, &script);
    exec.parent.tgid = parent;
    exec
}

#[test]
fn an_open_alert_only_grows_however_much_others_want() {
    let limits = Limits {
        evidence_bytes_max: 256 * 1024,
        ..Limits::default()
    };
    let mut detector = limited(limits);
    let mut opened = Vec::new();
    for (index, port) in (0..).zip(["636", "989", "995", "994", "3269"]) {
        opened.extend(feed(&mut detector, &wordy(index * SECOND, 1, port, index)));
    }
    let before = opened.pop().unwrap();
    assert_eq!((before.guids.len(), before.processes_exec.len()), (5, 5));
    // Waiting groups, and other alerts too.
    for index in 0..1000 {
        let parent = 2 + index as u32 / 10;
        let port = ["636", "989", "995"][index as usize % if parent < 50 { 2 } else { 3 }];
        feed(
            &mut detector,
            &wordy(5 * SECOND + index * MS, parent, port, index),
        );
        assert!(detector.levels().evidence_bytes <= limits.evidence_bytes_max);
    }
    let mut last = end(&mut detector, MINUTE);
    last.retain(|line| line.key.parent_process_id == 1);
    assert_eq!(last.len(), 1);
    assert_eq!(last[0].state, AlertState::Closed);
    assert_eq!(last[0].guids, before.guids);
    assert_eq!(last[0].pids, before.pids);
    assert_eq!(last[0].processes_exec, before.processes_exec);
    // Its evidence made room, and the line says so.
    assert_eq!(
        (last[0].execs.len(), last[0].blindness.execs_omitted),
        (0, 5)
    );
}

#[test]
fn waiting_groups_give_up_before_an_open_alert_does() {
    let limits = Limits {
        evidence_bytes_max: 256 * 1024,
        ..Limits::default()
    };
    let mut detector = limited(limits);
    for (index, port) in (0..).zip(["636", "989", "995"]) {
        feed(&mut detector, &wordy(index * SECOND, 1, port, index));
    }
    for index in 0..1000 {
        let exec = wordy(5 * SECOND + index * MS, 2 + index as u32, "636", index);
        feed(&mut detector, &exec);
    }
    let line = end(&mut detector, MINUTE).remove(0);
    assert_eq!((line.execs.len(), line.blindness.execs_omitted), (3, 0));
}

#[test]
fn when_an_open_alert_holds_all_room_new_items_are_refused_and_counted() {
    let limits = Limits {
        evidence_bytes_max: 64 * 1024,
        ..Limits::default()
    };
    let mut detector = limited(limits);
    let mut lines = Vec::new();
    for (index, port) in (0..100).zip(["636", "989", "995"].into_iter().cycle()) {
        lines.extend(feed(&mut detector, &wordy(index * SECOND, 1, port, index)));
        assert!(detector.levels().evidence_bytes <= limits.evidence_bytes_max);
    }
    lines.extend(end(&mut detector, 100 * SECOND));
    for pair in lines.windows(2) {
        let kept = |guid| pair[1].guids.contains(guid);
        assert!(pair[0].guids.iter().all(kept));
        let kept = |text| pair[1].processes_exec.contains(text);
        assert!(pair[0].processes_exec.iter().all(kept));
    }
    let last = lines.pop().unwrap();
    let blindness = last.blindness;
    assert_eq!(last.count, 100);
    assert!(last.guids.len() > 10 && last.guids.len() < 100);
    assert_eq!(last.guids.len() as u64 + blindness.guids_omitted, 100);
    let n_texts = last.processes_exec.len() as u64;
    assert_eq!(n_texts + blindness.processes_exec_omitted, 100);
    assert_eq!(last.execs.len() as u64 + blindness.execs_omitted, 100);
}

#[test]
fn a_line_says_how_much_its_lists_leave_out() {
    let limits = Limits {
        texts_per_group_max: 3,
        guids_per_group_max: 5,
        ..Limits::default()
    };
    let (line, _) = flooded(limits, 20);
    assert_eq!((line.processes_exec.len(), line.guids.len()), (3, 5));
    assert_eq!(line.blindness.processes_exec_omitted, 18);
    assert_eq!(line.blindness.guids_omitted, 16);
    let (line, _) = flooded(Limits::default(), 20);
    assert_eq!(line.blindness, crate::pipeline::alert::Blindness::default());
}

#[test]
fn what_is_left_out_leaves_the_window_too() {
    let limits = Limits {
        texts_per_group_max: 0,
        guids_per_group_max: 0,
        ..Limits::default()
    };
    let mut detector = limited(limits);
    for index in 0..100 {
        feed(&mut detector, &opening(index * MINUTE, "636"));
    }
    feed(&mut detector, &opening(99 * MINUTE + 1, "989"));
    let line = feed(&mut detector, &opening(99 * MINUTE + 2, "995")).remove(0);
    assert_eq!(line.blindness.processes_exec_omitted, 62);
    assert_eq!(line.blindness.guids_omitted, 62);
}
