//! Layout of the records; the picture is in the crate's head.

use crate::ARGV_CHUNK_BYTES;

/// Version of the record layout. The object is built into the agent, so that a mismatch means a
/// build error; the decoder refuses it all the same.
pub const RECORD_VERSION: u8 = 3;

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    Exec = 1,
    Fork = 2,
    Exit = 3,
    ArgvChunk = 4,
    Cgroup = 5,
    FailedExec = 6,
    XtablesReplace = 7,
}

/// First bytes of every record.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RecordHeader {
    /// `CLOCK_BOOTTIME` in nanoseconds (`bpf_ktime_get_boot_ns`).
    pub time_ns: u64,
    /// Bytes of the whole record, this header and all sections included.
    pub bytes: u32,
    /// A [`RecordKind`].
    pub kind: u8,
    /// [`RECORD_VERSION`].
    pub version: u8,
    /// Which share of the ring the record is charged to; below [`SHARES`](crate::SHARES).
    pub share: u16,
}

/// Fixed part of the record of one successful exec.
///
/// A start time is the thread-group leader's `start_boottime`, in nanoseconds of `CLOCK_BOOTTIME`.
/// Identifiers are those of the initial pid and user namespaces.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ExecRecord {
    pub header: RecordHeader,
    pub start_ns: u64,
    pub parent_start_ns: u64,
    /// Identifier of the cgroup (version 2).
    pub cgroup_id: u64,
    /// `arg_end - arg_start`, which may exceed what the record carries.
    pub argv_bytes_full: u64,
    /// Inode number of the new program's file and of the parent's; 0 when it could not be read.
    pub exe_inode: u64,
    pub parent_inode: u64,
    /// Number of this exec among those that the same program saw on the same processor; the first is 1.
    pub sequence: u64,
    /// Effective capabilities, in the user namespace `user_ns`.
    pub cap_effective: u64,
    /// Change time of the new program's file: seconds since 1970, and nanoseconds below.
    pub exe_change_s: u64,
    pub tgid: u32,
    /// The thread that called `execve`, before it took the leader's identity.
    pub tid: u32,
    pub parent_tgid: u32,
    pub uid: u32,
    pub gid: u32,
    pub euid: u32,
    /// `u32::MAX` when unset.
    pub login_uid: u32,
    /// Audit session; `u32::MAX` when unset.
    pub session_id: u32,
    /// Inode numbers of the namespaces; 0 when the kernel lacks the member.
    pub mount_ns: u32,
    pub pid_ns: u32,
    pub net_ns: u32,
    pub user_ns: u32,
    /// Devices of both files, as the kernel keeps them (`MKDEV`, `include/linux/kdev_t.h`).
    pub exe_device: u32,
    pub parent_device: u32,
    /// Owner, group, hard links and change time of the new program's file.
    pub exe_uid: u32,
    pub exe_gid: u32,
    pub exe_links: u32,
    pub exe_change_ns: u32,
    /// Bits of [`ExecFlags`].
    pub flags: u32,
    /// Bytes of each section, in the order in which they follow.
    pub filename_bytes: u32,
    pub interp_bytes: u32,
    pub exe_path_bytes: u32,
    pub parent_path_bytes: u32,
    pub argv_bytes: u32,
    /// [`PathState`] of the new program's path and of the parent's.
    pub exe_state: u8,
    pub parent_state: u8,
    /// `i_mode` of the new program's file: type and permissions.
    pub exe_mode: u16,
    /// The processor, and which of the two exec programs (0, or 1 for the rescue).
    pub cpu: u16,
    pub lane: u8,
    pub padding: u8,
    /// Controlling terminal, as the kernel keeps devices; 0 when there is none, `u32::MAX` when unknown.
    pub tty: u32,
    pub comm: [u8; 16],
}

/// A new process (not a thread).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ForkRecord {
    pub header: RecordHeader,
    pub start_ns: u64,
    /// Start of the process that called `fork`, which is not the parent when `CLONE_PARENT` was set.
    pub creator_start_ns: u64,
    pub tgid: u32,
    pub creator_tgid: u32,
}

/// The end of a process: its last thread is exiting.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ExitRecord {
    pub header: RecordHeader,
    pub start_ns: u64,
    pub tgid: u32,
    pub padding: u32,
}

/// A piece of a command line that did not fit its exec record. `header.time_ns` is that of the exec.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ArgvChunk {
    pub header: RecordHeader,
    /// Where the piece begins in the command line.
    pub offset: u64,
    pub tgid: u32,
    /// Bytes of the piece.
    pub bytes: u32,
    pub argv: [u8; ARGV_CHUNK_BYTES],
}

const _: () = assert!(size_of::<RecordHeader>() == 16);
const _: () = assert!(size_of::<ExecRecord>() == 216);
const _: () = assert!(size_of::<ForkRecord>() == 40);
const _: () = assert!(size_of::<ExitRecord>() == 32);
const _: () = assert!(size_of::<ArgvChunk>() == 32 + ARGV_CHUNK_BYTES);

/// The path of a cgroup, sent before the first exec from it. `bytes` of components follow, leaf first, as in
/// a path section; the walk went up to the root of the hierarchy.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct CgroupRecord {
    pub header: RecordHeader,
    pub cgroup_id: u64,
    pub bytes: u32,
    /// [`PathState`] of the walk.
    pub state: u8,
    pub padding: [u8; 3],
}

const _: () = assert!(size_of::<CgroupRecord>() == 32);

/// One `execve` or `execveat` that failed. The file name as it was given, with its NUL, and the first bytes
/// of argv, each argument with its NUL, follow.
///
/// Both are read from the memory of the caller when the call returns. Unlike what an [`ExecRecord`] carries,
/// another thread of the caller can change them until then: what the kernel looked for and what stands here
/// may differ. Nothing is paged in: a constant that a child has not touched since `fork` may be unread. So is all of
/// it when the process is past the point at which its old memory is gone (it then ends by SIGSEGV).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct FailedExecRecord {
    pub header: RecordHeader,
    /// 0 when the kernel lacks a member, as in `parent_start_ns` and `parent_tgid`.
    pub start_ns: u64,
    pub parent_start_ns: u64,
    /// Identifier of the cgroup (version 2).
    pub cgroup_id: u64,
    pub tgid: u32,
    /// The thread that made the call.
    pub tid: u32,
    pub parent_tgid: u32,
    pub uid: u32,
    /// `u32::MAX` when unset or unknown.
    pub login_uid: u32,
    /// Audit session; `u32::MAX` when unset or unknown.
    pub session_id: u32,
    /// The error number (`errno(3)`), from 1 to 4095.
    pub error: u32,
    /// Bits of [`FailedExecFlags`].
    pub flags: u32,
    /// Bytes of each section, in the order in which they follow.
    pub filename_bytes: u32,
    pub argv_bytes: u32,
    pub comm: [u8; 16],
}

const _: () = assert!(size_of::<FailedExecRecord>() == 96);

/// A call of `setsockopt` that replaces a table of the older x_tables (`IPT_SO_SET_REPLACE`,
/// `include/uapi/linux/netfilter_ipv4/ip_tables.h`). It is told before the kernel acts on it: whether that
/// succeeds is not known.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct XtablesReplaceRecord {
    pub header: RecordHeader,
    pub start_ns: u64,
    pub tgid: u32,
    /// The thread that made the call.
    pub tid: u32,
    /// `SOL_IP` (0) or `SOL_IPV6` (41).
    pub level: u32,
    pub padding: u32,
    /// `struct ipt_replace`'s name, padded by NULs; what is behind the first NUL is of no meaning.
    pub table: [u8; XTABLES_NAME_BYTES],
}

/// `XT_TABLE_MAXNAMELEN`, `include/uapi/linux/netfilter/x_tables.h`.
pub const XTABLES_NAME_BYTES: usize = 32;

const _: () = assert!(size_of::<XtablesReplaceRecord>() == 72);

/// Bits of [`FailedExecRecord::flags`].
pub struct FailedExecFlags;

impl FailedExecFlags {
    /// The file name could not be read; its section is empty.
    pub const FILENAME_FAULT: u32 = 1 << 0;
    /// An argument could not be read; the section has those before it.
    pub const ARGV_FAULT: u32 = 1 << 1;
    /// There are more bytes, or more arguments, than the record carries.
    pub const ARGV_CUT: u32 = 1 << 2;
}

/// The last exec record that one share lost, and how many it lost so far (map `LOST`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct LostExecs {
    pub count: u64,
    pub time_ns: u64,
    pub cgroup_id: u64,
    pub start_ns: u64,
    pub parent_start_ns: u64,
    pub tgid: u32,
    pub parent_tgid: u32,
    pub session_id: u32,
    pub uid: u32,
}

const _: () = assert!(size_of::<LostExecs>() == 56);

/// What became of a path walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PathState {
    /// The section holds the whole path, up to the root of its mount namespace.
    Known = 0,
    /// There is no executable: a kernel thread, or a process whose memory is gone.
    Absent = 1,
    /// More bytes than [`PATH_BYTES_MAX`](crate::PATH_BYTES_MAX), or more mounts than a walk follows.
    Unfinished = 2,
    /// A read failed.
    Fault = 3,
    /// The parent, its memory or its executable changed during the walk, or a component was renamed.
    Changed = 4,
    /// The mount is attached to no namespace that anybody lives in (`umount -l`, `fsmount`), so that the
    /// walk ended at a root which is no root.
    Detached = 5,
    /// The kernel lacks a member that the walk needs.
    Unsupported = 6,
    /// The walk has yet to be made. No record that is sent has it.
    Pending = 7,
}

/// Bits of [`ExecRecord::flags`].
pub struct ExecFlags;

impl ExecFlags {
    /// The record has the first [`ARGV_BYTES_MAX`](crate::ARGV_BYTES_MAX) bytes of argv; the rest follows
    /// in chunks.
    pub const ARGV_CONTINUED: u32 = 1 << 0;
    /// argv could not be read; the section is empty.
    pub const ARGV_FAULT: u32 = 1 << 1;
    /// The file handed to `execve` is a script; `interp` names its interpreter.
    pub const SCRIPT: u32 = 1 << 2;
    /// The executable has been removed (its dentry is unhashed).
    pub const EXE_DELETED: u32 = 1 << 3;
    /// The executable stands in no directory: a memfd or the like.
    pub const EXE_PSEUDO: u32 = 1 << 4;
    pub const PARENT_DELETED: u32 = 1 << 5;
    pub const PARENT_PSEUDO: u32 = 1 << 6;
    /// File descriptor 1 is `/dev/null`.
    pub const STDOUT_NULL: u32 = 1 << 7;
    /// File descriptor 2 is `/dev/null`.
    pub const STDERR_NULL: u32 = 1 << 8;
    /// The executable stands in the upper layer of an overlay: it was put there, or changed, after the
    /// image was made.
    pub const EXE_UPPER: u32 = 1 << 9;
    /// The effective capabilities are known.
    pub const CAPABILITIES: u32 = 1 << 10;
}
