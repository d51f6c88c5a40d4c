//! A ruleset that an earlier run of the agent has kept, and what a later one has that it had not.

use super::Datagram;
use super::chain::ChainContent;
use super::expression::Expression;
use super::record::{RuleRecord, Set};
use super::ruleset::{Ruleset, SetContent, TableContent};
use super::snapshot::{Snapshot, diff};
use crate::pipeline::firewall::change::FirewallChange;
use crate::pipeline::firewall::twins::twins;

/// Bytes of `struct nlmsghdr`, and what a message is aligned to (`netlink(7)`).
const HEADER_BYTES: usize = 16;
const ALIGNMENT: usize = 4;

/// A listing as the kernel wrote it: messages, each aligned to 4 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Of the latest transaction in it.
    pub generation: u32,
    pub messages: Vec<u8>,
}

impl Listed {
    /// The ruleset that the messages tell; bounded as any ([`Ruleset::left_out`]). `None` when one of them
    /// makes no sense, or a length is wrong.
    pub fn decode(&self) -> Option<Snapshot> {
        let mut ruleset = Ruleset::default();
        let mut rest = self.messages.as_slice();
        while !rest.is_empty() {
            let length = usize::try_from(u32::from_ne_bytes(*rest.first_chunk()?)).ok()?;
            let aligned = length.checked_next_multiple_of(ALIGNMENT)?;
            if length < HEADER_BYTES {
                return None;
            }
            let (message, behind) = rest.split_at_checked(aligned)?;
            let datagram = Datagram::decode(message);
            if datagram.malformed > 0 {
                return None;
            }
            for message in &datagram.messages {
                ruleset.apply(message);
            }
            rest = behind;
        }
        ruleset.settle();
        Some(Snapshot {
            generation: self.generation,
            ruleset,
        })
    }
}

/// What an earlier run of the agent knew last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    pub snapshot: Snapshot,
    /// It is of the boot that lasts.
    pub same_boot: bool,
}

impl Remembered {
    /// What changed until `present`, by what things say and not by their handles: those are others after a
    /// boot, and after a service has loaded the same rules anew. There are at most as many changes as there
    /// are things in both.
    ///
    /// Nothing, when `present` is empty after another boot: no service has loaded its rules yet, and when one
    /// does, that is heard as it happens. Nothing, too, when one of them is incomplete
    /// ([`Ruleset::left_out`]): what was left out would look like a change.
    pub fn changes_until(&self, present: &Snapshot) -> Vec<FirewallChange> {
        let is_early = !self.same_boot && present.ruleset.tables.is_empty();
        if is_early || self.snapshot.ruleset.left_out() > 0 || present.ruleset.left_out() > 0 {
            return Vec::new();
        }
        diff(&renumbered(&self.snapshot, &present.ruleset), present)
    }
}

/// The earlier ruleset, in which what reads as in the later one has the later one's handle, and nothing else
/// has one of the later one's.
fn renumbered(earlier: &Snapshot, later: &Ruleset) -> Snapshot {
    let mut ruleset = earlier.ruleset.clone();
    for (key, content) in &mut ruleset.tables {
        let Some(later_content) = later.tables.get(key) else {
            continue;
        };
        let pair = Pair {
            earlier: &earlier.ruleset,
            later,
            fresh_handle: u64::MAX,
        };
        pair.renumber(content, later_content);
    }
    Snapshot {
        generation: earlier.generation,
        ruleset,
    }
}

/// Two rulesets, to compare what is in one table of both.
struct Pair<'a> {
    earlier: &'a Ruleset,
    later: &'a Ruleset,
    /// The kernel counts from 1 and will not get there.
    fresh_handle: u64,
}

impl Pair<'_> {
    fn renumber(mut self, earlier: &mut TableContent, later: &TableContent) {
        if let (Some(table), Some(known)) = (&mut earlier.table, &later.table) {
            table.handle = known.handle;
        }
        for (name, content) in &mut earlier.chains {
            if let Some(known) = later.chains.get(name) {
                self.renumber_chain(content, known);
            }
        }
        for (name, content) in &mut earlier.sets {
            if let Some(known) = later.sets.get(name) {
                content.set.handle = if is_alike(&content.set, &known.set) {
                    known.set.handle
                } else {
                    self.fresh()
                };
            }
        }
    }

    fn renumber_chain(&mut self, earlier: &mut ChainContent, later: &ChainContent) {
        let mut chain = earlier.chain.clone();
        if let (Some(chain), Some(known)) = (&mut chain, &later.chain) {
            chain.handle = if chain.base == known.base {
                known.handle
            } else {
                self.fresh()
            };
        }
        let before: Vec<&RuleRecord> = earlier.rules().collect();
        let after: Vec<&RuleRecord> = later.rules().collect();
        let twins = twins(before.len(), after.len(), |before_at, after_at| {
            let pair = before.get(before_at).zip(after.get(after_at));
            pair.is_some_and(|(before, after)| self.reads_the_same(before, after))
        });
        let rules: Vec<RuleRecord> = before
            .iter()
            .zip(twins)
            .map(|(rule, twin)| {
                let twin = twin.and_then(|at| after.get(at));
                // The twin asks the anonymous sets of its own ruleset.
                let mut rule = RuleRecord::clone(twin.unwrap_or(rule));
                if twin.is_none() && later.rule(rule.handle).is_some() {
                    rule.handle = self.fresh();
                }
                rule
            })
            .collect();
        *earlier = ChainContent::of(chain, &rules);
    }

    fn fresh(&mut self) -> u64 {
        self.fresh_handle -= 1;
        self.fresh_handle
    }

    fn reads_the_same(&self, earlier: &RuleRecord, later: &RuleRecord) -> bool {
        let expressions = earlier.expressions.iter().zip(&later.expressions);
        earlier.comment == later.comment
            && earlier.expressions.len() == later.expressions.len()
            && expressions
                .into_iter()
                .all(|(before, after)| self.asks_the_same((earlier, before), (later, after)))
    }

    /// The kernel numbers anonymous sets: the same rule can ask one of another name.
    fn asks_the_same(
        &self,
        (earlier_rule, earlier): (&RuleRecord, &Expression),
        (later_rule, later): (&RuleRecord, &Expression),
    ) -> bool {
        let (Expression::Lookup { set: before, .. }, Expression::Lookup { set: after, .. }) =
            (earlier, later)
        else {
            return earlier == later;
        };
        let before = anonymous(self.earlier, earlier_rule, before);
        let after = anonymous(self.later, later_rule, after);
        match (before, after) {
            (Some(before), Some(after)) => {
                let renamed = with_set(earlier, &after.set.name);
                renamed == *later
                    && is_alike(&before.set, &after.set)
                    && before.elements == after.elements
            }
            (None, None) => earlier == later,
            _ => false,
        }
    }
}

fn with_set(lookup: &Expression, name: &[u8]) -> Expression {
    let mut renamed = lookup.clone();
    if let Expression::Lookup { set, .. } = &mut renamed {
        name.clone_into(set);
    }
    renamed
}

fn anonymous<'a>(ruleset: &'a Ruleset, rule: &RuleRecord, name: &[u8]) -> Option<&'a SetContent> {
    let set = ruleset.set(rule.family, &rule.table, name)?;
    set.set.is_anonymous().then_some(set)
}

/// Whether the sets hold the same kind of keys in the same way.
fn is_alike(one: &Set, other: &Set) -> bool {
    (one.flags, one.key_type, one.key_bytes) == (other.flags, other.key_type, other.key_bytes)
}

#[cfg(test)]
mod tests;
