//! Proof of parity: the engine against the analytic written down a second time.
//!
//! The oracle keeps every exec and asks every question of all of them; it shares nothing with the engine but
//! the execs. Both are fed with streams made to go wrong, and each finished row must be the same: the seven
//! values of the group, each list in its order, the counts, the times.
//!
//! By design the engine is other than the scheduled search in these points:
//!
//! - An exec may come a second late (`LATENESS_NS`). One that comes when its bucket is over begins a row of its
//!   own. With tumbling windows the oracle says the same, and the rows are compared. With sliding windows what
//!   is late depends on what was forgotten; such streams are left out, and their execs counted.
//! - A sliding alert opens at once. Should an exec come late that would have joined the alert before with the
//!   one that has opened, there are two alerts and not one. Such groups are left out, and counted.
//! - Sliding rows are one for each crossing, with revisions; the last revision is compared.
//! - An alert lists a bounded number of command lines, guids and pids. Where one is full, what it lists must be
//!   of the oracle's; ports, counts and times must be the same.
//! - A command line beyond 4096 bytes is shown in parts; they must be parts of the oracle's.
//! - A clock that is set back shows a bucket a second time, which the engine may have closed. The streams set
//!   it forward only.
//! - Letters match in either case as far as they are ASCII.
//!
//! `WALLWATCH_PARITY_SEED` repeats a run, `WALLWATCH_PARITY_EVENTS` says how long it is; `cargo xtask test
//! --full` runs a million execs, with a seed of the moment.

mod commands;
mod coverage;
mod engine;
mod generator;
mod oracle;
mod random;
mod recorded;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use wallwatch::pipeline::alert::WindowMode;

use coverage::Coverage;
use engine::{Finished, Reported};
use generator::Kind;
use oracle::{Groups, Key, Row};
use random::Random;

const SEED: u64 = 20_261_124;
/// Of a build without optimization; `cargo xtask test --full` runs a million with it.
const EVENTS: u64 = 40_000;
const EVENTS_OF_A_STREAM: usize = 2_000;

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().expect("a decimal number"),
        Err(_) => default,
    }
}

#[test]
fn execs_give_the_oracles_rows_in_both_windows() {
    let seed = number("WALLWATCH_PARITY_SEED", SEED);
    let n_streams = number("WALLWATCH_PARITY_EVENTS", EVENTS).div_ceil(EVENTS_OF_A_STREAM as u64);
    eprintln!("WALLWATCH_PARITY_SEED={seed}");
    let next = AtomicU64::new(0);
    let coverage = Mutex::new(Coverage::default());
    let work = || {
        let mut own = Coverage::default();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= n_streams {
                break;
            }
            check_stream(seed, index, &mut own);
        }
        coverage.lock().unwrap().merge(&own);
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let coverage = coverage.into_inner().unwrap();
    eprintln!("{coverage:#?}");
    coverage.check(n_streams.div_ceil(4));
    // What is left out must stay little.
    assert!(coverage.groups_bridged * 100 < coverage.groups);
    assert!(coverage.deliveries_of_late_streams * 3 < coverage.deliveries);
    assert!(coverage.rows_bounded * 100 < coverage.rows_tumbling);
}

fn check_stream(seed: u64, index: u64, coverage: &mut Coverage) {
    let mut random = Random::new(seed.wrapping_add(index.wrapping_mul(0x5851_f42d_4c95_7f2d)));
    let kind = Kind::of(&mut random);
    let deliveries = generator::stream(&mut random, kind, EVENTS_OF_A_STREAM);
    let groups = oracle::groups(&deliveries);
    let name = format!("seed {seed}, stream {index}, {kind:?}");

    let tumbling = engine::run(WindowMode::Tumbling, &deliveries);
    let sliding = engine::run(WindowMode::Sliding, &deliveries);
    let expected = match kind {
        Kind::Late => oracle::tumbling_when_late(&groups),
        Kind::InOrder | Kind::Reordered | Kind::ClockSet | Kind::Recording => {
            oracle::tumbling(&groups)
        }
    };
    compare(
        &format!("{name}, tumbling"),
        &tumbling,
        &expected,
        &BTreeSet::new(),
    );

    let bridged: BTreeSet<&Key> = bridged(&groups);
    let expected_sliding = oracle::sliding(&groups);
    if kind != Kind::Late {
        compare(
            &format!("{name}, sliding"),
            &sliding,
            &expected_sliding,
            &bridged,
        );
        check_superset(&name, &tumbling, &sliding, &bridged);
        assert_eq!(sliding.counters.late, 0, "{name}");
        assert_eq!(tumbling.counters.late, 0, "{name}");
    }
    for reported in [&tumbling, &sliding] {
        assert_eq!(reported.counters.groups_evicted, 0, "{name}");
        assert_eq!(reported.opened, reported.rows.len(), "{name}");
        coverage.rows_bounded += reported.rows.iter().filter(|row| row.is_bounded()).count() as u64;
    }

    match kind {
        Kind::Late => coverage.deliveries_of_late_streams += deliveries.len() as u64,
        Kind::InOrder | Kind::Reordered | Kind::ClockSet | Kind::Recording => {
            coverage.groups_bridged += bridged.len() as u64
        }
    }
    deliveries.iter().for_each(|it| coverage.note_delivery(it));
    coverage.note_groups(&groups);
    coverage.note_rows(&expected, &expected_sliding);
}

fn bridged(groups: &Groups) -> BTreeSet<&Key> {
    let bridged = groups
        .iter()
        .filter(|(_, group)| oracle::is_bridged_late(group));
    bridged.map(|(key, _)| key).collect()
}

/// Row by row, without the groups that are left out.
fn compare(name: &str, reported: &Reported, expected: &[Row], left_out: &BTreeSet<&Key>) {
    let rows: Vec<&Finished> = of_groups(&reported.rows, Finished::row, left_out);
    let expected: Vec<&Row> = of_groups(expected, |row| row, left_out);
    for (row, expected) in rows.iter().zip(&expected) {
        if let Some(difference) = row.difference(expected) {
            panic!("{name}: {difference}");
        }
    }
    assert_eq!(rows.len(), expected.len(), "{name}: rows");
}

fn of_groups<'a, T>(
    rows: &'a [T],
    row: impl Fn(&T) -> &Row,
    left_out: &BTreeSet<&Key>,
) -> Vec<&'a T> {
    let kept = rows.iter().filter(|it| !left_out.contains(&row(it).key));
    kept.collect()
}

/// `sliding` finds whatever `tumbling` finds: each row lies in one sliding row of the same group, with every
/// exec and every port.
fn check_superset(name: &str, tumbling: &Reported, sliding: &Reported, left_out: &BTreeSet<&Key>) {
    for found in of_groups(&tumbling.rows, Finished::row, left_out) {
        let part = found.row();
        let has_all = |all: &[String], some: &[String]| some.iter().all(|it| all.contains(it));
        let holds = |whole: &Finished| {
            let row = whole.row();
            row.key == part.key
                && row.first_seen <= part.first_seen
                && part.last_seen <= row.last_seen
                && has_all(&row.ports, &part.ports)
                && (whole.is_bounded() || has_all(&row.guids, &part.guids))
        };
        assert!(
            sliding.rows.iter().any(holds),
            "{name}: {part:#?} is not in a sliding row"
        );
    }
}
