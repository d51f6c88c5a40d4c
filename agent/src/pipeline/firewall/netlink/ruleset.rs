//! What is known of the ruleset of one network namespace: from a listing, and from every message since.

use std::collections::{BTreeMap, BTreeSet};

use super::Message;
use super::chain::ChainContent;
use super::element::{self, Span};
use super::expression::Expression;
use super::record::{Chain, ElementRecord, Elements, RuleRecord, Set, Table};
use crate::pipeline::firewall::change::{Element, Family};

/// The most that a ruleset keeps, in bytes: some 30,000 rules. What does not fit is counted.
pub const RULESET_BYTES_MAX: usize = 32 << 20;

/// What a place in a map costs besides what is in it.
const OVERHEAD_BYTES: usize = 64;

/// Tables by family and name. A part of it may be unknown: of another namespace than the agent's own, only
/// what messages told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    pub(super) tables: BTreeMap<(Family, Vec<u8>), TableContent>,
    bytes: usize,
    left_out: u64,
    /// Chains in which a rule may have to be moved.
    unsettled: BTreeSet<(Family, Vec<u8>, Vec<u8>)>,
}

/// A table and what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TableContent {
    /// `None`: no message told of the table itself.
    pub(super) table: Option<Table>,
    pub(super) chains: BTreeMap<Vec<u8>, ChainContent>,
    pub(super) sets: BTreeMap<Vec<u8>, SetContent>,
}

/// A set and its elements, by key; at one key, the end of an interval comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SetContent {
    pub(super) set: Set,
    pub(super) elements: BTreeMap<(Vec<u8>, bool), ElementRecord>,
}

impl SetContent {
    fn new(set: Set) -> Self {
        Self {
            set,
            elements: BTreeMap::new(),
        }
    }

    pub(super) fn key_bytes(&self) -> usize {
        usize::try_from(self.set.key_bytes)
            .unwrap_or(usize::MAX)
            .min(64)
    }

    pub(super) fn has_catchall(&self) -> bool {
        self.elements.values().any(|element| element.catchall)
    }

    /// The intervals of an anonymous set; `None` of any other.
    pub(super) fn spans(&self) -> Option<Vec<Span<'_>>> {
        let is_anonymous = self.set.is_anonymous();
        is_anonymous.then(|| element::spans(&self.set, self.elements.values()))
    }

    pub(super) fn describe(&self) -> Vec<Element> {
        element::describe(&self.set, self.elements.values())
    }
}

impl Ruleset {
    /// Bytes that it keeps, roughly, and at most [`RULESET_BYTES_MAX`].
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Chains, rules, sets and elements for which there was no room. Not 0: it is incomplete, and what is
    /// said of deleted things may lack their content.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    pub fn rules(&self) -> impl Iterator<Item = &RuleRecord> {
        let chains = self.tables.values().flat_map(|table| table.chains.values());
        chains.flat_map(ChainContent::rules)
    }

    pub fn chains(&self) -> impl Iterator<Item = &Chain> {
        let chains = self.tables.values().flat_map(|table| table.chains.values());
        chains.filter_map(|chain| chain.chain.as_ref())
    }

    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables
            .values()
            .filter_map(|table| table.table.as_ref())
    }

    /// Anonymous ones too.
    pub fn sets(&self) -> impl Iterator<Item = &Set> {
        let sets = self.tables.values().flat_map(|table| table.sets.values());
        sets.map(|content| &content.set)
    }

    /// Of the sets that are named.
    pub fn element_count(&self) -> usize {
        let sets = self.tables.values().flat_map(|table| table.sets.values());
        let named = sets.filter(|content| !content.set.is_anonymous());
        named.map(|content| content.elements.len()).sum()
    }

    pub(super) fn table(&self, family: Family, name: &[u8]) -> Option<&TableContent> {
        self.tables.get(&(family, name.to_vec()))
    }

    pub(super) fn set(&self, family: Family, table: &[u8], name: &[u8]) -> Option<&SetContent> {
        self.table(family, table)?.sets.get(name)
    }

    /// The chain as it was before a message about it; by its handle, for it may have another name.
    pub(super) fn chain_before(&self, chain: &Chain) -> Option<&Chain> {
        let table = self.table(chain.family, &chain.table)?;
        let same = |known: &&Chain| known.handle == chain.handle;
        let by_name = table.chains.get(&chain.name);
        by_name
            .and_then(|content| content.chain.as_ref())
            .filter(same)
            .or_else(|| {
                let mut all = table.chains.values();
                all.find_map(|content| content.chain.as_ref().filter(same))
            })
    }

    pub(super) fn rule(&self, rule: &RuleRecord) -> Option<&RuleRecord> {
        let table = self.table(rule.family, &rule.table)?;
        table.chains.get(&rule.chain)?.rule(rule.handle)
    }

    /// Takes over what a message tells. At the end of a transaction, [`settle`](Self::settle) follows.
    pub fn apply(&mut self, message: &Message) {
        match message {
            Message::NewTable(table) => self.put_table(table),
            Message::DeleteTable(table) => self.remove_table(table),
            Message::NewChain(chain) => self.put_chain(chain),
            Message::DeleteChain(chain) => self.remove_chain(chain),
            Message::NewRule(rule) => self.put_rule(rule),
            Message::DeleteRule(rule) => self.remove_rule(rule),
            Message::NewSet(set) => self.put_set(set),
            Message::DeleteSet(set) => self.remove_set(set),
            Message::NewElements(elements) => self.put_elements(elements),
            Message::DeleteElements(elements) => self.remove_elements(elements),
            Message::NewNamed(_)
            | Message::DeleteNamed(_)
            | Message::Generation(_)
            | Message::Done(_)
            | Message::Answer(_) => {}
        }
    }

    /// Whether there is room for so many bytes; then they are taken.
    fn take(&mut self, bytes: usize) -> bool {
        let fits = self.bytes + bytes <= RULESET_BYTES_MAX;
        if fits {
            self.bytes += bytes;
        } else {
            self.left_out += 1;
        }
        fits
    }

    fn content(&mut self, family: Family, table: &[u8]) -> Option<&mut TableContent> {
        let key = (family, table.to_vec());
        if !self.tables.contains_key(&key) {
            if !self.take(OVERHEAD_BYTES + 2 * table.len()) {
                return None;
            }
            self.tables.insert(key.clone(), TableContent::default());
        }
        self.tables.get_mut(&key)
    }

    fn put_table(&mut self, table: &Table) {
        if let Some(content) = self.content(table.family, &table.name) {
            content.table = Some(table.clone());
        }
    }

    fn remove_table(&mut self, table: &Table) {
        let key = (table.family, table.name.clone());
        if let Some(content) = self.tables.remove(&key) {
            self.bytes -= OVERHEAD_BYTES + 2 * table.name.len() + bytes_of_table(&content);
        }
    }

    fn put_chain(&mut self, chain: &Chain) {
        if let Some(before) = self.chain_before(chain).cloned()
            && before.name != chain.name
        {
            self.rename(&before, chain);
        }
        if let Some(content) = self.chain_content(chain.family, &chain.table, &chain.name) {
            content.chain = Some(chain.clone());
        }
    }

    /// Whatever leads to the chain leads to its new name.
    fn rename(&mut self, before: &Chain, chain: &Chain) {
        let key = (chain.family, chain.table.clone());
        let Some(table) = self.tables.get_mut(&key) else {
            return;
        };
        self.bytes -= bytes_of_table(table);
        if let Some(content) = table.chains.remove(&before.name) {
            table.chains.insert(chain.name.clone(), content);
        }
        for content in table.chains.values_mut() {
            content.rename(&before.name, &chain.name);
        }
        let elements = table
            .sets
            .values_mut()
            .flat_map(|set| set.elements.values_mut());
        for data in elements.filter_map(|element| element.data.as_mut()) {
            data.rename_chain(&before.name, &chain.name);
        }
        self.bytes += bytes_of_table(table);
    }

    fn chain_content(
        &mut self,
        family: Family,
        table: &[u8],
        name: &[u8],
    ) -> Option<&mut ChainContent> {
        let is_new = !self.content(family, table)?.chains.contains_key(name);
        if is_new && !self.take(bytes_of_chain(name, &ChainContent::default())) {
            return None;
        }
        let table = self.content(family, table)?;
        Some(table.chains.entry(name.to_vec()).or_default())
    }

    fn remove_chain(&mut self, chain: &Chain) {
        let removed = self
            .tables
            .get_mut(&(chain.family, chain.table.clone()))
            .and_then(|table| table.chains.remove(&chain.name));
        if let Some(content) = removed {
            self.bytes -= bytes_of_chain(&chain.name, &content);
        }
    }

    fn put_rule(&mut self, rule: &RuleRecord) {
        if self.rule(rule).is_some() {
            self.remove_rule(rule);
        }
        let has_chain = self
            .chain_content(rule.family, &rule.table, &rule.chain)
            .is_some();
        if !has_chain || !self.take(bytes_of_rule(rule)) {
            return;
        }
        if let Some(chain) = self.chain_content(rule.family, &rule.table, &rule.chain) {
            chain.put(rule);
        }
        self.mark_unsettled(rule);
    }

    fn remove_rule(&mut self, rule: &RuleRecord) {
        let removed = self
            .tables
            .get_mut(&(rule.family, rule.table.clone()))
            .and_then(|table| table.chains.get_mut(&rule.chain))
            .and_then(|chain| chain.remove(rule.handle));
        let Some(removed) = removed else { return };
        self.bytes -= bytes_of_rule(&removed);
        self.mark_unsettled(rule);
    }

    fn mark_unsettled(&mut self, rule: &RuleRecord) {
        let key = (rule.family, rule.table.clone(), rule.chain.clone());
        self.unsettled.insert(key);
    }

    /// A transaction, or a listing, has ended: each rule is put where its messages said.
    pub fn settle(&mut self) {
        for (family, table, chain) in std::mem::take(&mut self.unsettled) {
            let table = self.tables.get_mut(&(family, table));
            if let Some(chain) = table.and_then(|table| table.chains.get_mut(&chain)) {
                chain.settle();
            }
        }
    }

    fn put_set(&mut self, set: &Set) {
        let known = self.set(set.family, &set.table, &set.name);
        if known.is_some_and(|known| known.set.handle == set.handle) {
            return;
        }
        self.remove_set(set);
        let content = SetContent::new(set.clone());
        if self.content(set.family, &set.table).is_some()
            && self.take(bytes_of_set(&content))
            && let Some(table) = self.content(set.family, &set.table)
        {
            table.sets.insert(set.name.clone(), content);
        }
    }

    fn remove_set(&mut self, set: &Set) {
        let removed = self
            .tables
            .get_mut(&(set.family, set.table.clone()))
            .and_then(|table| table.sets.remove(&set.name));
        if let Some(content) = removed {
            self.bytes -= bytes_of_set(&content);
        }
    }

    fn put_elements(&mut self, elements: &Elements) {
        for element in &elements.elements {
            let key = (element.key.clone(), !element.interval_end);
            let known = self.set(elements.family, &elements.table, &elements.set);
            let Some(known) = known else { return };
            if known.elements.contains_key(&key) || !self.take(bytes_of_element(element)) {
                continue;
            }
            if let Some(content) = self.set_mut(elements) {
                content.elements.insert(key, element.clone());
            }
        }
    }

    fn remove_elements(&mut self, elements: &Elements) {
        let Some(content) = self.set_mut(elements) else {
            return;
        };
        let mut freed = 0;
        for element in &elements.elements {
            let key = (element.key.clone(), !element.interval_end);
            if let Some(removed) = content.elements.remove(&key) {
                freed += bytes_of_element(&removed);
            }
        }
        self.bytes -= freed;
    }

    fn set_mut(&mut self, elements: &Elements) -> Option<&mut SetContent> {
        let key = (elements.family, elements.table.clone());
        self.tables.get_mut(&key)?.sets.get_mut(&elements.set)
    }
}

fn bytes_of_table(content: &TableContent) -> usize {
    let chains = content.chains.iter();
    let chains: usize = chains
        .map(|(name, chain)| bytes_of_chain(name, chain))
        .sum();
    let sets: usize = content.sets.values().map(bytes_of_set).sum();
    chains + sets
}

fn bytes_of_chain(name: &[u8], content: &ChainContent) -> usize {
    let rules: usize = content.rules().map(bytes_of_rule).sum();
    OVERHEAD_BYTES + size_of::<ChainContent>() + 2 * name.len() + rules
}

fn bytes_of_rule(rule: &RuleRecord) -> usize {
    let expressions: usize = rule.expressions.iter().map(Expression::heap_bytes).sum();
    OVERHEAD_BYTES
        + size_of::<RuleRecord>()
        + rule.table.len()
        + rule.chain.len()
        + rule.comment.as_ref().map_or(0, Vec::len)
        + rule.expressions.len() * size_of::<Expression>()
        + expressions
}

fn bytes_of_set(content: &SetContent) -> usize {
    let elements: usize = content.elements.values().map(bytes_of_element).sum();
    OVERHEAD_BYTES + size_of::<SetContent>() + 2 * content.set.name.len() + elements
}

fn bytes_of_element(element: &ElementRecord) -> usize {
    let key_end = element.key_end.as_ref().map_or(0, Vec::len);
    OVERHEAD_BYTES + size_of::<ElementRecord>() + 2 * element.key.len() + key_end
}
