use super::super::record::{Base, Chain, ElementRecord, Elements, Place, Table};
use super::super::tests::show_change::show;
use super::super::{Data, Message, Verdict};
use super::*;
use crate::pipeline::firewall::change::{Family, Hook, Policy};

/// A table `t` with a chain `c`, in which a rule asks an anonymous set of ports and gives a verdict.
#[derive(Clone, Copy)]
struct Loaded<'a> {
    /// What the kernel has counted up to: other numbers after a reload.
    first_handle: u64,
    set: &'a str,
    rules: &'a [(&'a str, u16, Verdict)],
    policy: Policy,
}

const BEFORE: Loaded<'_> = Loaded {
    first_handle: 1,
    set: "__set0",
    rules: &[
        ("ssh", 22, Verdict::Accept),
        ("web", 443, Verdict::Accept),
        ("smb", 445, Verdict::Drop),
    ],
    policy: Policy::Drop,
};

const RELOADED: Loaded<'_> = Loaded {
    first_handle: 900,
    set: "__set7",
    ..BEFORE
};

impl Loaded<'_> {
    fn snapshot(&self) -> Snapshot {
        let (family, name) = (Family::Inet, |name: &str| name.as_bytes().to_vec());
        let mut ruleset = Ruleset::default();
        ruleset.apply(&Message::NewTable(Table {
            family,
            name: name("t"),
            handle: self.first_handle,
            dormant: false,
        }));
        ruleset.apply(&Message::NewChain(Chain {
            family,
            table: name("t"),
            name: name("c"),
            handle: self.first_handle + 1,
            base: Some(Base {
                hook: Some(Hook::Input),
                priority: 0,
            }),
            policy: Some(self.policy),
        }));
        for (index, (comment, port, verdict)) in (0..).zip(self.rules) {
            let set = format!("{}{index}", self.set);
            self.put_set(&mut ruleset, &set, *port);
            ruleset.apply(&Message::NewRule(RuleRecord {
                family,
                table: name("t"),
                chain: name("c"),
                handle: self.first_handle + 2 + index,
                place: Place::Last,
                expressions: vec![
                    Expression::Lookup {
                        register: 1,
                        set: name(&set),
                        into: None,
                        negated: false,
                    },
                    Expression::Immediate {
                        register: 0,
                        data: Data::Verdict(verdict.clone()),
                    },
                ],
                comment: Some(name(comment)),
            }));
        }
        ruleset.settle();
        Snapshot {
            generation: 1,
            ruleset,
        }
    }

    fn put_set(&self, ruleset: &mut Ruleset, set: &str, port: u16) {
        let (family, table, set) = (Family::Inet, b"t".to_vec(), set.as_bytes().to_vec());
        ruleset.apply(&Message::NewSet(Set {
            family,
            table: table.clone(),
            name: set.clone(),
            handle: self.first_handle + 500,
            // NFT_SET_ANONYMOUS | NFT_SET_CONSTANT
            flags: 3,
            key_type: 13,
            key_bytes: 2,
        }));
        ruleset.apply(&Message::NewElements(Elements {
            family,
            table,
            set,
            elements: vec![ElementRecord {
                key: port.to_be_bytes().to_vec(),
                key_end: None,
                interval_end: false,
                catchall: false,
                data: None,
            }],
        }));
    }
}

fn changes(before: Loaded<'_>, same_boot: bool, present: &Snapshot) -> Vec<String> {
    let remembered = Remembered {
        snapshot: before.snapshot(),
        same_boot,
    };
    let changes = remembered.changes_until(present);
    changes.iter().map(show).collect()
}

fn check(present: Loaded<'_>, expect: &[&str]) {
    for same_boot in [true, false] {
        let found = changes(BEFORE, same_boot, &present.snapshot());
        assert_eq!(found.len(), expect.len(), "{found:#?}");
        for (found, words) in found.iter().zip(expect) {
            assert!(found.contains(words), "{found} has no {words}");
        }
    }
}

#[test]
fn the_same_rules_loaded_anew_are_no_change() {
    check(BEFORE, &[]);
    check(RELOADED, &[]);
}

#[test]
fn a_rule_that_is_new_or_gone_is_found_after_a_reload() {
    let mut rules = vec![("malware", 636, Verdict::Accept)];
    rules.extend(BEFORE.rules.iter().cloned());
    let check = |rules: &[_], expect: &[&str]| check(Loaded { rules, ..RELOADED }, expect);
    check(&rules, &["malware"]);
    rules.remove(0);
    rules.remove(2);
    check(&rules, &["smb"]);
    rules.insert(1, ("smb", 445, Verdict::Accept));
    check(&rules, &["drop", "accept"]);
}

#[test]
fn another_port_in_an_anonymous_set_is_found() {
    let rules = [
        ("ssh", 22, Verdict::Accept),
        ("web", 4443, Verdict::Accept),
        ("smb", 445, Verdict::Drop),
    ];
    let present = Loaded {
        rules: &rules,
        ..RELOADED
    };
    check(present, &["delete rule", "add rule"]);
}

#[test]
fn another_order_is_found() {
    let mut rules = BEFORE.rules.to_vec();
    rules.rotate_right(1);
    let present = Loaded {
        rules: &rules,
        ..RELOADED
    };
    check(present, &["smb", "smb"]);
}

#[test]
fn another_policy_is_found() {
    let present = Loaded {
        policy: Policy::Accept,
        ..RELOADED
    };
    check(present, &["SetPolicy(Accept)"]);
}

#[test]
fn an_empty_ruleset_is_a_change_on_the_same_boot_alone() {
    let empty = Snapshot::default();
    assert!(!changes(BEFORE, true, &empty).is_empty());
    assert_eq!(changes(BEFORE, false, &empty), [""; 0]);
}

#[test]
fn more_changes_than_are_looked_ahead_are_told_all() {
    let rule = |port| ("", port, Verdict::Accept);
    let many: Vec<_> = (1..=3000).map(rule).collect();
    let others: Vec<_> = (4001..=7000).map(rule).collect();
    let loaded = |rules| Loaded { rules, ..BEFORE };
    let present = Loaded {
        rules: &others,
        ..RELOADED
    };
    let found = changes(loaded(&many), true, &present.snapshot());
    assert_eq!(found.len(), 6000);
}

#[test]
fn twins_are_the_nearest_in_both() {
    let find =
        |one: &[u8], other: &[u8]| twins(one.len(), other.len(), |at, to| one[at] == other[to]);
    assert_eq!(find(b"abcd", b"dabc"), [Some(1), Some(2), Some(3), None]);
    assert_eq!(find(b"abc", b"xbc"), [None, Some(1), Some(2)]);
    assert_eq!(find(b"abc", b""), [None; 3]);
    assert_eq!(find(b"", b"abc"), []);
}

#[test]
fn a_listing_that_makes_no_sense_is_refused() {
    let decode = |messages: &[u8]| {
        let messages = messages.to_vec();
        let generation = 4;
        Listed {
            generation,
            messages,
        }
        .decode()
    };
    assert_eq!(decode(&[]).map(|snapshot| snapshot.generation), Some(4));
    // NLMSG_DONE, of 20 bytes.
    let done = [&[20, 0, 0, 0, 3, 0, 0, 0][..], &[0; 12]].concat();
    assert!(decode(&done).is_some());
    for length in 1..done.len() {
        assert_eq!(decode(&done[..length]), None, "{length}");
    }
    for length in [0, 1, 15, u32::MAX] {
        let header = [&length.to_ne_bytes()[..], &[0; 16]].concat();
        assert_eq!(decode(&header), None, "{length}");
    }
}
