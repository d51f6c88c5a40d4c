//! An executable at a path that no system call would take: longer than `PATH_MAX`, or behind more mounts
//! than a walk follows. Nothing comes to stand there by accident; it keeps a path from being read, and so
//! is told by itself, whatever was run.

use std::collections::VecDeque;
use std::sync::Arc;

use super::excerpt::excerpt;
use super::group::{alert_id, group_key, host_id};
use super::hit::evidence;
use crate::pipeline::alert::{
    Alert, AlertState, Blindness, ClauseMatch, Excerpt, RuleIdentity, Severity, WindowMode,
};
use crate::pipeline::exec::{ArgvSource, ExePath, Exec, ProcessKey, Unknown};

/// Parents of which it was told: the next such exec of one of them is only counted.
const TOLD_MAX: usize = 1024;

/// Bytes of the command line that are looked at for the evidence.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// The stage beside the detector.
#[derive(Debug)]
pub struct OverlongPaths {
    rule: Arc<RuleIdentity>,
    /// Oldest first.
    told: VecDeque<ProcessKey>,
    alerts: VecDeque<Alert>,
    /// Execs that were not told, because one of the same parent had been.
    repeated: u64,
}

impl Default for OverlongPaths {
    fn default() -> Self {
        Self {
            rule: Arc::new(RuleIdentity {
                id: "4f3e5d0c-8b51-4b7e-9d5a-6a0c2f7be913".to_owned(),
                name: "Executable Path Beyond PATH_MAX".to_owned(),
                version: 1,
                severity: Severity::Medium,
                risk_score: 40,
                mitre_technique_id: vec!["T1564".to_owned()],
            }),
            told: VecDeque::new(),
            alerts: VecDeque::new(),
            repeated: 0,
        }
    }
}

impl OverlongPaths {
    pub fn handle_exec(&mut self, exec: &Exec) {
        let whose = match (&exec.exe, &exec.parent_exe) {
            (ExePath::Unknown(Unknown::Unfinished), _) => "process_path",
            (_, ExePath::Unknown(Unknown::Unfinished)) => "parent_process_path",
            _ => return,
        };
        if self.told.contains(&exec.parent) {
            self.repeated += 1;
            return;
        }
        if self.told.len() >= TOLD_MAX {
            self.told.pop_front();
        }
        self.told.push_back(exec.parent);
        self.alerts.push_back(self.alert(exec, whose));
    }

    pub fn next_alert(&mut self) -> Option<Alert> {
        self.alerts.pop_front()
    }

    /// Execs that were not told, because one of the same parent had been.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    fn alert(&self, exec: &Exec, whose: &str) -> Alert {
        let key = group_key(exec);
        let text = command_line(exec);
        Alert {
            id: alert_id(&self.rule.id, host_id(exec), &key, exec.guid()),
            revision: 0,
            state: AlertState::Closed,
            rule: Arc::clone(&self.rule),
            window_mode: WindowMode::Sliding,
            window_span_s: 0,
            first_seen: exec.time,
            last_seen: exec.time,
            key,
            processes_exec: vec![text.clone()],
            ports: Vec::new(),
            guids: vec![exec.guid()],
            pids: vec![exec.process.tgid],
            port_count: 0,
            count: 1,
            execs: vec![evidence(exec, text, None)],
            matched: vec![ClauseMatch {
                clause: format!("{whose} is longer than 4095 bytes, or behind too many mounts"),
                offset: None,
                found: Unknown::Unfinished.as_str().into(),
            }],
            parent: exec.parent,
            parent_unknown: match exec.parent_exe {
                ExePath::Known(_) => None,
                ExePath::Unknown(reason) => Some(reason),
            },
            parent_deleted: exec.parent_deleted,
            parent_memfd: exec.parent_memfd,
            ancestry: Vec::new(),
            origin: Vec::new(),
            blindness: Blindness {
                truncated: u64::from(exec.argv.truncated()),
                faults: u64::from(matches!(
                    exec.argv.source,
                    ArgvSource::Unread | ArgvSource::Procfs
                )),
                ..Blindness::default()
            },
            redacted: 0,
        }
    }
}

fn command_line(exec: &Exec) -> Excerpt {
    let mut text = Vec::new();
    exec.argv.join_into(&mut text);
    text.truncate(TEXT_BYTES_MAX);
    excerpt(&text, &[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::exec::sample;

    #[test]
    fn an_unfinished_path_is_told_once_for_each_parent() {
        let mut paths = OverlongPaths::default();
        let mut exec = sample::exec(&[b"./beyond", b"-x"]);
        paths.handle_exec(&exec);
        assert_eq!(paths.next_alert(), None, "not recorded is another reason");
        exec.exe = ExePath::Unknown(Unknown::Unfinished);
        paths.handle_exec(&exec);
        paths.handle_exec(&exec);
        let alert = paths.next_alert().unwrap();
        assert_eq!(alert.rule.name, "Executable Path Beyond PATH_MAX");
        assert_eq!(alert.execs[0].process_text.parts[0].bytes, b"./beyond -x");
        assert_eq!((paths.next_alert(), paths.repeated()), (None, 1));
        exec.parent.start_ns = 9;
        exec.exe = ExePath::Known(b"/bin/x".as_slice().into());
        exec.parent_exe = ExePath::Unknown(Unknown::Unfinished);
        paths.handle_exec(&exec);
        let alert = paths.next_alert().unwrap();
        assert!(alert.matched[0].clause.starts_with("parent_process_path"));
    }

    #[test]
    fn parents_are_remembered_within_a_bound() {
        let mut paths = OverlongPaths::default();
        let mut exec = sample::exec(&[b"./beyond"]);
        exec.exe = ExePath::Unknown(Unknown::Unfinished);
        for start_ns in 0..3 * TOLD_MAX as u64 {
            exec.parent.start_ns = start_ns;
            paths.handle_exec(&exec);
            assert!(paths.next_alert().is_some());
        }
        assert_eq!(paths.told.len(), TOLD_MAX);
    }
}
