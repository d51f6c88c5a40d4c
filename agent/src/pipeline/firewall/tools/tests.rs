//! Each tool, by the command lines that its manual has and those that were published.

use proptest::prelude::*;

use super::super::change::{
    Addresses, Backend, Command, Family, FirewallChange, Negatable, Operation, Policy, Ports,
    Position, Protocol, Rule, RulesetSource, Target, UnitVerb, Which,
};
use super::{firewall_cmd, ipset, kernel, netfilter_persistent, rich_rule, systemctl, sysv, ufw};

mod firewalld;
mod services;
mod ufws;

/// The words of a command line, split at spaces.
fn words(line: &str) -> Vec<&[u8]> {
    line.split(' ')
        .filter(|word| !word.is_empty())
        .map(str::as_bytes)
        .collect()
}

fn changes(command: Command) -> Vec<FirewallChange> {
    let Command::Changes(changes) = command else {
        panic!("{command:?}");
    };
    changes
}

fn operations(command: Command) -> Vec<Operation> {
    changes(command)
        .into_iter()
        .map(|change| change.operation)
        .collect()
}

fn single(command: Command) -> Operation {
    let mut operations = operations(command);
    assert_eq!(operations.len(), 1, "{operations:?}");
    operations.remove(0)
}

fn added(command: Command) -> Rule {
    let operation = single(command);
    let Operation::AddRule { rule, .. } = operation else {
        panic!("{operation:?}");
    };
    *rule
}

fn is_rejected(command: &Command) -> bool {
    matches!(command, Command::Rejected { .. })
}

fn plain<T>(value: T) -> Option<Negatable<T>> {
    Some(Negatable {
        value,
        negated: false,
    })
}

fn port(first: u16, last: u16) -> Option<Negatable<Ports>> {
    plain(Ports::Ranges(vec![first..=last]))
}

fn network(address: &str, prefix: u8) -> Addresses {
    Addresses::Network {
        address: address.parse().unwrap(),
        prefix,
    }
}

fn other(what: &str) -> Operation {
    Operation::Other {
        what: what.as_bytes().to_vec(),
    }
}

/// Words of all the tools, in any order.
const WORDS: &[&str] = &[
    "allow",
    "delete",
    "insert",
    "1",
    "from",
    "to",
    "any",
    "port",
    "22",
    "on",
    "eth0",
    "in",
    "out",
    "comment",
    "--add-port=22/tcp",
    "--add-rich-rule=rule family=ipv4 accept",
    "--direct",
    "--add-rule",
    "ipv4",
    "--zone=x",
    "--add-forward-port=port=1:toaddr=::1",
    "stop",
    "nft*",
    "[a-z]*",
    "-H",
    "ufw",
    "add",
    "-f",
    "s",
    "10.0.0.1,tcp:22",
    "-r",
    "ip_tables",
    "net.ipv4.ip_forward=1",
    "--now",
    "mask",
    "default",
    "--",
];

proptest! {
    #[test]
    fn any_arguments_have_a_meaning(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        words in proptest::collection::vec(proptest::sample::select(WORDS), 0..12),
    ) {
        let bytes: Vec<&[u8]> = bytes.split(|&byte| byte == b' ').collect();
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        for arguments in [&bytes[..], &words[..]] {
            ufw::parse(arguments);
            ipset::parse(arguments);
            firewall_cmd::parse(arguments, &|_, _| None);
            netfilter_persistent::parse(arguments);
            systemctl::parse(arguments);
            sysv::service(arguments);
            sysv::at_boot(arguments);
            kernel::sysctl(arguments);
            kernel::modprobe(arguments);
            rich_rule::parse(&arguments.join(&b' '));
        }
    }
}
