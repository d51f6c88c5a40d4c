//! Matches of everything else than headers (`iptables-extensions(8)`), with the tables of `extensions/` of
//! iptables 1.8.11.

use super::Family::{Any, Ipv4, Ipv6};
use super::Value::*;
use super::{Extension, ExtensionOption, extension, option};

const U16_MAX: u64 = u16::MAX as u64;
const U32_MAX: u64 = u32::MAX as u64;

pub(super) const CONDITIONS: &[Extension] = &[
    extension("addrtype", Any, ADDRTYPE).with_option(),
    extension("bpf", Any, BPF).with_option(),
    extension("cgroup", Any, CGROUP),
    extension("cluster", Any, CLUSTER),
    extension("comment", Any, COMMENT),
    extension("connbytes", Any, CONNBYTES),
    extension("connlabel", Any, CONNLABEL),
    extension("connlimit", Any, CONNLIMIT),
    extension("connmark", Any, CONNMARK),
    extension("conntrack", Any, CONNTRACK).with_option(),
    extension("cpu", Any, CPU),
    extension("devgroup", Any, DEVGROUP).with_option(),
    extension("eui64", Ipv6, &[]),
    extension("hashlimit", Any, HASHLIMIT),
    extension("helper", Any, HELPER),
    extension("iprange", Any, IPRANGE).with_option(),
    extension("ipvs", Any, IPVS).with_option(),
    extension("limit", Any, LIMIT),
    extension("mac", Any, MAC),
    extension("mark", Any, MARK),
    extension("nfacct", Any, NFACCT),
    extension("osf", Any, OSF),
    extension("owner", Any, OWNER).with_option(),
    extension("physdev", Any, PHYSDEV).with_option(),
    extension("pkttype", Any, PKTTYPE),
    extension("policy", Any, POLICY),
    extension("quota", Any, QUOTA),
    extension("rateest", Any, RATEEST),
    extension("realm", Ipv4, REALM_IPV4),
    extension("recent", Any, RECENT).with_option(),
    extension("rpfilter", Any, RPFILTER),
    extension("set", Any, SET).with_option(),
    extension("socket", Any, SOCKET),
    extension("state", Any, STATE),
    extension("statistic", Any, STATISTIC).with_option(),
    extension("string", Any, STRING),
    extension("time", Any, TIME),
    extension("u32", Any, U32),
];

const ADDRTYPE: &[ExtensionOption] = &[
    option("src-type", 0, AddressTypes).negatable(),
    option("dst-type", 1, AddressTypes).negatable(),
    option("limit-iface-in", 2, Flag).excludes(0b1000),
    option("limit-iface-out", 3, Flag).excludes(0b100),
];

const BPF: &[ExtensionOption] = &[
    option("bytecode", 0, Text),
    option("object-pinned", 1, Text),
];

const CGROUP: &[ExtensionOption] = &[
    option("path", 0, Text).negatable(),
    option("cgroup", 1, Number(0, U32_MAX)).negatable(),
];

const CLUSTER: &[ExtensionOption] = &[
    option("cluster-total-nodes", 0, Number(1, 32)).required(),
    option("cluster-local-node", 1, Number(1, 32))
        .negatable()
        .excludes(0b100),
    option("cluster-local-nodemask", 2, Number(1, 32))
        .negatable()
        .excludes(0b10),
    option("cluster-hash-seed", 3, Number(0, U32_MAX)).required(),
];

const COMMENT: &[ExtensionOption] = &[option("comment", 0, Text).required()];

const CONNBYTES: &[ExtensionOption] = &[
    option("connbytes", 0, Numbers(u64::MAX))
        .negatable()
        .required(),
    option("connbytes-dir", 1, Text).required(),
    option("connbytes-mode", 2, Text).required(),
];

const CONNLABEL: &[ExtensionOption] = &[
    option("label", 0, NonEmpty).negatable().required(),
    option("set", 1, Flag),
];

const CONNLIMIT: &[ExtensionOption] = &[
    option("connlimit-upto", 0, Number(0, U32_MAX))
        .negatable()
        .excludes(0b10),
    option("connlimit-above", 1, Number(0, U32_MAX))
        .negatable()
        .excludes(0b1),
    option("connlimit-mask", 2, PrefixLength),
    option("connlimit-saddr", 3, Flag).excludes(0b10000),
    option("connlimit-daddr", 4, Flag).excludes(0b1000),
];

const CONNMARK: &[ExtensionOption] = &[option("mark", 0, Mark).negatable().required()];

const CONNTRACK: &[ExtensionOption] = &[
    option("ctstate", 0, States).negatable(),
    option("ctproto", 1, Protocol).negatable(),
    option("ctorigsrc", 2, HostMask).negatable(),
    option("ctorigdst", 3, HostMask).negatable(),
    option("ctreplsrc", 4, HostMask).negatable(),
    option("ctrepldst", 5, HostMask).negatable(),
    option("ctstatus", 6, Text).negatable(),
    option("ctexpire", 7, Numbers(U32_MAX)).negatable(),
    option("ctorigsrcport", 8, Ports).negatable(),
    option("ctorigdstport", 9, Ports).negatable(),
    option("ctreplsrcport", 10, Ports).negatable(),
    option("ctrepldstport", 11, Ports).negatable(),
    option("ctdir", 12, Text),
];

const CPU: &[ExtensionOption] = &[option("cpu", 0, Number(0, U32_MAX)).negatable().required()];

const DEVGROUP: &[ExtensionOption] = &[
    option("src-group", 0, Text).negatable(),
    option("dst-group", 1, Text).negatable(),
];

const HASHLIMIT: &[ExtensionOption] = &[
    option("hashlimit-upto", 0, Text).negatable().excludes(0b10),
    option("hashlimit-above", 1, Text).negatable().excludes(0b1),
    option("hashlimit", 0, Text).negatable().excludes(0b10),
    option("hashlimit-srcmask", 2, PrefixLength),
    option("hashlimit-dstmask", 3, PrefixLength),
    option("hashlimit-burst", 4, Text),
    option("hashlimit-htable-size", 5, Number(0, U32_MAX)),
    option("hashlimit-htable-max", 6, Number(0, U32_MAX)),
    option("hashlimit-htable-gcinterval", 7, Number(0, U32_MAX)),
    option("hashlimit-htable-expire", 8, Number(0, U32_MAX)),
    option("hashlimit-mode", 9, Text),
    option("hashlimit-name", 10, NonEmpty).required(),
    option("hashlimit-rate-match", 11, Flag),
    option("hashlimit-rate-interval", 12, Text),
];

const HELPER: &[ExtensionOption] = &[option("helper", 0, Text).negatable().required()];

const IPRANGE: &[ExtensionOption] = &[
    option("src-range", 0, AddressRange).negatable(),
    option("dst-range", 1, AddressRange).negatable(),
];

const IPVS: &[ExtensionOption] = &[
    option("ipvs", 0, Flag).negatable(),
    option("vproto", 1, Protocol).negatable(),
    option("vaddr", 2, HostMask).negatable(),
    option("vport", 3, Port).negatable(),
    option("vdir", 4, Text),
    option("vmethod", 5, Text).negatable(),
    option("vportctl", 6, Port).negatable(),
];

const LIMIT: &[ExtensionOption] = &[
    option("limit", 0, Rate),
    option("limit-burst", 1, Number(0, 10000)),
];

const MAC: &[ExtensionOption] = &[option("mac-source", 0, Mac).negatable().required()];

const MARK: &[ExtensionOption] = &[option("mark", 0, Mark).negatable().required()];

const NFACCT: &[ExtensionOption] = &[option("nfacct-name", 0, NonEmpty).required()];

const OSF: &[ExtensionOption] = &[
    option("genre", 0, Text).negatable().required(),
    option("ttl", 1, Number(0, 2)),
    option("log", 2, Number(0, 2)),
];

const OWNER: &[ExtensionOption] = &[
    option("uid-owner", 0, Text).negatable(),
    option("gid-owner", 1, Text).negatable(),
    option("socket-exists", 2, Flag).negatable(),
    option("suppl-groups", 3, Flag),
];

const PHYSDEV: &[ExtensionOption] = &[
    option("physdev-in", 0, Text).negatable(),
    option("physdev-out", 1, Text).negatable(),
    option("physdev-is-in", 2, Flag).negatable(),
    option("physdev-is-out", 3, Flag).negatable(),
    option("physdev-is-bridged", 4, Flag).negatable(),
];

const PKTTYPE: &[ExtensionOption] = &[option("pkt-type", 0, OneOf(PACKET_TYPES))
    .negatable()
    .required()];

const POLICY: &[ExtensionOption] = &[
    option("dir", 0, Text),
    option("pol", 1, Text),
    option("strict", 2, Flag),
    option("reqid", 3, Number(0, U32_MAX))
        .negatable()
        .repeatable(),
    option("spi", 4, Number(0, U32_MAX))
        .negatable()
        .repeatable(),
    option("tunnel-src", 5, HostMask).negatable().repeatable(),
    option("tunnel-dst", 6, HostMask).negatable().repeatable(),
    option("proto", 7, Protocol).negatable().repeatable(),
    option("mode", 8, Text).negatable().repeatable(),
    option("next", 9, Flag).repeatable().needs(0b100),
];

const QUOTA: &[ExtensionOption] = &[option("quota", 0, Number(0, u64::MAX))
    .negatable()
    .required()];

const RATEEST: &[ExtensionOption] = &[
    option("rateest1", 0, Text).negatable(),
    option("rateest", 0, Text).negatable(),
    option("rateest2", 1, Text).negatable(),
    option("rateest-bps1", 2, FlagAndRate).negatable(),
    option("rateest-pps1", 3, FlagAndRate).negatable(),
    option("rateest-bps2", 4, FlagAndRate).negatable(),
    option("rateest-pps2", 5, FlagAndRate).negatable(),
    option("rateest-bps", 4, FlagAndRate).negatable(),
    option("rateest-pps", 5, FlagAndRate).negatable(),
    option("rateest-delta", 6, Flag).negatable(),
    option("rateest-lt", 7, Flag).negatable(),
    option("rateest-gt", 8, Flag).negatable(),
    option("rateest-eq", 9, Flag).negatable(),
];

const REALM_IPV4: &[ExtensionOption] = &[option("realm", 0, Text).negatable().required()];

const RECENT: &[ExtensionOption] = &[
    option("set", 0, Flag).negatable().excludes(0b1111),
    option("rcheck", 1, Flag).negatable().excludes(0b1111),
    option("update", 2, Flag).negatable().excludes(0b1111),
    option("remove", 3, Flag).negatable().excludes(0b1111),
    option("seconds", 4, Number(1, U32_MAX)),
    option("reap", 5, Flag).needs(0b10000),
    option("hitcount", 6, Number(0, U32_MAX)),
    option("rttl", 7, Flag).excludes(0b1001),
    option("name", 8, Text),
    option("rsource", 9, Flag),
    option("rdest", 10, Flag),
    option("mask", 11, Host),
];

const RPFILTER: &[ExtensionOption] = &[
    option("loose", 0, Flag),
    option("validmark", 1, Flag),
    option("accept-local", 2, Flag),
    option("invert", 3, Flag),
];

const SET: &[ExtensionOption] = &[
    option("match-set", 0, SetName).negatable(),
    option("set", 0, SetName).negatable(),
    option("return-nomatch", 2, Flag).negatable(),
    option("update-counters", 3, Flag).negatable(),
    option("packets-eq", 4, Text).negatable(),
    option("packets-lt", 5, Text).negatable(),
    option("packets-gt", 6, Text).negatable(),
    option("bytes-eq", 7, Text).negatable(),
    option("bytes-lt", 8, Text).negatable(),
    option("bytes-gt", 9, Text).negatable(),
    option("update-subcounters", 10, Flag).negatable(),
];

const SOCKET: &[ExtensionOption] = &[
    option("transparent", 0, Flag),
    option("nowildcard", 1, Flag),
    option("restore-skmark", 2, Flag),
];

const STATE: &[ExtensionOption] = &[option("state", 0, States).negatable().required()];

const STATISTIC: &[ExtensionOption] = &[
    option("mode", 0, Text).required(),
    option("probability", 1, Fraction)
        .negatable()
        .excludes(0b1100),
    option("every", 2, Number(1, U32_MAX))
        .negatable()
        .excludes(0b10)
        .needs(0b1000),
    option("packet", 3, Number(0, U32_MAX))
        .excludes(0b10)
        .needs(0b100),
];

const STRING: &[ExtensionOption] = &[
    option("from", 0, Number(0, U16_MAX)),
    option("to", 1, Number(0, U16_MAX)),
    option("algo", 2, Text).required(),
    option("string", 3, Text).negatable().excludes(0b10000),
    option("hex-string", 4, Text).negatable().excludes(0b1000),
    option("icase", 5, Flag),
];

const TIME: &[ExtensionOption] = &[
    option("datestart", 0, Text),
    option("datestop", 1, Text),
    option("timestart", 2, Text),
    option("timestop", 3, Text),
    option("contiguous", 4, Flag),
    option("weekdays", 5, Text).negatable(),
    option("monthdays", 6, Text).negatable(),
    option("localtz", 7, Flag).excludes(0b100000000),
    option("utc", 8, Flag).excludes(0b1010000000),
    option("kerneltz", 9, Flag).excludes(0b100000000),
];

const U32: &[ExtensionOption] = &[option("u32", 0, Text).negatable().required()];

/// Of iptables `extensions/libxt_pkttype.c`.
const PACKET_TYPES: &[&str] = &[
    "unicast",
    "broadcast",
    "multicast",
    "otherhost",
    "bcast",
    "mcast",
    "host",
];
