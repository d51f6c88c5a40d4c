//! What the detection stage has done, and what it had to leave out.

use std::collections::BTreeMap;

/// Numbers since the detector was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DetectorCounters {
    /// Execs handed in.
    pub execs: u64,
    /// Of these, all clauses held.
    pub matched: u64,
    /// Of these, counted before under the same guid.
    pub duplicates: u64,
    /// Came too late for all that is held. Of a group whose execs are newer than its window is long
    /// they are left out; in a scheduled stretch that was given up they begin a group of their own.
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
    pub evidence_bytes: usize,
}
