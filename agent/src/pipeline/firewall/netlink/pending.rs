//! The changes of a transaction that has not ended yet.

use std::collections::BTreeSet;

use super::Message;
use super::element;
use super::interpret::interpret;
use super::record::{Chain, ElementRecord, Elements, Named, Place, RuleRecord, Set, Table};
use super::ruleset::{Ruleset, TableContent};
use crate::pipeline::firewall::change::{
    Backend, Family, FirewallChange, Operation, Position, Which,
};

/// How much of one transaction is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Changes of rules and elements.
    pub(super) details: usize,
    /// Changes of tables, chains and sets: they come last when everything is deleted, and must not drown.
    pub(super) frames: usize,
    /// Elements of one change.
    pub(super) elements: usize,
}

#[derive(Debug, Default)]
pub(super) struct Pending {
    items: Vec<Item>,
    details: usize,
    frames: usize,
    /// Changes for which there was no room, and elements.
    pub(super) omitted: u64,
    pub(super) elements_omitted: u64,
}

#[derive(Debug)]
enum Item {
    Change(FirewallChange),
    /// It is as it was known already: a change only if that knowledge is younger than the transaction.
    Repeated(FirewallChange),
    Elements {
        place: FirewallChange,
        set: Set,
        is_new: bool,
        records: Vec<ElementRecord>,
    },
}

impl Pending {
    /// Takes a message; `before` is the ruleset without it.
    pub(super) fn take(&mut self, message: &Message, before: &Ruleset, room: Room) {
        match message {
            Message::NewTable(table) => self.new_table(table, before, room),
            Message::DeleteTable(table) => {
                let change = of_table(before, table, Operation::DeleteTable);
                self.frame(Item::Change(change), room);
            }
            Message::NewChain(chain) => self.new_chain(chain, before, room),
            Message::DeleteChain(chain) => {
                let change = of_chain(before, chain, Operation::DeleteChain);
                self.frame(Item::Change(change), room);
            }
            Message::NewRule(rule) => {
                let change = rule_added(before, rule);
                if let Some(change) = self.replacing(rule.handle, change) {
                    self.detail(Item::Change(change), room);
                }
            }
            Message::DeleteRule(rule) => {
                // Should a kernel not repeat the rule, what is known of it serves.
                let known = before.rule(rule).filter(|_| rule.expressions.is_empty());
                let change = rule_deleted(before, known.unwrap_or(rule));
                self.detail(Item::Change(change), room);
            }
            Message::NewSet(set) if !set.is_anonymous() => {
                let change = set_added(before, set);
                let known = before.set(set.family, &set.table, &set.name);
                let is_known = known.is_some_and(|known| known.set.handle == set.handle);
                self.frame(
                    if is_known {
                        Item::Repeated(change)
                    } else {
                        Item::Change(change)
                    },
                    room,
                );
            }
            Message::DeleteSet(set) if !is_anonymous(set, before) => {
                self.frame(Item::Change(set_deleted(before, set)), room);
            }
            Message::NewElements(elements) => self.elements(elements, true, before, room),
            Message::DeleteElements(elements) => self.elements(elements, false, before, room),
            Message::NewNamed(named) => {
                self.frame(Item::Change(of_named(before, named, "add")), room);
            }
            Message::DeleteNamed(named) => {
                self.frame(Item::Change(of_named(before, named, "delete")), room);
            }
            Message::NewSet(_)
            | Message::DeleteSet(_)
            | Message::Generation(_)
            | Message::Done(_)
            | Message::Answer(_) => {}
        }
    }

    /// The changes, in their order. `knows_later`: the ruleset was taken from a listing that may be younger
    /// than this transaction.
    pub(super) fn into_changes(self, knows_later: bool) -> Vec<FirewallChange> {
        let changes = self.items.into_iter().filter_map(|item| match item {
            Item::Change(change) => Some(change),
            Item::Repeated(change) => knows_later.then_some(change),
            Item::Elements {
                mut place,
                set,
                is_new,
                records,
            } => {
                let elements = element::describe(&set, &records);
                let set = set.name;
                place.operation = match is_new {
                    true => Operation::AddElements { set, elements },
                    false => Operation::DeleteElements { set, elements },
                };
                Some(place)
            }
        });
        let mut changes: Vec<_> = changes.collect();
        share_backend(&mut changes);
        changes
    }

    fn frame(&mut self, item: Item, room: Room) {
        if self.frames < room.frames {
            self.frames += 1;
            self.items.push(item);
        } else {
            self.omitted += 1;
        }
    }

    fn detail(&mut self, item: Item, room: Room) {
        if self.details < room.details {
            self.details += 1;
            self.items.push(item);
        } else {
            self.omitted += 1;
        }
    }

    /// Makes one change of the two that replace a rule: the kernel tells of the old one, and then of the new
    /// one, which has its handle. Otherwise gives the change back.
    fn replacing(&mut self, handle: u64, change: FirewallChange) -> Option<FirewallChange> {
        let Some(Item::Change(last)) = self.items.last_mut() else {
            return Some(change);
        };
        let is_same_chain = last.family == change.family
            && last.table == change.table
            && last.chain == change.chain;
        match (&last.operation, change.operation) {
            (
                Operation::DeleteRule(Which::Known {
                    handle: deleted,
                    rule: old,
                }),
                Operation::AddRule { rule, .. },
            ) if is_same_chain && *deleted == handle => {
                let rule_before = old.clone();
                last.backend = change.backend;
                last.operation = Operation::ReplaceRule {
                    which: Which::Known {
                        handle,
                        rule: rule_before,
                    },
                    rule,
                };
                None
            }
            (_, operation) => Some(FirewallChange {
                operation,
                ..change
            }),
        }
    }

    fn new_table(&mut self, table: &Table, before: &Ruleset, room: Room) {
        let known = before.table(table.family, &table.name);
        let known = known.and_then(|content| content.table.as_ref());
        let known = known.filter(|known| known.handle == table.handle);
        let operations = match known {
            None => table_added(table),
            Some(known) if known.dormant != table.dormant => {
                vec![Operation::SetDormant(table.dormant)]
            }
            Some(_) => {
                let change = of_table(before, table, Operation::SetDormant(table.dormant));
                return self.frame(Item::Repeated(change), room);
            }
        };
        for operation in operations {
            self.frame(Item::Change(of_table(before, table, operation)), room);
        }
    }

    fn new_chain(&mut self, chain: &Chain, before: &Ruleset, room: Room) {
        let Some(known) = before.chain_before(chain) else {
            return self.frame(Item::Change(chain_added(before, chain)), room);
        };
        if known.name != chain.name {
            let to = chain.name.clone();
            let change = of_chain(before, known, Operation::RenameChain { to });
            self.frame(Item::Change(change), room);
        }
        let Some(policy) = chain.policy else { return };
        let change = of_chain(before, chain, Operation::SetPolicy(policy));
        let item = match known.policy == chain.policy {
            true => Item::Repeated(change),
            false => Item::Change(change),
        };
        self.frame(item, room);
    }

    /// Elements come one by one, and the two ends of an interval apart: those of one set are put together.
    fn elements(&mut self, elements: &Elements, is_new: bool, before: &Ruleset, room: Room) {
        let known = before.set(elements.family, &elements.table, &elements.set);
        let set = known.map_or_else(|| unknown_set(elements), |known| known.set.clone());
        if set.is_anonymous() && !set.is_map() {
            // They stand in the rule that the set is made for.
            return;
        }
        if !self.continues(&set, is_new) {
            let name = elements.set.clone();
            let place = of_set(before, &set, Operation::AddSet { set: name });
            let item = Item::Elements {
                place,
                set,
                is_new,
                records: Vec::new(),
            };
            self.detail(item, room);
        }
        let Some(Item::Elements { records, .. }) = self.items.last_mut() else {
            self.elements_omitted += elements.elements.len() as u64;
            return;
        };
        for record in &elements.elements {
            if records.len() < room.elements {
                records.push(record.clone());
            } else {
                self.elements_omitted += 1;
            }
        }
    }

    fn continues(&self, new: &Set, was_new: bool) -> bool {
        matches!(self.items.last(), Some(Item::Elements { set, is_new, .. })
            if *is_new == was_new
                && set.name == new.name
                && set.table == new.table
                && set.family == new.family)
    }
}

/// Whoever changes a part of a table by an iptables command in a transaction does the rest by it, too.
fn share_backend(changes: &mut [FirewallChange]) {
    let place = |change: &FirewallChange| (change.family, change.table.clone());
    let theirs: BTreeSet<_> = changes
        .iter()
        .filter(|change| change.backend == Backend::XtablesNft)
        .map(place)
        .collect();
    for change in changes {
        if theirs.contains(&place(change)) {
            change.backend = Backend::XtablesNft;
        }
    }
}

/// The message about its end may name a set and no more.
fn is_anonymous(set: &Set, before: &Ruleset) -> bool {
    let known = before.set(set.family, &set.table, &set.name);
    known.map_or(set, |known| &known.set).is_anonymous()
}

/// A set of which no message told.
fn unknown_set(elements: &Elements) -> Set {
    let first = elements.elements.first();
    Set {
        family: elements.family,
        table: elements.table.clone(),
        name: elements.set.clone(),
        handle: 0,
        flags: 0,
        key_type: 0,
        key_bytes: first.map_or(0, |first| u32::try_from(first.key.len()).unwrap_or(0)),
    }
}

pub(super) fn table_added(table: &Table) -> Vec<Operation> {
    let dormant = table.dormant.then_some(Operation::SetDormant(true));
    std::iter::once(Operation::AddTable)
        .chain(dormant)
        .collect()
}

pub(super) fn of_table(ruleset: &Ruleset, table: &Table, operation: Operation) -> FirewallChange {
    let content = ruleset.table(table.family, &table.name);
    FirewallChange {
        backend: backend(table.family, &table.name, content, None),
        family: Some(table.family),
        table: Some(table.name.clone()),
        chain: None,
        operation,
    }
}

pub(super) fn of_chain(ruleset: &Ruleset, chain: &Chain, operation: Operation) -> FirewallChange {
    let content = ruleset.table(chain.family, &chain.table);
    FirewallChange {
        backend: backend(chain.family, &chain.table, content, Some(&chain.name)),
        family: Some(chain.family),
        table: Some(chain.table.clone()),
        chain: Some(chain.name.clone()),
        operation,
    }
}

pub(super) fn chain_added(ruleset: &Ruleset, chain: &Chain) -> FirewallChange {
    let hook = chain.base.as_ref().and_then(|base| base.hook);
    let policy = chain.policy;
    of_chain(ruleset, chain, Operation::AddChain { hook, policy })
}

pub(super) fn rule_added(ruleset: &Ruleset, rule: &RuleRecord) -> FirewallChange {
    let position = match rule.place {
        Place::First => Position::Index(1),
        Place::Last => Position::Last,
        Place::After(handle) => Position::AfterHandle(handle),
        Place::Untold => Position::Untold,
    };
    of_rule(ruleset, rule, |rule| Operation::AddRule { rule, position })
}

pub(super) fn rule_deleted(ruleset: &Ruleset, rule: &RuleRecord) -> FirewallChange {
    let handle = rule.handle;
    of_rule(ruleset, rule, |rule| {
        Operation::DeleteRule(Which::Known { handle, rule })
    })
}

fn of_rule(
    ruleset: &Ruleset,
    rule: &RuleRecord,
    operation: impl FnOnce(Box<crate::pipeline::firewall::change::Rule>) -> Operation,
) -> FirewallChange {
    let content = ruleset.table(rule.family, &rule.table);
    let has_extension = rule.expressions.iter().any(|expression| {
        use super::Expression::{Match, Target};
        matches!(expression, Match(_) | Target(_))
    });
    let backend = match has_extension {
        true => Backend::XtablesNft,
        false => backend(rule.family, &rule.table, content, Some(&rule.chain)),
    };
    let meaning = interpret(rule, backend, &|name| content?.sets.get(name));
    FirewallChange {
        backend,
        family: Some(rule.family),
        table: Some(rule.table.clone()),
        chain: Some(rule.chain.clone()),
        operation: operation(Box::new(meaning)),
    }
}

pub(super) fn of_set(ruleset: &Ruleset, set: &Set, operation: Operation) -> FirewallChange {
    let content = ruleset.table(set.family, &set.table);
    FirewallChange {
        backend: backend(set.family, &set.table, content, None),
        family: Some(set.family),
        table: Some(set.table.clone()),
        chain: None,
        operation,
    }
}

pub(super) fn set_added(ruleset: &Ruleset, set: &Set) -> FirewallChange {
    let name = set.name.clone();
    of_set(ruleset, set, Operation::AddSet { set: name })
}

pub(super) fn set_deleted(ruleset: &Ruleset, set: &Set) -> FirewallChange {
    let name = set.name.clone();
    of_set(ruleset, set, Operation::DeleteSet { set: name })
}

fn of_named(ruleset: &Ruleset, named: &Named, verb: &str) -> FirewallChange {
    let content = ruleset.table(named.family, &named.table);
    let mut what = format!("{verb} {} ", named.kind).into_bytes();
    what.extend_from_slice(&named.name);
    FirewallChange {
        backend: backend(named.family, &named.table, content, None),
        family: Some(named.family),
        table: Some(named.table.clone()),
        chain: None,
        operation: Operation::Other { what },
    }
}

/// The iptables commands use fixed tables, and fixed base chains in them. Anybody else can, too: it is a
/// guess about the door, never about the change.
fn backend(
    family: Family,
    table: &[u8],
    content: Option<&TableContent>,
    chain: Option<&[u8]>,
) -> Backend {
    const TABLES: &[&[u8]] = &[b"filter", b"nat", b"mangle", b"raw", b"security", b"broute"];
    const CHAINS: &[&[u8]] = &[
        b"INPUT",
        b"OUTPUT",
        b"FORWARD",
        b"PREROUTING",
        b"POSTROUTING",
        b"BROUTING",
    ];
    let is_theirs = |chain: &[u8]| CHAINS.contains(&chain);
    let has_theirs = chain.is_some_and(is_theirs)
        || content.is_some_and(|content| content.chains.keys().any(|chain| is_theirs(chain)));
    let is_family = !matches!(family, Family::Inet | Family::Netdev);
    match is_family && TABLES.contains(&table) && has_theirs {
        true => Backend::XtablesNft,
        false => Backend::Nftables,
    }
}
