//! The matches and targets that iptables can load, and the options that each of them adds to the command line.

mod conditions;
mod headers;
mod targets;

use crate::pipeline::firewall::change;

/// For which protocol family an extension is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Any,
    Ipv4,
    Ipv6,
}

/// A match or a target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extension {
    pub(super) name: &'static str,
    family: Family,
    pub(super) options: &'static [ExtensionOption],
    /// Without any of its options it is refused.
    pub(super) needs_option: bool,
}

/// An option of an extension. Synonyms have the same `id`, and all else alike but the name.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExtensionOption {
    pub(super) name: &'static str,
    pub(super) id: u8,
    pub(super) value: Value,
    pub(super) is_negatable: bool,
    pub(super) is_required: bool,
    pub(super) is_repeatable: bool,
    /// Bits of the ids with which it cannot stand together.
    pub(super) excluded: u32,
    /// Bits of the ids that must be there as well.
    pub(super) needed: u32,
}

/// What the value of an option must look like. Where iptables knows more than is said here, what it would refuse
/// is let through: a change too many is told, never one too few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Flag,
    Text,
    NonEmpty,
    /// One of these or the beginning of one, in any case.
    OneOf(&'static [&'static str]),
    /// From, to, inclusive; in base 0.
    Number(u64, u64),
    /// One or two numbers with a colon, none above the bound. Programs before 1.8.10 took them in any order.
    Numbers(u64),
    /// A floating-point number.
    Fraction,
    /// A number, or two with a slash.
    Mark,
    Mac,
    /// A port or a range with a colon, by `getservbyname(3)`.
    ServicePorts,
    /// The same, by `getaddrinfo(3)`.
    Ports,
    Port,
    /// Ports and ranges by comma.
    PortList,
    /// A port or a range with a dash.
    NatPorts,
    /// An address or a range of them, ports, or both.
    NatTo,
    Host,
    HostMask,
    PrefixLength,
    Protocol,
    /// Two addresses with a dash, or one.
    AddressRange,
    AddressTypes,
    /// Connection states by comma; each can be cut short.
    States,
    LogLevel,
    Rate,
    Tos,
    /// The name of a set, and a second argument with directions.
    SetName,
    /// Flags to look at, and a second argument with those that are set.
    TcpFlags,
    /// Any argument, and a second one.
    Pair,
    /// No value, but an argument may follow.
    FlagAndRate,
}

impl Value {
    /// Whether there is no value, attached or as the next argument.
    pub(super) fn is_flag(self) -> bool {
        matches!(self, Self::Flag | Self::FlagAndRate)
    }

    /// Whether a second argument follows, which cannot be attached.
    pub(super) fn takes_two(self) -> bool {
        matches!(self, Self::SetName | Self::TcpFlags | Self::Pair)
    }
}

/// The match of that name (`xtables_find_match`, iptables `libxtables/xtables.c`).
pub(super) fn find_match(name: &[u8], family: change::Family) -> Option<&'static Extension> {
    let name: &[u8] = match name {
        b"icmpv6" | b"ipv6-icmp" => b"icmp6",
        b"ipv6-mh" | b"mobility-header" => b"mh",
        other => other,
    };
    find(headers::HEADERS, name, family).or_else(|| find(conditions::CONDITIONS, name, family))
}

/// The target of that name; the verdicts and the chains of users are none.
pub(super) fn find_target(name: &[u8], family: change::Family) -> Option<&'static Extension> {
    find(targets::TARGETS, name, family)
}

fn find(
    extensions: &'static [Extension],
    name: &[u8],
    family: change::Family,
) -> Option<&'static Extension> {
    extensions.iter().find(|extension| {
        let fits = match extension.family {
            Family::Any => true,
            Family::Ipv4 => family == change::Family::Ipv4,
            Family::Ipv6 => family == change::Family::Ipv6,
        };
        fits && extension.name.as_bytes() == name
    })
}

const fn extension(
    name: &'static str,
    family: Family,
    options: &'static [ExtensionOption],
) -> Extension {
    Extension {
        name,
        family,
        options,
        needs_option: false,
    }
}

impl Extension {
    const fn with_option(mut self) -> Self {
        self.needs_option = true;
        self
    }
}

const fn option(name: &'static str, id: u8, value: Value) -> ExtensionOption {
    ExtensionOption {
        name,
        id,
        value,
        is_negatable: false,
        is_required: false,
        is_repeatable: false,
        excluded: 0,
        needed: 0,
    }
}

impl ExtensionOption {
    const fn negatable(mut self) -> Self {
        self.is_negatable = true;
        self
    }

    const fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    const fn repeatable(mut self) -> Self {
        self.is_repeatable = true;
        self
    }

    const fn excludes(mut self, ids: u32) -> Self {
        self.excluded = ids;
        self
    }

    const fn needs(mut self, ids: u32) -> Self {
        self.needed = ids;
        self
    }

    /// The bit of its id.
    pub(super) fn bit(&self) -> u32 {
        1u32.checked_shl(self.id.into()).unwrap_or(0)
    }
}
