/// Index of each per-CPU counter that the kernel programs keep (map `COUNTERS`, `u64` each).
///
/// For execs, at any quiet moment:
/// `ExecSeen + ExecRescued = ExecUrgent + ExecBulk + ExecDropped + ExecShedPressure + ExecShedShare +
/// ExecNoScratch`, and the agent has received `ExecUrgent + ExecBulk` records. A run that the kernel skipped because the program was
/// entered again on the same processor counts nowhere here; the kernel counts it as `recursion_misses`
/// of the program. `recursion_misses - ExecRescued` of the first exec program are execs lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Counter {
    /// Execs for which the first program ran.
    ExecSeen,
    /// Execs for which it was skipped and the second program ran.
    ExecRescued,
    /// Exec records put into the urgent ring.
    ExecUrgent,
    /// Exec records put into the bulk ring.
    ExecBulk,
    /// Exec records lost because no ring had room.
    ExecDropped,
    /// Exec records of other than urgent names, given up while the bulk ring was nearly full.
    ExecShedPressure,
    /// Exec records given up because their share held half of the bulk ring.
    ExecShedShare,
    /// Exec records lost because this processor has no scratch buffer.
    ExecNoScratch,
    /// Urgent exec records that found the urgent ring full and went to the bulk ring.
    UrgentFull,
    /// New processes (not threads) seen.
    ForkSeen,
    /// Fork records lost because the bulk ring was full, or filling.
    ForkDropped,
    /// Ends of processes (not threads) seen.
    ExitSeen,
    /// Exit records lost because the bulk ring was full, or filling.
    ExitDropped,
    /// Command lines that could not be read from the new program's memory.
    ArgvFault,
    /// Command lines longer than [`ARGV_BYTES_MAX`](crate::ARGV_BYTES_MAX), which go on in chunks.
    ArgvContinued,
    /// Command lines of which chunks were lost, for lack of room or because they could not be read.
    ArgvBroken,
    /// Paths of new programs that are unknown, whatever the reason.
    ExePathUnknown,
    /// Paths of parents that are unknown, whatever the reason.
    ParentPathUnknown,
    /// Paths of cgroups that could not be sent; they are tried again.
    CgroupDropped,
    /// Execs that failed, when they are watched.
    FailedExecSeen,
    /// Records of them lost: the bulk ring was full or filling, or the processor's buffer was missing or in
    /// use.
    FailedExecDropped,
    /// Tables of x_tables that somebody asked to replace.
    XtablesReplaceSeen,
    /// Records of that lost because no ring had room.
    XtablesReplaceDropped,
}

impl Counter {
    /// How many counters there are.
    pub const COUNT: usize = Self::XtablesReplaceDropped as usize + 1;
}
