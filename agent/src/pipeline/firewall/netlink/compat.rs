//! Matches and targets of x_tables, in a rule of its own tables or inside one of nf_tables: iptables' own
//! structures, in the order of the host. A name with another revision than those here, or of another length, is not taken apart.

use core::net::IpAddr;
use std::ops::RangeInclusive;

use super::attribute::until_nul;
use super::element::{address, number};
use super::expression::Extension;
use super::field::{Subject, Version};
use super::interpret::{Condition, Conditions, Values, endpoint};
use crate::pipeline::firewall::change::Target;

/// Whether the match is understood in full; then it is in `conditions`, or in `comment`.
pub(in crate::pipeline::firewall) fn condition(
    extension: &Extension,
    conditions: &mut Conditions,
    comment: &mut Option<Vec<u8>>,
) -> bool {
    let info = Info(&extension.info);
    let found = match (extension.name.as_slice(), extension.revision) {
        (b"comment", _) => {
            *comment = Some(until_nul(&extension.info));
            return true;
        }
        (b"tcp", 0) => tcp(info),
        (b"udp", 0) => udp(info),
        (b"multiport", 1) => multiport(info),
        (b"state", 0) => state(info),
        (b"conntrack", 1..=3) => conntrack(info, extension.revision),
        (b"iprange", 1) => iprange(info),
        _ => None,
    };
    let is_known = found.is_some();
    for (subject, condition) in found.into_iter().flatten() {
        conditions.add(subject, condition);
    }
    is_known
}

type Found = Vec<(Subject, Condition)>;

/// Reads of a structure that never go beyond it.
#[derive(Clone, Copy)]
struct Info<'a>(&'a [u8]);

impl<'a> Info<'a> {
    fn bytes<const N: usize>(self, offset: usize) -> Option<&'a [u8; N]> {
        self.0.get(offset..)?.first_chunk()
    }

    fn u8(self, offset: usize) -> Option<u8> {
        self.0.get(offset).copied()
    }

    fn u16(self, offset: usize) -> Option<u16> {
        self.bytes(offset).copied().map(u16::from_ne_bytes)
    }

    fn u32(self, offset: usize) -> Option<u32> {
        self.bytes(offset).copied().map(u32::from_ne_bytes)
    }

    /// In the order of the packet.
    fn port(self, offset: usize) -> Option<u16> {
        self.bytes(offset).copied().map(u16::from_be_bytes)
    }

    /// `union nf_inet_addr`, of which IPv4 takes the first four bytes.
    fn address(self, offset: usize, version: Version) -> Option<u128> {
        let bytes = self.bytes::<16>(offset)?;
        number(bytes.get(..version.address_bytes())?)
    }
}

/// `None`: it is empty.
fn range(first: u16, last: u16) -> Option<RangeInclusive<u16>> {
    (first <= last).then_some(first..=last)
}

fn condition_of(values: Vec<RangeInclusive<u16>>, negated: bool) -> Condition {
    let wide = |range: RangeInclusive<u16>| (*range.start()).into()..=(*range.end()).into();
    Condition {
        values: Values::Ranges(values.into_iter().map(wide).collect()),
        negated,
    }
}

/// `struct xt_tcp`, `include/uapi/linux/netfilter/xt_tcpudp.h`. Flags and options of the header are not
/// understood.
fn tcp(info: Info<'_>) -> Option<Found> {
    let [option, mask, inverted] = [8, 9, 11].map(|offset| info.u8(offset));
    (option? == 0 && mask? == 0).then(|| port_ranges(info, inverted?))?
}

/// `struct xt_udp`, the same file.
fn udp(info: Info<'_>) -> Option<Found> {
    port_ranges(info, info.u8(8)?)
}

/// Both begin with the first and last source port and the first and last destination port.
fn port_ranges(info: Info<'_>, inverted: u8) -> Option<Found> {
    let mut found = Vec::new();
    for (subject, offset, bit) in [
        (Subject::SourcePort, 0, 1),
        (Subject::DestinationPort, 4, 2),
    ] {
        let range = range(info.u16(offset)?, info.u16(offset + 2)?)?;
        let negated = inverted & bit != 0;
        if range != (0..=u16::MAX) || negated {
            found.push((subject, condition_of(vec![range], negated)));
        }
    }
    Some(found)
}

/// `struct xt_multiport_v1`, `include/uapi/linux/netfilter/xt_multiport.h`
fn multiport(info: Info<'_>) -> Option<Found> {
    const PORTS: usize = 2;
    const PORTS_MAX: usize = 15;
    const IS_FIRST: usize = PORTS + 2 * PORTS_MAX;
    const INVERTED: usize = IS_FIRST + PORTS_MAX;
    let subject = match info.u8(0)? {
        0 => Subject::SourcePort,
        1 => Subject::DestinationPort,
        2 => Subject::EitherPort,
        _ => return None,
    };
    let count = usize::from(info.u8(1)?).min(PORTS_MAX);
    let mut ranges = Vec::new();
    let mut index = 0;
    while index < count {
        let first = info.u16(PORTS + 2 * index)?;
        let is_range = info.u8(IS_FIRST + index)? != 0 && index + 1 < count;
        index += usize::from(is_range);
        ranges.push(range(first, info.u16(PORTS + 2 * index)?)?);
        index += 1;
    }
    let negated = info.u8(INVERTED)? != 0;
    Some(vec![(subject, condition_of(ranges, negated))])
}

/// Bits of `struct xt_state_info` and of the match `conntrack`; only the last differs.
fn states(mask: u32, untracked: u32, negated: bool) -> Option<Found> {
    let bits = [
        (1, "invalid"),
        (2, "established"),
        (4, "related"),
        (8, "new"),
        (untracked, "untracked"),
    ];
    let known = bits.iter().filter(|(bit, _)| mask & bit != 0);
    let covered: u32 = known.clone().map(|(bit, _)| bit).sum();
    let words = known.map(|(_, word)| word.as_bytes().to_vec()).collect();
    let condition = Condition {
        values: Values::Words(words),
        negated,
    };
    (covered == mask && mask != 0).then(|| vec![(Subject::State, condition)])
}

/// `struct xt_state_info`, `include/uapi/linux/netfilter/xt_state.h`
fn state(info: Info<'_>) -> Option<Found> {
    states(info.u32(0)?, 1 << 6, false)
}

/// `struct xt_conntrack_mtinfo1` to `3`, `include/uapi/linux/netfilter/xt_conntrack.h`: only states are
/// understood.
fn conntrack(info: Info<'_>, revision: u32) -> Option<Found> {
    const MATCH_FLAGS: usize = 146;
    const INVERT_FLAGS: usize = 148;
    const STATE_MASK: usize = 150;
    /// `XT_CONNTRACK_STATE`, with or without `XT_CONNTRACK_STATE_ALIAS`
    const STATE: u16 = 1;
    const ALIAS: u16 = 1 << 13;
    if info.u16(MATCH_FLAGS)? & !ALIAS != STATE {
        return None;
    }
    let mask = match revision {
        1 => info.u8(STATE_MASK)?.into(),
        _ => info.u16(STATE_MASK)?.into(),
    };
    let negated = info.u16(INVERT_FLAGS)? & STATE != 0;
    states(mask, 1 << 8, negated)
}

/// `struct xt_iprange_mtinfo`, `include/uapi/linux/netfilter/xt_iprange.h`: it does not say which version
/// of IP it is for, and IPv4 leaves all but four bytes zero.
fn iprange(info: Info<'_>) -> Option<Found> {
    const FLAGS: usize = 64;
    let flags = info.u8(FLAGS)?;
    let is_v4 = [4, 20, 36, 52]
        .iter()
        .all(|&offset| info.bytes(offset) == Some(&[0; 12]));
    let version = if is_v4 { Version::V4 } else { Version::V6 };
    let mut found = Vec::new();
    for (subject, offset, bit) in [
        (Subject::Source(version), 0, 1),
        (Subject::Destination(version), 32, 2),
    ] {
        if flags & bit != 0 {
            let first = info.address(offset, version)?;
            let last = info.address(offset + 16, version)?;
            let condition = Condition {
                values: Values::Ranges(vec![first..=last.max(first)]),
                negated: flags & (bit << 4) != 0,
            };
            found.push((subject, condition));
        }
    }
    Some(found)
}

/// What a target does; by its name where its structure is not understood.
pub(in crate::pipeline::firewall) fn target(extension: &Extension) -> Target {
    let info = Info(&extension.info);
    match extension.name.as_slice() {
        b"REJECT" => Target::Reject,
        b"LOG" | b"NFLOG" | b"ULOG" => Target::Log,
        b"MARK" | b"CONNMARK" => Target::Mark,
        b"NFQUEUE" | b"QUEUE" => Target::Queue,
        b"MASQUERADE" => Target::Masquerade,
        b"NOTRACK" => Target::Notrack,
        // `XT_CT_NOTRACK`, the first bit of `struct xt_ct_target_info`
        b"CT" if info.u16(0).is_some_and(|flags| flags & 1 != 0) => Target::Notrack,
        b"REDIRECT" => Target::Redirect {
            ports: nat_range(extension).and_then(|range| range.ports),
        },
        b"DNAT" => Target::Dnat {
            to: nat_to(extension),
        },
        b"SNAT" => Target::Snat {
            to: nat_to(extension),
        },
        b"TPROXY" => Target::Tproxy {
            to: tproxy(extension).unwrap_or_default(),
        },
        name => Target::Other(name.to_vec()),
    }
}

struct NatRange {
    addresses: Option<[IpAddr; 2]>,
    ports: Option<RangeInclusive<u16>>,
}

fn nat_to(extension: &Extension) -> Vec<u8> {
    nat_range(extension)
        .map(|range| endpoint(range.addresses, range.ports))
        .unwrap_or_default()
}

/// `struct nf_nat_ipv4_multi_range_compat` (20 bytes, padded to 24) or `struct nf_nat_range` (40) or
/// `struct nf_nat_range2` (42, padded to 44 or 48), `include/uapi/linux/netfilter/nf_nat.h`: the length tells.
fn nat_range(extension: &Extension) -> Option<NatRange> {
    let info = Info(&extension.info);
    match extension.info.len() {
        20..=24 => nat_range_at(info, 4, Version::V4, 4),
        40..=48 => {
            let is_v4 = info.bytes(8) == Some(&[0; 12]);
            let version = if is_v4 { Version::V4 } else { Version::V6 };
            nat_range_at(info, 0, version, 16)
        }
        _ => None,
    }
}

/// Flags, first and last address of so many bytes each, first and last port.
fn nat_range_at(
    info: Info<'_>,
    offset: usize,
    version: Version,
    address_bytes: usize,
) -> Option<NatRange> {
    /// `NF_NAT_RANGE_MAP_IPS`, `NF_NAT_RANGE_PROTO_SPECIFIED`
    const ADDRESSES: u32 = 1;
    const PORTS: u32 = 2;
    let flags = info.u32(offset)?;
    let bytes = version.address_bytes();
    let first = offset + 4;
    let ports = first + 2 * address_bytes;
    let at = |offset: usize| {
        let found = number(info.0.get(offset..offset + bytes)?)?;
        Some(address(found, bytes))
    };
    let addresses = match flags & ADDRESSES {
        0 => None,
        _ => Some([at(first)?, at(first + address_bytes)?]),
    };
    let ports = match flags & PORTS {
        0 => None,
        _ => Some(range(info.port(ports)?, info.port(ports + 2)?)?),
    };
    Some(NatRange { addresses, ports })
}

/// `struct xt_tproxy_target_info_v1`, `include/uapi/linux/netfilter/xt_TPROXY.h`, and the older one, which has
/// only an IPv4 address.
fn tproxy(extension: &Extension) -> Option<Vec<u8>> {
    const ADDRESS: usize = 8;
    let info = Info(&extension.info);
    let (version, port) = match extension.revision {
        0 => (Version::V4, ADDRESS + 4),
        _ if info.bytes(ADDRESS + 4) == Some(&[0; 12]) => (Version::V4, ADDRESS + 16),
        _ => (Version::V6, ADDRESS + 16),
    };
    let bytes = version.address_bytes();
    let found = number(info.0.get(ADDRESS..ADDRESS + bytes)?)?;
    let to = (found != 0).then(|| [address(found, bytes); 2]);
    // No port: the one that the packet has.
    let port = Some(info.port(port)?).filter(|&port| port != 0);
    Some(endpoint(to, port.map(|port| port..=port)))
}
