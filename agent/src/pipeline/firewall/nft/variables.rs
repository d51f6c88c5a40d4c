//! Variables: `define NAME = value`, and `$NAME` where the value is meant.

use std::collections::BTreeMap;

use crate::pipeline::firewall::reason::shown;

use super::stop::{Result, Stop};
use super::token::{Kind, Token};

/// Tokens of one text with all variables replaced. A blocklist of 100,000 networks has half of that.
pub(super) const TOKENS_MAX: usize = 1 << 19;

type Values<'a> = BTreeMap<&'a [u8], Vec<Token<'a>>>;

/// Takes the definitions out and puts the values in. A variable that an included file could have is left as a
/// name with its `$`; any other that is not defined is refused.
///
/// nft forgets a variable at the end of its block, which is not followed.
pub(super) fn replaced<'a>(tokens: &[Token<'a>]) -> Result<Vec<Token<'a>>> {
    let includes = tokens.iter().any(|token| token.is("include"));
    let mut values = Values::new();
    let mut replaced = Vec::new();
    let mut rest = tokens;
    while let Some((token, behind)) = rest.split_first() {
        rest = if token.is("define") || token.is("redefine") {
            define(behind, includes, &mut values)?
        } else if token.is("undefine") {
            let ([name, behind @ ..], true) = (behind, !behind.is_empty()) else {
                return Err(Stop::refused(format_args!("`undefine` without a name")));
            };
            values.remove(name.text);
            behind
        } else {
            put(*token, behind, includes, &values, &mut replaced)?
        };
    }
    Ok(replaced)
}

/// Reads `NAME = value` and keeps it; gives what stands behind.
fn define<'t, 'a>(
    tokens: &'t [Token<'a>],
    includes: bool,
    values: &mut Values<'a>,
) -> Result<&'t [Token<'a>]> {
    let [name, equals, rest @ ..] = tokens else {
        return Err(Stop::refused(format_args!("`define` without a value")));
    };
    if name.kind != Kind::Word || !equals.is("=") {
        return Err(Stop::refused(format_args!("`define` needs `name = value`")));
    }
    let mut rest = rest;
    let mut value = Vec::new();
    let mut depth = 0_u32;
    while let Some((token, behind)) = rest.split_first() {
        match token.text {
            b"{" => depth = depth.saturating_add(1),
            b"}" => depth = depth.saturating_sub(1),
            _ if depth == 0 && token.is_separator() => break,
            _ => {}
        }
        rest = put(*token, behind, includes, values, &mut value)?;
    }
    if value.is_empty() {
        return Err(Stop::refused(format_args!("`define` without a value")));
    }
    values.insert(name.text, value);
    Ok(rest)
}

/// Puts a token, or the value of the variable that begins with it; gives what stands behind.
fn put<'t, 'a>(
    token: Token<'a>,
    behind: &'t [Token<'a>],
    includes: bool,
    values: &Values<'a>,
    out: &mut Vec<Token<'a>>,
) -> Result<&'t [Token<'a>]> {
    let mut rest = behind;
    if let (true, [name, behind @ ..]) = (token.is("$"), behind) {
        rest = behind;
        match values.get(name.text) {
            Some(value) => out.extend_from_slice(value),
            None if includes => out.push(Token {
                kind: Kind::Literal,
                ..*name
            }),
            None => {
                return Err(Stop::refused(format_args!(
                    "no variable `{}`",
                    shown(name.text)
                )));
            }
        }
    } else {
        out.push(token);
    }
    if out.len() > TOKENS_MAX {
        return Err(Stop::Beyond("more tokens than are followed"));
    }
    Ok(rest)
}
