//! Numbers as the C library reads them for the iptables family.

/// A number and what stands behind it, as `strtoumax(3)` reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix<'a> {
    pub(super) value: u64,
    pub(super) rest: &'a [u8],
}

/// The number at the start of `text`, by base 0: `0x` is hexadecimal, a leading 0 octal. White space and a
/// plus sign may stand before it; a minus sign may not (`xtables_strtoul_base`, iptables
/// `libxtables/xtables.c`). `None` when there is no number, or one beyond 64 bits.
pub(super) fn prefix(text: &[u8]) -> Option<Prefix<'_>> {
    let text = without_space(text);
    let text = text.strip_prefix(b"+").unwrap_or(text);
    match text {
        [b'0', b'x' | b'X', digits @ ..] if digits.first().is_some_and(u8::is_ascii_hexdigit) => {
            digits_of(digits, 16)
        }
        [b'0', ..] => digits_of(text, 8),
        _ => digits_of(text, 10),
    }
}

/// The whole of `text` as a number from `min` to `max`.
pub(super) fn whole(text: &[u8], min: u64, max: u64) -> Option<u64> {
    let Prefix { value, rest } = prefix(text)?;
    (rest.is_empty() && (min..=max).contains(&value)).then_some(value)
}

/// The number at the start of `text` in base 10, as `strtoul(3)` and `scanf(3)` read it; a minus sign turns it
/// around.
pub(super) fn decimal_prefix(text: &[u8]) -> Option<Prefix<'_>> {
    let text = without_space(text);
    let (negative, text) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let Prefix { value, rest } = digits_of(text, 10)?;
    let value = if negative {
        value.wrapping_neg()
    } else {
        value
    };
    Some(Prefix { value, rest })
}

/// White space as `isspace(3)` has it in the C locale.
pub(super) fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == b'\x0b'
}

pub(super) fn without_space(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&byte| !is_space(byte));
    start.map_or(&[], |start| text.get(start..).unwrap_or_default())
}

fn digits_of(text: &[u8], base: u32) -> Option<Prefix<'_>> {
    let mut value: u64 = 0;
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        let Some(digit) = char::from(byte).to_digit(base) else {
            break;
        };
        value = value
            .checked_mul(u64::from(base))?
            .checked_add(u64::from(digit))?;
        rest = behind;
    }
    (rest.len() < text.len()).then_some(Prefix { value, rest })
}
