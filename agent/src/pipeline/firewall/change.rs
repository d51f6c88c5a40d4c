//! What a firewall command asks for, and what a netfilter message says happened: the same words for both.

use core::net::IpAddr;
use std::ops::RangeInclusive;

/// Which mechanism is changed, and through which door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Backend {
    /// nf_tables, by its own language or its own messages.
    Nftables,
    /// nf_tables, by one of the iptables commands that translate to it.
    XtablesNft,
    /// The older x_tables, by `setsockopt`.
    XtablesLegacy,
    /// An iptables command of which only the running host knows to what it leads.
    Xtables,
    /// A kernel IP set.
    Ipset,
    /// `ufw`.
    Ufw,
    /// The daemon firewalld, which makes the change itself.
    Firewalld,
    /// A service that loads or drops a whole ruleset.
    Service,
    /// A setting or a module of the kernel on which packet filters depend.
    Kernel,
}

/// The protocol family of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    Ipv4,
    Ipv6,
    /// IPv4 and IPv6.
    Inet,
    Arp,
    Bridge,
    Netdev,
}

/// Where a base chain is called. `linux/include/uapi/linux/netfilter.h`, `enum nf_inet_hooks` and its kin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    Prerouting,
    Input,
    Forward,
    Output,
    Postrouting,
    Ingress,
    Egress,
}

/// Something that can be negated, as in `! -s 10.0.0.0/8`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negatable<T> {
    pub value: T,
    pub negated: bool,
}

/// An IP protocol by its number. <https://www.iana.org/assignments/protocol-numbers>
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    pub const ICMP: Self = Self(1);
    pub const TCP: Self = Self(6);
    pub const UDP: Self = Self(17);
    pub const ICMPV6: Self = Self(58);
    pub const SCTP: Self = Self(132);
}

/// Addresses that a rule names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// The first `prefix` bits count.
    Network {
        address: IpAddr,
        prefix: u8,
    },
    Range {
        first: IpAddr,
        last: IpAddr,
    },
    /// By a mask whose ones are not contiguous, a host name, or anything else that is kept as written.
    Written(Vec<u8>),
    /// The members of a set, by its name.
    Set(Vec<u8>),
}

/// Ports that a rule names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Each range has a first port that is not above its last.
    Ranges(Vec<RangeInclusive<u16>>),
    /// The members of a set, by its name.
    Set(Vec<u8>),
}

/// What a rule does with a packet that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Accept,
    Drop,
    Reject,
    Return,
    /// Go on in another chain and come back.
    Jump(Vec<u8>),
    /// Go on in another chain and do not come back.
    Goto(Vec<u8>),
    /// To a port of this host; `None` leaves the port.
    Redirect {
        ports: Option<RangeInclusive<u16>>,
    },
    /// To another address.
    Dnat {
        to: Vec<u8>,
    },
    Snat {
        to: Vec<u8>,
    },
    Masquerade,
    /// To a local socket.
    Tproxy {
        to: Vec<u8>,
    },
    /// No connection tracking: what depends on it no longer works.
    Notrack,
    /// A packet or connection mark.
    Mark,
    Log,
    Queue,
    /// By a verdict map: the verdicts are in its elements.
    Map(Vec<u8>),
    /// Any other, by its name.
    Other(Vec<u8>),
}

/// What a base chain does with a packet that no rule decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Policy {
    Accept,
    Drop,
    Reject,
}

/// One rule, as far as it is understood. What is `None` is not restricted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    pub protocol: Option<Negatable<Protocol>>,
    pub sources: Option<Negatable<Vec<Addresses>>>,
    pub destinations: Option<Negatable<Vec<Addresses>>>,
    pub source_ports: Option<Negatable<Ports>>,
    pub destination_ports: Option<Negatable<Ports>>,
    /// A source or a destination port, as `multiport --ports` and nft's `th` with both directions have it.
    pub either_ports: Option<Negatable<Ports>>,
    /// A trailing `+` (iptables) or `*` (nft) stands for any ending.
    pub in_interface: Option<Negatable<Vec<u8>>>,
    pub out_interface: Option<Negatable<Vec<u8>>>,
    /// Connection states in lower case, as `established`.
    pub states: Option<Negatable<Vec<Vec<u8>>>>,
    /// There are conditions that are not understood in detail: the rule fits fewer packets than it seems.
    pub other_matches: Vec<Vec<u8>>,
    /// `None`: the rule decides nothing (it counts).
    pub target: Option<Target>,
    pub comment: Option<Vec<u8>>,
}

/// Where among the rules of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Position {
    /// Behind all others.
    Last,
    /// Counted from 1.
    Index(u32),
    /// Before the rule with that handle.
    BeforeHandle(u64),
    /// Behind the rule with that handle.
    AfterHandle(u64),
    /// The kernel does not say, before Linux 5.15.
    Untold,
}

/// Which rule, when one is deleted or replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Counted from 1.
    Index(u32),
    Handle(u64),
    /// The first that reads so.
    Same(Box<Rule>),
    /// The rule that was there, counted from 1, and read so: as two contents of a table tell it.
    Numbered {
        index: u32,
        rule: Box<Rule>,
    },
    /// The rule with that handle, which read so: as the kernel tells it.
    Known {
        handle: u64,
        rule: Box<Rule>,
    },
}

/// Where a ruleset comes from that the command line does not show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RulesetSource {
    File(Vec<u8>),
    Stdin,
    /// What the service or tool has stored in its own place.
    Stored,
}

/// What a set's element stands for, as far as it is understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    pub ports: Vec<RangeInclusive<u16>>,
    pub addresses: Vec<Addresses>,
    /// As written, or as its bytes in hexadecimal.
    pub key: Vec<u8>,
    /// Of a verdict map.
    pub verdict: Option<Target>,
}

/// What a service manager is asked to do with a firewall's unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnitVerb {
    Start,
    Stop,
    Restart,
    Reload,
    Enable,
    Disable,
    Mask,
    Unmask,
    Kill,
}

/// What is done. Names of tables and chains stand in [`FirewallChange`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    AddRule {
        rule: Box<Rule>,
        position: Position,
    },
    ReplaceRule {
        which: Which,
        rule: Box<Rule>,
    },
    DeleteRule(Which),
    /// A base chain has a hook and, as a rule, a policy.
    AddChain {
        hook: Option<Hook>,
        policy: Option<Policy>,
    },
    DeleteChain,
    RenameChain {
        to: Vec<u8>,
    },
    SetPolicy(Policy),
    /// All rules of one chain, or of all chains of the table when no chain is named.
    FlushChain,
    /// Packet and byte counters.
    ZeroCounters,
    AddTable,
    DeleteTable,
    FlushTable,
    /// Everything, of one family or of all.
    FlushRuleset,
    /// The dormant flag: the table's chains are no longer called, or are again.
    SetDormant(bool),
    AddSet {
        set: Vec<u8>,
    },
    DeleteSet {
        set: Vec<u8>,
    },
    FlushSet {
        set: Vec<u8>,
    },
    AddElements {
        set: Vec<u8>,
        elements: Vec<Element>,
    },
    DeleteElements {
        set: Vec<u8>,
        elements: Vec<Element>,
    },
    /// A ruleset is loaded that the command line does not show.
    Load {
        source: RulesetSource,
        flushes: bool,
    },
    /// The firewall as a whole goes on or off (`ufw disable`, `firewall-cmd --panic-on`).
    Enable,
    Disable,
    Unit {
        verb: UnitVerb,
        unit: Vec<u8>,
    },
    /// A change of which only the kind of command tells.
    Other {
        what: Vec<u8>,
    },
}

/// One change of a firewall, asked for or made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirewallChange {
    pub backend: Backend,
    /// `None`: both IPv4 and IPv6, or the command does not say.
    pub family: Option<Family>,
    pub table: Option<Vec<u8>>,
    pub chain: Option<Vec<u8>>,
    pub operation: Operation,
}

/// A set of nf_tables: names are those of one table.
pub type SetName = (Family, Vec<u8>, Vec<u8>);

impl FirewallChange {
    /// The set whose elements it changes, where that is known in full.
    pub fn set_name(&self) -> Option<SetName> {
        let (Operation::AddElements { set, .. }
        | Operation::DeleteElements { set, .. }
        | Operation::FlushSet { set }) = &self.operation
        else {
            return None;
        };
        Some((self.family?, self.table.clone()?, set.clone()))
    }
}

/// What the command line of a firewall tool means, as that tool itself reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// In the order in which they are made.
    Changes(Vec<FirewallChange>),
    /// It only reads, or only checks.
    Query,
    /// The tool would refuse it; why, in our words.
    Rejected { reason: String },
}
