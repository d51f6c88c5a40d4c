//! The older x_tables: what its tables hold, as the kernel hands that out, and what lies between two listings.
//!
//! ```text
//! listing:  table …
//! table:    family u32, kept u32                     NFPROTO_*; bytes of entries that follow, or 0
//!           name [u8; 32], hooks u32, hook_entry [u32; 5], underflow [u32; 5], entries u32, size u32
//!                                                    struct ipt_getinfo, which is ip6t_getinfo, too
//!           entry …
//! entry:    header, nfcache u32, target_offset u16, next_offset u16, comefrom u32, counters [u64; 2]
//!           match …
//!           target
//! ```
//!
//! Numbers are in the order of the host. An entry is `struct ipt_entry`
//! (`include/uapi/linux/netfilter_ipv4/ip_tables.h`) or its twin for IPv6. Chains are not in it as such: one of a
//! hook begins where the head says and ends with the entry that is its policy, one of a user begins behind an entry
//! whose target is `ERROR` and has the chain's name.

mod blob;
mod chain;
mod diff;
mod interpret;
pub mod listing;
pub mod notices;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

pub use chain::{Action, Chain, Entry, Table};
pub use diff::{Difference, diff};
pub use listing::{LISTING_BYTES_MAX, Listing, Tables};

/// `XT_TABLE_MAXNAMELEN`, `include/uapi/linux/netfilter/x_tables.h`: a table's name with its NUL.
pub const NAME_BYTES: usize = 32;

/// Bytes of `struct ipt_getinfo` and `struct ip6t_getinfo`.
pub const INFO_BYTES: usize = NAME_BYTES + 13 * 4;

/// Why a table makes no sense. No kernel makes such a one, but a file may be damaged, and whoever replaces a table
/// has a hand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XtablesError {
    #[error("a listing ends within the head of a table")]
    NoHead,
    #[error("family {0} has no such tables")]
    Family(u32),
    #[error("a table of {size} bytes ends after {there}")]
    NoEntries { size: usize, there: usize },
    #[error("a table is listed twice")]
    Twice,
    #[error(
        "the table takes {size} bytes; of all tables no more than {LISTING_BYTES_MAX} are read"
    )]
    TooLarge { size: usize },
    #[error("the entry at {offset} goes beyond the {bytes} bytes of the table")]
    Entry { offset: usize, bytes: usize },
    #[error("a match of the entry at {offset} goes beyond it")]
    Match { offset: usize },
    #[error("the target of the entry at {offset} goes beyond it")]
    Target { offset: usize },
    #[error("hook {hook} begins or ends at {offset}, where no entry is")]
    Hook { hook: usize, offset: usize },
    #[error("the entry at {offset} jumps to {to}, where no entry is")]
    Jump { offset: usize, to: usize },
}
