//! Targets (`iptables-extensions(8)`), with the tables of `extensions/` of iptables 1.8.11.

use super::Family::{Any, Ipv4, Ipv6};
use super::Value::*;
use super::{Extension, ExtensionOption, extension, option};

const U8_MAX: u64 = u8::MAX as u64;
const U16_MAX: u64 = u16::MAX as u64;
const U32_MAX: u64 = u32::MAX as u64;

pub(super) const TARGETS: &[Extension] = &[
    extension("AUDIT", Any, AUDIT),
    extension("CHECKSUM", Any, CHECKSUM),
    extension("CLASSIFY", Any, CLASSIFY),
    extension("CLUSTERIP", Ipv4, CLUSTERIP_IPV4),
    extension("CONNMARK", Any, CONNMARK).with_option(),
    extension("CONNSECMARK", Any, CONNSECMARK).with_option(),
    extension("CT", Any, CT),
    extension("DNAT", Any, DNAT),
    extension("DNPT", Ipv6, DNPT_IPV6),
    extension("DSCP", Any, DSCP).with_option(),
    extension("ECN", Ipv4, ECN_IPV4),
    extension("HL", Ipv6, HL_IPV6).with_option(),
    extension("HMARK", Any, HMARK),
    extension("IDLETIMER", Any, IDLETIMER),
    extension("LED", Any, LED),
    extension("LOG", Any, LOG),
    extension("MARK", Any, MARK).with_option(),
    extension("MASQUERADE", Any, MASQUERADE),
    extension("NETMAP", Ipv4, NETMAP_IPV4),
    extension("NETMAP", Ipv6, NETMAP_IPV6),
    extension("NFLOG", Any, NFLOG),
    extension("NFQUEUE", Any, NFQUEUE),
    extension("NOTRACK", Any, &[]),
    extension("RATEEST", Any, RATEEST),
    extension("REDIRECT", Any, REDIRECT),
    extension("REJECT", Ipv4, REJECT_IPV4),
    extension("REJECT", Ipv6, REJECT_IPV6),
    extension("SECMARK", Any, SECMARK),
    extension("SET", Any, SET).with_option(),
    extension("SNAT", Any, SNAT),
    extension("SNPT", Ipv6, SNPT_IPV6),
    extension("SYNPROXY", Any, SYNPROXY),
    extension("TCPMSS", Any, TCPMSS).with_option(),
    extension("TCPOPTSTRIP", Any, TCPOPTSTRIP),
    extension("TEE", Any, TEE),
    extension("TOS", Any, TOS).with_option(),
    extension("TPROXY", Any, TPROXY),
    extension("TRACE", Any, &[]),
    extension("TTL", Ipv4, TTL_IPV4).with_option(),
    extension("ULOG", Ipv4, ULOG_IPV4),
];

const AUDIT: &[ExtensionOption] = &[option("type", 0, Text).required()];

const CHECKSUM: &[ExtensionOption] = &[option("checksum-fill", 0, Flag).required()];

const CLASSIFY: &[ExtensionOption] = &[option("set-class", 0, Text).required()];

const CLUSTERIP_IPV4: &[ExtensionOption] = &[
    option("new", 0, Flag),
    option("hashmode", 1, Text).needs(0b1),
    option("clustermac", 2, Mac).needs(0b1),
    option("total-nodes", 3, Number(0, 16)).needs(0b1),
    option("local-node", 4, Number(0, 16)).needs(0b1),
    option("hash-init", 5, Number(0, U32_MAX)).needs(0b1),
];

const CONNMARK: &[ExtensionOption] = &[
    option("set-xmark", 0, Mark).excludes(0b1111111),
    option("set-mark", 1, Mark).excludes(0b1111111),
    option("and-mark", 2, Number(0, U32_MAX)).excludes(0b1111111),
    option("or-mark", 3, Number(0, U32_MAX)).excludes(0b1111111),
    option("xor-mark", 4, Number(0, U32_MAX)).excludes(0b1111111),
    option("save-mark", 5, Flag).excludes(0b1111111),
    option("restore-mark", 6, Flag).excludes(0b1111111),
    option("left-shift-mark", 7, Number(0, 32)),
    option("right-shift-mark", 8, Number(0, 32)),
    option("ctmask", 9, Number(0, U32_MAX)).excludes(0b100000000000),
    option("nfmask", 10, Number(0, U32_MAX)).excludes(0b100000000000),
    option("mask", 11, Number(0, U32_MAX)).excludes(0b11000000000),
];

const CONNSECMARK: &[ExtensionOption] = &[
    option("save", 0, Flag).excludes(0b10),
    option("restore", 1, Flag).excludes(0b1),
];

const CT: &[ExtensionOption] = &[
    option("notrack", 0, Flag),
    option("helper", 1, Text),
    option("timeout", 2, Text),
    option("ctevents", 3, Text),
    option("expevents", 4, Text),
    option("zone-orig", 5, Text),
    option("zone-reply", 6, Text),
    option("zone", 7, Text),
];

const DNAT: &[ExtensionOption] = &[
    option("to-destination", 0, NatTo).required(),
    option("random", 1, Flag),
    option("persistent", 2, Flag),
];

const DNPT_IPV6: &[ExtensionOption] = &[
    option("src-pfx", 0, HostMask).required(),
    option("dst-pfx", 1, HostMask).required(),
];

const DSCP: &[ExtensionOption] = &[
    option("set-dscp", 0, Number(0, 63)).excludes(0b10),
    option("set-dscp-class", 1, Text).excludes(0b1),
];

const ECN_IPV4: &[ExtensionOption] = &[
    option("ecn-tcp-remove", 0, Flag).excludes(0b110),
    option("ecn-tcp-cwr", 1, Number(0, 1)).excludes(0b1),
    option("ecn-tcp-ece", 2, Number(0, 1)).excludes(0b1),
    option("ecn-ip-ect", 3, Number(0, 3)),
];

const HL_IPV6: &[ExtensionOption] = &[
    option("hl-set", 0, Number(0, U8_MAX)).excludes(0b111),
    option("hl-dec", 1, Number(1, U8_MAX)).excludes(0b111),
    option("hl-inc", 2, Number(1, U8_MAX)).excludes(0b111),
];

const HMARK: &[ExtensionOption] = &[
    option("hmark-tuple", 0, Text),
    option("hmark-src-prefix", 1, PrefixLength),
    option("hmark-dst-prefix", 2, PrefixLength),
    option("hmark-sport-mask", 3, Number(0, U16_MAX)),
    option("hmark-dport-mask", 4, Number(0, U16_MAX)),
    option("hmark-spi-mask", 5, Number(0, U32_MAX)),
    option("hmark-sport", 6, Number(0, U16_MAX)),
    option("hmark-dport", 7, Number(0, U16_MAX)),
    option("hmark-spi", 8, Number(0, U32_MAX)),
    option("hmark-proto-mask", 9, Number(0, U16_MAX)),
    option("hmark-rnd", 10, Number(0, U32_MAX)),
    option("hmark-mod", 11, Number(1, U32_MAX)).required(),
    option("hmark-offset", 12, Number(0, U32_MAX)),
];

const IDLETIMER: &[ExtensionOption] = &[
    option("timeout", 0, Number(0, U32_MAX)).required(),
    option("label", 1, Text).required(),
    option("alarm", 2, Flag),
];

const LED: &[ExtensionOption] = &[
    option("led-trigger-id", 0, Text).required(),
    option("led-delay", 1, Text),
    option("led-always-blink", 2, Flag),
];

const LOG: &[ExtensionOption] = &[
    option("log-level", 0, LogLevel),
    option("log-prefix", 1, NonEmpty),
    option("log-tcp-sequence", 2, Flag),
    option("log-tcp-options", 3, Flag),
    option("log-ip-options", 4, Flag),
    option("log-uid", 5, Flag),
    option("log-macdecode", 6, Flag),
];

const MARK: &[ExtensionOption] = &[
    option("set-xmark", 0, Mark).excludes(0b11111),
    option("set-mark", 1, Mark).excludes(0b11111),
    option("and-mark", 2, Number(0, U32_MAX)).excludes(0b11111),
    option("or-mark", 3, Number(0, U32_MAX)).excludes(0b11111),
    option("xor-mark", 4, Number(0, U32_MAX)).excludes(0b11111),
];

const MASQUERADE: &[ExtensionOption] = &[
    option("to-ports", 0, NatPorts),
    option("random", 1, Flag),
    option("random-fully", 2, Flag),
];

const NETMAP_IPV4: &[ExtensionOption] = &[option("to", 0, HostMask).required()];

const NETMAP_IPV6: &[ExtensionOption] = &[option("to", 0, HostMask).required()];

const NFLOG: &[ExtensionOption] = &[
    option("nflog-group", 0, Number(0, U16_MAX)),
    option("nflog-prefix", 1, NonEmpty),
    option("nflog-range", 2, Number(0, U32_MAX)).excludes(0b1000),
    option("nflog-size", 3, Number(0, U32_MAX)).excludes(0b100),
    option("nflog-threshold", 4, Number(0, U16_MAX)),
];

const NFQUEUE: &[ExtensionOption] = &[
    option("queue-num", 0, Number(0, U16_MAX)).excludes(0b10),
    option("queue-balance", 1, Numbers(65534)).excludes(0b1),
    option("queue-bypass", 2, Flag),
    option("queue-cpu-fanout", 3, Flag).needs(0b10),
];

const RATEEST: &[ExtensionOption] = &[
    option("rateest-name", 0, Text).required(),
    option("rateest-interval", 1, Text).required(),
    option("rateest-ewmalog", 2, Text).required(),
];

const REDIRECT: &[ExtensionOption] = &[option("to-ports", 0, NatPorts), option("random", 1, Flag)];

const REJECT_IPV4: &[ExtensionOption] = &[option("reject-with", 0, OneOf(REJECT_WITH_IPV4))];

const REJECT_IPV6: &[ExtensionOption] = &[option("reject-with", 0, OneOf(REJECT_WITH_IPV6))];

const SECMARK: &[ExtensionOption] = &[option("selctx", 0, Text).required()];

const SET: &[ExtensionOption] = &[
    option("add-set", 0, SetName).negatable(),
    option("del-set", 1, SetName).negatable(),
    option("exist", 2, Flag).negatable(),
    option("timeout", 3, Text).negatable(),
    option("map-set", 4, SetName).negatable(),
    option("map-mark", 5, Flag).negatable(),
    option("map-prio", 6, Flag).negatable(),
    option("map-queue", 7, Flag).negatable(),
];

const SNAT: &[ExtensionOption] = &[
    option("to-source", 0, NatTo).required(),
    option("random", 1, Flag),
    option("random-fully", 2, Flag),
    option("persistent", 3, Flag),
];

const SNPT_IPV6: &[ExtensionOption] = &[
    option("src-pfx", 0, HostMask).required(),
    option("dst-pfx", 1, HostMask).required(),
];

const SYNPROXY: &[ExtensionOption] = &[
    option("sack-perm", 0, Flag),
    option("timestamp", 1, Flag),
    option("wscale", 2, Number(0, U32_MAX)),
    option("mss", 3, Number(0, U32_MAX)),
    option("ecn", 4, Flag),
];

const TCPMSS: &[ExtensionOption] = &[
    option("set-mss", 0, Number(0, 65515)),
    option("clamp-mss-to-pmtu", 1, Flag),
];

const TCPOPTSTRIP: &[ExtensionOption] = &[option("strip-options", 0, Text)];

const TEE: &[ExtensionOption] = &[
    option("gateway", 0, Host).required(),
    option("oif", 1, Text),
];

const TOS: &[ExtensionOption] = &[
    option("set-tos", 0, Tos).excludes(0b1111),
    option("and-tos", 1, Number(0, U8_MAX)).excludes(0b1111),
    option("or-tos", 2, Number(0, U8_MAX)).excludes(0b1111),
    option("xor-tos", 3, Number(0, U8_MAX)).excludes(0b1111),
];

const TPROXY: &[ExtensionOption] = &[
    option("on-port", 0, Port).required(),
    option("on-ip", 1, Host),
    option("tproxy-mark", 2, Mark),
];

const TTL_IPV4: &[ExtensionOption] = &[
    option("ttl-set", 0, Number(0, U8_MAX)).excludes(0b111),
    option("ttl-dec", 1, Number(1, U8_MAX)).excludes(0b111),
    option("ttl-inc", 2, Number(1, U8_MAX)).excludes(0b111),
];

const ULOG_IPV4: &[ExtensionOption] = &[
    option("ulog-nlgroup", 0, Number(1, 32)),
    option("ulog-prefix", 1, NonEmpty),
    option("ulog-cprange", 2, Number(0, u64::MAX)),
    option("ulog-qthreshold", 3, Number(1, 50)),
];

/// Of iptables `extensions/libipt_REJECT.c`.
const REJECT_WITH_IPV4: &[&str] = &[
    "icmp-net-unreachable",
    "net-unreach",
    "icmp-host-unreachable",
    "host-unreach",
    "icmp-proto-unreachable",
    "proto-unreach",
    "icmp-port-unreachable",
    "port-unreach",
    "icmp-net-prohibited",
    "net-prohib",
    "icmp-host-prohibited",
    "host-prohib",
    "tcp-reset",
    "tcp-rst",
    "icmp-admin-prohibited",
    "admin-prohib",
];

/// Of iptables `extensions/libip6t_REJECT.c`.
const REJECT_WITH_IPV6: &[&str] = &[
    "icmp6-no-route",
    "no-route",
    "icmp6-adm-prohibited",
    "adm-prohibited",
    "icmp6-addr-unreachable",
    "addr-unreach",
    "icmp6-port-unreachable",
    "port-unreach",
    "tcp-reset",
    "icmp6-policy-fail",
    "policy-fail",
    "icmp6-reject-route",
    "reject-route",
];
