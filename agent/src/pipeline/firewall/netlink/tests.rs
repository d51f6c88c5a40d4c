use super::snapshot::{Snapshot, diff};
use super::*;
use crate::pipeline::exec::Time;
use crate::pipeline::firewall::change::{self, FirewallChange, Operation, Policy};

#[path = "../../../../../tests/netfilter_data.rs"]
mod netfilter_data;
#[path = "../../../../../tests/show_change.rs"]
pub(in crate::pipeline::firewall) mod show_change;

use netfilter_data::{Case, parse};
use proptest::prelude::*;
use show_change::show;

/// Recorded on Linux 6.18 with nftables 1.0.6 and iptables 1.8.9; `tests/kernel/netfilter.rs` makes and checks it.
fn recorded() -> Vec<Case> {
    parse(include_str!("../../../../../tests/data/netfilter.txt"))
}

fn transactions() -> Transactions {
    Transactions::new(Limits::default())
}

fn changes_of(transactions: &mut Transactions, case: &Case) -> Vec<FirewallChange> {
    let datagrams = case.datagrams.iter();
    datagrams
        .flat_map(|bytes| transactions.handle_datagram(None, bytes, Time::default()))
        .flat_map(|transaction| transaction.changes)
        .collect()
}

#[test]
fn recorded_datagrams_mean_what_their_commands_say() {
    let mut known = transactions();
    for case in recorded() {
        let shown: Vec<_> = changes_of(&mut known, &case).iter().map(show).collect();
        assert_eq!(shown, case.changes, "{}", case.command);
    }
    let counters = known.counters();
    assert_eq!((counters.malformed, counters.ignored), (0, 0));
    assert!(counters.transactions > 50);
}

#[test]
fn a_datagram_that_is_cut_is_counted_and_harms_nothing() {
    for case in recorded() {
        for datagram in &case.datagrams {
            let whole = Datagram::decode(datagram);
            assert_eq!(whole.malformed, 0);
            for length in 0..datagram.len() {
                let cut = Datagram::decode(&datagram[..length]);
                assert!(cut.messages.len() < whole.messages.len());
                assert!(whole.messages.starts_with(&cut.messages));
                let is_between = ends(datagram).contains(&length);
                assert_eq!(cut.malformed, u64::from(!is_between));
            }
        }
    }
}

/// Where messages end; also the beginning.
fn ends(datagram: &[u8]) -> Vec<usize> {
    let mut ends = vec![0];
    let mut end = 0;
    while end < datagram.len() {
        end += first_length(&datagram[end..]).next_multiple_of(4);
        ends.push(end);
    }
    ends
}

/// Without what came before, the same messages say less, and never fail.
#[test]
fn a_case_alone_is_understood_without_the_ones_before() {
    for case in recorded() {
        let changes = changes_of(&mut transactions(), &case);
        if !case.changes.is_empty() {
            assert!(!changes.is_empty(), "{}", case.command);
        }
    }
}

fn case(command: &str) -> Case {
    let found = recorded().into_iter().find(|case| case.command == command);
    found.expect("it is recorded")
}

#[test]
fn namespaces_are_kept_apart_though_their_messages_come_mixed() {
    let table = case("nft add table inet t").datagrams.concat();
    let (message, end) = table.split_at(first_length(&table));
    let mut known = transactions();
    let now = Time::default();
    assert!(known.handle_datagram(Some(1), message, now).is_empty());
    assert!(known.handle_datagram(Some(2), message, now).is_empty());
    let first = known.handle_datagram(Some(2), end, now);
    assert_eq!((first[0].nsid, first[0].changes.len()), (Some(2), 1));
    let own = known.handle_datagram(None, end, now);
    assert_eq!((own[0].nsid, own[0].changes.len()), (None, 0));
    let second = known.handle_datagram(Some(1), end, now);
    assert_eq!((second[0].nsid, second[0].changes.len()), (Some(1), 1));
}

fn first_length(datagram: &[u8]) -> usize {
    u32::from_ne_bytes(datagram[..4].try_into().unwrap()) as usize
}

/// `nft destroy`, since Linux 6.3: the kernel repeats the kind of the request.
#[test]
fn what_is_destroyed_is_deleted() {
    let mut known = transactions();
    for case in recorded() {
        let mut case = case;
        for datagram in &mut case.datagrams {
            destroy_instead(datagram);
        }
        let shown: Vec<_> = changes_of(&mut known, &case).iter().map(show).collect();
        assert_eq!(shown, case.changes, "{}", case.command);
    }
}

fn destroy_instead(datagram: &mut [u8]) {
    let mut rest = datagram;
    while !rest.is_empty() {
        let (message, next) = rest.split_at_mut(first_length(rest).next_multiple_of(4));
        message[4] = match message[4] {
            2 => 26,
            5 => 27,
            8 => 28,
            11 => 29,
            14 => 30,
            20 => 31,
            24 => 32,
            other => other,
        };
        rest = next;
    }
}

#[test]
fn a_transaction_keeps_its_bounds_and_counts_the_rest() {
    let limits = Limits {
        changes_max: 3,
        elements_max: 1,
        namespaces_max: 1,
    };
    let mut known = Transactions::new(limits);
    let mut omitted = 0;
    for case in recorded() {
        for datagram in &case.datagrams {
            for transaction in known.handle_datagram(None, datagram, Time::default()) {
                let frames = transaction.changes.iter().filter(|change| is_frame(change));
                assert!(frames.count() <= 3);
                assert!(transaction.changes.len() <= 6);
                omitted += transaction.changes_omitted + transaction.elements_omitted;
            }
        }
    }
    assert!(omitted > 0);
    assert_eq!(known.counters().omitted, omitted);
}

fn is_frame(change: &FirewallChange) -> bool {
    use Operation::{AddElements, AddRule, DeleteElements, DeleteRule, ReplaceRule};
    !matches!(
        change.operation,
        AddRule { .. }
            | DeleteRule(_)
            | ReplaceRule { .. }
            | AddElements { .. }
            | DeleteElements { .. }
    )
}

#[test]
fn the_quietest_namespace_makes_room() {
    let mut known = Transactions::new(Limits {
        namespaces_max: 2,
        ..Limits::default()
    });
    let table = case("nft add table inet t").datagrams.concat();
    for (boot_ns, nsid) in [
        (1, None),
        (2, Some(1)),
        (3, Some(2)),
        (4, Some(1)),
        (5, Some(3)),
    ] {
        let now = Time {
            boot_ns,
            wall_ns: 0,
        };
        known.handle_datagram(nsid, &table, now);
    }
    let is_known = [None, Some(1), Some(2), Some(3)].map(|nsid| known.ruleset(nsid).is_some());
    assert_eq!(is_known, [true, true, false, true]);
    assert_eq!(known.counters().namespaces_forgotten, 1);
    known.forget(1);
    assert!(known.ruleset(Some(1)).is_none());
}

/// A listing may be younger than messages that still wait to be read.
#[test]
fn a_change_that_a_listing_knows_already_is_told_all_the_same() {
    let mut known = transactions();
    let mut before = Vec::new();
    let policy = "iptables-nft -P INPUT DROP";
    for case in recorded() {
        let changes = changes_of(&mut known, &case);
        if case.command == policy {
            before = case.datagrams;
            assert!(matches!(
                changes[0].operation,
                Operation::SetPolicy(Policy::Drop)
            ));
            break;
        }
    }
    let ruleset = known.ruleset(None).unwrap().clone();
    let generation = |bytes: &[u8]| match Datagram::decode(bytes).messages.pop() {
        Some(Message::Generation(generation)) => generation.id,
        other => panic!("{other:?}"),
    };
    let end = generation(before.last().unwrap());
    for (listed, expected) in [(end, 1), (end - 1, 0)] {
        let mut late = transactions();
        late.adopt(Snapshot {
            generation: listed,
            ruleset: ruleset.clone(),
        });
        let told: Vec<_> = before
            .iter()
            .flat_map(|bytes| late.handle_datagram(None, bytes, Time::default()))
            .flat_map(|transaction| transaction.changes)
            .collect();
        assert_eq!(told.len(), expected, "{told:?}");
    }
}

#[test]
fn between_two_moments_lies_what_was_done() {
    let mut known = transactions();
    let mut moments = vec![Snapshot::default()];
    for case in recorded() {
        changes_of(&mut known, &case);
        moments.push(Snapshot {
            generation: 0,
            ruleset: known.ruleset(None).unwrap().clone(),
        });
    }
    for (case, pair) in recorded().iter().zip(moments.windows(2)) {
        let forth: Vec<_> = diff(&pair[0], &pair[1]).iter().map(show).collect();
        // Objects are no part of a snapshot.
        let expects_quiet = case.changes.is_empty() || case.command.contains("add counter");
        assert_eq!(
            forth.is_empty(),
            expects_quiet,
            "{}: {forth:#?}",
            case.command
        );
        // Under another name, a chain is another one, and what leads to it, too.
        if !case.changes.iter().any(|line| line.contains("rename")) {
            let added = count(&case.changes, &["add rule", "replace rule"]);
            assert_eq!(
                count(&forth, &["add rule"]),
                added,
                "{}: {forth:#?}",
                case.command
            );
        }
        assert!(diff(&pair[1], &pair[1]).is_empty());
    }
}

#[test]
fn the_generation_is_that_of_what_was_told_last() {
    let mut known = transactions();
    assert_eq!(known.generation(), None);
    let table = case("nft add table inet t").datagrams.concat();
    let end_of_other = known.handle_datagram(Some(1), &table, Time::default());
    assert_eq!((end_of_other.len(), known.generation()), (1, None));
    let ended = known.handle_datagram(None, &table, Time::default());
    assert_eq!(known.generation(), Some(ended[0].generation));
    let generation = ended[0].generation + 10;
    known.adopt(Snapshot {
        generation,
        ruleset: Ruleset::default(),
    });
    assert_eq!(known.generation(), Some(generation));
    // It is in the listing already.
    known.handle_datagram(None, &table, Time::default());
    assert_eq!(known.generation(), Some(generation));
}

fn count(lines: &[String], words: &[&str]) -> usize {
    let has = |line: &&String| words.iter().any(|word| line.contains(word));
    lines.iter().filter(has).count()
}

proptest! {
    #[test]
    fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let datagram = Datagram::decode(&bytes);
        prop_assert!(datagram.messages.len() <= bytes.len() / 16);
        transactions().handle_datagram(Some(7), &bytes, Time::default());
    }

    /// Bytes of the kernel with some of them changed, which come further than any others.
    #[test]
    fn damaged_datagrams_are_taken(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        start in any::<prop::sample::Index>(),
    ) {
        let cases = recorded();
        let mut known = transactions();
        let start = start.index(cases.len());
        for case in cases.iter().skip(start).take(5) {
            for datagram in &case.datagrams {
                let mut datagram = datagram.clone();
                for (place, value) in &damage {
                    let place = place.index(datagram.len());
                    datagram[place] = *value;
                }
                for transaction in known.handle_datagram(None, &datagram, Time::default()) {
                    prop_assert!(transaction.changes.len() <= 2048);
                    let texts = transaction.changes.iter().map(show);
                    prop_assert!(texts.map(|text| text.len()).all(|length| length > 0));
                }
            }
        }
        if let Some(ruleset) = known.ruleset(None) {
            prop_assert!(ruleset.bytes() <= RULESET_BYTES_MAX);
        }
    }
}
