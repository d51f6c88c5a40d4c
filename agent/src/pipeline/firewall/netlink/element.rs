//! The elements of a set as ranges of keys, and in the words of a change.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use super::expression::{Data, Verdict};
use super::record::{ElementRecord, Set};
use crate::pipeline::firewall::change::{Addresses, Element, Target};

/// Types of keys (`enum datatypes`, nftables `include/datatype.h`) that are understood.
const TYPE_IPV4: u32 = 7;
const TYPE_IPV6: u32 = 8;
const TYPE_PROTOCOL: u32 = 12;
const TYPE_SERVICE: u32 = 13;
const TYPE_INTERFACE: u32 = 41;

/// Bits of a part's type in the type of a concatenation (`TYPE_BITS`, the same file).
const TYPE_BITS: u32 = 6;

/// An element or a whole interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span<'a> {
    pub(super) first: &'a [u8],
    /// The last key of it; `None`: up to the highest.
    pub(super) last: Last<'a>,
    pub(super) record: &'a ElementRecord,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Last<'a> {
    Included(&'a [u8]),
    Before(&'a [u8]),
    Highest,
}

/// The intervals of a set. The kernel has its ends as elements of their own, in any order.
pub(super) fn spans<'a>(
    set: &Set,
    records: impl IntoIterator<Item = &'a ElementRecord>,
) -> Vec<Span<'a>> {
    let mut ends: Vec<&ElementRecord> = records.into_iter().collect();
    // At one key, an end comes before the beginning of the next interval.
    ends.sort_by(|a, b| (&a.key, !a.interval_end).cmp(&(&b.key, !b.interval_end)));
    let mut spans = Vec::new();
    for (index, record) in ends.iter().enumerate() {
        if record.interval_end {
            continue;
        }
        let next = ends.get(index + 1);
        let last = match (&record.key_end, next) {
            (Some(end), _) => Last::Included(end),
            (None, Some(next)) if set.is_interval() && next.interval_end => Last::Before(&next.key),
            (None, None) if set.is_interval() && !record.catchall => Last::Highest,
            _ => Last::Included(&record.key),
        };
        spans.push(Span {
            first: &record.key,
            last,
            record,
        });
    }
    spans
}

impl Span<'_> {
    /// The range as numbers, of the part of the key that begins at `skip` and has `bytes`; at most 16.
    pub(super) fn numbers(&self, skip: usize, bytes: usize) -> Option<RangeInclusive<u128>> {
        let part = |key: &[u8]| number(key.get(skip..skip.checked_add(bytes)?)?);
        let first = part(self.first)?;
        let last = match self.last {
            Last::Included(key) => part(key)?,
            Last::Before(key) => part(key)?.checked_sub(1)?,
            Last::Highest => highest(bytes),
        };
        Some(first..=last.max(first))
    }
}

/// Big-endian; `None` when it has more than 16 bytes.
pub(super) fn number(bytes: &[u8]) -> Option<u128> {
    let missing = 16_usize.checked_sub(bytes.len())?;
    let mut whole = [0; 16];
    whole.get_mut(missing..)?.copy_from_slice(bytes);
    Some(u128::from_be_bytes(whole))
}

/// The highest number of so many bytes.
pub(super) fn highest(bytes: usize) -> u128 {
    let bits = u32::try_from(bytes.saturating_mul(8)).unwrap_or(u32::MAX);
    match bits {
        0 => 0,
        _ => u128::MAX
            .checked_shr(128_u32.saturating_sub(bits))
            .unwrap_or(0),
    }
}

/// Addresses of `bytes` (4, or 16) from one to another; a network where they are one.
pub(super) fn addresses(range: &RangeInclusive<u128>, bytes: usize) -> Addresses {
    let (first, last) = (*range.start(), *range.end());
    let differing = first ^ last;
    let host_bits = 128 - differing.leading_zeros();
    let is_network = differing
        == u128::MAX
            .checked_shr(differing.leading_zeros())
            .unwrap_or(0)
        && first & differing == 0;
    if !is_network {
        return Addresses::Range {
            first: address(first, bytes),
            last: address(last, bytes),
        };
    }
    let bits = if bytes == 4 { 32 } else { 128_u32 };
    Addresses::Network {
        address: address(first, bytes),
        prefix: u8::try_from(bits.saturating_sub(host_bits)).unwrap_or(0),
    }
}

pub(super) fn address(number: u128, bytes: usize) -> IpAddr {
    match (bytes, u32::try_from(number)) {
        (4, Ok(number)) => Ipv4Addr::from_bits(number).into(),
        _ => Ipv6Addr::from_bits(number).into(),
    }
}

/// Ports of a range of numbers; none when they are no ports.
pub(super) fn ports(range: &RangeInclusive<u128>) -> Option<RangeInclusive<u16>> {
    let first = u16::try_from(*range.start()).ok()?;
    Some(first..=u16::try_from(*range.end()).ok()?)
}

/// The elements in the words of a change.
pub(super) fn describe<'a>(
    set: &Set,
    records: impl IntoIterator<Item = &'a ElementRecord>,
) -> Vec<Element> {
    let types = key_types(set.key_type);
    spans(set, records)
        .iter()
        .map(|span| describe_one(&types, span))
        .collect()
}

fn describe_one(types: &[u32], span: &Span<'_>) -> Element {
    let mut element = Element {
        verdict: span.record.data.as_ref().and_then(verdict),
        ..Element::default()
    };
    if span.record.catchall {
        element.key = b"*".to_vec();
        return element;
    }
    let mut skip = 0;
    let mut words = Vec::new();
    for &kind in types {
        let Some((bytes, word)) = describe_part(&mut element, span, kind, skip) else {
            words.clear();
            break;
        };
        words.push(word);
        skip += bytes;
    }
    element.key = match words.is_empty() {
        true => hexadecimal(span.first),
        false => words.join(" . ").into_bytes(),
    };
    element
}

/// Takes one part of a key into the element: its bytes in the key, and how it is written.
fn describe_part(
    element: &mut Element,
    span: &Span<'_>,
    kind: u32,
    skip: usize,
) -> Option<(usize, String)> {
    let bytes = match kind {
        TYPE_IPV4 => 4,
        TYPE_IPV6 => 16,
        TYPE_SERVICE => 2,
        TYPE_PROTOCOL => 1,
        TYPE_INTERFACE => {
            let name = span.first.get(skip..skip + 16)?;
            let name = super::attribute::until_nul(name);
            return Some((16, String::from_utf8_lossy(&name).into_owned()));
        }
        _ => return None,
    };
    let range = span.numbers(skip, bytes)?;
    let word = match kind {
        TYPE_SERVICE => {
            element.ports.push(ports(&range)?);
            written(range.start(), range.end())
        }
        TYPE_PROTOCOL => written(range.start(), range.end()),
        _ => {
            element.addresses.push(addresses(&range, bytes));
            written(address(*range.start(), bytes), address(*range.end(), bytes))
        }
    };
    // Each part of a concatenation is padded to a register.
    Some((bytes.next_multiple_of(4), word))
}

fn written<T: PartialEq + std::fmt::Display>(first: T, last: T) -> String {
    if first == last {
        return first.to_string();
    }
    format!("{first}-{last}")
}

/// The parts of a type, the first first.
fn key_types(mut kind: u32) -> Vec<u32> {
    let mut types = Vec::new();
    while kind != 0 {
        types.push(kind & ((1 << TYPE_BITS) - 1));
        kind >>= TYPE_BITS;
    }
    types.reverse();
    types
}

fn verdict(data: &Data) -> Option<Target> {
    match data {
        Data::Verdict(verdict) => target(verdict),
        Data::Value(_) => None,
    }
}

/// `None`: the next rule is asked.
pub(in crate::pipeline::firewall) fn target(verdict: &Verdict) -> Option<Target> {
    Some(match verdict {
        Verdict::Accept => Target::Accept,
        Verdict::Drop => Target::Drop,
        Verdict::Queue => Target::Queue,
        Verdict::Return => Target::Return,
        Verdict::Jump(chain) => Target::Jump(chain.clone()),
        Verdict::Goto(chain) => Target::Goto(chain.clone()),
        Verdict::Other(code) => Target::Other(format!("verdict {code}").into_bytes()),
        Verdict::Continue => return None,
    })
}

fn hexadecimal(bytes: &[u8]) -> Vec<u8> {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.into_bytes()
}
