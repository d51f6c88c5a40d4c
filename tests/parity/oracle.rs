//! The analytic a second time, as naive as it can be said: every exec is kept, every question is asked of all
//! of them, values are plain bytes. Nothing here is used by the engine, and nothing of the engine is used here.

use std::collections::{BTreeMap, BTreeSet};

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// The patterns of the `where`, as the SPL has them; letters in lower case, for they match in either.
pub(crate) const PROCESS: [&str; 5] = [
    "*iptables *",
    "* --dport *",
    "* accept*",
    "*&>/dev/null*",
    "* tcp *",
];
const NOT_PARENT: [&str; 4] = ["/bin/*", "/lib/*", "/usr/bin/*", "/sbin/*"];
const PORTS: [&str; 6] = ["3269", "636", "989", "994", "995", "8443"];

/// One delivery of one exec.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// When it happened, nanoseconds since boot and since 1970.
    pub(crate) boot: u64,
    pub(crate) wall: u64,
    /// When it was delivered, on the same clocks.
    pub(crate) arrival_boot: u64,
    pub(crate) arrival_wall: u64,
    pub(crate) guid: String,
    pub(crate) pid: u32,
    pub(crate) parent_pid: u32,
    pub(crate) user: Option<String>,
    pub(crate) dest: Option<String>,
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) parent_path: Option<Vec<u8>>,
    pub(crate) argv: Vec<Vec<u8>>,
}

/// `process_name, parent_process_name, parent_process_id, dest, user, parent_process_path, process_path`.
pub(crate) type Key = [Vec<u8>; 7];

/// One finished row, each list in string order; the two times are boot and wall.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) key: Key,
    pub(crate) first_seen: (u64, u64),
    pub(crate) last_seen: (u64, u64),
    pub(crate) processes_exec: Vec<Vec<u8>>,
    pub(crate) ports: Vec<String>,
    pub(crate) guids: Vec<String>,
    pub(crate) pids: Vec<String>,
    pub(crate) port_count: u64,
    pub(crate) count: u64,
}

/// An exec that fits the `where`, and what the `rex` took from it.
#[derive(Clone, Debug)]
pub(crate) struct Fitting {
    pub(crate) delivery: Delivery,
    pub(crate) key: Key,
    pub(crate) process: Vec<u8>,
    pub(crate) port: Option<&'static str>,
}

/// What there is of each group, in the order of delivery.
pub(crate) type Groups = BTreeMap<Key, Vec<Fitting>>;

pub(crate) fn groups(deliveries: &[Delivery]) -> Groups {
    let mut groups = Groups::new();
    for delivery in deliveries {
        let process = process(delivery);
        if fitting_clauses(&process).contains(&false) || is_excluded(delivery) {
            continue;
        }
        let key = key(delivery);
        let fitting = Fitting {
            delivery: delivery.clone(),
            key: key.clone(),
            port: port(&process),
            process,
        };
        groups.entry(key).or_default().push(fitting);
    }
    groups
}

/// argv joined by one space; a process that is not known is called so.
pub(crate) fn process(delivery: &Delivery) -> Vec<u8> {
    let mut process = Vec::new();
    for (index, argument) in delivery.argv.iter().enumerate() {
        if index > 0 {
            process.push(b' ');
        }
        for byte in argument {
            process.push(*byte);
        }
    }
    if process.is_empty() {
        return b"unknown".to_vec();
    }
    process
}

/// For each pattern over the process, whether it holds.
pub(crate) fn fitting_clauses(process: &[u8]) -> [bool; 5] {
    PROCESS.map(|pattern| fits(pattern.as_bytes(), process))
}

pub(crate) fn is_excluded(delivery: &Delivery) -> bool {
    let Some(path) = &delivery.parent_path else {
        return false;
    };
    for pattern in NOT_PARENT {
        if fits(pattern.as_bytes(), path) {
            return true;
        }
    }
    false
}

/// Whether the pattern covers the whole value.
fn fits(pattern: &[u8], value: &[u8]) -> bool {
    if pattern.is_empty() {
        return value.is_empty();
    }
    if pattern[0] == b'*' {
        for start in 0..=value.len() {
            if fits(&pattern[1..], &value[start..]) {
                return true;
            }
        }
        return false;
    }
    if value.is_empty() {
        return false;
    }
    let mut byte = value[0];
    if byte.is_ascii_uppercase() {
        byte += b'a' - b'A';
    }
    byte == pattern[0] && fits(&pattern[1..], &value[1..])
}

/// The port behind the first `--dport ` behind which there is one; letters in their case.
pub(crate) fn port(process: &[u8]) -> Option<&'static str> {
    for start in 0..process.len() {
        if !process[start..].starts_with(b"--dport ") {
            continue;
        }
        for port in PORTS {
            if process[start + 8..].starts_with(port.as_bytes()) {
                return Some(port);
            }
        }
    }
    None
}

pub(crate) fn key(delivery: &Delivery) -> Key {
    let null = b"null".to_vec();
    let unknown = "unknown".to_owned();
    let path = delivery.path.clone();
    let parent_path = delivery.parent_path.clone();
    [
        path.as_deref().map_or_else(|| null.clone(), name),
        parent_path.as_deref().map_or_else(|| null.clone(), name),
        delivery.parent_pid.to_string().into_bytes(),
        delivery.dest.clone().unwrap_or(unknown.clone()).into(),
        delivery.user.clone().unwrap_or(unknown).into(),
        parent_path.unwrap_or(null.clone()),
        path.unwrap_or(null),
    ]
}

/// What stands behind the last slash.
fn name(path: &[u8]) -> Vec<u8> {
    let mut name = Vec::new();
    for byte in path {
        if *byte == b'/' {
            name.clear();
        } else {
            name.push(*byte);
        }
    }
    name
}

/// The rows of the scheduled search: it runs at minute 50 of each hour, over the hour that ends there.
pub(crate) fn tumbling(groups: &Groups) -> Vec<Row> {
    let mut rows = Vec::new();
    for group in groups.values() {
        for members in buckets(group).values() {
            rows.extend(row(members));
        }
    }
    rows.sort();
    rows
}

/// The execs of a group by the search that sees them.
pub(crate) fn buckets(group: &[Fitting]) -> BTreeMap<u64, Vec<Fitting>> {
    let mut buckets: BTreeMap<u64, Vec<Fitting>> = BTreeMap::new();
    for fitting in group {
        let bucket = bucket(fitting.delivery.wall);
        buckets.entry(bucket).or_default().push(fitting.clone());
    }
    buckets
}

/// The number of the hour at whose minute 50 the search that sees this moment runs.
fn bucket(wall: u64) -> u64 {
    let hour = wall / HOUR;
    let minute = wall % HOUR / MINUTE;
    if minute < 50 { hour } else { hour + 1 }
}

/// The same with the engine's bound on lateness: a bucket is over a second after its end, and a second after
/// the latest delivery to it; what is delivered then begins a bucket of its own.
pub(crate) fn tumbling_when_late(groups: &Groups) -> Vec<Row> {
    let mut rows = Vec::new();
    for group in groups.values() {
        for (bucket, members) in buckets(group) {
            let mut over = bucket * HOUR + 50 * MINUTE + SECOND;
            let mut part: Vec<Fitting> = Vec::new();
            for fitting in members {
                let arrival = fitting.delivery.arrival_wall;
                if !part.is_empty() && arrival >= over {
                    rows.extend(row(&part));
                    part.clear();
                }
                over = over.max(arrival + SECOND);
                part.push(fitting);
            }
            rows.extend(row(&part));
        }
    }
    rows.sort();
    rows
}

/// The rows of sliding windows: an alert begins where three ports lie within an hour, holds all of that hour
/// and each exec after it, and ends when there is none for an hour.
pub(crate) fn sliding(groups: &Groups) -> Vec<Row> {
    let mut rows = Vec::new();
    for group in groups.values() {
        let mut group = once_each(group);
        group.sort_by_key(|fitting| fitting.delivery.boot);
        let mut alert: Vec<Fitting> = Vec::new();
        let mut waiting: Vec<Fitting> = Vec::new();
        for fitting in group {
            let at = fitting.delivery.boot;
            if let Some(last) = alert.last() {
                if at - last.delivery.boot < HOUR {
                    alert.push(fitting);
                    continue;
                }
                rows.extend(row(&alert));
                alert.clear();
            }
            waiting.push(fitting);
            waiting.retain(|earlier| at - earlier.delivery.boot < HOUR);
            if ports(&waiting).len() >= 3 {
                alert.append(&mut waiting);
            }
        }
        rows.extend(row(&alert));
    }
    rows.sort();
    rows
}

pub(crate) fn ports(members: &[Fitting]) -> BTreeSet<&'static str> {
    let mut ports = BTreeSet::new();
    for fitting in members {
        ports.extend(fitting.port);
    }
    ports
}

/// An exec delivered twice counts once.
pub(crate) fn once_each(deliveries: &[Fitting]) -> Vec<Fitting> {
    let mut guids = BTreeSet::new();
    let mut once = Vec::new();
    for fitting in deliveries {
        if guids.insert(&fitting.delivery.guid) {
            once.push(fitting.clone());
        }
    }
    once
}

/// The second `stats`, and the `where` behind it.
fn row(members: &[Fitting]) -> Option<Row> {
    let members = once_each(members);
    let ports = ports(&members);
    if ports.len() < 3 {
        return None;
    }
    let mut processes_exec = BTreeSet::new();
    let mut guids = BTreeSet::new();
    let mut pids = BTreeSet::new();
    let mut times = BTreeSet::new();
    for Fitting {
        delivery, process, ..
    } in &members
    {
        processes_exec.insert(process.clone());
        guids.insert(delivery.guid.clone());
        pids.insert(delivery.pid.to_string());
        times.insert((delivery.boot, delivery.wall));
    }
    Some(Row {
        key: members.first()?.key.clone(),
        first_seen: *times.first()?,
        last_seen: *times.last()?,
        processes_exec: processes_exec.into_iter().collect(),
        port_count: ports.len() as u64,
        ports: ports.into_iter().map(str::to_owned).collect(),
        guids: guids.into_iter().collect(),
        pids: pids.into_iter().collect(),
        count: members.len() as u64,
    })
}

/// Delivered when the bucket that holds it was over by the engine's bound on lateness.
pub(crate) fn is_late(delivery: &Delivery) -> bool {
    let end = bucket(delivery.wall) * HOUR + 50 * MINUTE;
    delivery.arrival_wall >= end + SECOND
}

/// Whether an exec of the group came late and keeps together what lay a window apart until then, when what came
/// after it was an alert already.
pub(crate) fn is_bridged_late(group: &[Fitting]) -> bool {
    for (index, bridge) in group.iter().enumerate() {
        let at = bridge.delivery.boot;
        let mut before = None;
        let mut later = Vec::new();
        for earlier in &group[..index] {
            if earlier.delivery.boot < at {
                before = before.max(Some(earlier.delivery.boot));
            } else if earlier.delivery.boot > at {
                later.push(earlier.clone());
            }
        }
        let after = later.iter().map(|it| it.delivery.boot).min();
        if let (Some(before), Some(after)) = (before, after)
            && at - before < HOUR
            && after - before >= HOUR
            && ports(&later).len() >= 3
        {
            return true;
        }
    }
    false
}
