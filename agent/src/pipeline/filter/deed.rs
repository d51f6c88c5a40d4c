//! What a filter is tried on.

use super::Field;
use crate::pipeline::alert::Ancestor;
use crate::pipeline::cgroup::Cgroup;
use crate::pipeline::exec::basename;
use crate::pipeline::firewall::origin::Origin;

/// One exec, change or edit and who did it; what is not known is `None`.
#[derive(Clone, Copy, Default)]
pub struct Deed<'a> {
    pub user: Option<&'a str>,
    pub process_path: Option<&'a [u8]>,
    pub parent_process_path: Option<&'a [u8]>,
    pub parent_process_id: Option<u32>,
    /// The whole command line; `None` when it was cut.
    pub process: Option<&'a [u8]>,
    pub cgroup: Option<&'a Cgroup>,
    /// From the process up.
    pub lineage: &'a [Ancestor],
    pub origin: Option<&'a Origin>,
    /// In words.
    pub change: Option<&'a str>,
    /// Of the file that was edited.
    pub path: Option<&'a [u8]>,
}

/// What is of the finding as a whole.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    /// Each of the names that it has.
    pub rule: &'a [&'a str],
    pub severity: &'a str,
    pub dest: Option<&'a str>,
    /// `None` where ports are not gathered.
    pub ports: Option<&'a [String]>,
}

impl Deed<'_> {
    /// Whether one of the field's values holds.
    pub(super) fn any(&self, field: Field, holds: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let unit = || {
            let of_cgroup = self.cgroup.and_then(|cgroup| cgroup.unit.as_deref());
            of_cgroup.or_else(|| self.origin?.unit.as_deref())
        };
        match field {
            Field::User => self.user.is_some_and(|user| holds(user.as_bytes())),
            Field::ProcessName => self.process_path.is_some_and(|path| holds(basename(path))),
            Field::ProcessPath => self.process_path.is_some_and(holds),
            Field::ParentProcessName => self
                .parent_process_path
                .is_some_and(|path| holds(basename(path))),
            Field::ParentProcessPath => self.parent_process_path.is_some_and(holds),
            Field::ParentProcessId => self
                .parent_process_id
                .is_some_and(|pid| holds(pid.to_string().as_bytes())),
            Field::ProcessesExec | Field::CommandRegex => self.process.is_some_and(holds),
            Field::Lineage => self.lineage.iter().any(|ancestor| {
                let script = ancestor.script.as_deref();
                let mut files = [ancestor.exe.known(), script].into_iter().flatten();
                files.any(&mut *holds)
            }),
            Field::Origin => self
                .origin
                .is_some_and(|origin| holds(origin.kind.as_str().as_bytes())),
            Field::OriginExecutable => self
                .origin
                .and_then(|origin| origin.exe.as_deref())
                .is_some_and(holds),
            Field::Unit => unit().is_some_and(|unit| holds(unit.as_bytes())),
            Field::Container => self
                .cgroup
                .and_then(|cgroup| cgroup.container.as_ref())
                .is_some_and(|container| holds(container.id.as_bytes())),
            Field::Change => self.change.is_some_and(|change| holds(change.as_bytes())),
            Field::Path => self.path.is_some_and(holds),
            Field::Rule | Field::Severity | Field::Dest | Field::Ports => true,
        }
    }
}

impl Row<'_> {
    /// Whether the field holds: of several names one, of several ports each.
    pub(super) fn fits(&self, field: Field, holds: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        match field {
            Field::Rule => self.rule.iter().any(|name| holds(name.as_bytes())),
            Field::Severity => holds(self.severity.as_bytes()),
            Field::Dest => self.dest.is_some_and(|dest| holds(dest.as_bytes())),
            Field::Ports => self
                .ports
                .is_some_and(|ports| ports.iter().all(|port| holds(port.as_bytes()))),
            Field::User
            | Field::ProcessName
            | Field::ProcessPath
            | Field::ParentProcessName
            | Field::ParentProcessPath
            | Field::ParentProcessId
            | Field::ProcessesExec
            | Field::CommandRegex
            | Field::Lineage
            | Field::Origin
            | Field::OriginExecutable
            | Field::Unit
            | Field::Container
            | Field::Change
            | Field::Path => true,
        }
    }
}
