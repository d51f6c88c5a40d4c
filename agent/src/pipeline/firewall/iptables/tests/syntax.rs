//! The syntax of the programs, and bytes that are none.

use proptest::prelude::*;

use super::*;
use crate::pipeline::firewall::change::Target;

#[test]
fn an_abbreviation_is_refused_when_it_could_be_several() {
    // destination or destination-port, once tcp is loaded.
    assert_rejected("iptables -A INPUT -p tcp -m tcp --dest 10.0.0.1 -j ACCEPT");
    let rule = rule("iptables -A INPUT -p tcp --dest 10.0.0.1 --dp 5 -j ACCEPT");
    assert_eq!(rule.destinations.unwrap().value, [network("10.0.0.1", 32)]);
    assert_rejected("iptables -A INPUT -p tcp --d 636 -j ACCEPT");
    assert_rejected("iptables --del INPUT 1");
    assert_eq!(
        change("iptables --delete INPUT 1").operation,
        Operation::DeleteRule(Which::Index(1))
    );
    // With multiport it could be `--dports`, which is another option.
    assert_rejected("iptables -A INPUT -p tcp -m tcp -m multiport --dpor 636 -j ACCEPT");
}

#[test]
fn an_option_needs_the_match_that_has_it() {
    assert_rejected("iptables -A INPUT --dport 636 -j ACCEPT");
    assert_rejected("iptables -A INPUT --dport 636 -p tcp -j ACCEPT");
    assert_rejected("iptables -A INPUT -p icmp --dport 636 -j ACCEPT");
    assert_rejected("iptables -A INPUT -p tcp -m nonsense -j ACCEPT");
    assert_rejected("iptables -A INPUT -j ACCEPT --to-ports 5");
    assert_eq!(
        destination_ports("iptables -A INPUT -m tcp --dport 636 -p tcp -j ACCEPT"),
        [(636, 636)]
    );
}

#[test]
fn what_is_negated_is_told() {
    let rule = rule("iptables -A INPUT ! -s 10.1.2.3/8 ! -p tcp ! -i lo -j DROP");
    let sources = rule.sources.unwrap();
    assert_eq!(sources.value, [network("10.0.0.0", 8)]);
    assert!(sources.negated);
    assert!(rule.protocol.unwrap().negated);
    assert!(rule.in_interface.unwrap().negated);
    let low = super::rule("iptables -A INPUT -p tcp ! --dport :1023 -j DROP");
    assert_eq!(ranges(&low.destination_ports), [(1024, 65535)]);
    let high = super::rule("iptables -A INPUT -p udp ! --dport 1024: -j DROP");
    assert_eq!(ranges(&high.destination_ports), [(0, 1023)]);
    let one = super::rule("iptables -A INPUT -p udp ! --dport 53 -j DROP");
    assert!(one.destination_ports.unwrap().negated);
    // The old place, behind the option.
    assert_rejected("iptables -A INPUT -s ! 10.0.0.0/8 -j DROP");
    assert_rejected("iptables -A INPUT -p tcp --dport ! 636 -j DROP");
    assert_rejected("iptables ! -A INPUT -j DROP");
    assert_rejected("iptables -A INPUT ! ! -s 10.0.0.0/8 -j DROP");
    assert_rejected("iptables -A INPUT -j DROP !");
}

#[test]
fn addresses_are_read_as_the_programs_read_them() {
    let sources = |text: &str| {
        let rule = rule(&format!("iptables -A INPUT -s {text} -j ACCEPT"));
        rule.sources.expect(text).value
    };
    assert_eq!(sources("10"), [network("10.0.0.0", 32)]);
    assert_eq!(sources("0x0a.1"), [network("10.1.0.0", 32)]);
    assert_eq!(sources("0x7f000001"), [network("127.0.0.1", 32)]);
    assert_eq!(sources("10.9.8.7/255.255.0.0"), [network("10.9.0.0", 16)]);
    assert_eq!(
        sources("10.0.0.0/8,192.168.7.0/24"),
        [network("10.0.0.0", 8), network("192.168.7.0", 24)]
    );
    assert_eq!(
        sources("10.9.8.7/255.0.255.0"),
        [Addresses::Written(b"10.0.8.0/255.0.255.0".to_vec())]
    );
    assert_eq!(
        sources("evil.example"),
        [Addresses::Written(b"evil.example".to_vec())]
    );
    assert_eq!(rule("iptables -A INPUT -s 0/0 -j ACCEPT").sources, None);
    for wrong in ["10.0.0.256", "10.0.0.0/33", "10.0.0.1,", "::1", "a/b/c"] {
        assert_rejected(&format!("iptables -A INPUT -s {wrong} -j ACCEPT"));
    }
    let rule = rule("ip6tables -A INPUT -d 2001:db8::ffff/64 -j ACCEPT");
    assert_eq!(
        rule.destinations.unwrap().value,
        [network("2001:db8::", 64)]
    );
}

#[test]
fn conditions_that_are_understood_are_told_in_words() {
    let rule = rule(
        "iptables -A INPUT -p tcp -m conntrack --ctstate NEW,est -m iprange --src-range 10.0.0.1-10.0.0.9 \
         -m limit --limit 5/min -m set --match-set friends dst -i eth+ -j ACCEPT",
    );
    let states = rule.states.unwrap().value;
    assert_eq!(states, [b"established".to_vec(), b"new".to_vec()]);
    let range = Addresses::Range {
        first: "10.0.0.1".parse().unwrap(),
        last: "10.0.0.9".parse().unwrap(),
    };
    assert_eq!(rule.sources.unwrap().value, [range]);
    let set = Addresses::Set(b"friends".to_vec());
    assert_eq!(rule.destinations.unwrap().value, [set]);
    assert_eq!(rule.other_matches, [b"limit".to_vec()]);
    assert_eq!(rule.in_interface.unwrap().value, b"eth+");
}

#[test]
fn reading_is_a_query() {
    for line in [
        "iptables -L",
        "iptables -nvL",
        "iptables -vnL INPUT --line-numbers",
        "iptables -LINPUT",
        "iptables -S INPUT 1",
        "iptables -C INPUT -p tcp --dport 636 -j ACCEPT",
        "iptables -V",
        "iptables -h",
        "iptables -p icmp -h",
        "iptables -w 5 -L",
        "iptables -w -L",
        "iptables -L --",
    ] {
        assert_query(line);
    }
}

#[test]
fn what_the_programs_refuse_is_refused() {
    for line in [
        "iptables",
        "iptables -A",
        "iptables -A INPUT stray",
        "iptables -A INPUT -A OUTPUT",
        "iptables -L -F",
        "iptables -6 -L",
        "ip6tables -4 -L",
        "iptables -t nonsense -F",
        "iptables -t nat -A PREROUTING -j DROP",
        "iptables -P INPUT REJECT",
        "iptables -P OPEN DROP",
        "iptables -N ACCEPT",
        "iptables -N -x",
        "iptables -N a_name_that_is_longer_than_29_b",
        "iptables -E OPEN",
        "iptables -R INPUT -j DROP",
        "iptables -I INPUT 0 -j DROP",
        "iptables -D INPUT 1 -j DROP",
        "iptables -A INPUT -o eth0 -j DROP",
        "iptables -A OUTPUT -i eth0 -j DROP",
        "iptables -A INPUT -i interface-longer-than -j DROP",
        "iptables -A INPUT -j DROP -j ACCEPT",
        "iptables -A INPUT -p nonsense -j DROP",
        "iptables -A INPUT -m multiport -p tcp -j DROP",
        "iptables -A INPUT -m state -j DROP",
        "iptables -A INPUT -m state --state NONSENSE -j DROP",
        "iptables -A INPUT -p tcp --dport 1 --dport 2 -j DROP",
        "iptables -A INPUT -j REJECT --reject-with nonsense",
        "iptables -t nat -A PREROUTING -j REDIRECT --to-ports 80",
        "iptables -t nat -A PREROUTING -p tcp -j DNAT",
        "iptables -A INPUT -g ACCEPT",
        "iptables -A INPUT -j -j",
        "iptables -A INPUT -p udp --dport -1 -j ACCEPT",
        "iptables -A INPUT -p udp --dport 4294967295 -j ACCEPT",
        "iptables -A INPUT -m tcp --dport 5 -j ACCEPT",
        "iptables -A INPUT -p tcp -m udp --dport 5 -j ACCEPT",
        "iptables -A INPUT -j OUTPUT",
        "iptables -F --line-numbers",
        "iptables -w x -F",
        "iptables -W 5 -F",
        "iptables -L -- -F",
        "ip6tables -A INPUT -f -j DROP",
        "ip6tables -A INPUT -s 10.0.0.1 -j DROP",
    ] {
        assert_rejected(line);
    }
}

#[test]
fn a_match_can_be_used_again() {
    let rule = rule(
        "iptables -A INPUT -p tcp -m multiport --sports 1,2 -m multiport --dports 3 -m comment --comment a -j ACCEPT",
    );
    assert_eq!(ranges(&rule.source_ports), [(1, 1), (2, 2)]);
    assert_eq!(ranges(&rule.destination_ports), [(3, 3)]);
    assert_eq!(rule.target, Some(Target::Accept));
}

/// As many words as a command line can have; each is looked at a bounded number of times.
#[test]
fn a_long_command_line_is_read_like_a_short_one() {
    const N_WORDS: usize = 60_000;
    let mut words: Vec<&[u8]> = vec![b"-A", b"INPUT", b"-p", b"tcp"];
    for n in 0..N_WORDS / 4 {
        words.push(b"-m");
        words.push([&b"tcp"[..], b"comment", b"policy"][n % 3]);
        words.extend([&b"-t"[..], b"mangle"]);
    }
    words.extend([&b"--reqid"[..], b"1"].repeat(N_WORDS / 2));
    assert!(matches!(
        parse(program("iptables"), &words),
        Command::Rejected { .. }
    ));
    let many = format!(
        "iptables -A INPUT -s {}10.0.0.0/8",
        "10.0.0.1,".repeat(N_WORDS)
    );
    assert_eq!(rule(&many).sources.unwrap().value.len(), N_WORDS + 1);
}

/// Words that lead far into the parser, among any others.
fn word() -> impl Strategy<Value = Vec<u8>> {
    let known = proptest::sample::select(vec![
        "-A",
        "-I",
        "-D",
        "-R",
        "-P",
        "-N",
        "-E",
        "-F",
        "-X",
        "-Z",
        "-L",
        "-S",
        "-C",
        "INPUT",
        "OPEN",
        "-p",
        "tcp",
        "udp",
        "6",
        "--dport",
        "--sport",
        "--dpor",
        "--d",
        "-m",
        "multiport",
        "--dports",
        "1,2:3",
        ":",
        "-j",
        "ACCEPT",
        "DNAT",
        "--to-destination",
        "REDIRECT",
        "--to-ports",
        "-s",
        "10.0.0.0/8",
        "::/0",
        "!",
        "--",
        "-t",
        "nat",
        "-w",
        "-c",
        "1",
        "2",
        "set",
        "--match-set",
        "src",
        "conntrack",
        "--ctstate",
        "new",
        "--tcp-flags",
        "SYN",
        "iprange",
        "--src-range",
        "1-2",
        "-4",
        "-6",
    ]);
    prop_oneof![
        8 => known.prop_map(|word| word.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..12),
        1 => "--?[a-z]{0,6}=?[0-9a-fx:,/.-]{0,9}".prop_map(String::into_bytes),
    ]
}

fn any_program() -> impl Strategy<Value = XtablesProgram> {
    proptest::sample::select(vec![
        "iptables",
        "ip6tables",
        "arptables",
        "ebtables",
        "iptables-restore",
        "iptables-apply",
        "iptables-save",
    ])
    .prop_map(program)
}

proptest! {
    #[test]
    fn no_argv_is_too_strange(
        program in any_program(),
        words in proptest::collection::vec(word(), 0..24),
    ) {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let once = parse(program, &words);
        prop_assert_eq!(once, parse(program, &words));
    }

    #[test]
    fn no_text_is_too_strange(
        program in any_program(),
        lines in proptest::collection::vec(proptest::collection::vec(word(), 0..12), 0..8),
    ) {
        let mut text = b"*filter\n".to_vec();
        for line in lines {
            text.extend(line.join(&b' '));
            text.push(b'\n');
        }
        text.extend(b"COMMIT\n");
        let restored = parse_restore(program, true, &text);
        prop_assert!(restored.fault.is_some() || !restored.changes.is_empty());
    }
}
