//! What a rule matches, and what it does.

use super::*;

#[test]
fn a_port_is_a_number_or_a_service_and_implies_its_protocol() {
    for text in [
        "tcp dport 636 accept",
        "tcp dport ldaps accept",
        "tcp dport 0x27c accept",
        "tcp dport 01174 accept",
    ] {
        let expected = Rule {
            protocol: plain(Protocol::TCP),
            destination_ports: plain(ports([(636, 636)])),
            target: Some(Target::Accept),
            ..Rule::default()
        };
        assert_eq!(rule(text), expected, "{text}");
    }
    assert_eq!(rule("udp sport 53").source_ports, plain(ports([(53, 53)])));
    assert_eq!(rule("th dport 53").protocol, None);
    assert_eq!(rule("sctp dport 1").protocol, plain(Protocol::SCTP));
}

#[test]
fn ports_come_as_sets_ranges_bounds_and_negations() {
    let dport = |text: &str| rule(&format!("tcp dport {text} accept")).destination_ports;
    assert_eq!(
        dport("{ 22, 80-90, https }"),
        plain(ports([(22, 22), (80, 90), (443, 443)]))
    );
    assert_eq!(dport("{22,23,}"), plain(ports([(22, 22), (23, 23)])));
    assert_eq!(dport("1-65535"), plain(ports([(1, 65535)])));
    assert_eq!(dport("!= { 22, 80 }"), negated(ports([(22, 22), (80, 80)])));
    assert_eq!(dport("ne 22"), negated(ports([(22, 22)])));
    assert_eq!(dport("@open"), plain(Ports::Set(b"open".to_vec())));
    assert_eq!(dport("!= @open"), negated(Ports::Set(b"open".to_vec())));
    assert_eq!(dport("> 1023"), plain(ports([(1024, 65535)])));
    assert_eq!(dport("<= 1023"), plain(ports([(0, 1023)])));
    assert_eq!(dport("ge 8"), plain(ports([(8, 65535)])));
    assert_eq!(dport("lt 8"), plain(ports([(0, 7)])));
}

#[test]
fn a_service_that_is_not_known_here_is_kept_as_written() {
    let rule = rule("tcp dport frobnicate accept");
    assert_eq!(rule.destination_ports, None);
    assert_eq!(rule.other_matches, [b"tcp dport frobnicate".to_vec()]);
}

#[test]
fn a_range_without_a_port_and_a_port_beyond_the_last_are_refused() {
    for text in [
        "tcp dport 90-80",
        "tcp dport 65536",
        "udp sport { 1, 70000 }",
        "redirect to :99999",
    ] {
        assert!(is_rejected(&format!("add rule t c {text}")), "{text}");
    }
}

#[test]
fn addresses_are_networks_ranges_sets_and_names() {
    let sources = |text: &str| rule(&format!("ip saddr {text} accept")).sources;
    assert_eq!(sources("10.0.0.1"), plain(vec![network("10.0.0.1", 32)]));
    assert_eq!(sources("10.1.2.3/8"), plain(vec![network("10.0.0.0", 8)]));
    assert_eq!(sources("0.0.0.0/0"), plain(vec![network("0.0.0.0", 0)]));
    assert_eq!(sources("010.0.0.1"), plain(vec![network("8.0.0.1", 32)]));
    assert_eq!(
        sources("!= 10.0.0.1"),
        negated(vec![network("10.0.0.1", 32)])
    );
    assert_eq!(
        sources("@friends"),
        plain(vec![Addresses::Set(b"friends".to_vec())])
    );
    assert_eq!(
        sources("example.org"),
        plain(vec![Addresses::Written(b"example.org".to_vec())])
    );
    let first: IpAddr = "10.0.0.1".parse().unwrap();
    let last: IpAddr = "10.0.0.5".parse().unwrap();
    assert_eq!(
        sources("{ 10.0.0.1-10.0.0.5, 192.168.0.0/16 }"),
        plain(vec![
            Addresses::Range { first, last },
            network("192.168.0.0", 16)
        ])
    );
    assert_eq!(
        sources("10.0.0.0-10.0.0.255"),
        plain(vec![network("10.0.0.0", 24)])
    );
    let rule = rule("ip6 daddr fe80::/10 ip6 saddr [::1]");
    assert_eq!(rule.destinations, plain(vec![network("fe80::", 10)]));
    assert_eq!(rule.sources, plain(vec![network("::1", 128)]));
}

#[test]
fn an_address_of_the_other_kind_is_refused() {
    for text in [
        "ip saddr ::1",
        "ip6 saddr 1.2.3.4",
        "ip saddr 300.1.1.1",
        "ip saddr 10.0.0.0/33",
        "ip saddr 10.0.0.9-10.0.0.1",
    ] {
        assert!(
            is_rejected(&format!("add rule t c {text} accept")),
            "{text}"
        );
    }
}

#[test]
fn protocols_are_numbers_and_names() {
    for text in [
        "meta l4proto tcp",
        "meta l4proto 6",
        "ip protocol tcp",
        "ip6 nexthdr tcp",
    ] {
        assert_eq!(rule(text).protocol, plain(Protocol::TCP), "{text}");
    }
    assert_eq!(rule("meta l4proto != udp").protocol, negated(Protocol::UDP));
    assert_eq!(
        rule("icmp type echo-request").protocol,
        plain(Protocol::ICMP)
    );
    assert_eq!(
        rule("meta l4proto icmpv6 icmpv6 type echo-reply").protocol,
        plain(Protocol::ICMPV6)
    );
}

#[test]
fn several_protocols_have_no_place_and_stay_text() {
    let rule = rule("meta l4proto { tcp, udp } th dport 53 accept");
    assert_eq!(rule.protocol, None);
    assert_eq!(rule.other_matches, [b"meta l4proto { tcp, udp }".to_vec()]);
    assert_eq!(rule.destination_ports, plain(ports([(53, 53)])));
}

#[test]
fn interfaces_with_and_without_meta_and_quotes() {
    for text in [
        "iif eth0",
        "iifname eth0",
        "iifname \"eth0\"",
        "meta iifname eth0",
    ] {
        assert_eq!(rule(text).in_interface, plain(b"eth0".to_vec()), "{text}");
    }
    assert_eq!(
        rule("oifname \"wg*\"").out_interface,
        plain(b"wg*".to_vec())
    );
    assert_eq!(rule("oifname wg*").out_interface, plain(b"wg*".to_vec()));
    assert_eq!(rule("oif != lo").out_interface, negated(b"lo".to_vec()));
    assert_eq!(
        rule("iifname { eth0, eth1 }").other_matches,
        [b"iifname { eth0, eth1 }".to_vec()]
    );
}

#[test]
fn connection_states_as_flags_and_as_a_set() {
    let states = plain(vec![b"established".to_vec(), b"related".to_vec()]);
    assert_eq!(rule("ct state established,related accept").states, states);
    assert_eq!(
        rule("ct state { established, related } accept").states,
        states
    );
    assert_eq!(
        rule("ct state != invalid").states,
        negated(vec![b"invalid".to_vec()])
    );
    assert!(is_rejected("add rule t c ct state open accept"));
}

#[test]
fn verdicts() {
    let target = |text: &str| rule(text).target;
    assert_eq!(target("accept"), Some(Target::Accept));
    assert_eq!(target("drop"), Some(Target::Drop));
    assert_eq!(target("return"), Some(Target::Return));
    assert_eq!(target("continue"), None);
    assert_eq!(target("jump open"), Some(Target::Jump(b"open".to_vec())));
    assert_eq!(target("goto open"), Some(Target::Goto(b"open".to_vec())));
    assert_eq!(
        target("reject with icmpx type admin-prohibited"),
        Some(Target::Reject)
    );
    assert_eq!(target("reject with tcp reset"), Some(Target::Reject));
    assert_eq!(target("queue num 1-3 bypass,fanout"), Some(Target::Queue));
    assert_eq!(target("counter packets 0 bytes 0"), None);
}

#[test]
fn addresses_and_ports_are_rewritten() {
    let target = |text: &str| rule(text).target;
    assert_eq!(
        target("dnat to 10.0.0.1:8080"),
        Some(Target::Dnat {
            to: b"10.0.0.1:8080".to_vec()
        })
    );
    assert_eq!(
        target("dnat ip to 10.0.0.1 : 80-90 random"),
        Some(Target::Dnat {
            to: b"10.0.0.1:80-90".to_vec()
        })
    );
    assert_eq!(
        target("dnat to tcp dport map { 80 : 10.0.0.1 }"),
        Some(Target::Dnat {
            to: b"tcp dport map { 80:10.0.0.1 }".to_vec()
        })
    );
    assert_eq!(
        target("snat to 1.2.3.4"),
        Some(Target::Snat {
            to: b"1.2.3.4".to_vec()
        })
    );
    assert_eq!(
        target("redirect to :8080"),
        Some(Target::Redirect {
            ports: Some(8080..=8080)
        })
    );
    assert_eq!(
        target("redirect to 8000-8010"),
        Some(Target::Redirect {
            ports: Some(8000..=8010)
        })
    );
    assert_eq!(target("redirect"), Some(Target::Redirect { ports: None }));
    assert_eq!(
        target("masquerade to :1024-65535 random"),
        Some(Target::Masquerade)
    );
    assert_eq!(
        target("masquerade fully-random,persistent"),
        Some(Target::Masquerade)
    );
    assert_eq!(
        target("tproxy to :50080"),
        Some(Target::Tproxy {
            to: b":50080".to_vec()
        })
    );
    assert_eq!(
        target("tproxy ip to 127.0.0.1:1"),
        Some(Target::Tproxy {
            to: b"127.0.0.1:1".to_vec()
        })
    );
}

#[test]
fn what_decides_more_is_told() {
    let target = |text: &str| rule(text).target;
    assert_eq!(
        target("log prefix \"x: \" level warn accept"),
        Some(Target::Accept)
    );
    assert_eq!(target("log"), Some(Target::Log));
    assert_eq!(target("meta mark set 0x1 accept"), Some(Target::Accept));
    assert_eq!(target("meta mark set 0x1"), Some(Target::Mark));
    assert_eq!(target("ct mark set meta mark"), Some(Target::Mark));
    assert_eq!(target("notrack accept"), Some(Target::Notrack));
    assert_eq!(
        target("ip dscp set cs1"),
        Some(Target::Other(b"ip dscp set".to_vec()))
    );
    assert_eq!(
        target("add @blocked { ip saddr timeout 1h }"),
        Some(Target::Other(b"add element".to_vec()))
    );
}

#[test]
fn a_comment_is_kept_and_cannot_pass_for_a_rule() {
    let rule = rule("tcp dport 22 drop comment \"tcp dport 636 accept\"");
    assert_eq!(rule.target, Some(Target::Drop));
    assert_eq!(rule.comment, Some(b"tcp dport 636 accept".to_vec()));
    assert!(is_rejected("add rule t c comment x"));
    assert!(is_rejected("add rule t c accept comment"));
}

#[test]
fn a_verdict_map_has_its_verdicts_in_elements() {
    let [elements, rule] =
        operations("add rule t c tcp dport vmap { 636 : accept, 80-90 : jump web, 1 : drop }")
            .try_into()
            .unwrap();
    let element = |port: (u16, u16), key: &str, verdict| Element {
        ports: vec![port.0..=port.1],
        addresses: Vec::new(),
        key: key.as_bytes().to_vec(),
        verdict: Some(verdict),
    };
    let expected = vec![
        element((636, 636), "636", Target::Accept),
        element((80, 90), "80-90", Target::Jump(b"web".to_vec())),
        element((1, 1), "1", Target::Drop),
    ];
    let set = b"__map%d".to_vec();
    assert_eq!(
        elements,
        Operation::AddElements {
            set: set.clone(),
            elements: expected
        }
    );
    let Operation::AddRule { rule, .. } = rule else {
        panic!("{rule:?}");
    };
    assert_eq!(rule.target, Some(Target::Map(set)));
    assert_eq!(rule.protocol, plain(Protocol::TCP));
}

#[test]
fn a_named_verdict_map_is_told_by_its_name() {
    let rule = rule("ip saddr . tcp dport vmap @verdicts");
    assert_eq!(rule.target, Some(Target::Map(b"verdicts".to_vec())));
    assert_eq!(rule.other_matches, [b"ip saddr . tcp dport".to_vec()]);
}

#[test]
fn a_chain_in_braces_has_its_rules_told() {
    let operations =
        operations("add rule t c tcp dport 22 jump { ip saddr 10.0.0.0/8 accept; drop; }");
    assert_eq!(operations.len(), 3);
    let Some(Operation::AddRule { rule, .. }) = operations.last() else {
        panic!("{operations:?}");
    };
    assert_eq!(rule.target, Some(Target::Jump(b"__chain%d".to_vec())));
}

#[test]
fn what_has_no_place_narrows_the_rule_as_text() {
    let others = |text: &str| rule(text).other_matches;
    for text in [
        "tcp flags & (syn | ack) == syn",
        "limit rate 10/minute burst 5 packets",
        "limit rate over 10 mbytes/second",
        "quota over 25 mbytes",
        "ct count over 20",
        "meta skuid 0",
        "fib daddr . iif type local",
        "@nh, 96, 32 0xa000001",
        "tcp option maxseg size 1-500",
        "socket transparent 1",
        "meta nfproto ipv4",
        "rt classid cosmos",
        "ether saddr 00:11:22:33:44:55",
        "numgen inc mod 2 0",
        "meta time \"2026-01-01 00:00:00\"",
        "ip saddr . tcp dport { 1.2.3.4 . 22 }",
        "tcp dport & 1 == 1",
    ] {
        assert_eq!(others(&format!("{text} accept")).len(), 1, "{text}");
    }
    assert_eq!(others("tcp dport 1 tcp dport 2").len(), 1);
    assert_eq!(
        rule("ip saddr . tcp dport @pairs accept").protocol,
        plain(Protocol::TCP)
    );
    assert_eq!(
        rule("tcp flags & syn == syn").protocol,
        plain(Protocol::TCP)
    );
}

#[test]
fn what_is_no_statement_is_refused() {
    for text in [
        "",
        "foo",
        "tcp",
        "tcp dport",
        "tcp dport 22 accpt",
        "tcp dprot 22 accept",
        "accept drop now",
        "ip saddr",
        "ct state",
        "meta foo 1",
        "dnat",
        "jump",
        "tcp dport { 22",
        "tcp dport 22 }",
        "tcp dport { 22 23 }",
        "limit rate 10",
        "masquerade to 5",
        "reject with foo",
        "\"x",
        "tcp dport 22 %",
    ] {
        assert!(is_rejected(&format!("add rule t c {text}")), "{text}");
    }
}
