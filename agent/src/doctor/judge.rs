//! From facts to checks, and to what can be done. Pure.

mod flight;
mod host;
mod kernel;

use super::canary::Outcome;
use super::check::Check;
use super::facts::Facts;

/// Every check, always the same ones in the same order.
pub fn checks(facts: &Facts, outcome: &Outcome) -> Vec<Check> {
    vec![
        host::configuration(&facts.configuration),
        kernel::kernel(facts),
        kernel::capabilities(facts),
        kernel::btf(&facts.btf, &facts.object_sha256),
        kernel::lockdown(facts.lockdown.as_deref()),
        kernel::tracefs(facts),
        kernel::memory_lock(facts),
        kernel::bpf_jit(facts.bpf_jit_enable),
        kernel::bpf_statistics(facts.bpf_stats_enabled),
        host::rings(facts),
        host::clocksource(facts.clocksource.as_deref()),
        host::clock(facts.time, facts.is_synchronised),
        host::cgroup(facts.mounts.as_deref()),
        host::proc(facts),
        host::agents(&facts.agents),
        host::alert_log(&facts.alert_log, &facts.alerts),
        flight::canary(outcome, facts),
        flight::counters(outcome),
    ]
}

#[cfg(test)]
mod tests;
