//! The options that say what is to be done, and what they take besides their value.

use super::options::CommandOption;
use super::words::{NAME_BYTES, decimal_index};
use super::{Reader, Rejection, Verb, is_verdict};
use crate::pipeline::firewall::iptables::{extension, number};
use crate::pipeline::firewall::reason::shown;

/// Largest number of a rule (`parse_rulenumber`, `xshared.c`).
const RULE_INDEX_MAX: u64 = i32::MAX as u64;

impl<'a> Reader<'a> {
    pub(super) fn command(
        &mut self,
        command: CommandOption,
        value: &'a [u8],
        optional: Option<&'a [u8]>,
    ) -> Result<(), Rejection> {
        if self.negated {
            return Err("a ! before a command".into());
        }
        let is_list = matches!(command, CommandOption::List | CommandOption::ListRules);
        let fits = match (self.lists, self.verb) {
            (false, None) => true,
            (false, Some(Verb::Zero)) => is_list,
            (true, None) => command == CommandOption::Zero,
            (_, Some(_)) => false,
        };
        if !fits {
            return Err("two commands at once".into());
        }
        if is_list {
            self.lists = true;
            self.optional_chain(optional);
            self.optional_index()?;
        } else {
            self.verb = Some(self.verb_of(command, value, optional)?);
        }
        Ok(())
    }

    fn verb_of(
        &mut self,
        command: CommandOption,
        value: &'a [u8],
        optional: Option<&'a [u8]>,
    ) -> Result<Verb<'a>, Rejection> {
        let takes_any_chain = matches!(
            command,
            CommandOption::Flush | CommandOption::DeleteChain | CommandOption::Zero
        );
        if takes_any_chain {
            self.optional_chain(optional);
        } else {
            self.chain = Some(value);
        }
        Ok(match command {
            CommandOption::Append => Verb::Append,
            CommandOption::Check => Verb::Check,
            CommandOption::Delete => match self.scanner.take_plain() {
                Some(index) => Verb::DeleteIndex(decimal_index(index)?),
                None => Verb::Delete,
            },
            CommandOption::Insert => Verb::Insert(self.optional_index()?.unwrap_or(1)),
            CommandOption::Replace => {
                let index = self.optional_index()?;
                Verb::Replace(index.ok_or("-R without the number of a rule")?)
            }
            CommandOption::Flush => Verb::Flush,
            CommandOption::Zero => {
                self.optional_index()?;
                Verb::Zero
            }
            CommandOption::NewChain => {
                self.new_chain(value)?;
                Verb::NewChain
            }
            CommandOption::DeleteChain => Verb::DeleteChain,
            CommandOption::RenameChain => {
                let to = self.scanner.take_plain().ok_or("-E without a new name")?;
                Verb::RenameChain(self.new_chain(to)?)
            }
            CommandOption::Policy => {
                let policy = self.scanner.take_plain();
                Verb::SetPolicy(policy.ok_or("-P without a policy")?)
            }
            CommandOption::List | CommandOption::ListRules => Verb::List,
        })
    }

    fn optional_chain(&mut self, attached: Option<&'a [u8]>) {
        if let Some(chain) = attached.or_else(|| self.scanner.take_plain()) {
            self.chain = Some(chain);
        }
    }

    fn optional_index(&mut self) -> Result<Option<u32>, Rejection> {
        let Some(text) = self.scanner.take_plain() else {
            return Ok(None);
        };
        let index = number::whole(text, 1, RULE_INDEX_MAX).and_then(|index| index.try_into().ok());
        index
            .map(Some)
            .ok_or_else(|| format!("not the number of a rule: {}", shown(text)))
    }

    /// A name that a new chain can have.
    fn new_chain(&self, name: &'a [u8]) -> Result<&'a [u8], Rejection> {
        let is_target = is_verdict(name) || extension::find_target(name, self.family).is_some();
        let is_wrong = name.len() >= NAME_BYTES
            || matches!(name.first(), None | Some(b'-' | b'!'))
            || name.iter().copied().any(number::is_space);
        match is_target || is_wrong {
            true => Err(format!("no name for a chain: {}", shown(name))),
            false => Ok(name),
        }
    }
}
