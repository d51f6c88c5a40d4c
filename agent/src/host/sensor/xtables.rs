//! The program that tells who replaces a table of x_tables, on the root of the cgroup hierarchy.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context;
use aya::Ebpf;
use aya::programs::cgroup_sockopt::CgroupSockoptLink;
use aya::programs::{CgroupAttachMode, CgroupSockopt};

/// What says where cgroup v2 is mounted (`proc_pid_mountinfo(5)`).
const MOUNTS: &str = "/proc/self/mountinfo";

/// One file for each descriptor of this process (`proc_pid_fdinfo(5)`).
const DESCRIPTORS: &str = "/proc/self/fdinfo";

const PROGRAM: &str = "xtables_replace";

/// The program on its cgroup. Unlike a tracepoint's, its link can be taken off by whoever has `CAP_SYS_ADMIN`
/// (`BPF_LINK_DETACH`, `bpf_cgroup_link_lops` in `kernel/bpf/cgroup.c`).
pub(super) struct XtablesWatch {
    /// The program stays on for as long as this lives.
    _link: CgroupSockoptLink,
    /// What tells of the link's descriptor.
    descriptor: PathBuf,
}

impl XtablesWatch {
    /// Loads and attaches it. A host that cannot is told, and watched without.
    pub(super) fn attach(ebpf: &mut Ebpf) -> Option<Self> {
        load(ebpf)
            .and_then(|()| Self::attach_loaded(ebpf))
            .inspect_err(|error| {
                tracing::warn!(
                    "changes of legacy x_tables are seen by their commands alone: {error:#}"
                );
            })
            .ok()
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

    /// Puts the program back where somebody has taken it off. Whether somebody had.
    pub(super) fn check(&mut self, ebpf: &mut Ebpf) -> anyhow::Result<bool> {
        if is_attached(&self.descriptor) {
            return Ok(false);
        }
        *self = Self::attach_loaded(ebpf)?;
        Ok(true)
    }
}

fn program(ebpf: &mut Ebpf) -> anyhow::Result<&mut CgroupSockopt> {
    let program = ebpf.program_mut(PROGRAM).context("find the program")?;
    Ok(program.try_into()?)
}

fn load(ebpf: &mut Ebpf) -> anyhow::Result<()> {
    program(ebpf)?.load().context("load the program")
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
