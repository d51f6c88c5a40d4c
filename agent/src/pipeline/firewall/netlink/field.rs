//! What a register holds, in the words of a rule: which part of a packet, or which fact about it.

use crate::pipeline::firewall::change::{Family, Protocol};

/// What a rule can ask about, as far as it is understood in detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::pipeline::firewall) enum Subject {
    Protocol,
    Source(Version),
    Destination(Version),
    SourcePort,
    DestinationPort,
    /// Either of both ports: only x_tables asks so.
    EitherPort,
    InInterface,
    OutInterface,
    State,
}

/// Of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::pipeline::firewall) enum Version {
    V4,
    V6,
}

impl Version {
    pub(super) fn address_bytes(self) -> usize {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }
}

impl Subject {
    /// Bytes of a whole value.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Protocol => 1,
            Self::Source(version) | Self::Destination(version) => version.address_bytes(),
            Self::SourcePort | Self::DestinationPort | Self::EitherPort => 2,
            // `IFNAMSIZ`, `include/uapi/linux/if.h`
            Self::InInterface | Self::OutInterface => 16,
            Self::State => 4,
        }
    }

    /// As nft writes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Protocol => "meta l4proto",
            Self::Source(Version::V4) => "ip saddr",
            Self::Source(Version::V6) => "ip6 saddr",
            Self::Destination(Version::V4) => "ip daddr",
            Self::Destination(Version::V6) => "ip6 daddr",
            Self::SourcePort => "th sport",
            Self::DestinationPort => "th dport",
            Self::EitherPort => "th sport or dport",
            Self::InInterface => "iifname",
            Self::OutInterface => "oifname",
            Self::State => "ct state",
        }
    }
}

/// What was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Payload {
        base: u32,
        offset: usize,
        bytes: usize,
    },
    /// A whole value of a subject.
    Whole(Subject),
    /// `NFT_META_NFPROTO`
    NfProto,
    /// `NFT_META_PROTOCOL`: the EtherType.
    EtherType,
    /// `NFT_META_IIF`, `NFT_META_OIF`: an interface by its index.
    InIndex,
    OutIndex,
    /// Anything else, as nft writes it.
    Named(Vec<u8>),
}

impl Field {
    /// `enum nft_meta_keys`, by nft's names (nftables `src/meta.c`).
    pub(super) fn meta(key: u32) -> Self {
        const NAMES: &[&str] = &[
            "length",
            "protocol",
            "priority",
            "mark",
            "iif",
            "oif",
            "iifname",
            "oifname",
            "iiftype",
            "oiftype",
            "skuid",
            "skgid",
            "nftrace",
            "rtclassid",
            "secmark",
            "nfproto",
            "l4proto",
            "ibrname",
            "obrname",
            "pkttype",
            "cpu",
            "iifgroup",
            "oifgroup",
            "cgroup",
            "random",
            "ipsec",
            "iifkind",
            "oifkind",
            "ibrpvid",
            "ibrvproto",
            "time",
            "day",
            "hour",
            "sdif",
            "sdifname",
        ];
        match key {
            1 => Self::EtherType,
            4 => Self::InIndex,
            5 => Self::OutIndex,
            6 => Self::Whole(Subject::InInterface),
            7 => Self::Whole(Subject::OutInterface),
            15 => Self::NfProto,
            16 => Self::Whole(Subject::Protocol),
            _ => Self::Named(name("meta", NAMES, key)),
        }
    }

    /// `enum nft_ct_keys`, by nft's names (nftables `src/ct.c`).
    pub(super) fn ct(key: u32) -> Self {
        const NAMES: &[&str] = &[
            "state",
            "direction",
            "status",
            "mark",
            "secmark",
            "expiration",
            "helper",
            "l3proto",
            "saddr",
            "daddr",
            "protocol",
            "proto-src",
            "proto-dst",
            "label",
            "packets",
            "bytes",
            "avgpkt",
            "zone",
            "event",
            "ip saddr",
            "ip daddr",
            "ip6 saddr",
            "ip6 daddr",
            "id",
        ];
        match key {
            0 => Self::Whole(Subject::State),
            _ => Self::Named(name("ct", NAMES, key)),
        }
    }

    /// Bytes that it fills.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Payload { bytes, .. } => *bytes,
            Self::Whole(subject) => subject.bytes(),
            Self::NfProto => 1,
            Self::EtherType => 2,
            Self::InIndex | Self::OutIndex | Self::Named(_) => 4,
        }
    }

    /// As nft writes it; parts of a packet in its raw form, in bits.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = match self {
            Self::Payload {
                base,
                offset,
                bytes,
            } => {
                const BASES: &[&str] = &["ll", "nh", "th", "ih"];
                let base = usize::try_from(*base).ok().and_then(|base| BASES.get(base));
                let (offset, length) = (offset.saturating_mul(8), bytes.saturating_mul(8));
                return format!("@{},{offset},{length}", base.unwrap_or(&"tunnel")).into_bytes();
            }
            Self::Whole(subject) => subject.name(),
            Self::NfProto => "meta nfproto",
            Self::EtherType => "meta protocol",
            Self::InIndex => "iif",
            Self::OutIndex => "oif",
            Self::Named(name) => return name.clone(),
        };
        name.as_bytes().to_vec()
    }
}

fn name(group: &str, names: &[&str], key: u32) -> Vec<u8> {
    let known = usize::try_from(key).ok().and_then(|key| names.get(key));
    match known {
        Some(name) => format!("{group} {name}").into_bytes(),
        None => format!("{group} {key}").into_bytes(),
    }
}

/// A part of loaded bytes that a subject has: `skip` bytes in, `bytes` of them. Fewer than the subject's own
/// are its first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) subject: Subject,
    pub(super) skip: usize,
    pub(super) bytes: usize,
}

/// What the bytes of a packet's headers mean depends on these.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Headers {
    pub(super) version: Option<Version>,
    pub(super) protocol: Option<Protocol>,
}

impl Headers {
    pub(super) fn of_family(family: Family) -> Self {
        let version = match family {
            Family::Ipv4 => Some(Version::V4),
            Family::Ipv6 => Some(Version::V6),
            Family::Inet | Family::Arp | Family::Bridge | Family::Netdev => None,
        };
        Self {
            version,
            protocol: None,
        }
    }

    /// The subjects that those bytes are, one behind the other; empty when they are not known, or not whole.
    pub(super) fn parts(self, base: u32, offset: usize, bytes: usize) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut skip = 0;
        for &(start, subject) in self.layout(base, offset) {
            if start != offset + skip || skip >= bytes {
                continue;
            }
            let taken = subject.bytes().min(bytes - skip);
            parts.push(Part {
                subject,
                skip,
                bytes: taken,
            });
            skip += taken;
        }
        if skip != bytes {
            parts.clear();
        }
        parts
    }

    /// Where in a header each subject stands: RFC 791 3.1, RFC 8200 3, RFC 9293 3.1, RFC 768.
    fn layout(self, base: u32, offset: usize) -> &'static [(usize, Subject)] {
        const NETWORK: u32 = 1;
        const TRANSPORT: u32 = 2;
        match base {
            NETWORK => match self.version.or_else(|| version_by_offset(offset)) {
                Some(Version::V4) => &[
                    (9, Subject::Protocol),
                    (12, Subject::Source(Version::V4)),
                    (16, Subject::Destination(Version::V4)),
                ],
                Some(Version::V6) => &[
                    (6, Subject::Protocol),
                    (8, Subject::Source(Version::V6)),
                    (24, Subject::Destination(Version::V6)),
                ],
                None => &[],
            },
            TRANSPORT if self.has_ports() => {
                &[(0, Subject::SourcePort), (2, Subject::DestinationPort)]
            }
            _ => &[],
        }
    }

    /// TCP, UDP, DCCP, SCTP, UDP-Lite, or one that is not known.
    fn has_ports(self) -> bool {
        self.protocol
            .is_none_or(|protocol| matches!(protocol.0, 6 | 17 | 33 | 132 | 136))
    }
}

/// Nothing else of interest begins at these offsets in the other version's header.
fn version_by_offset(offset: usize) -> Option<Version> {
    match offset {
        9 | 12 | 16 => Some(Version::V4),
        6 | 8 | 24 => Some(Version::V6),
        _ => None,
    }
}
