//! Names of ports.

use super::number::{self, Prefix};

/// Lines of `port protocols names`, with a `/` between protocols and a space between names.
const SERVICES: &str = include_str!("services.txt");

/// The protocols that `getaddrinfo(3)` goes through when none is given (glibc `nss/getaddrinfo.c`).
const SEARCHED: [&str; 5] = ["tcp", "udp", "dccp", "udplite", "sctp"];

/// The port of that name for that protocol, or for the first one that has it when `protocol` is `None`, as
/// `getservbyname(3)` gives it on Debian.
pub(in crate::pipeline::firewall) fn port(name: &[u8], protocol: Option<&str>) -> Option<u16> {
    SERVICES
        .lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let mut words = line.split(' ');
            let port = words.next()?.parse().ok()?;
            let protocols = words.next()?;
            let fits =
                protocol.is_none_or(|protocol| protocols.split('/').any(|other| other == protocol));
            (fits && words.any(|other| other.as_bytes() == name)).then_some(port)
        })
}

/// A port by number, in base 0, or by name (`xtables_parse_port`, iptables `libxtables/xtables.c`).
pub(super) fn number_or_name(text: &[u8], protocol: &str) -> Option<u16> {
    match number::whole(text, 0, u16::MAX.into()) {
        Some(number) => u16::try_from(number).ok(),
        None => port(text, Some(protocol)),
    }
}

/// A port as `getaddrinfo(3)` resolves it, which the matches `udp` and `dccp` use: numbers are decimal, whatever
/// zeros lead them, and are cut to 16 bits; one that is negative when it is cut to 32 is taken for a name
/// (glibc `nss/getaddrinfo.c`, `struct gaih_service`).
pub(super) fn resolved(text: &[u8]) -> Option<u16> {
    if let Some(Prefix { value, rest: b"" }) = number::decimal_prefix(text) {
        return cut(value);
    }
    let mut protocols = SEARCHED.iter();
    protocols.find_map(|protocol| port(text, Some(protocol)))
}

/// No service has a number for its name.
fn cut(value: u64) -> Option<u16> {
    let [first, second, _, fourth, ..] = value.to_le_bytes();
    let is_negative = fourth & 0x80 != 0;
    (!is_negative).then(|| u16::from_le_bytes([first, second]))
}
