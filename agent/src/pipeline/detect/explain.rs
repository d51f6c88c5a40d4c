//! Why one exec matched the rule or did not, and how far its group has come. For whoever reads a replay: the
//! normal way of an exec does not come by here.

use std::ops::Range;
use std::sync::Arc;

use uuid::Uuid;

use super::group::{Group, group_key};
use super::{Detector, process_of};
use crate::pipeline::alert::AlertState;
use crate::pipeline::exec::Exec;

/// What the rule makes of one exec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Each clause over `process` in the order in which they are tried, and which bytes it holds for; `None`
    /// where it does not hold.
    pub clauses: Vec<(String, Option<Range<usize>>)>,
    /// The pattern that excludes the parent.
    pub excluded_by: Option<String>,
    /// What `rex` takes from the command line, whether the rest matches or not.
    pub port: Option<Arc<str>>,
    /// `None` when the exec does not match.
    pub group: Option<Standing>,
}

/// How far a group has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The distinct ports that count together with the exec, in string order; of an open alert all of its.
    pub ports: Vec<String>,
    /// So many are enough.
    pub port_count_min: usize,
    /// The alert that is open.
    pub alert: Option<Uuid>,
    /// The filter that withholds that alert.
    pub suppressed_by: Option<String>,
    /// It came too late to be counted with others of its time.
    pub is_late: bool,
}

impl Detector {
    /// Why `exec` matched or did not. To be asked when it has been handled, and before the next one.
    pub fn explain(&self, exec: &Exec) -> Explanation {
        let mut process = Vec::new();
        process_of(exec, &mut process);
        let clauses = self.rule.clauses();
        let parent_path = exec.parent_exe.known();
        let extracted = self.rule.extractor().extract(&process);
        Explanation {
            clauses: clauses.verdicts(&process),
            excluded_by: parent_path
                .and_then(|path| clauses.excluding(path))
                .map(str::to_owned),
            port: extracted.map(|extracted| extracted.port),
            group: clauses
                .hold(&process, parent_path)
                .then(|| self.standing(exec)),
        }
    }

    fn standing(&self, exec: &Exec) -> Standing {
        let window = self.threshold.window;
        let group = Group {
            key: group_key(exec),
            bucket_end: window.bucket_end(exec.time),
        };
        let finding = self.findings.get(&group);
        let (ports, alert) = finding.map_or_else(Default::default, |finding| {
            finding.standing(window.clock(exec.time))
        });
        let line = finding
            .filter(|_| alert.is_some())
            .and_then(|finding| self.line_of(finding, AlertState::Open));
        let suppressed_by =
            line.and_then(|(line, fits)| self.suppressing(&line, &fits).map(str::to_owned));
        Standing {
            ports: ports.into_iter().map(str::to_owned).collect(),
            port_count_min: self.threshold.port_count_min,
            alert: alert.map(|alert| alert.id),
            suppressed_by,
            is_late: finding.is_none_or(|finding| finding.is_late(exec.time)),
        }
    }
}
