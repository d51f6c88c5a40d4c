//! nf_tables' netlink messages: what the kernel says of its ruleset, when asked and when it changes.
//!
//! ```text
//! datagram:  message …
//! message:   length u32, type u16, flags u16, sequence u32, port u32     struct nlmsghdr, host order
//!            family u8, version u8, resource u16 (big-endian)            struct nfgenmsg
//!            attribute …
//! ```
//!
//! A type is the subsystem (10, `NFNL_SUBSYS_NFTABLES`) in its upper byte and `enum nf_tables_msg_types` in
//! its lower. One transaction is a row of messages that `NFT_MSG_NEWGEN` ends
//! (`nf_tables_commit`, `net/netfilter/nf_tables_api.c`).

use netlink_packet_core::{
    NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP, NLMSG_OVERRUN, NetlinkBuffer,
};

pub(super) mod attribute;
mod chain;
pub(super) mod compat;
pub(super) mod element;
mod expression;
pub(super) mod field;
pub(super) mod interpret;
mod pending;
mod record;
pub mod remembered;
mod request;
mod ruleset;
mod set_use;
pub mod snapshot;
mod transaction;

pub use expression::{Comparison, Data, Expression, Extension, Register, Verdict};
pub use record::{
    Base, Chain, ElementRecord, Elements, Generation, Named, Place, RuleRecord, Set, Table,
};
pub use request::{Listing, request};
pub use ruleset::{RULESET_BYTES_MAX, Ruleset};
pub use transaction::{Counters, Limits, Transaction, Transactions};

use crate::pipeline::firewall::change::Family;
use attribute::Attributes;

#[cfg(test)]
pub(super) mod tests;

/// `NFNL_SUBSYS_NFTABLES`, `include/uapi/linux/netfilter/nfnetlink.h`
const SUBSYSTEM: u16 = 10;

/// Bytes of `struct nfgenmsg`.
const GENERIC_BYTES: usize = 4;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    NewTable(Table),
    DeleteTable(Table),
    NewChain(Chain),
    DeleteChain(Chain),
    NewRule(RuleRecord),
    DeleteRule(RuleRecord),
    NewSet(Set),
    DeleteSet(Set),
    NewElements(Elements),
    DeleteElements(Elements),
    NewNamed(Named),
    DeleteNamed(Named),
    Generation(Generation),
    /// The end of a listing; not 0: minus the error (`errno(3)`) that broke it off.
    Done(i32),
    /// The answer to a request: 0, or minus the error.
    Answer(i32),
}

/// What a datagram holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Datagram {
    pub messages: Vec<Message>,
    /// Messages that could not be read, and the rest of the datagram when a length is wrong.
    pub malformed: u64,
    /// Messages of other subsystems, and those that say nothing of the ruleset.
    pub ignored: u64,
    /// The ruleset changed while it was listed (`NLM_F_DUMP_INTR`).
    pub interrupted: bool,
}

impl Datagram {
    /// Takes any bytes. There are never more messages than one for each 16 bytes.
    pub fn decode(mut bytes: &[u8]) -> Self {
        let mut datagram = Self::default();
        while !bytes.is_empty() {
            let Ok(message) = NetlinkBuffer::new_checked(bytes) else {
                datagram.malformed += 1;
                break;
            };
            datagram.interrupted |= message.flags() & NLM_F_DUMP_INTR != 0;
            datagram.take(message.message_type(), message.flags(), message.payload());
            let length = usize::try_from(message.length()).unwrap_or(usize::MAX);
            bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        datagram
    }

    fn take(&mut self, kind: u16, flags: u16, payload: &[u8]) {
        let message = match kind {
            NLMSG_NOOP | NLMSG_OVERRUN => None,
            NLMSG_DONE => Some(Message::Done(status(payload))),
            NLMSG_ERROR => Some(Message::Answer(status(payload))),
            _ if kind >> 8 == SUBSYSTEM && is_known(kind & 0xFF) => {
                let decoded = decode(kind & 0xFF, flags, payload);
                self.malformed += u64::from(decoded.is_none());
                self.messages.extend(decoded);
                return;
            }
            _ => None,
        };
        self.ignored += u64::from(message.is_none());
        self.messages.extend(message);
    }
}

/// The number at the front of `NLMSG_DONE` and `NLMSG_ERROR`, in host order.
fn status(payload: &[u8]) -> i32 {
    payload
        .first_chunk()
        .map_or(0, |bytes| i32::from_ne_bytes(*bytes))
}

/// `enum nf_tables_msg_types`: without the requests, which the kernel does not send, and traces.
fn is_known(kind: u16) -> bool {
    matches!(
        kind,
        0 | 2 | 3 | 5 | 6 | 8 | 9 | 11 | 12 | 14 | 15 | 18 | 20 | 22 | 24 | 26..=32
    )
}

/// Since Linux 6.3 there are two requests to delete, and the messages about it repeat which one it was: those
/// from 26 on are `NFT_MSG_DESTROY*`.
fn decode(kind: u16, flags: u16, payload: &[u8]) -> Option<Message> {
    let (header, attributes) = payload.split_at_checked(GENERIC_BYTES)?;
    let attributes = Attributes::new(attributes);
    if kind == 15 {
        return Generation::decode(attributes).map(Message::Generation);
    }
    let family = family(*header.first()?)?;
    let rule = || RuleRecord::decode(family, flags, attributes);
    let message = match kind {
        0 => Message::NewTable(Table::decode(family, attributes)?),
        2 | 26 => Message::DeleteTable(Table::decode(family, attributes)?),
        3 => Message::NewChain(Chain::decode(family, attributes)?),
        5 | 27 => Message::DeleteChain(Chain::decode(family, attributes)?),
        6 => Message::NewRule(rule()?),
        8 | 28 => Message::DeleteRule(rule()?),
        9 => Message::NewSet(Set::decode(family, attributes)?),
        11 | 29 => Message::DeleteSet(Set::decode(family, attributes)?),
        12 => Message::NewElements(Elements::decode(family, attributes)?),
        14 | 30 => Message::DeleteElements(Elements::decode(family, attributes)?),
        18 => Message::NewNamed(Named::decode(family, "object", attributes)?),
        20 | 31 => Message::DeleteNamed(Named::decode(family, "object", attributes)?),
        22 => Message::NewNamed(Named::decode(family, "flowtable", attributes)?),
        24 | 32 => Message::DeleteNamed(Named::decode(family, "flowtable", attributes)?),
        _ => return None,
    };
    Some(message)
}

/// `NFPROTO_*`, `include/uapi/linux/netfilter.h`
fn family(number: u8) -> Option<Family> {
    match number {
        1 => Some(Family::Inet),
        2 => Some(Family::Ipv4),
        3 => Some(Family::Arp),
        5 => Some(Family::Netdev),
        7 => Some(Family::Bridge),
        10 => Some(Family::Ipv6),
        _ => None,
    }
}
