//! Command lines of the programs that load a whole ruleset (iptables 1.8.11 `iptables/iptables-restore.c`,
//! `xtables-restore.c` and the script `iptables-apply`).

use crate::pipeline::firewall::change::RulesetSource;

use super::number;
use crate::pipeline::firewall::getopt::{Item, LongOption, Scanner, Takes};

/// Where `iptables-apply` finds its rules when no file is named.
const APPLY_DEFAULT: &[u8] = b"/etc/network/iptables.up.rules";

/// The program that `iptables-apply --command` runs when none is named.
const APPLY_PROGRAM_DEFAULT: &[u8] = b"/etc/network/iptables.up.run";

/// What is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Loading {
    Ruleset {
        source: RulesetSource,
        table: Option<Vec<u8>>,
        flushes: bool,
    },
    /// A program that makes the changes itself.
    Program(Vec<u8>),
    /// It only tests, or shows a help.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restore {
    Ignored,
    Exit,
    Test,
    NoFlush,
    Table,
    Wait,
}

const RESTORE: &[LongOption<(Restore, u8)>] = &[
    long("counters", Takes::Nothing, Restore::Ignored, b'c'),
    long("verbose", Takes::Nothing, Restore::Ignored, b'v'),
    long("version", Takes::Nothing, Restore::Exit, b'V'),
    long("test", Takes::Nothing, Restore::Test, b't'),
    long("help", Takes::Nothing, Restore::Exit, b'h'),
    long("noflush", Takes::Nothing, Restore::NoFlush, b'n'),
    long("modprobe", Takes::Value, Restore::Ignored, b'M'),
    long("table", Takes::Value, Restore::Table, b'T'),
    long("wait", Takes::AttachedValue, Restore::Wait, b'w'),
    long("wait-interval", Takes::AttachedValue, Restore::Wait, b'W'),
];

/// Takes the arguments of `iptables-restore` apart.
///
/// # Errors
/// Why the program would refuse them.
pub(super) fn restore(arguments: &[&[u8]]) -> Result<Loading, String> {
    let mut scanner = Scanner::new(arguments);
    let mut files: Vec<&[u8]> = Vec::new();
    let mut table = None;
    let (mut flushes, mut tests) = (true, false);
    loop {
        let (id, value) = match scanner.next(restore_short, RESTORE) {
            Item::End => break,
            Item::Word(word) => {
                files.push(word);
                continue;
            }
            Item::Unknown | Item::ValueMissing => {
                return Err("an option that is unknown or lacks its value".into());
            }
            Item::Option { id: (id, _), value } => (id, value),
        };
        match id {
            Restore::Ignored => {}
            Restore::Exit => return Ok(Loading::Nothing),
            Restore::Test => tests = true,
            Restore::NoFlush => flushes = false,
            Restore::Table => table = value.map(<[u8]>::to_vec),
            Restore::Wait => wait(value, &mut scanner)?,
        }
    }
    files.extend(scanner.rest());
    let source = match files.as_slice() {
        [] => RulesetSource::Stdin,
        [file] => RulesetSource::File(file.to_vec()),
        _ => return Err("two files".into()),
    };
    Ok(match tests {
        true => Loading::Nothing,
        false => Loading::Ruleset {
            source,
            table,
            flushes,
        },
    })
}

/// A number may stand behind it.
fn wait<'a>(attached: Option<&'a [u8]>, scanner: &mut Scanner<'a>) -> Result<(), String> {
    match attached.or_else(|| scanner.take_plain()) {
        Some(text) if number::decimal_prefix(text).is_none() => {
            Err("--wait without seconds".into())
        }
        _ => Ok(()),
    }
}

fn restore_short(letter: u8) -> Option<((Restore, u8), Takes)> {
    if letter == b'b' {
        return Some(((Restore::Ignored, b'b'), Takes::Nothing));
    }
    let option = RESTORE.iter().find(|option| option.id.1 == letter)?;
    // The letters take no value, not even an attached one.
    let takes = if option.takes == Takes::Value {
        Takes::Value
    } else {
        Takes::Nothing
    };
    Some((option.id, takes))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Apply {
    Value,
    Command,
    Exit,
}

const APPLY: &[LongOption<(Apply, u8)>] = &[
    long("timeout", Takes::Value, Apply::Value, b't'),
    long("write", Takes::Value, Apply::Value, b'w'),
    long("command", Takes::Nothing, Apply::Command, b'c'),
    long("help", Takes::Nothing, Apply::Exit, b'h'),
    long("version", Takes::Nothing, Apply::Exit, b'V'),
];

/// Takes the arguments of `iptables-apply` apart.
///
/// # Errors
/// Why the script would refuse them.
pub(super) fn apply(arguments: &[&[u8]]) -> Result<Loading, String> {
    let mut scanner = Scanner::new(arguments);
    let mut words: Vec<&[u8]> = Vec::new();
    let mut runs = false;
    loop {
        match scanner.next(apply_short, APPLY) {
            Item::End => break,
            Item::Word(word) => words.push(word),
            Item::Unknown | Item::ValueMissing => {
                return Err("an option that is unknown or lacks its value".into());
            }
            Item::Option { id, .. } => match id.0 {
                Apply::Value => {}
                Apply::Command => runs = true,
                Apply::Exit => return Ok(Loading::Nothing),
            },
        }
    }
    words.extend(scanner.rest());
    let word = |missing| words.first().copied().unwrap_or(missing).to_vec();
    Ok(match runs {
        true => Loading::Program(word(APPLY_PROGRAM_DEFAULT)),
        false => Loading::Ruleset {
            source: RulesetSource::File(word(APPLY_DEFAULT)),
            table: None,
            flushes: true,
        },
    })
}

fn apply_short(letter: u8) -> Option<((Apply, u8), Takes)> {
    let option = APPLY.iter().find(|option| option.id.1 == letter)?;
    Some((option.id, option.takes))
}

const fn long<Id>(name: &'static str, takes: Takes, id: Id, letter: u8) -> LongOption<(Id, u8)>
where
    Id: Copy,
{
    LongOption {
        name,
        takes,
        id: (id, letter),
    }
}
