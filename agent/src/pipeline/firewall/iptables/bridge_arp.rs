//! `arptables` and `ebtables`, as far as the operation: which chain of which table is changed, and where a rule
//! sends what fits. Their own conditions are told as one that is not understood, and nothing is refused for
//! its syntax but a command line without a command.

use crate::pipeline::firewall::change::{
    Addresses, Family, FirewallChange, Negatable, Operation, Policy, Position, Rule, Target, Which,
};

use super::program::XtablesProgram;
use super::{DEFAULT_TABLE, address, number};
use crate::pipeline::firewall::getopt::{Item, LongOption, Scanner, Takes};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Id {
    Command(Verb),
    Part(Part),
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
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
}

/// What belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Table,
    Jump,
    InInterface,
    OutInterface,
    Source,
    Destination,
    /// A condition of their own.
    Condition,
    Ignored,
}

const LONG: &[LongOption<Id>] = &[
    long("append", Takes::Value, Id::Command(Verb::Append)),
    long("check", Takes::Value, Id::Command(Verb::Read)),
    long("delete", Takes::Value, Id::Command(Verb::Delete)),
    long(
        "delete-chain",
        Takes::AttachedValue,
        Id::Command(Verb::DeleteChain),
    ),
    long("destination", Takes::Value, Id::Part(Part::Destination)),
    long("dst", Takes::Value, Id::Part(Part::Destination)),
    long("flush", Takes::AttachedValue, Id::Command(Verb::Flush)),
    long("help", Takes::AttachedValue, Id::Command(Verb::Read)),
    long("in-if", Takes::Value, Id::Part(Part::InInterface)),
    long("in-interface", Takes::Value, Id::Part(Part::InInterface)),
    long("init-table", Takes::Nothing, Id::Command(Verb::InitTable)),
    long("insert", Takes::Value, Id::Command(Verb::Insert)),
    long("jump", Takes::Value, Id::Part(Part::Jump)),
    long("list", Takes::AttachedValue, Id::Command(Verb::Read)),
    long("list-rules", Takes::AttachedValue, Id::Command(Verb::Read)),
    long("modprobe", Takes::Value, Id::Part(Part::Ignored)),
    long("new-chain", Takes::Value, Id::Command(Verb::NewChain)),
    long("numeric", Takes::Nothing, Id::Part(Part::Ignored)),
    long("out-if", Takes::Value, Id::Part(Part::OutInterface)),
    long("out-interface", Takes::Value, Id::Part(Part::OutInterface)),
    long("policy", Takes::Value, Id::Command(Verb::Policy)),
    long("proto", Takes::Value, Id::Part(Part::Condition)),
    long("protocol", Takes::Value, Id::Part(Part::Condition)),
    long("rename-chain", Takes::Value, Id::Command(Verb::RenameChain)),
    long("replace", Takes::Value, Id::Command(Verb::Replace)),
    long("source", Takes::Value, Id::Part(Part::Source)),
    long("src", Takes::Value, Id::Part(Part::Source)),
    long("table", Takes::Value, Id::Part(Part::Table)),
    long("verbose", Takes::Nothing, Id::Part(Part::Ignored)),
    long("version", Takes::Nothing, Id::Command(Verb::Read)),
    long("zero", Takes::AttachedValue, Id::Command(Verb::Zero)),
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
    command: Option<Verb>,
    index: Option<u32>,
    /// A policy, or a chain's new name.
    name: Option<&'a [u8]>,
    negated: bool,
    rule: Rule,
}

impl<'a> Reader<'a> {
    /// Reads all, and gives the command: the first one, for `ebtables -N chain -P policy` is one that makes a
    /// chain.
    fn read(&mut self) -> Option<Verb> {
        loop {
            match self.scanner.next(short, LONG) {
                Item::End => return self.command,
                Item::Word(b"!") => {
                    self.negated = true;
                    continue;
                }
                Item::Word(_) => {}
                Item::Unknown | Item::ValueMissing => self.condition(),
                Item::Option {
                    id: Id::Command(verb),
                    value,
                } => self.command(verb, value),
                Item::Option {
                    id: Id::Part(part),
                    value,
                } => self.part(part, value.unwrap_or_default()),
            }
            self.negated = false;
        }
    }

    fn part(&mut self, part: Part, value: &'a [u8]) {
        match part {
            Part::Table => self.table = value,
            Part::Ignored => {}
            Part::Jump => self.rule.target = target(value),
            Part::InInterface => self.rule.in_interface = Some(self.negatable(value.to_vec())),
            Part::OutInterface => self.rule.out_interface = Some(self.negatable(value.to_vec())),
            Part::Source => match self.addresses(value) {
                Some(sources) => self.rule.sources = Some(sources),
                None => self.condition(),
            },
            Part::Destination => match self.addresses(value) {
                Some(destinations) => self.rule.destinations = Some(destinations),
                None => self.condition(),
            },
            Part::Condition => self.condition(),
        }
    }

    fn command(&mut self, verb: Verb, value: Option<&'a [u8]>) {
        if self.command.is_some() {
            return;
        }
        self.command = Some(verb);
        self.chain = value;
        match verb {
            Verb::Flush | Verb::DeleteChain | Verb::Zero => {
                self.chain = value.or_else(|| self.scanner.take_plain());
            }
            Verb::Insert | Verb::Delete | Verb::Replace => {
                self.index = self.scanner.take_plain().and_then(index);
            }
            Verb::Policy | Verb::RenameChain => self.name = self.scanner.take_plain(),
            Verb::Append | Verb::NewChain | Verb::InitTable | Verb::Read => {}
        }
    }

    fn operation(&mut self, command: Verb) -> Result<Option<Operation>, String> {
        let rule = Box::new(std::mem::take(&mut self.rule));
        Ok(Some(match command {
            Verb::Append => Operation::AddRule {
                rule,
                position: Position::Last,
            },
            Verb::Insert => Operation::AddRule {
                rule,
                position: Position::Index(self.index.unwrap_or(1)),
            },
            Verb::Replace => Operation::ReplaceRule {
                which: Which::Index(self.index.ok_or("a replacement for no rule")?),
                rule,
            },
            Verb::Delete => Operation::DeleteRule(match self.index {
                Some(index) => Which::Index(index),
                None => Which::Same(rule),
            }),
            Verb::Flush => Operation::FlushChain,
            Verb::DeleteChain => Operation::DeleteChain,
            Verb::NewChain => Operation::AddChain {
                hook: None,
                policy: None,
            },
            Verb::RenameChain => Operation::RenameChain {
                to: self.name.ok_or("no new name")?.to_vec(),
            },
            Verb::Policy => match self.name {
                Some(b"ACCEPT") => Operation::SetPolicy(Policy::Accept),
                Some(b"DROP") => Operation::SetPolicy(Policy::Drop),
                // ebtables lets a user's chain return.
                Some(b"RETURN" | b"CONTINUE") => Operation::Other {
                    what: b"policy".to_vec(),
                },
                _ => return Err("no policy".into()),
            },
            Verb::Zero => Operation::ZeroCounters,
            Verb::InitTable => Operation::FlushTable,
            Verb::Read => return Ok(None),
        }))
    }

    /// Of arptables; ebtables has addresses of another kind.
    fn addresses(&self, value: &[u8]) -> Option<Negatable<Vec<Addresses>>> {
        let is_arp = self.family == Family::Arp;
        let addresses = is_arp.then(|| address::list(value, Family::Ipv4));
        addresses.flatten().map(|list| self.negatable(list))
    }

    fn negatable<T>(&self, value: T) -> Negatable<T> {
        Negatable {
            value,
            negated: self.negated,
        }
    }

    fn condition(&mut self) {
        let is_arp = self.family == Family::Arp;
        let name: &[u8] = if is_arp { b"arp" } else { b"ethernet" };
        if self.rule.other_matches.is_empty() {
            self.rule.other_matches.push(name.to_vec());
        }
    }
}

fn short(letter: u8) -> Option<(Id, Takes)> {
    Some(match letter {
        b'A' => (Id::Command(Verb::Append), Takes::Value),
        b'I' => (Id::Command(Verb::Insert), Takes::Value),
        b'D' => (Id::Command(Verb::Delete), Takes::Value),
        b'R' => (Id::Command(Verb::Replace), Takes::Value),
        b'F' => (Id::Command(Verb::Flush), Takes::AttachedValue),
        b'X' => (Id::Command(Verb::DeleteChain), Takes::AttachedValue),
        b'N' => (Id::Command(Verb::NewChain), Takes::Value),
        b'E' => (Id::Command(Verb::RenameChain), Takes::Value),
        b'P' => (Id::Command(Verb::Policy), Takes::Value),
        b'Z' => (Id::Command(Verb::Zero), Takes::AttachedValue),
        b'L' | b'S' => (Id::Command(Verb::Read), Takes::AttachedValue),
        b'C' => (Id::Command(Verb::Read), Takes::Value),
        b'V' | b'h' => (Id::Command(Verb::Read), Takes::Nothing),
        b't' => (Id::Part(Part::Table), Takes::Value),
        b'j' => (Id::Part(Part::Jump), Takes::Value),
        b'i' => (Id::Part(Part::InInterface), Takes::Value),
        b'o' => (Id::Part(Part::OutInterface), Takes::Value),
        b's' => (Id::Part(Part::Source), Takes::Value),
        b'd' => (Id::Part(Part::Destination), Takes::Value),
        b'p' | b'l' => (Id::Part(Part::Condition), Takes::Value),
        b'M' | b'c' => (Id::Part(Part::Ignored), Takes::Value),
        b'v' | b'n' | b'x' => (Id::Part(Part::Ignored), Takes::Nothing),
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
