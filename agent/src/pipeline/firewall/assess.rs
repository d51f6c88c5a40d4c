//! What one change means: whether it opens, closes or blinds something.

use core::net::IpAddr;
use std::ops::RangeInclusive;

use super::change::{
    Addresses, FirewallChange, Negatable, Operation, Policy, Ports, Protocol, Rule, Target,
    UnitVerb, Which,
};
use super::finding::FindingKind;

/// What a change means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    pub kind: FindingKind,
    /// No port, address or interface restricts what is opened.
    pub unrestricted: bool,
}

impl Meaning {
    fn of(kind: FindingKind) -> Self {
        Self {
            kind,
            unrestricted: false,
        }
    }
}

/// Ports by which hosts are managed, and those that malware shuts behind itself: SSH, Telnet and its usual
/// second ports, TR-069, Mozi's and Mirai's list.
const MANAGEMENT_PORTS: &[u16] = &[
    22, 23, 2222, 2323, 5555, 7547, 35000, 50023, 58000, 37215, 48101,
];

/// Ports to which logs go: syslog, syslog over TLS, Splunk HEC and its forwarder, Elastic, OTLP, Graylog,
/// Wazuh.
const LOG_PORTS: &[u16] = &[514, 601, 6514, 8088, 9997, 9200, 4317, 4318, 12201, 1514];

/// `None`: it opens, closes and blinds nothing, as far as it shows.
pub fn meaning(change: &FirewallChange) -> Option<Meaning> {
    match &change.operation {
        Operation::AddRule { rule, .. } | Operation::ReplaceRule { rule, .. } => rule_added(rule),
        Operation::DeleteRule(which) => {
            deletes(which).then(|| Meaning::of(FindingKind::DropRemoved))
        }
        Operation::SetPolicy(Policy::Accept) => Some(Meaning {
            kind: FindingKind::PolicyOpened,
            unrestricted: true,
        }),
        Operation::FlushChain
        | Operation::DeleteChain
        | Operation::DeleteTable
        | Operation::FlushTable
        | Operation::FlushRuleset
        | Operation::Load { flushes: true, .. } => Some(Meaning::of(FindingKind::RulesetFlushed)),
        Operation::SetDormant(true) => Some(Meaning::of(FindingKind::TableDisabled)),
        Operation::AddElements { elements, .. } => {
            // A plain set says nothing of what its members get.
            let opens = elements.iter().any(|element| {
                element
                    .verdict
                    .as_ref()
                    .is_none_or(|verdict| *verdict == Target::Accept)
            });
            opens.then(|| Meaning::of(FindingKind::SetOpened))
        }
        Operation::DeleteElements { elements, .. } => {
            let opens = elements
                .iter()
                .any(|element| element.verdict.as_ref().is_some_and(stops));
            opens.then(|| Meaning::of(FindingKind::SetOpened))
        }
        Operation::Disable => Some(Meaning::of(FindingKind::FirewallStopped)),
        Operation::Unit { verb, .. } => {
            let stops = matches!(
                verb,
                UnitVerb::Stop | UnitVerb::Disable | UnitVerb::Mask | UnitVerb::Kill
            );
            stops.then(|| Meaning::of(FindingKind::FirewallStopped))
        }
        Operation::SetPolicy(Policy::Drop | Policy::Reject)
        | Operation::SetDormant(false)
        | Operation::Load { flushes: false, .. }
        | Operation::AddChain { .. }
        | Operation::RenameChain { .. }
        | Operation::ZeroCounters
        | Operation::AddTable
        | Operation::AddSet { .. }
        | Operation::DeleteSet { .. }
        | Operation::FlushSet { .. }
        | Operation::Enable
        | Operation::Other { .. } => None,
    }
}

fn rule_added(rule: &Rule) -> Option<Meaning> {
    match rule.target.as_ref()? {
        Target::Accept | Target::Return | Target::Notrack if !is_harmless(rule) => Some(Meaning {
            kind: FindingKind::AcceptOpened,
            unrestricted: is_unrestricted(rule),
        }),
        Target::Redirect { .. } | Target::Dnat { .. } | Target::Tproxy { .. } => {
            Some(Meaning::of(FindingKind::RedirectAdded))
        }
        Target::Drop | Target::Reject => blocked(rule).map(Meaning::of),
        Target::Accept
        | Target::Return
        | Target::Notrack
        | Target::Jump(_)
        | Target::Goto(_)
        | Target::Snat { .. }
        | Target::Masquerade
        | Target::Mark
        | Target::Log
        | Target::Queue
        | Target::Map(_)
        | Target::Other(_) => None,
    }
}

/// Replies to what this host began, and what never leaves it.
fn is_harmless(rule: &Rule) -> bool {
    let replies = rule.states.as_ref().is_some_and(|states| {
        !states.negated
            && !states.value.is_empty()
            && states
                .value
                .iter()
                .all(|state| state == b"established" || state == b"related")
    });
    let is_loopback = |interface: &Option<Negatable<Vec<u8>>>| {
        interface
            .as_ref()
            .is_some_and(|interface| !interface.negated && interface.value == b"lo")
    };
    replies || is_loopback(&rule.in_interface) || is_loopback(&rule.out_interface)
}

fn is_unrestricted(rule: &Rule) -> bool {
    let Rule {
        protocol: _,
        sources,
        destinations,
        source_ports,
        destination_ports,
        either_ports,
        in_interface,
        out_interface,
        states,
        other_matches,
        target: _,
        comment: _,
    } = rule;
    let anywhere = |addresses: &Option<Negatable<Vec<Addresses>>>| {
        addresses
            .as_ref()
            .is_none_or(|addresses| !addresses.negated && addresses.value.iter().all(is_everything))
    };
    anywhere(sources)
        && anywhere(destinations)
        && source_ports.is_none()
        && destination_ports.is_none()
        && either_ports.is_none()
        && in_interface.is_none()
        && out_interface.is_none()
        && states.is_none()
        && other_matches.is_empty()
}

fn is_everything(addresses: &Addresses) -> bool {
    match addresses {
        Addresses::Network { address, prefix } => {
            *prefix == 0
                && match address {
                    IpAddr::V4(address) => address.is_unspecified(),
                    IpAddr::V6(address) => address.is_unspecified(),
                }
        }
        Addresses::Range { .. } | Addresses::Written(_) | Addresses::Set(_) => false,
    }
}

/// What a rule that stops packets takes away: the way of the logs, or the way in for others.
fn blocked(rule: &Rule) -> Option<FindingKind> {
    let names = |ports: &Option<Negatable<Ports>>, known: &[u16]| {
        ports.as_ref().is_some_and(|ports| {
            !ports.negated
                && match &ports.value {
                    Ports::Ranges(ranges) => ranges.iter().any(|range| names_one(range, known)),
                    Ports::Set(_) => false,
                }
        })
    };
    if names(&rule.destination_ports, LOG_PORTS) || names(&rule.either_ports, LOG_PORTS) {
        return Some(FindingKind::SiemBlocked);
    }
    let is_stream = rule
        .protocol
        .as_ref()
        .is_none_or(|protocol| protocol.value == Protocol::TCP);
    let is_management = [
        &rule.destination_ports,
        &rule.source_ports,
        &rule.either_ports,
    ]
    .into_iter()
    .any(|ports| names(ports, MANAGEMENT_PORTS));
    (is_stream && is_management).then_some(FindingKind::RivalBlocked)
}

/// A range of many ports shuts a whole host and names none.
fn names_one(range: &RangeInclusive<u16>, known: &[u16]) -> bool {
    const WIDE: u16 = 1024;
    let is_narrow = range.end().saturating_sub(*range.start()) < WIDE;
    is_narrow && known.iter().any(|port| range.contains(port))
}

/// Whether a rule that goes may have stopped something. By its number alone nobody can tell that it did not.
fn deletes(which: &Which) -> bool {
    match which {
        Which::Same(rule) | Which::Known { rule, .. } => rule.target.as_ref().is_some_and(stops),
        Which::Index(_) | Which::Handle(_) => true,
    }
}

fn stops(target: &Target) -> bool {
    matches!(target, Target::Drop | Target::Reject)
}

#[cfg(test)]
mod tests;
