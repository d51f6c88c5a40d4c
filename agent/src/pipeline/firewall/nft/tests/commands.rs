//! Commands, blocks and options.

use super::*;

fn in_args(arguments: &[&str]) -> Command {
    let arguments: Vec<&[u8]> = arguments
        .iter()
        .map(|argument| argument.as_bytes())
        .collect();
    parse(&arguments)
}

fn place(text: &str) -> (Option<Family>, Option<Vec<u8>>, Option<Vec<u8>>) {
    let FirewallChange {
        backend,
        family,
        table,
        chain,
        operation: _,
    } = change(text);
    assert_eq!(backend, Backend::Nftables);
    (family, table, chain)
}

fn position(text: &str) -> Position {
    let Operation::AddRule { position, .. } = change(text).operation else {
        panic!("{text} adds no rule");
    };
    position
}

fn load(source: RulesetSource) -> Command {
    Command::Changes(vec![FirewallChange {
        backend: Backend::Nftables,
        family: None,
        table: None,
        chain: None,
        operation: Operation::Load {
            source,
            flushes: false,
        },
    }])
}

#[test]
fn arguments_are_one_text() {
    let one = in_args(&["add rule inet filter input tcp dport 636 accept"]);
    let many = in_args(&[
        "add", "rule", "inet", "filter", "input", "tcp", "dport", "636", "accept",
    ]);
    assert_eq!(one, many);
    assert_eq!(
        one,
        parse_text(b"add rule inet filter input tcp dport 636 accept")
    );
    let glued = in_args(&[
        "add rule inet",
        "filter input tcp dport",
        "636 accept; flush ruleset",
    ]);
    assert!(matches!(glued, Command::Changes(changes) if changes.len() == 2));
}

#[test]
fn the_place_has_a_family_which_is_ip_by_default() {
    let name = |name: &str| Some(name.as_bytes().to_vec());
    assert_eq!(
        place("add rule t c accept"),
        (Some(Family::Ipv4), name("t"), name("c"))
    );
    assert_eq!(
        place("insert rule ip6 t c accept"),
        (Some(Family::Ipv6), name("t"), name("c"))
    );
    assert_eq!(
        place("add table bridge t"),
        (Some(Family::Bridge), name("t"), None)
    );
    assert_eq!(place("flush ruleset"), (None, None, None));
    assert_eq!(
        place("flush ruleset inet"),
        (Some(Family::Inet), None, None)
    );
    assert_eq!(
        place("inet t c accept"),
        (Some(Family::Inet), name("t"), name("c"))
    );
}

#[test]
fn positions_are_counted_from_one() {
    assert_eq!(position("add rule t c accept"), Position::Last);
    assert_eq!(position("insert rule t c accept"), Position::Index(1));
    assert_eq!(
        position("insert rule t c index 0 accept"),
        Position::Index(1)
    );
    assert_eq!(
        position("insert rule t c index 2 accept"),
        Position::Index(3)
    );
    assert_eq!(position("add rule t c index 0 accept"), Position::Index(2));
    assert_eq!(
        position("add rule t c handle 7 accept"),
        Position::AfterHandle(7)
    );
    assert_eq!(
        position("insert rule t c position 7 accept"),
        Position::BeforeHandle(7)
    );
    assert!(is_rejected("add rule t c index 4294967295 accept"));
}

#[test]
fn each_command_has_its_operation() {
    let operation = |text: &str| change(text).operation;
    let set = || b"s".to_vec();
    assert_eq!(operation("add table inet t"), Operation::AddTable);
    assert_eq!(operation("create table inet t"), Operation::AddTable);
    assert_eq!(operation("delete table inet t"), Operation::DeleteTable);
    assert_eq!(operation("destroy table inet t"), Operation::DeleteTable);
    assert_eq!(operation("delete table handle 4"), Operation::DeleteTable);
    assert_eq!(operation("flush table inet t"), Operation::FlushTable);
    assert_eq!(operation("flush chain inet t c"), Operation::FlushChain);
    assert_eq!(operation("flush ruleset"), Operation::FlushRuleset);
    assert_eq!(operation("delete chain inet t c"), Operation::DeleteChain);
    assert_eq!(
        operation("rename chain t c d"),
        Operation::RenameChain { to: b"d".to_vec() }
    );
    assert_eq!(
        operation("delete rule t c handle 9"),
        Operation::DeleteRule(Which::Handle(9))
    );
    assert_eq!(operation("reset counters"), Operation::ZeroCounters);
    assert_eq!(operation("reset rules inet t c"), Operation::ZeroCounters);
    assert_eq!(
        operation("flush set t s"),
        Operation::FlushSet { set: set() }
    );
    assert_eq!(
        operation("flush map t s"),
        Operation::FlushSet { set: set() }
    );
    assert_eq!(
        operation("delete set t s"),
        Operation::DeleteSet { set: set() }
    );
    assert_eq!(
        operation("add set t s { type inet_service; }"),
        Operation::AddSet { set: set() }
    );
    assert_eq!(
        operation("add counter t x"),
        Operation::Other {
            what: b"add counter x".to_vec()
        }
    );
    assert_eq!(
        operation("delete quota t x"),
        Operation::Other {
            what: b"delete quota x".to_vec()
        }
    );
    let replaced = operation("replace rule t c handle 3 accept");
    assert!(matches!(
        replaced,
        Operation::ReplaceRule {
            which: Which::Handle(3),
            ..
        }
    ));
}

#[test]
fn base_chains_have_a_hook_and_a_policy() {
    let operation = |text: &str| change(text).operation;
    assert_eq!(
        operation("add chain t c { type filter hook input priority 0; policy drop; }"),
        Operation::AddChain {
            hook: Some(Hook::Input),
            policy: Some(Policy::Drop)
        }
    );
    assert_eq!(
        operation("add chain t c { type nat hook prerouting priority dstnat - 5; }"),
        Operation::AddChain {
            hook: Some(Hook::Prerouting),
            policy: None
        }
    );
    assert_eq!(
        operation(
            "add chain netdev t c { type filter hook ingress device \"eth0\" priority -500; }"
        ),
        Operation::AddChain {
            hook: Some(Hook::Ingress),
            policy: None
        }
    );
    assert_eq!(
        operation("add chain t c { policy accept; }"),
        Operation::SetPolicy(Policy::Accept)
    );
    assert_eq!(
        operation("chain t c { policy drop ; }"),
        Operation::SetPolicy(Policy::Drop)
    );
    assert_eq!(
        operation("add chain t c"),
        Operation::AddChain {
            hook: None,
            policy: None
        }
    );
    for text in [
        "add chain t c { type filter hook inptu priority 0; }",
        "add chain t c { type flter hook input priority 0; }",
        "add chain t c { type filter hook input; }",
        "add chain t c { policy reject; }",
        "add chain t drop",
    ] {
        assert!(is_rejected(text), "{text}");
    }
}

#[test]
fn the_dormant_flag_switches_a_table_off() {
    assert_eq!(
        operations("add table inet t { flags dormant; }"),
        [Operation::AddTable, Operation::SetDormant(true)]
    );
    assert_eq!(
        operations("table inet t { flags owner; }"),
        [Operation::AddTable]
    );
}

#[test]
fn elements_open_what_a_set_allows() {
    let elements = |text: &str| {
        let (Operation::AddElements { elements, .. } | Operation::DeleteElements { elements, .. }) =
            change(text).operation
        else {
            panic!("{text} has no elements");
        };
        elements
    };
    assert_eq!(
        elements("add element inet t open { 636, https }")[1].ports,
        [443..=443]
    );
    let friend = &elements("add element inet t friends { 10.0.0.0/8 timeout 1h comment \"x\" }")[0];
    assert_eq!(friend.addresses, [network("10.0.0.0", 8)]);
    assert_eq!(friend.key, b"10.0.0.0/8");
    let pair = &elements("create element t pairs { 10.0.0.1 . 22 : accept }")[0];
    assert_eq!(pair.addresses, [network("10.0.0.1", 32)]);
    assert_eq!(pair.ports, [22..=22]);
    assert_eq!(pair.verdict, Some(Target::Accept));
    assert_eq!(elements("delete element t s { 22 }")[0].ports, [22..=22]);
    assert!(is_rejected("add element t s 22"));
}

#[test]
fn a_set_of_another_type_has_no_ports() {
    let all = operations("add set t s { type mark; flags interval; elements = { 22, 80-90 } }");
    let Operation::AddElements { elements, .. } = &all[1] else {
        panic!("{all:?}");
    };
    assert_eq!(elements[0].ports, []);
    assert_eq!(elements[0].key, b"22");
}

#[test]
fn a_block_is_a_table_with_all_in_it() {
    let text = "
        # the whole
        table inet filter {
            set open { type inet_service; elements = { 22,
                443 } }
            chain input {
                type filter hook input priority filter; policy drop;
                ct state established accept  # answers
                tcp dport @open accept; iifname \"lo\" \\
                    accept
            }
        }";
    let all = operations(text);
    assert!(matches!(all[0], Operation::AddTable));
    assert_eq!(
        all[1],
        Operation::AddChain {
            hook: Some(Hook::Input),
            policy: Some(Policy::Drop)
        }
    );
    assert!(matches!(all[2], Operation::AddSet { .. }));
    assert!(matches!(&all[3], Operation::AddElements { elements, .. } if elements.len() == 2));
    assert_eq!(all.len(), 7);
    assert!(
        changes(text)
            .iter()
            .skip(1)
            .all(|change| change.table == Some(b"filter".to_vec()))
    );
}

#[test]
fn variables_are_replaced() {
    let all = operations(
        "define web = { 80, 443 }\ndefine both = $web\nadd rule t c tcp dport $both accept",
    );
    let Operation::AddRule { rule, .. } = &all[0] else {
        panic!("{all:?}");
    };
    assert_eq!(rule.destination_ports, plain(ports([(80, 80), (443, 443)])));
    assert!(is_rejected("add rule t c tcp dport $web accept"));
    assert!(is_rejected(
        "define web = 80\nundefine web\nadd rule t c tcp dport $web accept"
    ));
    assert_eq!(
        operations("include \"/etc/x.nft\"\nadd rule t c tcp dport $web accept").len(),
        2
    );
}

#[test]
fn a_hash_ends_the_text_of_a_command_line() {
    let all = in_args(&[
        "add rule t c tcp dport 22 drop",
        "#",
        "tcp dport 636 accept",
    ]);
    assert_eq!(all, in_args(&["add rule t c tcp dport 22 drop"]));
}

#[test]
fn files_and_standard_input_are_loaded() {
    let file = || load(RulesetSource::File(b"/etc/nftables.conf".to_vec()));
    assert_eq!(in_args(&["-f", "/etc/nftables.conf"]), file());
    assert_eq!(in_args(&["-f/etc/nftables.conf"]), file());
    assert_eq!(in_args(&["--file=/etc/nftables.conf"]), file());
    assert_eq!(in_args(&["--fil", "/etc/nftables.conf"]), file());
    assert_eq!(in_args(&["-aef", "/etc/nftables.conf"]), file());
    assert_eq!(in_args(&["-D", "x=1", "-f", "/etc/nftables.conf"]), file());
    assert_eq!(in_args(&["-f", "-"]), load(RulesetSource::Stdin));
    assert_eq!(in_args(&["-f", "/dev/stdin"]), load(RulesetSource::Stdin));
    assert_eq!(in_args(&["-i"]), load(RulesetSource::Stdin));
    let both = in_args(&["-f", "/etc/nftables.conf", "flush", "ruleset"]);
    assert_eq!(both, in_args(&["flush ruleset"]));
}

#[test]
fn what_only_reads_or_checks_is_a_query() {
    for arguments in [
        &["list", "ruleset"][..],
        &["-a", "list", "ruleset"],
        &["-j", "list", "tables"],
        &["monitor"],
        &["describe", "tcp", "dport"],
        &["get", "element", "t", "s", "{ 22 }"],
        &["-c", "add rule t c accept"],
        &["-c", "-f", "/etc/nftables.conf"],
        &["--check", "flush", "ruleset"],
        &["-h"],
        &["--version"],
        &["-V"],
        &["# nothing"],
    ] {
        assert_eq!(in_args(arguments), Command::Query, "{arguments:?}");
    }
    assert!(matches!(
        in_args(&["list tables; flush ruleset"]),
        Command::Changes(_)
    ));
}

#[test]
fn what_nft_refuses_is_refused() {
    for arguments in [
        &[][..],
        &["flush", "ruleset", "-c"],
        &["--foo"],
        &["-f"],
        &["-D", "x=1", "list ruleset"],
        &["-c", "frobnicate the ruleset"],
        &["flush"],
        &["flush", "rules"],
        &["delete", "rule", "t", "c"],
        &["insert", "table", "t"],
        &["list", "everything"],
        &["add rule t c accept }"],
        &["table t { chain c { accept }"],
        &["{\"nftables\":[]}"],
    ] {
        let command = in_args(arguments);
        assert!(
            matches!(command, Command::Rejected { .. }),
            "{arguments:?}: {command:?}"
        );
    }
}

#[test]
fn json_is_a_change_of_which_only_the_kind_is_told() {
    let command = in_args(&["-j", "{\"nftables\": [{\"flush\": {\"ruleset\": null}}]}"]);
    assert!(
        matches!(command, Command::Changes(changes) if matches!(changes[0].operation, Operation::Other { .. }))
    );
}

#[test]
fn beyond_its_bounds_a_text_is_a_change_that_is_not_understood() {
    let deep = format!("add rule t c tcp dport {}22", "{".repeat(100));
    let many = format!(
        "define a = {{ {} }}\nadd rule t c tcp dport $a accept",
        "1, ".repeat(300_000)
    );
    for text in [deep, many] {
        assert!(matches!(change(&text).operation, Operation::Other { .. }));
    }
}

#[test]
fn a_reason_names_the_beginning_of_a_long_word() {
    let long = "x".repeat(100_000);
    for text in [
        format!("add rule t c tcp dport ${long} accept"),
        format!("add rule t c ct state {long} accept"),
        format!("add chain t c {{ type filter hook {long} priority 0; }}"),
        format!("add table t {long}"),
    ] {
        let Command::Rejected { reason } = parse_text(text.as_bytes()) else {
            panic!("{:?}", parse_text(text.as_bytes()));
        };
        assert!(
            reason.contains("xxx") && reason.len() < 200,
            "{} bytes",
            reason.len()
        );
    }
}
