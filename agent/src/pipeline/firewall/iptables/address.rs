//! Addresses, networks and lists of them, as `-s` and `-d` take them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::pipeline::firewall::change::{Addresses, Family};

use super::number::{self, Prefix};

/// Longest host name with its mask, in bytes (`xtables_ipparse_multiple`, iptables `libxtables/xtables.c`).
const PIECE_BYTES_MAX: usize = 255;

/// How much of a dotted address is read, in bytes (`__numeric_to_ipaddr`, the same file).
const DOTTED_BYTES_MAX: usize = 19;

/// Addresses by comma, each with an optional mask. Bits beyond the mask are cleared, as the programs do. Only the
/// running host knows what a name stands for: it is kept as written. `None` when one of them can be neither
/// an address nor a name.
pub(super) fn list(text: &[u8], family: Family) -> Option<Vec<Addresses>> {
    text.split(|&byte| byte == b',')
        .map(|piece| network(number::without_space(piece), family))
        .collect()
}

/// One address without a mask; a name is none.
pub(super) fn single(text: &[u8], family: Family) -> Option<IpAddr> {
    if family == Family::Ipv6 {
        ipv6(text).map(IpAddr::V6)
    } else {
        dotted(text, false).map(IpAddr::V4)
    }
}

/// Whether `text` is an address, or could be the name of a host with one.
pub(super) fn is_host(text: &[u8], family: Family) -> bool {
    let is_address = if family == Family::Ipv6 {
        ipv6(text).is_some() || is_scoped(text)
    } else {
        dotted(text, false).or_else(|| classful(text)).is_some()
    };
    is_address || is_host_name(text)
}

/// Whether `text` is a length of a prefix or a mask.
pub(super) fn is_mask(text: &[u8], family: Family) -> bool {
    mask(text, family).is_some()
}

fn network(piece: &[u8], family: Family) -> Option<Addresses> {
    if piece.len() > PIECE_BYTES_MAX {
        return None;
    }
    let (name, mask) = match piece.iter().rposition(|&byte| byte == b'/') {
        Some(at) => {
            let (name, mask_text) = piece.split_at_checked(at)?;
            (name, mask(mask_text.get(1..)?, family)?)
        }
        None => (piece, u128::MAX),
    };
    // With an empty mask the name is not looked at: `any/0`.
    let numeric = match (mask, family == Family::Ipv6) {
        (0, true) => Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        (0, false) => Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        (_, true) => ipv6(name).map(IpAddr::V6),
        (_, false) => dotted(name, false)
            .or_else(|| classful(name))
            .map(IpAddr::V4),
    };
    match numeric {
        Some(address) => Some(masked(address, mask)),
        None => is_host(name, family).then(|| Addresses::Written(piece.to_vec())),
    }
}

/// A mask as bits from the left; those of IPv4 are the first 32.
fn mask(text: &[u8], family: Family) -> Option<u128> {
    let (full, bits_max) = if family == Family::Ipv6 {
        (ipv6(text).map(u128::from), 128)
    } else {
        (dotted(text, true).map(|mask| widened(mask.to_bits())), 32)
    };
    if full.is_some() {
        return full;
    }
    let bits = u32::try_from(number::whole(text, 0, bits_max)?).ok()?;
    Some(u128::MAX.checked_shl(128 - bits).unwrap_or(0))
}

fn masked(address: IpAddr, mask: u128) -> Addresses {
    let (bits, width) = match address {
        IpAddr::V4(address) => (widened(address.to_bits()), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let address = narrowed(bits & mask, width);
    let ones = mask.leading_ones().min(width);
    let is_prefix = mask.checked_shl(ones).unwrap_or(0) == 0 || ones == width;
    match u8::try_from(ones) {
        Ok(prefix) if is_prefix => Addresses::Network { address, prefix },
        _ => Addresses::Written(format!("{address}/{}", narrowed(mask, width)).into_bytes()),
    }
}

fn widened(bits: u32) -> u128 {
    u128::from(bits) << 96
}

fn narrowed(bits: u128, width: u32) -> IpAddr {
    match u32::try_from(bits >> 96) {
        Ok(high) if width == 32 => IpAddr::V4(Ipv4Addr::from_bits(high)),
        _ => IpAddr::V6(Ipv6Addr::from_bits(bits)),
    }
}

/// An IPv4 address of one to four parts, each in base 0; parts that are missing are zero, unless it is a mask.
fn dotted(text: &[u8], is_mask: bool) -> Option<Ipv4Addr> {
    let text = text.get(..DOTTED_BYTES_MAX).unwrap_or(text);
    let mut octets = [0; 4];
    let mut n_parts = 0;
    for part in text.splitn(4, |&byte| byte == b'.') {
        let value = number::whole(part, 0, u8::MAX.into())?;
        *octets.get_mut(n_parts)? = u8::try_from(value).ok()?;
        n_parts += 1;
    }
    (n_parts == 4 || !is_mask).then(|| Ipv4Addr::from(octets))
}

/// An IPv4 address as `inet_aton(3)` reads it, to which a name falls back: the last part fills what is left,
/// so that `0x7f000001` is one.
fn classful(text: &[u8]) -> Option<Ipv4Addr> {
    let parts: Vec<&[u8]> = text.splitn(4, |&byte| byte == b'.').collect();
    let (last, first) = parts.split_last()?;
    let mut bits: u32 = 0;
    for (index, part) in first.iter().enumerate() {
        let octet = u32::try_from(aton_part(part, u8::MAX.into())?).ok()?;
        bits |= octet << (24 - 8 * index);
    }
    let rest_max = u64::from(u32::MAX) >> (8 * first.len());
    let rest = u32::try_from(aton_part(last, rest_max)?).ok()?;
    Some(Ipv4Addr::from_bits(bits | rest))
}

/// Neither white space nor a sign may lead here.
fn aton_part(text: &[u8], max: u64) -> Option<u64> {
    if !text.first()?.is_ascii_digit() {
        return None;
    }
    let Prefix { value, rest } = number::prefix(text)?;
    (rest.is_empty() && value <= max).then_some(value)
}

fn ipv6(text: &[u8]) -> Option<Ipv6Addr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// An IPv6 address with an interface: `fe80::1%eth0`.
fn is_scoped(text: &[u8]) -> bool {
    let mut parts = text.splitn(2, |&byte| byte == b'%');
    let address = parts.next().and_then(ipv6);
    address.is_some() && parts.next().is_some_and(|scope| !scope.is_empty())
}

/// Whether it could be a name that resolves: letters, digits, `-`, `_` and dots, with something in its last
/// label that is no digit, for all digits would be an address.
fn is_host_name(text: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let name = text.strip_suffix(b".").unwrap_or(text);
    let last = name.rsplit(|&byte| byte == b'.').next();
    name.iter().all(fits)
        && name
            .split(|&byte| byte == b'.')
            .all(|label| !label.is_empty() && label.first() != Some(&b'-'))
        && last.is_some_and(|label| !label.iter().all(u8::is_ascii_digit))
}
