//! What one exec's command line means to the layer. For whoever reads a replay.

use super::{Tamper, command, disguises};
use crate::pipeline::exec::Exec;
use crate::pipeline::firewall::change::{Command, FirewallChange};
use crate::pipeline::firewall::finding::FindingKind;

/// What the layer makes of one exec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub command: CommandMeaning,
    /// What the exec pretends to be.
    pub disguises: Vec<FindingKind>,
}

/// What the command line of one exec means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandMeaning {
    NoTool,
    /// It only reads, or only checks.
    Query,
    /// The tool would refuse it; why, in our words.
    Rejected {
        reason: String,
    },
    /// Each change, and the kind of finding it makes, if any.
    Changes(Vec<(FirewallChange, Option<FindingKind>)>),
}

impl Tamper {
    /// What `exec` asks for, judged as [`handle_exec`](Self::handle_exec) judges it.
    pub fn explain(&self, exec: &Exec) -> Explanation {
        let command = command(exec);
        Explanation {
            disguises: disguises(exec, command.as_ref()).collect(),
            command: match command {
                None => CommandMeaning::NoTool,
                Some(Command::Query) => CommandMeaning::Query,
                Some(Command::Rejected { reason }) => CommandMeaning::Rejected { reason },
                Some(Command::Changes(changes)) => {
                    let judged = changes.into_iter().map(|change| {
                        let meaning = self.judge(&change, exec);
                        (change, meaning.map(|meaning| meaning.kind))
                    });
                    CommandMeaning::Changes(judged.collect())
                }
            },
        }
    }
}
