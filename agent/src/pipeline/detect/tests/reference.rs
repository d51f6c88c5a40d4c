//! The analytic written down naively: every exec is kept, everything is computed anew.

use std::collections::BTreeSet;

use super::*;

/// Values that a sample's port is taken from; the last is none that the rule looks for.
pub(super) const PORTS: [&str; 5] = ["3269", "636", "989", "8443", "80"];

pub(super) const PORT_COUNT_MIN: usize = 3;

/// One exec, as far as the properties vary it.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) at: u64,
    pub(super) number: u128,
    pub(super) parent: u32,
    pub(super) pid: u32,
    pub(super) port: usize,
    pub(super) action: char,
}

impl Sample {
    pub(super) fn exec(&self) -> Exec {
        let mut exec = shell(self.at, &self.script());
        exec.guid = ExecGuid::Given(Uuid::from_u128(self.number));
        exec.process.tgid = self.pid;
        exec.parent.tgid = self.parent;
        exec
    }

    fn port(&self) -> Option<&'static str> {
        PORTS[..4].get(self.port).copied()
    }

    fn script(&self) -> String {
        let action = format!("-{}", self.action);
        command(PORTS[self.port]).replace("-I", &action)
    }
}

/// The last line of an alert.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finished {
    pub(super) parent: u32,
    pub(super) first_seen: u64,
    pub(super) last_seen: u64,
    pub(super) ports: Vec<String>,
    pub(super) count: u64,
    pub(super) processes_exec: Vec<String>,
    pub(super) guids: Vec<u128>,
    pub(super) pids: Vec<String>,
}

impl Finished {
    /// From all execs of an alert.
    fn of(samples: &[Sample]) -> Self {
        let distinct = |values: &mut dyn Iterator<Item = String>| -> Vec<String> {
            values.collect::<BTreeSet<_>>().into_iter().collect()
        };
        let ports = samples.iter().filter_map(Sample::port);
        let guids: BTreeSet<u128> = samples.iter().map(|sample| sample.number).collect();
        Self {
            parent: samples[0].parent,
            first_seen: samples.iter().map(|sample| sample.at).min().unwrap(),
            last_seen: samples.iter().map(|sample| sample.at).max().unwrap(),
            ports: distinct(&mut ports.map(str::to_owned)),
            count: samples.len() as u64,
            processes_exec: distinct(&mut samples.iter().map(|s| format!("sh -c {}", s.script()))),
            guids: guids.into_iter().collect(),
            pids: distinct(&mut samples.iter().map(|sample| sample.pid.to_string())),
        }
    }

    pub(super) fn of_line(line: &Alert) -> Self {
        let text = |excerpt: &crate::pipeline::alert::Excerpt| {
            String::from_utf8(excerpt.parts[0].bytes.clone()).unwrap()
        };
        Self {
            parent: line.key.parent_process_id,
            first_seen: line.first_seen.boot_ns,
            last_seen: line.last_seen.boot_ns,
            ports: line.ports.clone(),
            count: line.count,
            processes_exec: line.processes_exec.iter().map(text).collect(),
            guids: line.guids.iter().map(|guid| guid.as_u128()).collect(),
            pids: line.pids.iter().map(u32::to_string).collect(),
        }
    }
}

/// What the reference finds.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    pub(super) alerts: Vec<Finished>,
    /// Numbers of the samples at which an alert opens, in the order of time.
    pub(super) opened_by: BTreeSet<u128>,
}

/// Of samples in the order of time.
pub(super) fn sliding(samples: &[Sample], span: u64) -> Expected {
    let mut expected = Expected::default();
    for parent in parents(samples) {
        let group: Vec<Sample> = of_parent(samples, parent);
        let mut alert: Option<Vec<Sample>> = None;
        let mut begin = 0;
        for (index, sample) in group.iter().enumerate() {
            if let Some(members) = &mut alert {
                if sample.at - members[members.len() - 1].at < span {
                    members.push(sample.clone());
                    continue;
                }
                expected.alerts.push(Finished::of(members));
                alert = None;
                begin = index;
            }
            let in_span = |other: &&Sample| sample.at - other.at < span;
            let window: Vec<Sample> = group[begin..=index]
                .iter()
                .filter(in_span)
                .cloned()
                .collect();
            if port_count(&window) >= PORT_COUNT_MIN {
                expected.opened_by.insert(sample.number);
                alert = Some(window);
            }
        }
        expected.alerts.extend(alert.as_deref().map(Finished::of));
    }
    expected.alerts.sort();
    expected
}

/// Of samples in the order of time.
pub(super) fn tumbling(samples: &[Sample], span: u64, offset: u64) -> Expected {
    let bucket = |sample: &Sample| (sample.at + span - offset) / span;
    let mut expected = Expected::default();
    for parent in parents(samples) {
        let group = of_parent(samples, parent);
        for members in group.chunk_by(|one, other| bucket(one) == bucket(other)) {
            let opened_at =
                (1..=members.len()).find(|&n| port_count(&members[..n]) >= PORT_COUNT_MIN);
            if let Some(n) = opened_at {
                expected.opened_by.insert(members[n - 1].number);
                expected.alerts.push(Finished::of(members));
            }
        }
    }
    expected.alerts.sort();
    expected
}

fn parents(samples: &[Sample]) -> BTreeSet<u32> {
    samples.iter().map(|sample| sample.parent).collect()
}

fn of_parent(samples: &[Sample], parent: u32) -> Vec<Sample> {
    let of_parent = samples.iter().filter(|sample| sample.parent == parent);
    of_parent.cloned().collect()
}

fn port_count(samples: &[Sample]) -> usize {
    let ports: BTreeSet<_> = samples.iter().filter_map(Sample::port).collect();
    ports.len()
}
