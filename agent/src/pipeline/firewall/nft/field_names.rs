//! Names of what an expression can read (nft(8), "PAYLOAD EXPRESSIONS", "META EXPRESSIONS", "CONNTRACK EXPRESSIONS").

/// Headers and their fields (nft(8), "PAYLOAD EXPRESSIONS").
pub(super) const HEADERS: &[(&str, &[&str])] = &[
    ("ether", &["saddr", "daddr", "type"]),
    ("vlan", &["id", "cfi", "dei", "pcp", "type"]),
    ("arp", &["htype", "ptype", "hlen", "plen", "operation"]),
    (
        "ip",
        &[
            "version",
            "hdrlength",
            "dscp",
            "ecn",
            "length",
            "id",
            "frag-off",
            "ttl",
            "protocol",
            "checksum",
            "saddr",
            "daddr",
        ],
    ),
    (
        "ip6",
        &[
            "version",
            "dscp",
            "ecn",
            "flowlabel",
            "length",
            "nexthdr",
            "hoplimit",
            "saddr",
            "daddr",
        ],
    ),
    (
        "icmp",
        &[
            "type", "code", "checksum", "id", "sequence", "gateway", "mtu",
        ],
    ),
    (
        "icmpv6",
        &[
            "type",
            "code",
            "checksum",
            "parameter-problem",
            "packet-too-big",
            "mtu",
            "id",
            "sequence",
            "max-delay",
            "taddr",
            "daddr",
        ],
    ),
    ("igmp", &["type", "checksum", "mrt", "group"]),
    (
        "tcp",
        &[
            "sport", "dport", "sequence", "ackseq", "doff", "reserved", "flags", "window",
            "checksum", "urgptr",
        ],
    ),
    ("udp", &["sport", "dport", "length", "checksum"]),
    ("udplite", &["sport", "dport", "csumcov", "checksum"]),
    ("sctp", &["sport", "dport", "vtag", "checksum"]),
    ("dccp", &["sport", "dport", "type"]),
    ("th", &["sport", "dport"]),
    (
        "ah",
        &["nexthdr", "hdrlength", "reserved", "spi", "sequence"],
    ),
    ("esp", &["spi", "sequence"]),
    ("comp", &["nexthdr", "flags", "cpi"]),
    (
        "frag",
        &[
            "nexthdr",
            "reserved",
            "frag-off",
            "reserved2",
            "more-fragments",
            "id",
        ],
    ),
    ("hbh", &["nexthdr", "hdrlength"]),
    ("dst", &["nexthdr", "hdrlength"]),
    (
        "mh",
        &["nexthdr", "hdrlength", "type", "reserved", "checksum"],
    ),
    (
        "rt",
        &[
            "nexthdr",
            "hdrlength",
            "type",
            "seg-left",
            "classid",
            "nexthop",
            "mtu",
            "ipsec",
        ],
    ),
    ("rt0", &["addr"]),
    ("rt2", &["addr"]),
    ("srh", &["last-entry", "flags", "tag", "sid"]),
    ("gre", &["hdrlen", "version", "flags", "protocol"]),
    ("vxlan", &["vni", "flags"]),
    ("geneve", &["vni", "type"]),
];

/// Headers that carry a packet of their own: `vxlan ip saddr`.
pub(super) const TUNNELS: &[&str] = &["gre", "gretap", "vxlan", "geneve"];

/// Keys that stand for themselves, without `meta`.
pub(super) const META_KEYS: &[&str] = &[
    "mark",
    "iif",
    "iifname",
    "iiftype",
    "oif",
    "oifname",
    "oiftype",
    "skuid",
    "skgid",
    "nftrace",
    "rtclassid",
    "ibriport",
    "ibrname",
    "obriport",
    "obrname",
    "pkttype",
    "cpu",
    "iifgroup",
    "oifgroup",
    "cgroup",
    "ipsec",
    "time",
    "day",
    "hour",
];

/// Keys that need `meta`.
pub(super) const META_KEYS_QUALIFIED: &[&str] = &[
    "length",
    "len",
    "protocol",
    "priority",
    "random",
    "secmark",
    "nfproto",
    "l4proto",
    "iifkind",
    "oifkind",
    "ibrpvid",
    "ibrvproto",
    "ibrhwaddr",
    "sdif",
    "sdifname",
    "broute",
    "secpath",
];

/// Keys of conntrack that have no direction.
pub(super) const CT_KEYS: &[&str] = &[
    "l3proto",
    "protocol",
    "mark",
    "state",
    "direction",
    "status",
    "expiration",
    "helper",
    "label",
    "zone",
    "secmark",
    "saddr",
    "daddr",
    "proto-src",
    "proto-dst",
    "bytes",
    "packets",
    "avgpkt",
    "event",
    "id",
    "timeout",
    "expectation",
];

/// Keys of conntrack behind `original` or `reply`.
pub(super) const CT_KEYS_DIRECTED: &[&str] = &[
    "saddr",
    "daddr",
    "l3proto",
    "protocol",
    "proto-src",
    "proto-dst",
    "zone",
    "bytes",
    "packets",
    "avgpkt",
    "id",
];

/// The first words of the other expressions.
pub(super) const OTHERS: &[&str] = &[
    "meta", "ct", "fib", "socket", "osf", "ipsec", "numgen", "jhash", "symhash", "exthdr", "@",
    "tunnel",
];

/// Fields of the options of TCP, IP and DCCP.
pub(super) const OPTION_FIELDS: &[&str] = &[
    "kind", "length", "size", "count", "left", "right", "tsval", "tsecr", "ptr", "addr", "type",
    "value", "data", "seg-left", "subtype",
];

/// Kinds of these options.
pub(super) const OPTION_KINDS: &[&str] = &[
    "eol",
    "nop",
    "maxseg",
    "mss",
    "window",
    "sack-perm",
    "sack-permitted",
    "sack",
    "sack0",
    "sack1",
    "sack2",
    "sack3",
    "timestamp",
    "fastopen",
    "md5sig",
    "mptcp",
    "echo",
    "lsrr",
    "rr",
    "ssrr",
    "ra",
];

/// Fields of the chunks of SCTP.
pub(super) const CHUNK_FIELDS: &[&str] = &[
    "type",
    "flags",
    "length",
    "tsn",
    "stream",
    "ssn",
    "ppid",
    "init-tag",
    "a-rwnd",
    "num-outbound-streams",
    "num-inbound-streams",
    "initial-tsn",
    "cum-tsn-ack",
    "num-gap-ack-blocks",
    "num-dup-tsns",
    "lowest-tsn",
    "seqno",
    "new-cum-tsn",
];
