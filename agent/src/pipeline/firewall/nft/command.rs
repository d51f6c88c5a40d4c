//! The commands of nft's language, one after the other.

use crate::pipeline::firewall::change::{
    Command, Family, FirewallChange, Operation, Position, RulesetSource, Which,
};

use super::block;
use super::convert;
use super::cursor::Cursor;
use super::place::Place;
use super::rule;
use super::stop::{Result, Stop};
use super::token;
use super::value;
use super::variables;

/// What a text asks for.
pub(super) fn command(text: &[u8]) -> Command {
    match changes(text) {
        Ok(changes) if changes.is_empty() => Command::Query,
        Ok(changes) => Command::Changes(changes),
        Err(Stop::Refused(reason)) => Command::Rejected { reason },
        Err(Stop::Beyond(what)) => Command::Changes(vec![NOWHERE.change(Operation::Other {
            what: what.as_bytes().to_vec(),
        })]),
    }
}

/// No table, no chain, any family.
const NOWHERE: Place = Place {
    family: None,
    table: None,
    chain: None,
};

fn changes(text: &[u8]) -> Result<Vec<FirewallChange>> {
    let tokens = token::tokens(text)?;
    let mut cursor = Cursor::new(variables::replaced(&tokens)?);
    let mut changes = Vec::new();
    while let Some(token) = cursor.peek() {
        if token.is_separator() {
            cursor.take();
            continue;
        }
        changes.append(&mut single(&mut cursor)?);
        if cursor.is_at("}") {
            return Err(cursor.unexpected());
        }
        cursor.end_statement()?;
    }
    Ok(changes)
}

/// One command. One that only reads makes no change.
fn single(cursor: &mut Cursor<'_>) -> Result<Vec<FirewallChange>> {
    const VERBS: &[&str] = &[
        "add", "create", "insert", "replace", "delete", "destroy", "flush", "reset", "rename",
        "list", "get", "describe", "monitor", "export", "import", "include",
    ];
    match cursor.eat_any(VERBS) {
        Some(verb @ ("add" | "create")) => add(cursor, verb),
        Some("insert") => insert(cursor),
        Some("replace") => replace(cursor),
        Some(verb @ ("delete" | "destroy")) => delete(cursor, verb),
        Some("flush") => flush(cursor),
        Some("reset") => reset(cursor),
        Some("rename") => rename(cursor),
        Some("list") => list(cursor),
        Some("get") => get(cursor),
        Some("include") => Ok(vec![block::included(cursor)?]),
        Some("import") => import(cursor),
        Some(_) => {
            cursor.skip_statement()?;
            Ok(Vec::new())
        }
        None => add(cursor, "add"),
    }
}

fn add(cursor: &mut Cursor<'_>, verb: &str) -> Result<Vec<FirewallChange>> {
    const OBJECTS: &[&str] = &["table", "chain", "rule", "set", "map", "element"];
    match cursor.eat_any(OBJECTS) {
        Some("table") => add_table(cursor),
        Some("chain") => add_chain(cursor),
        Some("rule") if verb == "add" => add_rule(cursor),
        Some("set" | "map") => {
            let place = table_place(cursor)?;
            let name = cursor.name()?;
            block::set(cursor, &place, name)
        }
        Some("element") => {
            let place = table_place(cursor)?;
            let set = cursor.name()?.to_vec();
            let elements = convert::elements(&value::set(cursor)?, true);
            Ok(vec![place.change(Operation::AddElements { set, elements })])
        }
        Some(_) => Err(cursor.unexpected()),
        None if object_kind(cursor) => add_object(cursor, verb),
        None if verb == "add" => add_rule(cursor),
        None => Err(cursor.unexpected()),
    }
}

fn add_table(cursor: &mut Cursor<'_>) -> Result<Vec<FirewallChange>> {
    let place = table_place(cursor)?;
    let mut changes = vec![place.change(Operation::AddTable)];
    if cursor.is_at("{") {
        changes.append(&mut block::table(cursor, &place)?);
    }
    Ok(changes)
}

fn add_chain(cursor: &mut Cursor<'_>) -> Result<Vec<FirewallChange>> {
    let place = chain_place(cursor)?;
    if !cursor.is_at("{") {
        return Ok(vec![place.change(Operation::AddChain {
            hook: None,
            policy: None,
        })]);
    }
    let block::Chain { added, rules } = block::chain(cursor, &place)?;
    let mut changes = vec![added];
    changes.extend(rules);
    Ok(changes)
}

fn add_rule(cursor: &mut Cursor<'_>) -> Result<Vec<FirewallChange>> {
    let place = chain_place(cursor)?;
    let position = match eat_position(cursor)? {
        Some(("index", number)) => Position::Index(list_index(number, 2)?),
        Some((_, handle)) => Position::AfterHandle(handle),
        None => Position::Last,
    };
    rule_at(cursor, &place, position)
}

fn insert(cursor: &mut Cursor<'_>) -> Result<Vec<FirewallChange>> {
    cursor.expect("rule")?;
    let place = chain_place(cursor)?;
    let position = match eat_position(cursor)? {
        Some(("index", number)) => Position::Index(list_index(number, 1)?),
        Some((_, handle)) => Position::BeforeHandle(handle),
        None => Position::Index(1),
    };
    rule_at(cursor, &place, position)
}

/// `index`, `handle` or `position`, and its number.
fn eat_position(cursor: &mut Cursor<'_>) -> Result<Option<(&'static str, u64)>> {
    let Some(word) = cursor.eat_any(&["index", "handle", "position"]) else {
        return Ok(None);
    };
    Ok(Some((word, cursor.number()?)))
}

/// nft counts from 0; a rule is added behind that one.
fn list_index(number: u64, more: u32) -> Result<u32> {
    u32::try_from(number)
        .ok()
        .and_then(|number| number.checked_add(more))
        .ok_or_else(|| Stop::refused(format_args!("index {number}: there is no such rule")))
}

fn rule_at(
    cursor: &mut Cursor<'_>,
    place: &Place,
    position: Position,
) -> Result<Vec<FirewallChange>> {
    let rule::WithParts { rule, before } = rule::rule(cursor, place)?;
    let mut changes = before;
    changes.push(place.change(Operation::AddRule {
        rule: Box::new(rule),
        position,
    }));
    Ok(changes)
}

fn replace(cursor: &mut Cursor<'_>) -> Result<Vec<FirewallChange>> {
    cursor.expect("rule")?;
    let place = chain_place(cursor)?;
    cursor.expect("handle")?;
    let which = Which::Handle(cursor.number()?);
    let rule::WithParts { rule, before } = rule::rule(cursor, &place)?;
    let mut changes = before;
    changes.push(place.change(Operation::ReplaceRule {
        which,
        rule: Box::new(rule),
    }));
    Ok(changes)
}

fn delete(cursor: &mut Cursor<'_>, verb: &str) -> Result<Vec<FirewallChange>> {
    match cursor.eat_any(&["table", "chain", "rule", "set", "map", "element"]) {
        Some("table") => {
            let place = NOWHERE.in_family(cursor);
            let table = name_or_handle(cursor)?;
            Ok(vec![
                Place { table, ..place }.change(Operation::DeleteTable),
            ])
        }
        Some("chain") => delete_chain(cursor),
        Some("rule") => {
            let place = chain_place(cursor)?;
            cursor.expect("handle")?;
            let which = Which::Handle(cursor.number()?);
            Ok(vec![place.change(Operation::DeleteRule(which))])
        }
        Some("set" | "map") => {
            let place = table_place(cursor)?;
            let set = name_or_handle(cursor)?.unwrap_or_default();
            Ok(vec![place.change(Operation::DeleteSet { set })])
        }
        Some(_) => {
            let place = table_place(cursor)?;
            let set = cursor.name()?.to_vec();
            let elements = convert::elements(&value::set(cursor)?, true);
            Ok(vec![
                place.change(Operation::DeleteElements { set, elements }),
            ])
        }
        None => add_object(cursor, verb),
    }
}

fn delete_chain(cursor: &mut Cursor<'_>) -> Result<Vec<FirewallChange>> {
    let place = table_place(cursor)?;
    let chain = name_or_handle(cursor)?;
    if cursor.is_at("{") {
        // Devices that leave a chain of netdev.
        block::object_body(cursor)?;
    }
    Ok(vec![
        Place { chain, ..place }.change(Operation::DeleteChain),
    ])
}

/// A name, or `None` for `handle NUMBER`.
fn name_or_handle(cursor: &mut Cursor<'_>) -> Result<Option<Vec<u8>>> {
    if cursor.eat("handle") {
        cursor.number()?;
        return Ok(None);
    }
    cursor.name().map(|name| Some(name.to_vec()))
}

fn flush(cursor: &mut Cursor<'_>) -> Result<Vec<FirewallChange>> {
    let change = match cursor.eat_any(&["ruleset", "table", "chain", "set", "map", "meter"]) {
        Some("ruleset") => Place {
            family: eat_family(cursor),
            ..NOWHERE
        }
        .change(Operation::FlushRuleset),
        Some("table") => table_place(cursor)?.change(Operation::FlushTable),
        Some("chain") => chain_place(cursor)?.change(Operation::FlushChain),
        Some(_) => {
            let place = table_place(cursor)?;
            let set = cursor.name()?.to_vec();
            place.change(Operation::FlushSet { set })
        }
        None => return Err(cursor.unexpected()),
    };
    Ok(vec![change])
}

/// Counters are set to 0 and shown.
fn reset(cursor: &mut Cursor<'_>) -> Result<Vec<FirewallChange>> {
    const OBJECTS: &[&str] = &[
        "counters", "counter", "quotas", "quota", "rules", "rule", "element", "set", "map",
    ];
    if cursor.eat_any(OBJECTS).is_none() {
        return Err(cursor.unexpected());
    }
    cursor.eat_any(&["table", "chain"]);
    let mut place = Place {
        family: eat_family(cursor),
        ..NOWHERE
    };
    if !cursor.is_at_end() {
        place.table = Some(cursor.name()?.to_vec());
    }
    cursor.skip_statement()?;
    Ok(vec![place.change(Operation::ZeroCounters)])
}

fn rename(cursor: &mut Cursor<'_>) -> Result<Vec<FirewallChange>> {
    cursor.expect("chain")?;
    let place = chain_place(cursor)?;
    let to = cursor.name()?.to_vec();
    Ok(vec![place.change(Operation::RenameChain { to })])
}

fn list(cursor: &mut Cursor<'_>) -> Result<Vec<FirewallChange>> {
    const OBJECTS: &[&str] = &[
        "ruleset",
        "tables",
        "table",
        "chains",
        "chain",
        "sets",
        "set",
        "maps",
        "map",
        "counters",
        "counter",
        "quotas",
        "quota",
        "limits",
        "limit",
        "secmarks",
        "secmark",
        "synproxys",
        "synproxy",
        "meters",
        "meter",
        "flowtables",
        "flowtable",
        "flow",
        "ct",
        "hooks",
        "tunnels",
        "tunnel",
    ];
    if cursor.eat_any(OBJECTS).is_none() {
        return Err(cursor.unexpected());
    }
    cursor.skip_statement()?;
    Ok(Vec::new())
}

fn get(cursor: &mut Cursor<'_>) -> Result<Vec<FirewallChange>> {
    cursor.expect("element")?;
    table_place(cursor)?;
    cursor.name()?;
    value::set(cursor)?;
    Ok(Vec::new())
}

/// `import ruleset json`: from standard input, in old nft.
fn import(cursor: &mut Cursor<'_>) -> Result<Vec<FirewallChange>> {
    cursor.skip_statement()?;
    Ok(vec![NOWHERE.change(Operation::Load {
        source: RulesetSource::Stdin,
        flushes: false,
    })])
}

/// Whether the next word is a kind of object that has no word of its own in a change.
fn object_kind(cursor: &Cursor<'_>) -> bool {
    cursor.is_at_any(&[
        "counter",
        "quota",
        "limit",
        "secmark",
        "synproxy",
        "flowtable",
        "ct",
    ])
}

fn add_object(cursor: &mut Cursor<'_>, verb: &str) -> Result<Vec<FirewallChange>> {
    let start = cursor.place();
    if cursor.eat("ct") {
        if cursor
            .eat_any(&["helper", "timeout", "expectation"])
            .is_none()
        {
            return Err(cursor.unexpected());
        }
    } else if !object_kind(cursor) || cursor.take().is_none() {
        return Err(cursor.unexpected());
    }
    let kind = cursor.text_since(start);
    let place = table_place(cursor)?;
    let name = name_or_handle(cursor)?.unwrap_or_default();
    block::object_body(cursor)?;
    let what = [verb.as_bytes(), &kind, &name].join(&b' ');
    Ok(vec![place.change(Operation::Other { what })])
}

/// `[family] table`; the family is `ip` when none is named (nft(8), "ADDRESS FAMILIES").
fn table_place(cursor: &mut Cursor<'_>) -> Result<Place> {
    let place = NOWHERE.in_family(cursor);
    let table = Some(cursor.name()?.to_vec());
    Ok(Place { table, ..place })
}

/// `[family] table chain`.
fn chain_place(cursor: &mut Cursor<'_>) -> Result<Place> {
    let place = table_place(cursor)?;
    let chain = cursor.name()?;
    Ok(place.with_chain(chain))
}

impl Place {
    fn in_family(&self, cursor: &mut Cursor<'_>) -> Self {
        Self {
            family: Some(eat_family(cursor).unwrap_or(Family::Ipv4)),
            ..self.clone()
        }
    }
}

fn eat_family(cursor: &mut Cursor<'_>) -> Option<Family> {
    Some(
        match cursor.eat_any(&["ip", "ip6", "inet", "arp", "bridge", "netdev"])? {
            "ip" => Family::Ipv4,
            "ip6" => Family::Ipv6,
            "inet" => Family::Inet,
            "arp" => Family::Arp,
            "bridge" => Family::Bridge,
            _ => Family::Netdev,
        },
    )
}

/// A ruleset that comes from elsewhere.
pub(super) fn load(source: RulesetSource) -> Command {
    other(Operation::Load {
        source,
        flushes: false,
    })
}

/// One change of which the table is not known.
pub(super) fn other(operation: Operation) -> Command {
    Command::Changes(vec![NOWHERE.change(operation)])
}
