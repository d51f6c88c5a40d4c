//! States of connections.

use super::value;

/// In the order in which the programs try them, so that a name cut short is the first that fits
/// (`conntrack_ps_state`, iptables `extensions/libxt_conntrack.c`).
const STATES: [&str; 7] = [
    "INVALID",
    "NEW",
    "ESTABLISHED",
    "RELATED",
    "UNTRACKED",
    "SNAT",
    "DNAT",
];

/// States by comma, in lower case, in the order of the alphabet, each once.
pub(super) fn parse(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut states = text
        .split(|&byte| byte == b',')
        .map(|part| STATES.iter().find(|name| value::begins(part, name)))
        .map(|name| Some(name?.to_ascii_lowercase().into_bytes()))
        .collect::<Option<Vec<_>>>()?;
    states.sort();
    states.dedup();
    Some(states)
}
