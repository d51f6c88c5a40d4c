//! The kernel members that the programs read. The agent resolves their offsets from the kernel's
//! BTF and hands them over as the read-only global `OFFSETS`, one `u32` for each [`Member`].

/// Offset of a member that this kernel lacks.
pub const ABSENT: u32 = u32::MAX;

/// How the agent finds one member.
#[derive(Clone, Copy, Debug)]
pub struct MemberSpec {
    pub member: Member,
    /// Name of the kernel's structure.
    pub structure: &'static str,
    /// Names of the member, outermost first, separated by dots. Anonymous structures and unions are
    /// passed through. Empty: the size of the structure is wanted, not an offset in it. Several paths,
    /// separated by `|`, are the names that kernels of different ages use; the first that is found counts.
    pub path: &'static str,
    /// Without it the programs cannot do their work at all; others only turn off what they feed.
    pub required: bool,
}

macro_rules! members {
    ($($name:ident = $structure:literal, $path:literal, $need:ident;)*) => {
        /// Index of a member's offset in `OFFSETS`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Member { $($name),* }

        /// Every member, in the order of its index.
        pub const MEMBERS: &[MemberSpec] = &[
            $(MemberSpec {
                member: Member::$name,
                structure: $structure,
                path: $path,
                required: members!(@$need),
            }),*
        ];
    };
    (@required) => { true };
    (@optional) => { false };
}

members! {
    TaskMm = "task_struct", "mm", required;
    TaskPid = "task_struct", "pid", required;
    TaskTgid = "task_struct", "tgid", required;
    TaskRealParent = "task_struct", "real_parent", required;
    TaskGroupLeader = "task_struct", "group_leader", required;
    TaskStartBoottime = "task_struct", "start_boottime", required;
    TaskSignal = "task_struct", "signal", required;
    SignalLive = "signal_struct", "live.counter", required;
    SignalTty = "signal_struct", "tty", optional;
    TtyDriver = "tty_struct", "driver", optional;
    TtyIndex = "tty_struct", "index", optional;
    TtyDriverMajor = "tty_driver", "major", optional;
    TtyDriverMinorStart = "tty_driver", "minor_start", optional;
    TaskCred = "task_struct", "cred", required;
    CredUid = "cred", "uid.val", required;
    CredGid = "cred", "gid.val", required;
    CredEuid = "cred", "euid.val", required;
    CredCapEffective = "cred", "cap_effective", optional;
    CredUserNs = "cred", "user_ns", optional;
    UserNsInum = "user_namespace", "ns.inum", optional;
    TaskComm = "task_struct", "comm", required;
    MmArgStart = "mm_struct", "arg_start", required;
    MmArgEnd = "mm_struct", "arg_end", required;
    MmExeFile = "mm_struct", "exe_file", required;
    BinprmFile = "linux_binprm", "file", required;
    BinprmFilename = "linux_binprm", "filename", required;
    BinprmInterp = "linux_binprm", "interp", required;
    FilePath = "file", "f_path", required;
    FileInode = "file", "f_inode", optional;
    InodeRdev = "inode", "i_rdev", optional;
    InodeMode = "inode", "i_mode", optional;
    InodeIno = "inode", "i_ino", optional;
    InodeSb = "inode", "i_sb", optional;
    InodeUid = "inode", "i_uid.val", optional;
    InodeGid = "inode", "i_gid.val", optional;
    InodeNlink = "inode", "i_nlink", optional;
    InodeCtimeSec = "inode", "i_ctime_sec|__i_ctime.tv_sec|i_ctime.tv_sec", optional;
    InodeCtimeNsec = "inode", "i_ctime_nsec|__i_ctime.tv_nsec|i_ctime.tv_nsec", optional;
    InodeBytes = "inode", "", optional;
    SuperBlockDev = "super_block", "s_dev", optional;
    SuperBlockMagic = "super_block", "s_magic", optional;
    PathMnt = "path", "mnt", required;
    PathDentry = "path", "dentry", required;
    DentryParent = "dentry", "d_parent", required;
    DentryName = "dentry", "d_name.name", required;
    DentryHash = "dentry", "d_hash.pprev", optional;
    DentrySeq = "dentry", "d_seq.seqcount.sequence", optional;
    MountMnt = "mount", "mnt", required;
    MountParent = "mount", "mnt_parent", required;
    MountMountpoint = "mount", "mnt_mountpoint", required;
    MountNs = "mount", "mnt_ns", optional;
    VfsmountRoot = "vfsmount", "mnt_root", required;
    TaskLoginuid = "task_struct", "loginuid.val", optional;
    TaskSessionid = "task_struct", "sessionid", optional;
    TaskCgroups = "task_struct", "cgroups", optional;
    CssSetCgroup = "css_set", "dfl_cgrp", optional;
    CgroupKn = "cgroup", "kn", optional;
    KernfsId = "kernfs_node", "id", optional;
    KernfsName = "kernfs_node", "name", optional;
    KernfsParent = "kernfs_node", "__parent|parent", optional;
    TaskNsproxy = "task_struct", "nsproxy", optional;
    NsproxyMnt = "nsproxy", "mnt_ns", optional;
    NsproxyNet = "nsproxy", "net_ns", optional;
    MntNsInum = "mnt_namespace", "ns.inum", optional;
    NetNsInum = "net", "ns.inum", optional;
    TaskThreadPid = "task_struct", "thread_pid", optional;
    PidLevel = "pid", "level", optional;
    PidNumbers = "pid", "numbers", optional;
    UpidNs = "upid", "ns", optional;
    UpidBytes = "upid", "", optional;
    PidNsInum = "pid_namespace", "ns.inum", optional;
    TaskFiles = "task_struct", "files", optional;
    FilesFdt = "files_struct", "fdt", optional;
    FdtableMaxFds = "fdtable", "max_fds", optional;
    FdtableFd = "fdtable", "fd", optional;
}

impl Member {
    /// How many members there are.
    pub const COUNT: usize = MEMBERS.len();
}
