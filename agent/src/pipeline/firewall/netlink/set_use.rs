//! What the members of a set get, by the rules that look into it.

use super::Expression;
use super::chain::ChainContent;
use super::pending::rule_added;
use super::record::RuleRecord;
use super::ruleset::Ruleset;
use crate::pipeline::firewall::change::{Family, Operation, Target};

impl Ruleset {
    /// Whether the set's members are stopped: a rule drops or rejects them, and no rule does anything else with
    /// them. A rule for those that are *not* in the set says the opposite of its members.
    pub fn set_stops(&self, family: Family, table: &[u8], set: &[u8]) -> bool {
        let Some(content) = self.table(family, table) else {
            return false;
        };
        let rules = content.chains.values().flat_map(ChainContent::rules);
        let mut uses = rules
            .filter_map(|rule| Some((rule, is_negated(rule, set)?)))
            .peekable();
        uses.peek().is_some() && uses.all(|(rule, negated)| !negated && stops(self, rule))
    }
}

/// Whether the rule wants what is not in the set; `None` when it does not look into it.
fn is_negated(rule: &RuleRecord, name: &[u8]) -> Option<bool> {
    rule.expressions.iter().find_map(|expression| {
        let Expression::Lookup { set, negated, .. } = expression else {
            return None;
        };
        (set == name).then_some(*negated)
    })
}

fn stops(ruleset: &Ruleset, rule: &RuleRecord) -> bool {
    let Operation::AddRule { rule, .. } = rule_added(ruleset, rule).operation else {
        return false;
    };
    matches!(rule.target, Some(Target::Drop | Target::Reject))
}
