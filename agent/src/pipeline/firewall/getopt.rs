//! `getopt_long(3)` as glibc has it (`posix/getopt.c`): abbreviations and what makes them ambiguous, clusters
//! of letters, attached values.
//!
//! Words that are no options are handed out in the order in which they stand, which is what iptables asks
//! for with a leading `-` in its option string. Programs that let glibc sort them (iptables-restore) get
//! the same from collecting them.

/// Whether an option takes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    Nothing,
    Value,
    /// A value only when it is attached: `-LINPUT`, `--list=INPUT`.
    AttachedValue,
}

/// A long option. Two with the same id and the same `takes` are synonyms: an abbreviation that fits both is not
/// ambiguous.
#[derive(Clone, Copy, Debug)]
pub(super) struct LongOption<Id> {
    pub(super) name: &'static str,
    pub(super) takes: Takes,
    pub(super) id: Id,
}

/// What comes next on a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item<'a, Id> {
    Option {
        id: Id,
        value: Option<&'a [u8]>,
    },
    /// No option; a single `-` is one of these.
    Word(&'a [u8]),
    /// No such option, an ambiguous abbreviation, or a value where none is taken.
    Unknown,
    /// The last argument is an option that needs a value.
    ValueMissing,
    End,
}

/// A reader of a command line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scanner<'a> {
    arguments: &'a [&'a [u8]],
    next: usize,
    /// What is left of a cluster of short options.
    cluster: &'a [u8],
}

impl<'a> Scanner<'a> {
    /// A reader of `arguments`, which are without the program's name.
    pub(super) fn new(arguments: &'a [&'a [u8]]) -> Self {
        Self {
            arguments,
            next: 0,
            cluster: b"",
        }
    }

    /// The next option or word. `short` knows the letters, `long` the names, of which an earlier one with the
    /// same name wins.
    pub(super) fn next<Id: Copy + PartialEq>(
        &mut self,
        short: impl Fn(u8) -> Option<(Id, Takes)>,
        long: &[LongOption<Id>],
    ) -> Item<'a, Id> {
        if self.cluster.is_empty() {
            let Some(argument) = self.take() else {
                return Item::End;
            };
            match argument {
                b"--" => return Item::End,
                [b'-', b'-', name @ ..] => return self.long_option(name, long),
                [b'-', letters @ ..] if !letters.is_empty() => self.cluster = letters,
                word => return Item::Word(word),
            }
        }
        self.short_option(short)
    }

    /// The argument behind the last option, when it is there and neither begins with `-` nor with `!`
    /// (`xs_has_arg`, iptables `xshared.c`).
    pub(super) fn take_plain(&mut self) -> Option<&'a [u8]> {
        let argument = *self.arguments.get(self.next)?;
        if matches!(argument.first(), Some(b'-' | b'!')) {
            return None;
        }
        self.next += 1;
        Some(argument)
    }

    /// What was not read.
    pub(super) fn rest(&self) -> &'a [&'a [u8]] {
        self.arguments.get(self.next..).unwrap_or_default()
    }

    fn take(&mut self) -> Option<&'a [u8]> {
        let argument = self.arguments.get(self.next)?;
        self.next += 1;
        Some(argument)
    }

    fn short_option<Id>(&mut self, short: impl Fn(u8) -> Option<(Id, Takes)>) -> Item<'a, Id> {
        let Some((&letter, rest)) = self.cluster.split_first() else {
            return Item::End;
        };
        self.cluster = rest;
        let Some((id, takes)) = short(letter) else {
            return Item::Unknown;
        };
        if takes == Takes::Nothing {
            return Item::Option { id, value: None };
        }
        let attached = (!rest.is_empty()).then_some(rest);
        self.cluster = b"";
        self.with_value(id, takes, attached)
    }

    fn long_option<Id: Copy + PartialEq>(
        &mut self,
        argument: &'a [u8],
        long: &[LongOption<Id>],
    ) -> Item<'a, Id> {
        let (name, attached) = match argument.iter().position(|&byte| byte == b'=') {
            Some(at) => (
                argument.get(..at).unwrap_or_default(),
                argument.get(at + 1..),
            ),
            None => (argument, None),
        };
        let Some(option) = named(name, long) else {
            return Item::Unknown;
        };
        if option.takes == Takes::Nothing {
            return match attached {
                Some(_) => Item::Unknown,
                None => Item::Option {
                    id: option.id,
                    value: None,
                },
            };
        }
        self.with_value(option.id, option.takes, attached)
    }

    fn with_value<Id>(&mut self, id: Id, takes: Takes, attached: Option<&'a [u8]>) -> Item<'a, Id> {
        if attached.is_some() || takes == Takes::AttachedValue {
            return Item::Option {
                id,
                value: attached,
            };
        }
        match self.take() {
            Some(value) => Item::Option {
                id,
                value: Some(value),
            },
            None => Item::ValueMissing,
        }
    }
}

/// The option with that name or, when there is none, the one it abbreviates; `None` when it could be several.
fn named<'t, Id: PartialEq>(name: &[u8], long: &'t [LongOption<Id>]) -> Option<&'t LongOption<Id>> {
    if let Some(exact) = long.iter().find(|option| option.name.as_bytes() == name) {
        return Some(exact);
    }
    let mut fitting = long
        .iter()
        .filter(|option| option.name.as_bytes().starts_with(name));
    let first = fitting.next()?;
    fitting
        .all(|other| other.id == first.id && other.takes == first.takes)
        .then_some(first)
}
