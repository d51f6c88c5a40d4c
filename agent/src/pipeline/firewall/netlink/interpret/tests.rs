use super::super::expression::{Extension, Verdict};
use super::super::record::Place;
use super::super::tests::show_change::show;
use super::*;
use crate::pipeline::firewall::change::{Family, FirewallChange, Operation, Position};

fn check(family: Family, expressions: Vec<Expression>, expected: &str) {
    let record = RuleRecord {
        family,
        table: b"t".to_vec(),
        chain: b"c".to_vec(),
        handle: 1,
        place: Place::Last,
        expressions,
        comment: None,
    };
    let rule = interpret(&record, Backend::Nftables, &|_| None);
    let change = FirewallChange {
        backend: Backend::Nftables,
        family: None,
        table: None,
        chain: None,
        operation: Operation::AddRule {
            rule: Box::new(rule),
            position: Position::Last,
        },
    };
    let shown = show(&change);
    assert_eq!(
        shown.strip_prefix("Nftables: add rule last: "),
        Some(expected)
    );
}

fn payload(base: u32, offset_bytes: u32, length_bytes: u32) -> Expression {
    Expression::Payload {
        register: FIRST,
        base,
        offset_bytes,
        length_bytes,
    }
}

fn compare(comparison: Comparison, value: &[u8]) -> Expression {
    Expression::Compare {
        register: FIRST,
        comparison,
        value: value.to_vec(),
    }
}

fn equal(value: &[u8]) -> Expression {
    compare(Comparison::Equal, value)
}

fn accept() -> Expression {
    Expression::Immediate {
        register: VERDICT,
        data: Data::Verdict(Verdict::Accept),
    }
}

const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;

#[test]
fn fields_that_are_loaded_as_one_are_taken_apart() {
    let both = vec![
        payload(TRANSPORT, 0, 4),
        equal(&[0, 53, 0x1F, 0x90]),
        accept(),
    ];
    check(Family::Inet, both, "sport 53 dport 8080 accept");
    let both = vec![
        payload(NETWORK, 12, 8),
        equal(&[10, 0, 0, 1, 192, 0, 2, 1]),
        accept(),
    ];
    check(
        Family::Ipv4,
        both,
        "from 10.0.0.1/32 to 192.0.2.1/32 accept",
    );
}

#[test]
fn a_negation_of_two_fields_is_not_one_of_each() {
    let both = vec![
        payload(TRANSPORT, 0, 4),
        compare(Comparison::NotEqual, &[0, 53, 0x1F, 0x90]),
        accept(),
    ];
    check(Family::Inet, both, "[@th,0,32] accept");
}

#[test]
fn the_first_bytes_of_an_address_are_a_network() {
    let rule = vec![payload(NETWORK, 16, 1), equal(&[10]), accept()];
    check(Family::Ipv4, rule, "to 10.0.0.0/8 accept");
    let rule = vec![
        payload(NETWORK, 8, 4),
        equal(&[0x20, 1, 0xD, 0xB8]),
        accept(),
    ];
    check(Family::Ipv6, rule, "from 2001:db8::/32 accept");
}

#[test]
fn bounds_of_a_range_are_put_together() {
    let rule = vec![
        payload(TRANSPORT, 2, 2),
        compare(Comparison::GreaterOrEqual, &[0, 10]),
        compare(Comparison::Less, &[0, 20]),
        accept(),
    ];
    check(Family::Inet, rule, "dport 10-19 accept");
}

#[test]
fn comparisons_that_nothing_meets_are_no_range() {
    for comparison in [Comparison::Less, Comparison::Greater] {
        let value = if comparison == Comparison::Less {
            [0; 16]
        } else {
            [0xFF; 16]
        };
        let rule = vec![
            payload(NETWORK, 8, 16),
            compare(comparison, &value),
            accept(),
        ];
        check(Family::Ipv6, rule, "[@nh,64,128] accept");
    }
}

#[test]
fn a_mask_with_gaps_is_no_network() {
    let rule = vec![
        payload(NETWORK, 12, 4),
        Expression::Bitwise {
            source: FIRST,
            register: FIRST,
            mask: vec![255, 0, 255, 0],
            xor: vec![0; 4],
        },
        equal(&[10, 0, 1, 0]),
        accept(),
    ];
    check(Family::Ipv4, rule, "[@nh,96,32] accept");
}

#[test]
fn what_is_loaded_over_a_register_replaces_it() {
    // The address lies over four registers, the port over the second of them.
    let rule = vec![
        payload(NETWORK, 8, 16),
        Expression::Payload {
            register: FIRST + 1,
            base: TRANSPORT,
            offset_bytes: 2,
            length_bytes: 2,
        },
        equal(&[0; 16]),
        accept(),
    ];
    check(Family::Ipv6, rule, "[cmp] accept");
    // After an expression that is not known, no register is.
    let rule = vec![
        payload(TRANSPORT, 2, 2),
        Expression::Other(b"novel".to_vec()),
        equal(&[0, 22]),
        accept(),
    ];
    check(Family::Inet, rule, "[novel] [cmp] accept");
}

#[test]
fn icmp_has_no_ports() {
    let rule = vec![
        Expression::Meta {
            register: FIRST,
            key: 16,
        },
        equal(&[1]),
        payload(TRANSPORT, 0, 2),
        equal(&[8, 0]),
        accept(),
    ];
    check(Family::Inet, rule, "proto 1 [@th,0,16] accept");
}

#[test]
fn a_set_of_which_nothing_is_known_is_named() {
    let look_up = |register, into, negated| Expression::Lookup {
        register,
        set: b"s".to_vec(),
        into,
        negated,
    };
    let rule = vec![
        payload(TRANSPORT, 2, 2),
        look_up(FIRST, None, true),
        accept(),
    ];
    check(Family::Inet, rule, "dport !@s accept");
    let rule = vec![
        payload(NETWORK, 12, 4),
        look_up(FIRST, Some(VERDICT), false),
    ];
    check(Family::Inet, rule, "from @s map @s");
    let nat = Expression::Nat {
        is_destination: true,
        addresses: [Some(FIRST), None],
        ports: [None, None],
    };
    let rule = vec![
        payload(TRANSPORT, 2, 2),
        look_up(FIRST, Some(FIRST), false),
        nat,
    ];
    check(Family::Ipv4, rule, "dport @s dnat @s");
}

fn matching(name: &str, revision: u32, info: &[u8]) -> Vec<Expression> {
    let extension = Extension {
        name: name.as_bytes().to_vec(),
        revision,
        info: info.to_vec(),
    };
    vec![Expression::Match(extension), accept()]
}

fn ports(numbers: [u16; 4]) -> Vec<u8> {
    numbers.into_iter().flat_map(u16::to_ne_bytes).collect()
}

#[test]
fn older_matches_of_x_tables_are_read() {
    let mut tcp = ports([0, 65535, 636, 640]);
    tcp.extend_from_slice(&[0, 0, 0, 0]);
    check(
        Family::Ipv4,
        matching("tcp", 0, &tcp),
        "dport 636-640 accept",
    );
    let mut udp = ports([53, 53, 0, 65535]);
    udp.extend_from_slice(&[1, 0]);
    check(Family::Ipv4, matching("udp", 0, &udp), "sport !53 accept");
    let state = 10_u32.to_ne_bytes();
    check(
        Family::Ipv4,
        matching("state", 0, &state),
        "state established, new accept",
    );
}

#[test]
fn a_match_in_another_shape_is_only_named() {
    let mut flags = ports([0, 65535, 22, 22]);
    flags.extend_from_slice(&[0, 2, 2, 0]);
    check(Family::Ipv4, matching("tcp", 0, &flags), "[tcp] accept");
    check(Family::Ipv4, matching("tcp", 9, &flags), "[tcp] accept");
    check(
        Family::Ipv4,
        matching("tcp", 0, &flags[..7]),
        "[tcp] accept",
    );
    check(Family::Ipv4, matching("owner", 1, &[]), "[owner] accept");
    // Its first port is above its last.
    let mut none = ports([0, 65535, 9, 8]);
    none.extend_from_slice(&[0; 4]);
    check(Family::Ipv4, matching("tcp", 0, &none), "[tcp] accept");
}

#[test]
fn a_log_before_a_verdict_does_not_hide_it() {
    check(Family::Inet, vec![Expression::Log, accept()], "accept");
    check(Family::Inet, vec![accept(), Expression::Log], "accept");
    check(Family::Inet, vec![Expression::Log], "log");
}
