//! Names of user ids, from the host's user database.

use std::collections::HashMap;
use std::sync::Arc;

use nix::unistd::{Uid, User};

use crate::pipeline::exec::Time;

/// A name is asked for again after a minute, so that a renamed user shows.
const FRESH_NS: u64 = 60_000_000_000;

/// Most ids that are remembered; beyond it all are forgotten and asked for again.
const IDS_MAX: usize = 4096;

/// A bounded memory of names. Without one every exec would open `/etc/passwd`.
#[derive(Debug, Default)]
pub struct Users {
    names: HashMap<u32, Entry>,
}

#[derive(Debug)]
struct Entry {
    name: Option<Arc<str>>,
    asked_ns: u64,
}

impl Users {
    /// The user's name; `None` when the host knows no such user or the database cannot be read.
    pub fn name(&mut self, uid: u32, now: Time) -> Option<Arc<str>> {
        if let Some(entry) = self.names.get(&uid)
            && now.boot_ns.saturating_sub(entry.asked_ns) < FRESH_NS
        {
            return entry.name.clone();
        }
        if self.names.len() >= IDS_MAX {
            self.names.clear();
        }
        let name = match User::from_uid(Uid::from_raw(uid)) {
            Ok(user) => user.map(|user| Arc::from(user.name)),
            // The database does not answer: what it said before is still the best there is.
            Err(_) => self.names.remove(&uid).and_then(|entry| entry.name),
        };
        let entry = Entry {
            name: name.clone(),
            asked_ns: now.boot_ns,
        };
        self.names.insert(uid, entry);
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_a_name_and_a_stranger_has_none() {
        let mut users = Users::default();
        let now = Time::default();
        assert_eq!(users.name(0, now).as_deref(), Some("root"));
        assert_eq!(users.name(3_999_999_999, now), None);
        assert_eq!(users.names.len(), 2);
    }
}
