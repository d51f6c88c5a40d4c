//! Ports and addresses as these tools write them.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::pipeline::firewall::change::{Addresses, Negatable};
use crate::pipeline::firewall::names;

/// `22`, `ssh`, or a range with `separator`. `None` when it is neither.
pub(super) fn ports(text: &[u8], separator: u8) -> Option<RangeInclusive<u16>> {
    if let Some(port) = port(text) {
        return Some(port..=port);
    }
    let mut ends = text.splitn(2, |&byte| byte == separator);
    let (first, last) = (port(ends.next()?)?, port(ends.next()?)?);
    (first <= last).then_some(first..=last)
}

fn port(text: &[u8]) -> Option<u16> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if is_number {
        return str::from_utf8(text).ok()?.parse().ok();
    }
    names::port(text)
}

/// `10.0.0.1`, `10.0.0.0/8`, `10.0.0.0/255.0.0.0`, `10.0.0.1-10.0.0.9`; anything else is kept as written.
pub(super) fn addresses(text: &[u8]) -> Addresses {
    known_addresses(text).unwrap_or_else(|| Addresses::Written(text.to_vec()))
}

pub(super) fn known_addresses(text: &[u8]) -> Option<Addresses> {
    let text = str::from_utf8(text).ok()?;
    if let Ok(address) = text.parse::<IpAddr>() {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        return Some(Addresses::Network { address, prefix });
    }
    if let Some((address, prefix)) = text.split_once('/') {
        let address: IpAddr = address.parse().ok()?;
        let prefix = prefix_length(prefix, address)?;
        return Some(Addresses::Network { address, prefix });
    }
    let (first, last) = text.split_once('-')?;
    Some(Addresses::Range {
        first: first.parse().ok()?,
        last: last.parse().ok()?,
    })
}

/// A number of bits, or a mask whose ones stand in front.
fn prefix_length(text: &str, address: IpAddr) -> Option<u8> {
    let longest = if address.is_ipv4() { 32 } else { 128 };
    if let Ok(prefix) = text.parse::<u8>() {
        return (prefix <= longest).then_some(prefix);
    }
    let mask = text.parse::<std::net::Ipv4Addr>().ok()?.to_bits();
    let ones = mask.leading_ones();
    let is_prefix = address.is_ipv4() && mask.count_ones() == ones;
    is_prefix.then(|| u8::try_from(ones).ok()).flatten()
}

/// A value that is not negated.
pub(super) fn plain<T>(value: T) -> Negatable<T> {
    Negatable {
        value,
        negated: false,
    }
}
