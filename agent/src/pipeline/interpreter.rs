//! Which script an interpreter was told to run, by its own command line.
//!
//! The kernel tells the script of a `#!` line and of no other: for `bash FILE` the program is bash, and what it
//! reads is its own business. Here options are read as the interpreter reads them, to find the file behind them.
//! What is found is what the command line says: whoever starts the interpreter says it, and the environment may
//! have it run something else before (`BASH_ENV`, `PERL5OPT`, `PYTHONSTARTUP`).

use super::exec::{Argv, ExePath, basename};

mod language;

use language::{Language, Meaning};

/// Longest path that can be opened, its NUL included (`PATH_MAX`, `include/uapi/linux/limits.h`).
const PATH_BYTES_MAX: usize = 4096;

/// Words of a command line in which a script is looked for, the program's name for itself included. A script
/// behind more of them is not told.
const WORDS_MAX: usize = 64;

/// What an interpreter was told to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interpreted<'s, 'a> {
    /// As it stands there: a relative path is not resolved, for the working directory is not known.
    pub script: &'a [u8],
    /// What follows it.
    pub arguments: &'s [&'a [u8]],
    /// Whether every option before it is known. One that is not is taken for one without a value.
    pub sure: bool,
}

/// The script that the command line of `exe` names; `None` when that is no interpreter, runs no file, has options
/// that are not known, or when the path cannot be opened: it is cut, or longer than [`PATH_BYTES_MAX`].
pub fn claimed_script<'a>(exe: &ExePath, argv: &'a Argv) -> Option<&'a [u8]> {
    let exe = exe.known()?;
    let program = basename(exe);
    if !is_interpreter(program) && !is_multi_call(program) {
        return None;
    }
    let whole = argv.bytes.split_inclusive(|&byte| byte == 0);
    let words: Vec<&[u8]> = whole
        .map_while(|word| word.strip_suffix(&[0]))
        .take(WORDS_MAX)
        .collect();
    let (name, arguments) = words.split_first()?;
    let (program, arguments) = match is_multi_call(program) {
        true => applet(name, arguments)?,
        false => (program, arguments),
    };
    let found = interpreted(program, arguments)?;
    let can_be_opened = (1..PATH_BYTES_MAX).contains(&found.script.len());
    (found.sure && can_be_opened).then_some(found.script)
}

/// Whether a file of that name is an interpreter; with a version, as in `python3.11`.
pub fn is_interpreter(name: &[u8]) -> bool {
    Language::of(name).is_some()
}

/// What the interpreter `name` runs with these arguments; `None` when that is no file.
pub fn interpreted<'s, 'a>(name: &[u8], arguments: &'s [&'a [u8]]) -> Option<Interpreted<'s, 'a>> {
    let language = Language::of(name)?;
    let mut rest = arguments;
    let mut sure = true;
    while let Some((word, behind)) = rest.split_first() {
        let step = match word {
            [b'-'] if language.is_shell => Step::Operands,
            [b'-'] => Step::NoFile,
            [b'-', b'-', name @ ..] => long_option(language, name, behind),
            [b'-', letters @ ..] => short_options(language, letters, behind),
            [b'+', letters @ ..] if language.is_shell => short_options(language, letters, behind),
            _ => return language.operand(rest, sure),
        };
        rest = match step {
            Step::Options { words, known } => {
                sure &= known;
                behind.get(words..)?
            }
            Step::Operands => return language.operand(behind, sure),
            Step::NoFile => return None,
            Step::File { script, words } => {
                return Some(Interpreted {
                    script,
                    arguments: behind.get(words..)?,
                    sure,
                });
            }
        };
    }
    None
}

/// What one word among the options leads to.
enum Step<'a> {
    /// It goes on; so many words behind this one belong to it.
    Options { words: usize, known: bool },
    /// The options end with it.
    Operands,
    /// Nothing is read from a file that is named.
    NoFile,
    /// The script, and how many words behind this one belong to it.
    File { script: &'a [u8], words: usize },
}

impl<'a> Step<'a> {
    fn known(words: usize) -> Self {
        Self::Options { words, known: true }
    }

    /// The script is the rest of the word, or else the next one.
    fn file(rest: &'a [u8], behind: &[&'a [u8]]) -> Self {
        match (rest, behind) {
            ([], [next, ..]) => Self::File {
                script: next,
                words: 1,
            },
            ([], []) => Self::NoFile,
            _ => Self::File {
                script: rest,
                words: 0,
            },
        }
    }
}

fn short_options<'a>(language: &Language, letters: &'a [u8], behind: &[&'a [u8]]) -> Step<'a> {
    let (mut letters, mut words, mut known) = (letters, 0, true);
    while let Some((&letter, tail)) = letters.split_first() {
        letters = match (language.letter)(letter) {
            Meaning::Flag => tail,
            Meaning::Unknown => {
                known = false;
                tail
            }
            Meaning::Among(bytes) => {
                let end = tail.iter().position(|byte| !bytes.contains(byte));
                &tail[end.unwrap_or(tail.len())..]
            }
            Meaning::NextWord => {
                words += 1;
                tail
            }
            Meaning::RestOfWord => break,
            Meaning::Value => {
                words += usize::from(tail.is_empty());
                break;
            }
            Meaning::NoFile => return Step::NoFile,
            Meaning::File => return Step::file(tail, behind),
        };
    }
    Step::Options { words, known }
}

fn long_option<'a>(language: &Language, text: &'a [u8], behind: &[&'a [u8]]) -> Step<'a> {
    let mut parts = text.splitn(2, |&byte| byte == b'=');
    let name = parts.next().unwrap_or_default();
    let value = parts.next();
    let Some(meaning) = language.long(name) else {
        return match text {
            [] => Step::Operands,
            _ => Step::Options {
                words: 0,
                known: value.is_some(),
            },
        };
    };
    match meaning {
        Meaning::NoFile => Step::NoFile,
        Meaning::File => Step::file(value.unwrap_or_default(), behind),
        Meaning::Value | Meaning::NextWord => Step::known(usize::from(value.is_none())),
        Meaning::Flag | Meaning::RestOfWord | Meaning::Among(_) | Meaning::Unknown => {
            Step::known(0)
        }
    }
}

/// Programs that are an interpreter among others, by the name under which they are called or by their first
/// argument.
fn is_multi_call(program: &[u8]) -> bool {
    program.starts_with(b"busybox") || program.starts_with(b"toybox")
}

fn applet<'s, 'a>(name: &'a [u8], arguments: &'s [&'a [u8]]) -> Option<(&'a [u8], &'s [&'a [u8]])> {
    // A shell that is called for a login has a dash in front.
    let name = basename(name);
    let name = name.strip_prefix(b"-").unwrap_or(name);
    if !is_multi_call(name) {
        return Some((name, arguments));
    }
    let (applet, arguments) = arguments.split_first()?;
    Some((applet, arguments))
}

#[cfg(test)]
mod tests;
