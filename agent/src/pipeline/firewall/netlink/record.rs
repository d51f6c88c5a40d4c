//! The things of a ruleset as the kernel tells them: tables, chains, rules, sets, elements.
//!
//! Numbers of attributes: `include/uapi/linux/netfilter/nf_tables.h`.

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE};

use super::attribute::Attributes;
use super::expression::{self, Data, Expression};
use crate::pipeline::firewall::change::{Family, Hook, Policy};

/// `NFT_TABLE_F_DORMANT`
const TABLE_DORMANT: u32 = 1;

/// `NFT_SET_ELEM_INTERVAL_END`, `NFT_SET_ELEM_CATCHALL`
const ELEMENT_INTERVAL_END: u32 = 1;
const ELEMENT_CATCHALL: u32 = 2;

/// A table. Its handle is given once in the life of a network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub family: Family,
    pub name: Vec<u8>,
    pub handle: u64,
    /// Its chains are not called.
    pub dormant: bool,
}

impl Table {
    pub(super) fn decode(family: Family, attributes: Attributes<'_>) -> Option<Self> {
        const NAME: u16 = 1;
        const FLAGS: u16 = 2;
        const HANDLE: u16 = 4;
        Some(Self {
            family,
            name: attributes.name(NAME)?,
            handle: attributes.u64(HANDLE).unwrap_or(0),
            dormant: attributes.u32(FLAGS).unwrap_or(0) & TABLE_DORMANT != 0,
        })
    }
}

/// What makes a chain a base chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// `None`: a number that is not known for the family.
    pub hook: Option<Hook>,
    /// Chains at one hook are called from the lowest on.
    pub priority: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    pub family: Family,
    pub table: Vec<u8>,
    pub name: Vec<u8>,
    /// Given once in the life of its table.
    pub handle: u64,
    pub base: Option<Base>,
    pub policy: Option<Policy>,
}

impl Chain {
    pub(super) fn decode(family: Family, attributes: Attributes<'_>) -> Option<Self> {
        const TABLE: u16 = 1;
        const HANDLE: u16 = 2;
        const NAME: u16 = 3;
        const HOOK: u16 = 4;
        const POLICY: u16 = 5;
        Some(Self {
            family,
            table: attributes.name(TABLE)?,
            name: attributes.name(NAME)?,
            handle: attributes.u64(HANDLE).unwrap_or(0),
            base: attributes.nested(HOOK).map(|hook| base(family, hook)),
            policy: attributes.u32(POLICY).and_then(policy),
        })
    }
}

fn base(family: Family, attributes: Attributes<'_>) -> Base {
    const NUMBER: u16 = 1;
    const PRIORITY: u16 = 2;
    Base {
        hook: attributes
            .u32(NUMBER)
            .and_then(|number| hook(family, number)),
        priority: attributes.u32(PRIORITY).unwrap_or(0).cast_signed(),
    }
}

/// `enum nf_inet_hooks`, `enum nf_dev_hooks` (`include/uapi/linux/netfilter.h`), `NF_ARP_*`
/// (`netfilter_arp.h`); bridges number theirs as IP does up to the fifth (`netfilter_bridge.h`).
fn hook(family: Family, number: u32) -> Option<Hook> {
    let hooks: &[Hook] = match family {
        Family::Netdev => &[Hook::Ingress, Hook::Egress],
        Family::Arp => &[Hook::Input, Hook::Output, Hook::Forward],
        Family::Ipv4 | Family::Ipv6 | Family::Inet | Family::Bridge => &[
            Hook::Prerouting,
            Hook::Input,
            Hook::Forward,
            Hook::Output,
            Hook::Postrouting,
            Hook::Ingress,
        ],
    };
    hooks.get(usize::try_from(number).ok()?).copied()
}

/// nf_tables has two policies, `NF_DROP` and `NF_ACCEPT`: the policy before a change is the other one.
fn policy(number: u32) -> Option<Policy> {
    match number {
        0 => Some(Policy::Drop),
        1 => Some(Policy::Accept),
        _ => None,
    }
}

/// Where a rule stands in its chain. Kernels name the rule before it only when it is neither the first nor the last;
/// before Linux 5.15 they do not tell at all, nor with which flags the rule was asked for
/// (`nf_tables_rule_notify`, `net/netfilter/nf_tables_api.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    First,
    Last,
    /// Behind the rule with that handle.
    After(u64),
    Untold,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleRecord {
    pub family: Family,
    pub table: Vec<u8>,
    pub chain: Vec<u8>,
    /// Of one rule in its table; a rule that replaces another one can have the other's.
    pub handle: u64,
    /// Where it was put; of a rule that is kept or deleted, nothing.
    pub place: Place,
    /// Without what only counts.
    pub expressions: Vec<Expression>,
    pub comment: Option<Vec<u8>>,
}

impl RuleRecord {
    /// `flags` are those of the message. Nobody can add a rule without `NLM_F_CREATE`.
    pub(super) fn decode(family: Family, flags: u16, attributes: Attributes<'_>) -> Option<Self> {
        const TABLE: u16 = 1;
        const CHAIN: u16 = 2;
        const HANDLE: u16 = 3;
        const EXPRESSIONS: u16 = 4;
        const POSITION: u16 = 6;
        const USERDATA: u16 = 7;
        let expressions = attributes.nested(EXPRESSIONS);
        Some(Self {
            family,
            table: attributes.name(TABLE)?,
            chain: attributes.name(CHAIN)?,
            handle: attributes.u64(HANDLE)?,
            place: match attributes.u64(POSITION) {
                Some(handle) => Place::After(handle),
                None if flags & NLM_F_APPEND != 0 => Place::Last,
                None if flags & NLM_F_CREATE != 0 => Place::First,
                None => Place::Untold,
            },
            expressions: expressions.map(expression::decode_all).unwrap_or_default(),
            comment: attributes.bytes(USERDATA).and_then(comment),
        })
    }
}

/// The comment among a rule's user data, which is a row of type, length, value, of one byte each but the
/// value (`enum nftnl_udata_rule_types`, libnftnl `include/libnftnl/udata.h`).
fn comment(mut userdata: &[u8]) -> Option<Vec<u8>> {
    const COMMENT: u8 = 0;
    while let [kind, length, rest @ ..] = userdata {
        let (value, next) = rest.split_at_checked(usize::from(*length))?;
        if *kind == COMMENT {
            return Some(super::attribute::until_nul(value));
        }
        userdata = next;
    }
    None
}

/// A set or a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    pub family: Family,
    pub table: Vec<u8>,
    pub name: Vec<u8>,
    /// Given once in the life of its table.
    pub handle: u64,
    /// `enum nft_set_flags`
    pub flags: u32,
    /// What nft takes its keys for: a number of its own for each type, six bits for each part of a
    /// concatenation (`enum datatypes`, nftables `include/datatype.h`). The kernel does not look at it.
    pub key_type: u32,
    pub key_bytes: u32,
}

impl Set {
    pub(super) fn decode(family: Family, attributes: Attributes<'_>) -> Option<Self> {
        const TABLE: u16 = 1;
        const NAME: u16 = 2;
        const FLAGS: u16 = 3;
        const KEY_TYPE: u16 = 4;
        const KEY_LENGTH: u16 = 5;
        const HANDLE: u16 = 16;
        Some(Self {
            family,
            table: attributes.name(TABLE)?,
            name: attributes.name(NAME)?,
            handle: attributes.u64(HANDLE).unwrap_or(0),
            flags: attributes.u32(FLAGS).unwrap_or(0),
            key_type: attributes.u32(KEY_TYPE).unwrap_or(0),
            key_bytes: attributes.u32(KEY_LENGTH).unwrap_or(0),
        })
    }

    /// Made for one rule, and gone with it (`NFT_SET_ANONYMOUS`).
    pub fn is_anonymous(&self) -> bool {
        self.flags & 0x1 != 0
    }

    /// `NFT_SET_INTERVAL`
    pub fn is_interval(&self) -> bool {
        self.flags & 0x4 != 0
    }

    /// `NFT_SET_MAP`
    pub fn is_map(&self) -> bool {
        self.flags & 0x8 != 0
    }

    /// Packets add elements to it, of which no message tells (`NFT_SET_EVAL`).
    pub fn is_fed_by_packets(&self) -> bool {
        self.flags & 0x20 != 0
    }
}

/// One element of a set. In a set of intervals it is one end of an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElementRecord {
    /// Empty for the element that stands for all others.
    pub key: Vec<u8>,
    /// The last key of a range in a set of concatenated ranges.
    pub key_end: Option<Vec<u8>>,
    /// The first key behind an interval.
    pub interval_end: bool,
    pub catchall: bool,
    /// What a map gives for it.
    pub data: Option<Data>,
}

impl ElementRecord {
    fn decode(attributes: Attributes<'_>) -> Self {
        const KEY: u16 = 1;
        const DATA: u16 = 2;
        const FLAGS: u16 = 3;
        const KEY_END: u16 = 10;
        let flags = attributes.u32(FLAGS).unwrap_or(0);
        let value = |kind| match Data::decode(attributes.nested(kind)?)? {
            Data::Value(bytes) => Some(bytes),
            Data::Verdict(_) => None,
        };
        Self {
            key: value(KEY).unwrap_or_default(),
            key_end: value(KEY_END),
            interval_end: flags & ELEMENT_INTERVAL_END != 0,
            catchall: flags & ELEMENT_CATCHALL != 0,
            data: attributes.nested(DATA).and_then(Data::decode),
        }
    }
}

/// Elements of one set, as one message holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elements {
    pub family: Family,
    pub table: Vec<u8>,
    pub set: Vec<u8>,
    pub elements: Vec<ElementRecord>,
}

impl Elements {
    pub(super) fn decode(family: Family, attributes: Attributes<'_>) -> Option<Self> {
        const TABLE: u16 = 1;
        const SET: u16 = 2;
        const ELEMENTS: u16 = 3;
        let list = attributes.nested(ELEMENTS);
        let elements = list.into_iter().flat_map(Attributes::iter);
        Some(Self {
            family,
            table: attributes.name(TABLE)?,
            set: attributes.name(SET)?,
            elements: elements
                .map(|(_, value)| ElementRecord::decode(Attributes::new(value)))
                .collect(),
        })
    }
}

/// Anything else that has a name: a stateful object or a flowtable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub family: Family,
    pub table: Vec<u8>,
    pub name: Vec<u8>,
    /// `object` or `flowtable`.
    pub kind: &'static str,
}

impl Named {
    pub(super) fn decode(
        family: Family,
        kind: &'static str,
        attributes: Attributes<'_>,
    ) -> Option<Self> {
        const TABLE: u16 = 1;
        const NAME: u16 = 2;
        Some(Self {
            family,
            table: attributes.name(TABLE)?,
            name: attributes.name(NAME)?,
            kind,
        })
    }
}

/// The end of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Counts the transactions of a network namespace, and skips 0.
    pub id: u32,
    /// The *thread* that made the transaction (`task_pid_nr`), in the initial pid namespace; 0 in an answer
    /// to a question.
    pub thread_id: u32,
    /// That thread's name (`comm`), which it chooses.
    pub name: Vec<u8>,
}

impl Generation {
    pub(super) fn decode(attributes: Attributes<'_>) -> Option<Self> {
        const ID: u16 = 1;
        const PROC_PID: u16 = 2;
        const PROC_NAME: u16 = 3;
        Some(Self {
            id: attributes.u32(ID)?,
            thread_id: attributes.u32(PROC_PID).unwrap_or(0),
            name: attributes.name(PROC_NAME).unwrap_or_default(),
        })
    }
}
