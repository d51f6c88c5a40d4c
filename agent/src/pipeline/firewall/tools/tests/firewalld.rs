//! firewall-cmd and its rich language.

use super::*;

fn firewall_cmd(line: &str) -> Command {
    firewall_cmd::parse(&words(line), &|_, _| None)
}

fn rich(text: &str) -> Rule {
    rich_rule::parse(text.as_bytes()).expect(text).rule
}

#[test]
fn ports_and_services_are_opened_in_a_zone() {
    for line in [
        "--add-port=636/tcp",
        "--add-port 636/tcp",
        "--permanent --add-port=636/tcp",
        "--zone=public --add-port=636/tcp --timeout=5m",
    ] {
        let rule = added(firewall_cmd(line));
        assert_eq!(rule.destination_ports, port(636, 636), "{line}");
        assert_eq!(rule.protocol, plain(Protocol::TCP));
        assert_eq!(rule.target, Some(Target::Accept));
    }
    let change = changes(firewall_cmd("--zone=dmz --add-service=ldaps")).remove(0);
    assert_eq!(change.chain, Some(b"dmz".to_vec()));
    assert_eq!(change.backend, Backend::Firewalld);
    assert_eq!(
        added(firewall_cmd("--add-service=ldaps")).destination_ports,
        port(636, 636)
    );
    assert_eq!(
        added(firewall_cmd("--add-service=freeipa-4")).other_matches,
        [b"service freeipa-4".to_vec()]
    );
    assert_eq!(
        added(firewall_cmd("--add-port=6000-6007/udp")).destination_ports,
        port(6000, 6007)
    );
    assert_eq!(
        added(firewall_cmd("--add-masquerade")).target,
        Some(Target::Masquerade)
    );
    assert_eq!(
        changes(firewall_cmd("--add-port=1/tcp --add-port=2/tcp")).len(),
        2
    );
    assert!(matches!(
        single(firewall_cmd("--remove-port=22/tcp")),
        Operation::DeleteRule(Which::Same(_))
    ));
}

#[test]
fn a_port_is_forwarded() {
    let rule = added(firewall_cmd(
        "--add-forward-port=port=80:proto=tcp:toport=8080:toaddr=2001:db8::1",
    ));
    assert_eq!(rule.destination_ports, port(80, 80));
    assert_eq!(
        rule.target,
        Some(Target::Dnat {
            to: b"2001:db8::1:8080".to_vec()
        })
    );
}

#[test]
fn the_whole_of_firewalld_is_switched() {
    assert_eq!(single(firewall_cmd("--panic-on")), Operation::Enable);
    assert_eq!(single(firewall_cmd("--panic-off")), Operation::Disable);
    assert_eq!(
        single(firewall_cmd("--reload")),
        Operation::Load {
            source: RulesetSource::Stored,
            flushes: true
        }
    );
    assert_eq!(
        single(firewall_cmd("--set-default-zone=trusted")),
        other("set-default-zone=trusted")
    );
    assert_eq!(
        single(firewall_cmd("--zone=public --set-target=ACCEPT")),
        Operation::SetPolicy(Policy::Accept)
    );
    assert_eq!(
        single(firewall_cmd("--zone=trusted --change-interface=eth0")),
        other("change-interface=eth0")
    );
    assert_eq!(
        single(firewall_cmd("--permanent --service=x --add-port=1/tcp")),
        other("add-port=1/tcp")
    );
    assert_eq!(
        single(firewall_cmd("--ipset=x --add-entry=1.1.1.1")),
        other("add-entry=1.1.1.1")
    );
    assert_eq!(single(firewall_cmd("--disabled")), Operation::Disable);
}

#[test]
fn rich_rules() {
    let rule = rich(
        "rule family=\"ipv4\" source address=\"10.0.0.0/8\" port port=\"22\" protocol=\"tcp\" accept",
    );
    assert_eq!(rule.sources, plain(vec![network("10.0.0.0", 8)]));
    assert_eq!(rule.destination_ports, port(22, 22));
    assert_eq!(rule.protocol, plain(Protocol::TCP));
    assert_eq!(rule.target, Some(Target::Accept));
    assert!(
        rich("rule source NOT address=1.1.1.1 drop")
            .sources
            .is_some_and(|sources| sources.negated)
    );
    assert_eq!(
        rich("rule service name=ssh log prefix='x y' level=info reject").target,
        Some(Target::Reject)
    );
    assert_eq!(
        rich("rule forward-port port=80 protocol=tcp to-port=8080 to-addr=1.2.3.4").target,
        Some(Target::Dnat {
            to: b"1.2.3.4:8080".to_vec()
        })
    );
    assert_eq!(rich_rule::parse(b"source address=1.1.1.1 accept"), None);
    assert_eq!(rich_rule::parse(b"rule family=ipv5 accept"), None);
    let arguments: [&[u8]; 1] =
        [b"--add-rich-rule=rule family=ipv6 port port=636 protocol=tcp accept"];
    let change = changes(firewall_cmd::parse(&arguments, &|_, _| None)).remove(0);
    assert_eq!(change.family, Some(Family::Ipv6));
}

#[test]
fn direct_rules_are_read_as_iptables_reads_them() {
    let seen = |line: &str| {
        let seen = std::cell::RefCell::new(None);
        let read = |family: Family, arguments: &[&[u8]]| {
            let text = String::from_utf8_lossy(&arguments.join(&b' ')).into_owned();
            *seen.borrow_mut() = Some((family, text));
            Some(Command::Query)
        };
        assert_eq!(firewall_cmd::parse(&words(line), &read), Command::Query);
        seen.into_inner().unwrap()
    };
    assert_eq!(
        seen("--direct --add-rule ipv4 filter INPUT 0 -p tcp --dport 636 -j ACCEPT"),
        (
            Family::Ipv4,
            "-t filter -A INPUT -p tcp --dport 636 -j ACCEPT".to_owned()
        )
    );
    assert_eq!(
        seen("--direct --passthrough ipv6 -F"),
        (Family::Ipv6, "-F".to_owned())
    );
    assert_eq!(
        seen("--permanent --direct --remove-rules ipv4 filter INPUT"),
        (Family::Ipv4, "-t filter -F INPUT".to_owned())
    );
    assert_eq!(
        single(firewall_cmd("--direct --passthrough ipv4 -F")),
        other("direct passthrough ipv4 -F")
    );
}

#[test]
fn firewalld_that_only_reads_or_is_wrong() {
    for line in [
        "--state",
        "--list-all",
        "--zone=public --list-ports",
        "--query-port=22/tcp",
        "--get-default-zone",
        "--info-zone=public",
        "--version",
        "-h",
    ] {
        assert_eq!(firewall_cmd(line), Command::Query, "{line}");
    }
    for line in [
        "",
        "--frobnicate=1",
        "--add-port",
        "--add-port=22",
        "--add-port=99999/tcp",
        "--set-target=OPEN",
        "--direct --add-rule ipv5 x",
        "--zone=public",
    ] {
        assert!(is_rejected(&firewall_cmd(line)), "{line}");
    }
}

#[test]
fn a_reason_names_the_beginning_of_a_long_option() {
    let line = format!("--{}", "x".repeat(100_000));
    let Command::Rejected { reason } = firewall_cmd(&line) else {
        panic!("{:?}", firewall_cmd(&line));
    };
    assert!(
        reason.contains("xxx") && reason.len() < 200,
        "{} bytes",
        reason.len()
    );
}

#[test]
fn options_can_be_abbreviated() {
    assert_eq!(
        added(firewall_cmd("--add-po=22/tcp")).destination_ports,
        port(22, 22)
    );
    assert_eq!(
        single(firewall_cmd("--set-default=trusted")),
        other("set-default-zone=trusted")
    );
    assert!(is_rejected(&firewall_cmd("--add-s=x")));
}
