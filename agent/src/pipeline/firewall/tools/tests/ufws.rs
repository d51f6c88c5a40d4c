//! ufw and ipset.

use super::*;

fn ufw(line: &str) -> Command {
    ufw::parse(&words(line))
}

#[test]
fn the_whole_of_ufw_is_switched() {
    assert_eq!(single(ufw("disable")), Operation::Disable);
    assert_eq!(single(ufw("--force enable")), Operation::Enable);
    assert_eq!(
        operations(ufw("--force reset")),
        [Operation::Disable, Operation::FlushRuleset]
    );
    let stored = Operation::Load {
        source: RulesetSource::Stored,
        flushes: true,
    };
    assert_eq!(single(ufw("reload")), stored);
    assert_eq!(single(ufw("logging off")), other("logging off"));
}

#[test]
fn the_default_is_a_policy() {
    let change = changes(ufw("default allow incoming")).remove(0);
    assert_eq!(change.operation, Operation::SetPolicy(Policy::Accept));
    assert_eq!(change.chain, Some(b"INPUT".to_vec()));
    assert_eq!(change.backend, Backend::Ufw);
    assert_eq!(
        single(ufw("default deny outgoing")),
        Operation::SetPolicy(Policy::Drop)
    );
    assert!(is_rejected(&ufw("default open")));
}

#[test]
fn ports_are_opened_by_number_service_list_and_range() {
    assert_eq!(added(ufw("allow 636")).destination_ports, port(636, 636));
    assert_eq!(added(ufw("allow 636")).target, Some(Target::Accept));
    assert_eq!(added(ufw("allow 636/tcp")).protocol, plain(Protocol::TCP));
    assert_eq!(added(ufw("allow ldaps")).destination_ports, port(636, 636));
    assert_eq!(
        added(ufw("allow 6000:6007/udp")).destination_ports,
        port(6000, 6007)
    );
    let list = plain(Ports::Ranges(vec![80..=80, 443..=443]));
    assert_eq!(added(ufw("allow 80,443/tcp")).destination_ports, list);
    assert_eq!(
        added(ufw("allow OpenSSH")).other_matches,
        [b"app OpenSSH".to_vec()]
    );
    assert_eq!(added(ufw("limit ssh")).other_matches, [b"limit".to_vec()]);
    assert_eq!(added(ufw("deny 22")).target, Some(Target::Drop));
    assert_eq!(single(ufw("DISABLE")), Operation::Disable);
}

#[test]
fn the_long_form_has_ends_interfaces_and_comments() {
    let rule = added(ufw(
        "allow in on eth0 proto tcp from 10.0.0.0/8 port 1024 to any port 22 comment decoy",
    ));
    assert_eq!(rule.in_interface, plain(b"eth0".to_vec()));
    assert_eq!(rule.sources, plain(vec![network("10.0.0.0", 8)]));
    assert_eq!(rule.source_ports, port(1024, 1024));
    assert_eq!(rule.destination_ports, port(22, 22));
    assert_eq!(rule.comment, Some(b"decoy".to_vec()));
    assert_eq!(rule.destinations, None);
    let change = changes(ufw("route allow in on eth0 out on eth1 from ::1 to any")).remove(0);
    assert_eq!(change.chain, Some(b"ufw-user-forward".to_vec()));
    assert_eq!(change.family, Some(Family::Ipv6));
    let outgoing = changes(ufw("allow out 53")).remove(0);
    assert_eq!(outgoing.chain, Some(b"ufw-user-output".to_vec()));
}

#[test]
fn rules_are_placed_and_deleted() {
    let position = |line| {
        let operation = single(ufw(line));
        let Operation::AddRule { position, .. } = operation else {
            panic!("{operation:?}");
        };
        position
    };
    assert_eq!(position("allow 22"), Position::Last);
    assert_eq!(position("insert 3 allow 22"), Position::Index(3));
    assert_eq!(position("prepend allow 22"), Position::Index(1));
    assert_eq!(position("rule allow 22"), Position::Last);
    assert_eq!(
        single(ufw("--force delete 2")),
        Operation::DeleteRule(Which::Index(2))
    );
    let same = single(ufw("delete deny 22"));
    assert!(
        matches!(same, Operation::DeleteRule(Which::Same(rule)) if rule.target == Some(Target::Drop))
    );
}

#[test]
fn ufw_that_only_reads_or_is_wrong() {
    for line in [
        "status",
        "status numbered",
        "show added",
        "version",
        "--version",
        "app list",
        "--dry-run allow 22",
        "--dry-run disable",
    ] {
        assert_eq!(ufw(line), Command::Query, "{line}");
    }
    for line in [
        "",
        "alow 22",
        "ALLOW 22",
        "allow 80,443",
        "allow 6000:6007",
        "allow",
        "allow 99999",
        "allow 22/tpc",
        "insert 0 allow 22",
        "allow from nowhere to any",
        "allow from 1.1.1.1 to ::1",
        "allow proto tcp port 22",
    ] {
        assert!(is_rejected(&ufw(line)), "{line}: {:?}", ufw(line));
    }
}

fn ipset(line: &str) -> Command {
    ipset::parse(&words(line))
}

#[test]
fn elements_of_a_set_come_and_go() {
    let Operation::AddElements { set, elements } =
        single(ipset("add friends 10.0.0.0/8,tcp:22 timeout 60 -exist"))
    else {
        panic!("no elements");
    };
    assert_eq!(set, b"friends");
    assert_eq!(elements[0].addresses, [network("10.0.0.0", 8)]);
    assert_eq!(elements[0].ports, [22..=22]);
    for line in [
        "-! add s 1.1.1.1",
        "-A s 1.1.1.1",
        "-exist -q a s 1.1.1.1",
        "--add s 1.1.1.1",
        "ad s 1.1.1.1",
        "-o plain add s 1.1.1.1",
    ] {
        assert!(
            matches!(single(ipset(line)), Operation::AddElements { .. }),
            "{line}"
        );
    }
    assert!(matches!(
        single(ipset("d s 1.1.1.1")),
        Operation::DeleteElements { .. }
    ));
}

#[test]
fn sets_are_made_emptied_and_exchanged() {
    let set = || b"s".to_vec();
    assert_eq!(
        single(ipset("create s hash:ip")),
        Operation::AddSet { set: set() }
    );
    assert_eq!(
        single(ipset("-N s iphash")),
        Operation::AddSet { set: set() }
    );
    assert_eq!(
        single(ipset("n s hash:ip")),
        Operation::AddSet { set: set() }
    );
    assert_eq!(
        single(ipset("destroy s")),
        Operation::DeleteSet { set: set() }
    );
    assert_eq!(single(ipset("-F s")), Operation::FlushSet { set: set() });
    assert_eq!(single(ipset("flush")), other("flush all sets"));
    assert_eq!(single(ipset("swap a b")), other("swap a b"));
    assert_eq!(single(ipset("rename a b")), other("rename a b"));
}

#[test]
fn sets_are_restored_from_where_the_options_say() {
    let load = |source| Operation::Load {
        source,
        flushes: false,
    };
    assert_eq!(single(ipset("restore")), load(RulesetSource::Stdin));
    assert_eq!(single(ipset("-")), load(RulesetSource::Stdin));
    assert_eq!(
        single(ipset("restore -f /etc/ipset.conf")),
        load(RulesetSource::File(b"/etc/ipset.conf".to_vec()))
    );
    assert_eq!(
        single(ipset("-file /x -R")),
        load(RulesetSource::File(b"/x".to_vec()))
    );
}

#[test]
fn ipset_that_only_reads_or_is_wrong() {
    for line in [
        "list",
        "-L",
        "save",
        "s",
        "test s 1.1.1.1",
        "-t list",
        "help",
        "version",
    ] {
        assert_eq!(ipset(line), Command::Query, "{line}");
    }
    for line in ["", "add", "add s", "create s", "swap a", "frobnicate"] {
        assert!(is_rejected(&ipset(line)), "{line}");
    }
}
