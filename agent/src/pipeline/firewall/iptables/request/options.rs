//! The options that the programs have by themselves (`original_opts` and `IPT_OPTSTRING`, iptables 1.8.11).

use super::{Id, Rejection, Verb};
use crate::pipeline::firewall::getopt::{LongOption, Takes};

/// One of the programs' own options, whichever way it is spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    Command(CommandOption),
    /// It can stand once.
    Once(Once),
    /// Help, or the version: what stands behind it is not read.
    Exit,
    Ipv4,
    Ipv6,
    Match,
    Modprobe,
    Table,
    Wait,
    WaitInterval,
}

/// An option that says what is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommandOption {
    Append,
    Check,
    Delete,
    DeleteChain,
    Flush,
    Insert,
    List,
    ListRules,
    NewChain,
    Policy,
    RenameChain,
    Replace,
    Zero,
}

/// An option that can stand once; `-v` can be said again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Once {
    Destination,
    Exact,
    Fragment,
    Goto,
    InInterface,
    Jump,
    LineNumbers,
    Numeric,
    OutInterface,
    Protocol,
    SetCounters,
    Source,
    Verbose,
}

impl Once {
    fn is_negatable(self) -> bool {
        matches!(
            self,
            Self::Source
                | Self::Destination
                | Self::Protocol
                | Self::InInterface
                | Self::OutInterface
                | Self::Fragment
        )
    }

    /// Whether it can stand with that command (`options_v_commands`, `xshared.c`).
    fn fits(self, verb: Verb<'_>, lists: bool) -> bool {
        match self {
            Self::Verbose => true,
            // With `-L -Z` the program of this version refuses them; others do not.
            Self::Numeric | Self::Exact | Self::LineNumbers => lists,
            Self::SetCounters => matches!(
                verb,
                Verb::Append | Verb::Insert(_) | Verb::Replace(_) | Verb::SetPolicy(_)
            ),
            Self::Destination
            | Self::Fragment
            | Self::Goto
            | Self::InInterface
            | Self::Jump
            | Self::OutInterface
            | Self::Protocol
            | Self::Source => verb.has_rule(),
        }
    }
}

/// The options that can stand once and that did.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    options: Vec<Once>,
}

impl Seen {
    /// Notes an option. It grows to the number of options that there are, and no further.
    pub(super) fn add(&mut self, option: Once, negated: bool) -> Result<(), Rejection> {
        // A rule has one place to go to.
        let key = if option == Once::Goto {
            Once::Jump
        } else {
            option
        };
        if self.options.contains(&key) && key != Once::Verbose {
            return Err("an option that stands twice".into());
        }
        if negated && !option.is_negatable() {
            return Err("a ! before an option that takes none".into());
        }
        if !self.options.contains(&key) {
            self.options.push(key);
        }
        Ok(())
    }

    pub(super) fn check(&self, verb: Verb<'_>, lists: bool) -> Result<(), Rejection> {
        match self.options.iter().all(|option| option.fits(verb, lists)) {
            true => Ok(()),
            false => Err("an option that does not go with the command".into()),
        }
    }
}

/// By its letter.
pub(super) fn short(letter: u8) -> Option<(Id, Takes)> {
    let (base, takes) = match letter {
        b'A' => (Base::Command(CommandOption::Append), Takes::Value),
        b'C' => (Base::Command(CommandOption::Check), Takes::Value),
        b'D' => (Base::Command(CommandOption::Delete), Takes::Value),
        b'E' => (Base::Command(CommandOption::RenameChain), Takes::Value),
        b'F' => (Base::Command(CommandOption::Flush), Takes::AttachedValue),
        b'I' => (Base::Command(CommandOption::Insert), Takes::Value),
        b'L' => (Base::Command(CommandOption::List), Takes::AttachedValue),
        b'M' => (Base::Modprobe, Takes::Value),
        b'N' => (Base::Command(CommandOption::NewChain), Takes::Value),
        b'P' => (Base::Command(CommandOption::Policy), Takes::Value),
        b'R' => (Base::Command(CommandOption::Replace), Takes::Value),
        b'S' => (
            Base::Command(CommandOption::ListRules),
            Takes::AttachedValue,
        ),
        b'V' => (Base::Exit, Takes::Nothing),
        b'W' => (Base::WaitInterval, Takes::AttachedValue),
        b'X' => (
            Base::Command(CommandOption::DeleteChain),
            Takes::AttachedValue,
        ),
        b'Z' => (Base::Command(CommandOption::Zero), Takes::AttachedValue),
        b'4' => (Base::Ipv4, Takes::Nothing),
        b'6' => (Base::Ipv6, Takes::Nothing),
        b'c' => (Base::Once(Once::SetCounters), Takes::Value),
        b'd' => (Base::Once(Once::Destination), Takes::Value),
        b'f' => (Base::Once(Once::Fragment), Takes::Nothing),
        b'g' => (Base::Once(Once::Goto), Takes::Value),
        b'h' => (Base::Exit, Takes::AttachedValue),
        b'i' => (Base::Once(Once::InInterface), Takes::Value),
        b'j' => (Base::Once(Once::Jump), Takes::Value),
        b'm' => (Base::Match, Takes::Value),
        b'n' => (Base::Once(Once::Numeric), Takes::Nothing),
        b'o' => (Base::Once(Once::OutInterface), Takes::Value),
        b'p' => (Base::Once(Once::Protocol), Takes::Value),
        b's' => (Base::Once(Once::Source), Takes::Value),
        b't' => (Base::Table, Takes::Value),
        b'v' => (Base::Once(Once::Verbose), Takes::Nothing),
        b'w' => (Base::Wait, Takes::AttachedValue),
        b'x' => (Base::Once(Once::Exact), Takes::Nothing),
        _ => return None,
    };
    Some((Id::Base(base), takes))
}

/// By name. `src` and `dst` are synonyms.
pub(super) const LONG: &[LongOption<Id>] = &[
    long("append", Takes::Value, Base::Command(CommandOption::Append)),
    long("check", Takes::Value, Base::Command(CommandOption::Check)),
    long("delete", Takes::Value, Base::Command(CommandOption::Delete)),
    long(
        "delete-chain",
        Takes::AttachedValue,
        Base::Command(CommandOption::DeleteChain),
    ),
    long("destination", Takes::Value, Base::Once(Once::Destination)),
    long("dst", Takes::Value, Base::Once(Once::Destination)),
    long("exact", Takes::Nothing, Base::Once(Once::Exact)),
    long(
        "flush",
        Takes::AttachedValue,
        Base::Command(CommandOption::Flush),
    ),
    long("fragments", Takes::Nothing, Base::Once(Once::Fragment)),
    long("goto", Takes::Value, Base::Once(Once::Goto)),
    long("help", Takes::AttachedValue, Base::Exit),
    long("in-interface", Takes::Value, Base::Once(Once::InInterface)),
    long("insert", Takes::Value, Base::Command(CommandOption::Insert)),
    long("ipv4", Takes::Nothing, Base::Ipv4),
    long("ipv6", Takes::Nothing, Base::Ipv6),
    long("jump", Takes::Value, Base::Once(Once::Jump)),
    long(
        "line-numbers",
        Takes::Nothing,
        Base::Once(Once::LineNumbers),
    ),
    long(
        "list",
        Takes::AttachedValue,
        Base::Command(CommandOption::List),
    ),
    long(
        "list-rules",
        Takes::AttachedValue,
        Base::Command(CommandOption::ListRules),
    ),
    long("match", Takes::Value, Base::Match),
    long("modprobe", Takes::Value, Base::Modprobe),
    long(
        "new-chain",
        Takes::Value,
        Base::Command(CommandOption::NewChain),
    ),
    long("numeric", Takes::Nothing, Base::Once(Once::Numeric)),
    long(
        "out-interface",
        Takes::Value,
        Base::Once(Once::OutInterface),
    ),
    long("policy", Takes::Value, Base::Command(CommandOption::Policy)),
    long("protocol", Takes::Value, Base::Once(Once::Protocol)),
    long(
        "rename-chain",
        Takes::Value,
        Base::Command(CommandOption::RenameChain),
    ),
    long(
        "replace",
        Takes::Value,
        Base::Command(CommandOption::Replace),
    ),
    long("set-counters", Takes::Value, Base::Once(Once::SetCounters)),
    long("source", Takes::Value, Base::Once(Once::Source)),
    long("src", Takes::Value, Base::Once(Once::Source)),
    long("table", Takes::Value, Base::Table),
    long("verbose", Takes::Nothing, Base::Once(Once::Verbose)),
    long("version", Takes::Nothing, Base::Exit),
    long("wait", Takes::AttachedValue, Base::Wait),
    long("wait-interval", Takes::AttachedValue, Base::WaitInterval),
    long(
        "zero",
        Takes::AttachedValue,
        Base::Command(CommandOption::Zero),
    ),
];

const fn long(name: &'static str, takes: Takes, base: Base) -> LongOption<Id> {
    LongOption {
        name,
        takes,
        id: Id::Base(base),
    }
}
