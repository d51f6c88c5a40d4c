//! Ports, ranges and lists of them, in the several ways in which extensions read them.

use std::ops::RangeInclusive;

use crate::pipeline::firewall::change::Protocol;

use super::number::{self, Prefix};
use super::services;

/// Slots of the match `multiport`, of which a range takes two (`XT_MULTI_PORTS`,
/// `include/uapi/linux/netfilter/xt_multiport.h`).
const MULTIPORT_SLOTS: usize = 15;

/// A port or a range `first:last`; a side that is missing is the end of all ports. By `getservbyname(3)`, as the
/// matches `tcp` and `sctp` read it.
pub(super) fn range(text: &[u8], protocol: &str) -> Option<RangeInclusive<u16>> {
    range_by(text, |port| services::number_or_name(port, protocol))
}

/// The same by `getaddrinfo(3)`, as the matches `udp` and `dccp` read it.
pub(super) fn resolved_range(text: &[u8]) -> Option<RangeInclusive<u16>> {
    let range = range_by(text, services::resolved)?;
    (!text.is_empty()).then_some(range)
}

/// The list of the match `multiport` (iptables `extensions/libxt_multiport.c`).
pub(super) fn list(text: &[u8], protocol: Protocol) -> Option<Vec<RangeInclusive<u16>>> {
    let name = multiport_protocol(protocol)?;
    let mut ranges = Vec::new();
    let mut n_slots = 0;
    for piece in text.split(|&byte| byte == b',') {
        let mut sides = piece.splitn(2, |&byte| byte == b':');
        let first = services::number_or_name(sides.next()?, name)?;
        n_slots += 1;
        let last = match sides.next() {
            Some(side) => {
                n_slots += 1;
                Some(services::number_or_name(side, name)?).filter(|&last| last > first)?
            }
            None => first,
        };
        if n_slots > MULTIPORT_SLOTS {
            return None;
        }
        ranges.push(first..=last);
    }
    Some(ranges)
}

/// A port or `first-last[/base]`, as NAT targets read it (`parse_ports`, iptables
/// `extensions/libxt_NAT.c`).
pub(super) fn nat_range(text: &[u8]) -> Option<RangeInclusive<u16>> {
    let Some(Prefix { value, rest }) = number::prefix(text) else {
        let port = services::port(text, None)?;
        return Some(port..=port);
    };
    let first = u16::try_from(value).ok()?;
    let Some(rest) = rest.strip_prefix(b"-") else {
        return rest.is_empty().then_some(first..=first);
    };
    let Prefix { value, rest } = number::prefix(rest)?;
    let last = u16::try_from(value).ok()?;
    let base_fits = match rest {
        [] => true,
        [b'/', base @ ..] => {
            number::whole(base, 1, u16::MAX.into()).is_some()
                || services::port(base, None).is_some()
        }
        _ => false,
    };
    (base_fits && first <= last).then_some(first..=last)
}

/// Protocols with ports, by the names under which `multiport` looks for services.
pub(super) fn multiport_protocol(protocol: Protocol) -> Option<&'static str> {
    match protocol.0 {
        6 => Some("tcp"),
        17 => Some("udp"),
        33 => Some("dccp"),
        132 => Some("sctp"),
        136 => Some("udplite"),
        _ => None,
    }
}

fn range_by(text: &[u8], port: impl Fn(&[u8]) -> Option<u16>) -> Option<RangeInclusive<u16>> {
    let mut sides = text.splitn(2, |&byte| byte == b':');
    let first_text = sides.next()?;
    let Some(last_text) = sides.next() else {
        let port = port(text)?;
        return Some(port..=port);
    };
    let first = side(first_text, 0, &port)?;
    let last = side(last_text, u16::MAX, &port)?;
    (first <= last).then_some(first..=last)
}

fn side(text: &[u8], missing: u16, port: impl Fn(&[u8]) -> Option<u16>) -> Option<u16> {
    match text {
        b"" => Some(missing),
        text => port(text),
    }
}
