//! What a rule does.

use core::net::IpAddr;
use std::ops::RangeInclusive;

use super::super::compat;
use super::super::element::{address, number};
use super::super::expression::{Expression, Register};
use super::{Held, Reading};
use crate::pipeline::firewall::change::Target;

impl Reading<'_, '_> {
    /// What decides replaces what only marks or logs.
    pub(super) fn act(&mut self, expression: &Expression) {
        if let Some(target) = self.target(expression) {
            let only_notes = matches!(target, Target::Log | Target::Mark);
            if !only_notes || self.target.is_none() {
                self.target = Some(target);
            }
        }
    }

    /// `None`: what is set is not a mark, and decides nothing.
    fn target(&self, expression: &Expression) -> Option<Target> {
        /// `NFT_META_MARK`
        const META_MARK: u32 = 3;
        /// `NFT_CT_MARK`
        const CT_MARK: u32 = 3;
        Some(match expression {
            Expression::SetMeta { key: META_MARK } | Expression::SetCt { key: CT_MARK } => {
                Target::Mark
            }
            Expression::Reject => Target::Reject,
            Expression::Nat {
                is_destination,
                addresses,
                ports,
            } => {
                let to = self.endpoint(*addresses, *ports);
                match is_destination {
                    true => Target::Dnat { to },
                    false => Target::Snat { to },
                }
            }
            Expression::Redirect { ports } => Target::Redirect {
                ports: self.ports(*ports),
            },
            Expression::Masquerade => Target::Masquerade,
            Expression::Tproxy { address, port } => Target::Tproxy {
                to: self.endpoint([*address, None], [*port, None]),
            },
            Expression::Notrack => Target::Notrack,
            Expression::Log => Target::Log,
            Expression::Queue => Target::Queue,
            Expression::Target(extension) => compat::target(extension),
            Expression::SetMeta { .. }
            | Expression::SetCt { .. }
            | Expression::Payload { .. }
            | Expression::Meta { .. }
            | Expression::Ct { .. }
            | Expression::Load { .. }
            | Expression::Immediate { .. }
            | Expression::Bitwise { .. }
            | Expression::Compare { .. }
            | Expression::Range { .. }
            | Expression::Lookup { .. }
            | Expression::Match(_)
            | Expression::Other(_) => return None,
        })
    }

    fn value(&self, register: Option<Register>) -> Option<&Held> {
        self.registers.get(&register?)
    }

    fn number(&self, register: Option<Register>) -> Option<u128> {
        match self.value(register)? {
            Held::Value(bytes) => number(bytes),
            Held::Field { .. } | Held::Mapped(_) => None,
        }
    }

    fn ports(&self, [first, last]: [Option<Register>; 2]) -> Option<RangeInclusive<u16>> {
        // A port stands in the first two bytes of its register.
        let port = |register| match self.value(register)? {
            Held::Value(bytes) => Some(u16::from_be_bytes(*bytes.first_chunk()?)),
            Held::Field { .. } | Held::Mapped(_) => None,
        };
        let first = port(first)?;
        Some(first..=port(last).unwrap_or(first).max(first))
    }

    fn addresses(&self, [first, last]: [Option<Register>; 2]) -> Option<[IpAddr; 2]> {
        let bytes = self.value(first)?.bytes();
        let first = self.number(first)?;
        let last = self.number(last).unwrap_or(first);
        matches!(bytes, 4 | 16).then(|| [address(first, bytes), address(last, bytes)])
    }

    fn endpoint(&self, addresses: [Option<Register>; 2], ports: [Option<Register>; 2]) -> Vec<u8> {
        let map = [addresses, ports]
            .into_iter()
            .flatten()
            .find_map(|register| match self.value(register) {
                Some(Held::Mapped(name)) => Some(name),
                _ => None,
            });
        match map {
            Some(name) => [b"@", name.as_slice()].concat(),
            None => endpoint(self.addresses(addresses), self.ports(ports)),
        }
    }
}

/// As `--to-destination` writes it (`iptables-extensions(8)`): an IPv6 address before a port is in brackets.
pub(in super::super) fn endpoint(
    addresses: Option<[IpAddr; 2]>,
    ports: Option<RangeInclusive<u16>>,
) -> Vec<u8> {
    let mut text = String::new();
    if let Some([first, last]) = addresses {
        let range = match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        };
        text = match first.is_ipv6() && ports.is_some() {
            true => format!("[{range}]"),
            false => range,
        };
    }
    match ports {
        Some(ports) if ports.start() == ports.end() => text += &format!(":{}", ports.start()),
        Some(ports) => text += &format!(":{}-{}", ports.start(), ports.end()),
        None => {}
    }
    text.into_bytes()
}
