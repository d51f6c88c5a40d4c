//! What the allow-list withholds.

use super::*;
use crate::pipeline::alert::AlertState;
use crate::pipeline::filter::{Field, FilterSpec};

type Columns<'a> = &'a [(Field, &'a [&'a str])];

fn filter(name: &str, columns: Columns<'_>) -> FilterSpec {
    let strings = |globs: &[&str]| globs.iter().map(|&glob| glob.to_owned()).collect();
    let columns = columns
        .iter()
        .map(|&(column, globs)| (column, strings(globs)));
    FilterSpec {
        name: name.to_owned(),
        owner: None,
        reason: None,
        expires_ns: None,
        fields: columns.collect(),
    }
}

fn filtered(filters: &[FilterSpec]) -> RuleSpec {
    RuleSpec {
        filters: filters.to_vec(),
        ..analytic()
    }
}

fn three() -> [Exec; 3] {
    [(1, "636"), (2, "989"), (3, "995")].map(|(second, port)| opening(second * SECOND, port))
}

fn check(columns: Columns<'_>, withheld: bool) {
    let mut detector = detector(filtered(&[filter("panel", columns)]));
    let n_lines = feed_all(&mut detector, &three()).len();
    assert_eq!(n_lines, usize::from(!withheld), "{columns:?}");
    let suppressed = detector.counters().suppressed["panel"];
    assert_eq!(suppressed, u64::from(withheld), "{columns:?}");
}

#[test]
fn each_column_can_withhold() {
    check(&[(Field::ProcessName, &["bash"])], true);
    check(&[(Field::ParentProcessName, &["c*"])], true);
    check(&[(Field::ParentProcessId, &["100"])], true);
    check(&[(Field::Dest, &["FIREBOX"])], true);
    check(&[(Field::User, &["daemon", "root"])], true);
    check(&[(Field::ParentProcessPath, &["/tmp/*"])], true);
    check(&[(Field::ProcessPath, &["/usr/bin/*sh"])], true);
    check(&[(Field::ProcessesExec, &["sh -c iptables *"])], true);
    check(&[(Field::Ports, &["636", "98*", "995"])], true);

    check(&[(Field::ProcessName, &["dash"])], false);
    check(&[(Field::ParentProcessId, &["10"])], false);
    check(&[(Field::ProcessesExec, &["iptables *"])], false);
}

#[test]
fn all_columns_must_fit() {
    let user = (Field::User, ["root"].as_slice());
    check(&[user, (Field::Dest, &["firebox"])], true);
    check(&[user, (Field::Dest, &["other"])], false);
    check(&[user, (Field::User, &["*t"])], true);
    check(&[user, (Field::User, &["*x"])], false);
}

#[test]
fn every_value_of_a_column_must_fit() {
    check(&[(Field::Ports, &["636", "989"])], false);
    check(&[(Field::ProcessesExec, &["*636*", "*989*"])], false);
    check(
        &[(Field::ProcessesExec, &["*636*", "*989*", "*995*"])],
        true,
    );
}

#[test]
fn a_filter_applies_to_the_row_as_it_is_then() {
    let columns: Columns<'_> = &[(Field::Ports, &["636", "989", "995"])];
    let mut detector = detector(filtered(&[filter("panel", columns)]));
    assert_eq!(feed_all(&mut detector, &three()), []);
    assert_eq!(feed(&mut detector, &opening(5 * SECOND, "636")), []);
    let lines = feed(&mut detector, &opening(7 * SECOND, "8443"));
    assert_eq!((lines[0].revision, lines[0].count), (0, 5));
    let lines = end(&mut detector, 7 * SECOND);
    assert_eq!((lines[0].revision, lines[0].state), (1, AlertState::Closed));
    let counters = detector.counters();
    assert_eq!(counters.suppressed["panel"], 2);
    assert_eq!((counters.alerts, counters.updates), (1, 1));
}

#[test]
fn an_alert_withheld_to_its_end_leaves_no_line() {
    let columns: Columns<'_> = &[(Field::User, &["root"])];
    let mut detector = detector(filtered(&[filter("admin", columns)]));
    assert_eq!(feed_all(&mut detector, &three()), []);
    assert_eq!(end(&mut detector, MINUTE), []);
    let counters = detector.counters();
    assert_eq!(counters.suppressed["admin"], 2);
    assert_eq!((counters.alerts, counters.updates), (0, 0));
}

#[test]
fn the_first_filter_that_fits_is_the_one_counted() {
    let root: Columns<'_> = &[(Field::User, &["root"])];
    let other: Columns<'_> = &[(Field::User, &["daemon"])];
    let filters = [filter("a", other), filter("b", root), filter("c", root)];
    let mut detector = detector(filtered(&filters));
    feed_all(&mut detector, &three());
    let suppressed: Vec<(String, u64)> = detector.counters().suppressed.into_iter().collect();
    let expected = [("a", 0), ("b", 1), ("c", 0)].map(|(name, n)| (name.to_owned(), n));
    assert_eq!(suppressed, expected);
}

#[test]
fn a_long_command_line_is_compared_whole() {
    let columns: Columns<'_> = &[(Field::ProcessesExec, &["*&>/dev/null"])];
    let long = |end: &str| format!("{} # {}{end}", command("636"), "x".repeat(20_000));
    for (end, n_lines) in [("&>/dev/null", 0), ("y", 1)] {
        let mut execs = three();
        execs[0] = shell(SECOND, &long(end));
        let mut detector = detector(filtered(&[filter("panel", columns)]));
        assert_eq!(feed_all(&mut detector, &execs).len(), n_lines);
    }
}

#[test]
fn a_command_line_that_is_no_longer_listed_still_has_to_fit() {
    let columns: Columns<'_> = &[(Field::ProcessesExec, &["sh -c iptables *"])];
    let limits = Limits {
        evidence_bytes_max: 0,
        evidence_per_group_max: 0,
        texts_per_group_max: 0,
        guids_per_group_max: 0,
        ..Limits::default()
    };
    let rule = Rule::compile(filtered(&[filter("panel", columns)])).unwrap();
    let mut fitting = Detector::new(rule.clone(), limits);
    assert_eq!(feed_all(&mut fitting, &three()).len(), 0);
    let mut execs = three();
    execs[1] = shell(2 * SECOND, &format!("evil; {}", command("989")));
    let mut evil = Detector::new(rule, limits);
    assert_eq!(feed_all(&mut evil, &execs).len(), 1);
}
