//! The text that iptables-save writes and iptables-restore reads.
//!
//! ```text
//! *filter                      a table begins; unless told not to, the program empties it first
//! :INPUT DROP [0:0]            a chain and its policy; `-` for a chain of the user
//! [7:420] -A INPUT -j ACCEPT   an iptables command without its table; counters may stand before it
//! COMMIT                       now it is done, and not before
//! # a comment
//! ```
//!
//! Words are divided by white space. Double quotes hold one together, and a backslash in them takes the next
//! byte as it is (`add_param_to_argv`, iptables 1.8.11 `iptables/xshared.c`).

use crate::pipeline::firewall::change::{Family, FirewallChange, Operation, Policy};
use crate::pipeline::firewall::reason::shown;

use super::program::XtablesProgram;
use super::request::{self, Source};
use super::{bridge_arp, changes, tables};

/// Changes that are kept of one text: the rulesets of large Kubernetes nodes have some ten thousands.
pub const CHANGES_MAX: usize = 1 << 17;

/// What is read of a line at once, in bytes; the program takes what is behind it for the next line
/// (`iptables/iptables-restore.c`).
const LINE_BYTES_MAX: usize = 10_239;

/// Longest word, in bytes (`struct xt_param_buf`, `xshared.c`).
const WORD_BYTES_MAX: usize = 1_023;

/// Words of a line (`MAX_ARGC`, `iptables/xshared.h`) less those that the program adds.
const WORDS_MAX: usize = 251;

/// A ruleset as text, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Of the tables that end in a `COMMIT`, in their order.
    pub changes: Vec<FirewallChange>,
    /// Changes beyond [`CHANGES_MAX`].
    pub n_left_out: u64,
    /// Where the program would stop; what was committed before has been done.
    pub fault: Option<RestoreFault>,
}

/// A line that the program refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreFault {
    /// Counted from 1.
    pub line: u64,
    /// In our words.
    pub reason: String,
}

/// Reads `text` as the `restore` program of `program`'s family and backend does. `flushes`: without `--noflush`.
/// Any bytes will do.
pub fn parse_restore(program: XtablesProgram, flushes: bool, text: &[u8]) -> Restored {
    let mut reader = Reader {
        program,
        flushes,
        table: None,
        pending: Vec::new(),
        restored: Restored::default(),
    };
    let mut n_lines = 0;
    for line in text.split(|&byte| byte == b'\n').flat_map(pieces) {
        n_lines += 1;
        if let Err(reason) = reader.line(line) {
            reader.restored.fault = Some(RestoreFault {
                line: n_lines,
                reason,
            });
            return reader.restored;
        }
    }
    if reader.table.is_some() {
        reader.restored.fault = Some(RestoreFault {
            line: n_lines,
            reason: "no COMMIT".into(),
        });
    }
    reader.restored
}

struct Reader<'a> {
    program: XtablesProgram,
    flushes: bool,
    /// The one that has begun and not been committed.
    table: Option<&'a [u8]>,
    pending: Vec<FirewallChange>,
    restored: Restored,
}

impl<'a> Reader<'a> {
    fn line(&mut self, line: &'a [u8]) -> Result<(), String> {
        match (line, self.table) {
            ([] | [b'#', ..], _) => Ok(()),
            (b"COMMIT", Some(_)) => {
                self.table = None;
                self.restored.changes.append(&mut self.pending);
                Ok(())
            }
            ([b'*', rest @ ..], None) => self.begin_table(rest),
            ([b':', rest @ ..], Some(table)) => self.chain(table, rest),
            (line, Some(table)) => self.rule(table, line),
            (_, None) => Err("a line outside of any table".into()),
        }
    }

    fn begin_table(&mut self, rest: &'a [u8]) -> Result<(), String> {
        let table = words_by_space(rest)
            .next()
            .ok_or("a table without a name")?;
        self.table = Some(table);
        if self.flushes {
            self.push(table, None, Operation::FlushTable);
        }
        Ok(())
    }

    fn chain(&mut self, table: &[u8], rest: &[u8]) -> Result<(), String> {
        let mut words = words_by_space(rest);
        let chain = words.next().ok_or("a chain without a name")?;
        let policy = match words.next().ok_or("a chain without a policy")? {
            b"ACCEPT" => Some(Policy::Accept),
            b"DROP" => Some(Policy::Drop),
            b"-" => None,
            b"RETURN" | b"CONTINUE" if self.program.family == Family::Bridge => None,
            other => return Err(format!("no policy: {}", shown(other))),
        };
        let hook = tables::hook(table, chain);
        let is_inet = matches!(self.program.family, Family::Ipv4 | Family::Ipv6);
        if is_inet && hook.is_none() && policy.is_some() {
            return Err("a policy for a chain that takes none".into());
        }
        self.push(table, Some(chain), Operation::AddChain { hook, policy });
        Ok(())
    }

    fn rule(&mut self, table: &[u8], line: &[u8]) -> Result<(), String> {
        let words = words(without_counters(line)?)?;
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let family = self.program.family;
        let found = if matches!(family, Family::Arp | Family::Bridge) {
            let arguments = [&[b"-t".as_slice(), table], words.as_slice()].concat();
            bridge_arp::parse(self.program, &arguments)?
        } else {
            let request = request::parse(family, Source::RestoreFile, table, &words)?;
            changes(self.program, &request)?
        };
        for change in found {
            self.keep(change);
        }
        Ok(())
    }

    fn push(&mut self, table: &[u8], chain: Option<&[u8]>, operation: Operation) {
        self.keep(FirewallChange {
            backend: self.program.backend,
            family: Some(self.program.family),
            table: Some(table.to_vec()),
            chain: chain.map(<[u8]>::to_vec),
            operation,
        });
    }

    fn keep(&mut self, change: FirewallChange) {
        if self.restored.changes.len() + self.pending.len() < CHANGES_MAX {
            self.pending.push(change);
        } else {
            self.restored.n_left_out += 1;
        }
    }
}

/// A line in the pieces in which the program reads it; an empty one is one piece. A NUL ends a piece, as it ends a
/// string in C.
fn pieces(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let empty = line.is_empty().then_some(line);
    line.chunks(LINE_BYTES_MAX).chain(empty).map(|piece| {
        let end = piece.iter().position(|&byte| byte == 0);
        end.and_then(|end| piece.get(..end)).unwrap_or(piece)
    })
}

fn words_by_space(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| matches!(byte, b' ' | b'\t'))
        .filter(|word| !word.is_empty())
}

/// What stands behind `[packets:bytes]`, where a line begins so.
fn without_counters(line: &[u8]) -> Result<&[u8], String> {
    let Some(inner) = line.strip_prefix(b"[") else {
        return Ok(line);
    };
    let mut parts = inner.splitn(2, |&byte| byte == b']');
    let counters = parts.next().unwrap_or_default();
    let rest = parts.next().ok_or("counters without an end")?;
    match counters.iter().position(|&byte| byte == b':') {
        Some(_) => Ok(rest),
        None => Err("counters without a colon".into()),
    }
}

/// The words of a rule. Quotes around nothing are an empty word.
fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut words = Vec::new();
    let mut word = Vec::new();
    let (mut is_quoted, mut is_escaped) = (false, false);
    for &byte in line {
        match byte {
            _ if is_escaped => {
                is_escaped = false;
                word.push(byte);
            }
            b'\\' if is_quoted => is_escaped = true,
            // The closing quote ends a word, too.
            b'"' if is_quoted => {
                is_quoted = false;
                end_word(&mut word, &mut words, true)?;
            }
            b'"' => is_quoted = true,
            b' ' | b'\t' if !is_quoted => end_word(&mut word, &mut words, false)?,
            byte => word.push(byte),
        }
        if word.len() > WORD_BYTES_MAX {
            return Err("too long a word".into());
        }
    }
    end_word(&mut word, &mut words, false)?;
    Ok(words)
}

fn end_word(word: &mut Vec<u8>, words: &mut Vec<Vec<u8>>, was_quoted: bool) -> Result<(), String> {
    if word.is_empty() && !was_quoted {
        return Ok(());
    }
    if words.len() >= WORDS_MAX {
        return Err("too many words".into());
    }
    words.push(std::mem::take(word));
    Ok(())
}
