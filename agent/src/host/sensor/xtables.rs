//! The program that tells who replaces a table of x_tables, on the root of the cgroup hierarchy.

use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::Context;
use aya::Ebpf;
use aya::programs::{CgroupAttachMode, CgroupSockopt};

/// What says where cgroup v2 is mounted (`proc_pid_mountinfo(5)`).
const MOUNTS: &str = "/proc/self/mountinfo";

const PROGRAM: &str = "xtables_replace";

/// Loads and attaches it. A host that cannot is told, and watched without.
pub(super) fn attach(ebpf: &mut Ebpf) -> bool {
    let attached = try_attach(ebpf);
    if let Err(error) = &attached {
        tracing::warn!("changes of legacy x_tables are seen by their commands alone: {error:#}");
    }
    attached.is_ok()
}

fn try_attach(ebpf: &mut Ebpf) -> anyhow::Result<()> {
    let root = root().context("find cgroup v2")?;
    let cgroup = File::open(&root).with_context(|| format!("open {}", root.display()))?;
    let program = ebpf.program_mut(PROGRAM).context("find the program")?;
    let program: &mut CgroupSockopt = program.try_into()?;
    program.load().context("load the program")?;
    // A link is one among several whatever it asks for, and takes no flags (`cgroup_bpf_link_attach`,
    // `kernel/bpf/cgroup.c`).
    program
        .attach(cgroup, CgroupAttachMode::Single)
        .with_context(|| format!("attach it to {}", root.display()))?;
    Ok(())
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
