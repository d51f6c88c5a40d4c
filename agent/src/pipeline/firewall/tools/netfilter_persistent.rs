//! netfilter-persistent(8), and iptables-persistent, which it was before.

use crate::pipeline::firewall::change::{Backend, Command, Operation, RulesetSource, UnitVerb};

use super::{rejected, single};

/// What `netfilter-persistent ARGUMENTS` means.
pub fn parse(arguments: &[&[u8]]) -> Command {
    let operation = match arguments.first() {
        Some(&b"start" | &b"reload" | &b"restart" | &b"force-reload") => Operation::Load {
            source: RulesetSource::Stored,
            flushes: true,
        },
        Some(&b"flush") => Operation::FlushRuleset,
        Some(&b"save") => Operation::Other {
            what: b"save".to_vec(),
        },
        // It leaves the rules unless `FLUSH_ON_STOP` is set in `/etc/default/netfilter-persistent`.
        Some(&b"stop") => Operation::Unit {
            verb: UnitVerb::Stop,
            unit: b"netfilter-persistent".to_vec(),
        },
        _ => return rejected("netfilter-persistent has no such action"),
    };
    single(Backend::Service, operation)
}
