//! Names of IP protocols.

use crate::pipeline::firewall::change::Protocol;

use super::number;

/// The names that the programs know by themselves (`xtables_chain_protos`, iptables `libxtables/xtables.c`). The
/// first name of a number is its canonical one.
const BUILT_IN: &[(&str, u8)] = &[
    ("tcp", 6),
    ("sctp", 132),
    ("udp", 17),
    ("udplite", 136),
    ("icmp", 1),
    ("ipv6-icmp", 58),
    ("icmpv6", 58),
    ("esp", 50),
    ("ah", 51),
    ("mobility-header", 135),
    ("ipv6-mh", 135),
    ("mh", 135),
    ("dccp", 33),
    ("ipcomp", 108),
    ("all", 0),
];

/// The other lower-case names in Debian's `/etc/protocols` (package netbase). iptables turns what is written
/// into lower case before it looks there, so that the upper-case aliases are never found.
const SYSTEM: &[(&str, u8)] = &[
    ("ip", 0),
    ("hopopt", 0),
    ("igmp", 2),
    ("ggp", 3),
    ("ipencap", 4),
    ("st", 5),
    ("egp", 8),
    ("igp", 9),
    ("pup", 12),
    ("hmp", 20),
    ("xns-idp", 22),
    ("rdp", 27),
    ("iso-tp4", 29),
    ("xtp", 36),
    ("ddp", 37),
    ("idpr-cmtp", 38),
    ("ipv6", 41),
    ("ipv6-route", 43),
    ("ipv6-frag", 44),
    ("idrp", 45),
    ("rsvp", 46),
    ("gre", 47),
    ("skip", 57),
    ("ipv6-nonxt", 59),
    ("ipv6-opts", 60),
    ("rspf", 73),
    ("vmtp", 81),
    ("eigrp", 88),
    ("ospf", 89),
    ("ax.25", 93),
    ("ipip", 94),
    ("etherip", 97),
    ("encap", 98),
    ("pim", 103),
    ("vrrp", 112),
    ("l2tp", 115),
    ("isis", 124),
    ("fc", 133),
    ("mpls-in-ip", 137),
    ("manet", 138),
    ("hip", 139),
    ("shim6", 140),
    ("wesp", 141),
    ("rohc", 142),
    ("ethernet", 143),
];

/// The protocol that a number or a lower-case name stands for; 0 is any.
pub(super) fn parse(text: &[u8]) -> Option<Protocol> {
    if let Some(number) = number::whole(text, 0, u8::MAX.into()) {
        return u8::try_from(number).ok().map(Protocol);
    }
    let mut names = BUILT_IN.iter().chain(SYSTEM);
    let found = names.find(|(name, _)| name.as_bytes() == text);
    found.map(|&(_, number)| Protocol(number))
}

/// The match extension that `-p` with that text loads when an unknown option follows, by its name (`find_proto`,
/// iptables `xshared.c`). There need not be such an extension.
pub(super) fn extension_name(text: &[u8]) -> Option<&[u8]> {
    if number::whole(text, 0, u8::MAX.into()).is_none() {
        return Some(text);
    }
    let protocol = parse(text)?;
    let mut names = BUILT_IN.iter().chain(SYSTEM);
    let found = names.find(|&&(_, number)| number == protocol.0);
    found.map(|(name, _)| name.as_bytes())
}
