//! The rule that a command line describes.

use std::ops::RangeInclusive;

use crate::pipeline::firewall::change::{
    Addresses, Family, Negatable, Ports, Protocol, Rule, Target,
};

use super::request::{Given, Jump, Loaded, Request};
use super::value::{self, Context};
use super::{address, ports, states};

/// The rule of a request. What is said of it by more than one match keeps the first; the others are told as
/// conditions that are not understood. A condition that every packet meets is left out, as `iptables -S` leaves
/// it out.
pub(super) fn of(request: &Request<'_>, family: Family) -> Rule {
    let owned = |side: &Option<Negatable<&[u8]>>| {
        side.as_ref().map(|side| Negatable {
            value: side.value.to_vec(),
            negated: side.negated,
        })
    };
    let mut rule = Rule {
        protocol: request.protocol.clone().filter(|p| p.value != Protocol(0)),
        sources: request.sources.clone().filter(restricts),
        destinations: request.destinations.clone().filter(restricts),
        in_interface: owned(&request.in_interface).filter(names_interface),
        out_interface: owned(&request.out_interface).filter(names_interface),
        ..Rule::default()
    };
    let context = Context {
        family,
        protocol: request.protocol.as_ref().map(|protocol| protocol.value),
    };
    if request.fragment.is_some() {
        other(&mut rule, "fragment");
    }
    for loaded in &request.matches {
        add_match(&mut rule, loaded, context);
    }
    rule.target = request
        .jump
        .map(|jump| target(jump, request.target.as_ref()));
    rule
}

fn restricts(side: &Negatable<Vec<Addresses>>) -> bool {
    let is_all = matches!(
        side.value.as_slice(),
        [Addresses::Network { prefix: 0, .. }]
    );
    side.negated || !is_all
}

fn names_interface(side: &Negatable<Vec<u8>>) -> bool {
    side.negated || side.value != b"+"
}

fn add_match(rule: &mut Rule, loaded: &Loaded<'_>, context: Context) {
    let name = loaded.extension.name;
    for given in &loaded.given {
        let is_understood = match (name, given.option.name) {
            ("comment", _) => set_once(&mut rule.comment, given.value.to_vec()),
            ("tcp" | "sctp", "source-port" | "sport") => {
                let range = ports::range(given.value, value::service_protocol(context));
                set_ports(
                    &mut rule.source_ports,
                    range.map(|range| vec![range]),
                    given,
                )
            }
            ("tcp" | "sctp", "destination-port" | "dport") => {
                let range = ports::range(given.value, value::service_protocol(context));
                set_ports(
                    &mut rule.destination_ports,
                    range.map(|range| vec![range]),
                    given,
                )
            }
            ("udp" | "dccp", "source-port" | "sport") => {
                let range = ports::resolved_range(given.value);
                set_ports(
                    &mut rule.source_ports,
                    range.map(|range| vec![range]),
                    given,
                )
            }
            ("udp" | "dccp", "destination-port" | "dport") => {
                let range = ports::resolved_range(given.value);
                set_ports(
                    &mut rule.destination_ports,
                    range.map(|range| vec![range]),
                    given,
                )
            }
            ("multiport", which) => set_multiport(rule, which, given, context),
            ("state", _) | ("conntrack", "ctstate") => set_states(rule, given),
            ("iprange", "src-range") => set_range(&mut rule.sources, given, context.family),
            ("iprange", "dst-range") => set_range(&mut rule.destinations, given, context.family),
            ("set", "match-set" | "set") => set_members(rule, given),
            _ => false,
        };
        if !is_understood {
            other(rule, name);
        }
    }
    // Those restrict by being there.
    if matches!(name, "rpfilter" | "socket" | "eui64" | "limit" | "recent")
        && loaded.given.is_empty()
    {
        other(rule, name);
    }
}

fn other(rule: &mut Rule, name: &str) {
    if !rule
        .other_matches
        .iter()
        .any(|known| known == name.as_bytes())
    {
        rule.other_matches.push(name.as_bytes().to_vec());
    }
}

/// Whether there was nothing before.
fn set_once<T>(place: &mut Option<T>, value: T) -> bool {
    let is_first = place.is_none();
    place.get_or_insert(value);
    is_first
}

fn set_ports(
    place: &mut Option<Negatable<Ports>>,
    ranges: Option<Vec<RangeInclusive<u16>>>,
    given: &Given<'_>,
) -> bool {
    let Some(ranges) = ranges else {
        return false;
    };
    let ports = match ranges.as_slice() {
        [range] => without_negation(range, given.negated),
        _ => Negatable {
            value: ranges,
            negated: given.negated,
        },
    };
    if ports.value == [0..=u16::MAX] && !ports.negated {
        return true;
    }
    let ports = Negatable {
        value: Ports::Ranges(ports.value),
        negated: ports.negated,
    };
    set_once(place, ports)
}

/// What is not at one end of all ports is at the other: `! --dport :1023` is `--dport 1024:`, and newer programs
/// print it so.
fn without_negation(
    range: &RangeInclusive<u16>,
    negated: bool,
) -> Negatable<Vec<RangeInclusive<u16>>> {
    let rest = match (*range.start(), *range.end()) {
        _ if !negated => None,
        (0, last) => last.checked_add(1).map(|first| first..=u16::MAX),
        (first, u16::MAX) => first.checked_sub(1).map(|last| 0..=last),
        _ => None,
    };
    Negatable {
        negated: negated && rest.is_none(),
        value: vec![rest.unwrap_or_else(|| range.clone())],
    }
}

fn set_multiport(rule: &mut Rule, which: &str, given: &Given<'_>, context: Context) -> bool {
    let ranges = context
        .protocol
        .and_then(|protocol| ports::list(given.value, protocol));
    let place = match which {
        "source-ports" | "sports" => &mut rule.source_ports,
        "destination-ports" | "dports" => &mut rule.destination_ports,
        _ => &mut rule.either_ports,
    };
    set_ports(place, ranges, given)
}

fn set_states(rule: &mut Rule, given: &Given<'_>) -> bool {
    let Some(value) = states::parse(given.value) else {
        return false;
    };
    let states = Negatable {
        value,
        negated: given.negated,
    };
    set_once(&mut rule.states, states)
}

fn set_range(
    place: &mut Option<Negatable<Vec<Addresses>>>,
    given: &Given<'_>,
    family: Family,
) -> bool {
    let mut sides = given.value.splitn(2, |&byte| byte == b'-');
    let first = sides.next().and_then(|side| address::single(side, family));
    let last = match sides.next() {
        Some(side) => address::single(side, family),
        None => first,
    };
    let (Some(first), Some(last)) = (first, last) else {
        return false;
    };
    let range = Negatable {
        value: vec![Addresses::Range { first, last }],
        negated: given.negated,
    };
    set_once(place, range)
}

/// A set with one direction: its members are taken for addresses, for the command line does not tell what they
/// are.
fn set_members(rule: &mut Rule, given: &Given<'_>) -> bool {
    let members = Negatable {
        value: vec![Addresses::Set(given.value.to_vec())],
        negated: given.negated,
    };
    match given.second {
        b"src" => set_once(&mut rule.sources, members),
        b"dst" => set_once(&mut rule.destinations, members),
        _ => false,
    }
}

fn target(jump: Jump<'_>, loaded: Option<&Loaded<'_>>) -> Target {
    let name = match jump {
        Jump::Goto(chain) => return Target::Goto(chain.to_vec()),
        Jump::To(name) => name,
    };
    match (name, loaded) {
        (b"ACCEPT", _) => Target::Accept,
        (b"DROP", _) => Target::Drop,
        (b"RETURN", _) => Target::Return,
        (b"QUEUE", _) => Target::Queue,
        (_, Some(loaded)) => extension_target(name, loaded),
        (chain, None) => Target::Jump(chain.to_vec()),
    }
}

fn extension_target(name: &[u8], loaded: &Loaded<'_>) -> Target {
    let value = |option: &str| {
        let mut given = loaded.given.iter();
        given
            .find(|given| given.option.name == option)
            .map(|given| given.value)
    };
    match name {
        b"REJECT" => Target::Reject,
        b"LOG" | b"NFLOG" | b"ULOG" => Target::Log,
        b"NFQUEUE" => Target::Queue,
        b"MARK" | b"CONNMARK" => Target::Mark,
        b"MASQUERADE" => Target::Masquerade,
        b"NOTRACK" => Target::Notrack,
        b"CT" if value("notrack").is_some() => Target::Notrack,
        b"REDIRECT" => Target::Redirect {
            ports: value("to-ports").and_then(ports::nat_range),
        },
        b"DNAT" => Target::Dnat {
            to: value("to-destination").unwrap_or_default().to_vec(),
        },
        b"SNAT" => Target::Snat {
            to: value("to-source").unwrap_or_default().to_vec(),
        },
        b"TPROXY" => Target::Tproxy {
            to: tproxy_to(value("on-ip"), value("on-port")),
        },
        other => Target::Other(other.to_vec()),
    }
}

/// `address:port`; without an address when it is the one to which the packet came.
fn tproxy_to(address: Option<&[u8]>, port: Option<&[u8]>) -> Vec<u8> {
    let address = address.filter(|address| !matches!(*address, b"0.0.0.0" | b"::"));
    let port = port.and_then(super::services::resolved).unwrap_or(0);
    let mut to = address.unwrap_or_default().to_vec();
    to.extend(format!(":{port}").bytes());
    to
}
