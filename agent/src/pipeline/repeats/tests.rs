use proptest::prelude::*;

use super::*;

const LIMITS: RepeatLimits = RepeatLimits {
    burst: 3,
    refill: Duration::from_secs(60),
};

fn at(second: u64) -> Time {
    Time {
        boot_ns: second * 1_000_000_000,
        wall_ns: second * 1_000_000_000,
    }
}

fn line(id: u128, revision: u32, severity: Severity, second: u64) -> Line<'static> {
    Line {
        id: Uuid::from_u128(id),
        is_first: revision == 0,
        severity,
        what: "accept-opened",
        is_finding: true,
        title: "Opened",
        culprit: Some(b"/tmp/x"),
        user: "root",
        dest: "gateway",
        time: at(second),
    }
}

fn summaries(repeats: &mut Repeats) -> Vec<Summary> {
    std::iter::from_fn(|| repeats.next_summary()).collect()
}

#[test]
fn a_storm_becomes_a_few_and_a_count() {
    let mut repeats = Repeats::new(LIMITS);
    let told = (0..44).filter(|id| repeats.admits(&line(*id, 0, Severity::High, 10)));
    assert_eq!(told.count(), 3);
    // The first of them is told of at once.
    assert_eq!(repeats.poll_timeout(at(10)), Some(Duration::ZERO));
    repeats.handle_timeout(at(10));
    let [summary] = &*summaries(&mut repeats) else {
        panic!("one summary");
    };
    assert_eq!(
        (summary.withheld, summary.lines, summary.revision),
        (41, 41, 0)
    );
    assert_eq!(summary.ids.len(), IDS_MAX);
    assert_eq!(summary.state, AlertState::Open);
    // One token came back; the next is withheld again, and the summary goes on under its id.
    assert!(repeats.admits(&line(100, 0, Severity::High, 70)));
    assert!(!repeats.admits(&line(101, 0, Severity::High, 71)));
    repeats.handle_timeout(at(71));
    let [second] = &*summaries(&mut repeats) else {
        panic!("one summary");
    };
    assert_eq!(
        (second.id, second.revision, second.withheld),
        (summary.id, 1, 42)
    );
    repeats.handle_timeout(at(71 + 300));
    let [last] = &*summaries(&mut repeats) else {
        panic!("one summary");
    };
    assert_eq!(
        (last.id, last.revision, last.state),
        (summary.id, 2, AlertState::Closed)
    );
    assert_eq!(repeats.poll_timeout(at(400)), None);
}

#[test]
fn updates_of_what_was_told_are_told_and_those_of_what_was_not_are_not() {
    let mut repeats = Repeats::new(LIMITS);
    for id in 0..4 {
        repeats.admits(&line(id, 0, Severity::Low, 0));
    }
    assert!(repeats.admits(&line(0, 1, Severity::Low, 1)));
    assert!(!repeats.admits(&line(3, 1, Severity::Low, 1)));
    // A token that came back tells the rest of a story, too: it has all that was found.
    assert!(repeats.admits(&line(3, 2, Severity::Low, 100)));
    assert!(repeats.admits(&line(3, 3, Severity::Low, 101)));
    repeats.flush(at(100));
    let [summary] = &*summaries(&mut repeats) else {
        panic!("one summary");
    };
    assert_eq!((summary.withheld, summary.lines), (1, 2));
    assert_eq!(repeats.lines_withheld(), 2);
    repeats.flush(at(101));
    assert_eq!(summaries(&mut repeats), []);
}

#[test]
fn what_gets_worse_is_told() {
    let mut repeats = Repeats::new(LIMITS);
    for id in 0..4 {
        repeats.admits(&line(id, 0, Severity::Low, 0));
    }
    assert!(repeats.admits(&line(3, 1, Severity::Critical, 1)));
    assert!(repeats.admits(&line(3, 2, Severity::Critical, 2)));
    // And others of that culprit are not told for it.
    assert!(!repeats.admits(&line(4, 0, Severity::Low, 2)));
}

#[test]
fn nobody_empties_the_bucket_of_another_user() {
    let mut repeats = Repeats::new(LIMITS);
    for id in 0..100 {
        let line = Line {
            user: "nobody",
            ..line(id, 0, Severity::Medium, 0)
        };
        repeats.admits(&line);
    }
    assert!(repeats.admits(&line(200, 0, Severity::Medium, 0)));
}

#[test]
fn what_is_remembered_ends_with_the_storm() {
    let mut repeats = Repeats::new(LIMITS);
    for id in 0..10_000 {
        repeats.admits(&line(id, 0, Severity::Low, 0));
    }
    let storms = repeats
        .buckets
        .values()
        .filter_map(|bucket| bucket.storm.as_ref());
    assert_eq!(
        storms.map(|storm| storm.withheld.len()).sum::<usize>(),
        WITHHELD_MAX
    );
    repeats.handle_timeout(at(1000));
    assert!(
        repeats
            .buckets
            .values()
            .all(|bucket| bucket.storm.is_none())
    );
}

#[test]
fn another_culprit_has_another_bucket_and_too_many_share_one() {
    let mut repeats = Repeats::new(LIMITS);
    let names: Vec<String> = (0..3000).map(|name| format!("/tmp/{name}")).collect();
    let mut told = 0;
    for (id, name) in names.iter().enumerate() {
        let line = Line {
            culprit: Some(name.as_bytes()),
            ..line(id as u128, 0, Severity::High, 1)
        };
        told += u64::from(repeats.admits(&line));
    }
    assert_eq!(told, BUCKETS_MAX as u64 + u64::from(LIMITS.burst));
    assert!(repeats.buckets.len() <= BUCKETS_MAX + 1);
    repeats.flush(at(2));
    let counted: u64 = summaries(&mut repeats).iter().map(|it| it.withheld).sum();
    assert_eq!(told + counted, 3000);
}

#[test]
fn without_limits_everything_is_told() {
    let mut repeats = Repeats::default();
    assert!((0..1000).all(|id| repeats.admits(&line(id, 0, Severity::Low, 0))));
}

proptest! {
    /// Whatever comes: each line is told or counted, and each alert is in a summary or was told.
    #[test]
    fn nothing_goes_uncounted(
        lines in proptest::collection::vec((0_u128..40, 0_u32..3, 0_usize..5, 0_u64..900), 1..300),
    ) {
        let mut lines = lines;
        lines.sort_by_key(|(_, _, _, second)| *second);
        let mut repeats = Repeats::new(LIMITS);
        let mut told = 0;
        let mut counted: BTreeMap<Uuid, u64> = BTreeMap::new();
        let mut note = |repeats: &mut Repeats| {
            for summary in summaries(repeats) {
                let lines = counted.entry(summary.id).or_default();
                *lines = (*lines).max(summary.lines);
            }
        };
        let n = lines.len() as u64;
        for (id, revision, severity, second) in lines {
            repeats.handle_timeout(at(second));
            note(&mut repeats);
            told += u64::from(repeats.admits(&line(id, revision, Severity::ALL[severity], second)));
        }
        repeats.flush(at(900));
        note(&mut repeats);
        prop_assert_eq!(told + counted.values().sum::<u64>(), n);
        prop_assert_eq!(told + repeats.lines_withheld(), n);
    }
}
