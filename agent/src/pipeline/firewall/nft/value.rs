//! What stands on the right of a comparison, or behind `to` and `set`.

use super::cursor::Cursor;
use super::expression;
use super::keyword;
use super::stop::{Result, Stop};
use super::token::{Kind, Token};

/// Operators that compute.
const BITWISE: &[&str] = &["&", "|", "^", "<<", ">>"];

/// A value, or several of which one must fit.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    /// In braces.
    Set(Vec<SetElement<'a>>),
    /// `@name`.
    Named(&'a [u8]),
    /// Separated by commas, which is how flags are written; mostly it is one.
    List(Vec<Item<'a>>),
}

/// An element of a set or a map.
#[derive(Clone, Debug)]
pub(super) struct SetElement<'a> {
    pub(super) key: Item<'a>,
    /// As written, without its options.
    pub(super) text: Vec<u8>,
    pub(super) data: Option<Data<'a>>,
}

/// What a map has for a key.
#[derive(Clone, Debug)]
pub(super) enum Data<'a> {
    Verdict(Verdict<'a>),
    Value,
}

/// A verdict of `enum nft_verdicts` and its kin (`linux/include/uapi/linux/netfilter/nf_tables.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict<'a> {
    Accept,
    Drop,
    Continue,
    Return,
    Jump(&'a [u8]),
    Goto(&'a [u8]),
}

/// Parts that are joined by dots; mostly it is one.
pub(super) type Item<'a> = Vec<Part<'a>>;

/// A single value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    One(Token<'a>),
    Range(Token<'a>, Token<'a>),
    Prefix(Token<'a>, u64),
    /// Anything else: it is computed, or read from the packet.
    Opaque,
}

/// The right side of a comparison.
pub(super) fn compared<'a>(cursor: &mut Cursor<'a>) -> Result<Value<'a>> {
    value(cursor, Reading::Constant)
}

/// The value that a statement uses: it may also be read from the packet.
pub(super) fn used<'a>(cursor: &mut Cursor<'a>) -> Result<Value<'a>> {
    value(cursor, Reading::Any)
}

/// Whether values that are read from the packet may stand here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Constant,
    Any,
}

fn value<'a>(cursor: &mut Cursor<'a>, reading: Reading) -> Result<Value<'a>> {
    if reading == Reading::Constant && cursor.is_at("{") {
        let elements = set(cursor)?;
        return match elements.is_empty() {
            true => Err(Stop::refused(format_args!("a set without an element"))),
            false => Ok(Value::Set(elements)),
        };
    }
    if reading == Reading::Constant && cursor.is_at("@") {
        return Ok(Value::Named(set_reference(cursor)?));
    }
    let mut items = vec![item(cursor, reading)?];
    while cursor.eat(",") {
        items.push(item(cursor, reading)?);
    }
    if cursor.eat("/") {
        // `ct state new / new,established`: a mask.
        items.push(vec![Part::Opaque]);
        list(cursor, reading)?;
    }
    Ok(Value::List(items))
}

fn list(cursor: &mut Cursor<'_>, reading: Reading) -> Result<()> {
    item(cursor, reading)?;
    while cursor.eat(",") {
        item(cursor, reading)?;
    }
    Ok(())
}

/// `@name`.
pub(super) fn set_reference<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8]> {
    cursor.expect("@")?;
    cursor.name()
}

/// `{ element, … }`.
pub(super) fn set<'a>(cursor: &mut Cursor<'a>) -> Result<Vec<SetElement<'a>>> {
    set_of(cursor, Reading::Constant)
}

/// `{ ip saddr timeout 1h }`: the element is read from the packet.
pub(super) fn used_set(cursor: &mut Cursor<'_>) -> Result<()> {
    set_of(cursor, Reading::Any).map(|_| ())
}

fn set_of<'a>(cursor: &mut Cursor<'a>, reading: Reading) -> Result<Vec<SetElement<'a>>> {
    cursor.nested(|cursor| {
        cursor.expect("{")?;
        let mut elements = Vec::new();
        loop {
            cursor.eat_newlines();
            if cursor.eat("}") {
                return Ok(elements);
            }
            if cursor.is_at("{") {
                elements.append(&mut set_of(cursor, reading)?);
            } else {
                elements.push(element(cursor, reading)?);
            }
            cursor.eat_newlines();
            if !cursor.eat(",") && !cursor.is_at("}") {
                return Err(cursor.unexpected());
            }
        }
    })
}

fn element<'a>(cursor: &mut Cursor<'a>, reading: Reading) -> Result<SetElement<'a>> {
    let start = cursor.place();
    let key = if cursor.eat("*") {
        vec![Part::Opaque]
    } else {
        item(cursor, reading)?
    };
    let text = cursor.text_since(start);
    element_options(cursor)?;
    let mut data = None;
    if cursor.eat(":") {
        cursor.eat_newlines();
        data = Some(element_data(cursor, reading)?);
        element_options(cursor)?;
    }
    Ok(SetElement { key, text, data })
}

fn element_data<'a>(cursor: &mut Cursor<'a>, reading: Reading) -> Result<Data<'a>> {
    if let Some(verdict) = verdict(cursor)? {
        return Ok(Data::Verdict(verdict));
    }
    if cursor.is_at("{") {
        set(cursor)?;
    } else {
        item(cursor, reading)?;
    }
    Ok(Data::Value)
}

/// Time-outs, comments and the statements that count and limit for an element of its own.
fn element_options(cursor: &mut Cursor<'_>) -> Result<()> {
    const OPTIONS: &[&str] = &[
        "timeout", "expires", "comment", "counter", "limit", "quota", "last",
    ];
    loop {
        if cursor.is_at("ct") && cursor.peek_behind(1).is_some_and(|next| next.is("count")) {
            cursor.take();
            skip_stateful(cursor)?;
            continue;
        }
        let Some(option) = cursor.eat_any(OPTIONS) else {
            return Ok(());
        };
        match option {
            "timeout" | "expires" | "comment" => {
                if cursor.string().is_err() {
                    cursor.number()?;
                }
            }
            _ => skip_stateful(cursor)?,
        }
    }
}

/// What stands behind `counter`, `limit` and the like of an element: words, numbers and `/`.
fn skip_stateful(cursor: &mut Cursor<'_>) -> Result<()> {
    while let Some(token) = cursor.peek() {
        let is_option = ["timeout", "expires", "comment", "counter", "limit", "quota"]
            .iter()
            .any(|option| token.is(option));
        let is_part = matches!(token.kind, Kind::Word | Kind::Number(_) | Kind::Literal)
            || token.is("/")
            || (token.kind == Kind::Keyword && !is_option);
        if !is_part {
            break;
        }
        cursor.take();
    }
    Ok(())
}

/// A verdict, if one stands here.
pub(super) fn verdict<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Verdict<'a>>> {
    let word = cursor.eat_any(&["accept", "drop", "continue", "return", "jump", "goto"]);
    Ok(Some(match word {
        Some("accept") => Verdict::Accept,
        Some("drop") => Verdict::Drop,
        Some("continue") => Verdict::Continue,
        Some("return") => Verdict::Return,
        Some("jump") => Verdict::Jump(cursor.string()?),
        Some("goto") => Verdict::Goto(cursor.string()?),
        _ => return Ok(None),
    }))
}

fn item<'a>(cursor: &mut Cursor<'a>, reading: Reading) -> Result<Item<'a>> {
    let mut parts = vec![part(cursor, reading)?];
    while cursor.eat(".") {
        parts.push(part(cursor, reading)?);
    }
    Ok(parts)
}

fn part<'a>(cursor: &mut Cursor<'a>, reading: Reading) -> Result<Part<'a>> {
    let first = operand(cursor, reading)?;
    if cursor.is_at("/") && matches!(cursor.peek_behind(1), Some(next) if is_number(next)) {
        cursor.take();
        let bits = cursor.number()?;
        return Ok(first.map_or(Part::Opaque, |token| Part::Prefix(token, bits)));
    }
    if cursor.eat("-") {
        let last = operand(cursor, reading)?;
        return Ok(match (first, last) {
            (Some(first), Some(last)) => Part::Range(first, last),
            _ => Part::Opaque,
        });
    }
    if cursor.eat("map") {
        value(cursor, Reading::Constant)?;
        return Ok(Part::Opaque);
    }
    Ok(first.map_or(Part::Opaque, Part::One))
}

fn is_number(token: Token<'_>) -> bool {
    matches!(token.kind, Kind::Number(_))
}

/// A token that stands for itself; `None` for what is computed or read from the packet.
fn operand<'a>(cursor: &mut Cursor<'a>, reading: Reading) -> Result<Option<Token<'a>>> {
    let mut single = primary(cursor, reading)?;
    while cursor.eat_any(BITWISE).is_some() {
        primary(cursor, reading)?;
        single = None;
    }
    Ok(single)
}

fn primary<'a>(cursor: &mut Cursor<'a>, reading: Reading) -> Result<Option<Token<'a>>> {
    if reading == Reading::Any && expression::is_at_expression(cursor) {
        expression::primary(cursor)?;
        return Ok(None);
    }
    if cursor.eat("(") {
        return cursor.nested(|cursor| {
            operand(cursor, reading)?;
            cursor.expect(")")?;
            Ok(None)
        });
    }
    let Some(token) = cursor.peek() else {
        return Err(cursor.unexpected());
    };
    let is_value = match token.kind {
        Kind::Word | Kind::Literal | Kind::Number(_) | Kind::Quoted | Kind::Wildcard => true,
        Kind::Keyword => keyword::can_be_value(token.text),
        Kind::Symbol | Kind::Semicolon | Kind::Newline => false,
    };
    if !is_value {
        return Err(cursor.unexpected());
    }
    cursor.take();
    Ok(Some(token))
}

/// What an expression is masked or shifted with: one value, in brackets if it is computed itself.
pub(super) fn mask(cursor: &mut Cursor<'_>) -> Result<()> {
    primary(cursor, Reading::Constant).map(|_| ())
}
