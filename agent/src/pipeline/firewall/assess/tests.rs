use super::*;
use crate::pipeline::firewall::change::{Backend, Element, Family, Hook, Position, RulesetSource};

fn change(operation: Operation) -> FirewallChange {
    FirewallChange {
        backend: Backend::Nftables,
        family: Some(Family::Inet),
        table: Some(b"filter".to_vec()),
        chain: Some(b"input".to_vec()),
        operation,
    }
}

fn kind(operation: Operation) -> Option<FindingKind> {
    meaning(&change(operation)).map(|meaning| meaning.kind)
}

fn is<T>(value: T) -> Option<Negatable<T>> {
    Some(Negatable {
        value,
        negated: false,
    })
}

fn port(port: u16) -> Option<Negatable<Ports>> {
    is(Ports::Ranges(vec![port..=port]))
}

fn added(rule: Rule) -> Option<FindingKind> {
    kind(Operation::AddRule {
        rule: Box::new(rule),
        position: Position::Last,
    })
}

fn to(target: Target) -> Rule {
    Rule {
        target: Some(target),
        ..Rule::default()
    }
}

#[test]
fn a_rule_that_lets_pass_opens() {
    for target in [Target::Accept, Target::Notrack] {
        let rule = Rule {
            destination_ports: port(636),
            ..to(target)
        };
        assert_eq!(added(rule), Some(FindingKind::AcceptOpened));
    }
}

#[test]
fn to_return_early_passes_by_what_follows() {
    let returns = |backend, chain: &str, position| {
        let change = FirewallChange {
            backend,
            chain: Some(chain.as_bytes().to_vec()),
            ..change(Operation::AddRule {
                rule: Box::new(to(Target::Return)),
                position,
            })
        };
        meaning(&change).map(|meaning| meaning.kind)
    };
    let opened = Some(FindingKind::AcceptOpened);
    assert_eq!(
        returns(Backend::XtablesNft, "INPUT", Position::Last),
        opened
    );
    assert_eq!(returns(Backend::Xtables, "f2b-sshd", Position::Last), None);
    assert_eq!(returns(Backend::Nftables, "c", Position::Index(1)), opened);
    assert_eq!(returns(Backend::Nftables, "c", Position::Last), None);
}

#[test]
fn what_is_decided_elsewhere_is_told_when_it_stands_in_front() {
    let leads = |target, position| {
        meaning(&change(Operation::AddRule {
            rule: Box::new(to(target)),
            position,
        }))
    };
    for target in [Target::Jump(b"ok".to_vec()), Target::Goto(b"ok".to_vec())] {
        let found = leads(target.clone(), Position::Index(1)).unwrap();
        assert_eq!(found.kind, FindingKind::AcceptOpened);
        assert!(found.indirect);
        assert_eq!(leads(target, Position::Last), None);
    }
    assert!(leads(Target::Queue, Position::Last).unwrap().indirect);
}

#[test]
fn a_rule_that_is_replaced_may_have_stopped_something() {
    let known = |target| Which::Known {
        handle: 1,
        rule: Box::new(to(target)),
    };
    let replaced = |old, new: Rule| {
        kind(Operation::ReplaceRule {
            which: known(old),
            rule: Box::new(new),
        })
    };
    let dropped = Some(FindingKind::DropRemoved);
    assert_eq!(replaced(Target::Drop, Rule::default()), dropped);
    assert_eq!(
        replaced(Target::Drop, to(Target::Accept)),
        Some(FindingKind::AcceptOpened)
    );
    assert_eq!(replaced(Target::Accept, Rule::default()), None);
    let gone = |target| meaning(&change(Operation::DeleteRule(known(target)))).unwrap();
    assert!(gone(Target::Jump(b"blocked".to_vec())).indirect);
    assert!(gone(Target::Map(b"m".to_vec())).indirect);
}

#[test]
fn a_ban_of_some_blocks_no_rival() {
    let ban = Rule {
        protocol: is(Protocol::TCP),
        destination_ports: port(22),
        ..to(Target::Reject)
    };
    assert_eq!(added(ban.clone()), Some(FindingKind::RivalBlocked));
    let of_a_set = Rule {
        sources: is(vec![Addresses::Set(b"banned".to_vec())]),
        ..ban.clone()
    };
    assert_eq!(added(of_a_set), None);
    let at_a_rate = Rule {
        other_matches: vec![b"limit".to_vec()],
        ..ban
    };
    assert_eq!(added(at_a_rate), None);
}

#[test]
fn replies_and_the_loopback_open_nothing() {
    let states = |states: &[&str]| {
        is(states
            .iter()
            .map(|state| state.as_bytes().to_vec())
            .collect())
    };
    let replies = Rule {
        states: states(&["related", "established"]),
        ..to(Target::Accept)
    };
    assert_eq!(added(replies), None);
    let new = Rule {
        states: states(&["new", "established"]),
        ..to(Target::Accept)
    };
    assert_eq!(added(new), Some(FindingKind::AcceptOpened));
    let loopback = Rule {
        in_interface: is(b"lo".to_vec()),
        ..to(Target::Accept)
    };
    assert_eq!(added(loopback.clone()), None);
    let all_but_loopback = Rule {
        in_interface: Some(Negatable {
            value: b"lo".to_vec(),
            negated: true,
        }),
        ..loopback
    };
    assert_eq!(added(all_but_loopback), Some(FindingKind::AcceptOpened));
}

#[test]
fn only_a_rule_without_conditions_is_unrestricted() {
    let meaning_of = |rule: Rule| {
        meaning(&change(Operation::AddRule {
            rule: Box::new(rule),
            position: Position::Index(1),
        }))
    };
    let unrestricted = |rule| meaning_of(rule).is_some_and(|meaning| meaning.unrestricted);
    assert!(unrestricted(to(Target::Accept)));
    let everywhere = Addresses::Network {
        address: IpAddr::from([0, 0, 0, 0]),
        prefix: 0,
    };
    assert!(unrestricted(Rule {
        sources: is(vec![everywhere]),
        ..to(Target::Accept)
    }));
    assert!(!unrestricted(Rule {
        destination_ports: port(22),
        ..to(Target::Accept)
    }));
    assert!(!unrestricted(Rule {
        other_matches: vec![b"limit".to_vec()],
        ..to(Target::Accept)
    }));
}

#[test]
fn what_leads_elsewhere_is_a_redirect_and_what_hides_the_source_is_not() {
    for target in [
        Target::Redirect { ports: None },
        Target::Dnat {
            to: b"203.0.113.7:443".to_vec(),
        },
        Target::Tproxy {
            to: b":42391".to_vec(),
        },
    ] {
        assert_eq!(added(to(target)), Some(FindingKind::RedirectAdded));
    }
    assert_eq!(added(to(Target::Masquerade)), None);
    assert_eq!(
        added(to(Target::Snat {
            to: b"10.0.0.1".to_vec()
        })),
        None
    );
}

#[test]
fn drops_that_shut_others_out_or_the_logs_in_are_told() {
    let drop_of = |ports| {
        added(Rule {
            protocol: is(Protocol::TCP),
            destination_ports: ports,
            ..to(Target::Drop)
        })
    };
    assert_eq!(drop_of(port(7547)), Some(FindingKind::RivalBlocked));
    assert_eq!(drop_of(port(22)), Some(FindingKind::RivalBlocked));
    assert_eq!(drop_of(port(6514)), Some(FindingKind::SiemBlocked));
    assert_eq!(drop_of(port(8080)), None);
    assert_eq!(drop_of(None), None);
    assert_eq!(
        drop_of(is(Ports::Ranges(vec![0..=65535]))),
        None,
        "a default drop shuts everything and aims at nothing"
    );
}

#[test]
fn a_rule_that_goes_matters_unless_it_let_pass() {
    let gone = |which| kind(Operation::DeleteRule(which));
    assert_eq!(gone(Which::Same(Box::new(to(Target::Accept)))), None);
    assert_eq!(
        gone(Which::Same(Box::new(to(Target::Drop)))),
        Some(FindingKind::DropRemoved)
    );
    assert_eq!(gone(Which::Index(3)), Some(FindingKind::DropRemoved));
    assert_eq!(gone(Which::Handle(3)), Some(FindingKind::DropRemoved));
}

#[test]
fn policies_flushes_tables_and_services() {
    let load = |flushes| Operation::Load {
        source: RulesetSource::Stdin,
        flushes,
    };
    let unit = |verb| Operation::Unit {
        verb,
        unit: b"nftables.service".to_vec(),
    };
    for (operation, expected) in [
        (
            Operation::SetPolicy(Policy::Accept),
            Some(FindingKind::PolicyOpened),
        ),
        (Operation::SetPolicy(Policy::Drop), None),
        (Operation::FlushRuleset, Some(FindingKind::RulesetFlushed)),
        (Operation::FlushChain, Some(FindingKind::RulesetFlushed)),
        (Operation::DeleteTable, Some(FindingKind::RulesetFlushed)),
        (load(true), Some(FindingKind::RulesetFlushed)),
        (load(false), None),
        (
            Operation::SetDormant(true),
            Some(FindingKind::TableDisabled),
        ),
        (Operation::SetDormant(false), None),
        (Operation::Disable, Some(FindingKind::FirewallStopped)),
        (Operation::Enable, None),
        (unit(UnitVerb::Stop), Some(FindingKind::FirewallStopped)),
        (unit(UnitVerb::Mask), Some(FindingKind::FirewallStopped)),
        (unit(UnitVerb::Restart), None),
        (
            Operation::AddChain {
                hook: Some(Hook::Input),
                policy: Some(Policy::Accept),
            },
            None,
        ),
    ] {
        assert_eq!(kind(operation.clone()), expected, "{operation:?}");
    }
}

#[test]
fn an_element_opens_by_what_it_gives_or_takes_away() {
    let element = |verdict| Element {
        key: b"636".to_vec(),
        verdict,
        ..Element::default()
    };
    let add = |verdict| {
        kind(Operation::AddElements {
            set: b"s".to_vec(),
            elements: vec![element(verdict)],
        })
    };
    let delete = |verdict| {
        kind(Operation::DeleteElements {
            set: b"s".to_vec(),
            elements: vec![element(verdict)],
        })
    };
    assert_eq!(add(None), Some(FindingKind::SetOpened));
    assert_eq!(add(Some(Target::Accept)), Some(FindingKind::SetOpened));
    assert_eq!(add(Some(Target::Drop)), None);
    assert_eq!(
        add(Some(Target::Goto(b"ok".to_vec()))),
        Some(FindingKind::SetOpened)
    );
    let log = Element {
        ports: vec![514..=514],
        ..element(Some(Target::Drop))
    };
    assert_eq!(
        kind(Operation::AddElements {
            set: b"s".to_vec(),
            elements: vec![log],
        }),
        Some(FindingKind::SiemBlocked)
    );
    assert_eq!(delete(Some(Target::Drop)), Some(FindingKind::SetOpened));
    assert_eq!(delete(Some(Target::Accept)), None);
}
