//! A chain and its rules, in the order in which they are asked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::expression::Expression;
use super::record::{Chain, Place, RuleRecord};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ChainContent {
    /// `None`: no message told of the chain itself.
    pub(super) chain: Option<Chain>,
    /// By their handles.
    rules: BTreeMap<u64, RuleRecord>,
    /// Their handles, and those of `deleted`.
    order: VecDeque<u64>,
    /// Rules that were deleted keep their place until the transaction ends, for a new rule can stand behind
    /// one of them.
    deleted: BTreeSet<u64>,
    /// Rules that stand behind one of which no message has told yet: a transaction that inserts two rules at
    /// the front tells of the second one first.
    misplaced: Vec<Misplaced>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Misplaced {
    handle: u64,
    after: u64,
}

impl ChainContent {
    /// A settled chain with these rules, in this order. Each needs a handle of its own.
    pub(super) fn of(chain: Option<Chain>, rules: &[RuleRecord]) -> Self {
        let mut content = Self {
            chain,
            ..Self::default()
        };
        for rule in rules {
            content.put(&RuleRecord {
                place: Place::Last,
                ..rule.clone()
            });
        }
        content
    }

    pub(super) fn rules(&self) -> impl Iterator<Item = &RuleRecord> {
        let order = self.order.iter();
        order.filter_map(|handle| self.rules.get(handle))
    }

    pub(super) fn rule(&self, handle: u64) -> Option<&RuleRecord> {
        self.rules.get(&handle)
    }

    /// Puts a rule where it says, and keeps it without that, which later changes would make wrong.
    pub(super) fn put(&mut self, rule: &RuleRecord) {
        // A rule that replaces another one has its handle and its place.
        let has_place = self.deleted.remove(&rule.handle) || self.rules.contains_key(&rule.handle);
        if !has_place {
            self.insert(rule.handle, rule.place);
        }
        let place = Place::Last;
        let kept = RuleRecord {
            place,
            ..rule.clone()
        };
        self.rules.insert(rule.handle, kept);
    }

    fn insert(&mut self, handle: u64, place: Place) {
        match place {
            Place::First => self.order.push_front(handle),
            // Most rules are appended; a listing sets the others right.
            Place::Last | Place::Untold => self.order.push_back(handle),
            Place::After(after) if self.place(handle, after) => {}
            Place::After(after) => {
                self.order.push_back(handle);
                self.misplaced.push(Misplaced { handle, after });
            }
        }
    }

    fn place(&mut self, handle: u64, after: u64) -> bool {
        let index = self.order.iter().rposition(|&known| known == after);
        if let Some(index) = index {
            self.order.insert(index + 1, handle);
        }
        index.is_some()
    }

    pub(super) fn remove(&mut self, handle: u64) -> Option<RuleRecord> {
        let removed = self.rules.remove(&handle)?;
        self.deleted.insert(handle);
        Some(removed)
    }

    /// A chain of the table has another name: this one, or one that rules lead to.
    pub(super) fn rename(&mut self, before: &[u8], after: &[u8]) {
        for rule in self.rules.values_mut() {
            if rule.chain == before {
                rule.chain = after.to_vec();
            }
            for expression in &mut rule.expressions {
                if let Expression::Immediate { data, .. } = expression {
                    data.rename_chain(before, after);
                }
            }
        }
    }

    /// The one that was told last is placed first: those before it stand behind it.
    pub(super) fn settle(&mut self) {
        let mut misplaced = std::mem::take(&mut self.misplaced);
        while let Some(Misplaced { handle, after }) = misplaced.pop() {
            let is_known = self.order.contains(&after) && self.rules.contains_key(&handle);
            if is_known && handle != after {
                self.order.retain(|&known| known != handle);
                self.place(handle, after);
            }
        }
        let deleted = std::mem::take(&mut self.deleted);
        if !deleted.is_empty() {
            self.order.retain(|handle| !deleted.contains(handle));
        }
    }
}
