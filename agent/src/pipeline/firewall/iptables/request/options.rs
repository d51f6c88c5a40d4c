//! The options that the programs have by themselves (`original_opts` and `IPT_OPTSTRING`, iptables 1.8.11).

use super::{Id, Rejection, Verb};
use crate::pipeline::firewall::iptables::getopt::{LongOption, Takes};

/// One of the programs' own options, whichever way it is spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Base {
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
    Destination,
    Exact,
    Fragment,
    Goto,
    Help,
    InInterface,
    Ipv4,
    Ipv6,
    Jump,
    LineNumbers,
    Match,
    Modprobe,
    Numeric,
    OutInterface,
    Protocol,
    SetCounters,
    Source,
    Table,
    Verbose,
    Version,
    Wait,
    WaitInterval,
}

impl Base {
    pub(super) fn is_command(self) -> bool {
        self <= Self::Zero
    }

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
            _ => verb.has_rule(),
        }
    }
}

/// The options that can stand once and that did.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    options: Vec<Base>,
}

impl Seen {
    /// Notes an option. It grows to the number of options that there are, and no further.
    pub(super) fn add(&mut self, base: Base, negated: bool) -> Result<(), Rejection> {
        // A rule has one place to go to, and `-v` can be said again.
        let key = match base {
            Base::Goto => Base::Jump,
            other => other,
        };
        if self.options.contains(&key) {
            return match key {
                Base::Verbose => Ok(()),
                _ => Err("an option that stands twice".into()),
            };
        }
        if negated && !base.is_negatable() {
            return Err("a ! before an option that takes none".into());
        }
        self.options.push(key);
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
        b'A' => (Base::Append, Takes::Value),
        b'C' => (Base::Check, Takes::Value),
        b'D' => (Base::Delete, Takes::Value),
        b'E' => (Base::RenameChain, Takes::Value),
        b'F' => (Base::Flush, Takes::AttachedValue),
        b'I' => (Base::Insert, Takes::Value),
        b'L' => (Base::List, Takes::AttachedValue),
        b'M' => (Base::Modprobe, Takes::Value),
        b'N' => (Base::NewChain, Takes::Value),
        b'P' => (Base::Policy, Takes::Value),
        b'R' => (Base::Replace, Takes::Value),
        b'S' => (Base::ListRules, Takes::AttachedValue),
        b'V' => (Base::Version, Takes::Nothing),
        b'W' => (Base::WaitInterval, Takes::AttachedValue),
        b'X' => (Base::DeleteChain, Takes::AttachedValue),
        b'Z' => (Base::Zero, Takes::AttachedValue),
        b'4' => (Base::Ipv4, Takes::Nothing),
        b'6' => (Base::Ipv6, Takes::Nothing),
        b'c' => (Base::SetCounters, Takes::Value),
        b'd' => (Base::Destination, Takes::Value),
        b'f' => (Base::Fragment, Takes::Nothing),
        b'g' => (Base::Goto, Takes::Value),
        b'h' => (Base::Help, Takes::AttachedValue),
        b'i' => (Base::InInterface, Takes::Value),
        b'j' => (Base::Jump, Takes::Value),
        b'm' => (Base::Match, Takes::Value),
        b'n' => (Base::Numeric, Takes::Nothing),
        b'o' => (Base::OutInterface, Takes::Value),
        b'p' => (Base::Protocol, Takes::Value),
        b's' => (Base::Source, Takes::Value),
        b't' => (Base::Table, Takes::Value),
        b'v' => (Base::Verbose, Takes::Nothing),
        b'w' => (Base::Wait, Takes::AttachedValue),
        b'x' => (Base::Exact, Takes::Nothing),
        _ => return None,
    };
    Some((Id::Base(base), takes))
}

/// By name. `src` and `dst` are synonyms.
pub(super) const LONG: &[LongOption<Id>] = &[
    long("append", Takes::Value, Base::Append),
    long("check", Takes::Value, Base::Check),
    long("delete", Takes::Value, Base::Delete),
    long("delete-chain", Takes::AttachedValue, Base::DeleteChain),
    long("destination", Takes::Value, Base::Destination),
    long("dst", Takes::Value, Base::Destination),
    long("exact", Takes::Nothing, Base::Exact),
    long("flush", Takes::AttachedValue, Base::Flush),
    long("fragments", Takes::Nothing, Base::Fragment),
    long("goto", Takes::Value, Base::Goto),
    long("help", Takes::AttachedValue, Base::Help),
    long("in-interface", Takes::Value, Base::InInterface),
    long("insert", Takes::Value, Base::Insert),
    long("ipv4", Takes::Nothing, Base::Ipv4),
    long("ipv6", Takes::Nothing, Base::Ipv6),
    long("jump", Takes::Value, Base::Jump),
    long("line-numbers", Takes::Nothing, Base::LineNumbers),
    long("list", Takes::AttachedValue, Base::List),
    long("list-rules", Takes::AttachedValue, Base::ListRules),
    long("match", Takes::Value, Base::Match),
    long("modprobe", Takes::Value, Base::Modprobe),
    long("new-chain", Takes::Value, Base::NewChain),
    long("numeric", Takes::Nothing, Base::Numeric),
    long("out-interface", Takes::Value, Base::OutInterface),
    long("policy", Takes::Value, Base::Policy),
    long("protocol", Takes::Value, Base::Protocol),
    long("rename-chain", Takes::Value, Base::RenameChain),
    long("replace", Takes::Value, Base::Replace),
    long("set-counters", Takes::Value, Base::SetCounters),
    long("source", Takes::Value, Base::Source),
    long("src", Takes::Value, Base::Source),
    long("table", Takes::Value, Base::Table),
    long("verbose", Takes::Nothing, Base::Verbose),
    long("version", Takes::Nothing, Base::Version),
    long("wait", Takes::AttachedValue, Base::Wait),
    long("wait-interval", Takes::AttachedValue, Base::WaitInterval),
    long("zero", Takes::AttachedValue, Base::Zero),
];

const fn long(name: &'static str, takes: Takes, base: Base) -> LongOption<Id> {
    LongOption {
        name,
        takes,
        id: Id::Base(base),
    }
}
