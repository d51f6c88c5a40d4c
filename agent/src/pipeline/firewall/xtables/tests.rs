use expect_test::expect_file;
use proptest::prelude::*;

use super::sample::{ACCEPT, DROP, Does, filter, raw, rule};
use super::*;
use crate::pipeline::firewall::change::{
    Family, FirewallChange, Operation, Policy, Position, Target, Which,
};
use crate::pipeline::firewall::netlink::tests::show_change::show;

/// What a kernel handed out (`kernel::netfilter::legacy_tables` writes both files).
#[test]
fn a_kernels_own_tables_read_as_they_were_made() {
    let bytes = include_bytes!("../../../../../tests/data/xtables.listing");
    let tables = tables(&Listing::of_bytes(bytes.to_vec()));
    assert_eq!(tables.errors().next(), None);
    let changes = diff(&Tables::default(), &tables);
    let changes = changes.iter().flat_map(|table| &table.changes);
    let lines: Vec<String> = changes.map(show).collect();
    let text = lines.join("\n") + "\n";
    expect_file!["../../../../../tests/data/xtables.txt"].assert_eq(&text);
}

fn tables(listing: &Listing) -> Tables {
    listing.decode().unwrap()
}

/// What leads from one to the other, in short.
fn changes(before: &Listing, after: &Listing) -> Vec<String> {
    let differences = diff(&tables(before), &tables(after));
    let changes = differences.iter().flat_map(|one| &one.changes);
    changes.map(short).collect()
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what has no words of its own here is shown as it is"
)]
fn short(change: &FirewallChange) -> String {
    let rule = |rule: &crate::pipeline::firewall::change::Rule| {
        let ports = rule.destination_ports.as_ref().map(|ports| &ports.value);
        format!("{ports:?} {:?}", rule.target)
            .replace("Some(", "(")
            .replace("Ranges", "")
    };
    let chain = String::from_utf8_lossy(change.chain.as_deref().unwrap_or_default());
    match &change.operation {
        Operation::AddRule {
            rule: new,
            position,
        } => {
            format!("{chain} + {position:?} {}", rule(new))
        }
        Operation::DeleteRule(Which::Numbered { index, rule: old }) => {
            format!("{chain} - {index} {}", rule(old))
        }
        other => format!("{chain} {other:?}"),
    }
}

#[test]
fn a_rule_that_came_and_one_that_went_are_told_with_their_places() {
    let before = filter(
        &[rule(22, ACCEPT), rule(445, DROP), rule(80, ACCEPT)],
        DROP,
        &[],
    );
    let after = filter(
        &[rule(22, ACCEPT), rule(31337, ACCEPT), rule(80, ACCEPT)],
        DROP,
        &[],
    );
    assert_eq!(
        changes(&before, &after),
        [
            "INPUT - 2 (([445..=445])) (Drop)",
            "INPUT + Index(2) (([31337..=31337])) (Accept)",
        ]
    );
    assert_eq!(changes(&before, &before), [""; 0]);
}

#[test]
fn what_is_appended_stands_behind_all_others() {
    let before = filter(&[rule(22, ACCEPT)], DROP, &[]);
    let after = filter(
        &[
            rule(1, ACCEPT),
            rule(22, ACCEPT),
            rule(2, ACCEPT),
            rule(3, DROP),
        ],
        DROP,
        &[],
    );
    assert_eq!(
        changes(&before, &after),
        [
            "INPUT + Index(1) (([1..=1])) (Accept)",
            "INPUT + Last (([2..=2])) (Accept)",
            "INPUT + Last (([3..=3])) (Drop)",
        ]
    );
}

#[test]
fn a_policy_is_told_and_counters_are_not() {
    let before = filter(&[rule(22, ACCEPT)], DROP, &[]);
    let after = filter(&[rule(22, ACCEPT)], ACCEPT, &[]);
    assert_eq!(changes(&before, &after), ["INPUT SetPolicy(Accept)"]);
    let (info, mut entries) = raw(&[rule(22, ACCEPT)], DROP, &[]);
    // Of the first entry.
    entries[96..112].fill(0xFF);
    let mut counted = Listing::default();
    counted.add(false, &info, &entries);
    assert_eq!(changes(&before, &counted), [""; 0]);
}

#[test]
fn chains_of_users_are_found_by_their_heads_and_jumps_by_name() {
    let users = [("ban", vec![rule(25, DROP)]), ("empty", vec![])];
    let listing = filter(
        &[
            rule(1, Does::Jump("ban")),
            rule(2, Does::Goto("empty")),
            rule(3, Does::Nothing),
            rule(4, Does::Target("REJECT", vec![0; 8])),
            rule(5, Does::Target("TARPIT", vec![0; 8])),
        ],
        ACCEPT,
        &users,
    );
    let tables = tables(&listing);
    let table = tables.tables().next().unwrap();
    let names: Vec<_> = table
        .chains
        .iter()
        .map(|chain| {
            (
                String::from_utf8_lossy(&chain.name),
                chain.policy,
                chain.rules.len(),
            )
        })
        .collect();
    let accept = Some(Policy::Accept);
    assert_eq!(
        names,
        [
            ("INPUT".into(), accept, 5),
            ("FORWARD".into(), accept, 0),
            ("OUTPUT".into(), accept, 0),
            ("ban".into(), None, 1),
            ("empty".into(), None, 0),
        ]
    );
    let input = table.chain(b"INPUT").unwrap();
    let targets: Vec<_> = input
        .rules
        .iter()
        .map(|rule| interpret::interpret(Family::Ipv4, rule).target)
        .collect();
    assert_eq!(
        targets,
        [
            Some(Target::Jump(b"ban".to_vec())),
            Some(Target::Goto(b"empty".to_vec())),
            None,
            Some(Target::Reject),
            Some(Target::Other(b"TARPIT".to_vec())),
        ]
    );
}

#[test]
fn another_rule_before_a_chain_moves_it_and_changes_nothing_else() {
    let users = [("ban", vec![rule(25, DROP)])];
    let before = filter(&[rule(1, Does::Jump("ban"))], ACCEPT, &users);
    let after = filter(&[rule(9, DROP), rule(1, Does::Jump("ban"))], ACCEPT, &users);
    assert_eq!(
        changes(&before, &after),
        ["INPUT + Index(1) (([9..=9])) (Drop)"]
    );
}

#[test]
fn a_chain_that_has_another_name_was_renamed() {
    let before = filter(
        &[rule(1, Does::Jump("a"))],
        ACCEPT,
        &[("a", vec![rule(2, DROP)])],
    );
    let after = filter(
        &[rule(1, Does::Jump("b"))],
        ACCEPT,
        &[("b", vec![rule(2, DROP)])],
    );
    assert_eq!(changes(&before, &after), [r#"a RenameChain { to: [98] }"#]);
    let other = filter(&[], ACCEPT, &[("b", vec![rule(3, DROP)])]);
    assert_eq!(
        changes(&before, &other),
        [
            "a - 1 (([2..=2])) (Drop)",
            "INPUT - 1 (([1..=1])) (Jump([97]))",
            "a DeleteChain",
            "b AddChain { hook: None, policy: None }",
            "b + Last (([3..=3])) (Drop)",
        ]
    );
}

#[test]
fn a_table_that_was_not_there_is_compared_with_one_that_nobody_touched() {
    let nothing = Listing::default();
    assert_eq!(changes(&nothing, &filter(&[], ACCEPT, &[])), [""; 0]);
    assert_eq!(
        changes(&nothing, &filter(&[rule(22, ACCEPT)], DROP, &[])),
        [
            "INPUT SetPolicy(Drop)",
            "INPUT + Last (([22..=22])) (Accept)"
        ]
    );
    assert_eq!(changes(&filter(&[], ACCEPT, &[]), &nothing), [""; 0]);
    assert_eq!(
        changes(&filter(&[rule(22, DROP)], ACCEPT, &[]), &nothing),
        ["INPUT - 1 (([22..=22])) (Drop)", " DeleteTable"]
    );
}

#[test]
fn a_flood_of_rules_that_went_hides_none_that_came() {
    let many: Vec<_> = (0..3000).map(|port| rule(port, DROP)).collect();
    let before = filter(&many, DROP, &[]);
    let after = filter(&[rule(31337, ACCEPT)], ACCEPT, &[]);
    let differences = diff(&tables(&before), &tables(&after));
    let [difference] = differences.as_slice() else {
        panic!("{differences:?}");
    };
    assert_eq!((difference.changes.len(), difference.omitted), (1026, 1976));
    let last = difference.changes.last().map(short);
    assert_eq!(
        last.as_deref(),
        Some("INPUT + Last (([31337..=31337])) (Accept)")
    );
}

#[test]
fn a_table_that_cannot_be_read_is_told_once_and_compared_when_it_can_be() {
    let good = filter(&[rule(22, ACCEPT)], DROP, &[]);
    let (info, entries) = raw(&[rule(22, ACCEPT)], DROP, &[]);
    let mut broken = Listing::default();
    let mut cut = entries.clone();
    cut[90] = 1;
    broken.add(false, &info, &cut);
    let mut large = Listing::default();
    large.add(false, &info, &[]);
    let mut known = tables(&good);
    for (listing, said) in [
        (&broken, "at 0 goes beyond"),
        (&large, "of all tables no more"),
    ] {
        let told = known.adopt(tables(listing));
        let [difference] = told.as_slice() else {
            panic!("{told:?}");
        };
        let text = short(&difference.changes[0]);
        let Operation::Other { what } = &difference.changes[0].operation else {
            panic!("{text}");
        };
        let what = String::from_utf8_lossy(what);
        assert!(what.contains(said), "{what}");
        assert_eq!(known.adopt(tables(listing)), []);
    }
    let after = filter(&[rule(22, ACCEPT), rule(23, ACCEPT)], DROP, &[]);
    let told = known.adopt(tables(&after));
    let told: Vec<String> = told
        .iter()
        .flat_map(|one| one.changes.iter().map(short))
        .collect();
    assert_eq!(told, ["INPUT + Last (([23..=23])) (Accept)"]);
}

#[test]
fn after_another_boot_tables_that_nobody_touched_are_no_change() {
    let known = tables(&filter(&[rule(22, DROP)], DROP, &[]));
    let fresh = tables(&filter(&[], ACCEPT, &[]));
    for present in [&Tables::default(), &fresh] {
        assert_eq!(known.changes_until(present, false), []);
        assert_ne!(known.changes_until(present, true), []);
    }
    let loaded = tables(&filter(&[rule(22, DROP), rule(1, ACCEPT)], DROP, &[]));
    let changes = known.changes_until(&loaded, false);
    assert_eq!(changes[0].changes.len(), 1);
    assert!(matches!(
        &changes[0].changes[0].operation,
        Operation::AddRule {
            position: Position::Last,
            ..
        }
    ));
}

#[test]
fn layouts_that_no_tool_makes_are_read_whole() {
    let (info, entries) = raw(
        &[rule(1, Does::Jump("u"))],
        DROP,
        &[("u", vec![rule(2, DROP)])],
    );
    // FORWARD begins where INPUT does, and a jump leads into the middle of a chain.
    let mut shared = info;
    shared[32 + 4 * 3..32 + 4 * 4].copy_from_slice(&0u32.to_ne_bytes());
    let mut listing = Listing::default();
    listing.add(false, &shared, &entries);
    let shared = tables(&listing);
    assert_eq!(shared.errors().next(), None);
    let table = shared.tables().next().unwrap();
    let names: Vec<_> = table
        .chains
        .iter()
        .map(|chain| chain.name.as_slice())
        .collect();
    assert_eq!(names[0], b"INPUT+FORWARD");
    assert_eq!(names[1], b"@352");
    let rules: usize = table.chains.iter().map(|chain| chain.rules.len()).sum();
    assert_eq!(rules, 3, "{table:?}");
}

#[test]
fn what_goes_beyond_its_place_is_an_error() {
    let (info, entries) = raw(&[rule(1, ACCEPT)], DROP, &[]);
    let with = |change: &dyn Fn(&mut [u8], &mut Vec<u8>)| {
        let (mut info, mut entries) = (info, entries.clone());
        change(&mut info, &mut entries);
        let size = u32::try_from(entries.len()).unwrap();
        info[INFO_BYTES - 4..].copy_from_slice(&size.to_ne_bytes());
        let mut listing = Listing::default();
        listing.add(false, &info, &entries);
        tables(&listing).errors().next().map(|(_, error)| error)
    };
    assert_eq!(with(&|_, _| {}), None);
    let jump = with(&|_, entries| {
        let verdict = entries.len() - 64 - 112 - 8;
        entries[verdict..verdict + 4].copy_from_slice(&3i32.to_ne_bytes());
    });
    assert!(
        matches!(jump, Some(XtablesError::Jump { to: 3, .. })),
        "{jump:?}"
    );
    let hook = with(&|info, _| info[32 + 8..32 + 12].copy_from_slice(&8u32.to_ne_bytes()));
    assert_eq!(hook, Some(XtablesError::Hook { hook: 1, offset: 8 }));
    let found = with(&|_, entries| entries[112] = 200);
    assert_eq!(found, Some(XtablesError::Match { offset: 0 }));
    let target = with(&|_, entries| entries[112 + 48] = 31);
    assert_eq!(target, Some(XtablesError::Target { offset: 0 }));
    let cut = with(&|_, entries| entries.truncate(300));
    assert!(matches!(cut, Some(XtablesError::Entry { .. })), "{cut:?}");
    let twice = Listing::of_bytes([filter(&[], DROP, &[]).bytes(); 2].concat());
    assert_eq!(twice.decode(), Err(XtablesError::Twice));
    let listing = filter(&[], DROP, &[]);
    for end in 1..listing.bytes().len() {
        let cut = Listing::of_bytes(listing.bytes()[..end].to_vec());
        assert!(cut.decode().is_err(), "{end}");
    }
}

/// Rules by their ports; no two neighbours alike, so that which one went is not a matter of taste.
fn ports() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(1..8u16, 0..12)
}

proptest! {
    /// The changes, made to the earlier chain one by one, give the later one.
    #[test]
    fn what_is_told_leads_from_one_to_the_other(before in ports(), after in ports()) {
        let listing = |ports: &[u16]| {
            let rules: Vec<_> = ports.iter().map(|&port| rule(port, DROP)).collect();
            filter(&rules, DROP, &[])
        };
        let differences = diff(&tables(&listing(&before)), &tables(&listing(&after)));
        let mut chain: Vec<Option<u16>> = before.iter().copied().map(Some).collect();
        let port = |rule: &crate::pipeline::firewall::change::Rule| {
            let ports = rule.destination_ports.as_ref().map(|ports| ports.value.clone());
            match ports {
                Some(crate::pipeline::firewall::change::Ports::Ranges(ranges)) => *ranges[0].start(),
                other => panic!("{other:?}"),
            }
        };
        let changes: Vec<_> = differences.iter().flat_map(|one| &one.changes).collect();
        for change in &changes {
            if let Operation::DeleteRule(Which::Numbered { index, rule }) = &change.operation {
                let place = &mut chain[*index as usize - 1];
                prop_assert_eq!(*place, Some(port(rule)));
                *place = None;
            }
        }
        let mut chain: Vec<u16> = chain.into_iter().flatten().collect();
        for change in &changes {
            if let Operation::AddRule { rule, position } = &change.operation {
                match position {
                    Position::Index(index) => chain.insert(*index as usize - 1, port(rule)),
                    Position::Last => chain.push(port(rule)),
                    Position::BeforeHandle(_) | Position::AfterHandle(_) | Position::Untold => {
                        panic!("{position:?}")
                    }
                }
            }
        }
        prop_assert_eq!(chain, after);
    }

    #[test]
    fn any_bytes_are_tables_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let (mut info, entries) = raw(&[rule(1, ACCEPT)], DROP, &[("u", vec![rule(2, DROP)])]);
        drop(Listing::of_bytes(bytes.clone()).decode());
        // Damage in the middle of what is right.
        let mut damaged = entries;
        for (at, byte) in bytes.iter().enumerate().step_by(2) {
            let place = usize::from(*byte) * 7 % damaged.len();
            damaged[place] ^= bytes.get(at + 1).copied().unwrap_or(1);
        }
        let size = u32::try_from(damaged.len()).unwrap();
        info[INFO_BYTES - 4..].copy_from_slice(&size.to_ne_bytes());
        let mut listing = Listing::default();
        listing.add(false, &info, &damaged);
        let tables = listing.decode().unwrap();
        prop_assert_eq!(tables.len(), 1);
        prop_assert_eq!(diff(&tables, &tables), []);
    }
}
