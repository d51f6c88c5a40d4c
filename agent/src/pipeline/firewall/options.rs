//! A whole command line, sorted into options and words, for tools that need not know how the two are mixed.

use super::getopt::{Item, LongOption, Scanner};

pub(super) use super::getopt::Takes;

/// An option: its letter, if it has one, and its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opt {
    pub(super) letter: Option<u8>,
    pub(super) name: &'static str,
    pub(super) takes: Takes,
}

impl Opt {
    pub(super) const fn new(letter: u8, name: &'static str, takes: Takes) -> Self {
        Self {
            letter: Some(letter),
            name,
            takes,
        }
    }

    pub(super) const fn long(name: &'static str, takes: Takes) -> Self {
        Self {
            letter: None,
            name,
            takes,
        }
    }
}

/// Where words that are no options may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The first such word ends the options.
    OptionsFirst,
    /// Anywhere.
    Mixed,
}

/// What a command line has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed<'a> {
    /// The options by their names, in their order.
    pub(super) options: Vec<(&'static str, Option<&'a [u8]>)>,
    pub(super) words: Vec<&'a [u8]>,
}

impl<'a> Parsed<'a> {
    pub(super) fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(known, _)| *known == name)
    }

    /// The last value of an option.
    pub(super) fn value(&self, name: &str) -> Option<&'a [u8]> {
        let mut given = self.options.iter().rev();
        given.find(|(known, _)| *known == name)?.1
    }
}

/// Reads `arguments`, which are without the program's name. What getopt would refuse is an error: why.
pub(super) fn parse<'a>(
    arguments: &'a [&'a [u8]],
    known: &[Opt],
    order: Order,
) -> Result<Parsed<'a>, String> {
    let long: Vec<LongOption<&'static str>> = known
        .iter()
        .map(|option| LongOption {
            name: option.name,
            takes: option.takes,
            id: option.name,
        })
        .collect();
    let short = |letter| {
        let mut lettered = known.iter();
        let option = lettered.find(|option| option.letter == Some(letter))?;
        Some((option.name, option.takes))
    };
    let mut parsed = Parsed::default();
    let mut scanner = Scanner::new(arguments);
    loop {
        match scanner.next(short, &long) {
            Item::Option { id, value } => parsed.options.push((id, value)),
            Item::Word(word) => {
                parsed.words.push(word);
                if order == Order::OptionsFirst {
                    break;
                }
            }
            Item::Unknown => {
                return Err("an option is unknown, ambiguous, or takes no value".to_owned());
            }
            Item::ValueMissing => return Err("the last option needs a value".to_owned()),
            Item::End => break,
        }
    }
    parsed.words.extend_from_slice(scanner.rest());
    Ok(parsed)
}
