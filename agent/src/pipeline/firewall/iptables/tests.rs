mod evasions;
mod published;
mod restoring;
mod syntax;

use super::*;
use crate::pipeline::firewall::change::{Addresses, Backend, Negatable, Ports, Rule};

fn program(name: &str) -> XtablesProgram {
    XtablesProgram::from_name(name.as_bytes()).expect(name)
}

/// A command line whose words are divided by spaces; the first is the program.
fn command(line: &str) -> Command {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    parse(program(line.split(' ').next().unwrap()), &words[1..])
}

fn change(line: &str) -> FirewallChange {
    let command = command(line);
    let Command::Changes(changes) = &command else {
        panic!("{line}: {command:?}");
    };
    let [change] = changes.as_slice() else {
        panic!("{line}: {changes:?}");
    };
    change.clone()
}

fn rule(line: &str) -> Rule {
    let change = change(line);
    let Operation::AddRule { rule, .. } = change.operation else {
        panic!("{line}: {change:?}");
    };
    *rule
}

fn is_rejected(line: &str) -> bool {
    matches!(command(line), Command::Rejected { .. })
}

fn assert_rejected(line: &str) {
    assert!(is_rejected(line), "{line}: {:?}", command(line));
}

#[test]
fn a_reason_names_the_beginning_of_a_long_argument() {
    let long = "x".repeat(100_000);
    for line in [
        format!("iptables -A INPUT -j {long}"),
        format!("iptables -A INPUT -p {long}"),
        format!("iptables -t {long} -F"),
    ] {
        let Command::Rejected { reason } = command(&line) else {
            panic!("{:?}", command(&line));
        };
        assert!(
            reason.contains("xxx") && reason.len() < 200,
            "{}",
            reason.len()
        );
    }
}

fn assert_query(line: &str) {
    assert_eq!(command(line), Command::Query, "{line}");
}

fn ranges(ports: &Option<Negatable<Ports>>) -> Vec<(u16, u16)> {
    let Some(Negatable {
        value: Ports::Ranges(ranges),
        negated: false,
    }) = ports
    else {
        panic!("{ports:?}");
    };
    ranges.iter().map(|r| (*r.start(), *r.end())).collect()
}

fn destination_ports(line: &str) -> Vec<(u16, u16)> {
    ranges(&rule(line).destination_ports)
}

fn network(text: &str, prefix: u8) -> Addresses {
    Addresses::Network {
        address: text.parse().unwrap(),
        prefix,
    }
}
