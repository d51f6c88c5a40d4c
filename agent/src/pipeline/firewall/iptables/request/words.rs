//! Single words of a command line: names and numbers.

use super::Rejection;
use crate::pipeline::firewall::change::Negatable;
use crate::pipeline::firewall::iptables::number;
use crate::pipeline::firewall::reason::shown;

/// Longest name of a chain or target with its end, in bytes (`XT_EXTENSION_MAXNAMELEN`,
/// `include/uapi/linux/netfilter/x_tables.h`).
pub(super) const NAME_BYTES: usize = 29;

/// Longest name of an interface with its end, in bytes (`IFNAMSIZ`, `include/uapi/linux/if.h`).
const INTERFACE_BYTES: usize = 16;

pub(super) fn check_target_name(name: &[u8]) -> Result<(), Rejection> {
    let fits = (1..NAME_BYTES).contains(&name.len()) && !name.iter().copied().any(number::is_space);
    match fits {
        true => Ok(()),
        false => Err(format!("no name for a target: {}", shown(name))),
    }
}

pub(super) fn interface(name: &[u8], negated: bool) -> Result<Negatable<&[u8]>, Rejection> {
    let value = name;
    match (1..INTERFACE_BYTES).contains(&name.len()) {
        true => Ok(Negatable { value, negated }),
        false => Err(format!("no name for an interface: {}", shown(name))),
    }
}

/// The number of a rule behind `-D`, in base 10 (`parse_rule_range`, `xshared.c`).
pub(super) fn decimal_index(text: &[u8]) -> Result<u32, Rejection> {
    let index = number::decimal_prefix(text)
        .filter(|number| number.rest.is_empty())
        .and_then(|number| u32::try_from(number.value).ok())
        .filter(|&index| index != 0);
    index.ok_or_else(|| format!("not the number of a rule: {}", shown(text)))
}

/// Seconds as `scanf(3)` reads them with `%i`.
pub(super) fn scanned_seconds(text: &[u8]) -> Option<u64> {
    let negative = number::without_space(text).strip_prefix(b"-");
    number::prefix(negative.unwrap_or(text)).map(|seconds| seconds.value)
}
