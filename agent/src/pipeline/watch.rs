//! A gap in what the sensor saw, and the agent's sign of life: events of their own beside the alerts, so
//! that a reader can tell silence from blindness.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::alert::Ancestor;
use super::cgroup::Cgroup;
use super::exec::{ProcessKey, Time};
use super::failed_exec::FailedExecCounts;
use super::firewall::tamper::TamperCounters;
use super::loss::Losses;

/// Execs that happened and of which there is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Of this run of the agent; the first is 1.
    pub number: u64,
    /// Before the first exec that was lost, and after the last.
    pub from: Time,
    pub to: Time,
    pub losses: Losses,
    /// Forks and ends of processes lost meanwhile.
    pub lineage_lost: u64,
    /// Whose execs they were, the most first. Empty when the kernel cannot tell, as for skipped programs.
    pub lineages: Vec<LostLineage>,
    /// How many more there were.
    pub lineages_omitted: u64,
    pub repair: Option<Repair>,
}

/// Changes of nf_tables of which the kernel dropped messages (`ENOBUFS`, `netlink(7)`). What the agent's own
/// network namespace has since is found by a listing; what others had is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeGap {
    /// Counted together with [`Gap::number`].
    pub number: u64,
    /// When everything had been read, and when it was noticed that messages are missing.
    pub from: Time,
    pub to: Time,
    /// Reads that failed for it. The kernel does not say how many messages it dropped.
    pub overruns: u64,
}

/// The execs that one cgroup and audit session lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostLineage {
    /// Two cgroups can share a number; then these are the execs of both.
    pub execs: u64,
    pub cgroup_id: u64,
    pub cgroup: Option<Arc<Cgroup>>,
    pub session_id: Option<u32>,
    /// Of the last that was lost: its time, its user, the process and the parent.
    pub last: Time,
    pub uid: u32,
    pub process: ProcessKey,
    pub parent: ProcessKey,
    /// From that process, or its parent, up to the oldest ancestor known.
    pub ancestry: Vec<Ancestor>,
}

/// What a look at the running processes brought back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// Processes that run.
    pub processes: u64,
    /// Execs of them that had been lost, and have been judged now.
    pub execs: u64,
    /// Such execs that were not judged, because there were too many.
    pub execs_omitted: u64,
    /// Processes that had ended unseen.
    pub ended: u64,
}

/// Where the agent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentState {
    /// It has just begun to watch.
    Armed,
    Watching,
    /// It has ended its watch.
    Stopping,
}

impl AgentState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Armed => "armed",
            Self::Watching => "watching",
            Self::Stopping => "stopping",
        }
    }
}

/// What was heard of nf_tables since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetfilterBooks {
    pub datagrams: u64,
    /// Datagrams that were not the kernel's.
    pub refused: u64,
    /// Reads that told that the kernel had dropped messages.
    pub overruns: u64,
    pub transactions: u64,
    /// Messages that made no sense.
    pub malformed: u64,
    /// Changes and elements of a transaction beyond what is kept of one.
    pub omitted: u64,
    /// Other network namespaces given up for lack of room.
    pub namespaces_forgotten: u64,
}

/// What was seen of the tables of x_tables since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XtablesBooks {
    /// Looks at all tables, and those that came to nothing.
    pub looks: u64,
    pub failed: u64,
    /// Tables in which a look saw a change.
    pub changed: u64,
    /// Tables at the latest look, and those of them that could not be read or were too large.
    pub tables: u64,
    pub unreadable: u64,
    /// Calls that replace a table that were not kept for the look that followed, for want of room.
    pub notices_refused: u64,
}

/// What became of the lines that were handed to the store, since the start unless said otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreBooks {
    /// Another one when the numbers may not go on where they ended.
    pub epoch: Uuid,
    /// The last number that was given, ever.
    pub seq: u64,
    /// Whether there is a store on a disk.
    pub durable: bool,
    /// Whether the disk takes nothing at present.
    pub degraded: bool,
    /// Of what is stored.
    pub bytes: u64,
    /// Held in memory alone at present, and those of them that some sink does not have.
    pub held: u64,
    pub undelivered: u64,
    /// Lost, for there was no room.
    pub refused: u64,
    /// Delivered, and never stored.
    pub unstored: u64,
    /// Found when the store was opened.
    pub damaged: u64,
    pub torn: u64,
    pub segments_unreadable: u64,
    pub segments_removed: u64,
    /// Batches that could not be written.
    pub faults: u64,
    pub sinks: Vec<SinkBooks>,
}

/// What became of the records of one sink, ever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkBooks {
    pub name: String,
    /// Numbers that it does not have yet.
    pub backlog: u64,
    pub delivered: u64,
    pub dropped: u64,
    pub damaged: u64,
    pub dead_letters: u64,
    pub in_trouble: bool,
}

/// The sign of life: the books so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Of this run of the agent; the first is 1.
    pub number: u64,
    pub state: AgentState,
    pub time: Time,
    /// When the watch began.
    pub since: Time,
    /// When the next is due; `None` for the last, and when only the first and the last are sent.
    pub interval_s: Option<u64>,
    /// What the sensor sees on this kernel, in words.
    pub sight: String,
    pub execs_seen: u64,
    pub execs_received: u64,
    pub losses: Losses,
    pub forks_seen: u64,
    pub exits_seen: u64,
    pub lineage_lost: u64,
    pub argv_broken: u64,
    pub paths_unknown: u64,
    pub parent_paths_unknown: u64,
    /// `None` when they are not watched.
    pub failed_execs: Option<FailedExecCounts>,
    /// Processes in the tree, and those for which it had no room.
    pub processes: u64,
    pub processes_dropped: u64,
    /// Groups of the detector given up for lack of room.
    pub groups_evicted: u64,
    /// `None` when changes of the firewall are not judged.
    pub tamper: Option<TamperCounters>,
    /// Lines that each filter withheld, by its name.
    pub suppressed: BTreeMap<String, u64>,
    /// Lines of alerts and findings that only summaries count.
    pub repeats_withheld: u64,
    /// `None` when nf_tables is not heard.
    pub netfilter: Option<NetfilterBooks>,
    /// `None` when the tables of x_tables are not read.
    pub xtables: Option<XtablesBooks>,
    pub gaps: u64,
    /// Lines handed to the local log, and lines that were lost.
    pub alerts: u64,
    pub lines_lost: u64,
    pub store: StoreBooks,
}

/// Something that happened to alerts on their way to a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub sink: String,
    pub kind: NoticeKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    /// Somebody has to change something before the sink gets anything more.
    SinkHeld { why: String },
    /// It gets alerts again.
    SinkResumed,
    /// The bounds of the store left no room for what the sink did not have.
    AlertsDropped {
        first_seq: u64,
        last_seq: u64,
        records: u64,
    },
    /// The receiver refused them for good; they are kept on the host.
    DeadLetters {
        first_seq: u64,
        last_seq: u64,
        records: u64,
        /// Of the first.
        why: String,
    },
    /// Nothing happened: an operator tries the sink.
    Test,
}

impl NoticeKind {
    /// Its stable identifier.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::SinkHeld { .. } => "sink-held",
            Self::SinkResumed => "sink-resumed",
            Self::AlertsDropped { .. } => "alerts-dropped",
            Self::DeadLetters { .. } => "dead-letters",
            Self::Test => "test",
        }
    }
}
