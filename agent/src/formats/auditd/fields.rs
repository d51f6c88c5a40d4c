//! The fields of a record: `key=value`, between spaces.

use memchr::memchr2;

/// Stands before what the daemon itself adds (`AUDIT_INTERP_SEPARATOR` in `libaudit.h`, `log_format = ENRICHED`).
const ENRICHED: u8 = 0x1d;

/// A value as it stands there. What a program could choose is quoted, or, when that would not do, written in
/// hexadecimal digits (`audit_log_n_untrustedstring` in `kernel/audit.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Quoted(&'a [u8]),
    Bare(&'a [u8]),
}

impl<'a> Value<'a> {
    pub(super) fn raw(self) -> &'a [u8] {
        match self {
            Self::Quoted(text) | Self::Bare(text) => text,
        }
    }

    /// Puts what a program chose behind `out`. `false` when the kernel had nothing to tell.
    pub(super) fn decode_into(self, out: &mut Vec<u8>) -> Result<bool, String> {
        let digits = match self {
            Self::Quoted(text) => {
                out.extend_from_slice(text);
                return Ok(true);
            }
            Self::Bare(b"(null)" | b"?" | b"(none)" | b"") => return Ok(false),
            Self::Bare(digits) => digits,
        };
        let bad = || {
            let shown: String = String::from_utf8_lossy(digits).chars().take(40).collect();
            format!("{shown:?} is neither quoted nor hexadecimal")
        };
        let (pairs, rest) = digits.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(bad());
        }
        out.reserve(pairs.len());
        for &[high, low] in pairs {
            let (Some(high), Some(low)) = (digit(high), digit(low)) else {
                return Err(bad());
            };
            out.push(high << 4 | low);
        }
        Ok(true)
    }

    pub(super) fn decode(self) -> Result<Option<Vec<u8>>, String> {
        let mut out = Vec::new();
        Ok(self.decode_into(&mut out)?.then_some(out))
    }

    pub(super) fn number(self) -> Option<u64> {
        str::from_utf8(self.raw()).ok()?.parse().ok()
    }

    pub(super) fn hexadecimal(self) -> Option<u64> {
        u64::from_str_radix(str::from_utf8(self.raw()).ok()?, 16).ok()
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// The fields, in their order. Words without `=` are passed over.
pub(super) struct Fields<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let begin = self.rest.iter().position(|byte| !is_gap(*byte))?;
            let rest = &self.rest[begin..];
            let end = rest.iter().position(|&byte| byte == b'=' || is_gap(byte));
            let (key, rest) = rest.split_at(end.unwrap_or(rest.len()));
            let Some(rest) = rest.strip_prefix(b"=") else {
                self.rest = rest;
                continue;
            };
            if let Some(quoted) = rest.strip_prefix(b"\"")
                && let Some(end) = memchr::memchr(b'"', quoted)
            {
                self.rest = &quoted[end + 1..];
                return Some((key, Value::Quoted(&quoted[..end])));
            }
            let end = memchr2(b' ', ENRICHED, rest).unwrap_or(rest.len());
            self.rest = &rest[end..];
            return Some((key, Value::Bare(&rest[..end])));
        }
    }
}

fn is_gap(byte: u8) -> bool {
    byte == b' ' || byte == ENRICHED
}
