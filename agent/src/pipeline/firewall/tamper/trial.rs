//! Whatever ufw is asked for, it first finds out what the kernel can do: by rules without a target in a chain that it
//! makes, flushes and deletes again, and to which nothing leads (`get_netfilter_capabilities`, `ufw/util.py`).

use super::{Actor, Deed};
use crate::pipeline::alert::Ancestor;
use crate::pipeline::exec::basename;
use crate::pipeline::firewall::change::Operation;
use crate::pipeline::firewall::origin::is_package_path;

/// What the names of these chains begin with; what follows is made up each time.
const CHAINS: &[&[u8]] = &[b"ufw-caps-test", b"ufw6-caps-test"];

impl Actor {
    /// Whether it is a tool that ufw itself has flush or delete such a chain. Neither the chain's name nor ufw is
    /// enough alone: a chain can be renamed, and ufw flushes others in earnest.
    pub(super) fn ends_trial(&self, deed: &Deed) -> bool {
        let Deed::Change(_, evidence) = deed else {
            return false;
        };
        let change = &evidence.change;
        let ends = matches!(
            change.operation,
            Operation::FlushChain | Operation::DeleteChain
        );
        let chain = change.chain.as_deref().unwrap_or_default();
        let is_trial = CHAINS.iter().any(|prefix| chain.starts_with(prefix));
        ends && is_trial && self.lineage.get(1).is_some_and(is_ufw)
    }
}

/// By the script that the kernel told, for who starts an interpreter chooses what its command line says.
fn is_ufw(process: &Ancestor) -> bool {
    let script = process.script.as_deref();
    script.is_some_and(|path| is_package_path(path) && basename(path) == b"ufw")
}

#[cfg(test)]
mod tests;
