//! What is said of one exec is what became of it.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::pipeline::detect::explain::Explanation;
use crate::pipeline::filter::{Field, FilterSpec};

fn explained(detector: &mut Detector, exec: &Exec) -> Explanation {
    feed(detector, exec);
    detector.explain(exec)
}

/// The ports that count, and whether an alert is open.
fn standing(detector: &mut Detector, exec: &Exec) -> (String, bool) {
    let group = explained(detector, exec).group.unwrap();
    assert!(!group.is_late);
    (group.ports.join(" "), group.alert.is_some())
}

#[test]
fn the_clauses_are_told_in_their_order_with_the_bytes_for_which_they_hold() {
    let mut exec = shell(SECOND, "iptables --dport 636 -j ACCEPT");
    exec.parent_exe = path("/usr/bin/bash");
    let explanation = explained(&mut detector(analytic()), &exec);
    let held: Vec<Option<usize>> = explanation
        .clauses
        .iter()
        .map(|(_, range)| range.as_ref().map(|range| range.start))
        .collect();
    assert_eq!(held, [Some(6), Some(14), Some(29), None, None]);
    assert_eq!(explanation.clauses[3].0, "process=\"*&>/dev/null*\"");
    assert_eq!(explanation.excluded_by.as_deref(), Some("/usr/bin/*"));
    assert_eq!(explanation.port.as_deref(), Some("636"));
    assert_eq!(explanation.group, None);
}

#[test]
fn a_group_is_told_as_far_as_it_has_come() {
    let mut detector = detector(analytic());
    let mut next = |at, port| standing(&mut detector, &opening(at, port));
    assert_eq!(next(SECOND, "636"), ("636".to_owned(), false));
    assert_eq!(next(2 * SECOND, "22"), ("636".to_owned(), false));
    assert_eq!(next(3 * SECOND, "989"), ("636 989".to_owned(), false));
    let later = HOUR + SECOND;
    assert_eq!(next(later, "995"), ("989 995".to_owned(), false));
    assert_eq!(next(later + 1, "636"), ("636 989 995".to_owned(), true));
    let next_window = 3 * HOUR;
    assert_eq!(next(next_window, "22"), (String::new(), false));
}

#[test]
fn an_exec_that_is_counted_as_late_is_told_as_late() {
    let mut detector = detector(analytic());
    let mut is_late = |second, port, now| {
        let exec = opening(second * SECOND, port);
        let before = detector.counters().late;
        detector.handle_exec(&exec, time(now));
        let is_late = detector.explain(&exec).group.unwrap().is_late;
        assert_eq!(is_late, detector.counters().late > before);
        is_late
    };
    assert!(is_late(1, "636", 3 * HOUR), "its window was over");
    assert!(!is_late(10_800, "989", 3 * HOUR));
    assert!(is_late(2, "995", 3 * HOUR), "the group has gone on");
}

#[test]
fn the_filter_that_withholds_the_alert_is_named() {
    let filter = FilterSpec {
        name: "panel".to_owned(),
        owner: None,
        reason: None,
        expires_ns: None,
        fields: vec![(Field::ParentProcessPath, vec!["/tmp/*".to_owned()])],
    };
    let mut detector = detector(RuleSpec {
        filters: vec![filter],
        ..analytic()
    });
    let of = |detector: &mut Detector, second, port| {
        let group = explained(detector, &opening(second * SECOND, port)).group;
        group.unwrap().suppressed_by
    };
    assert_eq!(
        of(&mut detector, 1, "636"),
        None,
        "there is nothing to withhold"
    );
    assert_eq!(of(&mut detector, 2, "989"), None);
    let before = detector.counters().suppressed["panel"];
    assert_eq!(of(&mut detector, 3, "995").as_deref(), Some("panel"));
    let withheld = detector.counters().suppressed["panel"] - before;
    assert_eq!(withheld, 1, "to ask counts nothing");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_explanation_agrees_with_what_was_counted(
        scripts in prop::collection::vec(
            (
                select(vec!["iptables ", "IPTABLES ", "nft "]),
                select(vec!["-p tcp ", "-p udp "]),
                select(vec!["--dport 636", "--dport 995", "--dport 22", "--sport 636"]),
                select(vec![" -j ACCEPT", " -j DROP"]),
                select(vec![" &>/dev/null", " 2>/dev/null"]),
                select(vec!["/tmp/cpd", "/usr/bin/bash", ""]),
            ),
            1..24,
        ),
    ) {
        static RULE: std::sync::LazyLock<Rule> =
            std::sync::LazyLock::new(|| Rule::compile(analytic()).unwrap());
        let mut detector = Detector::new(RULE.clone(), Limits::default());
        for (second, (tool, protocol, port, target, silence, parent)) in (1..).zip(scripts) {
            let script = [tool, protocol, port, target, silence].concat();
            let mut exec = shell(second * SECOND, &script);
            if parent.is_empty() {
                exec.parent_exe = ExePath::Unknown(crate::pipeline::exec::Unknown::Fault);
            } else {
                exec.parent_exe = path(parent);
            }
            let before = detector.counters();
            let lines = feed(&mut detector, &exec);
            let after = detector.counters();
            let explanation = detector.explain(&exec);
            let matched = after.matched > before.matched;
            prop_assert_eq!(explanation.group.is_some(), matched);
            let hold = explanation.clauses.iter().all(|(_, range)| range.is_some());
            prop_assert_eq!(hold && explanation.excluded_by.is_none(), matched);
            if let Some(line) = lines.last() {
                let group = explanation.group.unwrap();
                prop_assert!(!group.is_late);
                prop_assert_eq!(group.alert, Some(line.id));
                prop_assert_eq!(&group.ports, &line.ports);
            }
            prop_assert_eq!(&detector.counters(), &after, "to ask changes nothing");
        }
    }
}
