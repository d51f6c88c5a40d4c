//! Blocks in braces: tables, chains and sets with what is in them.

use crate::pipeline::firewall::change::{
    Backend, Family, FirewallChange, Hook, Operation, Policy, Position, RulesetSource,
};
use crate::pipeline::firewall::reason::shown;

use super::convert;
use super::cursor::Cursor;
use super::place::Place;
use super::rule;
use super::stop::{Result, Stop};
use super::token::Kind;
use super::value::{self, SetElement};

/// What a table's block makes, in the order in which nft sends it: chains, sets, elements, rules
/// (`nft_cmd_expand`, nftables `src/rule.c`).
#[derive(Default)]
struct TableParts {
    chains: Vec<FirewallChange>,
    sets: Vec<FirewallChange>,
    elements: Vec<FirewallChange>,
    rules: Vec<FirewallChange>,
}

/// The block of a table, from its brace on.
pub(super) fn table(cursor: &mut Cursor<'_>, place: &Place) -> Result<Vec<FirewallChange>> {
    let mut parts = TableParts::default();
    let mut changes = Vec::new();
    braces(cursor, |cursor| {
        if cursor.eat("flags") {
            for flag in comma_list(cursor)? {
                if flag == b"dormant" {
                    changes.push(place.change(Operation::SetDormant(true)));
                }
            }
            return cursor.end_statement();
        }
        table_entry(cursor, place, &mut parts)
    })?;
    changes.append(&mut parts.chains);
    changes.append(&mut parts.sets);
    changes.append(&mut parts.elements);
    changes.append(&mut parts.rules);
    Ok(changes)
}

fn table_entry(cursor: &mut Cursor<'_>, place: &Place, parts: &mut TableParts) -> Result<()> {
    if cursor.eat("chain") {
        let place = place.with_chain(cursor.name()?);
        let mut chain = chain(cursor, &place)?;
        parts.chains.push(chain.added);
        parts.rules.append(&mut chain.rules);
    } else if cursor.eat_any(&["set", "map"]).is_some() {
        let name = cursor.name()?;
        let mut changes = set(cursor, place, name)?;
        parts.elements.append(&mut changes.split_off(1));
        parts.sets.append(&mut changes);
    } else if cursor.eat("include") {
        parts.rules.push(included(cursor)?);
    } else if cursor.eat("comment") {
        cursor.string()?;
    } else {
        parts.chains.push(object(cursor, place, "add")?);
    }
    cursor.end_statement()
}

/// A chain, and the rules in its block.
pub(super) struct Chain {
    pub(super) added: FirewallChange,
    pub(super) rules: Vec<FirewallChange>,
}

/// The block of a chain, from its brace on.
pub(super) fn chain(cursor: &mut Cursor<'_>, place: &Place) -> Result<Chain> {
    let mut hook = None;
    let mut policy = None;
    let mut rules = Vec::new();
    braces(cursor, |cursor| {
        if cursor.is_at("type") {
            hook = Some(hook_of(cursor, place.family)?);
        } else if cursor.eat("policy") {
            policy = Some(policy_of(cursor)?);
        } else if cursor.eat("flags") {
            cursor.expect("offload")?;
        } else if cursor.eat_any(&["device", "devices"]).is_some() {
            cursor.skip_statement()?;
        } else if cursor.eat("include") {
            rules.push(included(cursor)?);
        } else if cursor.eat("comment") {
            cursor.string()?;
        } else {
            let mut rule = rule::rule(cursor, place)?;
            rules.append(&mut rule.before);
            rules.push(place.change(Operation::AddRule {
                rule: Box::new(rule.rule),
                position: Position::Last,
            }));
        }
        cursor.end_statement()
    })?;
    let added = match (hook, policy) {
        (None, Some(policy)) => Operation::SetPolicy(policy),
        _ => Operation::AddChain { hook, policy },
    };
    Ok(Chain {
        added: place.change(added),
        rules,
    })
}

/// `type filter hook input device "eth0" priority filter - 10`.
fn hook_of(cursor: &mut Cursor<'_>, family: Option<Family>) -> Result<Hook> {
    cursor.expect("type")?;
    if cursor.eat_any(&["filter", "nat", "route"]).is_none() {
        return Err(cursor.unexpected());
    }
    cursor.expect("hook")?;
    let hook = match cursor.name()? {
        b"prerouting" => Hook::Prerouting,
        b"input" => Hook::Input,
        b"forward" => Hook::Forward,
        b"output" => Hook::Output,
        b"postrouting" => Hook::Postrouting,
        b"ingress" => Hook::Ingress,
        b"egress" => Hook::Egress,
        other => {
            return Err(Stop::refused(format_args!("no hook `{}`", shown(other))));
        }
    };
    if family == Some(Family::Netdev) && !matches!(hook, Hook::Ingress | Hook::Egress) {
        return Err(Stop::refused(format_args!("netdev has no such hook")));
    }
    devices(cursor)?;
    priority(cursor)?;
    Ok(hook)
}

fn devices(cursor: &mut Cursor<'_>) -> Result<()> {
    if cursor.eat("device") {
        cursor.string()?;
    } else if cursor.eat("devices") {
        cursor.expect("=")?;
        value::set(cursor)?;
    }
    Ok(())
}

fn priority(cursor: &mut Cursor<'_>) -> Result<()> {
    cursor.expect("priority")?;
    let is_negative = cursor.eat("-");
    if cursor.number().is_ok() {
        return Ok(());
    }
    if is_negative {
        return Err(cursor.unexpected());
    }
    cursor.string()?;
    if cursor.eat_any(&["+", "-"]).is_some() {
        cursor.number()?;
    }
    Ok(())
}

fn policy_of(cursor: &mut Cursor<'_>) -> Result<Policy> {
    match cursor.eat_any(&["accept", "drop"]) {
        Some("accept") => Ok(Policy::Accept),
        Some(_) => Ok(Policy::Drop),
        None => Err(cursor.unexpected()),
    }
}

/// The block of a set or a map, from its brace on: the set, and its elements if it has any.
pub(super) fn set(
    cursor: &mut Cursor<'_>,
    place: &Place,
    name: &[u8],
) -> Result<Vec<FirewallChange>> {
    let mut elements = Vec::new();
    let mut has_ports = true;
    braces(cursor, |cursor| {
        if cursor.eat("elements") {
            cursor.expect("=")?;
            elements.append(&mut value::set(cursor)?);
            return Ok(());
        }
        if cursor.eat("auto-merge") {
            return Ok(());
        }
        if cursor.is_at_any(&["type", "typeof"]) {
            has_ports = key_has_ports(cursor)?;
        } else {
            set_property(cursor)?;
        }
        cursor.end_statement()
    })?;
    let mut changes = vec![place.change(Operation::AddSet { set: name.to_vec() })];
    changes.extend(added_elements(place, name, &elements, has_ports));
    Ok(changes)
}

fn added_elements(
    place: &Place,
    set: &[u8],
    elements: &[SetElement<'_>],
    has_ports: bool,
) -> Option<FirewallChange> {
    (!elements.is_empty()).then(|| {
        place.change(Operation::AddElements {
            set: set.to_vec(),
            elements: convert::elements(elements, has_ports),
        })
    })
}

/// Reads the type of a set: whether its keys can hold ports.
fn key_has_ports(cursor: &mut Cursor<'_>) -> Result<bool> {
    cursor.take();
    if cursor.is_at_end() {
        return Err(cursor.unexpected());
    }
    let start = cursor.place();
    while !cursor.is_at_end() && !cursor.is_at(":") {
        cursor.take();
    }
    let text = cursor.text_since(start);
    cursor.skip_statement()?;
    let mut words = text.split(|&byte| byte == b' ');
    Ok(words.any(|word| matches!(word, b"inet_service" | b"sport" | b"dport")))
}

fn set_property(cursor: &mut Cursor<'_>) -> Result<()> {
    const PROPERTIES: &[&str] = &[
        "flags",
        "timeout",
        "gc-interval",
        "size",
        "policy",
        "comment",
        "counter",
        "limit",
        "quota",
        "last",
        "ct",
    ];
    if cursor.eat_any(PROPERTIES).is_none() {
        return Err(cursor.unexpected());
    }
    cursor.skip_statement()
}

/// A counter, quota, limit, helper, flowtable or the like: `verb` is what is done with it.
pub(super) fn object(cursor: &mut Cursor<'_>, place: &Place, verb: &str) -> Result<FirewallChange> {
    const OBJECTS: &[&str] = &[
        "counter",
        "quota",
        "limit",
        "secmark",
        "synproxy",
        "flowtable",
        "tunnel",
    ];
    let start = cursor.place();
    if cursor.eat("ct") {
        if cursor
            .eat_any(&["helper", "timeout", "expectation"])
            .is_none()
        {
            return Err(cursor.unexpected());
        }
    } else if cursor.eat_any(OBJECTS).is_none() {
        return Err(cursor.unexpected());
    }
    let kind = cursor.text_since(start);
    let name = cursor.name()?;
    object_body(cursor)?;
    let what = [verb.as_bytes(), &kind, name].join(&b' ');
    Ok(place.change(Operation::Other { what }))
}

/// What an object is made of is not looked at, beyond its braces.
pub(super) fn object_body(cursor: &mut Cursor<'_>) -> Result<()> {
    if cursor.is_at("{") {
        return braces(cursor, |cursor| {
            while cursor
                .peek()
                .is_some_and(|token| token.kind == Kind::Newline)
            {
                cursor.take();
            }
            if cursor.is_at("}") {
                return Ok(());
            }
            if cursor.is_at("{") {
                return Err(cursor.unexpected());
            }
            cursor.skip_statement()?;
            cursor.end_statement()
        });
    }
    cursor.skip_statement()
}

/// `include "file"`: what is in it is not shown.
pub(super) fn included(cursor: &mut Cursor<'_>) -> Result<FirewallChange> {
    match cursor.take() {
        Some(token) if token.kind == Kind::Quoted => Ok(FirewallChange {
            backend: Backend::Nftables,
            family: None,
            table: None,
            chain: None,
            operation: Operation::Load {
                source: RulesetSource::File(token.text.to_vec()),
                flushes: false,
            },
        }),
        _ => Err(Stop::refused(format_args!(
            "`include` needs a file in quotes"
        ))),
    }
}

/// Words with commas between them.
pub(super) fn comma_list<'a>(cursor: &mut Cursor<'a>) -> Result<Vec<&'a [u8]>> {
    let mut words = vec![cursor.name()?];
    while cursor.eat(",") {
        words.push(cursor.name()?);
    }
    Ok(words)
}

/// Reads entries up to the brace that closes. Separators between them are taken here.
fn braces<'a>(
    cursor: &mut Cursor<'a>,
    mut entry: impl FnMut(&mut Cursor<'a>) -> Result<()>,
) -> Result<()> {
    cursor.nested(|cursor| {
        cursor.expect("{")?;
        while !cursor.eat("}") {
            if cursor.peek().is_some_and(|token| token.is_separator()) {
                cursor.take();
            } else {
                entry(cursor)?;
            }
        }
        Ok(())
    })
}
