//! Bounds of what the detection stage holds, and what they cost.

use std::collections::BTreeMap;

/// How much is held at most. Whoever fills it loses detail, which is counted; a crossing is only
/// lost with its whole group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Groups, at least one. Beyond it the one with the least to lose is given up: without an open
    /// alert before with one, fewer ports before more, less recently active before more recently.
    /// So many harmless groups cannot push out one that is on its way.
    pub groups_max: usize,
    /// Memory of the groups themselves, for paths can be long. Beyond it groups are given up in the
    /// same way, but not the one that has just had an exec.
    pub group_bytes_max: usize,
    /// Memory of the evidence, command lines and guids of all groups. Beyond it groups without an
    /// alert give up theirs, and go on counting; then open alerts give up their evidence. What an
    /// open alert lists stays: when that alone is too much, nothing new is listed.
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
            groups_max: 4096,
            group_bytes_max: 32 * 1024 * 1024,
            evidence_bytes_max: 16 * 1024 * 1024,
            evidence_per_group_max: 128,
            texts_per_group_max: 128,
            guids_per_group_max: 1024,
        }
    }
}

/// Numbers since the detector was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DetectorCounters {
    /// Execs handed in.
    pub execs: u64,
    /// Of these, all clauses held.
    pub matched: u64,
    /// Of these, counted before under the same guid.
    pub duplicates: u64,
    /// Of these, came when their window was over. Of a group whose execs are newer than its window
    /// is long they are left out; where nothing is held any more they begin a group of their own,
    /// and only its first one is counted here.
    pub late: u64,
    /// Alerts of which a line was reported.
    pub alerts: u64,
    /// Further lines of these.
    pub updates: u64,
    /// Groups given up for want of room.
    pub groups_evicted: u64,
    /// Execs counted and not listed.
    pub evidence_omitted: u64,
    /// Command lines seen and not listed.
    pub texts_omitted: u64,
    /// Guids seen and not listed.
    pub guids_omitted: u64,
    /// Lines not reported, by the filter that withheld them.
    pub suppressed: BTreeMap<String, u64>,
}

/// What the detector holds at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DetectorLevels {
    pub groups: usize,
    pub alerts_open: usize,
    pub group_bytes: usize,
    pub evidence_bytes: usize,
}
