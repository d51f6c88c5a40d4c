//! Bounds of what the detection stage holds.

/// How much is held at most. Whoever fills it loses detail, which is counted; a crossing is only
/// lost with its whole group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Groups, at least one. Beyond it the least recently active group without an open alert is
    /// given up, and where all have one, the least recently active of those, after its last line.
    pub groups_max: usize,
    /// Memory of the evidence, command lines and guids of all groups. Beyond it the least recently
    /// active group gives up its own, and goes on counting.
    pub evidence_bytes_max: usize,
    /// Execs listed in an alert: the first half and the latest half, and one of each port.
    pub evidence_per_group_max: usize,
    /// Command lines listed in an alert: the first ones.
    pub texts_per_group_max: usize,
    /// Guids and pids listed in an alert: the first ones.
    pub guids_per_group_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            groups_max: 1024,
            evidence_bytes_max: 16 * 1024 * 1024,
            evidence_per_group_max: 128,
            texts_per_group_max: 128,
            guids_per_group_max: 1024,
        }
    }
}
