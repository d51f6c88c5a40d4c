//! An exec that was tried and failed, when the operator lets the sensor watch those.

use std::sync::Arc;

use super::cgroup::Cgroup;
use super::exec::{Argv, ProcessKey, Time};

/// One `execve` or `execveat` that failed. The rule is not applied to it: nothing ran. It tells who looked
/// for what: a tool that is not there, a file that may not be run.
///
/// File name and arguments were read from the caller's memory after the call, which another thread of it
/// can change meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedExec {
    pub time: Time,
    /// Who made the call, and goes on. Unknown starts are 0.
    pub process: ProcessKey,
    pub tid: u32,
    /// The thread group of `real_parent`; zeros when this kernel does not tell.
    pub parent: ProcessKey,
    pub uid: u32,
    pub login_uid: Option<u32>,
    pub session_id: Option<u32>,
    /// Name of the real uid, where the host has one.
    pub user: Option<Arc<str>>,
    /// Name of the host on which it happened, and what identifies it for good.
    pub dest: Option<Arc<str>>,
    pub host_id: Option<Arc<str>>,
    /// The error number (`errno(3)`).
    pub error: u32,
    pub comm: Box<[u8]>,
    /// What was handed to the call: not resolved. `None` when it could not be read.
    pub filename: Option<Box<[u8]>>,
    /// The first arguments; `bytes_full` is what is here. Unread when one could not be read.
    pub argv: Argv,
    /// There were more arguments, or more bytes, than are here.
    pub argv_cut: bool,
    pub cgroup_id: u64,
    pub cgroup: Option<Arc<Cgroup>>,
}

/// How many there were since the watch began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FailedExecCounts {
    pub seen: u64,
    /// Those of which there is no record.
    pub lost: u64,
}
