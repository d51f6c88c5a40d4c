//! Which cgroup an id stands for. The kernel programs send the path before the first exec from it, so that
//! it is known even when the cgroup is gone by now.

use std::collections::BTreeMap;
use std::sync::Arc;

use wallwatch_common::CGROUPS_MAX;

use crate::pipeline::cgroup::Cgroup;
use crate::pipeline::decode::CgroupPath;

/// Most cgroups that are remembered: twice as many as the kernel programs remember to have sent, for the two
/// do not forget in the same order.
const NAMES_MAX: usize = 2 * CGROUPS_MAX as usize;

/// Paths by id.
#[derive(Debug, Default)]
pub struct Cgroups {
    names: BTreeMap<u64, Named>,
    /// Rises with each use; the cgroup with the lowest was not used for longest.
    uses: u64,
    /// Cgroups forgotten for lack of room.
    evicted: u64,
}

#[derive(Debug)]
struct Named {
    cgroup: Option<Arc<Cgroup>>,
    used: u64,
}

impl Cgroups {
    pub fn learn(&mut self, sent: &CgroupPath) {
        if self.names.len() >= NAMES_MAX && !self.names.contains_key(&sent.cgroup_id) {
            self.evict();
        }
        let cgroup = sent.path.as_deref().and_then(Cgroup::parse).map(Arc::new);
        self.uses += 1;
        let used = self.uses;
        self.names.insert(sent.cgroup_id, Named { cgroup, used });
    }

    pub fn get(&mut self, id: u64) -> Option<Arc<Cgroup>> {
        let named = self.names.get_mut(&id)?;
        self.uses += 1;
        named.used = self.uses;
        named.cgroup.clone()
    }

    /// Cgroups forgotten for lack of room.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    fn evict(&mut self) {
        let oldest = self.names.iter().min_by_key(|(_, named)| named.used);
        if let Some(id) = oldest.map(|(id, _)| *id) {
            self.names.remove(&id);
            self.evicted += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(id: u64, path: &str) -> CgroupPath {
        CgroupPath {
            cgroup_id: id,
            path: Some(path.as_bytes().into()),
        }
    }

    #[test]
    fn an_id_that_is_used_again_has_its_new_path() {
        let mut cgroups = Cgroups::default();
        cgroups.learn(&sent(7, "/system.slice/cron.service"));
        cgroups.learn(&sent(7, "/user.slice"));
        assert_eq!(&*cgroups.get(7).unwrap().path, b"/user.slice");
        assert_eq!(cgroups.get(8), None);
    }

    #[test]
    fn what_was_not_used_for_longest_is_forgotten_and_counted() {
        let mut cgroups = Cgroups::default();
        for id in 0..NAMES_MAX as u64 {
            cgroups.learn(&sent(id, "/a"));
        }
        assert!(cgroups.get(0).is_some());
        cgroups.learn(&sent(u64::MAX, "/b"));
        assert_eq!(cgroups.evicted(), 1);
        assert!(cgroups.get(0).is_some());
        assert!(cgroups.get(1).is_none());
    }
}
