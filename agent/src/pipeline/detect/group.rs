//! The `by` list: which execs belong together, and how an alert about them is named for good.

use std::sync::Arc;

use uuid::Uuid;

use crate::pipeline::alert::GroupKey;
use crate::pipeline::exec::{ExePath, Exec, basename};

/// What an unknown `dest`, `user` or `process` is called, as in the data model.
pub const UNKNOWN: &str = "unknown";

/// What any other unknown value is called.
pub const NULL: &[u8] = b"null";

/// Namespace of the ids of alerts: a random UUID, chosen once. To change it is to rename every
/// alert.
const ALERT_NAMESPACE: Uuid = Uuid::from_u128(0x17803a17_676a_450f_8b91_37a7951bfe32);

/// One group in one window.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    pub key: GroupKey,
    /// Tumbling windows only: which bucket, by its end.
    pub bucket_end: Option<u64>,
}

impl Group {
    /// Memory to which it refers.
    pub fn bytes(&self) -> usize {
        let GroupKey {
            process_name,
            parent_process_name,
            parent_process_id: _,
            dest,
            user,
            parent_process_path,
            process_path,
        } = &self.key;
        let paths = process_path.len() + parent_process_path.len();
        let names = process_name.len() + parent_process_name.len();
        paths + names + dest.len() + user.len()
    }
}

/// The seven values by which `exec` is grouped.
pub fn group_key(exec: &Exec) -> GroupKey {
    let (process_path, process_name) = path_and_name(&exec.exe);
    let (parent_process_path, parent_process_name) = path_and_name(&exec.parent_exe);
    GroupKey {
        process_name,
        parent_process_name,
        parent_process_id: exec.parent.tgid,
        dest: exec.dest.clone().unwrap_or_else(|| UNKNOWN.into()),
        user: exec.user.clone().unwrap_or_else(|| UNKNOWN.into()),
        parent_process_path,
        process_path,
    }
}

/// What identifies the host of `exec` for good.
pub fn host_id(exec: &Exec) -> &str {
    let known = exec.host_id.as_deref().or(exec.dest.as_deref());
    known.unwrap_or(UNKNOWN)
}

/// The id of the alert about a group whose first exec was `first`: UUIDv5 over ten values, each
/// after its length in eight bytes, most significant first. Numbers are decimal, `first` is in
/// lower case with hyphens.
pub fn alert_id(rule_id: &str, host_id: &str, key: &GroupKey, first: Uuid) -> Uuid {
    let parent_process_id = key.parent_process_id.to_string();
    let first = first.to_string();
    let values: [&[u8]; 10] = [
        rule_id.as_bytes(),
        host_id.as_bytes(),
        &key.process_name,
        &key.parent_process_name,
        parent_process_id.as_bytes(),
        key.dest.as_bytes(),
        key.user.as_bytes(),
        &key.parent_process_path,
        &key.process_path,
        first.as_bytes(),
    ];
    let mut name = Vec::new();
    for value in values {
        name.extend_from_slice(&(value.len() as u64).to_be_bytes());
        name.extend_from_slice(value);
    }
    Uuid::new_v5(&ALERT_NAMESPACE, &name)
}

fn path_and_name(exe: &ExePath) -> (Arc<[u8]>, Arc<[u8]>) {
    match exe {
        ExePath::Known(path) => (path.clone(), basename(path).into()),
        ExePath::Unknown(_) => (NULL.into(), NULL.into()),
    }
}
