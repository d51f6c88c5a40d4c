//! The stage as a whole: examples, then properties against a reference that keeps everything.

mod bounds;
mod examples;
mod explain;
mod filters;
mod properties;
mod reference;
mod windows;

use uuid::Uuid;

use super::Detector;
use super::bounds::Limits;
use super::rule::{Rule, RuleSpec, WindowSpec};
use crate::pipeline::alert::{Alert, RuleIdentity, Severity, WindowMode};
use crate::pipeline::exec::{Argv, ExePath, Exec, ExecGuid, Namespaces, ProcessKey, Time};
use crate::pipeline::tty::Tty;

pub(super) const MS: u64 = 1_000_000;
pub(super) const SECOND: u64 = 1_000 * MS;
pub(super) const MINUTE: u64 = 60 * SECOND;
pub(super) const HOUR: u64 = 60 * MINUTE;

/// The analytic, in a sliding hour.
pub(super) fn analytic() -> RuleSpec {
    let strings = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect();
    RuleSpec {
        identity: RuleIdentity {
            id: "309d59dc-1e1b-49b2-9800-7cf18d12f7b7".to_owned(),
            name: "Linux Iptables Firewall Modification".to_owned(),
            version: 1,
            severity: Severity::Medium,
            risk_score: 25,
            mitre_technique_id: strings(&["T1562.004", "T1686"]),
        },
        process: strings(&[
            "*iptables *",
            "* --dport *",
            "* ACCEPT*",
            "*&>/dev/null*",
            "* tcp *",
        ]),
        not_parent_process_path: strings(&["/bin/*", "/lib/*", "/usr/bin/*", "/sbin/*"]),
        port_prefix: "--dport ".to_owned(),
        ports: strings(&["3269", "636", "989", "994", "995", "8443"]),
        port_count_min: 3,
        window: WindowSpec {
            mode: WindowMode::Sliding,
            span_s: 3600,
            offset_s: 0,
        },
        filters: Vec::new(),
    }
}

/// The same as the scheduled search runs it.
fn scheduled() -> RuleSpec {
    RuleSpec {
        window: WindowSpec {
            mode: WindowMode::Tumbling,
            span_s: 3600,
            offset_s: 3000,
        },
        ..analytic()
    }
}

fn detector(spec: RuleSpec) -> Detector {
    Detector::new(Rule::compile(spec).unwrap(), Limits::default())
}

/// Both clocks at the same number.
fn time(ns: u64) -> Time {
    Time {
        boot_ns: ns,
        wall_ns: ns,
    }
}

/// What the malware's shell is given to open `port`.
fn command(port: &str) -> String {
    format!("iptables -I OUTPUT -p tcp --dport {port} -j ACCEPT &>/dev/null")
}

/// `sh -c SCRIPT`, begun by `/tmp/cpd`.
fn shell(at_ns: u64, script: &str) -> Exec {
    let arguments = [b"sh".as_slice(), b"-c", script.as_bytes()];
    Exec {
        provenance: None,
        time: time(at_ns),
        guid: ExecGuid::Given(Uuid::new_v5(
            &Uuid::NAMESPACE_OID,
            format!("{at_ns} {script}").as_bytes(),
        )),
        process: ProcessKey {
            tgid: 1000,
            start_ns: 1,
        },
        tid: 1000,
        parent: ProcessKey {
            tgid: 100,
            start_ns: 1,
        },
        uid: Some(0),
        gid: Some(0),
        euid: Some(0),
        login_uid: None,
        session_id: None,
        tty: Tty::Unknown,
        user: Some("root".into()),
        dest: Some("firebox".into()),
        host_id: Some("machine".into()),
        comm: Box::from(*b"sh"),
        filename: Box::from(*b"/bin/sh"),
        interp: None,
        exe: path("/usr/bin/bash"),
        exe_file: None,
        exe_deleted: false,
        exe_memfd: false,
        argv: Argv::from_arguments(arguments),
        parent_exe: path("/tmp/cpd"),
        parent_file: None,
        parent_deleted: false,
        parent_memfd: false,
        parent_argv: None,
        cgroup_id: 1,
        cgroup: None,
        namespaces: Namespaces::default(),
        cap_effective: None,
        exe_stat: None,
        stdout_null: false,
        stderr_null: false,
    }
}

/// The shell that opens `port`.
fn opening(at_ns: u64, port: &str) -> Exec {
    shell(at_ns, &command(port))
}

fn path(path: &str) -> ExePath {
    ExePath::Known(path.as_bytes().into())
}

/// Hands `exec` in at its own time and returns the lines this makes.
fn feed(detector: &mut Detector, exec: &Exec) -> Vec<Alert> {
    detector.handle_exec(exec, exec.time);
    lines(detector)
}

fn feed_all(detector: &mut Detector, execs: &[Exec]) -> Vec<Alert> {
    let fed = execs.iter().flat_map(|exec| feed(detector, exec));
    fed.collect()
}

fn lines(detector: &mut Detector) -> Vec<Alert> {
    std::iter::from_fn(|| detector.next_alert()).collect()
}

fn timeout(detector: &mut Detector, now_ns: u64) -> Vec<Alert> {
    detector.handle_timeout(time(now_ns));
    lines(detector)
}

fn end(detector: &mut Detector, now_ns: u64) -> Vec<Alert> {
    detector.handle_end(time(now_ns));
    lines(detector)
}
