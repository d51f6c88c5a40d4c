//! From what is written to the words of a rule.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use crate::pipeline::firewall::change::{Addresses, Element, Ports, Protocol, Target};
use crate::pipeline::firewall::names;
use crate::pipeline::firewall::reason::shown;

use super::stop::{Result, Stop};
use super::token::{Kind, Token};
use super::value::{Data, Item, Part, SetElement, Value, Verdict};

/// Which addresses a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Ipv4,
    Ipv6,
    /// The text does not say.
    Any,
}

/// The items of a value that is not the name of a set; `None` when an item has several parts.
pub(super) fn parts<'v, 'a>(value: &'v Value<'a>) -> Option<Vec<&'v Part<'a>>> {
    let single = |item: &'v Item<'a>| match item.as_slice() {
        [part] => Some(part),
        _ => None,
    };
    match value {
        Value::Named(_) => None,
        Value::List(items) => items.iter().map(single).collect(),
        Value::Set(elements) => elements
            .iter()
            .map(|element| single(&element.key))
            .collect(),
    }
}

/// Ports, or `None` when one of them is not understood.
pub(super) fn ports(value: &Value<'_>) -> Result<Option<Ports>> {
    if let Value::Named(set) = value {
        return Ok(Some(Ports::Set(set.to_vec())));
    }
    let Some(parts) = parts(value) else {
        return Ok(None);
    };
    let mut ranges = Vec::new();
    for part in parts {
        match port_range(part)? {
            Some(range) => ranges.push(range),
            None => return Ok(None),
        }
    }
    Ok(Some(Ports::Ranges(ranges)))
}

/// One port or a range of them.
pub(super) fn port_range(part: &Part<'_>) -> Result<Option<RangeInclusive<u16>>> {
    let (first, last) = match part {
        Part::One(token) => (port(*token)?, port(*token)?),
        Part::Range(first, last) => (port(*first)?, port(*last)?),
        Part::Prefix(..) | Part::Opaque => (None, None),
    };
    let (Some(first), Some(last)) = (first, last) else {
        return Ok(None);
    };
    if first > last {
        return Err(Stop::refused(format_args!("ports {first}-{last}: none")));
    }
    Ok(Some(first..=last))
}

/// A port by its number or its service; `None` for a service that is not known here.
fn port(token: Token<'_>) -> Result<Option<u16>> {
    match token.kind {
        Kind::Number(number) => u16::try_from(number)
            .map(Some)
            .map_err(|_| Stop::refused(format_args!("port {number}: there are 65535"))),
        Kind::Literal if address(token).is_some() => Err(Stop::refused(format_args!(
            "an address where a port should be"
        ))),
        Kind::Keyword
        | Kind::Word
        | Kind::Literal
        | Kind::Quoted
        | Kind::Wildcard
        | Kind::Symbol
        | Kind::Semicolon
        | Kind::Newline => Ok(names::port(token.text)),
    }
}

/// A protocol by its number or its name; `None` for one that is not known here.
pub(super) fn protocol(part: &Part<'_>) -> Result<Option<Protocol>> {
    let Part::One(token) = part else {
        return Ok(None);
    };
    let Kind::Number(number) = token.kind else {
        return Ok(names::protocol(token.text));
    };
    u8::try_from(number)
        .map(|number| Some(Protocol(number)))
        .map_err(|_| Stop::refused(format_args!("protocol {number}: there are 255")))
}

/// Addresses, or `None` when one of them is not understood.
pub(super) fn addresses(value: &Value<'_>, version: Version) -> Result<Option<Vec<Addresses>>> {
    if let Value::Named(set) = value {
        return Ok(Some(vec![Addresses::Set(set.to_vec())]));
    }
    let Some(parts) = parts(value) else {
        return Ok(None);
    };
    let mut addresses = Vec::new();
    for part in parts {
        match address_part(part, version)? {
            Some(found) => addresses.push(found),
            None => return Ok(None),
        }
    }
    Ok(Some(addresses))
}

/// Addresses that one part stands for.
fn address_part(part: &Part<'_>, version: Version) -> Result<Option<Addresses>> {
    Ok(match part {
        Part::One(token) => match fitting(*token, version)? {
            Some(address) => Some(network(address, bits(address))),
            None => Some(Addresses::Written(token.text.to_vec())),
        },
        Part::Prefix(token, prefix) => match fitting(*token, version)? {
            Some(address) => Some(network(address, short_prefix(*prefix, address)?)),
            None => None,
        },
        Part::Range(first, last) => match (fitting(*first, version)?, fitting(*last, version)?) {
            (Some(first), Some(last)) => Some(range(first, last)?),
            _ => None,
        },
        Part::Opaque => None,
    })
}

/// The address that a token is; refused when the field cannot hold it.
fn fitting(token: Token<'_>, version: Version) -> Result<Option<IpAddr>> {
    let found = match (token.kind, version) {
        (Kind::Number(number), Version::Ipv4) => u32::try_from(number)
            .ok()
            .map(|bits| IpAddr::V4(bits.into())),
        _ => address(token),
    };
    let fits = match (found, version) {
        (Some(IpAddr::V4(_)), Version::Ipv6) | (Some(IpAddr::V6(_)), Version::Ipv4) => false,
        (None, _) => token.kind != Kind::Literal || version == Version::Any,
        _ => true,
    };
    if fits {
        return Ok(found);
    }
    Err(Stop::refused(format_args!(
        "`{}` is no address of that kind",
        shown(token.text)
    )))
}

fn address(token: Token<'_>) -> Option<IpAddr> {
    let can = matches!(token.kind, Kind::Literal | Kind::Quoted);
    let text = str::from_utf8(token.text).ok().filter(|_| can)?;
    text.parse().ok().or_else(|| with_zeros(text))
}

/// nft reads `010.0.0.1` by `inet_aton(3)`, where a leading 0 makes a group octal.
fn with_zeros(text: &str) -> Option<IpAddr> {
    let mut octets = [0_u8; 4];
    let mut groups = text.split('.');
    for octet in &mut octets {
        let group = groups.next()?;
        let base = if group.starts_with('0') { 8 } else { 10 };
        *octet = u8::from_str_radix(group, base).ok()?;
    }
    groups.next().is_none().then_some(IpAddr::from(octets))
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn short_prefix(prefix: u64, address: IpAddr) -> Result<u8> {
    u8::try_from(prefix)
        .ok()
        .filter(|prefix| *prefix <= bits(address))
        .ok_or_else(|| Stop::refused(format_args!("/{prefix}: an address is shorter")))
}

/// The network, with the bits behind the prefix cleared as nft prints it.
fn network(address: IpAddr, prefix: u8) -> Addresses {
    let address = match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32)));
            Ipv4Addr::from(address.to_bits() & mask.unwrap_or(0)).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128)));
            Ipv6Addr::from(address.to_bits() & mask.unwrap_or(0)).into()
        }
    };
    Addresses::Network { address, prefix }
}

/// A range, or the network that it is, as nft prints it.
fn range(first: IpAddr, last: IpAddr) -> Result<Addresses> {
    let (low, high, width) = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            (first.to_bits().into(), last.to_bits().into(), 32_u32)
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => (first.to_bits(), last.to_bits(), 128),
        _ => return Err(Stop::refused(format_args!("a range of two kinds"))),
    };
    if low > high {
        return Err(Stop::refused(format_args!("{first}-{last}: no address")));
    }
    let differing: u128 = low ^ high;
    let is_network = low & differing == 0 && differing & differing.wrapping_add(1) == 0;
    if is_network && let Ok(prefix) = u8::try_from(width - differing.count_ones()) {
        return Ok(network(first, prefix));
    }
    Ok(Addresses::Range { first, last })
}

/// What a verdict does, in the words of a rule; `None` when the next rule decides.
pub(super) fn target(verdict: Verdict<'_>) -> Option<Target> {
    Some(match verdict {
        Verdict::Accept => Target::Accept,
        Verdict::Drop => Target::Drop,
        Verdict::Return => Target::Return,
        Verdict::Jump(chain) => Target::Jump(chain.to_vec()),
        Verdict::Goto(chain) => Target::Goto(chain.to_vec()),
        Verdict::Continue => return None,
    })
}

/// Elements of a set. A part that is a number or a service is taken for a port unless `has_ports` is false.
pub(super) fn elements(elements: &[SetElement<'_>], has_ports: bool) -> Vec<Element> {
    elements
        .iter()
        .map(|element| set_element(element, has_ports))
        .collect()
}

fn set_element(element: &SetElement<'_>, has_ports: bool) -> Element {
    let mut ports = Vec::new();
    let mut addresses = Vec::new();
    for part in &element.key {
        if let Ok(Some(range)) = port_range(part)
            && has_ports
        {
            ports.push(range);
        } else if let Ok(Some(found)) = address_part(part, Version::Any)
            && !matches!(found, Addresses::Written(_))
        {
            addresses.push(found);
        }
    }
    let verdict = match element.data {
        Some(Data::Verdict(verdict)) => target(verdict),
        Some(Data::Value) | None => None,
    };
    Element {
        ports,
        addresses,
        key: element.text.clone(),
        verdict,
    }
}
