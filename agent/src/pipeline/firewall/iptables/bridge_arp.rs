//! `arptables` and `ebtables`, as far as the operation: which chain of which table is changed, and where a rule
//! sends what fits. Their own conditions are told as one that is not understood, and nothing is refused for
//! its syntax but a command line without a command.

use crate::pipeline::firewall::change::{
    Family, FirewallChange, Negatable, Operation, Policy, Position, Rule, Target, Which,
};

use super::getopt::{Item, LongOption, Scanner, Takes};
use super::program::XtablesProgram;
use super::{DEFAULT_TABLE, address, number};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Id {
    Append,
    Insert,
    Delete,
    Replace,
    Flush,
    DeleteChain,
    NewChain,
    RenameChain,
    Policy,
    Zero,
    /// `ebtables --init-table`: all rules and chains go.
    InitTable,
    /// Listing, checking, help.
    Read,
    Table,
    Jump,
    InInterface,
    OutInterface,
    Source,
    Destination,
    Condition,
    Ignored,
}

const LONG: &[LongOption<Id>] = &[
    long("append", Takes::Value, Id::Append),
    long("check", Takes::Value, Id::Read),
    long("delete", Takes::Value, Id::Delete),
    long("delete-chain", Takes::AttachedValue, Id::DeleteChain),
    long("destination", Takes::Value, Id::Destination),
    long("dst", Takes::Value, Id::Destination),
    long("flush", Takes::AttachedValue, Id::Flush),
    long("help", Takes::AttachedValue, Id::Read),
    long("in-if", Takes::Value, Id::InInterface),
    long("in-interface", Takes::Value, Id::InInterface),
    long("init-table", Takes::Nothing, Id::InitTable),
    long("insert", Takes::Value, Id::Insert),
    long("jump", Takes::Value, Id::Jump),
    long("list", Takes::AttachedValue, Id::Read),
    long("list-rules", Takes::AttachedValue, Id::Read),
    long("modprobe", Takes::Value, Id::Ignored),
    long("new-chain", Takes::Value, Id::NewChain),
    long("numeric", Takes::Nothing, Id::Ignored),
    long("out-if", Takes::Value, Id::OutInterface),
    long("out-interface", Takes::Value, Id::OutInterface),
    long("policy", Takes::Value, Id::Policy),
    long("proto", Takes::Value, Id::Condition),
    long("protocol", Takes::Value, Id::Condition),
    long("rename-chain", Takes::Value, Id::RenameChain),
    long("replace", Takes::Value, Id::Replace),
    long("source", Takes::Value, Id::Source),
    long("src", Takes::Value, Id::Source),
    long("table", Takes::Value, Id::Table),
    long("verbose", Takes::Nothing, Id::Ignored),
    long("version", Takes::Nothing, Id::Read),
    long("zero", Takes::AttachedValue, Id::Zero),
];

/// The changes that `arguments` ask for; none for a listing.
///
/// # Errors
/// There is no command.
pub(super) fn parse(
    program: XtablesProgram,
    arguments: &[&[u8]],
) -> Result<Vec<FirewallChange>, String> {
    let mut reader = Reader {
        family: program.family,
        scanner: Scanner::new(arguments),
        table: DEFAULT_TABLE,
        chain: None,
        command: None,
        index: None,
        name: None,
        negated: false,
        rule: Rule::default(),
    };
    let command = reader.read().ok_or("no command")?;
    let Some(operation) = reader.operation(command)? else {
        return Ok(Vec::new());
    };
    Ok(vec![FirewallChange {
        backend: program.backend,
        family: Some(program.family),
        table: Some(reader.table.to_vec()),
        chain: reader.chain.map(<[u8]>::to_vec),
        operation,
    }])
}

struct Reader<'a> {
    family: Family,
    scanner: Scanner<'a>,
    table: &'a [u8],
    chain: Option<&'a [u8]>,
    command: Option<Id>,
    index: Option<u32>,
    /// A policy, or a chain's new name.
    name: Option<&'a [u8]>,
    negated: bool,
    rule: Rule,
}

impl<'a> Reader<'a> {
    /// Reads all, and gives the command: the first one, for `ebtables -N chain -P policy` is one that makes a
    /// chain.
    fn read(&mut self) -> Option<Id> {
        loop {
            match self.scanner.next(short, LONG) {
                Item::End => return self.command,
                Item::Word(b"!") => {
                    self.negated = true;
                    continue;
                }
                Item::Word(_) => {}
                Item::Unknown | Item::ValueMissing => self.condition(),
                Item::Option { id, value } => self.option(id, value),
            }
            self.negated = false;
        }
    }

    fn option(&mut self, id: Id, value: Option<&'a [u8]>) {
        let value_or_nothing = value.unwrap_or_default();
        match id {
            Id::Table => self.table = value_or_nothing,
            Id::Ignored => {}
            Id::Jump => self.rule.target = target(value_or_nothing),
            Id::InInterface => self.rule.in_interface = Some(self.negatable(value_or_nothing)),
            Id::OutInterface => self.rule.out_interface = Some(self.negatable(value_or_nothing)),
            Id::Source | Id::Destination => self.address(id, value_or_nothing),
            Id::Condition => self.condition(),
            _ => self.command(id, value),
        }
    }

    fn command(&mut self, id: Id, value: Option<&'a [u8]>) {
        if self.command.is_some() {
            return;
        }
        self.command = Some(id);
        match id {
            Id::Flush | Id::DeleteChain | Id::Zero => {
                self.chain = value.or_else(|| self.scanner.take_plain());
            }
            Id::Insert | Id::Delete | Id::Replace => {
                self.chain = value;
                self.index = self.scanner.take_plain().and_then(index);
            }
            Id::Policy | Id::RenameChain => {
                self.chain = value;
                self.name = self.scanner.take_plain();
            }
            _ => self.chain = value,
        }
    }

    fn operation(&mut self, command: Id) -> Result<Option<Operation>, String> {
        let rule = Box::new(std::mem::take(&mut self.rule));
        Ok(Some(match command {
            Id::Append => Operation::AddRule {
                rule,
                position: Position::Last,
            },
            Id::Insert => Operation::AddRule {
                rule,
                position: Position::Index(self.index.unwrap_or(1)),
            },
            Id::Replace => Operation::ReplaceRule {
                which: Which::Index(self.index.ok_or("a replacement for no rule")?),
                rule,
            },
            Id::Delete => Operation::DeleteRule(match self.index {
                Some(index) => Which::Index(index),
                None => Which::Same(rule),
            }),
            Id::Flush => Operation::FlushChain,
            Id::DeleteChain => Operation::DeleteChain,
            Id::NewChain => Operation::AddChain {
                hook: None,
                policy: None,
            },
            Id::RenameChain => Operation::RenameChain {
                to: self.name.ok_or("no new name")?.to_vec(),
            },
            Id::Policy => match self.name {
                Some(b"ACCEPT") => Operation::SetPolicy(Policy::Accept),
                Some(b"DROP") => Operation::SetPolicy(Policy::Drop),
                // ebtables lets a user's chain return.
                Some(b"RETURN" | b"CONTINUE") => Operation::Other {
                    what: b"policy".to_vec(),
                },
                _ => return Err("no policy".into()),
            },
            Id::Zero => Operation::ZeroCounters,
            Id::InitTable => Operation::FlushTable,
            _ => return Ok(None),
        }))
    }

    fn address(&mut self, id: Id, value: &[u8]) {
        let addresses = match self.family {
            Family::Arp => address::list(value, Family::Ipv4),
            _ => None,
        };
        let Some(value) = addresses else {
            self.condition();
            return;
        };
        let side = Some(Negatable {
            value,
            negated: self.negated,
        });
        match id {
            Id::Source => self.rule.sources = side,
            _ => self.rule.destinations = side,
        }
    }

    fn negatable(&self, value: &[u8]) -> Negatable<Vec<u8>> {
        Negatable {
            value: value.to_vec(),
            negated: self.negated,
        }
    }

    fn condition(&mut self) {
        let name: &[u8] = match self.family {
            Family::Arp => b"arp",
            _ => b"ethernet",
        };
        if self.rule.other_matches.is_empty() {
            self.rule.other_matches.push(name.to_vec());
        }
    }
}

fn short(letter: u8) -> Option<(Id, Takes)> {
    Some(match letter {
        b'A' => (Id::Append, Takes::Value),
        b'I' => (Id::Insert, Takes::Value),
        b'D' => (Id::Delete, Takes::Value),
        b'R' => (Id::Replace, Takes::Value),
        b'F' => (Id::Flush, Takes::AttachedValue),
        b'X' => (Id::DeleteChain, Takes::AttachedValue),
        b'N' => (Id::NewChain, Takes::Value),
        b'E' => (Id::RenameChain, Takes::Value),
        b'P' => (Id::Policy, Takes::Value),
        b'Z' => (Id::Zero, Takes::AttachedValue),
        b'L' | b'S' => (Id::Read, Takes::AttachedValue),
        b'C' => (Id::Read, Takes::Value),
        b'V' | b'h' => (Id::Read, Takes::Nothing),
        b't' => (Id::Table, Takes::Value),
        b'j' => (Id::Jump, Takes::Value),
        b'i' => (Id::InInterface, Takes::Value),
        b'o' => (Id::OutInterface, Takes::Value),
        b's' => (Id::Source, Takes::Value),
        b'd' => (Id::Destination, Takes::Value),
        b'p' | b'l' => (Id::Condition, Takes::Value),
        b'M' | b'c' => (Id::Ignored, Takes::Value),
        b'v' | b'n' | b'x' => (Id::Ignored, Takes::Nothing),
        _ => return None,
    })
}

fn target(name: &[u8]) -> Option<Target> {
    match name {
        b"ACCEPT" => Some(Target::Accept),
        b"DROP" => Some(Target::Drop),
        b"RETURN" => Some(Target::Return),
        b"QUEUE" => Some(Target::Queue),
        b"CONTINUE" => None,
        b"mark" | b"MARK" => Some(Target::Mark),
        b"arpreply" | b"dnat" | b"snat" | b"redirect" | b"mangle" | b"CLASSIFY" => {
            Some(Target::Other(name.to_vec()))
        }
        chain => Some(Target::Jump(chain.to_vec())),
    }
}

/// The first of a range, too (`ebtables -D chain 2:4`).
fn index(text: &[u8]) -> Option<u32> {
    let index = number::decimal_prefix(text)?.value;
    u32::try_from(index).ok().filter(|&index| index != 0)
}

const fn long(name: &'static str, takes: Takes, id: Id) -> LongOption<Id> {
    LongOption { name, takes, id }
}
