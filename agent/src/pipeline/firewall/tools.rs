//! The other programs that open a firewall: what their command lines mean, each as the program reads it.
//!
//! A function whose program also does other work gives `None` for what has nothing to do with a firewall.

use super::change::{Backend, Command, FirewallChange, Operation};

pub mod firewall_cmd;
pub mod ipset;
pub mod kernel;
pub mod netfilter_persistent;
mod operand;
pub mod rich_rule;
pub mod systemctl;
pub mod sysv;
#[cfg(test)]
mod tests;
pub mod ufw;
pub mod unit;

/// One change of which neither table nor chain is named.
fn change(backend: Backend, operation: Operation) -> FirewallChange {
    FirewallChange {
        backend,
        family: None,
        table: None,
        chain: None,
        operation,
    }
}

fn single(backend: Backend, operation: Operation) -> Command {
    Command::Changes(vec![change(backend, operation)])
}

fn rejected(reason: &str) -> Command {
    Command::Rejected {
        reason: reason.to_owned(),
    }
}
