//! The processes of an event: what ran, and who ran it, as the native fields have them.

use serde_json::Value;

use crate::config::EventKind;
use crate::delivery::event::Event;

/// The execs that an event lists, in the order of time.
pub(super) fn execs<'a>(event: &'a Event<'_>) -> &'a [Value] {
    match event.value().get("execs") {
        Some(Value::Array(execs)) => execs,
        _ => &[],
    }
}

/// A process as far as an event tells of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Process<'a> {
    pub(super) pid: Option<u64>,
    pub(super) executable: Option<&'a str>,
    pub(super) command_line: Option<&'a str>,
}

impl<'a> Process<'a> {
    /// One of a lineage, or an exec.
    fn of(value: &'a Value) -> Self {
        Self {
            pid: value["pid"].as_u64(),
            executable: value["executable"].as_str(),
            command_line: value["command_line"].as_str(),
        }
    }

    /// What the last exec ran; where no exec is listed, the executable by which an alert is grouped.
    pub(super) fn last(event: &'a Event<'_>) -> Self {
        match execs(event).last() {
            Some(exec) => Self::of(exec),
            None => Self {
                executable: grouped_by(event, "/process_path"),
                ..Self::default()
            },
        }
    }

    /// Who ran that exec.
    pub(super) fn parent_of(event: &'a Event<'_>, exec: &Value) -> Option<Self> {
        let parent = match event.kind() {
            EventKind::Alert => alert_parent(event),
            EventKind::Finding => finding_parent(event, exec),
            EventKind::Summary | EventKind::Gap | EventKind::Heartbeat | EventKind::Own => None,
        }?;
        (parent != Self::default()).then_some(parent)
    }

    pub(super) fn name(&self) -> Option<&'a str> {
        self.executable.map(name)
    }
}

/// The last part of a path; of one that ends in `/` all of it.
pub(super) fn name(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some((_, name)) if !name.is_empty() => name,
        _ => path,
    }
}

/// All execs of an alert have the same parent.
fn alert_parent<'a>(event: &'a Event<'_>) -> Option<Process<'a>> {
    let group = Process {
        pid: event
            .text("/parent_process_id")
            .and_then(|pid| pid.parse().ok()),
        executable: grouped_by(event, "/parent_process_path"),
        command_line: event.text("/parent/ancestry/0/command_line"),
    };
    Some(match event.value().get("parent") {
        Some(parent) => Process {
            pid: parent["pid"].as_u64(),
            executable: parent["executable"].as_str(),
            ..group
        },
        None => group,
    })
}

/// The one behind the exec in the lineage, if the lineage is that exec's.
fn finding_parent<'a>(event: &'a Event<'_>, exec: &Value) -> Option<Process<'a>> {
    let lineage = event.value().get("lineage")?.as_array()?;
    let pid = exec["pid"].as_u64()?;
    let at = lineage
        .iter()
        .position(|process| process["pid"].as_u64() == Some(pid))?;
    lineage.get(at + 1).map(Process::of)
}

/// In these fields `null` says that nobody knows.
fn grouped_by<'a>(event: &'a Event<'_>, pointer: &str) -> Option<&'a str> {
    event.text(pointer).filter(|path| *path != "null")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_last_part_of_a_path() {
        for (path, expected) in [
            ("/a/b", "b"),
            ("b", "b"),
            ("/", "/"),
            ("/a/", "/a/"),
            ("", ""),
        ] {
            assert_eq!(name(path), expected);
        }
    }
}
