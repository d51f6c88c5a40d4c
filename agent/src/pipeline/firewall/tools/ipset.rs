//! ipset(8).

use crate::pipeline::firewall::change::{Backend, Command, Element, Operation, RulesetSource};

use super::operand;
use super::{rejected, single};

/// The commands and their other names, in the order in which an abbreviation is looked up (ipset `lib/ipset.c`,
/// `ipset_commands`).
const COMMANDS: &[(&str, &[&str])] = &[
    ("create", &["new", "-N"]),
    ("add", &["-A"]),
    ("del", &["-D"]),
    ("test", &["-T"]),
    ("destroy", &["-X"]),
    ("list", &["-L"]),
    ("save", &["-S"]),
    ("restore", &["-R"]),
    ("flush", &["-F"]),
    ("rename", &["-E"]),
    ("swap", &["-W"]),
    ("help", &["-H", "-h"]),
    ("version", &["-V", "-v"]),
    ("quit", &[]),
];

/// Options that can stand anywhere, and whether a value follows.
const OPTIONS: &[(&str, &str, bool)] = &[
    ("-exist", "-!", false),
    ("-quiet", "-q", false),
    ("-resolve", "-r", false),
    ("-sorted", "-s", false),
    ("-name", "-n", false),
    ("-terse", "-t", false),
    ("-output", "-o", true),
    ("-file", "-f", true),
];

/// What `ipset ARGUMENTS` means.
pub fn parse(arguments: &[&[u8]]) -> Command {
    let mut words: Vec<&[u8]> = Vec::new();
    let mut file: Option<&[u8]> = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match option(argument) {
            Some(("-file", _, _)) => file = rest.next().copied(),
            Some((_, _, true)) => drop(rest.next()),
            Some(_) => {}
            None => words.push(argument),
        }
    }
    let Some((name, operands)) = words.split_first() else {
        return rejected("ipset needs a command");
    };
    if *name == b"-" {
        return load(None);
    }
    match command(name) {
        Some(command) => meaning(command, operands, file),
        None => rejected("ipset has no such command"),
    }
}

fn option(argument: &[u8]) -> Option<&'static (&'static str, &'static str, bool)> {
    let argument = match argument {
        [b'-', b'-', _, ..] => argument.get(1..).unwrap_or(argument),
        _ => argument,
    };
    OPTIONS
        .iter()
        .find(|(long, short, _)| [long, short].iter().any(|name| name.as_bytes() == argument))
}

/// The first command that begins so.
fn command(argument: &[u8]) -> Option<&'static str> {
    let argument = argument.strip_prefix(b"--").unwrap_or(argument);
    let begins = |name: &str| !argument.is_empty() && name.as_bytes().starts_with(argument);
    let found = COMMANDS
        .iter()
        .find(|(name, others)| begins(name) || others.iter().any(|other| begins(other)));
    found.map(|(name, _)| *name)
}

fn meaning(command: &str, operands: &[&[u8]], file: Option<&[u8]>) -> Command {
    let operation = match (command, operands) {
        ("list" | "save" | "test" | "help" | "version" | "quit", _) => return Command::Query,
        ("restore", _) => return load(file),
        ("create", [set, _, ..]) => Operation::AddSet { set: set.to_vec() },
        ("add", [set, entry, ..]) => Operation::AddElements {
            set: set.to_vec(),
            elements: vec![element(entry)],
        },
        ("del", [set, entry, ..]) => Operation::DeleteElements {
            set: set.to_vec(),
            elements: vec![element(entry)],
        },
        ("flush", [set, ..]) => Operation::FlushSet { set: set.to_vec() },
        ("destroy", [set, ..]) => Operation::DeleteSet { set: set.to_vec() },
        ("flush" | "destroy", []) => Operation::Other {
            what: [command.as_bytes(), b" all sets"].concat(),
        },
        ("rename" | "swap", [from, to, ..]) => Operation::Other {
            what: [command.as_bytes(), from, to].join(&b' '),
        },
        _ => return rejected("ipset: the command lacks an operand"),
    };
    single(Backend::Ipset, operation)
}

fn load(file: Option<&[u8]>) -> Command {
    let source = match file {
        Some(file) if file != b"-" && file != b"/dev/stdin" => RulesetSource::File(file.to_vec()),
        _ => RulesetSource::Stdin,
    };
    single(
        Backend::Ipset,
        Operation::Load {
            source,
            flushes: false,
        },
    )
}

/// `10.0.0.0/8,tcp:22,10.0.0.1`.
fn element(entry: &[u8]) -> Element {
    let mut element = Element {
        key: entry.to_vec(),
        ..Element::default()
    };
    for part in entry.split(|&byte| byte == b',') {
        if let Some(addresses) = operand::known_addresses(part) {
            element.addresses.push(addresses);
            continue;
        }
        let port = part.rsplit(|&byte| byte == b':').next().unwrap_or(part);
        element.ports.extend(operand::ports(port, b'-'));
    }
    element
}
