//! All tables of one network namespace, as the kernel handed them out, and as what they hold.

use std::collections::BTreeMap;

use super::blob::{self, Info, u32_at};
use super::chain::Table;
use super::diff::{Difference, diff};
use super::{INFO_BYTES, XtablesError};
use crate::pipeline::firewall::change::Family;

/// The most that is read of all tables together, in bytes: some 160,000 rules of one port each. A table for which
/// there is no room is told, and nothing of it is read.
pub const LISTING_BYTES_MAX: usize = 32 << 20;

/// Bytes before the entries of a table.
const HEAD_BYTES: usize = 8 + INFO_BYTES;

/// `NFPROTO_IPV4` and `NFPROTO_IPV6`, `include/uapi/linux/netfilter.h`
const FAMILIES: [(u32, Family); 2] = [(2, Family::Ipv4), (10, Family::Ipv6)];

type Key = (Family, Vec<u8>);

/// The tables as bytes; the module above draws them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing(Vec<u8>);

impl Listing {
    pub fn of_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether a table with entries of `bytes` has room beside what is there.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.0
            .len()
            .saturating_add(HEAD_BYTES)
            .saturating_add(bytes)
            <= LISTING_BYTES_MAX
    }

    /// Adds a table of IPv4 or IPv6: its head, and its entries or none of them.
    pub fn add(&mut self, is_v6: bool, info: &[u8; INFO_BYTES], entries: &[u8]) {
        let [(v4, _), (v6, _)] = FAMILIES;
        let family = if is_v6 { v6 } else { v4 };
        // No more than the kernel counts in 32 bits.
        let kept = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&family.to_ne_bytes());
        self.0.extend_from_slice(&kept.to_ne_bytes());
        self.0.extend_from_slice(info);
        self.0.extend_from_slice(entries);
    }

    /// What the tables hold. One that makes no sense spoils none of the others.
    ///
    /// # Errors
    ///
    /// When the listing itself ends too early, or names a family without such tables, or a table twice.
    pub fn decode(&self) -> Result<Tables, XtablesError> {
        let mut tables = Tables::default();
        let mut rest = self.0.as_slice();
        while !rest.is_empty() {
            let (head, behind) = rest
                .split_at_checked(HEAD_BYTES)
                .ok_or(XtablesError::NoHead)?;
            let (family, kept, info) = head_of(head)?;
            let there = behind.len();
            let (entries, next) = behind
                .split_at_checked(kept)
                .ok_or(XtablesError::NoEntries { size: kept, there })?;
            let key = (family, info.name.clone());
            let content = content(family, &info, entries);
            if tables.0.insert(key, content).is_some() {
                return Err(XtablesError::Twice);
            }
            rest = next;
        }
        Ok(tables)
    }
}

fn head_of(head: &[u8]) -> Result<(Family, usize, Info), XtablesError> {
    let number = u32_at(head, 0).ok_or(XtablesError::NoHead)?;
    let kept = u32_at(head, 4).ok_or(XtablesError::NoHead)?;
    let info = head.get(8..).and_then(<[u8]>::first_chunk);
    let info = info.ok_or(XtablesError::NoHead)?;
    let mut families = FAMILIES.iter();
    let family = families.find(|(known, _)| *known == number);
    let (_, family) = family.ok_or(XtablesError::Family(number))?;
    let kept = usize::try_from(kept).unwrap_or(usize::MAX);
    Ok((*family, kept, Info::decode(info)))
}

fn content(family: Family, info: &Info, entries: &[u8]) -> Content {
    let (size, there) = (info.size, entries.len());
    let table = match there {
        _ if there == size => blob::decode(family, info, entries),
        0 => Err(XtablesError::TooLarge { size }),
        _ => Err(XtablesError::NoEntries { size, there }),
    };
    match table {
        Ok(table) => Content {
            table: Some(table),
            error: None,
        },
        Err(error) => Content {
            table: None,
            error: Some(error),
        },
    }
}

/// What is known of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Content {
    /// As it was when it could be read last.
    table: Option<Table>,
    /// Why it cannot be read now.
    error: Option<XtablesError>,
}

/// What the tables hold, by family and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables(BTreeMap<Key, Content>);

impl Tables {
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.0.keys()
    }

    pub(super) fn table(&self, key: &Key) -> Option<&Table> {
        self.0.get(key)?.table.as_ref()
    }

    pub(super) fn error(&self, key: &Key) -> Option<XtablesError> {
        self.0.get(key)?.error
    }

    /// The tables that could be read.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        let contents = self.0.values();
        contents.filter_map(|content| content.table.as_ref())
    }

    /// Why the others could not.
    pub fn errors(&self) -> impl Iterator<Item = (&[u8], XtablesError)> {
        let contents = self.0.iter();
        contents.filter_map(|((_, name), content)| Some((name.as_slice(), content.error?)))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes over what is there now, and gives what changed. Of a table that cannot be read, what was known is kept,
    /// so that it can be compared when it can be read again.
    pub fn adopt(&mut self, present: Self) -> Vec<Difference> {
        let differences = diff(self, &present);
        let mut earlier = std::mem::replace(self, present);
        for (key, content) in &mut self.0 {
            if content.table.is_none() {
                content.table = earlier.0.remove(key).and_then(|known| known.table);
            }
        }
        differences
    }

    /// What changed until `present` since an earlier run of the agent knew this.
    ///
    /// Nothing, when there is nothing after another boot: no service has loaded its rules yet, and when one does, that
    /// is seen as it happens.
    pub fn changes_until(&self, present: &Self, same_boot: bool) -> Vec<Difference> {
        let is_early = !same_boot && present.tables().all(Table::is_untouched);
        if is_early && present.errors().next().is_none() {
            return Vec::new();
        }
        diff(self, present)
    }
}
