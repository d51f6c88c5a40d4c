//! Names of protocols and ports, as tools other than iptables know them: they ask the host's `/etc/protocols` and
//! `/etc/services`, and Debian's are what is known here.

use super::change::Protocol;
use super::iptables::port_of_service;

const PROTOCOLS: &[(&str, u8)] = &[
    ("icmp", 1),
    ("igmp", 2),
    ("ipencap", 4),
    ("tcp", 6),
    ("udp", 17),
    ("dccp", 33),
    ("ipv6", 41),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmpv6", 58),
    ("ipv6-icmp", 58),
    ("ospf", 89),
    ("pim", 103),
    ("comp", 108),
    ("ipcomp", 108),
    ("vrrp", 112),
    ("l2tp", 115),
    ("sctp", 132),
    ("udplite", 136),
];

pub(super) fn protocol(name: &[u8]) -> Option<Protocol> {
    let found = PROTOCOLS.iter().find(|(known, _)| known.as_bytes() == name);
    found.map(|&(_, number)| Protocol(number))
}

/// The port of that name, for whichever protocol has it first in Debian's `/etc/services`.
pub(super) fn port(name: &[u8]) -> Option<u16> {
    port_of_service(name, None)
}
