//! What one change means: whether it opens, closes or blinds something.

use core::net::IpAddr;
use std::ops::RangeInclusive;

use super::change::{
    Addresses, Backend, Element, FirewallChange, Negatable, Operation, Policy, Ports, Position,
    Protocol, Rule, Target, UnitVerb, Which,
};
use super::finding::FindingKind;

/// What a change means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    pub kind: FindingKind,
    /// No port, address or interface restricts what is opened.
    pub unrestricted: bool,
    /// It leads to another chain, or to a program, where something is let pass or is not.
    pub indirect: bool,
}

impl Meaning {
    pub(super) fn of(kind: FindingKind) -> Self {
        Self {
            kind,
            unrestricted: false,
            indirect: false,
        }
    }
}

/// Ports by which hosts are managed, and those that malware shuts behind itself: SSH, Telnet and its usual
/// second ports, TR-069, Mozi's and Mirai's list.
const MANAGEMENT_PORTS: &[u16] = &[
    22, 23, 2222, 2323, 5555, 7547, 35000, 50023, 58000, 37215, 48101,
];

/// Ports to which logs go: syslog, syslog over TLS, Splunk HEC and its forwarder, Elastic, OTLP, Graylog,
/// Wazuh, Beats, Fluentd.
const LOG_PORTS: &[u16] = &[
    514, 601, 1514, 4317, 4318, 5044, 5140, 6514, 8088, 9200, 9997, 12201, 24224,
];

/// `None`: it opens, closes and blinds nothing, as far as it shows.
pub fn meaning(change: &FirewallChange) -> Option<Meaning> {
    match &change.operation {
        Operation::AddRule { rule, position } => rule_added(change, rule, *position),
        Operation::ReplaceRule { which, rule } => {
            let added = rule_added(change, rule, Position::Index(1));
            added.or_else(|| rule_deleted(which))
        }
        Operation::DeleteRule(which) => rule_deleted(which),
        Operation::SetPolicy(Policy::Accept) => Some(Meaning {
            unrestricted: true,
            ..Meaning::of(FindingKind::PolicyOpened)
        }),
        Operation::FlushChain
        | Operation::DeleteChain
        | Operation::DeleteTable
        | Operation::FlushTable
        | Operation::FlushRuleset
        | Operation::Load { flushes: true, .. } => Some(Meaning::of(FindingKind::RulesetFlushed)),
        Operation::SetDormant(true) => Some(Meaning::of(FindingKind::TableDisabled)),
        Operation::AddElements { elements, .. } => elements_added(elements),
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

fn rule_added(change: &FirewallChange, rule: &Rule, position: Position) -> Option<Meaning> {
    let opened = Meaning {
        unrestricted: is_unrestricted(rule),
        ..Meaning::of(FindingKind::AcceptOpened)
    };
    let leads_elsewhere = Meaning {
        indirect: true,
        ..Meaning::of(FindingKind::AcceptOpened)
    };
    match rule.target.as_ref()? {
        Target::Redirect { .. } | Target::Dnat { .. } | Target::Tproxy { .. } => {
            Some(Meaning::of(FindingKind::RedirectAdded))
        }
        Target::Other(name) => {
            sends_elsewhere(name).then(|| Meaning::of(FindingKind::RedirectAdded))
        }
        Target::Drop | Target::Reject => blocked(rule).map(Meaning::of),
        _ if is_harmless(rule) => None,
        Target::Accept | Target::Notrack => Some(opened),
        Target::Return => returns_early(change, position).then_some(opened),
        // In front of the rules that are there; at the end it takes nothing from them.
        Target::Jump(_) | Target::Goto(_) => {
            (position != Position::Last).then_some(leads_elsewhere)
        }
        // Whoever listens decides; with `bypass`, nobody does.
        Target::Queue => Some(leads_elsewhere),
        Target::Snat { .. } | Target::Masquerade | Target::Mark | Target::Log | Target::Map(_) => {
            None
        }
    }
}

/// Targets that hand packets, or copies of them, to another host or interface.
fn sends_elsewhere(name: &[u8]) -> bool {
    let names: [&[u8]; 4] = [b"NETMAP", b"TEE", b"dup", b"fwd"];
    names.contains(&name)
}

/// Whether RETURN passes by rules that may drop. From a chain of one's own it goes back to where it came from,
/// and there the other rules are.
fn returns_early(change: &FirewallChange, position: Position) -> bool {
    const BUILT_IN: [&[u8]; 5] = [
        b"INPUT",
        b"OUTPUT",
        b"FORWARD",
        b"PREROUTING",
        b"POSTROUTING",
    ];
    match change.backend {
        Backend::Xtables | Backend::XtablesNft | Backend::XtablesLegacy => change
            .chain
            .as_ref()
            .is_none_or(|chain| BUILT_IN.contains(&chain.as_slice())),
        Backend::Nftables
        | Backend::Ipset
        | Backend::Ufw
        | Backend::Firewalld
        | Backend::Service
        | Backend::Kernel => position != Position::Last,
    }
}

/// A plain set says nothing of what its members get. A verdict map does.
fn elements_added(elements: &[Element]) -> Option<Meaning> {
    let opens = |element: &Element| {
        element
            .verdict
            .as_ref()
            .is_none_or(|verdict| *verdict == Target::Accept || leads_on(verdict))
    };
    let blinds = |element: &Element| {
        let mut ports = element.ports.iter();
        element.verdict.as_ref().is_some_and(stops)
            && ports.any(|range| names_one(range, LOG_PORTS))
    };
    if elements.iter().any(blinds) {
        return Some(Meaning::of(FindingKind::SiemBlocked));
    }
    elements
        .iter()
        .any(opens)
        .then(|| Meaning::of(FindingKind::SetOpened))
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
    // A ban of some, or of too many at once, leaves the others in.
    let is_narrow =
        rule.sources.is_some() || rule.states.is_some() || !rule.other_matches.is_empty();
    let is_management = [
        &rule.destination_ports,
        &rule.source_ports,
        &rule.either_ports,
    ]
    .into_iter()
    .any(|ports| names(ports, MANAGEMENT_PORTS));
    (is_stream && is_management && !is_narrow).then_some(FindingKind::RivalBlocked)
}

/// A range of many ports shuts a whole host and names none.
fn names_one(range: &RangeInclusive<u16>, known: &[u16]) -> bool {
    const WIDE: u16 = 1024;
    let is_narrow = range.end().saturating_sub(*range.start()) < WIDE;
    is_narrow && known.iter().any(|port| range.contains(port))
}

/// A rule that goes may have stopped something. By its number alone nobody can tell that it did not.
fn rule_deleted(which: &Which) -> Option<Meaning> {
    let removed = Meaning::of(FindingKind::DropRemoved);
    let indirect = Meaning {
        indirect: true,
        ..removed
    };
    match which {
        Which::Index(_) | Which::Handle(_) => Some(removed),
        Which::Same(rule) | Which::Numbered { rule, .. } | Which::Known { rule, .. } => {
            match rule.target.as_ref()? {
                target if stops(target) => Some(removed),
                target if leads_on(target) => Some(indirect),
                _ => None,
            }
        }
    }
}

/// Whether what happens to a packet is decided elsewhere.
fn leads_on(target: &Target) -> bool {
    matches!(target, Target::Jump(_) | Target::Goto(_) | Target::Map(_))
}

fn stops(target: &Target) -> bool {
    matches!(target, Target::Drop | Target::Reject)
}

#[cfg(test)]
mod tests;
