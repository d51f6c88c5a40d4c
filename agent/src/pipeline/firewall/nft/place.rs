//! Which table and which chain a statement is about.

use crate::pipeline::firewall::change::{Backend, Family, FirewallChange, Operation};

/// A family and, as far as they are named, a table and a chain.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) family: Option<Family>,
    pub(super) table: Option<Vec<u8>>,
    pub(super) chain: Option<Vec<u8>>,
}

impl Place {
    /// Another chain of the same table.
    pub(super) fn with_chain(&self, chain: &[u8]) -> Self {
        Self {
            chain: Some(chain.to_vec()),
            ..self.clone()
        }
    }

    pub(super) fn change(&self, operation: Operation) -> FirewallChange {
        FirewallChange {
            backend: Backend::Nftables,
            family: self.family,
            table: self.table.clone(),
            chain: self.chain.clone(),
            operation,
        }
    }
}
