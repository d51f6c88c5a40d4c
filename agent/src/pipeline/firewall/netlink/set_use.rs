//! What the members of a set get, by the rules that look into it.

use std::collections::{BTreeMap, BTreeSet};

use super::Expression;
use super::chain::ChainContent;
use super::pending::rule_added;
use super::record::RuleRecord;
use super::ruleset::Ruleset;
use crate::pipeline::firewall::change::{Operation, SetName, Target};

impl Ruleset {
    /// Of these sets, those whose members are stopped: a rule drops or rejects them, and no rule does anything
    /// else with them. A rule for those that are *not* in the set says the opposite of its members. Goes through
    /// the rules of each table once.
    pub fn stopping_sets(&self, wanted: &BTreeSet<SetName>) -> BTreeSet<SetName> {
        let mut stopping = BTreeMap::new();
        let tables: BTreeSet<_> = wanted
            .iter()
            .map(|(family, table, _)| (*family, table))
            .collect();
        for (family, table) in tables {
            let content = self.table(family, table);
            let chains = content
                .into_iter()
                .flat_map(|content| content.chains.values());
            for rule in chains.flat_map(ChainContent::rules) {
                for (set, negated) in looked_up(rule) {
                    let name = (family, table.clone(), set.to_vec());
                    if wanted.contains(&name) {
                        let stops = !negated && stops(self, rule);
                        *stopping.entry(name).or_insert(true) &= stops;
                    }
                }
            }
        }
        stopping
            .into_iter()
            .filter_map(|(name, stops)| stops.then_some(name))
            .collect()
    }
}

/// The sets into which a rule looks, and whether it wants what is not in them.
fn looked_up(rule: &RuleRecord) -> impl Iterator<Item = (&[u8], bool)> {
    rule.expressions.iter().filter_map(|expression| {
        let Expression::Lookup { set, negated, .. } = expression else {
            return None;
        };
        Some((set.as_slice(), *negated))
    })
}

fn stops(ruleset: &Ruleset, rule: &RuleRecord) -> bool {
    let Operation::AddRule { rule, .. } = rule_added(ruleset, rule).operation else {
        return false;
    };
    matches!(rule.target, Some(Target::Drop | Target::Reject))
}
