//! From the bytes of a table to its chains.

use std::ops::Range;

use super::chain::{Action, Chain, Entry, Table};
use super::{INFO_BYTES, NAME_BYTES, XtablesError};
use crate::pipeline::firewall::change::{Family, Policy};
use crate::pipeline::firewall::netlink::attribute::until_nul;
use crate::pipeline::firewall::netlink::{Extension, Verdict};

/// By their numbers: `enum nf_inet_hooks`, `include/uapi/linux/netfilter.h`.
const HOOKS: [&[u8]; 5] = [
    b"PREROUTING",
    b"INPUT",
    b"FORWARD",
    b"OUTPUT",
    b"POSTROUTING",
];

/// Bytes before the content of a match or a target: size, name, revision (`struct xt_entry_match` and
/// `struct xt_entry_target`, `include/uapi/linux/netfilter/x_tables.h`).
pub(super) const EXTENSION_BYTES: usize = 32;

/// Longest name of a match or a target: `XT_EXTENSION_MAXNAMELEN`.
const EXTENSION_NAME_BYTES: usize = 29;

/// Where things stand in an entry of one family.
pub(super) struct Layout {
    /// Of `struct ipt_ip` or `struct ip6t_ip6`.
    pub(super) header_bytes: usize,
    /// Of the flags in it, and the bit that makes of a jump one that does not come back (`IPT_F_GOTO`,
    /// `IP6T_F_GOTO`).
    flags: usize,
    goto: u8,
    /// Of the whole `struct ipt_entry` or `struct ip6t_entry`.
    pub(super) entry_bytes: usize,
}

impl Layout {
    pub(super) fn of(family: Family) -> Self {
        match family {
            Family::Ipv6 => Self {
                header_bytes: 136,
                flags: 131,
                goto: 4,
                entry_bytes: 168,
            },
            Family::Ipv4 | Family::Inet | Family::Arp | Family::Bridge | Family::Netdev => Self {
                header_bytes: 84,
                flags: 82,
                goto: 2,
                entry_bytes: 112,
            },
        }
    }

    /// `target_offset`, behind the header and `nfcache`; `next_offset` follows.
    pub(super) fn target_offset(&self) -> usize {
        self.header_bytes + 4
    }
}

/// The head of a table, `struct ipt_getinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Info {
    pub(super) name: Vec<u8>,
    /// For each hook that the table has, where its chain begins and which entry is its policy.
    hooks: [Option<(usize, usize)>; HOOKS.len()],
    /// Bytes of its entries.
    pub(super) size: usize,
}

impl Info {
    pub(super) fn decode(bytes: &[u8; INFO_BYTES]) -> Self {
        let (name, numbers) = bytes.split_at(NAME_BYTES);
        let number = |index: usize| u32_at(numbers, 4 * index).unwrap_or_default();
        let offset = |index: usize| usize::try_from(number(index)).unwrap_or(usize::MAX);
        let valid = number(0);
        let hooks = std::array::from_fn(|hook| {
            let is_valid = valid & (1 << hook) != 0;
            is_valid.then(|| (offset(1 + hook), offset(1 + HOOKS.len() + hook)))
        });
        Self {
            name: until_nul(name),
            hooks,
            size: offset(2 + 2 * HOOKS.len()),
        }
    }

    /// The hooks whose chain begins there, by name.
    fn hooks_at(&self, offset: usize) -> Option<Vec<u8>> {
        let hooks = self.hooks.iter().zip(HOOKS);
        let here = hooks.filter(|(hook, _)| hook.is_some_and(|(begin, _)| begin == offset));
        let names: Vec<&[u8]> = here.map(|(_, name)| name).collect();
        (!names.is_empty()).then(|| names.join(&b'+'))
    }

    /// Which entry is the policy of the chain that begins there.
    fn underflow_of(&self, offset: usize) -> Option<usize> {
        let mut hooks = self.hooks.iter().flatten();
        let (_, underflow) = hooks.find(|(begin, _)| *begin == offset)?;
        Some(*underflow)
    }
}

/// Reads a table's entries. There are never more than one for each 112 bytes.
pub(super) fn decode(family: Family, info: &Info, bytes: &[u8]) -> Result<Table, XtablesError> {
    let layout = Layout::of(family);
    let raw = split(&layout, bytes)?;
    check_hooks(info, &raw)?;
    let places = places(info, &raw);
    let mut chains: Vec<Chain> = places.iter().map(Place::empty_chain).collect();
    for (place, chain) in places.iter().zip(&mut chains) {
        for entry in raw.get(place.entries.clone()).unwrap_or_default() {
            chain.rules.push(entry.read(&layout, &raw, &places)?);
        }
        end(chain, place, &raw);
    }
    Ok(Table {
        family,
        name: info.name.clone(),
        chains,
    })
}

/// One entry in its place.
struct Raw<'a> {
    offset: usize,
    bytes: &'a [u8],
    target_offset: usize,
    target: Extension,
}

/// Takes the bytes apart at the borders of the entries.
fn split<'a>(layout: &Layout, bytes: &'a [u8]) -> Result<Vec<Raw<'a>>, XtablesError> {
    let mut raw = Vec::new();
    let mut offset = 0;
    while offset < bytes.len() {
        let beyond = XtablesError::Entry {
            offset,
            bytes: bytes.len(),
        };
        let rest = bytes.get(offset..).unwrap_or_default();
        let sizes = layout.target_offset();
        let (Some(target_offset), Some(length)) = (u16_at(rest, sizes), u16_at(rest, sizes + 2))
        else {
            return Err(beyond);
        };
        let entry = rest.get(..length).ok_or(beyond)?;
        if target_offset < layout.entry_bytes || length < target_offset {
            return Err(beyond);
        }
        let target = extension(entry, target_offset, length);
        let (target, _) = target.ok_or(XtablesError::Target { offset })?;
        raw.push(Raw {
            offset,
            bytes: entry,
            target_offset,
            target,
        });
        offset += length;
    }
    Ok(raw)
}

fn index_of(raw: &[Raw<'_>], offset: usize) -> Option<usize> {
    raw.binary_search_by_key(&offset, |entry| entry.offset).ok()
}

/// The kernel checks the same (`translate_table`, `net/ipv4/netfilter/ip_tables.c`).
fn check_hooks(info: &Info, raw: &[Raw<'_>]) -> Result<(), XtablesError> {
    for (hook, ends) in info.hooks.iter().enumerate() {
        for offset in ends
            .iter()
            .flat_map(|&(begin, underflow)| [begin, underflow])
        {
            if index_of(raw, offset).is_none() {
                return Err(XtablesError::Hook { hook, offset });
            }
        }
    }
    Ok(())
}

/// Where a chain stands.
struct Place {
    name: Vec<u8>,
    /// They begin no earlier than those of the chain before.
    entries: Range<usize>,
    /// The entry that is its policy.
    underflow: Option<usize>,
}

impl Place {
    fn empty_chain(&self) -> Chain {
        Chain {
            name: self.name.clone(),
            policy: None,
            rules: Vec::new(),
        }
    }
}

/// Cuts the entries into chains: every entry but the heads of chains is in just one.
fn places(info: &Info, raw: &[Raw<'_>]) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    // The policy of a chain is behind its rules; what follows is another chain, whatever it is.
    let mut is_over = true;
    for (index, entry) in raw.iter().enumerate() {
        let mut begin = |name, first, underflow| {
            places.push(Place {
                name,
                entries: first..first,
                underflow,
            });
        };
        if let Some(name) = chain_name(&entry.target) {
            begin(name, index + 1, None);
            is_over = false;
            continue;
        }
        if let Some(name) = info.hooks_at(entry.offset) {
            begin(name, index, info.underflow_of(entry.offset));
        } else if is_over {
            begin(format!("@{}", entry.offset).into_bytes(), index, None);
        }
        let place = places.last_mut();
        is_over = place.is_none_or(|place| {
            place.entries.end = index + 1;
            place.underflow == Some(entry.offset)
        });
    }
    // The last entry of a table is one that names no chain.
    places.pop_if(|last| {
        last.entries.is_empty() && last.name == b"ERROR" && last.underflow.is_none()
    });
    places
}

/// `struct xt_error_target`: what a chain of a user begins with.
fn chain_name(target: &Extension) -> Option<Vec<u8>> {
    (target.name == b"ERROR").then(|| until_nul(&target.info))
}

/// Makes of a chain's last entry what it stands for: the policy, or the return to where a user's chain was called
/// from, which is none of its rules.
fn end(chain: &mut Chain, place: &Place, raw: &[Raw<'_>]) {
    if let Some(underflow) = place.underflow {
        let entry = index_of(raw, underflow).and_then(|index| raw.get(index));
        chain.policy = entry.and_then(|entry| policy(&entry.target));
        let last = place.entries.end.checked_sub(1).and_then(|at| raw.get(at));
        if chain.policy.is_some() && last.is_some_and(|last| last.offset == underflow) {
            chain.rules.pop();
        }
        return;
    }
    chain.rules.pop_if(|rule| {
        let returns = rule.action == Action::Verdict(Verdict::Return);
        returns && rule.matches.is_empty() && rule.header.iter().all(|&byte| byte == 0)
    });
}

/// `None`: it decides something else, which no kernel takes there (`check_underflow`).
fn policy(target: &Extension) -> Option<Policy> {
    match standard(target)? {
        -1 => Some(Policy::Drop),
        -2 => Some(Policy::Accept),
        _ => None,
    }
}

/// The verdict of a `struct xt_standard_target`; `None` of any other target.
fn standard(target: &Extension) -> Option<i32> {
    let number = u32_at(&target.info, 0)?;
    target.name.is_empty().then(|| number.cast_signed())
}

impl Raw<'_> {
    fn read(
        &self,
        layout: &Layout,
        raw: &[Raw<'_>],
        places: &[Place],
    ) -> Result<Entry, XtablesError> {
        let action = match standard(&self.target) {
            None => Action::Target(self.target.clone()),
            Some(verdict) => Action::Verdict(self.verdict(verdict, layout, raw, places)?),
        };
        let header = self.bytes.get(..layout.header_bytes);
        Ok(Entry {
            header: header.unwrap_or_default().to_vec(),
            matches: self.matches(layout)?,
            action,
        })
    }

    fn matches(&self, layout: &Layout) -> Result<Vec<Extension>, XtablesError> {
        let mut matches = Vec::new();
        let mut offset = layout.entry_bytes;
        while offset < self.target_offset {
            let found = extension(self.bytes, offset, self.target_offset);
            let (found, bytes) = found.ok_or(XtablesError::Match {
                offset: self.offset,
            })?;
            matches.push(found);
            offset += bytes;
        }
        Ok(matches)
    }

    /// A verdict below 0 is minus that of netfilter, minus 1; any other is the offset of where to go on
    /// (`ipt_do_table`, `net/ipv4/netfilter/ip_tables.c`).
    fn verdict(
        &self,
        number: i32,
        layout: &Layout,
        raw: &[Raw<'_>],
        places: &[Place],
    ) -> Result<Verdict, XtablesError> {
        let Ok(to) = usize::try_from(number) else {
            return Ok(match number {
                -1 => Verdict::Drop,
                -2 => Verdict::Accept,
                -4 => Verdict::Queue,
                -5 => Verdict::Return,
                other => Verdict::Other(other),
            });
        };
        let offset = self.offset;
        if to == offset + self.bytes.len() {
            return Ok(Verdict::Continue);
        }
        let index = index_of(raw, to).ok_or(XtablesError::Jump { offset, to })?;
        let chain = name_of(index, places);
        let flags = self.bytes.get(layout.flags).copied().unwrap_or_default();
        Ok(match flags & layout.goto {
            0 => Verdict::Jump(chain),
            _ => Verdict::Goto(chain),
        })
    }
}

/// The chain that begins with that entry; or of an entry amid a chain, which rule it is.
fn name_of(index: usize, places: &[Place]) -> Vec<u8> {
    let behind = places.partition_point(|place| place.entries.start <= index);
    let place = behind.checked_sub(1).and_then(|last| places.get(last));
    match place.map(|place| (place, index - place.entries.start)) {
        Some((place, 0)) => place.name.clone(),
        Some((place, before)) => {
            let rule = format!(" rule {}", before + 1);
            [place.name.as_slice(), rule.as_bytes()].concat()
        }
        None => format!("entry {index}").into_bytes(),
    }
}

/// The match or target that begins there and ends before `end`, and its length. It takes more than its head.
fn extension(entry: &[u8], offset: usize, end: usize) -> Option<(Extension, usize)> {
    let bytes = u16_at(entry, offset)?;
    let whole = entry.get(offset..end)?.get(..bytes)?;
    let (head, info) = whole.split_at_checked(EXTENSION_BYTES)?;
    let name = head.get(2..2 + EXTENSION_NAME_BYTES)?;
    let extension = Extension {
        name: until_nul(name),
        revision: u32::from(*head.last()?),
        info: info.to_vec(),
    };
    Some((extension, bytes))
}

pub(super) fn u16_at(bytes: &[u8], offset: usize) -> Option<usize> {
    let number = bytes.get(offset..)?.first_chunk()?;
    Some(usize::from(u16::from_ne_bytes(*number)))
}

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let number = bytes.get(offset..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*number))
}
