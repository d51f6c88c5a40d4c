//! Whether the value of an extension's option is one that iptables takes.

use crate::pipeline::firewall::change::{Family, Protocol};

use super::extension::Value;
use super::{address, number, ports, protocol, services, states};

/// Longest name of a set with its end, in bytes (`IPSET_MAXNAMELEN`,
/// `include/uapi/linux/netfilter/ipset/ip_set.h`).
const SET_NAME_BYTES: usize = 32;

/// Directions of a set's dimensions (`IPSET_DIM_MAX`, the same file).
const SET_DIMENSIONS_MAX: usize = 6;

/// Names of `extensions/libxt_tcp.c`.
const TCP_FLAGS: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ALL", "NONE"];

/// Names of `extensions/libxt_addrtype.c`.
const ADDRESS_TYPES: [&str; 12] = [
    "UNSPEC",
    "UNICAST",
    "LOCAL",
    "BROADCAST",
    "ANYCAST",
    "MULTICAST",
    "BLACKHOLE",
    "UNREACHABLE",
    "PROHIBIT",
    "THROW",
    "NAT",
    "XRESOLVE",
];

/// Names of `libxtables/xtoptions.c`.
const LOG_LEVELS: [&str; 9] = [
    "alert", "crit", "debug", "emerg", "error", "info", "notice", "panic", "warning",
];

/// Names of `libxtables/xtoptions.c`.
const TOS_NAMES: [&str; 5] = [
    "Minimize-Delay",
    "Maximize-Throughput",
    "Maximize-Reliability",
    "Minimize-Cost",
    "Normal-Service",
];

const RATE_UNITS: [&str; 4] = ["second", "minute", "hour", "day"];

/// What the rest of the command line has said by then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    pub(super) family: Family,
    /// Of `-p`, when it is not negated.
    pub(super) protocol: Option<Protocol>,
}

/// Whether `text`, with `second` behind it where the value takes two arguments, is fit to be `value`.
pub(super) fn is_valid(value: Value, text: &[u8], second: &[u8], context: Context) -> bool {
    match value {
        Value::Flag | Value::FlagAndRate | Value::Text | Value::Pair => true,
        Value::NonEmpty => !text.is_empty(),
        Value::OneOf(names) => begins_one(text, names),
        Value::Number(min, max) => number::whole(text, min, max).is_some(),
        Value::Numbers(max) => is_numbers(text, max),
        Value::Fraction => is_fraction(text),
        Value::Mark => is_mark(text),
        Value::Mac => is_mac(text),
        Value::ServicePorts => ports::range(text, service_protocol(context)).is_some(),
        Value::Ports => ports::resolved_range(text).is_some(),
        Value::Port => services::resolved(text).is_some(),
        Value::PortList => context
            .protocol
            .is_some_and(|protocol| ports::list(text, protocol).is_some()),
        Value::NatPorts => has_ports(context) && ports::nat_range(text).is_some(),
        Value::NatTo => is_nat_to(text, context),
        Value::Host => address::is_host(text, context.family),
        Value::HostMask => is_host_mask(text, context.family),
        Value::PrefixLength => address::is_mask(text, context.family),
        Value::Protocol => protocol::parse(&text.to_ascii_lowercase()).is_some(),
        Value::AddressRange => is_address_range(text, context.family),
        Value::AddressTypes => all_begin_one(text, &ADDRESS_TYPES),
        Value::States => states::parse(text).is_some(),
        Value::LogLevel => number::whole(text, 0, 7).is_some() || is_one(text, &LOG_LEVELS),
        Value::Rate => is_rate(text),
        Value::Tos => is_tos(text),
        Value::SetName => is_set(text, second),
        Value::TcpFlags => is_tcp_flags(text) && is_tcp_flags(second),
    }
}

/// The protocol whose services a port may be named by: the match `sctp` has its own.
pub(super) fn service_protocol(context: Context) -> &'static str {
    match context.protocol {
        Some(Protocol::SCTP) => "sctp",
        _ => "tcp",
    }
}

/// Whether NAT targets take ports by what `-p` says (iptables `extensions/libxt_NAT.c`).
fn has_ports(context: Context) -> bool {
    match context.protocol {
        Some(protocol) => {
            protocol == Protocol::ICMP || ports::multiport_protocol(protocol).is_some()
        }
        None => false,
    }
}

fn is_numbers(text: &[u8], max: u64) -> bool {
    let is_number = |part: &[u8]| part.is_empty() || number::whole(part, 0, max).is_some();
    let mut parts = text.split(|&byte| byte == b':');
    parts.clone().count() <= 2 && parts.all(is_number)
}

fn is_fraction(text: &[u8]) -> bool {
    let value = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.trim_start().parse::<f64>().ok());
    value.is_some_and(|value| (0.0..=1.0).contains(&value))
}

/// `value[/mask]`, each of 32 bits (`xtables_parse_mark_mask`, iptables `libxtables/xtables.c`).
fn is_mark(text: &[u8]) -> bool {
    let mut parts = text.splitn(2, |&byte| byte == b'/');
    parts.all(|part| number::whole(part, 0, u32::MAX.into()).is_some())
}

fn is_mac(text: &[u8]) -> bool {
    let octets: Vec<&[u8]> = text.split(|&byte| byte == b':').collect();
    let is_octet = |octet: &&[u8]| octet.len() <= 2 && octet.iter().all(u8::is_ascii_hexdigit);
    octets.len() == 6 && octets.iter().all(is_octet)
}

/// `[address[-address]][:ports]`, an IPv6 address in brackets when ports follow (`parse_to`, iptables
/// `extensions/libxt_NAT.c`).
fn is_nat_to(text: &[u8], context: Context) -> bool {
    let (addresses, ports) = split_nat_to(text);
    let ports_fit =
        ports.is_none_or(|ports| has_ports(context) && ports::nat_range(ports).is_some());
    let is_address = |text: &[u8]| {
        if context.family == Family::Ipv6 {
            address::single(text, Family::Ipv6).is_some()
        } else {
            is_plain_ipv4(text)
        }
    };
    let mut sides = addresses.splitn(2, |&byte| byte == b'-');
    let addresses_fit = (addresses.is_empty() && ports.is_some()) || sides.all(is_address);
    ports_fit && addresses_fit
}

/// The addresses, and the ports behind them.
pub(super) fn split_nat_to(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    if let Some(inner) = text.strip_prefix(b"[") {
        let mut parts = inner.splitn(2, |&byte| byte == b']');
        let addresses = parts.next().unwrap_or_default();
        let ports = parts.next().and_then(|rest| rest.strip_prefix(b":"));
        return (addresses, ports);
    }
    let mut parts = text.split(|&byte| byte == b':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(addresses), Some(ports), None) => (addresses, Some(ports)),
        _ => (text, None),
    }
}

/// As `inet_pton(3)` takes it.
fn is_plain_ipv4(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<core::net::Ipv4Addr>().is_ok())
}

fn is_host_mask(text: &[u8], family: Family) -> bool {
    let mut parts = text.splitn(2, |&byte| byte == b'/');
    let host = parts.next().unwrap_or_default();
    let mask = parts.next();
    address::is_host(host, family) && mask.is_none_or(|mask| address::is_mask(mask, family))
}

fn is_address_range(text: &[u8], family: Family) -> bool {
    text.splitn(2, |&byte| byte == b'-')
        .all(|side| address::single(side, family).is_some())
}

/// A number that is not 0, with a unit that can be cut short. What stands between them is not looked at
/// (`parse_rate`, iptables `extensions/libxt_limit.c`).
fn is_rate(text: &[u8]) -> bool {
    /// More would be a limit that never bites (`XT_LIMIT_SCALE`,
    /// `include/uapi/linux/netfilter/xt_limit.h`).
    const SCALE: u64 = 10_000;
    let mut parts = text.splitn(2, |&byte| byte == b'/');
    let count = parts.next().and_then(number::decimal_prefix);
    let seconds = match parts.next() {
        None => Some(1),
        Some(unit) => RATE_UNITS
            .iter()
            .position(|name| begins(unit, name))
            .and_then(|at| RATE_SECONDS.get(at).copied()),
    };
    let (Some(count), Some(seconds)) = (count, seconds) else {
        return false;
    };
    (1..=SCALE * seconds).contains(&count.value)
}

/// Of [`RATE_UNITS`], in seconds.
const RATE_SECONDS: [u64; 4] = [1, 60, 3_600, 86_400];

fn is_tos(text: &[u8]) -> bool {
    let mut parts = text.splitn(2, |&byte| byte == b'/');
    let is_number = parts.all(|part| number::whole(part, 0, u8::MAX.into()).is_some());
    is_number || is_one(text, &TOS_NAMES)
}

fn is_set(name: &[u8], directions: &[u8]) -> bool {
    let mut n_directions = 0;
    let directions_fit = directions.split(|&byte| byte == b',').all(|direction| {
        n_directions += 1;
        direction.starts_with(b"src") || direction.starts_with(b"dst")
    });
    name.len() < SET_NAME_BYTES && directions_fit && n_directions <= SET_DIMENSIONS_MAX
}

fn is_tcp_flags(text: &[u8]) -> bool {
    text.split(|&byte| byte == b',')
        .filter(|flag| !flag.is_empty())
        .all(|flag| is_one(flag, &TCP_FLAGS))
}

fn is_one(text: &[u8], names: &[&str]) -> bool {
    names
        .iter()
        .any(|name| name.as_bytes().eq_ignore_ascii_case(text))
}

fn all_begin_one(text: &[u8], names: &[&str]) -> bool {
    text.split(|&byte| byte == b',')
        .all(|part| begins_one(part, names))
}

fn begins_one(text: &[u8], names: &[&str]) -> bool {
    names.iter().any(|name| begins(text, name))
}

/// Whether `text` is `name`, or the beginning of it, in any case; nothing begins nothing.
pub(super) fn begins(text: &[u8], name: &str) -> bool {
    let head = name.as_bytes().get(..text.len());
    !text.is_empty() && head.is_some_and(|head| head.eq_ignore_ascii_case(text))
}
