//! When an alert opens, grows and closes.

use std::time::Duration;

use super::*;
use crate::pipeline::alert::AlertState;

fn summary(lines: &[Alert]) -> Vec<(u32, AlertState, u64)> {
    lines
        .iter()
        .map(|line| (line.revision, line.state, line.count))
        .collect()
}

fn check(lines: &[Alert], expected: &[(u32, AlertState, u64)]) {
    assert_eq!(summary(lines), expected);
}

use AlertState::{Closed, Open};

/// A detector with an alert that opened at second 3.
fn opened(spec: RuleSpec) -> Detector {
    let mut detector = detector(spec);
    let execs = [(1, "636"), (2, "989"), (3, "995")];
    let execs = execs.map(|(second, port)| opening(second * SECOND, port));
    check(&feed_all(&mut detector, &execs), &[(0, Open, 3)]);
    detector
}

#[test]
fn the_third_port_must_come_within_one_span_of_the_first() {
    let within = |third| {
        let mut detector = detector(analytic());
        let execs = [(0, "636"), (5, "989"), (third, "995")];
        let execs = execs.map(|(at, port)| opening(at, port));
        feed_all(&mut detector, &execs).len()
    };
    assert_eq!(within(HOUR - 1), 1);
    assert_eq!(within(HOUR), 0);
}

#[test]
fn an_alert_covers_only_what_lies_in_its_window() {
    let mut detector = detector(analytic());
    let execs = [
        (0, "80"),
        (1, "636"),
        (2, "8443"),
        (HOUR + 1, "989"),
        (HOUR + 2, "994"),
        (HOUR + 3, "995"),
    ];
    let lines = feed_all(&mut detector, &execs.map(|(at, port)| opening(at, port)));
    check(&lines, &[(0, Open, 3)]);
    assert_eq!(lines[0].ports, ["989", "994", "995"]);
    assert_eq!(lines[0].first_seen, time(HOUR + 1));
    assert_eq!(lines[0].processes_exec.len(), 3);
}

#[test]
fn an_open_alert_is_updated_at_most_once_a_second() {
    let mut detector = opened(analytic());
    check(&feed(&mut detector, &opening(3 * SECOND + 1, "994")), &[]);
    check(&feed(&mut detector, &opening(4 * SECOND - 1, "80")), &[]);
    let wait = detector.poll_timeout(time(4 * SECOND - 1));
    assert_eq!(wait, Some(Duration::from_nanos(1)));
    check(&timeout(&mut detector, 4 * SECOND - 1), &[]);
    check(&timeout(&mut detector, 4 * SECOND), &[(1, Open, 5)]);
    check(&timeout(&mut detector, 9 * SECOND), &[]);
    check(
        &feed(&mut detector, &opening(9 * SECOND, "80")),
        &[(2, Open, 6)],
    );
    check(&feed(&mut detector, &opening(9 * SECOND + 1, "80")), &[]);
}

#[test]
fn an_alert_outlives_its_first_span_while_it_grows() {
    let mut detector = opened(analytic());
    let lines = feed(&mut detector, &opening(HOUR, "994"));
    check(&lines, &[(1, Open, 4)]);
    let lines = feed(&mut detector, &opening(2 * HOUR - 1, "636"));
    check(&lines, &[(2, Open, 5)]);
    assert_eq!(lines[0].ports, ["636", "989", "994", "995"]);
    assert_eq!(lines[0].first_seen, time(SECOND));
}

#[test]
fn an_alert_closes_when_no_exec_came_for_one_span_and_a_second() {
    let mut detector = opened(analytic());
    let closing = HOUR + 4 * SECOND;
    let wait = detector.poll_timeout(time(3 * SECOND)).unwrap();
    assert_eq!(wait, Duration::from_nanos(closing - 3 * SECOND));
    check(&timeout(&mut detector, closing - 1), &[]);
    check(&timeout(&mut detector, closing), &[(1, Closed, 3)]);
    assert_eq!(detector.poll_timeout(time(closing)), None);
    assert_eq!(detector.levels().groups, 0);
}

#[test]
fn any_later_exec_closes_what_is_over() {
    let mut detector = opened(analytic());
    let unrelated = shell(2 * HOUR, "true");
    check(&feed(&mut detector, &unrelated), &[(1, Closed, 3)]);
}

#[test]
fn after_the_close_a_new_crossing_is_a_new_alert() {
    let mut detector = opened(analytic());
    let first = end(&mut detector, 0);
    let mut detector = opened(analytic());
    let again = [(3, "636"), (4, "989"), (5, "3269")];
    let again = again.map(|(second, port)| opening(HOUR + second * SECOND, port));
    let lines = feed_all(&mut detector, &again);
    check(&lines, &[(1, Closed, 3), (0, Open, 3)]);
    assert_eq!(lines[0].id, first[0].id);
    assert_ne!(lines[1].id, lines[0].id);
    assert_eq!(lines[1].ports, ["3269", "636", "989"]);
}

#[test]
fn a_crossing_right_after_the_span_ends_the_alert_at_once() {
    let mut detector = opened(analytic());
    let again = [(0, "636"), (1, "989"), (2, "3269")];
    let again = again.map(|(ms, port)| opening(3 * SECOND + HOUR + ms * MS, port));
    let lines = feed_all(&mut detector, &again);
    check(&lines, &[(1, Closed, 3), (0, Open, 3)]);
    assert_eq!(lines[0].ports, ["636", "989", "995"]);
    assert_eq!(lines[1].ports, ["3269", "636", "989"]);
}

#[test]
fn an_exec_that_comes_late_can_keep_an_alert_from_ending() {
    let mut detector = opened(analytic());
    let last = 3 * SECOND;
    check(
        &feed(&mut detector, &opening(last + HOUR + 5 * MS, "8443")),
        &[],
    );
    let between = opening(last + HOUR - 5 * MS, "994");
    detector.handle_exec(&between, time(last + HOUR + 10 * MS));
    let lines = lines(&mut detector);
    check(&lines, &[(1, Open, 5)]);
    assert_eq!(lines[0].ports, ["636", "8443", "989", "994", "995"]);
    assert_eq!(lines[0].last_seen, time(last + HOUR + 5 * MS));
}

#[test]
fn what_comes_a_span_after_the_last_exec_is_not_part_of_the_alert() {
    let mut detector = opened(analytic());
    let later = 3 * SECOND + HOUR;
    check(&feed(&mut detector, &opening(later, "8443")), &[]);
    check(&timeout(&mut detector, later + SECOND), &[(1, Closed, 3)]);
    // It is not lost either.
    let more = [
        opening(later + 2 * SECOND, "994"),
        opening(later + 3 * SECOND, "3269"),
    ];
    let lines = feed_all(&mut detector, &more);
    check(&lines, &[(0, Open, 3)]);
    assert_eq!(lines[0].ports, ["3269", "8443", "994"]);
}

#[test]
fn an_exec_that_comes_late_counts_where_it_belongs() {
    let mut detector = detector(analytic());
    let execs = [(20, "636"), (30, "989"), (10, "80"), (25, "995")];
    let lines = feed_all(
        &mut detector,
        &execs.map(|(ms, port)| opening(ms * MS, port)),
    );
    check(&lines, &[(0, Open, 4)]);
    assert_eq!(lines[0].first_seen, time(10 * MS));
    assert_eq!(lines[0].last_seen, time(30 * MS));
    let times: Vec<u64> = lines[0]
        .execs
        .iter()
        .map(|exec| exec.time.boot_ns / MS)
        .collect();
    assert_eq!(times, [10, 20, 25, 30]);
}

#[test]
fn a_port_seen_again_does_not_hide_that_it_was_seen_before() {
    // In the order of time the threshold holds at the third exec; the fourth came first.
    let mut detector = detector(analytic());
    let execs = [
        (0, "636"),
        (10 * MS, "989"),
        (HOUR + 20 * MS, "636"),
        (HOUR - 1, "995"),
    ];
    let lines = feed_all(&mut detector, &execs.map(|(at, port)| opening(at, port)));
    check(&lines, &[(0, Open, 4)]);
    assert_eq!(lines[0].first_seen, time(0));
}

#[test]
fn an_exec_too_late_for_all_that_is_held_is_counted_late() {
    let mut detector = detector(analytic());
    feed(&mut detector, &opening(3 * HOUR, "636"));
    feed(&mut detector, &opening(HOUR, "989"));
    assert_eq!(detector.counters().late, 1);
    let mut detector = opened(analytic());
    feed(&mut detector, &opening(HOUR, "994"));
    feed(&mut detector, &opening(2 * HOUR - 1, "994"));
    feed(&mut detector, &opening(0, "994"));
    assert_eq!(detector.counters().late, 0);
}

#[test]
fn an_exec_of_a_span_that_was_given_up_is_late_but_not_lost() {
    let mut detector = detector(analytic());
    feed(&mut detector, &opening(SECOND, "636"));
    feed(&mut detector, &shell(2 * HOUR, "true"));
    assert_eq!(detector.levels().groups, 0);
    for (second, port) in [(2, "989"), (3, "995"), (4, "8443")] {
        detector.handle_exec(&opening(second * SECOND, port), time(2 * HOUR));
    }
    check(&lines(&mut detector), &[(0, Open, 3)]);
    assert_eq!(detector.counters().late, 1);
}

#[test]
fn a_backlog_longer_than_the_span_is_still_judged() {
    let mut detector = detector(analytic());
    let now = time(10 * HOUR);
    for (second, port) in [(1, "636"), (2, "989"), (3, "995")] {
        detector.handle_exec(&opening(second * SECOND, port), now);
        detector.handle_timeout(now);
    }
    check(&lines(&mut detector), &[(0, Open, 3)]);
    check(
        &timeout(&mut detector, 10 * HOUR + SECOND),
        &[(1, Closed, 3)],
    );
}

#[test]
fn the_end_of_input_closes_every_open_alert() {
    let mut detector = opened(analytic());
    let mut other = opening(3 * SECOND, "636");
    other.parent.tgid = 7;
    feed(&mut detector, &other);
    check(&end(&mut detector, 3 * SECOND), &[(1, Closed, 3)]);
    assert_eq!(detector.levels(), Default::default());
    assert_eq!(detector.poll_timeout(time(3 * SECOND)), None);
}

#[test]
fn a_flush_reports_what_was_not_yet_and_ends_nothing() {
    let mut detector = opened(analytic());
    detector.flush(time(3 * SECOND));
    check(&lines(&mut detector), &[]);
    feed(&mut detector, &opening(3 * SECOND + 1, "994"));
    detector.flush(time(3 * SECOND + 2));
    check(&lines(&mut detector), &[(1, Open, 4)]);
    check(&timeout(&mut detector, 5 * SECOND), &[]);
    check(
        &feed(&mut detector, &opening(6 * SECOND, "80")),
        &[(2, Open, 5)],
    );
}

#[test]
fn a_scheduled_search_sees_each_stretch_alone() {
    let start = HOUR - 10 * MINUTE;
    let mut detector = detector(scheduled());
    let execs = [
        (start - 2, "636"),
        (start - 1, "989"),
        (start, "995"),
        (start + 1, "994"),
    ];
    check(
        &feed_all(&mut detector, &execs.map(|(at, port)| opening(at, port))),
        &[],
    );
    let lines = feed(&mut detector, &opening(start + HOUR - 1, "3269"));
    check(&lines, &[(0, Open, 3)]);
    assert_eq!(lines[0].ports, ["3269", "994", "995"]);
}

#[test]
fn a_scheduled_row_is_that_of_the_whole_stretch() {
    let mut detector = opened(scheduled());
    feed(&mut detector, &opening(4 * SECOND, "80"));
    feed(&mut detector, &opening(40 * MINUTE, "8443"));
    let end = 50 * MINUTE;
    feed(&mut detector, &opening(end - 1, "636"));
    let late = opening(end - 2, "3269");
    detector.handle_exec(&late, time(end + 20 * MS));
    let _ = lines(&mut detector);
    check(
        &timeout(&mut detector, end + SECOND + 20 * MS - 1),
        &[(4, Open, 7)],
    );
    let lines = timeout(&mut detector, end + SECOND + 20 * MS);
    check(&lines, &[(5, Closed, 7)]);
    assert_eq!(lines[0].ports, ["3269", "636", "8443", "989", "995"]);
    assert_eq!(lines[0].first_seen, time(SECOND));
    assert_eq!(lines[0].last_seen, time(end - 1));
}

#[test]
fn an_exec_of_a_stretch_that_was_given_up_is_late_but_not_lost() {
    let mut detector = opened(scheduled());
    let now = time(HOUR);
    detector.handle_timeout(now);
    check(&lines(&mut detector), &[(1, Closed, 3)]);
    for (second, port) in [(11, "636"), (12, "989"), (13, "995")] {
        detector.handle_exec(&opening(second * SECOND, port), now);
    }
    check(&lines(&mut detector), &[(0, Open, 3)]);
    assert_eq!(detector.counters().late, 1);
}

#[test]
fn a_sliding_window_ignores_the_wall_clock_and_a_scheduled_one_the_boot_clock() {
    let jumping = |spec, jump: fn(u64) -> Time| {
        let mut detector = detector(spec);
        let mut n_lines = 0;
        for (second, port) in [(1, "636"), (2, "989"), (3, "995")] {
            let mut exec = opening(0, port);
            exec.time = jump(second);
            n_lines += feed(&mut detector, &exec).len();
        }
        n_lines
    };
    let wall_jumps = |second| Time {
        boot_ns: second * SECOND,
        wall_ns: (9 - second) * 10 * HOUR,
    };
    let boot_jumps = |second| Time {
        boot_ns: second * 10 * HOUR,
        wall_ns: (9 - second) * SECOND,
    };
    assert_eq!(jumping(analytic(), wall_jumps), 1);
    assert_eq!(jumping(scheduled(), boot_jumps), 1);
    assert_eq!(jumping(scheduled(), wall_jumps), 0);
    assert_eq!(jumping(analytic(), boot_jumps), 0);
}

#[test]
fn no_time_is_too_strange() {
    let moments = [0, 1, SECOND, HOUR, u64::MAX / 2, u64::MAX - 1, u64::MAX];
    for spec in [analytic(), scheduled()] {
        for first in moments {
            let mut detector = detector(spec.clone());
            for (second, port) in moments
                .iter()
                .zip(["636", "989", "995", "994"].iter().cycle())
            {
                for now in moments {
                    detector.handle_exec(&opening(*second, port), time(now));
                    detector.handle_exec(&opening(first, "3269"), time(first));
                    detector.handle_timeout(time(*second));
                    let _ = detector.poll_timeout(time(now));
                }
            }
            detector.flush(time(first));
            detector.handle_end(time(first));
            assert_eq!(detector.levels(), Default::default());
        }
    }
}
