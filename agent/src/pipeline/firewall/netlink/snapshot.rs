//! A ruleset at one moment, and what lies between two.

use super::chain::ChainContent;
use super::pending::{
    chain_added, of_chain, of_set, of_table, rule_added, rule_deleted, set_added, set_deleted,
    table_added,
};
use super::record::{Place, RuleRecord, Set, Table};
use super::ruleset::{Ruleset, SetContent, TableContent};
use crate::pipeline::firewall::change::{FirewallChange, Operation};

/// A whole ruleset, after a certain transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Of the latest transaction in it.
    pub generation: u32,
    /// Bounded; see [`Ruleset::left_out`].
    pub ruleset: Ruleset,
}

/// What leads from the old ruleset to the new one, table by table: first what is gone, then what is new.
/// That something was deleted and made again with the same content shows, for its handle is another.
/// Elements of a set to which packets add are left out. There are at most as many changes as there are things
/// in both.
pub fn diff(old: &Snapshot, new: &Snapshot) -> Vec<FirewallChange> {
    let mut difference = Difference {
        old: &old.ruleset,
        new: &new.ruleset,
        changes: Vec::new(),
    };
    let mut keys: Vec<_> = old.ruleset.tables.keys().collect();
    keys.extend(new.ruleset.tables.keys());
    keys.sort();
    keys.dedup();
    for key in keys {
        let (before, after) = (old.ruleset.tables.get(key), new.ruleset.tables.get(key));
        difference.table(before, after);
    }
    difference.changes
}

struct Difference<'a> {
    old: &'a Ruleset,
    new: &'a Ruleset,
    changes: Vec<FirewallChange>,
}

impl Difference<'_> {
    fn table(&mut self, before: Option<&TableContent>, after: Option<&TableContent>) {
        let nothing = TableContent::default();
        let table_before = before.and_then(|content| content.table.as_ref());
        let table_after = after.and_then(|content| content.table.as_ref());
        let handle = |table: Option<&Table>| table.map(|table| table.handle);
        if handle(table_before) == handle(table_after) {
            let (before, after) = (before.unwrap_or(&nothing), after.unwrap_or(&nothing));
            self.dormant(before, after);
            return self.contents(before, after);
        }
        self.contents(before.unwrap_or(&nothing), &nothing);
        if let Some(table) = table_before {
            let change = of_table(self.old, table, Operation::DeleteTable);
            self.changes.push(change);
        }
        if let Some(table) = table_after {
            let added = table_added(table).into_iter();
            let added = added.map(|operation| of_table(self.new, table, operation));
            self.changes.extend(added);
        }
        self.contents(&nothing, after.unwrap_or(&nothing));
    }

    fn dormant(&mut self, before: &TableContent, after: &TableContent) {
        if let (Some(before), Some(after)) = (&before.table, &after.table)
            && before.dormant != after.dormant
        {
            let operation = Operation::SetDormant(after.dormant);
            self.changes.push(of_table(self.new, after, operation));
        }
    }

    fn contents(&mut self, before: &TableContent, after: &TableContent) {
        let no_chain = ChainContent::default();
        for (name, chain) in &before.chains {
            let after = after.chains.get(name).unwrap_or(&no_chain);
            self.rules_gone(chain, after);
            self.chain_gone(chain, after);
        }
        for (name, set) in named(before) {
            self.set_gone(set, after.sets.get(name));
        }
        for (name, set) in named(after) {
            self.set_new(before.sets.get(name), set);
        }
        for (name, chain) in &after.chains {
            let before = before.chains.get(name).unwrap_or(&no_chain);
            self.chain_new(before, chain);
            self.rules_new(before, chain);
        }
    }

    fn rules_gone(&mut self, before: &ChainContent, after: &ChainContent) {
        let gone = before.rules().filter(|rule| !has(after, rule));
        let changes = gone.map(|rule| rule_deleted(self.old, rule));
        self.changes.extend(changes);
    }

    fn rules_new(&mut self, before: &ChainContent, after: &ChainContent) {
        let mut place = Place::First;
        for rule in after.rules() {
            if !has(before, rule) {
                let rule = RuleRecord {
                    place,
                    ..rule.clone()
                };
                self.changes.push(rule_added(self.new, &rule));
            }
            place = Place::After(rule.handle);
        }
    }

    fn chain_gone(&mut self, before: &ChainContent, after: &ChainContent) {
        let kept = after.chain.as_ref().map(|chain| chain.handle);
        if let Some(chain) = &before.chain
            && kept != Some(chain.handle)
        {
            let change = of_chain(self.old, chain, Operation::DeleteChain);
            self.changes.push(change);
        }
    }

    fn chain_new(&mut self, before: &ChainContent, after: &ChainContent) {
        let Some(chain) = &after.chain else { return };
        let known = before.chain.as_ref();
        match known.filter(|known| known.handle == chain.handle) {
            None => self.changes.push(chain_added(self.new, chain)),
            Some(known) if known.policy != chain.policy => {
                let operation = chain.policy.map(Operation::SetPolicy);
                let change = operation.map(|operation| of_chain(self.new, chain, operation));
                self.changes.extend(change);
            }
            Some(_) => {}
        }
    }

    fn set_gone(&mut self, before: &SetContent, after: Option<&SetContent>) {
        match same(&before.set, after) {
            None => self.changes.push(set_deleted(self.old, &before.set)),
            Some(after) => {
                if let Some(elements) = missing(before, after) {
                    let set = before.set.name.clone();
                    let operation = Operation::DeleteElements { set, elements };
                    self.changes.push(of_set(self.old, &before.set, operation));
                }
            }
        }
    }

    fn set_new(&mut self, before: Option<&SetContent>, after: &SetContent) {
        let known = same(&after.set, before);
        if known.is_none() {
            self.changes.push(set_added(self.new, &after.set));
        }
        let elements = match known {
            None => Some(after.describe()).filter(|elements| !elements.is_empty()),
            Some(before) => missing(after, before),
        };
        if let Some(elements) = elements {
            let set = after.set.name.clone();
            let operation = Operation::AddElements { set, elements };
            self.changes.push(of_set(self.new, &after.set, operation));
        }
    }
}

fn named(table: &TableContent) -> impl Iterator<Item = (&Vec<u8>, &SetContent)> {
    let sets = table.sets.iter();
    sets.filter(|(_, content)| !content.set.is_anonymous())
}

fn same<'a>(set: &Set, other: Option<&'a SetContent>) -> Option<&'a SetContent> {
    other.filter(|other| other.set.handle == set.handle)
}

/// Whether the rule is there, and reads the same.
fn has(chain: &ChainContent, rule: &RuleRecord) -> bool {
    let known = chain.rule(rule.handle);
    known
        .is_some_and(|known| known.expressions == rule.expressions && known.comment == rule.comment)
}

/// The elements that are in one and not, or with another content, in the other. An interval of which only one
/// end is the same is shown as what its own ends say.
fn missing(
    has: &SetContent,
    lacks: &SetContent,
) -> Option<Vec<crate::pipeline::firewall::change::Element>> {
    if has.set.is_fed_by_packets() {
        return None;
    }
    let whole = has.describe();
    let other = lacks.describe();
    let missing: Vec<_> = whole
        .into_iter()
        .filter(|element| !other.contains(element))
        .collect();
    (!missing.is_empty()).then_some(missing)
}
