//! Matches of what stands in the headers of a packet (`iptables-extensions(8)`), with the tables of
//! `extensions/` of iptables 1.8.11.

use super::Family::{Any, Ipv4, Ipv6};
use super::Value::*;
use super::{Extension, ExtensionOption, extension, option};

const U8_MAX: u64 = u8::MAX as u64;
const U16_MAX: u64 = u16::MAX as u64;
const U32_MAX: u64 = u32::MAX as u64;

pub(super) const HEADERS: &[Extension] = &[
    extension("ah", Ipv4, AH_IPV4),
    extension("ah", Ipv6, AH_IPV6),
    extension("dccp", Any, DCCP),
    extension("dscp", Any, DSCP).with_option(),
    extension("dst", Ipv6, DST_IPV6),
    extension("ecn", Any, ECN).with_option(),
    extension("esp", Any, ESP),
    extension("frag", Ipv6, FRAG_IPV6),
    extension("hbh", Ipv6, HBH_IPV6),
    extension("hl", Ipv6, HL_IPV6).with_option(),
    extension("icmp", Ipv4, ICMP_IPV4),
    extension("icmp6", Ipv6, ICMP6_IPV6),
    extension("ipcomp", Any, IPCOMP),
    extension("ipv6header", Ipv6, IPV6HEADER_IPV6),
    extension("length", Any, LENGTH),
    extension("mh", Ipv6, MH_IPV6),
    extension("multiport", Any, MULTIPORT).with_option(),
    extension("rt", Ipv6, RT_IPV6),
    extension("sctp", Any, SCTP),
    extension("srh", Ipv6, SRH_IPV6),
    extension("tcp", Any, TCP),
    extension("tcpmss", Any, TCPMSS),
    extension("tos", Any, TOS),
    extension("ttl", Ipv4, TTL_IPV4).with_option(),
    extension("udp", Any, UDP),
];

const AH_IPV4: &[ExtensionOption] = &[option("ahspi", 0, Numbers(U32_MAX)).negatable()];

const AH_IPV6: &[ExtensionOption] = &[
    option("ahspi", 0, Numbers(U32_MAX)).negatable(),
    option("ahlen", 1, Number(0, U32_MAX)).negatable(),
    option("ahres", 2, Flag),
];

const DCCP: &[ExtensionOption] = &[
    option("source-port", 0, Ports).negatable(),
    option("sport", 0, Ports).negatable(),
    option("destination-port", 1, Ports).negatable(),
    option("dport", 1, Ports).negatable(),
    option("dccp-types", 2, Text).negatable(),
    option("dccp-option", 3, Number(1, 255)).negatable(),
];

const DSCP: &[ExtensionOption] = &[
    option("dscp", 0, Number(0, 63)).negatable().excludes(0b10),
    option("dscp-class", 1, Text).negatable().excludes(0b1),
];

const DST_IPV6: &[ExtensionOption] = &[
    option("dst-len", 0, Number(0, U32_MAX)).negatable(),
    option("dst-opts", 1, Text),
];

const ECN: &[ExtensionOption] = &[
    option("ecn-tcp-cwr", 0, Flag).negatable(),
    option("ecn-tcp-ece", 1, Flag).negatable(),
    option("ecn-ip-ect", 2, Number(0, 3)).negatable(),
];

const ESP: &[ExtensionOption] = &[option("espspi", 0, Numbers(U32_MAX)).negatable()];

const FRAG_IPV6: &[ExtensionOption] = &[
    option("fragid", 0, Numbers(U32_MAX)).negatable(),
    option("fraglen", 1, Number(0, U32_MAX)).negatable(),
    option("fragres", 2, Flag),
    option("fragfirst", 3, Flag),
    option("fragmore", 4, Flag).excludes(0b100000),
    option("fraglast", 5, Flag).excludes(0b10000),
];

const HBH_IPV6: &[ExtensionOption] = &[
    option("hbh-len", 0, Number(0, U32_MAX)).negatable(),
    option("hbh-opts", 1, Text),
];

const HL_IPV6: &[ExtensionOption] = &[
    option("hl-lt", 0, Number(0, U8_MAX)).excludes(0b111),
    option("hl-gt", 1, Number(0, U8_MAX)).excludes(0b111),
    option("hl-eq", 2, Number(0, U8_MAX))
        .negatable()
        .excludes(0b111),
    option("hl", 2, Number(0, U8_MAX)).excludes(0b111),
];

const ICMP_IPV4: &[ExtensionOption] = &[option("icmp-type", 0, Text).negatable().required()];

const ICMP6_IPV6: &[ExtensionOption] = &[option("icmpv6-type", 0, Text).negatable().required()];

const IPCOMP: &[ExtensionOption] = &[
    option("ipcompspi", 0, Numbers(U32_MAX)).negatable(),
    option("compres", 1, Flag),
];

const IPV6HEADER_IPV6: &[ExtensionOption] = &[
    option("header", 0, Text).negatable().required(),
    option("soft", 1, Flag),
];

const LENGTH: &[ExtensionOption] = &[option("length", 0, Numbers(U16_MAX)).negatable().required()];

const MH_IPV6: &[ExtensionOption] = &[option("mh-type", 0, Text).negatable()];

const MULTIPORT: &[ExtensionOption] = &[
    option("source-ports", 0, PortList)
        .negatable()
        .excludes(0b111),
    option("sports", 0, PortList).negatable().excludes(0b111),
    option("destination-ports", 1, PortList)
        .negatable()
        .excludes(0b111),
    option("dports", 1, PortList).negatable().excludes(0b111),
    option("ports", 2, PortList).negatable().excludes(0b111),
];

const RT_IPV6: &[ExtensionOption] = &[
    option("rt-type", 0, Number(0, U32_MAX)).negatable(),
    option("rt-segsleft", 1, Numbers(U32_MAX)).negatable(),
    option("rt-len", 2, Number(0, U32_MAX)).negatable(),
    option("rt-0-res", 3, Flag),
    option("rt-0-addrs", 4, Text),
    option("rt-0-not-strict", 5, Flag),
];

const SCTP: &[ExtensionOption] = &[
    option("source-port", 0, ServicePorts).negatable(),
    option("sport", 0, ServicePorts).negatable(),
    option("destination-port", 1, ServicePorts).negatable(),
    option("dport", 1, ServicePorts).negatable(),
    option("chunk-types", 2, Pair).negatable(),
];

const SRH_IPV6: &[ExtensionOption] = &[
    option("srh-next-hdr", 0, Number(0, U8_MAX)).negatable(),
    option("srh-hdr-len-eq", 1, Number(0, U8_MAX)).negatable(),
    option("srh-hdr-len-gt", 2, Number(0, U8_MAX)).negatable(),
    option("srh-hdr-len-lt", 3, Number(0, U8_MAX)).negatable(),
    option("srh-segs-left-eq", 4, Number(0, U8_MAX)).negatable(),
    option("srh-segs-left-gt", 5, Number(0, U8_MAX)).negatable(),
    option("srh-segs-left-lt", 6, Number(0, U8_MAX)).negatable(),
    option("srh-last-entry-eq", 7, Number(0, U8_MAX)).negatable(),
    option("srh-last-entry-gt", 8, Number(0, U8_MAX)).negatable(),
    option("srh-last-entry-lt", 9, Number(0, U8_MAX)).negatable(),
    option("srh-tag", 10, Number(0, U16_MAX)).negatable(),
    option("srh-psid", 11, HostMask).negatable(),
    option("srh-nsid", 12, HostMask).negatable(),
    option("srh-lsid", 13, HostMask).negatable(),
];

const TCP: &[ExtensionOption] = &[
    option("source-port", 0, ServicePorts).negatable(),
    option("sport", 0, ServicePorts).negatable(),
    option("destination-port", 1, ServicePorts).negatable(),
    option("dport", 1, ServicePorts).negatable(),
    option("syn", 2, Flag).negatable().excludes(0b1000),
    option("tcp-flags", 3, TcpFlags).negatable().excludes(0b100),
    option("tcp-option", 4, Number(1, U8_MAX)).negatable(),
];

const TCPMSS: &[ExtensionOption] = &[option("mss", 0, Numbers(U16_MAX)).negatable().required()];

const TOS: &[ExtensionOption] = &[option("tos", 0, Tos).negatable().required()];

const TTL_IPV4: &[ExtensionOption] = &[
    option("ttl-lt", 0, Number(0, U8_MAX)).excludes(0b111),
    option("ttl-gt", 1, Number(0, U8_MAX)).excludes(0b111),
    option("ttl-eq", 2, Number(0, U8_MAX))
        .negatable()
        .excludes(0b111),
    option("ttl", 2, Number(0, U8_MAX)).excludes(0b111),
];

const UDP: &[ExtensionOption] = &[
    option("source-port", 0, Ports).negatable(),
    option("sport", 0, Ports).negatable(),
    option("destination-port", 1, Ports).negatable(),
    option("dport", 1, Ports).negatable(),
];
