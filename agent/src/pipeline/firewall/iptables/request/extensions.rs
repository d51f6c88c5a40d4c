//! The matches and the target that a command line has loaded so far, and what it has told them.

use super::{Id, Rejection};
use crate::pipeline::firewall::getopt::{LongOption, Scanner, Takes};
use crate::pipeline::firewall::iptables::extension::{Extension, ExtensionOption, Value};
use crate::pipeline::firewall::iptables::value::{self, Context};
use crate::pipeline::firewall::reason::shown;

/// An option of an extension, as it was given.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Given<'a> {
    pub(in super::super) option: &'static ExtensionOption,
    pub(in super::super) value: &'a [u8],
    /// The second argument, where the option takes two; else empty.
    pub(in super::super) second: &'a [u8],
    pub(in super::super) negated: bool,
}

/// One use of an extension.
#[derive(Clone, Debug)]
pub(in super::super) struct Loaded<'a> {
    pub(in super::super) extension: &'static Extension,
    pub(in super::super) given: Vec<Given<'a>>,
}

impl Loaded<'_> {
    fn new(extension: &'static Extension) -> Self {
        Self {
            extension,
            given: Vec::new(),
        }
    }
}

/// A use of an extension by its place.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In the list of matches.
    Match(usize),
    Target,
}

/// An option of an extension that has just been read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use<'a> {
    pub(super) slot: usize,
    pub(super) option: u8,
    pub(super) value: &'a [u8],
    pub(super) negated: bool,
}

/// What is loaded. It grows with the command line, which the kernel bounds (`MAX_ARG_STRINGS`,
/// `include/uapi/linux/binfmts.h`).
pub(super) struct Extensions<'a> {
    /// The programs' own options, then those of extensions, the last loaded first
    /// (`xtables_merge_options`, iptables `libxtables/xtables.c`).
    long: Vec<LongOption<Id>>,
    n_own: usize,
    /// Which use the options of each slot belong to by now.
    slots: Vec<Place>,
    matches: Vec<Loaded<'a>>,
    target: Option<Loaded<'a>>,
}

impl<'a> Extensions<'a> {
    pub(super) fn new(own: &[LongOption<Id>]) -> Self {
        Self {
            long: own.to_vec(),
            n_own: own.len(),
            slots: Vec::new(),
            matches: Vec::new(),
            target: None,
        }
    }

    pub(super) fn long(&self) -> &[LongOption<Id>] {
        &self.long
    }

    /// Loads a match, or begins another use of it: what follows belongs to the last one.
    pub(super) fn load_match(&mut self, extension: &'static Extension) {
        let place = Place::Match(self.matches.len());
        let earlier = self.slots.iter_mut().find(|slot| match slot {
            Place::Match(index) => self
                .matches
                .get(*index)
                .is_some_and(|loaded| loaded.extension.name == extension.name),
            Place::Target => false,
        });
        match earlier {
            Some(slot) => *slot = place,
            None => self.add_options(extension, place),
        }
        self.matches.push(Loaded::new(extension));
    }

    pub(super) fn load_target(&mut self, extension: &'static Extension) {
        self.add_options(extension, Place::Target);
        self.target = Some(Loaded::new(extension));
    }

    /// Takes an option in, with its second argument when there is to be one.
    pub(super) fn option(
        &mut self,
        used: Use<'a>,
        context: Context,
        scanner: &mut Scanner<'a>,
    ) -> Result<(), Rejection> {
        let loaded = match self.slots.get(used.slot) {
            Some(Place::Match(index)) => self.matches.get_mut(*index),
            Some(Place::Target) => self.target.as_mut(),
            None => None,
        };
        let loaded = loaded.ok_or("an option of nothing")?;
        let mut options = loaded.extension.options.iter();
        let option = options
            .find(|option| option.id == used.option)
            .ok_or("an option of nothing")?;
        let missing = || format!("--{} without a second argument", option.name);
        let second = if option.value.takes_two() {
            scanner.take_plain().ok_or_else(missing)?
        } else if option.value == Value::FlagAndRate {
            scanner.take_plain().unwrap_or_default()
        } else {
            b""
        };
        if !option.is_repeatable
            && loaded
                .given
                .iter()
                .any(|given| given.option.id == option.id)
        {
            return Err(format!("--{} twice", option.name));
        }
        if used.negated && !option.is_negatable {
            return Err(format!("a ! before --{}", option.name));
        }
        if !value::is_valid(option.value, used.value, second, context) {
            return Err(format!(
                "--{} does not take {}",
                option.name,
                shown(used.value)
            ));
        }
        loaded.given.push(Given {
            option,
            value: used.value,
            second,
            negated: used.negated,
        });
        Ok(())
    }

    /// What an extension asks of its options as a whole.
    pub(super) fn check(&self) -> Result<(), Rejection> {
        self.matches
            .iter()
            .chain(&self.target)
            .try_for_each(check_loaded)
    }

    pub(super) fn match_names(&self) -> impl Iterator<Item = &'static str> {
        self.matches.iter().map(|loaded| loaded.extension.name)
    }

    pub(super) fn into_loaded(self) -> (Vec<Loaded<'a>>, Option<Loaded<'a>>) {
        (self.matches, self.target)
    }

    fn add_options(&mut self, extension: &'static Extension, place: Place) {
        let slot = self.slots.len();
        self.slots.push(place);
        let options = extension.options.iter().map(|option| LongOption {
            name: option.name,
            takes: if option.value.is_flag() {
                Takes::Nothing
            } else {
                Takes::Value
            },
            id: Id::Extension {
                slot,
                option: option.id,
            },
        });
        self.long.splice(self.n_own..self.n_own, options);
    }
}

fn check_loaded(loaded: &Loaded<'_>) -> Result<(), Rejection> {
    let Loaded { extension, given } = loaded;
    let used = given.iter().fold(0, |ids, given| ids | given.option.bit());
    if extension.needs_option && used == 0 {
        return Err(format!("{} without any option", extension.name));
    }
    let missing = extension
        .options
        .iter()
        .find(|option| option.is_required && used & option.bit() == 0);
    if let Some(option) = missing {
        return Err(format!("{} without --{}", extension.name, option.name));
    }
    let misused = given.iter().find(|given| {
        let others = used & !given.option.bit();
        others & given.option.excluded != 0 || given.option.needed & !used != 0
    });
    match misused {
        Some(given) => Err(format!(
            "--{} together with, or without, another",
            given.option.name
        )),
        None => Ok(()),
    }
}
