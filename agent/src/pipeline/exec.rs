//! The words that everything in the pipeline speaks: what happened, to which process, when.

use std::sync::Arc;

use uuid::Uuid;

use super::cgroup::Cgroup;
use super::failed_exec::FailedExec;
use super::firewall::change::Family;
use super::provenance::{Program, Provenance};
use super::tty::Tty;

/// One moment on both clocks, paired where it entered the agent.
///
/// Sliding windows and expiry use `boot_ns`, so that setting the wall clock cannot split a burst;
/// tumbling windows and everything a person reads use `wall_ns`. In a replay both hold the record's
/// own time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Nanoseconds of `CLOCK_BOOTTIME`.
    pub boot_ns: u64,
    /// Nanoseconds since 1970-01-01 UTC.
    pub wall_ns: u64,
}

/// A process for the whole of its life; a reused pid has another start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessKey {
    /// Thread-group id in the initial pid namespace: what user space calls the pid.
    pub tgid: u32,
    /// The leader's `start_boottime`, nanoseconds; 0 when a recording does not tell it.
    pub start_ns: u64,
}

/// Why a path is not known. An unknown path never counts as excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unknown {
    /// There is no executable: a kernel thread, or a process whose memory is gone.
    Absent,
    /// Deeper or longer than the sensor follows.
    Unfinished,
    /// A read failed.
    Fault,
    /// The parent changed, or a part of the path was renamed, while it was read.
    Changed,
    /// The process says that it runs another file than the one it was started from
    /// (`PR_SET_MM_EXE_FILE`, `prctl(2)`).
    Replaced,
    /// The mount it stands on belongs to no namespace.
    Detached,
    /// This kernel lacks what the sensor needs to tell.
    Unsupported,
    /// The recording does not tell it.
    NotRecorded,
}

impl Unknown {
    pub const ALL: [Self; 8] = [
        Self::Absent,
        Self::Unfinished,
        Self::Fault,
        Self::Changed,
        Self::Replaced,
        Self::Detached,
        Self::Unsupported,
        Self::NotRecorded,
    ];

    /// The word for it in an alert.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Unfinished => "unfinished",
            Self::Fault => "fault",
            Self::Changed => "changed",
            Self::Replaced => "replaced",
            Self::Detached => "detached",
            Self::Unsupported => "unsupported",
            Self::NotRecorded => "not-recorded",
        }
    }
}

/// The resolved path of an executable, or why it is unknown. Bytes, for a path need not be UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExePath {
    Known(Arc<[u8]>),
    Unknown(Unknown),
}

impl ExePath {
    pub fn known(&self) -> Option<&[u8]> {
        match self {
            Self::Known(path) => Some(path),
            Self::Unknown(_) => None,
        }
    }

    /// What stands behind the last slash.
    pub fn basename(&self) -> Option<&[u8]> {
        self.known().map(basename)
    }
}

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId {
    pub inode: u64,
    /// Device as the kernel keeps it: major number, and minor number in the lower 20 bits.
    pub device: u32,
}

/// Whose file it is, and since when it is as it is. Ids are those of the initial user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStat {
    pub uid: u32,
    pub gid: u32,
    /// Type and permissions, as `stat(2)` has them.
    pub mode: u16,
    /// Hard links; 0 when the file has been removed.
    pub links: u32,
    /// Last change of content or attributes, nanoseconds since 1970-01-01 UTC.
    pub change_ns: u64,
    /// It stands in the upper layer of an overlay: put there, or changed, after the image was made.
    pub overlay_upper: bool,
}

/// One namespace of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Inode number, as the links in `/proc/PID/ns` show it; 0 when unknown.
    pub inum: u32,
    /// Whether it is the one that the host's first process is in; `None` when that is unknown.
    pub is_host: Option<bool>,
}

/// The namespaces that decide what a process can reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    pub mount: Namespace,
    pub pid: Namespace,
    pub net: Namespace,
    pub user: Namespace,
}

/// What stands behind the last slash of `path`, or all of it when it has none.
pub fn basename(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

/// Where a command line was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgvSource {
    /// By the kernel program, at exec, from the new program's own memory.
    Kernel,
    /// From `/proc/PID/cmdline`, afterwards.
    Procfs,
    /// From a recording.
    Recording,
    /// Nowhere: it could not be read.
    Unread,
}

/// The arguments of one exec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argv {
    /// The arguments, each followed by a NUL; the last may lack it when the line was cut.
    pub bytes: Arc<[u8]>,
    /// Bytes of the whole, NULs included; more than `bytes` holds when the line was cut.
    pub bytes_full: u64,
    pub source: ArgvSource,
}

impl Argv {
    /// From separate arguments, as a recording has them.
    pub fn from_arguments<'a>(arguments: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut bytes = Vec::new();
        for argument in arguments {
            bytes.extend_from_slice(argument);
            bytes.push(0);
        }
        Self {
            bytes_full: bytes.len() as u64,
            bytes: bytes.into(),
            source: ArgvSource::Recording,
        }
    }

    /// The arguments, one after the other.
    pub fn arguments(&self) -> impl Iterator<Item = &[u8]> {
        let whole = self.bytes.strip_suffix(&[0]).unwrap_or(&self.bytes);
        let any = !self.bytes.is_empty();
        whole.split(|&byte| byte == 0).filter(move |_| any)
    }

    /// Whether the command line was longer than what is here.
    pub fn truncated(&self) -> bool {
        self.bytes_full > self.bytes.len() as u64
    }

    /// Writes Splunk's `process` into `out`: the arguments joined by one space, no quoting, bytes
    /// kept. What `out` held before is gone.
    pub fn join_into(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(self.bytes.strip_suffix(&[0]).unwrap_or(&self.bytes));
        for byte in out {
            if *byte == 0 {
                *byte = b' ';
            }
        }
    }
}

/// One successful `execve` or `execveat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    pub time: Time,
    pub guid: ExecGuid,
    pub process: ProcessKey,
    /// The thread that called `execve`.
    pub tid: u32,
    /// The thread group of `real_parent`.
    pub parent: ProcessKey,
    /// Real user id. The sensor always tells the ids; a log of others may lack them.
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub euid: Option<u32>,
    pub login_uid: Option<u32>,
    pub session_id: Option<u32>,
    pub tty: Tty,
    /// Effective capabilities, one bit each (`capabilities(7)`), in the process's user namespace.
    pub cap_effective: Option<u64>,
    /// Name of the real uid, where the host has one.
    pub user: Option<Arc<str>>,
    /// Name of the host on which it happened: CIM's `dest`.
    pub dest: Option<Arc<str>>,
    /// What identifies that host for good (machine id); the name serves where there is none.
    pub host_id: Option<Arc<str>>,
    pub comm: Box<[u8]>,
    /// What was handed to `execve`; the script's name when it is a script.
    pub filename: Box<[u8]>,
    /// The interpreter of a `#!` script, as the script names it.
    pub interp: Option<Box<[u8]>>,
    /// `mm->exe_file`, resolved; the interpreter when it is a script.
    pub exe: ExePath,
    pub exe_file: Option<FileId>,
    pub exe_stat: Option<FileStat>,
    /// The executable has been removed.
    pub exe_deleted: bool,
    /// The executable stands in no directory: a memfd or the like.
    pub exe_memfd: bool,
    pub argv: Argv,
    /// The parent's `mm->exe_file`, resolved at the instant of the exec.
    pub parent_exe: ExePath,
    pub parent_file: Option<FileId>,
    /// The parent's executable has been removed, or stands in no directory.
    pub parent_deleted: bool,
    pub parent_memfd: bool,
    /// The parent's arguments, when a recording has them.
    pub parent_argv: Option<Argv>,
    pub cgroup_id: u64,
    /// That cgroup's path, and what it tells: container and unit.
    pub cgroup: Option<Arc<Cgroup>>,
    /// What the host tells beside the record; `None` where it was not asked.
    pub provenance: Option<Arc<Provenance>>,
    pub namespaces: Namespaces,
    /// File descriptors 1 and 2 are `/dev/null`.
    pub stdout_null: bool,
    pub stderr_null: bool,
}

/// What names an exec for good: a second exec of one process has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecGuid {
    /// As a recording has it.
    Given(Uuid),
    /// A UUIDv5 under this boot's id, which is reckoned only when somebody asks: few execs are ever named.
    OfBoot(Uuid),
}

impl ExecGuid {
    /// The UUID of an exec of `process` at `exec_boot_ns`.
    pub fn uuid(self, process: ProcessKey, exec_boot_ns: u64) -> Uuid {
        match self {
            Self::Given(uuid) => uuid,
            Self::OfBoot(boot_id) => {
                let mut name = [0; 20];
                name[..4].copy_from_slice(&process.tgid.to_be_bytes());
                name[4..12].copy_from_slice(&process.start_ns.to_be_bytes());
                name[12..].copy_from_slice(&exec_boot_ns.to_be_bytes());
                Uuid::new_v5(&boot_id, &name)
            }
        }
    }
}

impl Exec {
    pub fn guid(&self) -> Uuid {
        self.guid.uuid(self.process, self.time.boot_ns)
    }

    /// The script, when the file handed to `execve` was one: its name as given, for the kernel does not
    /// resolve it.
    pub fn script(&self) -> Option<&[u8]> {
        self.interp.as_ref().map(|_| &*self.filename)
    }
}

/// A new process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork {
    pub time: Time,
    pub process: ProcessKey,
    /// Who called `fork`; not the parent when `CLONE_PARENT` was set.
    pub creator: ProcessKey,
}

/// Somebody asks the kernel to replace a table of the older x_tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XtablesReplace {
    pub time: Time,
    pub process: ProcessKey,
    /// The thread that made the call.
    pub tid: u32,
    pub family: Family,
    /// `XT_TABLE_MAXNAMELEN` bytes; the name ends at the first NUL. Empty where it was not seen.
    pub table: [u8; 32],
}

impl XtablesReplace {
    /// `None` where it was not seen; no table is without a name.
    pub fn table(&self) -> Option<&[u8]> {
        let name = self.table.split(|&byte| byte == 0).next();
        name.filter(|name| !name.is_empty())
    }
}

/// The end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    pub time: Time,
    pub process: ProcessKey,
}

/// A process that already ran when the agent came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    pub process: ProcessKey,
    pub parent_tgid: u32,
    pub exe: ExePath,
    /// The file that it runs, where the kernel was asked.
    pub file: Option<FileId>,
    /// What is run by an interpreter, as far as the process's own word goes.
    pub script: Option<Arc<[u8]>>,
    pub argv: Argv,
    pub program: Program,
}

impl From<Exec> for Running {
    /// What a listing tells of a process by its latest exec.
    fn from(exec: Exec) -> Self {
        Self {
            process: exec.process,
            parent_tgid: exec.parent.tgid,
            script: exec.script().map(Arc::from),
            program: Program {
                // A package that was upgraded leaves its daemon without a file.
                is_gone: exec.exe_memfd,
                ..Program::from(&exec)
            },
            exe: exec.exe,
            file: exec.exe_file,
            argv: exec.argv,
        }
    }
}

/// What the host, or a recording, tells the pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Exec(Box<Exec>),
    Fork(Fork),
    Exit(Exit),
    FailedExec(Box<FailedExec>),
    XtablesReplace(XtablesReplace),
    Running(Box<Running>),
}

/// An exec to begin with, for tests.
#[cfg(test)]
pub(crate) mod sample {
    use super::{Argv, ExePath, Exec, ExecGuid, Namespaces, ProcessKey, Time, Tty, Unknown, Uuid};

    pub(crate) fn exec(arguments: &[&[u8]]) -> Exec {
        let process = ProcessKey {
            tgid: 1,
            start_ns: 0,
        };
        Exec {
            time: Time::default(),
            guid: ExecGuid::Given(Uuid::nil()),
            process,
            tid: 1,
            parent: process,
            uid: Some(0),
            gid: Some(0),
            euid: Some(0),
            login_uid: None,
            session_id: None,
            tty: Tty::Unknown,
            cap_effective: None,
            user: None,
            dest: None,
            host_id: None,
            comm: Box::default(),
            filename: Box::default(),
            interp: None,
            exe: ExePath::Unknown(Unknown::NotRecorded),
            exe_file: None,
            exe_stat: None,
            exe_deleted: false,
            exe_memfd: false,
            argv: Argv::from_arguments(arguments.iter().copied()),
            parent_exe: ExePath::Unknown(Unknown::NotRecorded),
            parent_file: None,
            parent_deleted: false,
            parent_memfd: false,
            parent_argv: None,
            cgroup_id: 0,
            cgroup: None,
            provenance: None,
            namespaces: Namespaces::default(),
            stdout_null: false,
            stderr_null: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(arguments: &[&[u8]]) -> Vec<u8> {
        let mut out = b"stale".to_vec();
        Argv::from_arguments(arguments.iter().copied()).join_into(&mut out);
        out
    }

    #[test]
    fn process_is_argv_joined_by_one_space_with_empty_arguments_kept() {
        assert_eq!(joined(&[b"sh", b"-c", b"a  b"]), b"sh -c a  b");
        assert_eq!(joined(&[b"a", b"", b"b"]), b"a  b");
        assert_eq!(joined(&[b"a", b""]), b"a ");
        assert_eq!(joined(&[b""]), b"");
        assert_eq!(joined(&[]), b"");
        assert_eq!(joined(&[b"\xff", b"\t"]), b"\xff \t");
    }

    #[test]
    fn arguments_come_back_as_they_went_in() {
        let cases: &[&[&[u8]]] = &[&[], &[b""], &[b"a"], &[b"a", b""], &[b"", b"", b"x y"]];
        for case in cases {
            let argv = Argv::from_arguments(case.iter().copied());
            assert_eq!(argv.arguments().collect::<Vec<_>>(), *case);
        }
    }

    #[test]
    fn a_second_exec_of_one_process_has_another_guid() {
        let process = ProcessKey {
            tgid: 5,
            start_ns: 6,
        };
        let of_boot = |boot| ExecGuid::OfBoot(Uuid::from_u128(boot));
        let guid = of_boot(1).uuid(process, 7);
        assert_ne!(guid, of_boot(1).uuid(process, 8));
        assert_ne!(guid, of_boot(2).uuid(process, 7));
        assert_eq!(ExecGuid::Given(guid).uuid(process, 8), guid);
    }

    #[test]
    fn a_basename_is_what_follows_the_last_slash() {
        assert_eq!(basename(b"/usr/bin/dash"), b"dash");
        assert_eq!(basename(b"dash"), b"dash");
        assert_eq!(basename(b"/"), b"");
    }
}
