//! The words of nft's language, cut as its scanner cuts them: the longest that fits, and of two that are
//! equally long the one that stands first (nftables `src/scanner.l`).

use super::keyword;
use super::stop::{Result, Stop};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword of the language, reserved everywhere: it cannot be a name.
    Keyword,
    /// A name or a word that only its place gives a meaning.
    Word,
    /// An address, a time or a class id: it cannot be mistaken for a word.
    Literal,
    /// A number, by base 0 of `strtoull(3)`.
    Number(u64),
    /// In double quotes, which `text` is without.
    Quoted,
    /// With a `*`, as in `eth*`.
    Wildcard,
    /// An operator or a bracket.
    Symbol,
    Semicolon,
    Newline,
}

/// A piece of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a [u8],
}

impl Token<'_> {
    pub(super) fn is(&self, text: &str) -> bool {
        let can = matches!(self.kind, Kind::Keyword | Kind::Word | Kind::Symbol);
        can && self.text == text.as_bytes()
    }

    pub(super) fn is_separator(&self) -> bool {
        matches!(self.kind, Kind::Semicolon | Kind::Newline)
    }
}

/// Longest operators first.
const SYMBOLS: &[&str] = &[
    "==", "!=", "<=", ">=", "<<", ">>", "<", ">", ",", ".", ":", "{", "}", "[", "]", "(", ")", "^",
    "&", "|", "!", "/", "-", "*", "@", "$", "=", "+",
];

/// Operators that are written as words.
const SYMBOL_WORDS: &[(&str, &str)] = &[
    ("eq", "=="),
    ("ne", "!="),
    ("le", "<="),
    ("lt", "<"),
    ("ge", ">="),
    ("gt", ">"),
    ("lshift", "<<"),
    ("rshift", ">>"),
    ("xor", "^"),
    ("and", "&"),
    ("or", "|"),
    ("not", "!"),
];

/// The longest text of an address: `INET6_ADDRSTRLEN` of `netinet/in.h`, without its NUL.
const ADDRESS_BYTES_MAX: usize = 45;

/// Four hexadecimal digits, a colon and four more.
const CLASS_ID_BYTES_MAX: usize = 9;

/// Cuts `text` into tokens. Spaces, tabs, comments and line continuations fall away.
pub(super) fn tokens(text: &[u8]) -> Result<Vec<Token<'_>>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(&byte) = rest.first() {
        let skipped = match (byte, rest.get(1)) {
            (b' ' | b'\t', _) => 1,
            (b'\\', Some(b'\n')) => 2,
            (b'#', _) => length(rest, |byte| byte != b'\n'),
            _ => 0,
        };
        if skipped > 0 {
            rest = behind(rest, skipped);
            continue;
        }
        let (token, taken) = token(rest)
            .ok_or_else(|| Stop::refused(format_args!("a character that nft does not know")))?;
        tokens.push(token);
        rest = behind(rest, taken);
    }
    Ok(tokens)
}

/// The token at the start of `text`, and how many bytes it takes.
fn token(text: &[u8]) -> Option<(Token<'_>, usize)> {
    if let Some(found) = quoted(text) {
        return Some(found);
    }
    let whole = |kind, length| (text.get(..length).map(|text| Token { kind, text }), length);
    let candidates = [
        word(text),
        symbol(text),
        address(text),
        time(text),
        number(text),
        class_id(text),
    ];
    let mut best: Option<Candidate> = None;
    for candidate in candidates.into_iter().flatten() {
        if best.is_none_or(|best| candidate.weight > best.weight) {
            best = Some(candidate);
        }
    }
    let Candidate { kind, length, .. } = best?;
    let (token, length) = whole(kind, length);
    Some((translated(token?), length))
}

/// What a token could be. Of the candidates, the one with the greatest weight wins, of equals the first.
#[derive(Clone, Copy)]
struct Candidate {
    kind: Kind,
    length: usize,
    /// The length, together with what must follow.
    weight: usize,
}

impl Candidate {
    fn new(kind: Kind, length: usize) -> Option<Self> {
        (length > 0).then_some(Self {
            kind,
            length,
            weight: length,
        })
    }
}

fn translated(token: Token<'_>) -> Token<'_> {
    if token.kind != Kind::Word {
        return bare(token);
    }
    let operator = SYMBOL_WORDS
        .iter()
        .find(|(word, _)| word.as_bytes() == token.text);
    match operator {
        Some((_, symbol)) => Token {
            kind: Kind::Symbol,
            text: symbol.as_bytes(),
        },
        None if keyword::is_reserved(token.text) => Token {
            kind: Kind::Keyword,
            ..token
        },
        None => token,
    }
}

/// An IPv6 address loses its brackets.
fn bare(token: Token<'_>) -> Token<'_> {
    match token.text {
        [b'[', inner @ .., b']'] if token.kind == Kind::Literal => Token {
            text: inner,
            ..token
        },
        _ => token,
    }
}

fn quoted(text: &[u8]) -> Option<(Token<'_>, usize)> {
    let inner = text.strip_prefix(b"\"")?;
    let end = inner.iter().position(|&byte| byte == b'"')?;
    let token = Token {
        kind: Kind::Quoted,
        text: inner.get(..end)?,
    };
    Some((token, end + 2))
}

fn word(text: &[u8]) -> Option<Candidate> {
    for name in ["8021ad", "8021q"] {
        if text.starts_with(name.as_bytes()) {
            return Candidate::new(Kind::Word, name.len());
        }
    }
    let plain = string(text);
    let star = match behind(text, plain) {
        [b'\\', b'*', rest @ ..] => 2 + string(rest),
        [b'*', ..] if plain > 0 => 1,
        _ => 0,
    };
    match (plain, star) {
        (1, 0) if text.first() == Some(&b'.') => None,
        (_, 0) => Candidate::new(Kind::Word, plain),
        _ => Candidate::new(Kind::Wildcard, plain + star),
    }
}

fn string(text: &[u8]) -> usize {
    match text.first() {
        Some(b'_' | b'.') => {}
        Some(byte) if byte.is_ascii_alphabetic() => {}
        _ => return 0,
    }
    length(text, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.')
    })
}

fn symbol(text: &[u8]) -> Option<Candidate> {
    match text.first() {
        Some(b';') => return Candidate::new(Kind::Semicolon, 1),
        Some(b'\n') => return Candidate::new(Kind::Newline, 1),
        _ => {}
    }
    let found = SYMBOLS
        .iter()
        .find(|symbol| text.starts_with(symbol.as_bytes()))?;
    Candidate::new(Kind::Symbol, found.len())
}

fn address(text: &[u8]) -> Option<Candidate> {
    if let Some(inner) = text.strip_prefix(b"[") {
        let length = ip6(inner)?;
        let closed = inner.get(length) == Some(&b']');
        return closed
            .then(|| Candidate::new(Kind::Literal, length + 2))
            .flatten();
    }
    let lengths = [mac(text), ip4(text), ip6(text)];
    Candidate::new(Kind::Literal, lengths.into_iter().flatten().max()?)
}

/// Six groups of one or two hexadecimal digits.
fn mac(text: &[u8]) -> Option<usize> {
    let mut taken = 0;
    for group in 0..6 {
        if group > 0 {
            behind(text, taken).strip_prefix(b":")?;
            taken += 1;
        }
        let digits = length(behind(text, taken), |byte| byte.is_ascii_hexdigit()).min(2);
        if digits == 0 {
            return None;
        }
        taken += digits;
    }
    Some(taken)
}

/// Four groups of one to three digits: whether each is below 256 is seen later.
fn ip4(text: &[u8]) -> Option<usize> {
    let mut taken = 0;
    for group in 0..4 {
        if group > 0 {
            behind(text, taken).strip_prefix(b".")?;
            taken += 1;
        }
        let digits = length(behind(text, taken), |byte| byte.is_ascii_digit()).min(3);
        if digits == 0 {
            return None;
        }
        taken += digits;
    }
    Some(taken)
}

fn ip6(text: &[u8]) -> Option<usize> {
    let text = text.get(..ADDRESS_BYTES_MAX).unwrap_or(text);
    let run = length(text, |byte| {
        byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')
    });
    (2..=run).rev().find(|&length| {
        let text = text
            .get(..length)
            .and_then(|text| str::from_utf8(text).ok());
        text.is_some_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
    })
}

/// A number of days, hours, minutes, seconds and milliseconds, each at most once and in this order.
fn time(text: &[u8]) -> Option<Candidate> {
    let mut taken = 0;
    for unit in ["d", "h", "m", "s", "ms"] {
        let rest = behind(text, taken);
        let digits = length(rest, |byte| byte.is_ascii_digit());
        let is_milliseconds = unit == "m" && behind(rest, digits).starts_with(b"ms");
        if digits > 0 && !is_milliseconds && behind(rest, digits).starts_with(unit.as_bytes()) {
            taken += digits + unit.len();
        }
    }
    Candidate::new(Kind::Literal, taken)
}

fn number(text: &[u8]) -> Option<Candidate> {
    if let [b'0', b'x' | b'X', digits @ ..] = text {
        let length = length(digits, |byte| byte.is_ascii_hexdigit());
        if length > 0 {
            let kind = digits_value(digits.get(..length)?, 16).map_or(Kind::Word, Kind::Number);
            return Candidate::new(kind, length + 2);
        }
    }
    let length = length(text, |byte| byte.is_ascii_digit());
    let digits = text.get(..length)?;
    let base = if digits.first() == Some(&b'0') { 8 } else { 10 };
    Candidate::new(
        digits_value(digits, base).map_or(Kind::Word, Kind::Number),
        length,
    )
}

/// `None` beyond 64 bits. What is no digit of that base ends the number, and nft does not mind.
fn digits_value(digits: &[u8], base: u32) -> Option<u64> {
    let mut value: u64 = 0;
    for &byte in digits {
        let Some(digit) = char::from(byte).to_digit(base) else {
            break;
        };
        value = value
            .checked_mul(u64::from(base))?
            .checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// As in `1:10`; only before a blank, a colon, a dash, a comma or a closing brace, which counts for its length.
fn class_id(text: &[u8]) -> Option<Candidate> {
    let text = text.get(..CLASS_ID_BYTES_MAX + 1).unwrap_or(text);
    let is_hex = |byte: u8| byte.is_ascii_hexdigit();
    let major = length(text, is_hex);
    let rest = behind(text, major).strip_prefix(b":")?;
    let minor = length(rest, is_hex);
    let next = behind(rest, minor).first().unwrap_or(&b'\n');
    let fits = (1..=4).contains(&major)
        && (1..=4).contains(&minor)
        && matches!(next, b' ' | b'\t' | b'\n' | b':' | b'-' | b'}' | b',');
    let length = major + 1 + minor;
    fits.then_some(Candidate {
        kind: Kind::Literal,
        length,
        weight: length + 1,
    })
}

/// How many bytes at the start fit.
fn length(text: &[u8], fits: impl Fn(u8) -> bool) -> usize {
    let end = text.iter().position(|&byte| !fits(byte));
    end.unwrap_or(text.len())
}

fn behind(text: &[u8], taken: usize) -> &[u8] {
    text.get(taken..).unwrap_or_default()
}
