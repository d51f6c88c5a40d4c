//! One record: a line, up to its fields.

use memchr::memmem;

use super::fields::Fields;
use super::stamp::Stamp;

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Syscall,
    Execve,
    Path,
    Proctitle,
    /// The end of an event.
    Eoe,
    Other,
}

impl Kind {
    /// By name, or by number where the daemon or a relay knew no name (`include/uapi/linux/audit.h`).
    fn parse(word: &[u8]) -> Self {
        let number = word.strip_prefix(b"UNKNOWN[");
        match number
            .and_then(|word| word.strip_suffix(b"]"))
            .unwrap_or(word)
        {
            b"SYSCALL" | b"1300" => Self::Syscall,
            b"PATH" | b"1302" => Self::Path,
            b"EXECVE" | b"1309" => Self::Execve,
            b"EOE" | b"1320" => Self::Eoe,
            b"PROCTITLE" | b"1327" => Self::Proctitle,
            _ => Self::Other,
        }
    }
}

/// A line that is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoRecord {
    /// Somebody else's, in a log that is shared.
    Other,
    Malformed(String),
}

impl NoRecord {
    fn of(line: &[u8]) -> Self {
        if memmem::find(line, b"audit(").is_none() {
            return Self::Other;
        }
        Self::Malformed("expected type=… msg=audit(SECONDS.MILLISECONDS:SERIAL): …".to_owned())
    }
}

pub(super) struct Record<'a> {
    pub(super) kind: Kind,
    pub(super) stamp: Stamp,
    /// The host that sent it; empty when the daemon was not told to name it (`name_format`).
    pub(super) node: &'a [u8],
    /// Of the line.
    pub(super) bytes: usize,
    rest: &'a [u8],
}

impl<'a> Record<'a> {
    /// Takes a line without its line feed; a header of syslog may stand before it.
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, NoRecord> {
        const TYPE: &[u8] = b"type=";
        let at = memmem::find_iter(line, TYPE)
            .find(|&at| at == 0 || line[at - 1] == b' ')
            .ok_or_else(|| NoRecord::of(line))?;
        let (header, rest) = line.split_at(at);
        let rest = &rest[TYPE.len()..];
        let end = memchr::memchr(b' ', rest).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        let rest = rest.trim_ascii_start();
        let rest = rest.strip_prefix(b"msg=").unwrap_or(rest);
        let stamped = rest.strip_prefix(b"audit(").and_then(|rest| {
            let end = memchr::memchr(b')', rest)?;
            let stamp = str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
            Some((stamp, &rest[end + 1..]))
        });
        let (stamp, rest) = stamped.ok_or_else(|| NoRecord::of(line))?;
        let mut words = header.split(|&byte| byte == b' ');
        Ok(Self {
            kind: Kind::parse(word),
            bytes: line.len(),
            stamp,
            node: words
                .find_map(|word| word.strip_prefix(b"node="))
                .unwrap_or_default(),
            rest: rest.strip_prefix(b":").unwrap_or(rest),
        })
    }

    pub(super) fn fields(&self) -> Fields<'a> {
        Fields { rest: self.rest }
    }
}
