//! The command line of nft(8) and its language, as nftables 1.1 reads them.
//!
//! What nft would refuse is refused here. A statement that nft takes and that a [`Rule`](super::change::Rule) has
//! no words for is kept as text. Whether a table, a chain or a set is there, only the kernel knows: a command
//! that fails for such a reason reads here like one that succeeds.

use super::change::{Command, Operation, RulesetSource};
use super::options::{self, Opt, Order, Parsed, Takes};

mod block;
mod command;
mod convert;
mod cursor;
mod expression;
mod field_names;
mod keyword;
mod matching;
mod place;
mod rule;
mod statement;
mod stop;
#[cfg(test)]
mod tests;
mod token;
mod value;
mod variables;

/// nft(8), "OPTIONS".
const OPTIONS: &[Opt] = &[
    Opt::new(b'h', "help", Takes::Nothing),
    Opt::new(b'v', "version", Takes::Nothing),
    Opt::new(b'V', "", Takes::Nothing),
    Opt::new(b'f', "file", Takes::Value),
    Opt::new(b'D', "define", Takes::Value),
    Opt::new(b'i', "interactive", Takes::Nothing),
    Opt::new(b'I', "includepath", Takes::Value),
    Opt::new(b'c', "check", Takes::Nothing),
    Opt::new(b'o', "optimize", Takes::Nothing),
    Opt::new(b'a', "handle", Takes::Nothing),
    Opt::new(b's', "stateless", Takes::Nothing),
    Opt::new(b't', "terse", Takes::Nothing),
    Opt::new(b'S', "service", Takes::Nothing),
    Opt::new(b'N', "reversedns", Takes::Nothing),
    Opt::new(b'u', "guid", Takes::Nothing),
    Opt::new(b'n', "numeric", Takes::Nothing),
    Opt::new(b'y', "numeric-priority", Takes::Nothing),
    Opt::new(b'p', "numeric-protocol", Takes::Nothing),
    Opt::new(b'T', "numeric-time", Takes::Nothing),
    Opt::new(b'e', "echo", Takes::Nothing),
    Opt::new(b'j', "json", Takes::Nothing),
    Opt::new(b'd', "debug", Takes::Value),
];

/// What `nft ARGUMENTS` means; the program's name is not among them.
pub fn parse(arguments: &[&[u8]]) -> Command {
    match options(arguments) {
        Ok(parsed) => meaning(&parsed),
        Err(reason) => Command::Rejected { reason },
    }
}

/// What a ruleset of nft means, as `nft -f` reads it.
pub fn parse_text(text: &[u8]) -> Command {
    command::command(text)
}

fn options<'a>(arguments: &'a [&'a [u8]]) -> Result<Parsed<'a>, String> {
    if has_late_option(arguments) {
        return Err("options must stand before commands".to_owned());
    }
    options::parse(arguments, OPTIONS, Order::OptionsFirst)
}

/// An argument that looks like an option behind one that does not, and before one that begins with a brace
/// (`nft_options_check`, nftables `src/main.c`).
fn has_late_option(arguments: &[&[u8]]) -> bool {
    let mut is_value = false;
    let mut has_word = false;
    for argument in arguments {
        match *argument {
            [b'{', ..] => return false,
            _ if is_value => is_value = false,
            [b'-', ..] if has_word => return true,
            [b'-', b'd' | b'I' | b'f' | b'D', ..]
            | b"--debug"
            | b"--includepath"
            | b"--define"
            | b"--file" => is_value = true,
            [b'-', ..] => {}
            _ => has_word = true,
        }
    }
    false
}

fn meaning(parsed: &Parsed<'_>) -> Command {
    // The first of these ends nft, whatever else is asked for.
    if ["help", "version", ""].iter().any(|name| parsed.has(name)) {
        return Command::Query;
    }
    let command = asked(parsed);
    if parsed.has("check") && matches!(command, Command::Changes(_)) {
        return Command::Query;
    }
    command
}

/// What is asked for, were it not only checked. A command goes before a file (`main`, nftables `src/main.c`).
fn asked(parsed: &Parsed<'_>) -> Command {
    if parsed.has("define") && !parsed.has("file") {
        return rejected("-D goes with -f alone");
    }
    if !parsed.words.is_empty() {
        let text = parsed.words.join(&b' ');
        return match text.trim_ascii_start().first() {
            Some(b'{') if parsed.has("json") => command::other(Operation::Other {
                what: b"commands in JSON".to_vec(),
            }),
            _ => parse_text(&text),
        };
    }
    match parsed.value("file") {
        Some(b"-" | b"/dev/stdin" | b"/dev/fd/0" | b"/proc/self/fd/0") => {
            command::load(RulesetSource::Stdin)
        }
        Some(file) => command::load(RulesetSource::File(file.to_vec())),
        None if parsed.has("interactive") => command::load(RulesetSource::Stdin),
        None => rejected("no command"),
    }
}

fn rejected(reason: &str) -> Command {
    Command::Rejected {
        reason: reason.to_owned(),
    }
}
