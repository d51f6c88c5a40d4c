//! Command lines of the iptables family, read as the programs themselves read them (iptables 1.8.11, with glibc's
//! `getopt_long`): abbreviations, the options that a match brings along, octal ports, names of services.
//!
//! What the program would refuse for its syntax is [`Command::Rejected`]. Where a program looks at more than is
//! known here (whether a chain exists, the details of a rare match), the command line counts as accepted: a
//! change too many is told, never one too few.
//!
//! ```text
//! argv ─ XtablesProgram ┬ Command ─ request ─ rule ─┐
//!                       ├ Restore, Apply ─ ruleset ─┼→ change::Command
//!                       └ Read ─────────────────────┘
//! ```

mod address;
mod bridge_arp;
mod extension;
mod number;
mod ports;
mod program;
mod protocol;
mod request;
mod restore;
mod rule;
mod ruleset;
mod services;
mod states;
mod tables;
mod value;

#[cfg(test)]
mod tests;

use super::change::{Command, Family, FirewallChange, Operation, Policy, Position, Which};
use super::reason::shown;
pub use program::{Role, XtablesProgram};
use request::{Request, Source, Verb};
pub use restore::{CHANGES_MAX, RestoreFault, Restored, parse_restore};
use ruleset::Loading;
pub(super) use services::port as port_of_service;

/// The table that is meant when none is named.
const DEFAULT_TABLE: &[u8] = b"filter";

/// What `arguments`, which are without the program's name, ask `program` to do. Any bytes will do.
pub fn parse(program: XtablesProgram, arguments: &[&[u8]]) -> Command {
    let outcome = match (program.role, program.family) {
        (Role::Read, _) => Ok(Vec::new()),
        (Role::Restore, _) => ruleset::restore(arguments).map(|loading| load(program, loading)),
        (Role::Apply, _) => ruleset::apply(arguments).map(|loading| load(program, loading)),
        (Role::Command, Family::Arp | Family::Bridge) => bridge_arp::parse(program, arguments),
        (Role::Command, _) => request::parse(
            program.family,
            Source::CommandLine,
            DEFAULT_TABLE,
            arguments,
        )
        .and_then(|request| changes(program, &request)),
    };
    match outcome {
        Ok(changes) if changes.is_empty() => Command::Query,
        Ok(changes) => Command::Changes(changes),
        Err(reason) => Command::Rejected { reason },
    }
}

fn load(program: XtablesProgram, loading: Loading) -> Vec<FirewallChange> {
    let (table, operation) = match loading {
        Loading::Nothing => return Vec::new(),
        Loading::Program(program) => {
            let what = [b"run ", program.as_slice()].concat();
            (None, Operation::Other { what })
        }
        Loading::Ruleset {
            source,
            table,
            flushes,
        } => (table, Operation::Load { source, flushes }),
    };
    vec![FirewallChange {
        backend: program.backend,
        family: Some(program.family),
        table,
        chain: None,
        operation,
    }]
}

/// The changes that a request asks for: none, one, or with `-L -Z` the one that is hidden in a listing.
fn changes(
    program: XtablesProgram,
    request: &Request<'_>,
) -> Result<Vec<FirewallChange>, request::Rejection> {
    tables::check(request)?;
    let rule = || Box::new(rule::of(request, program.family));
    let operation = match request.verb {
        Verb::List | Verb::Check | Verb::Nothing => return Ok(Vec::new()),
        Verb::Append => Operation::AddRule {
            rule: rule(),
            position: Position::Last,
        },
        Verb::Insert(index) => Operation::AddRule {
            rule: rule(),
            position: Position::Index(index),
        },
        Verb::Replace(index) => Operation::ReplaceRule {
            which: Which::Index(index),
            rule: rule(),
        },
        Verb::Delete => Operation::DeleteRule(Which::Same(rule())),
        Verb::DeleteIndex(index) => Operation::DeleteRule(Which::Index(index)),
        Verb::Flush => Operation::FlushChain,
        Verb::Zero => Operation::ZeroCounters,
        Verb::NewChain => Operation::AddChain {
            hook: None,
            policy: None,
        },
        Verb::DeleteChain => Operation::DeleteChain,
        Verb::RenameChain(to) => Operation::RenameChain { to: to.to_vec() },
        Verb::SetPolicy(policy) => Operation::SetPolicy(policy_of(policy)?),
    };
    Ok(vec![FirewallChange {
        backend: program.backend,
        family: Some(program.family),
        table: Some(request.table.to_vec()),
        chain: request.chain.map(<[u8]>::to_vec),
        operation,
    }])
}

fn policy_of(name: &[u8]) -> Result<Policy, request::Rejection> {
    match name {
        b"ACCEPT" => Ok(Policy::Accept),
        b"DROP" => Ok(Policy::Drop),
        other => Err(format!("no policy: {}", shown(other))),
    }
}
