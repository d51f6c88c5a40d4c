//! A rule: its matches and its statements, up to the end of the line.

use crate::pipeline::firewall::change::{
    FirewallChange, Negatable, Operation, Position, Protocol, Rule, Target,
};

use super::convert;
use super::cursor::Cursor;
use super::expression::{self, Field};
use super::matching::{self, Comparison};
use super::place::Place;
use super::statement;
use super::stop::{Result, Stop};
use super::value::{self, Data, SetElement, Value};

/// What the kernel is asked to call a map or a chain that has no name of its own.
const ANONYMOUS_MAP: &[u8] = b"__map%d";
pub(super) const ANONYMOUS_CHAIN: &[u8] = b"__chain%d";

/// A rule, and what must be there before it: the elements of its verdict map, the rules of a chain in braces.
#[derive(Debug, Default)]
pub(super) struct WithParts {
    pub(super) rule: Rule,
    pub(super) before: Vec<FirewallChange>,
}

/// Reads the rule that begins at the cursor. It has at least one statement.
pub(super) fn rule(cursor: &mut Cursor<'_>, place: &Place) -> Result<WithParts> {
    let mut read = WithParts::default();
    loop {
        statement(cursor, place, &mut read)?;
        if cursor.is_at("comment") {
            cursor.expect("comment")?;
            read.rule.comment = Some(cursor.string()?.to_vec());
            break;
        }
        if cursor.is_at_end() {
            break;
        }
    }
    Ok(read)
}

fn statement(cursor: &mut Cursor<'_>, place: &Place, read: &mut WithParts) -> Result<()> {
    if let Some(chain) = braced_chain(cursor) {
        return inner_chain(cursor, place, chain, read);
    }
    if let Some(verdict) = value::verdict(cursor)? {
        decide(&mut read.rule, convert::target(verdict));
        return Ok(());
    }
    match statement::statement(cursor)? {
        Some(statement::Effect::Target(target)) => decide(&mut read.rule, Some(target)),
        Some(statement::Effect::TcpReset) => {
            matching::imply_protocol(&mut read.rule, Field::Header(Protocol::TCP));
            decide(&mut read.rule, Some(Target::Reject));
        }
        Some(statement::Effect::Condition(text)) => read.rule.other_matches.push(text),
        Some(statement::Effect::Nothing) => {}
        None => comparison(cursor, place, read)?,
    }
    Ok(())
}

/// An expression, and what it is compared with, looked up in or set to.
fn comparison(cursor: &mut Cursor<'_>, place: &Place, read: &mut WithParts) -> Result<()> {
    let start = cursor.place();
    let field = expression::expression(cursor)?;
    let expression = cursor.text_since(start);
    if cursor.eat("vmap") {
        return verdict_map(cursor, place, field, expression, read);
    }
    if cursor.eat("set") {
        value::used(cursor)?;
        decide(&mut read.rule, Some(set_target(expression)));
        return Ok(());
    }
    let mut field = field;
    if cursor.eat("map") {
        value::compared(cursor)?;
        field = Field::Other;
    }
    let operator = cursor.eat_any(&["==", "!=", "<=", ">=", "<", ">", "!"]);
    let value = value::compared(cursor)?;
    let comparison = Comparison {
        field,
        operator: operator.unwrap_or("=="),
        value: &value,
        text: cursor.text_since(start),
    };
    matching::restrict(&mut read.rule, comparison)
}

fn set_target(expression: Vec<u8>) -> Target {
    match expression.as_slice() {
        b"meta mark" | b"mark" | b"ct mark" => Target::Mark,
        _ => Target::Other([&expression, b" set".as_slice()].concat()),
    }
}

fn verdict_map(
    cursor: &mut Cursor<'_>,
    place: &Place,
    field: Field,
    expression: Vec<u8>,
    read: &mut WithParts,
) -> Result<()> {
    matching::imply_protocol(&mut read.rule, field);
    if matches!(field, Field::Other | Field::Header(_)) {
        read.rule.other_matches.push(expression);
    }
    let map = match value::compared(cursor)? {
        Value::Named(map) => map.to_vec(),
        Value::Set(elements) => {
            let is_verdict =
                |element: &SetElement<'_>| matches!(element.data, Some(Data::Verdict(_)));
            if !elements.iter().all(is_verdict) {
                return Err(Stop::refused(format_args!(
                    "a verdict map without a verdict"
                )));
            }
            let elements = convert::elements(&elements, matching::can_be_port(field));
            read.before.push(place.change(Operation::AddElements {
                set: ANONYMOUS_MAP.to_vec(),
                elements,
            }));
            ANONYMOUS_MAP.to_vec()
        }
        Value::List(_) => return Err(cursor.unexpected()),
    };
    decide(&mut read.rule, Some(Target::Map(map)));
    Ok(())
}

/// `jump {` or `goto {`: a chain without a name.
fn braced_chain(cursor: &Cursor<'_>) -> Option<Target> {
    if !cursor.peek_behind(1)?.is("{") {
        return None;
    }
    if cursor.is_at("jump") {
        Some(Target::Jump(ANONYMOUS_CHAIN.to_vec()))
    } else if cursor.is_at("goto") {
        Some(Target::Goto(ANONYMOUS_CHAIN.to_vec()))
    } else {
        None
    }
}

fn inner_chain(
    cursor: &mut Cursor<'_>,
    place: &Place,
    target: Target,
    read: &mut WithParts,
) -> Result<()> {
    cursor.take();
    let inner_place = place.with_chain(ANONYMOUS_CHAIN);
    cursor.nested(|cursor| {
        cursor.expect("{")?;
        while !cursor.eat("}") {
            if cursor.peek().is_some_and(|token| token.is_separator()) {
                cursor.take();
                continue;
            }
            let mut inner = rule(cursor, &inner_place)?;
            cursor.end_statement()?;
            read.before.append(&mut inner.before);
            read.before.push(inner_place.change(Operation::AddRule {
                rule: Box::new(inner.rule),
                position: Position::Last,
            }));
        }
        Ok(())
    })?;
    decide(&mut read.rule, Some(target));
    Ok(())
}

/// Keeps what decides most: `log accept` accepts.
fn decide(rule: &mut Rule, target: Option<Target>) {
    if let Some(target) = target
        && rule
            .target
            .as_ref()
            .is_none_or(|held| weight(held) < weight(&target))
    {
        rule.target = Some(target);
    }
}

/// How much a target decides. Whether a packet is tracked outlives the verdict of the rule that says so.
fn weight(target: &Target) -> u8 {
    match target {
        Target::Log => 1,
        Target::Mark | Target::Other(_) => 2,
        Target::Accept
        | Target::Drop
        | Target::Reject
        | Target::Return
        | Target::Jump(_)
        | Target::Goto(_)
        | Target::Queue
        | Target::Map(_) => 3,
        Target::Redirect { .. }
        | Target::Dnat { .. }
        | Target::Snat { .. }
        | Target::Masquerade
        | Target::Tproxy { .. }
        | Target::Notrack => 4,
    }
}

/// A value that is not negated.
pub(super) fn plain<T>(value: T) -> Negatable<T> {
    Negatable {
        value,
        negated: false,
    }
}
