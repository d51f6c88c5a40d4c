//! What tells a program that belongs to the host from one that only bears its path: who may change its files,
//! where it runs, and whether it was told to load the code of others.

use std::sync::Arc;

use super::cgroup::Cgroup;
use super::exec::{Exec, FileStat};

/// Who may change a file. The id is that of the initial user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    /// Type and permissions, as `stat(2)` has them.
    pub mode: u16,
}

impl Owner {
    /// Whether the file is root's, and neither a group nor everybody may write to it (`S_IWGRP`, `S_IWOTH`,
    /// `inode(7)`). The mask of an access control list stands where the group's permissions do (`acl(5)`).
    pub fn is_root_alone(self) -> bool {
        self.uid == 0 && self.mode & 0o022 == 0
    }
}

impl From<FileStat> for Owner {
    fn from(stat: FileStat) -> Self {
        Self {
            uid: stat.uid,
            mode: stat.mode,
        }
    }
}

/// The file of a script, links followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptFile {
    pub path: Arc<[u8]>,
    pub owner: Owner,
}

/// What no record of an exec tells, and the host was asked for. It is asked only where a name makes it worth while
/// ([`bears_known_name`](super::firewall::managers::bears_known_name)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// `None` too where it is no script.
    pub script: Option<ScriptFile>,
    /// The environment has the loader or the interpreter load code from where packages put none.
    pub loads_foreign_code: Option<bool>,
    /// No file in which packages or the administrator keep units has the unit: somebody made it up
    /// (`systemd-run(1)`).
    pub unit_is_transient: Option<bool>,
}

/// The same of one process of a lineage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Of the executable.
    pub owner: Option<Owner>,
    /// The executable had been removed when it was run, or stood in no directory.
    pub is_gone: bool,
    pub cgroup: Option<Arc<Cgroup>>,
    pub provenance: Option<Arc<Provenance>>,
}

impl From<&Exec> for Program {
    fn from(exec: &Exec) -> Self {
        Self {
            owner: exec.exe_stat.map(Owner::from),
            is_gone: exec.exe_deleted || exec.exe_memfd,
            cgroup: exec.cgroup.clone(),
            provenance: exec.provenance.clone(),
        }
    }
}

/// Programs to begin with, for tests.
#[cfg(test)]
pub(crate) mod sample {
    use super::{Arc, Cgroup, Owner, Program, Provenance, ScriptFile};

    /// As packages leave files.
    pub(crate) const ROOTS: Owner = Owner {
        uid: 0,
        mode: 0o100_755,
    };

    /// A program of a package, in that cgroup, with nothing strange about it.
    pub(crate) fn packaged(cgroup: &str) -> Program {
        Program {
            owner: Some(ROOTS),
            is_gone: false,
            cgroup: Cgroup::parse(cgroup.as_bytes()).map(Arc::new),
            provenance: Some(Arc::new(Provenance {
                script: None,
                loads_foreign_code: Some(false),
                unit_is_transient: Some(false),
            })),
        }
    }

    /// The same of a script.
    pub(crate) fn packaged_script(path: &str, cgroup: &str) -> Program {
        Program {
            provenance: Some(Arc::new(Provenance {
                script: Some(ScriptFile {
                    path: path.as_bytes().into(),
                    owner: ROOTS,
                }),
                loads_foreign_code: Some(false),
                unit_is_transient: Some(false),
            })),
            ..packaged(cgroup)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_roots_alone_when_nobody_else_may_write() {
        for (uid, mode, expected) in [
            (0, 0o100_755, true),
            (0, 0o100_555, true),
            (0, 0o104_755, true),
            (0, 0o100_775, false),
            (0, 0o100_757, false),
            (1000, 0o100_755, false),
        ] {
            assert_eq!(
                Owner { uid, mode }.is_root_alone(),
                expected,
                "{uid} {mode:o}"
            );
        }
    }
}
