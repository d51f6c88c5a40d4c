//! What a comparison restricts, in the words of a rule.

use std::ops::RangeInclusive;

use crate::pipeline::firewall::change::{Addresses, Negatable, Ports, Protocol, Rule};
use crate::pipeline::firewall::reason::shown;

use super::convert::{self, Version};
use super::expression::Field;
use super::rule::plain;
use super::stop::{Result, Stop};
use super::token::{Kind, Token};
use super::value::{Part, Value};

/// `field operator value`.
pub(super) struct Comparison<'v, 'a> {
    pub(super) field: Field,
    pub(super) operator: &'static str,
    pub(super) value: &'v Value<'a>,
    /// All of it, as written.
    pub(super) text: Vec<u8>,
}

/// Adds a comparison to a rule. What has no place of its own there, or whose place is taken, is kept as text.
pub(super) fn restrict(rule: &mut Rule, comparison: Comparison<'_, '_>) -> Result<()> {
    imply_protocol(rule, comparison.field);
    if !put(rule, &comparison)? {
        rule.other_matches.push(comparison.text);
    }
    Ok(())
}

/// A field of TCP's header is looked for in TCP alone.
pub(super) fn imply_protocol(rule: &mut Rule, field: Field) {
    if rule.protocol.is_none() {
        rule.protocol = field.implied_protocol().map(plain);
    }
}

/// Whether a number in the place of that field can be a port.
pub(super) fn can_be_port(field: Field) -> bool {
    matches!(
        field,
        Field::SourcePort(_) | Field::DestinationPort(_) | Field::Header(_) | Field::Other
    )
}

/// Whether the rule has a place for it.
fn put(rule: &mut Rule, comparison: &Comparison<'_, '_>) -> Result<bool> {
    let Comparison {
        field,
        operator,
        value,
        text: _,
    } = comparison;
    let negated = match *operator {
        "==" => false,
        "!=" => true,
        "!" if *field == Field::State => true,
        _ => return put_bounded_ports(rule, comparison),
    };
    Ok(match field {
        Field::Protocol => fill(&mut rule.protocol, protocol(value)?, negated),
        Field::SourceIpv4 => fill(&mut rule.sources, addresses(value, Version::Ipv4)?, negated),
        Field::SourceIpv6 => fill(&mut rule.sources, addresses(value, Version::Ipv6)?, negated),
        Field::DestinationIpv4 => {
            let addresses = addresses(value, Version::Ipv4)?;
            fill(&mut rule.destinations, addresses, negated)
        }
        Field::DestinationIpv6 => {
            let addresses = addresses(value, Version::Ipv6)?;
            fill(&mut rule.destinations, addresses, negated)
        }
        Field::SourcePort(_) => fill(&mut rule.source_ports, convert::ports(value)?, negated),
        Field::DestinationPort(_) => {
            fill(&mut rule.destination_ports, convert::ports(value)?, negated)
        }
        Field::InInterface => fill(&mut rule.in_interface, interface(value), negated),
        Field::OutInterface => fill(&mut rule.out_interface, interface(value), negated),
        Field::State => fill(&mut rule.states, states(value)?, negated),
        Field::Header(_) | Field::Other => false,
    })
}

/// `tcp dport > 1023` is a range as well.
fn put_bounded_ports(rule: &mut Rule, comparison: &Comparison<'_, '_>) -> Result<bool> {
    let place = match comparison.field {
        Field::SourcePort(_) => &mut rule.source_ports,
        Field::DestinationPort(_) => &mut rule.destination_ports,
        Field::Protocol
        | Field::SourceIpv4
        | Field::SourceIpv6
        | Field::DestinationIpv4
        | Field::DestinationIpv6
        | Field::InInterface
        | Field::OutInterface
        | Field::State
        | Field::Header(_)
        | Field::Other => return Ok(false),
    };
    let Some(Ports::Ranges(ranges)) = convert::ports(comparison.value)? else {
        return Ok(false);
    };
    let Some(range) = bounded(comparison.operator, &ranges) else {
        return Ok(false);
    };
    Ok(fill(place, Some(Ports::Ranges(vec![range])), false))
}

/// The ports on one side of a port.
fn bounded(operator: &str, ranges: &[RangeInclusive<u16>]) -> Option<RangeInclusive<u16>> {
    let [range] = ranges else {
        return None;
    };
    let port = *range.start();
    if port != *range.end() {
        return None;
    }
    Some(match operator {
        "<" => 0..=port.checked_sub(1)?,
        "<=" => 0..=port,
        ">" => port.checked_add(1)?..=u16::MAX,
        ">=" => port..=u16::MAX,
        _ => return None,
    })
}

/// Fills a place that is empty.
fn fill<T>(place: &mut Option<Negatable<T>>, value: Option<T>, negated: bool) -> bool {
    let (None, Some(value)) = (&place, value) else {
        return false;
    };
    *place = Some(Negatable { value, negated });
    true
}

fn addresses(value: &Value<'_>, version: Version) -> Result<Option<Vec<Addresses>>> {
    convert::addresses(value, version)
}

/// One protocol; several have no place.
fn protocol(value: &Value<'_>) -> Result<Option<Protocol>> {
    match convert::parts(value).as_deref() {
        Some([part]) => convert::protocol(part),
        _ => Ok(None),
    }
}

/// One interface by its name.
fn interface(value: &Value<'_>) -> Option<Vec<u8>> {
    match convert::parts(value)?.as_slice() {
        [Part::One(token)] => Some(token.text.to_vec()),
        _ => None,
    }
}

/// The connection states and their bits (`ct_state_tbl`, nftables `src/ct.c`).
const STATES: &[(&str, u64)] = &[
    ("invalid", 1),
    ("established", 2),
    ("related", 4),
    ("new", 8),
    ("untracked", 64),
];

fn states(value: &Value<'_>) -> Result<Option<Vec<Vec<u8>>>> {
    let Some(parts) = convert::parts(value) else {
        return Ok(None);
    };
    let mut states = Vec::new();
    for part in parts {
        match part {
            Part::One(token) => states.append(&mut states_of(*token)?),
            Part::Range(..) | Part::Prefix(..) | Part::Opaque => return Ok(None),
        }
    }
    Ok((!states.is_empty()).then_some(states))
}

/// A state by its name, or all of which a number has the bits.
fn states_of(token: Token<'_>) -> Result<Vec<Vec<u8>>> {
    let fits = |(name, bit): &&(&str, u64)| match token.kind {
        Kind::Number(bits) => bits & bit != 0,
        Kind::Keyword
        | Kind::Word
        | Kind::Literal
        | Kind::Quoted
        | Kind::Wildcard
        | Kind::Symbol
        | Kind::Semicolon
        | Kind::Newline => name.as_bytes() == token.text,
    };
    let found: Vec<_> = STATES.iter().filter(fits).collect();
    if found.is_empty() && token.kind == Kind::Word {
        return Err(Stop::refused(format_args!(
            "`{}` is no connection state",
            shown(token.text)
        )));
    }
    Ok(found
        .iter()
        .map(|(name, _)| name.as_bytes().to_vec())
        .collect())
}
