//! Which executable a process was last seen with: audit events name the parent by its number alone.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::exec::set_parent;
use crate::pipeline::exec::Exec;

/// `PATH_MAX`, `include/uapi/linux/limits.h`: a longer one is no path.
const PATH_BYTES_MAX: usize = 4096;
/// Processes of one generation. When so many are known, those that were not asked for since the last time are
/// forgotten.
const PROCESSES_MAX: usize = 1 << 16;

/// Host and pid.
type Key = (Arc<str>, u32);

type Generation = HashMap<Key, Arc<[u8]>, RandomState>;

/// The last executables, at most two generations of them.
#[derive(Default)]
pub(super) struct Parents {
    young: Generation,
    old: Generation,
    forgotten: u64,
}

impl Parents {
    /// `pid` runs `path`, as the log has it.
    pub(super) fn saw(&mut self, host: &Arc<str>, pid: u32, path: &[u8]) {
        if path.len() > PATH_BYTES_MAX {
            return;
        }
        if let Some(known) = self.young.get_mut(&(host.clone(), pid)) {
            if **known != *path {
                *known = path.into();
            }
            return;
        }
        self.keep((host.clone(), pid), path.into());
    }

    /// Fills in the parent of `exec` when it was seen.
    pub(super) fn complete(&mut self, host: &Arc<str>, exec: &mut Exec) {
        let key = (host.clone(), exec.parent.tgid);
        if let Some(path) = self.young.get(&key) {
            set_parent(exec, path);
        } else if let Some(path) = self.old.remove(&key) {
            set_parent(exec, &path);
            self.keep(key, path);
        }
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn keep(&mut self, key: Key, path: Arc<[u8]>) {
        if self.young.len() >= PROCESSES_MAX {
            let oldest = mem::replace(&mut self.old, mem::take(&mut self.young));
            self.forgotten += oldest.len() as u64;
        }
        self.old.remove(&key);
        self.young.insert(key, path);
    }
}

#[cfg(test)]
mod tests {
    use super::super::exec::bare;
    use super::*;

    fn parent_of(parents: &mut Parents, host: &str, ppid: u32) -> Option<Vec<u8>> {
        let mut exec = bare(0, 1, ppid);
        parents.complete(&host.into(), &mut exec);
        exec.parent_exe.known().map(<[u8]>::to_vec)
    }

    #[test]
    fn a_parent_is_what_it_ran_last_on_its_host() {
        let mut parents = Parents::default();
        parents.saw(&"a".into(), 7, b"/usr/bin/bash");
        parents.saw(&"a".into(), 7, b"/tmp/x (deleted)");
        assert_eq!(parent_of(&mut parents, "a", 7), Some(b"/tmp/x".to_vec()));
        assert_eq!(parent_of(&mut parents, "b", 7), None);
        assert_eq!(parent_of(&mut parents, "a", 8), None);
    }

    #[test]
    fn those_that_are_asked_for_stay_and_the_others_are_forgotten_and_counted() {
        let mut parents = Parents::default();
        let host: Arc<str> = "a".into();
        for pid in 0..3 * PROCESSES_MAX as u32 {
            parents.saw(&host, pid, b"/bin/x");
            assert!(parent_of(&mut parents, "a", 0).is_some());
        }
        assert_eq!(parent_of(&mut parents, "a", 1), None);
        assert!(parents.forgotten() > 0);
        assert!(parents.young.len() + parents.old.len() <= 2 * PROCESSES_MAX);
    }
}
