//! The engine, fed with what the oracle is fed with, and its alerts in the oracle's words.

use std::sync::{Arc, LazyLock};

use uuid::Uuid;
use wallwatch::config::rule_file;
use wallwatch::pipeline::alert::{Alert, AlertState, Excerpt, WindowMode};
use wallwatch::pipeline::detect::{Detector, DetectorCounters, Limits, Rule};
use wallwatch::pipeline::exec::{Argv, ExePath, Exec, ExecGuid, Time, Unknown};
use wallwatch::recording;

use super::oracle::{Delivery, Row};

/// The rule that is part of the program, in both windows.
static RULES: LazyLock<[Rule; 2]> = LazyLock::new(|| {
    [WindowMode::Sliding, WindowMode::Tumbling].map(|mode| {
        let mut spec = rule_file::built_in().unwrap();
        spec.window.mode = mode;
        Rule::compile(spec).unwrap()
    })
});

/// An exec with nothing in it that the rule looks at.
static BLANK: LazyLock<Exec> = LazyLock::new(|| {
    let line = br#"{"time":0,"pid":0,"ppid":0,"uid":0,"exe":null,"argv":[],"parent_exe":null}"#;
    recording::parse_line(line).unwrap()
});

/// What the engine made of a stream.
pub(crate) struct Reported {
    /// The last line of each alert, in the order of the oracle's rows.
    pub(crate) rows: Vec<Finished>,
    /// First lines of alerts.
    pub(crate) opened: usize,
    pub(crate) counters: DetectorCounters,
}

/// One finished row. Its command lines are left to [`Finished::difference`].
pub(crate) struct Finished {
    row: Row,
    processes_exec: Vec<Excerpt>,
    /// Command lines and execs that are counted and not listed.
    omitted: u64,
}

pub(crate) fn run(mode: WindowMode, deliveries: &[Delivery]) -> Reported {
    let rule = match mode {
        WindowMode::Sliding => &RULES[0],
        WindowMode::Tumbling => &RULES[1],
    };
    let mut detector = Detector::new(rule.clone(), Limits::default());
    let mut reported = Reported {
        rows: Vec::new(),
        opened: 0,
        counters: DetectorCounters::default(),
    };
    let mut now = Time::default();
    for delivery in deliveries {
        now = Time {
            boot_ns: delivery.arrival_boot,
            wall_ns: delivery.arrival_wall,
        };
        detector.handle_timeout(now);
        detector.handle_exec(&exec(delivery), now);
        reported.take(&mut detector);
    }
    detector.handle_end(now);
    reported.take(&mut detector);
    reported.counters = detector.counters();
    reported.rows.sort_by(|one, other| one.row.cmp(&other.row));
    reported
}

fn exec(delivery: &Delivery) -> Exec {
    let path = |path: &Option<Vec<u8>>| match path {
        Some(path) => ExePath::Known(path.as_slice().into()),
        None => ExePath::Unknown(Unknown::Fault),
    };
    let mut exec = BLANK.clone();
    exec.time = Time {
        boot_ns: delivery.boot,
        wall_ns: delivery.wall,
    };
    exec.guid = ExecGuid::Given(Uuid::parse_str(&delivery.guid).unwrap());
    exec.process.tgid = delivery.pid;
    exec.parent.tgid = delivery.parent_pid;
    exec.user = delivery.user.as_deref().map(Arc::from);
    exec.dest = delivery.dest.as_deref().map(Arc::from);
    exec.exe = path(&delivery.path);
    exec.parent_exe = path(&delivery.parent_path);
    exec.argv = Argv::from_arguments(delivery.argv.iter().map(Vec::as_slice));
    exec
}

impl Reported {
    fn take(&mut self, detector: &mut Detector) {
        while let Some(alert) = detector.next_alert() {
            self.opened += usize::from(alert.revision == 0);
            if alert.state == AlertState::Closed {
                self.rows.push(Finished::of(alert));
            }
        }
    }
}

impl Finished {
    fn of(alert: Alert) -> Self {
        let key = alert.key;
        let time = |time: Time| (time.boot_ns, time.wall_ns);
        let row = Row {
            key: [
                key.process_name.to_vec(),
                key.parent_process_name.to_vec(),
                key.parent_process_id.to_string().into(),
                key.dest.as_bytes().to_vec(),
                key.user.as_bytes().to_vec(),
                key.parent_process_path.to_vec(),
                key.process_path.to_vec(),
            ],
            first_seen: time(alert.first_seen),
            last_seen: time(alert.last_seen),
            processes_exec: Vec::new(),
            ports: alert.ports,
            guids: alert.guids.iter().map(Uuid::to_string).collect(),
            pids: alert.pids.iter().map(u32::to_string).collect(),
            port_count: alert.port_count,
            count: alert.count,
        };
        Self {
            row,
            processes_exec: alert.processes_exec,
            omitted: alert.blindness.processes_exec_omitted + alert.blindness.guids_omitted,
        }
    }

    pub(crate) fn row(&self) -> &Row {
        &self.row
    }

    pub(crate) fn is_bounded(&self) -> bool {
        self.omitted > 0
    }

    /// How this row differs from the oracle's. Of one that leaves something out by its bounds, what it lists
    /// must be of the oracle's, and everything counted the same.
    pub(crate) fn difference(&self, expected: &Row) -> Option<String> {
        let mut row = self.row.clone();
        let mut expected = expected.clone();
        let shown = |excerpt: &Excerpt, text: &Vec<u8>| shows(excerpt, text);
        let texts_agree = if self.is_bounded() {
            let is_listed =
                |listed: &[String], all: &[String]| listed.iter().all(|it| all.contains(it));
            let agree =
                is_listed(&row.guids, &expected.guids) && is_listed(&row.pids, &expected.pids);
            row.guids.clone_from(&expected.guids);
            row.pids.clone_from(&expected.pids);
            let mut excerpts = self.processes_exec.iter();
            agree && excerpts.all(|it| expected.processes_exec.iter().any(|text| shown(it, text)))
        } else {
            let mut pairs = self.processes_exec.iter().zip(&expected.processes_exec);
            self.processes_exec.len() == expected.processes_exec.len()
                && pairs.all(|(excerpt, text)| shown(excerpt, text))
        };
        let texts = std::mem::take(&mut expected.processes_exec);
        if texts_agree && row == expected {
            return None;
        }
        let texts: Vec<_> = texts
            .iter()
            .map(|text| String::from_utf8_lossy(text))
            .collect();
        let of_engine: Vec<_> = self
            .processes_exec
            .iter()
            .map(|excerpt| String::from_utf8_lossy(&excerpt.parts[0].bytes))
            .collect();
        Some(format!(
            "engine {row:#?}\n{of_engine:#?}\noracle {expected:#?}\n{texts:#?}"
        ))
    }
}

/// Whether the excerpt is of this text, and whole if the text is short.
fn shows(excerpt: &Excerpt, text: &[u8]) -> bool {
    let of_text = excerpt.parts.iter().all(|part| {
        let rest = text.get(part.offset as usize..).unwrap_or_default();
        rest.starts_with(&part.bytes)
    });
    let is_whole = excerpt.parts.len() == 1 && excerpt.parts[0].bytes.len() == text.len();
    of_text && excerpt.bytes_full == text.len() as u64 && (is_whole || text.len() > 4096)
}
