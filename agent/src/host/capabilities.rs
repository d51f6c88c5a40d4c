//! Capabilities of this process, as far as the sensor needs them.

use std::fs;

/// Bits of the capabilities (`include/uapi/linux/capability.h`).
pub const CAP_SYS_PTRACE: u32 = 19;
pub const CAP_SYS_ADMIN: u32 = 21;
pub const CAP_SYS_RESOURCE: u32 = 24;
pub const CAP_PERFMON: u32 = 38;
pub const CAP_BPF: u32 = 39;

/// Names of what is missing for loading and attaching the programs. Empty when it cannot be told:
/// then the kernel has the word.
pub fn missing() -> Vec<&'static str> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    effective(&status).map_or_else(Vec::new, missing_of)
}

/// The same for a set of capabilities. `CAP_SYS_ADMIN` includes the two that were split from it in
/// Linux 5.8.
pub fn missing_of(effective: u64) -> Vec<&'static str> {
    let has = |capability: u32| effective >> capability & 1 == 1;
    [(CAP_BPF, "CAP_BPF"), (CAP_PERFMON, "CAP_PERFMON")]
        .into_iter()
        .filter(|&(capability, _)| !has(capability) && !has(CAP_SYS_ADMIN))
        .map(|(_, name)| name)
        .collect()
}

/// The effective set in the text of a `/proc/PID/status`.
pub fn effective(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(missing_of(0), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(missing_of(1 << CAP_BPF), ["CAP_PERFMON"]);
        assert!(missing_of(1 << CAP_BPF | 1 << CAP_PERFMON).is_empty());
        assert!(missing_of(1 << CAP_SYS_ADMIN).is_empty());
    }

    #[test]
    fn the_effective_set_is_found_in_the_status() {
        assert_eq!(
            effective("Name:\tx\nCapEff:\t000001ffffffffff\n"),
            Some(0x1ff_ffff_ffff)
        );
        assert_eq!(effective("Name:\tx\n"), None);
    }
}
