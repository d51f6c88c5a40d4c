//! Ways past a rule that looks at the text of a command line.

use super::*;
use crate::pipeline::firewall::change::{Protocol, RulesetSource, Target};

fn opens_636(line: &str) {
    assert_eq!(destination_ports(line), [(636, 636)], "{line}");
    let rule = rule(line);
    assert_eq!(rule.target, Some(Target::Accept), "{line}");
    let tcp = Negatable {
        value: Protocol::TCP,
        negated: false,
    };
    assert_eq!(rule.protocol, Some(tcp), "{line}");
}

#[test]
fn a_port_is_found_however_its_option_is_spelt() {
    for option in [
        "--dport 636",
        "--dport=636",
        "--dpor 636",
        "--dp 636",
        "--dp=636",
        "--destination-port 636",
        "--destination-port=636",
        "--destination-p 636",
        "--destination-po=636",
    ] {
        opens_636(&format!("iptables -I INPUT -p tcp {option} -j ACCEPT"));
    }
    for start in [
        "-IINPUT -ptcp",
        "--insert INPUT --prot tcp",
        "--ins=INPUT --protocol=TCP",
    ] {
        opens_636(&format!("iptables {start} --dport 636 -jACCEPT"));
        opens_636(&format!(
            "iptables {start} -m tcp --dport 636 --jump ACCEPT"
        ));
    }
    opens_636("iptables -w5 -vIINPUT -ptcp --dport 636 -j ACCEPT -t filter");
}

#[test]
fn protocols_and_ports_are_resolved() {
    for protocol in ["6", "TCP", "0x6", "06", "tCp"] {
        for port in ["ldaps", "0x27c", "01174", "+636", "636"] {
            opens_636(&format!(
                "iptables -A INPUT -p {protocol} --dport {port} -j ACCEPT"
            ));
        }
    }
    for (name, port) in [
        ("pop3s", 995),
        ("ftps-data", 989),
        ("imaps", 993),
        ("ssh", 22),
    ] {
        let line = format!("iptables -A INPUT -p tcp --dport {name} -j ACCEPT");
        assert_eq!(destination_ports(&line), [(port, port)]);
    }
    // The match `udp` asks another function, for which a number is decimal.
    let line = "iptables -A INPUT -p udp --dport 01174 -j ACCEPT";
    assert_eq!(destination_ports(line), [(1174, 1174)]);
    let line = "iptables -A INPUT -p udp --dport 66172 -j ACCEPT";
    assert_eq!(destination_ports(line), [(636, 636)]);
    assert_rejected("iptables -A INPUT -p udp --dport 0x27c -j ACCEPT");
}

#[test]
fn ranges_and_lists_of_ports_are_intervals() {
    let ports =
        |option: &str| destination_ports(&format!("iptables -A INPUT -p tcp {option} -j ACCEPT"));
    assert_eq!(ports("--dport 630:640"), [(630, 640)]);
    assert_eq!(ports("--dport :1024"), [(0, 1024)]);
    assert_eq!(ports("--dport 1024:"), [(1024, 65535)]);
    assert_eq!(ports("--dport pop3s:0x400"), [(995, 1024)]);
    assert_eq!(
        ports("-m multiport --dports 636,990:995,ldaps"),
        [(636, 636), (990, 995), (636, 636)]
    );
    assert_eq!(
        ports("-m multiport --destination-ports 01174"),
        [(636, 636)]
    );
    let either = rule("iptables -A INPUT -p tcp -m multiport --ports 636,989 -j ACCEPT");
    assert_eq!(ranges(&either.either_ports), [(636, 636), (989, 989)]);
    let all = rule("iptables -A INPUT -p tcp --dport 0: -j ACCEPT");
    assert_eq!(all.destination_ports, None);
    assert_rejected("iptables -A INPUT -p tcp --dport 640:630 -j ACCEPT");
    assert_rejected("iptables -A INPUT -p tcp --dport 65536 -j ACCEPT");
    assert_rejected("iptables -A INPUT -m multiport --dports 636 -j ACCEPT");
}

#[test]
fn what_opens_without_a_port_is_an_operation() {
    let operation = |line: &str| change(line).operation;
    assert_eq!(
        rule("iptables -I INPUT -j ACCEPT").target,
        Some(Target::Accept)
    );
    assert_eq!(
        operation("iptables -P INPUT ACCEPT"),
        Operation::SetPolicy(Policy::Accept)
    );
    for line in [
        "iptables -F",
        "iptables --flush",
        "iptables -t nat -F",
        "iptables --fl",
    ] {
        assert_eq!(operation(line), Operation::FlushChain);
        assert_eq!(change(line).chain, None);
    }
    assert_eq!(change("iptables -FINPUT").chain, Some(b"INPUT".to_vec()));
    assert_eq!(change("iptables -F INPUT").chain, Some(b"INPUT".to_vec()));
    assert_eq!(operation("iptables -X"), Operation::DeleteChain);
    assert_eq!(operation("iptables -Z"), Operation::ZeroCounters);
    assert_eq!(operation("iptables -L -Z"), Operation::ZeroCounters);
    assert_eq!(
        operation("iptables -D INPUT 3"),
        Operation::DeleteRule(Which::Index(3))
    );
    let dropped = rule("iptables -A INPUT -p tcp --dport 636 -j DROP");
    assert_eq!(
        operation("iptables -D INPUT -p tcp --dp 636 -j DROP"),
        Operation::DeleteRule(Which::Same(Box::new(dropped)))
    );
    let accepts = Box::new(rule("iptables -A INPUT -j ACCEPT"));
    assert_eq!(
        operation("iptables -R INPUT 2 -j ACCEPT"),
        Operation::ReplaceRule {
            which: Which::Index(2),
            rule: accepts.clone()
        }
    );
    for (line, index) in [
        ("iptables -I INPUT -j ACCEPT", 1),
        ("iptables -I INPUT 0x5 -j ACCEPT", 5),
    ] {
        assert_eq!(
            operation(line),
            Operation::AddRule {
                rule: accepts.clone(),
                position: Position::Index(index)
            }
        );
    }
}

#[test]
fn where_a_rule_leads_is_told() {
    let target = |tail: &str| rule(&format!("iptables {tail}")).target.expect(tail);
    assert_eq!(target("-A INPUT -j RETURN"), Target::Return);
    assert_eq!(target("-A INPUT -j OPEN"), Target::Jump(b"OPEN".to_vec()));
    assert_eq!(target("-A INPUT -g OPEN"), Target::Goto(b"OPEN".to_vec()));
    assert_eq!(
        target("-t nat -A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 8080"),
        Target::Redirect {
            ports: Some(8080..=8080)
        }
    );
    assert_eq!(
        target("-t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to 10.0.0.5:636"),
        Target::Dnat {
            to: b"10.0.0.5:636".to_vec()
        }
    );
    assert_eq!(
        target("-t mangle -A PREROUTING -p tcp -j TPROXY --on-port 0636"),
        Target::Tproxy {
            to: b":636".to_vec()
        }
    );
    for line in ["-j NOTRACK", "-j CT --notrack"] {
        let line = format!("-t raw -A PREROUTING -p tcp --dport 636 {line}");
        assert_eq!(target(&line), Target::Notrack);
    }
    assert_eq!(
        target("-t mangle -A PREROUTING -j MARK --set-mark 0x1"),
        Target::Mark
    );
    assert_eq!(target("-A INPUT -j NFQUEUE --queue-num 3"), Target::Queue);
    assert_eq!(
        target("-t nat -A POSTROUTING -o eth0 -j MASQUERADE"),
        Target::Masquerade
    );
    assert_eq!(
        target("-t mangle -A FORWARD -p tcp --syn -j TCPMSS --clamp-mss-to-pmtu"),
        Target::Other(b"TCPMSS".to_vec())
    );
    let table = change("iptables -t mangle -A PREROUTING -j MARK --or-mark 1").table;
    assert_eq!(table, Some(b"mangle".to_vec()));
}

#[test]
fn every_program_of_the_family_is_known() {
    let of = |name: &str| {
        let XtablesProgram {
            family,
            backend,
            role,
        } = program(name);
        (family, backend, role)
    };
    assert_eq!(
        of("iptables"),
        (Family::Ipv4, Backend::Xtables, Role::Command)
    );
    assert_eq!(
        of("iptables-legacy"),
        (Family::Ipv4, Backend::XtablesLegacy, Role::Command)
    );
    assert_eq!(
        of("ip6tables-nft-restore"),
        (Family::Ipv6, Backend::XtablesNft, Role::Restore)
    );
    assert_eq!(
        of("arptables-nft"),
        (Family::Arp, Backend::XtablesNft, Role::Command)
    );
    assert_eq!(
        of("ebtables-save"),
        (Family::Bridge, Backend::Xtables, Role::Read)
    );
    assert_eq!(of("ip6tables-apply").2, Role::Apply);
    for name in [
        "iptables-translate",
        "iptables-restore-translate",
        "iptables-xml",
    ] {
        assert_eq!(of(name).2, Role::Read);
    }
    for name in [
        "iptables-",
        "iptablesx",
        "iptables-nftx",
        "nft",
        "",
        "xtables-nft-multi",
    ] {
        assert_eq!(XtablesProgram::from_name(name.as_bytes()), None, "{name}");
    }
}

#[test]
fn a_multi_call_binary_takes_its_name_from_either_argument() {
    let resolve = |executable: &str, argv: &[&'static [u8]]| {
        let argv: Vec<&[u8]> = argv.to_vec();
        XtablesProgram::resolve(executable.as_bytes(), &argv).map(|(program, arguments)| {
            (
                program.family,
                program.backend,
                program.role,
                arguments.len(),
            )
        })
    };
    let nft = "/usr/sbin/xtables-nft-multi";
    let plain = Some((Family::Ipv4, Backend::XtablesNft, Role::Command, 1));
    assert_eq!(resolve(nft, &[b"iptables", b"-F"]), plain);
    assert_eq!(resolve(nft, &[b"/sbin/iptables", b"-F"]), plain);
    assert_eq!(resolve(nft, &[b"innocent", b"iptables", b"-F"]), plain);
    assert_eq!(resolve(nft, &[b"", b"main4", b"-F"]), plain);
    assert_eq!(
        resolve(
            "/usr/sbin/xtables-legacy-multi",
            &[b"x", b"ip6tables-restore"]
        ),
        Some((Family::Ipv6, Backend::XtablesLegacy, Role::Restore, 0))
    );
    assert_eq!(resolve(nft, &[b"iptables-legacy", b"-F"]), None);
    assert_eq!(resolve(nft, &[]), None);
    assert_eq!(
        resolve("/opt/iptables", &[b"anything", b"-F"]),
        Some((Family::Ipv4, Backend::Xtables, Role::Command, 1))
    );
}

#[test]
fn programs_that_load_a_ruleset_say_from_where() {
    let load = |line: &str| {
        let change = change(line);
        let Operation::Load { source, flushes } = change.operation else {
            panic!("{line}: {change:?}");
        };
        (source, flushes)
    };
    let file = |name: &str| RulesetSource::File(name.as_bytes().to_vec());
    assert_eq!(load("iptables-restore"), (RulesetSource::Stdin, true));
    assert_eq!(load("iptables-restore -n"), (RulesetSource::Stdin, false));
    assert_eq!(load("ip6tables-restore --nof /r"), (file("/r"), false));
    assert_eq!(
        load("iptables-legacy-restore /r -c -w 5"),
        (file("/r"), true)
    );
    assert_eq!(load("iptables-restore -w 5 -- /r"), (file("/r"), true));
    assert_eq!(load("iptables-apply -t 5 /r"), (file("/r"), true));
    assert_eq!(
        load("iptables-apply"),
        (file("/etc/network/iptables.up.rules"), true)
    );
    assert_eq!(
        change("iptables-restore -T nat /r").table,
        Some(b"nat".to_vec())
    );
    assert_query("iptables-restore -t /r");
    assert_query("iptables-restore --test");
    assert_query("iptables-save -t nat");
    assert_query("iptables-translate -I INPUT -j ACCEPT");
    assert_rejected("iptables-restore /a /b");
    assert_rejected("iptables-restore --nonsense");
}

#[test]
fn arptables_and_ebtables_tell_their_operation() {
    let accept = change("ebtables -t nat -I PREROUTING -p 0x800 --ip-dport 636 -j ACCEPT");
    assert_eq!(accept.family, Some(Family::Bridge));
    assert_eq!(accept.chain, Some(b"PREROUTING".to_vec()));
    let Operation::AddRule { rule, .. } = accept.operation else {
        panic!("{accept:?}");
    };
    assert_eq!(rule.target, Some(Target::Accept));
    assert_eq!(rule.other_matches, [b"ethernet"]);
    assert_eq!(
        change("ebtables --init-table").operation,
        Operation::FlushTable
    );
    assert_eq!(
        change("arptables -P INPUT ACCEPT").operation,
        Operation::SetPolicy(Policy::Accept)
    );
    assert_eq!(
        change("arptables -D INPUT 2").operation,
        Operation::DeleteRule(Which::Index(2))
    );
    assert_query("ebtables -L");
    assert_rejected("arptables -t filter");
}

#[test]
fn a_comment_is_a_comment() {
    let words: [&[u8]; 11] = [
        b"-A",
        b"INPUT",
        b"-s",
        b"10.0.0.1",
        b"-m",
        b"comment",
        b"--comment",
        b"ACCEPT tcp --dport 636 -j ACCEPT",
        b"-j",
        b"DROP",
        b"-v",
    ];
    let Command::Changes(changes) = parse(program("iptables"), &words) else {
        panic!();
    };
    let Operation::AddRule { rule, .. } = &changes[0].operation else {
        panic!();
    };
    assert_eq!(rule.target, Some(Target::Drop));
    assert_eq!(rule.destination_ports, None);
    assert_eq!(rule.protocol, None);
    assert_eq!(
        rule.comment.as_deref(),
        Some(&b"ACCEPT tcp --dport 636 -j ACCEPT"[..])
    );
}
