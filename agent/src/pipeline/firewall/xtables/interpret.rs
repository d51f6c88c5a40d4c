//! What a rule asks for and does, in the words of a change.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::blob::u16_at;
use super::chain::{Action, Entry};
use crate::pipeline::firewall::change::{Addresses, Backend, Family, Negatable, Rule};
use crate::pipeline::firewall::netlink::field::{Subject, Version};
use crate::pipeline::firewall::netlink::interpret::{Condition, Conditions, Values};
use crate::pipeline::firewall::netlink::{compat, element};

/// `IFNAMSIZ`, `include/uapi/linux/if.h`
const INTERFACE_BYTES: usize = 16;

/// Bits of `invflags`, the same for both versions of IP (`IPT_INV_*`, `IP6T_INV_*`).
const NOT_IN: u8 = 0x01;
const NOT_OUT: u8 = 0x02;
const NOT_TOS: u8 = 0x04;
const NOT_SOURCE: u8 = 0x08;
const NOT_DESTINATION: u8 = 0x10;
const NOT_FRAGMENT: u8 = 0x20;
const NOT_PROTOCOL: u8 = 0x40;

/// The rule; what is not understood is named in it.
pub(super) fn interpret(family: Family, entry: &Entry) -> Rule {
    let header = Header::of(family, &entry.header);
    let mut conditions = Conditions::new(Backend::XtablesLegacy);
    let mut written = Written::default();
    header.addresses(&mut conditions, &mut written);
    header.interfaces(&mut conditions);
    header.protocol(&mut conditions);
    let mut comment = None;
    for found in &entry.matches {
        if !compat::condition(found, &mut conditions, &mut comment) {
            conditions.other(found.name.clone());
        }
    }
    let mut rule = conditions.into_rule();
    rule.sources = rule.sources.or(written.sources);
    rule.destinations = rule.destinations.or(written.destinations);
    rule.comment = comment;
    rule.target = match &entry.action {
        Action::Verdict(verdict) => element::target(verdict),
        Action::Target(target) => Some(compat::target(target)),
    };
    rule
}

type Networks = Option<Negatable<Vec<Addresses>>>;

/// By masks whose ones are not contiguous.
#[derive(Default)]
struct Written {
    sources: Networks,
    destinations: Networks,
}

/// `struct ipt_ip` (`include/uapi/linux/netfilter_ipv4/ip_tables.h`) or `struct ip6t_ip6`
/// (`include/uapi/linux/netfilter_ipv6/ip6_tables.h`). What would be beyond its end is 0.
struct Header<'a> {
    bytes: &'a [u8],
    version: Version,
    /// Of the two addresses; their masks, the interfaces and theirs, and the protocol follow.
    address_bytes: usize,
    flags: u8,
    inverted: u8,
    /// Of IPv6; IPv4 has it in a match.
    tos: Option<u8>,
    asks_for_protocol: bool,
    asks_for_fragment: bool,
}

impl<'a> Header<'a> {
    fn of(family: Family, bytes: &'a [u8]) -> Self {
        let at = |offset: usize| bytes.get(offset).copied().unwrap_or_default();
        if family == Family::Ipv6 {
            /// `IP6T_F_PROTO`, `IP6T_F_TOS`
            const PROTOCOL: u8 = 1;
            const TOS: u8 = 2;
            let flags = at(131);
            return Self {
                bytes,
                version: Version::V6,
                address_bytes: 16,
                flags,
                inverted: at(132),
                tos: (flags & TOS != 0).then(|| at(130)),
                asks_for_protocol: flags & PROTOCOL != 0,
                asks_for_fragment: false,
            };
        }
        /// `IPT_F_FRAG`
        const FRAGMENT: u8 = 1;
        let flags = at(82);
        Self {
            bytes,
            version: Version::V4,
            address_bytes: 4,
            flags,
            inverted: at(83),
            tos: None,
            asks_for_protocol: true,
            asks_for_fragment: flags & FRAGMENT != 0,
        }
    }

    fn is_not(&self, bit: u8) -> bool {
        self.inverted & bit != 0
    }

    fn slice(&self, offset: usize, bytes: usize) -> &'a [u8] {
        let slice = self.bytes.get(offset..offset + bytes);
        slice.unwrap_or_default()
    }

    fn number(&self, offset: usize) -> u128 {
        let bytes = self.slice(offset, self.address_bytes);
        bytes
            .iter()
            .fold(0, |number, &byte| number << 8 | u128::from(byte))
    }

    fn addresses(&self, conditions: &mut Conditions, written: &mut Written) {
        let version = self.version;
        for (place, subject, bit, into) in [
            (
                0,
                Subject::Source(version),
                NOT_SOURCE,
                &mut written.sources,
            ),
            (
                1,
                Subject::Destination(version),
                NOT_DESTINATION,
                &mut written.destinations,
            ),
        ] {
            let negated = self.is_not(bit);
            let number = self.number(place * self.address_bytes);
            let mask = self.number((2 + place) * self.address_bytes);
            if mask == 0 && !negated {
                continue;
            }
            match self.range(number, mask) {
                Some(range) => conditions.add(
                    subject,
                    Condition {
                        values: Values::Ranges(vec![range]),
                        negated,
                    },
                ),
                None => {
                    let value = vec![Addresses::Written(self.written(number, mask))];
                    *into = Some(Negatable { value, negated });
                }
            }
        }
    }

    /// `None`: the ones of the mask are not contiguous.
    fn range(&self, number: u128, mask: u128) -> Option<std::ops::RangeInclusive<u128>> {
        let all = u128::MAX >> (128 - 8 * self.address_bytes);
        let host = !mask & all;
        let is_network = host & host.wrapping_add(1) == 0;
        is_network.then_some(number & mask..=(number & mask | host))
    }

    /// Address and mask, as `iptables-save` writes them.
    fn written(&self, number: u128, mask: u128) -> Vec<u8> {
        let address = |number: u128| match (self.version, u32::try_from(number)) {
            (Version::V4, Ok(number)) => IpAddr::from(Ipv4Addr::from_bits(number)),
            (Version::V4 | Version::V6, _) => IpAddr::from(Ipv6Addr::from_bits(number)),
        };
        format!("{}/{}", address(number & mask), address(mask)).into_bytes()
    }

    fn interfaces(&self, conditions: &mut Conditions) {
        let names = 4 * self.address_bytes;
        for (place, subject, bit) in [
            (0, Subject::InInterface, NOT_IN),
            (1, Subject::OutInterface, NOT_OUT),
        ] {
            let name = self.slice(names + place * INTERFACE_BYTES, INTERFACE_BYTES);
            let mask = self.slice(names + (2 + place) * INTERFACE_BYTES, INTERFACE_BYTES);
            if let Some(word) = interface(name, mask) {
                let condition = Condition {
                    values: Values::Words(vec![word]),
                    negated: self.is_not(bit),
                };
                conditions.add(subject, condition);
            }
        }
    }

    fn protocol(&self, conditions: &mut Conditions) {
        let offset = 4 * self.address_bytes + 4 * INTERFACE_BYTES;
        let number = u16_at(self.bytes, offset).unwrap_or_default();
        if self.asks_for_protocol && number != 0 {
            let number = u128::try_from(number).unwrap_or_default();
            let condition = Condition {
                values: Values::Ranges(vec![number..=number]),
                negated: self.is_not(NOT_PROTOCOL),
            };
            conditions.add(Subject::Protocol, condition);
        }
        for (asks, bit, name) in [
            (self.asks_for_fragment, NOT_FRAGMENT, "fragment"),
            (self.tos.is_some(), NOT_TOS, "tos"),
        ] {
            if asks {
                let not = if self.is_not(bit) { "not " } else { "" };
                conditions.other(format!("{not}{name}").into_bytes());
            }
        }
        let unknown = self.flags & !0x07;
        if unknown != 0 {
            conditions.other(format!("flags {unknown:#04x}").into_bytes());
        }
    }
}

/// A name whose NUL is not compared stands for all that begin so. `None`: any.
fn interface(name: &[u8], mask: &[u8]) -> Option<Vec<u8>> {
    let compared = mask.iter().take_while(|&&byte| byte != 0).count();
    let name = name.get(..compared).filter(|name| !name.is_empty())?;
    let mut word = crate::pipeline::firewall::netlink::attribute::until_nul(name);
    if word.len() == compared && compared < INTERFACE_BYTES {
        word.push(b'+');
    }
    Some(word)
}
