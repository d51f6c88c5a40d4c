//! The program that tells who replaces a table of x_tables: on the root of the cgroup hierarchy, or, where that is
//! not mounted, in front of the security modules' own check of the call.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context;
use aya::programs::cgroup_sockopt::CgroupSockoptLink;
use aya::programs::fentry::FEntryLink;
use aya::programs::{CgroupAttachMode, CgroupSockopt, FEntry};
use aya::{Btf, Ebpf};

/// What says where cgroup v2 is mounted (`proc_pid_mountinfo(5)`).
const MOUNTS: &str = "/proc/self/mountinfo";

/// One file for each descriptor of this process (`proc_pid_fdinfo(5)`).
const DESCRIPTORS: &str = "/proc/self/fdinfo";

const ON_CGROUP: &str = "xtables_replace";
const ON_FUNCTION: &str = "xtables_replace_asked";
const FUNCTION: &str = "security_socket_setsockopt";

/// The program where it is attached.
pub(super) enum XtablesWatch {
    Cgroup(CgroupWatch),
    /// Nobody can take this one off while its descriptor is open (`bpf_tracing_link_lops` in
    /// `kernel/bpf/syscall.c` has no `detach`).
    Function {
        _link: FEntryLink,
    },
}

/// The program on its cgroup. Unlike a tracepoint's, its link can be taken off by whoever has `CAP_SYS_ADMIN`
/// (`BPF_LINK_DETACH`, `bpf_cgroup_link_lops` in `kernel/bpf/cgroup.c`).
pub(super) struct CgroupWatch {
    /// The program stays on for as long as this lives.
    _link: CgroupSockoptLink,
    /// What tells of the link's descriptor.
    descriptor: PathBuf,
}

impl XtablesWatch {
    /// Loads and attaches it. A host that cannot is told, and watched without.
    pub(super) fn attach(ebpf: &mut Ebpf) -> Option<Self> {
        let on_cgroup = match CgroupWatch::attach(ebpf) {
            Ok(watch) => return Some(Self::Cgroup(watch)),
            Err(error) => error,
        };
        match on_function(ebpf) {
            Ok(link) => {
                tracing::info!(
                    "who replaces a table of legacy x_tables is seen at {FUNCTION}, without the table's name: \
                     {on_cgroup:#}"
                );
                Some(Self::Function { _link: link })
            }
            Err(on_function) => {
                tracing::warn!(
                    "who replaces a table of x_tables is not heard, and changes are found by reading them: \
                     {on_cgroup:#}; {on_function:#}"
                );
                None
            }
        }
    }

    /// Puts the program back where somebody has taken it off. Whether somebody had.
    pub(super) fn check(&mut self, ebpf: &mut Ebpf) -> anyhow::Result<bool> {
        match self {
            Self::Cgroup(watch) => watch.check(ebpf),
            Self::Function { .. } => Ok(false),
        }
    }
}

impl CgroupWatch {
    fn attach(ebpf: &mut Ebpf) -> anyhow::Result<Self> {
        program(ebpf)?.load().context("load the program")?;
        Self::attach_loaded(ebpf)
    }

    fn attach_loaded(ebpf: &mut Ebpf) -> anyhow::Result<Self> {
        let root = root().context("find cgroup v2")?;
        let cgroup = File::open(&root).with_context(|| format!("open {}", root.display()))?;
        // A link is one among several whatever it asks for, and takes no flags (`cgroup_bpf_link_attach`,
        // `kernel/bpf/cgroup.c`).
        let program = program(ebpf)?;
        let link = program
            .attach(cgroup, CgroupAttachMode::Single)
            .with_context(|| format!("attach it to {}", root.display()))?;
        Ok(Self {
            _link: program.take_link(link)?,
            descriptor: attached().context("find the link among the descriptors")?,
        })
    }

    fn check(&mut self, ebpf: &mut Ebpf) -> anyhow::Result<bool> {
        if is_attached(&self.descriptor) {
            return Ok(false);
        }
        *self = Self::attach_loaded(ebpf)?;
        Ok(true)
    }
}

/// Not every kernel has trampolines for programs in front of a function (`CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS`).
fn on_function(ebpf: &mut Ebpf) -> anyhow::Result<FEntryLink> {
    let btf = Btf::from_sys_fs().context("read the kernel's BTF")?;
    let program = ebpf.program_mut(ON_FUNCTION).context("find the program")?;
    let program: &mut FEntry = program.try_into()?;
    program
        .load(FUNCTION, &btf)
        .with_context(|| format!("load the program for {FUNCTION}"))?;
    let link = program
        .attach()
        .with_context(|| format!("attach it to {FUNCTION}"))?;
    Ok(program.take_link(link)?)
}

fn program(ebpf: &mut Ebpf) -> anyhow::Result<&mut CgroupSockopt> {
    let program = ebpf.program_mut(ON_CGROUP).context("find the program")?;
    Ok(program.try_into()?)
}

/// Where the root of cgroup v2 is mounted.
fn root() -> anyhow::Result<PathBuf> {
    let mounts = fs::read_to_string(MOUNTS).with_context(|| format!("read {MOUNTS}"))?;
    let found = mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let is_root = place.next()? == "/";
        let point = place.next()?;
        (is_root && kind.starts_with("cgroup2 ")).then(|| PathBuf::from(point))
    });
    found.context("no cgroup2 file system is mounted with its root")
}

/// The descriptor of the agent's link to a cgroup that is in force; it has one at most.
fn attached() -> anyhow::Result<PathBuf> {
    let entries = fs::read_dir(DESCRIPTORS).with_context(|| format!("read {DESCRIPTORS}"))?;
    let mut descriptors = entries.filter_map(|entry| Some(entry.ok()?.path()));
    descriptors
        .find(|path| is_attached(path))
        .with_context(|| format!("{DESCRIPTORS} has no link to a cgroup"))
}

/// A link that was taken off tells of cgroup 0 (`bpf_cgroup_link_show_fdinfo`, `kernel/bpf/cgroup.c`).
fn is_attached(descriptor: &Path) -> bool {
    let Ok(text) = fs::read_to_string(descriptor) else {
        return false;
    };
    let mut lines = text.lines();
    let cgroup = lines.find_map(|line| line.strip_prefix("cgroup_id:"));
    cgroup.is_some_and(|id| id.trim() != "0")
}
