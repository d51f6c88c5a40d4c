//! What lies between two contents of a table.

use std::collections::{BTreeMap, BTreeSet};

use super::chain::{Chain, Entry, Table};
use super::interpret::interpret;
use super::listing::Tables;
use crate::pipeline::firewall::change::{
    Backend, Family, FirewallChange, Hook, Operation, Position, Which,
};
use crate::pipeline::firewall::twins::twins;

/// Rules that went, rules that came, and changes of tables and chains: so many of each are told of one table, so that
/// none of them drowns the others.
const CHANGES_MAX: usize = 1024;

/// What changed in one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub family: Family,
    pub table: Vec<u8>,
    /// What went, and then what came.
    pub changes: Vec<FirewallChange>,
    /// Changes beyond the bound, which are not in `changes`.
    pub omitted: u64,
}

/// What leads from the earlier tables to the later ones, table by table; those that are the same are left out.
///
/// A table that was not there is compared with one as its module makes it. One that is not there any more has been
/// taken out with its module, and its rules with it. Of a table that could not be read, that is told.
pub fn diff(earlier: &Tables, later: &Tables) -> Vec<Difference> {
    let mut keys: Vec<_> = earlier.keys().chain(later.keys()).collect();
    keys.sort();
    keys.dedup();
    let differences = keys.into_iter().map(|key| {
        let (family, table) = key;
        let mut changes = Changes::new(*family, table);
        changes.tables(earlier, later, key);
        changes.into_difference()
    });
    differences
        .filter(|difference| !difference.changes.is_empty())
        .collect()
}

struct Changes<'a> {
    family: Family,
    table: &'a [u8],
    gone: Vec<FirewallChange>,
    frames: Vec<FirewallChange>,
    new: Vec<FirewallChange>,
    omitted: u64,
}

impl<'a> Changes<'a> {
    fn new(family: Family, table: &'a [u8]) -> Self {
        Self {
            family,
            table,
            gone: Vec::new(),
            frames: Vec::new(),
            new: Vec::new(),
            omitted: 0,
        }
    }

    fn into_difference(self) -> Difference {
        let parts = [self.gone, self.frames, self.new];
        Difference {
            family: self.family,
            table: self.table.to_vec(),
            changes: parts.concat(),
            omitted: self.omitted,
        }
    }

    fn tables(&mut self, earlier: &Tables, later: &Tables, key: &(Family, Vec<u8>)) {
        if let Some(error) = later
            .error(key)
            .filter(|_| earlier.error(key) != later.error(key))
        {
            let what = format!("what the table holds cannot be read: {error}").into_bytes();
            self.frame(None, Operation::Other { what });
        }
        match (earlier.table(key), later.table(key)) {
            (Some(before), Some(after)) => self.contents(before, after),
            (None, Some(after)) => self.contents(&after.untouched(), after),
            // It is there, and cannot be read.
            (Some(_), None) if later.error(key).is_some() => {}
            (Some(before), None) if !before.is_untouched() => {
                for chain in &before.chains {
                    self.rules(Some(chain), None);
                }
                self.frame(None, Operation::DeleteTable);
            }
            (Some(_) | None, None) => {}
        }
    }

    fn contents(&mut self, before: &Table, after: &Table) {
        let renamed = self.renamed(before, after);
        let before = renamed.as_ref().unwrap_or(before);
        let (known, present) = (numbered(before), numbered(after));
        for (key, chain) in &known {
            if !present.contains_key(key) {
                self.rules(Some(chain), None);
                self.frame(Some(&chain.name), Operation::DeleteChain);
            }
        }
        for (key, chain) in &present {
            let before = known.get(key).copied();
            self.frames_of(before, chain);
            self.rules(before, Some(chain));
        }
    }

    /// The table as it was, but with the chain's new name, when one chain was renamed and nothing else tells the two
    /// names apart.
    fn renamed(&mut self, before: &Table, after: &Table) -> Option<Table> {
        let only_in = |one: &Table, other: &Table| {
            let mut chains = one.chains.iter();
            let first = chains.find(|chain| other.chain(&chain.name).is_none())?;
            let is_only = chains.all(|chain| other.chain(&chain.name).is_some());
            (is_only && first.policy.is_none()).then(|| first.clone())
        };
        let (old, new) = (only_in(before, after)?, only_in(after, before)?);
        if old.rules != new.rules {
            return None;
        }
        let to = new.name.clone();
        self.frame(Some(&old.name), Operation::RenameChain { to });
        Some(before.renamed(&old.name, &new.name))
    }

    fn frames_of(&mut self, before: Option<&Chain>, after: &Chain) {
        let Some(before) = before else {
            let (hook, policy) = (hook(after), after.policy);
            self.frame(Some(&after.name), Operation::AddChain { hook, policy });
            return;
        };
        if let Some(policy) = after.policy.filter(|_| before.policy != after.policy) {
            self.frame(Some(&after.name), Operation::SetPolicy(policy));
        }
    }

    fn rules(&mut self, before: Option<&Chain>, after: Option<&Chain>) {
        let (old, new) = (rules_of(before), rules_of(after));
        let Some(chain) = after.or(before) else {
            return;
        };
        let apart = Apart::of(old, new);
        for at in apart.gone {
            if let (true, Some(entry)) = (self.has_room(self.gone.len()), old.get(at)) {
                let rule = Box::new(interpret(self.family, entry));
                let index = counted(at);
                let operation = Operation::DeleteRule(Which::Numbered { index, rule });
                self.gone.push(self.change(Some(&chain.name), operation));
            }
        }
        for at in apart.come {
            if let (true, Some(entry)) = (self.has_room(self.new.len()), new.get(at)) {
                let rule = Box::new(interpret(self.family, entry));
                let position = match at >= apart.appended_from {
                    true => Position::Last,
                    false => Position::Index(counted(at)),
                };
                let operation = Operation::AddRule { rule, position };
                self.new.push(self.change(Some(&chain.name), operation));
            }
        }
    }

    fn has_room(&mut self, taken: usize) -> bool {
        self.omitted += u64::from(taken >= CHANGES_MAX);
        taken < CHANGES_MAX
    }

    fn frame(&mut self, chain: Option<&[u8]>, operation: Operation) {
        if self.has_room(self.frames.len()) {
            self.frames.push(self.change(chain, operation));
        }
    }

    fn change(&self, chain: Option<&[u8]>, operation: Operation) -> FirewallChange {
        FirewallChange {
            backend: Backend::XtablesLegacy,
            family: Some(self.family),
            table: Some(self.table.to_vec()),
            chain: chain.map(<[u8]>::to_vec),
            operation,
        }
    }
}

/// Chains by name; of several with one name, which the kernel takes and no tool makes, each by its number.
fn numbered(table: &Table) -> BTreeMap<(&[u8], usize), &Chain> {
    let mut chains: BTreeMap<(&[u8], usize), &Chain> = BTreeMap::new();
    for chain in &table.chains {
        let name = chain.name.as_slice();
        let namesakes = chains.range((name, 0)..=(name, usize::MAX)).count();
        chains.insert((name, namesakes), chain);
    }
    chains
}

fn rules_of(chain: Option<&Chain>) -> &[Entry] {
    chain.map_or(&[], |chain| &chain.rules)
}

/// What two versions of a chain do not have in common.
struct Apart {
    /// Rules of the old one, and of the new one, by their places.
    gone: Vec<usize>,
    come: Vec<usize>,
    /// From there on all rules of the new one have come.
    appended_from: usize,
}

impl Apart {
    fn of(old: &[Entry], new: &[Entry]) -> Self {
        let same = |(old, new): &(&Entry, &Entry)| old == new;
        let front = old.iter().zip(new).take_while(same).count();
        let rest = |rules: &'_ [Entry]| rules.len() - front;
        let shorter = rest(old).min(rest(new));
        let ends = old.iter().rev().zip(new.iter().rev()).take(shorter);
        let back = ends.take_while(same).count();
        let twins = twins(rest(old) - back, rest(new) - back, |before, after| {
            old.get(front + before) == new.get(front + after)
        });
        let kept: BTreeSet<usize> = twins.iter().flatten().copied().collect();
        let gone = twins.iter().enumerate();
        let gone = gone.filter_map(|(at, twin)| twin.is_none().then_some(front + at));
        let come = (0..rest(new) - back).filter(|at| !kept.contains(at));
        let last_kept = match back {
            0 => kept.last().map_or(front, |last| front + last + 1),
            _ => new.len(),
        };
        Self {
            gone: gone.collect(),
            come: come.map(|at| front + at).collect(),
            appended_from: last_kept,
        }
    }
}

fn counted(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX).saturating_add(1)
}

/// Of a chain with a policy, by its name.
fn hook(chain: &Chain) -> Option<Hook> {
    chain.policy?;
    match chain.name.as_slice() {
        b"PREROUTING" => Some(Hook::Prerouting),
        b"INPUT" => Some(Hook::Input),
        b"FORWARD" => Some(Hook::Forward),
        b"OUTPUT" => Some(Hook::Output),
        b"POSTROUTING" => Some(Hook::Postrouting),
        _ => None,
    }
}
