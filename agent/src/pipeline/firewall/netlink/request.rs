//! Questions to the kernel about its ruleset.

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};

use super::SUBSYSTEM;
use super::record::Set;
use crate::pipeline::firewall::change::Family;

/// What is listed; in this order, a ruleset is whole.
#[derive(Clone, Copy, Debug)]
pub enum Listing<'a> {
    /// Not a list: the number of the latest transaction.
    Generation,
    Tables,
    Chains,
    Sets,
    /// Of one set.
    Elements(&'a Set),
    Rules,
}

/// The bytes of a request. The answer repeats `sequence`.
pub fn request(listing: Listing<'_>, sequence: u32) -> Vec<u8> {
    // `NFT_MSG_GET*`, `enum nf_tables_msg_types`
    let (kind, flags) = match listing {
        Listing::Generation => (16_u16, NLM_F_REQUEST),
        Listing::Tables => (1, NLM_F_REQUEST | NLM_F_DUMP),
        Listing::Chains => (4, NLM_F_REQUEST | NLM_F_DUMP),
        Listing::Rules => (7, NLM_F_REQUEST | NLM_F_DUMP),
        Listing::Sets => (10, NLM_F_REQUEST | NLM_F_DUMP),
        Listing::Elements(_) => (13, NLM_F_REQUEST | NLM_F_DUMP),
    };
    let mut body = Vec::new();
    let mut family = 0;
    if let Listing::Elements(set) = listing {
        family = number(set.family);
        put_name(&mut body, 1, &set.table);
        put_name(&mut body, 2, &set.name);
    }
    let length = 20 + u32::try_from(body.len()).unwrap_or(0);
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&(SUBSYSTEM << 8 | kind).to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&sequence.to_ne_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&[family, 0, 0, 0]);
    bytes.extend_from_slice(&body);
    bytes
}

/// A name is at most 256 bytes long with its NUL (`NFT_NAME_MAXLEN`); the kernel refuses a longer one.
fn put_name(body: &mut Vec<u8>, kind: u16, name: &[u8]) {
    let length = u16::try_from(name.len().saturating_add(5)).unwrap_or(u16::MAX);
    body.extend_from_slice(&length.to_ne_bytes());
    body.extend_from_slice(&kind.to_ne_bytes());
    body.extend_from_slice(name);
    body.push(0);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// `NFPROTO_*`, `include/uapi/linux/netfilter.h`
fn number(family: Family) -> u8 {
    match family {
        Family::Inet => 1,
        Family::Ipv4 => 2,
        Family::Arp => 3,
        Family::Netdev => 5,
        Family::Bridge => 7,
        Family::Ipv6 => 10,
    }
}
