//! Programs whose work it is to change the firewall, and what proves that a process is one of them.
//!
//! A name proves nothing, and a path little. A manager is a process
//!
//! 1. whose executable, or the script that the kernel was handed, stands where its package puts it, and is root's
//!    alone;
//! 2. that was not told to load the code of others;
//! 3. that runs in its unit of the host's systemd, with nobody behind it but that unit and the first process;
//! 4. and that has started, down to the one who acts, nothing but what it is known to start.
//!
//! What is not known proves nothing. What is known to be otherwise is a [`Doubt`], and is told.
//!
//! The bounds of this: root can replace a file in its place, add to a unit (which is told where it is an edit of a
//! firewall's files), and have the real manager do things.

use super::known_managers::{ANY_SERVICE, KEEPERS, KNOWN, Known, Starts};
use super::origin::{is_package_path, is_system_path, kind_of};
use super::program::is_tool;
use crate::pipeline::alert::Ancestor;
use crate::pipeline::cgroup::Cgroup;
use crate::pipeline::exec::basename;
use crate::pipeline::provenance::Owner;

/// Why a process that bears a manager's name is not taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// The file stands elsewhere, has been removed, or others than root may change it.
    File,
    /// Its environment has it load the code of others.
    ForeignCode,
    /// It runs in another unit, in one that somebody made up, in a container, or somebody else stands behind it.
    Unit,
    /// It is the manager, and has started what it does not start by itself.
    Child,
}

impl Doubt {
    pub const ALL: [Self; 4] = [Self::File, Self::ForeignCode, Self::Unit, Self::Child];
}

/// What a process of a lineage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing says that it is a manager.
    Other,
    Doubtful(Doubt),
    Manager,
}

/// Whether the path of an executable or script ends in a manager's name, so that it is worth while to ask the host
/// for its [`Provenance`](crate::pipeline::provenance::Provenance).
pub fn bears_known_name(path: &[u8]) -> bool {
    let name = basename(path);
    let mut known = KNOWN.iter();
    known.any(|known| known.bears(name)) || is_keeper(name)
}

fn is_keeper(name: &[u8]) -> bool {
    KEEPERS.iter().any(|keeper| keeper.as_bytes() == name)
}

/// Whether a process is a tool that keeps the files from which a firewall is loaded. `None` when it is none, or not
/// known to be.
pub(super) fn keeper(process: &Ancestor) -> Option<Result<(), Doubt>> {
    let file = judged_file(process)?;
    let is_one = is_keeper(basename(file)) && is_package_path(file);
    is_one.then(|| is_intact(process))?
}

/// The file by which a process is judged: the script, where the kernel was handed one, with links followed where the
/// host was asked; the executable otherwise.
pub(super) fn judged_file(ancestor: &Ancestor) -> Option<&[u8]> {
    let provenance = ancestor.program.provenance.as_deref();
    let resolved = provenance.and_then(|provenance| provenance.script.as_ref());
    match &ancestor.script {
        Some(script) => Some(resolved.map_or(script, |file| &file.path)),
        None => ancestor.exe.known(),
    }
}

/// What the process at `at` of a lineage is, which begins with the actor. `named` are the files that the operator
/// calls managers; of these only the first two of the four are asked.
pub(super) fn judge(lineage: &[Ancestor], at: usize, named: &[Box<[u8]>]) -> Verdict {
    let Some(ancestor) = lineage.get(at) else {
        return Verdict::Other;
    };
    if named.iter().any(|file| is_of(ancestor, file)) {
        return judge_named(ancestor);
    }
    let Some(file) = judged_file(ancestor) else {
        return Verdict::Other;
    };
    let known = |known: &&Known| known.files.iter().any(|place| is_at(file, place));
    match KNOWN.iter().find(known) {
        Some(known) => judge_known(known, lineage, at),
        None if is_misplaced(file) => Verdict::Doubtful(Doubt::File),
        None => Verdict::Other,
    }
}

/// Whether nobody but root may change what the process runs, interpreter and script, and it was not told to load the
/// code of others. `None` when that is not known.
pub(super) fn is_intact(ancestor: &Ancestor) -> Option<Result<(), Doubt>> {
    let program = &ancestor.program;
    let provenance = program.provenance.as_deref();
    if provenance.and_then(|provenance| provenance.loads_foreign_code) == Some(true) {
        return Some(Err(Doubt::ForeignCode));
    }
    let script = provenance.and_then(|provenance| provenance.script.as_ref());
    let owners = [
        program.owner,
        match ancestor.script {
            Some(_) => script.map(|file| file.owner),
            None => program.owner,
        },
    ];
    let is_others = |owner: &Owner| !owner.is_root_alone();
    if program.is_gone || owners.iter().flatten().any(is_others) {
        return Some(Err(Doubt::File));
    }
    owners.iter().all(Option::is_some).then_some(Ok(()))
}

/// The operator's word is enough where nothing speaks against it.
fn judge_named(ancestor: &Ancestor) -> Verdict {
    match is_intact(ancestor) {
        Some(Err(doubt)) => Verdict::Doubtful(doubt),
        Some(Ok(())) | None => Verdict::Manager,
    }
}

fn judge_known(known: &Known, lineage: &[Ancestor], at: usize) -> Verdict {
    let verdict = prove(known, lineage, at);
    match verdict {
        // To run it by hand is nothing to wonder at.
        Verdict::Doubtful(Doubt::Unit | Doubt::Child) if known.by_hand => Verdict::Other,
        Verdict::Doubtful(_) | Verdict::Manager | Verdict::Other => verdict,
    }
}

fn prove(known: &Known, lineage: &[Ancestor], at: usize) -> Verdict {
    let (below, rest) = lineage.split_at(at);
    let Some((manager, behind)) = rest.split_first() else {
        return Verdict::Other;
    };
    let proofs = [
        is_intact(manager),
        is_in_unit(known, manager),
        is_alone_in_unit(known, manager, behind),
        Some(starts_only_its_own(known, manager, below)),
    ];
    let doubt = proofs.iter().flatten().find_map(|proof| proof.err());
    match doubt {
        Some(doubt) => Verdict::Doubtful(doubt),
        None if proofs.iter().all(Option::is_some) => Verdict::Manager,
        None => Verdict::Other,
    }
}

/// `None` where there are no units, and where it is not known in which it runs.
fn is_in_unit(known: &Known, manager: &Ancestor) -> Option<Result<(), Doubt>> {
    let cgroup = manager.program.cgroup.as_deref()?;
    if cgroup.container.is_some() || !is_of_system(cgroup) {
        return Some(Err(Doubt::Unit));
    }
    let unit = cgroup.unit.as_deref()?;
    let provenance = manager.program.provenance.as_deref();
    let is_transient = provenance.and_then(|provenance| provenance.unit_is_transient);
    let fits = known.units.iter().any(|place| fits_unit(unit, place));
    Some(if fits && is_transient != Some(true) {
        Ok(())
    } else {
        Err(Doubt::Unit)
    })
}

/// Who is behind a service is the first process; a script that starts a daemon runs in the daemon's unit. Whoever
/// moves a process into the cgroup of a unit has run in another one before. Where any unit will do, whose unit it is
/// proves nothing, and nobody else may be in front of the manager.
fn is_alone_in_unit(
    known: &Known,
    manager: &Ancestor,
    behind: &[Ancestor],
) -> Option<Result<(), Doubt>> {
    /// The first process, which starts services (`systemd(1)`).
    const FIRST: u32 = 1;
    let any_unit = known.units.contains(&ANY_SERVICE);
    let unit = unit_of(manager)?;
    for ancestor in behind {
        if ancestor.process.tgid == FIRST {
            return Some(Ok(()));
        }
        let cgroup = ancestor.program.cgroup.as_deref()?;
        let is_its = is_of_system(cgroup) && cgroup.unit.as_deref() == Some(unit);
        let is_stranger =
            kind_of(ancestor).is_some() || any_unit && !is_started(known, manager, ancestor);
        if !is_its || is_stranger {
            return Some(Err(Doubt::Unit));
        }
    }
    // The lineage does not lead as far.
    None
}

fn starts_only_its_own(known: &Known, manager: &Ancestor, below: &[Ancestor]) -> Result<(), Doubt> {
    let fits = |started: &Ancestor| is_started(known, manager, started);
    if below.iter().all(fits) {
        Ok(())
    } else {
        Err(Doubt::Child)
    }
}

/// Whether a manager starts such a process by itself: itself again, a firewall tool, and what is said of it beyond.
fn is_started(known: &Known, manager: &Ancestor, started: &Ancestor) -> bool {
    if matches!(is_intact(started), Some(Err(_))) {
        return false;
    }
    let Some(file) = judged_file(started) else {
        return false;
    };
    let is_same = judged_file(manager) == Some(file);
    let helps = || {
        let mut places = known.helpers.iter();
        places.any(|place| is_or_is_below(file, place))
    };
    let by_kind = || match known.starts {
        Starts::Tools => false,
        Starts::Shells => started.script.is_none() && is_package_path(file) && is_shell(file),
        Starts::Programs => is_system_path(file),
    };
    is_same || is_package_path(file) && is_tool(basename(file)) || helps() || by_kind()
}

fn is_shell(path: &[u8]) -> bool {
    const SHELLS: &[&[u8]] = &[b"sh", b"dash", b"bash", b"busybox"];
    SHELLS.contains(&basename(path))
}

/// Whether a process runs `file`, by the executable or by the script.
fn is_of(ancestor: &Ancestor, file: &[u8]) -> bool {
    let script = ancestor.script.as_deref();
    let files = [ancestor.exe.known(), script, judged_file(ancestor)];
    files.contains(&Some(file))
}

/// A daemon's name elsewhere. Tools are looked at by [`disguise`](super::disguise).
fn is_misplaced(file: &[u8]) -> bool {
    let name = basename(file);
    let mut daemons = KNOWN.iter().filter(|known| !known.by_hand);
    daemons.any(|known| known.bears(name))
}

fn unit_of(ancestor: &Ancestor) -> Option<&str> {
    ancestor.program.cgroup.as_deref()?.unit.as_deref()
}

/// Whether a unit is the host's own: below `user.slice` stand the units of users, who name them as they like.
fn is_of_system(cgroup: &Cgroup) -> bool {
    let mut names = cgroup.path.split(|&byte| byte == b'/');
    cgroup.owner_uid.is_none() && names.all(|name| name != b"user.slice")
}

/// Whether `path` is the place, of which a `*` stands for one part: of a snap, its revision.
fn is_at(path: &[u8], place: &str) -> bool {
    let mut parts = path.split(|&byte| byte == b'/');
    let mut expected = place.as_bytes().split(|&byte| byte == b'/');
    loop {
        match (parts.next(), expected.next()) {
            (None, None) => return true,
            (Some(part), Some(b"*")) if !part.is_empty() && part != b".." => {}
            (Some(part), Some(expected)) if part == expected => {}
            _ => return false,
        }
    }
}

/// Whether a path is a file, or stands below a directory, which ends with a slash.
fn is_or_is_below(path: &[u8], place: &str) -> bool {
    let goes_back = path.split(|&byte| byte == b'/').any(|part| part == b"..");
    let place = place.as_bytes();
    path == place || place.ends_with(b"/") && !goes_back && path.starts_with(place)
}

/// Whether a unit is the one that is expected.
fn fits_unit(unit: &str, expected: &str) -> bool {
    unit == expected || expected == ANY_SERVICE && unit.ends_with(".service")
}

#[cfg(test)]
mod tests;
