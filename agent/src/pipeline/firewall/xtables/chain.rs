//! What a table is made of: chains of rules.

use crate::pipeline::firewall::change::{Family, Policy};
use crate::pipeline::firewall::netlink::{Extension, Verdict};

/// One table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// IPv4 or IPv6.
    pub family: Family,
    pub name: Vec<u8>,
    /// In the order in which they stand there.
    pub chains: Vec<Chain>,
}

/// The rules from one place of the table to another, with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// `INPUT` and its kin, or what its user chose. `INPUT+FORWARD` when one chain serves both hooks, and `@` with
    /// its offset when it has neither hook nor name: the kernel takes that, no tool makes it.
    pub name: Vec<u8>,
    /// Of a chain that a hook calls.
    pub policy: Option<Policy>,
    pub rules: Vec<Entry>,
}

/// One rule as the kernel has it, without what only counts and without the offsets of its neighbours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `struct ipt_ip` or `struct ip6t_ip6`.
    pub header: Vec<u8>,
    pub matches: Vec<Extension>,
    pub action: Action,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Verdict(Verdict),
    Target(Extension),
}

impl Table {
    /// A table as its module makes it: nothing but chains of hooks that let pass (`ipt_alloc_initial_table`,
    /// `net/ipv4/netfilter/ip_tables.c`).
    pub fn untouched(&self) -> Self {
        let chains = self.chains.iter().filter(|chain| chain.policy.is_some());
        Self {
            family: self.family,
            name: self.name.clone(),
            chains: chains
                .map(|chain| Chain {
                    name: chain.name.clone(),
                    policy: Some(Policy::Accept),
                    rules: Vec::new(),
                })
                .collect(),
        }
    }

    pub fn is_untouched(&self) -> bool {
        *self == self.untouched()
    }

    pub fn chain(&self, name: &[u8]) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }

    /// The same with another name for one chain, and for whatever leads to it.
    #[must_use]
    pub(super) fn renamed(&self, before: &[u8], after: &[u8]) -> Self {
        let mut table = self.clone();
        for chain in &mut table.chains {
            if chain.name == before {
                chain.name = after.to_vec();
            }
            for rule in &mut chain.rules {
                if let Action::Verdict(Verdict::Jump(to) | Verdict::Goto(to)) = &mut rule.action
                    && to == before
                {
                    *to = after.to_vec();
                }
            }
        }
        table
    }
}
