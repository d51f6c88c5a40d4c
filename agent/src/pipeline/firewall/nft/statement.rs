//! Statements of a rule: what is done with a packet, beside verdicts.

use std::ops::RangeInclusive;

use crate::pipeline::firewall::change::Target;

use super::convert;
use super::cursor::Cursor;
use super::expression;
use super::stop::Result;
use super::token::Kind;
use super::value::{self, Value};

/// What a statement means for its rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Target(Target),
    /// It answers TCP alone.
    TcpReset,
    /// It lets only some packets go on, as written.
    Condition(Vec<u8>),
    /// It counts.
    Nothing,
}

/// Flags of the NAT statements.
const NAT_FLAGS: &[&str] = &["random", "fully-random", "persistent"];

/// The statement that begins with the next word; `None` when that word begins an expression.
pub(super) fn statement(cursor: &mut Cursor<'_>) -> Result<Option<Effect>> {
    let start = cursor.place();
    let is_ct_count =
        cursor.is_at("ct") && cursor.peek_behind(1).is_some_and(|next| next.is("count"));
    if is_ct_count {
        cursor.take();
        cursor.take();
        cursor.eat("over");
        cursor.number()?;
        return Ok(Some(Effect::Condition(cursor.text_since(start))));
    }
    const WORDS: &[&str] = &[
        "counter",
        "last",
        "log",
        "limit",
        "quota",
        "reject",
        "dnat",
        "snat",
        "masquerade",
        "redirect",
        "tproxy",
        "notrack",
        "queue",
        "dup",
        "fwd",
        "synproxy",
        "flow",
        "meter",
        "set",
        "add",
        "update",
        "delete",
        "xt",
        "reset",
    ];
    let Some(word) = cursor.eat_any(WORDS) else {
        return Ok(None);
    };
    Ok(Some(match word {
        "counter" => counter(cursor)?,
        "last" => last(cursor)?,
        "log" => log(cursor)?,
        "limit" => {
            limit(cursor)?;
            Effect::Condition(cursor.text_since(start))
        }
        "quota" => {
            quota(cursor)?;
            Effect::Condition(cursor.text_since(start))
        }
        "notrack" => Effect::Target(Target::Notrack),
        "reject" => reject(cursor)?,
        "queue" => queue(cursor)?,
        "dnat" | "snat" => nat(cursor, word)?,
        "masquerade" | "redirect" => to_self(cursor, word)?,
        "tproxy" => tproxy(cursor)?,
        _ => other(cursor, word)?,
    }))
}

fn counter(cursor: &mut Cursor<'_>) -> Result<Effect> {
    if cursor.eat("name") {
        value::used(cursor)?;
        return Ok(Effect::Nothing);
    }
    while cursor.eat_any(&["packets", "bytes"]).is_some() {
        cursor.number()?;
    }
    Ok(Effect::Nothing)
}

/// `last`, `last used 5s`, `last used never`.
fn last(cursor: &mut Cursor<'_>) -> Result<Effect> {
    if cursor.eat("used") {
        cursor.string()?;
    }
    Ok(Effect::Nothing)
}

fn log(cursor: &mut Cursor<'_>) -> Result<Effect> {
    const ARGUMENTS: &[&str] = &[
        "prefix",
        "group",
        "snaplen",
        "queue-threshold",
        "level",
        "flags",
    ];
    while let Some(argument) = cursor.eat_any(ARGUMENTS) {
        match argument {
            "prefix" | "level" => {
                cursor.string()?;
            }
            "flags" => log_flags(cursor)?,
            _ => {
                cursor.number()?;
            }
        }
    }
    Ok(Effect::Target(Target::Log))
}

fn log_flags(cursor: &mut Cursor<'_>) -> Result<()> {
    match cursor.eat_any(&["tcp", "ip", "skuid", "ether", "all"]) {
        Some("tcp") => loop {
            if cursor.eat_any(&["sequence", "options"]).is_none() {
                return Err(cursor.unexpected());
            }
            if !cursor.eat(",") {
                return Ok(());
            }
        },
        Some("ip") => cursor.expect("options"),
        Some(_) => Ok(()),
        None => Err(cursor.unexpected()),
    }
}

/// `rate over 10/second burst 5 packets`, `rate 10 mbytes/second`, `name x`.
fn limit(cursor: &mut Cursor<'_>) -> Result<()> {
    if cursor.eat("name") {
        value::used(cursor)?;
        return Ok(());
    }
    cursor.expect("rate")?;
    cursor.eat_any(&["over", "until"]);
    cursor.number()?;
    let has_unit = !cursor.is_at("/");
    if has_unit {
        cursor.name()?;
    }
    let units = ["second", "minute", "hour", "day", "week"];
    if cursor.eat("/") && cursor.eat_any(&units).is_none() {
        return Err(cursor.unexpected());
    }
    if cursor.eat("burst") {
        cursor.number()?;
        if cursor.is_at("packets") == has_unit {
            return Err(cursor.unexpected());
        }
        cursor.name()?;
    }
    Ok(())
}

/// `over 25 mbytes used 10 kbytes`, `name x`.
fn quota(cursor: &mut Cursor<'_>) -> Result<()> {
    if cursor.eat("name") {
        value::used(cursor)?;
        return Ok(());
    }
    cursor.eat_any(&["over", "until"]);
    cursor.number()?;
    cursor.name()?;
    if cursor.eat("used") {
        cursor.number()?;
        cursor.name()?;
    }
    Ok(())
}

fn reject(cursor: &mut Cursor<'_>) -> Result<Effect> {
    if cursor.eat("with") {
        match cursor.eat_any(&["icmp", "icmpv6", "icmpx", "tcp"]) {
            Some("tcp") => {
                cursor.expect("reset")?;
                return Ok(Effect::TcpReset);
            }
            Some(_) => {
                cursor.eat("type");
                if cursor.number().is_err() {
                    cursor.string()?;
                }
            }
            None => return Err(cursor.unexpected()),
        }
    }
    Ok(Effect::Target(Target::Reject))
}

/// `queue num 1-3 bypass`, `queue flags bypass to 1-3`.
fn queue(cursor: &mut Cursor<'_>) -> Result<Effect> {
    const FLAGS: &[&str] = &["bypass", "fanout"];
    if cursor.eat("flags") {
        flags(cursor, FLAGS)?;
    }
    if cursor.eat("to") {
        value::used(cursor)?;
        return Ok(Effect::Target(Target::Queue));
    }
    loop {
        if cursor.is_at_any(FLAGS) {
            flags(cursor, FLAGS)?;
        } else if cursor.eat("num") {
            cursor.number()?;
            if cursor.eat("-") {
                cursor.number()?;
            }
        } else {
            return Ok(Effect::Target(Target::Queue));
        }
    }
}

fn flags(cursor: &mut Cursor<'_>, known: &[&str]) -> Result<()> {
    loop {
        if cursor.eat_any(known).is_none() {
            return Err(cursor.unexpected());
        }
        if !cursor.eat(",") {
            return Ok(());
        }
    }
}

fn nat_flags(cursor: &mut Cursor<'_>) -> Result<()> {
    while cursor.is_at_any(NAT_FLAGS) {
        flags(cursor, NAT_FLAGS)?;
    }
    Ok(())
}

/// `dnat ip to 10.0.0.1:80 random`.
fn nat(cursor: &mut Cursor<'_>, word: &str) -> Result<Effect> {
    let mut needs_to = cursor.eat_any(&["ip", "ip6"]).is_some();
    if cursor.eat("addr") {
        cursor.expect(".")?;
        cursor.expect("port")?;
    }
    needs_to |= cursor.eat_any(&["interval", "prefix"]).is_some();
    if !cursor.eat("to") && needs_to {
        return Err(cursor.unexpected());
    }
    let start = cursor.place();
    destination(cursor)?;
    let to = cursor.text_since(start);
    nat_flags(cursor)?;
    Ok(Effect::Target(match word {
        "dnat" => Target::Dnat { to },
        _ => Target::Snat { to },
    }))
}

/// An address, a port behind a colon, or both. Gives the port.
fn destination<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Value<'a>>> {
    if !cursor.is_at(":") {
        value::used(cursor)?;
    }
    if cursor.eat(":") {
        return value::used(cursor).map(Some);
    }
    Ok(None)
}

/// `masquerade to :1024-65535`, `redirect to :8080`.
fn to_self(cursor: &mut Cursor<'_>, word: &str) -> Result<Effect> {
    let mut ports = None;
    if cursor.is_at_any(NAT_FLAGS) {
        nat_flags(cursor)?;
    } else if cursor.eat("to") {
        let has_colon = cursor.eat(":");
        if word == "masquerade" && !has_colon {
            return Err(cursor.unexpected());
        }
        ports = single_range(&value::used(cursor)?)?;
        nat_flags(cursor)?;
    }
    Ok(Effect::Target(match word {
        "masquerade" => Target::Masquerade,
        _ => Target::Redirect { ports },
    }))
}

fn single_range(value: &Value<'_>) -> Result<Option<RangeInclusive<u16>>> {
    match convert::parts(value).as_deref() {
        Some([part]) => convert::port_range(part),
        _ => Ok(None),
    }
}

fn tproxy(cursor: &mut Cursor<'_>) -> Result<Effect> {
    cursor.eat_any(&["ip", "ip6"]);
    cursor.expect("to")?;
    let start = cursor.place();
    destination(cursor)?;
    Ok(Effect::Target(Target::Tproxy {
        to: cursor.text_since(start),
    }))
}

/// Statements that a rule has no word for.
fn other(cursor: &mut Cursor<'_>, word: &str) -> Result<Effect> {
    match word {
        "dup" | "fwd" => {
            cursor.eat_any(&["ip", "ip6"]);
            cursor.expect("to")?;
            value::used(cursor)?;
            if cursor.eat("device") {
                value::used(cursor)?;
            }
        }
        "synproxy" => synproxy(cursor)?,
        "flow" => {
            if cursor.eat_any(&["add", "offload"]).is_none() {
                return Err(cursor.unexpected());
            }
            value::set_reference(cursor)?;
        }
        "meter" => meter(cursor)?,
        "add" | "update" | "delete" => {
            value::set_reference(cursor)?;
            value::used_set(cursor)?;
        }
        "set" => {
            if cursor.eat_any(&["add", "update", "delete"]).is_none() {
                return Err(cursor.unexpected());
            }
            value::used(cursor)?;
            value::set_reference(cursor)?;
        }
        "xt" => {
            cursor.name()?;
            cursor.string()?;
        }
        _ => {
            cursor.expect("tcp")?;
            cursor.expect("option")?;
            expression::option_kind(cursor)?;
        }
    }
    let name = match word {
        "add" | "update" | "delete" => [word.as_bytes(), b" element"].concat(),
        _ => word.as_bytes().to_vec(),
    };
    Ok(Effect::Target(Target::Other(name)))
}

fn synproxy(cursor: &mut Cursor<'_>) -> Result<()> {
    const ARGUMENTS: &[&str] = &[
        "mss",
        "maxseg",
        "wscale",
        "timestamp",
        "sack-perm",
        "sack-permitted",
    ];
    if cursor.eat("name") {
        value::used(cursor)?;
        return Ok(());
    }
    while let Some(argument) = cursor.eat_any(ARGUMENTS) {
        if matches!(argument, "mss" | "maxseg" | "wscale") {
            cursor.number()?;
        }
    }
    Ok(())
}

/// `meter x size 128 { ip saddr limit rate 10/second }`, of old nft.
fn meter(cursor: &mut Cursor<'_>) -> Result<()> {
    cursor.name()?;
    if cursor.eat("size") {
        cursor.number()?;
    }
    if !cursor.is_at("{") {
        return Err(cursor.unexpected());
    }
    cursor.take();
    while !cursor.is_at("}") {
        match cursor.peek().map(|token| token.kind) {
            None => return Err(cursor.unexpected()),
            Some(Kind::Symbol) if cursor.is_at("{") => return Err(cursor.unexpected()),
            Some(_) => cursor.take(),
        };
    }
    cursor.expect("}")
}
