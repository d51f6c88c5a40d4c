//! What the pipeline finds: plain data with public fields. How it is written for a reader is the
//! business of `delivery::encode`.

use std::sync::Arc;

use uuid::Uuid;

use super::cgroup::Cgroup;
use super::exec::{ArgvSource, ExePath, FileId, FileStat, Namespaces, ProcessKey, Time};
use super::provenance::Program;
use super::tty::Tty;

/// How much an alert matters; the words of CIM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Informational,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    pub const ALL: [Self; 5] = [
        Self::Informational,
        Self::Low,
        Self::Medium,
        Self::High,
        Self::Critical,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// The rule an alert came from, as far as an alert names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleIdentity {
    pub id: String,
    pub name: String,
    pub version: u32,
    pub severity: Severity,
    /// Splunk's risk score, 0 to 100.
    pub risk_score: u8,
    /// ATT&CK technique ids.
    pub mitre_technique_id: Vec<String>,
}

/// Which execs count together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowMode {
    /// Any stretch of `span`, in boot time.
    Sliding,
    /// The disjoint stretches of the scheduled search, in wall time.
    Tumbling,
}

impl WindowMode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sliding => "sliding",
            Self::Tumbling => "tumbling",
        }
    }
}

/// Whether an alert may still grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertState {
    Open,
    Closed,
}

/// The seven values by which the analytic groups. An unknown `user` or `dest` is `unknown`; any
/// other that is unknown is `null`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey {
    pub process_name: Arc<[u8]>,
    pub parent_process_name: Arc<[u8]>,
    pub parent_process_id: u32,
    pub dest: Arc<str>,
    pub user: Arc<str>,
    pub parent_process_path: Arc<[u8]>,
    pub process_path: Arc<[u8]>,
}

/// A text that is shown whole when it is short, and otherwise as its head, the bytes around each
/// match, its length and its SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Excerpt {
    /// Pieces in ascending order, none overlapping; one piece from 0 when nothing was left out.
    pub parts: Vec<ExcerptPart>,
    /// Bytes of the whole text.
    pub bytes_full: u64,
    /// Of the whole text, when something was left out.
    pub sha256: Option<[u8; 32]>,
}

impl Excerpt {
    /// The text, when nothing was left out.
    pub fn whole(&self) -> Option<&[u8]> {
        match &self.parts[..] {
            [] if self.bytes_full == 0 => Some(&[]),
            [whole] if whole.bytes.len() as u64 == self.bytes_full => Some(&whole.bytes),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExcerptPart {
    pub offset: u64,
    pub bytes: Vec<u8>,
}

/// One exec that counts in an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub time: Time,
    pub guid: Uuid,
    pub process: ProcessKey,
    pub exe: ExePath,
    pub exe_file: Option<FileId>,
    pub exe_stat: Option<FileStat>,
    /// SHA-256 of the executable's content; `None` where it is not known, or not yet.
    pub exe_sha256: Option<[u8; 32]>,
    pub exe_deleted: bool,
    pub exe_memfd: bool,
    /// The script that the executable interprets.
    pub script: Option<Box<[u8]>>,
    /// Name of the real uid.
    pub user: Option<Arc<str>>,
    pub uid: Option<u32>,
    pub euid: Option<u32>,
    pub login_uid: Option<u32>,
    pub session_id: Option<u32>,
    pub tty: Tty,
    pub cap_effective: Option<u64>,
    pub cgroup_id: u64,
    pub cgroup: Option<Arc<Cgroup>>,
    pub namespaces: Namespaces,
    pub stdout_null: bool,
    pub stderr_null: bool,
    /// Splunk's `process`.
    pub process_text: Excerpt,
    /// Bytes of argv that the exec had beyond those read.
    pub argv_bytes_lost: u64,
    pub argv_source: ArgvSource,
    pub port: Option<String>,
}

/// Why one clause of the rule held, on the exec that opened the alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClauseMatch {
    /// The clause as SPL, for example `process="*iptables *"`.
    pub clause: String,
    /// Where the literal part of the clause was found; `None` for a clause about absence.
    pub offset: Option<u64>,
    /// What was found there, or the value that was compared.
    pub found: Vec<u8>,
}

/// One process of a lineage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ancestor {
    pub process: ProcessKey,
    pub exe: ExePath,
    /// The script that the executable interprets, as its exec named it.
    pub script: Option<Arc<[u8]>>,
    /// The script that its command line names, where the kernel told none: what whoever started it says.
    pub claimed_script: Option<Arc<[u8]>>,
    /// What tells whether it is the program that its path says.
    pub program: Program,
    /// Its command line, joined by spaces and cut; empty when unknown.
    pub command_line: Vec<u8>,
    pub command_line_bytes_full: u64,
    /// Time of its latest exec, if that was seen.
    pub exec_time: Option<Time>,
    /// It had ended when the alert was made.
    pub ended: bool,
}

/// What the sensor could not see, as far as it bears on one alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blindness {
    /// Execs of this alert whose command line was cut.
    pub truncated: u64,
    /// Execs of this alert whose command line had to be read elsewhere, or could not be read.
    pub faults: u64,
    /// Exec records of the whole host lost since the agent started.
    pub lost: u64,
    /// Execs of this alert that are counted but not listed, or no longer.
    pub execs_omitted: u64,
    /// How many command lines of this alert are not listed, at most: one that comes again counts
    /// again.
    pub processes_exec_omitted: u64,
    /// Execs of this alert whose guid is not listed. Nor is their pid, unless an exec that is listed
    /// has the same.
    pub guids_omitted: u64,
}

/// One revision of one finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    pub id: Uuid,
    /// 0 for the first line of an alert, rising with its updates.
    pub revision: u32,
    pub state: AlertState,
    pub rule: Arc<RuleIdentity>,
    pub window_mode: WindowMode,
    pub window_span_s: u64,
    pub first_seen: Time,
    pub last_seen: Time,
    pub key: GroupKey,
    /// Distinct values, each list in string order.
    pub processes_exec: Vec<Excerpt>,
    pub ports: Vec<String>,
    pub guids: Vec<Uuid>,
    pub pids: Vec<u32>,
    pub port_count: u64,
    /// Execs in the group, those without a port included.
    pub count: u64,
    /// In the order of time.
    pub execs: Vec<Evidence>,
    pub matched: Vec<ClauseMatch>,
    pub parent: ProcessKey,
    /// Why the parent's path is unknown, if it is.
    pub parent_unknown: Option<super::exec::Unknown>,
    /// The parent's executable had been removed.
    pub parent_deleted: bool,
    /// The parent's executable stood in no directory: a memfd or the like.
    pub parent_memfd: bool,
    /// From the parent up to the oldest ancestor known.
    pub ancestry: Vec<Ancestor>,
    /// From the process that started the first exec's, when that was not the parent: a double fork, `setsid`,
    /// a shell's background job leave their work to a reaper. Empty otherwise.
    pub origin: Vec<Ancestor>,
    pub blindness: Blindness,
    /// Places in command lines where a secret was masked.
    pub redacted: u64,
}
