//! The tables of iptables and the chains that are built into them (`iptables(8)`, section TABLES).

use crate::pipeline::firewall::change::Hook;
use crate::pipeline::firewall::reason::shown;

use super::request::{self, Jump, Rejection, Request, Verb};

/// Where a built-in chain is called; `None` when the table has no such chain, or there is no such table.
pub(super) fn hook(table: &[u8], chain: &[u8]) -> Option<Hook> {
    let hook = match chain {
        b"PREROUTING" => Hook::Prerouting,
        b"INPUT" => Hook::Input,
        b"FORWARD" => Hook::Forward,
        b"OUTPUT" => Hook::Output,
        b"POSTROUTING" => Hook::Postrouting,
        _ => return None,
    };
    hooks(table)?.contains(&hook).then_some(hook)
}

/// Whether the request names a table and chains with which it can be fulfilled.
pub(super) fn check(request: &Request<'_>) -> Result<(), Rejection> {
    if request.verb == Verb::Nothing {
        return Ok(());
    }
    if hooks(request.table).is_none() {
        return Err(format!("no such table: {}", shown(request.table)));
    }
    let chain = request.chain.unwrap_or_default();
    let is_built_in = hook(request.table, chain).is_some();
    if matches!(request.verb, Verb::SetPolicy(_)) && !is_built_in {
        return Err("a policy for a chain that takes none".into());
    }
    if matches!(request.verb, Verb::NewChain | Verb::RenameChain(_)) && is_built_in {
        return Err("a chain that is built in".into());
    }
    check_jump(request)
}

/// A rule does not jump to a chain that is built in, nor go to what is no chain.
fn check_jump(request: &Request<'_>) -> Result<(), Rejection> {
    match request.jump {
        Some(Jump::Goto(name)) if request::is_verdict(name) => Err("-g to a verdict".into()),
        Some(Jump::To(name) | Jump::Goto(name)) if hook(request.table, name).is_some() => {
            Err("a jump to a chain that is built in".into())
        }
        Some(Jump::To([b'-' | b'!', ..]) | Jump::Goto([b'-' | b'!', ..])) => {
            Err("a jump to a chain that cannot be".into())
        }
        _ => Ok(()),
    }
}

fn hooks(table: &[u8]) -> Option<&'static [Hook]> {
    match table {
        b"filter" | b"security" => Some(&[Hook::Input, Hook::Forward, Hook::Output]),
        b"nat" => Some(&[
            Hook::Prerouting,
            Hook::Input,
            Hook::Output,
            Hook::Postrouting,
        ]),
        b"mangle" => Some(&[
            Hook::Prerouting,
            Hook::Input,
            Hook::Forward,
            Hook::Output,
            Hook::Postrouting,
        ]),
        b"raw" => Some(&[Hook::Prerouting, Hook::Output]),
        _ => None,
    }
}
