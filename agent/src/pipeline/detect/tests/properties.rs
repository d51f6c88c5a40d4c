//! The detector against the reference, over streams made at random.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::select;

use super::reference::{Expected, Finished, PORT_COUNT_MIN, PORTS, Sample, sliding, tumbling};
use super::*;
use crate::pipeline::alert::{AlertState, Blindness};

const SPAN: u64 = 10 * SECOND;
const OFFSET: u64 = 3 * SECOND;

/// Records of one host come at most this much out of order.
const REORDER: u64 = 50 * MS;

/// Compiled once: that takes longer than a whole case.
static RULES: LazyLock<[Rule; 2]> = LazyLock::new(|| {
    [WindowMode::Sliding, WindowMode::Tumbling].map(|mode| {
        let window = WindowSpec {
            mode,
            span_s: SPAN / SECOND,
            offset_s: OFFSET / SECOND,
        };
        let spec = RuleSpec {
            window,
            ..analytic()
        };
        Rule::compile(spec).unwrap()
    })
});

fn limited(mode: WindowMode, limits: Limits) -> Detector {
    let rule = match mode {
        WindowMode::Sliding => &RULES[0],
        WindowMode::Tumbling => &RULES[1],
    };
    Detector::new(rule.clone(), limits)
}

fn expected(mode: WindowMode, samples: &[Sample]) -> Expected {
    match mode {
        WindowMode::Sliding => sliding(samples, SPAN),
        WindowMode::Tumbling => tumbling(samples, SPAN, OFFSET),
    }
}

fn modes() -> impl Strategy<Value = WindowMode> {
    prop_oneof![Just(WindowMode::Sliding), Just(WindowMode::Tumbling)]
}

/// Moments that come in bursts, the bursts often whole spans apart, so that the edges of windows are
/// hit exactly.
fn moments() -> impl Strategy<Value = u64> {
    let quarter = 4_u64..24;
    let aside = prop_oneof![
        4 => select(vec![0, 1, 10 * MS, 20 * MS, 40 * MS]),
        2 => 0..REORDER,
        1 => 0..SPAN / 4,
    ];
    (quarter, aside).prop_map(|(quarter, aside)| quarter * (SPAN / 4) + aside)
}

/// Up to `n_max` samples in the order of time.
fn samples(n_max: usize) -> impl Strategy<Value = Vec<Sample>> {
    let sample = (
        moments(),
        1_u32..3,
        8_u32..12,
        0..PORTS.len(),
        select(vec!['I', 'D']),
    );
    proptest::collection::vec(sample, 1..n_max).prop_map(|mut drawn| {
        drawn.sort();
        let numbered = (1..).zip(drawn);
        numbered
            .map(|(number, (at, parent, pid, port, action))| Sample {
                at,
                number,
                parent,
                pid,
                port,
                action,
            })
            .collect()
    })
}

/// What a detector reported.
#[derive(Default)]
struct Reported {
    alerts: Vec<Finished>,
    /// Beside each: how many command lines it leaves out at most.
    texts_omitted: Vec<u64>,
    opened_by: BTreeSet<u128>,
    /// The latest line of each open alert, and when it came.
    open: BTreeMap<Uuid, (Alert, u64)>,
    ids: BTreeSet<Uuid>,
}

impl Reported {
    /// Checks what holds of any line, given those before it.
    fn take(&mut self, line: Alert, cause: Option<&Sample>, now: u64) -> Result<(), TestCaseError> {
        prop_assert_eq!(line.port_count, line.ports.len() as u64);
        prop_assert_eq!(
            line.count,
            line.execs.len() as u64 + line.blindness.execs_omitted
        );
        let Blindness {
            guids_omitted,
            processes_exec_omitted,
            ..
        } = line.blindness;
        prop_assert_eq!(line.count, line.guids.len() as u64 + guids_omitted);
        let texts_max = line.processes_exec.len() as u64 + processes_exec_omitted;
        prop_assert!(line.count >= texts_max);
        prop_assert!(line.execs.is_sorted_by_key(|exec| exec.time));
        match self.open.remove(&line.id) {
            None => {
                prop_assert!(self.ids.insert(line.id), "an id came twice");
                prop_assert_eq!(line.revision, 0);
                prop_assert_eq!(line.state, AlertState::Open);
                self.opened_by.extend(cause.map(|sample| sample.number));
            }
            Some((before, then)) => {
                prop_assert_eq!(line.revision, before.revision + 1);
                prop_assert!(line.count >= before.count);
                prop_assert!(contains(&line.ports, &before.ports));
                prop_assert!(contains(&line.guids, &before.guids));
                prop_assert!(contains(&line.pids, &before.pids));
                prop_assert!(contains(&line.processes_exec, &before.processes_exec));
                let in_time = line.state == AlertState::Closed || now - then >= SECOND;
                prop_assert!(in_time, "updated within a second");
            }
        }
        match line.state {
            AlertState::Closed => {
                self.alerts.push(Finished::of_line(&line));
                self.texts_omitted.push(processes_exec_omitted);
            }
            AlertState::Open => {
                self.open.insert(line.id, (line, now));
            }
        }
        Ok(())
    }
}

fn contains<T: PartialEq>(all: &[T], some: &[T]) -> bool {
    some.iter().all(|value| all.contains(value))
}

/// Hands the samples in, each at its time of arrival, and ends the input. Between two samples the
/// detector is called when it wants to be.
fn run(detector: &mut Detector, arrivals: &[(u64, Sample)]) -> Result<Reported, TestCaseError> {
    let mut reported = Reported::default();
    let mut now = 0;
    for (arrival, sample) in arrivals {
        while let Some(wait) = detector.poll_timeout(time(now))
            && now + wait.as_nanos() as u64 <= *arrival
        {
            now += wait.as_nanos() as u64;
            detector.handle_timeout(time(now));
            for line in lines(detector) {
                reported.take(line, None, now)?;
            }
        }
        now = *arrival;
        detector.handle_exec(&sample.exec(), time(now));
        for line in lines(detector) {
            reported.take(line, Some(sample), now)?;
        }
    }
    for line in end(detector, now) {
        reported.take(line, None, now)?;
    }
    prop_assert!(reported.open.is_empty(), "an alert was not closed");
    let mut alerts: Vec<_> = reported
        .alerts
        .drain(..)
        .zip(reported.texts_omitted)
        .collect();
    alerts.sort();
    (reported.alerts, reported.texts_omitted) = alerts.into_iter().unzip();
    Ok(reported)
}

fn in_order(samples: &[Sample]) -> Vec<(u64, Sample)> {
    let arrivals = samples.iter().map(|sample| (sample.at, sample.clone()));
    arrivals.collect()
}

/// Each sample a little later than it happened.
fn delayed(samples: &[Sample], delays: Vec<u64>) -> Vec<(u64, Sample)> {
    let delayed = samples.iter().zip(delays);
    let mut arrivals: Vec<(u64, Sample)> = delayed
        .map(|(sample, delay)| (sample.at + delay, sample.clone()))
        .collect();
    arrivals.sort_by_key(|(arrival, _)| *arrival);
    arrivals
}

/// Whether an exec that keeps an alert from ending might come after a burst that opens the next one.
/// The detector does not wait for it: an alert opens at once.
fn has_burst_before_bridge(samples: &[Sample]) -> bool {
    samples.iter().any(|bridge| {
        let group: Vec<&Sample> = samples
            .iter()
            .filter(|sample| sample.parent == bridge.parent)
            .collect();
        let bridged = group
            .iter()
            .map(|last| last.at + SPAN)
            .filter(|end| bridge.at < *end && *end < bridge.at + REORDER);
        bridged.into_iter().any(|end| {
            let burst = group
                .iter()
                .filter(|sample| sample.at >= end && sample.at < bridge.at + REORDER);
            let ports: BTreeSet<usize> = burst.map(|sample| sample.port).collect();
            ports.len() >= PORT_COUNT_MIN
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn alerts_open_where_the_reference_says_and_end_as_it_says(
        mode in modes(),
        samples in samples(40),
    ) {
        let expected = expected(mode, &samples);
        let reported = run(&mut limited(mode, Limits::default()), &in_order(&samples))?;
        prop_assert_eq!(reported.opened_by, expected.opened_by);
        prop_assert_eq!(reported.alerts, expected.alerts);
    }

    #[test]
    fn execs_out_of_order_end_as_in_order(
        mode in modes(),
        samples in samples(40),
        delays in proptest::collection::vec(0..REORDER, 40),
    ) {
        prop_assume!(!has_burst_before_bridge(&samples));
        let expected = expected(mode, &samples);
        let mut detector = limited(mode, Limits::default());
        let reported = run(&mut detector, &delayed(&samples, delays))?;
        prop_assert_eq!(reported.alerts, expected.alerts);
        prop_assert_eq!(detector.counters().late, 0);
    }

    #[test]
    fn bounds_hold_and_lose_no_crossing(
        mode in modes(),
        samples in samples(60),
        (n_evidence, n_texts, n_guids) in (0_usize..4, 0_usize..3, 0_usize..4),
        evidence_bytes_max in 0_usize..4000,
    ) {
        let limits = Limits {
            evidence_bytes_max,
            evidence_per_group_max: n_evidence,
            texts_per_group_max: n_texts,
            guids_per_group_max: n_guids,
            ..Limits::default()
        };
        let mut detector = limited(mode, limits);
        let mut opened_by = BTreeSet::new();
        let mut ports = Vec::new();
        for sample in &samples {
            for line in feed(&mut detector, &sample.exec()) {
                prop_assert!(line.execs.len() <= n_evidence);
                prop_assert!(line.processes_exec.len() <= n_texts);
                prop_assert!(line.guids.len() <= n_guids && line.pids.len() <= n_guids);
                if line.revision == 0 {
                    opened_by.insert(sample.number);
                }
                ports.extend((line.state == AlertState::Closed).then_some(line.ports));
            }
            prop_assert!(detector.levels().evidence_bytes <= evidence_bytes_max);
        }
        ports.extend(end(&mut detector, SPAN).into_iter().map(|line| line.ports));
        ports.sort();
        let expected = expected(mode, &samples);
        let mut expected_ports: Vec<_> =
            expected.alerts.into_iter().map(|alert| alert.ports).collect();
        expected_ports.sort();
        prop_assert_eq!(opened_by, expected.opened_by);
        prop_assert_eq!(ports, expected_ports);
    }

    #[test]
    fn within_any_bounds_an_alert_only_grows_and_says_what_it_leaves_out(
        mode in modes(),
        samples in samples(60),
        delays in proptest::collection::vec(0..REORDER, 60),
        (n_evidence, n_texts, n_guids) in (0_usize..4, 0_usize..3, 0_usize..4),
        evidence_bytes_max in 0_usize..8000,
    ) {
        prop_assume!(!has_burst_before_bridge(&samples));
        let limits = Limits {
            evidence_bytes_max,
            evidence_per_group_max: n_evidence,
            texts_per_group_max: n_texts,
            guids_per_group_max: n_guids,
            ..Limits::default()
        };
        let arrivals = delayed(&samples, delays);
        let bounded = run(&mut limited(mode, limits), &arrivals)?;
        let whole = run(&mut limited(mode, Limits::default()), &arrivals)?;
        prop_assert_eq!(bounded.alerts.len(), whole.alerts.len());
        let alerts = bounded.alerts.iter().zip(bounded.texts_omitted).zip(&whole.alerts);
        for ((bounded, texts_omitted), whole) in alerts {
            prop_assert_eq!(&bounded.ports, &whole.ports);
            // At the old edge of the window a few too many may have been counted.
            prop_assert!(bounded.count >= whole.count);
            if bounded.count == whole.count {
                prop_assert!(contains(&whole.processes_exec, &bounded.processes_exec));
                let texts_max = bounded.processes_exec.len() as u64 + texts_omitted;
                prop_assert!(texts_max >= whole.processes_exec.len() as u64);
            }
        }
    }

    #[test]
    fn groups_are_bounded_and_every_alert_that_opens_closes(
        mode in modes(),
        samples in samples(60),
        parents in proptest::collection::vec(0_u32..12, 60),
        groups_max in 0_usize..5,
        group_bytes_max in 0_usize..10_000,
    ) {
        let limits = Limits { groups_max, group_bytes_max, ..Limits::default() };
        let mut detector = limited(mode, limits);
        let flood: Vec<(u64, Sample)> = samples
            .into_iter()
            .zip(parents)
            .map(|(sample, parent)| (sample.at, Sample { parent, ..sample }))
            .collect();
        for (_, sample) in &flood {
            feed(&mut detector, &sample.exec());
            let levels = detector.levels();
            prop_assert!(levels.groups <= groups_max.max(1));
            prop_assert!(levels.groups == 1 || levels.group_bytes <= group_bytes_max);
        }
        let mut detector = limited(mode, limits);
        run(&mut detector, &flood)?;
        prop_assert_eq!(detector.levels(), Default::default());
    }
}
