use std::sync::Arc;

use super::*;
use crate::pipeline::alert::Severity;
use crate::pipeline::exec::{Argv, Event, ExePath, FileStat, ProcessKey, Running, Time, sample};
use crate::pipeline::firewall::edit::EditKind;
use crate::pipeline::firewall::finding::Finding;
use crate::pipeline::firewall::origin::{Origin, OriginKind};
use crate::pipeline::firewall::tamper::TamperLimits;
use crate::pipeline::process_tree::TreeLimits;
use crate::pipeline::provenance::sample::packaged_script;
use crate::pipeline::provenance::{Program, Provenance};

fn at(s: u64) -> Time {
    Time {
        boot_ns: s * 1_000_000_000,
        wall_ns: s * 1_000_000_000,
    }
}

/// A host with one process of each of these command lines, each started by the one before it.
fn host(processes: &[(u32, &[&str])]) -> ProcessTree {
    let mut tree = ProcessTree::new(TreeLimits::default());
    let mut parent_tgid = 0;
    for &(tgid, arguments) in processes {
        tree.handle_event(&Event::Running(Box::new(Running {
            process: ProcessKey {
                tgid,
                start_ns: u64::from(tgid),
            },
            parent_tgid,
            exe: ExePath::Known(arguments[0].as_bytes().into()),
            file: None,
            script: None,
            program: Program::default(),
            argv: Argv::from_arguments(arguments.iter().map(|argument| argument.as_bytes())),
        })));
        if let [interpreter, script, ..] = arguments
            && script.starts_with('/')
            && !interpreter.ends_with("/tee")
        {
            tree.handle_event(&script_exec(tgid, interpreter, script));
        }
        parent_tgid = tgid;
    }
    tree
}

/// `execve` of a script that names its interpreter in its first line.
fn script_exec(tgid: u32, interpreter: &str, script: &str) -> Event {
    let mut exec = sample::exec(&[interpreter.as_bytes(), script.as_bytes()]);
    exec.process = ProcessKey {
        tgid,
        start_ns: u64::from(tgid),
    };
    exec.exe = ExePath::Known(interpreter.as_bytes().into());
    exec.interp = Some(interpreter.as_bytes().into());
    exec.filename = script.as_bytes().into();
    exec.exe_stat = Some(FileStat {
        uid: 0,
        gid: 0,
        mode: 0o100_755,
        links: 1,
        change_ns: 0,
        overlay_upper: false,
    });
    let program = packaged_script(script, "/system.slice/firewalld.service");
    exec.cgroup = program.cgroup;
    exec.provenance = program.provenance;
    Event::Exec(Box::new(exec))
}

fn edit(tgid: Option<u32>, path: &str) -> ConfigEdit {
    ConfigEdit {
        time: at(5),
        path: path.as_bytes().to_vec(),
        tgid,
        what: EditKind::Written,
    }
}

fn findings_of(edits: &[ConfigEdit], tree: &ProcessTree) -> Vec<Finding> {
    let mut tamper = Tamper::new(TamperLimits::default(), Vec::new());
    for edit in edits {
        tamper.handle_edit(edit, tree);
    }
    assert_eq!(tamper.counters().edits, edits.len() as u64);
    std::iter::from_fn(|| tamper.next_finding()).collect()
}

/// The one finding of an edit by the last of these processes.
fn finding_by(processes: &[(u32, &[&str])]) -> Finding {
    let tgid = processes.last().map(|(tgid, _)| *tgid);
    let found = findings_of(&[edit(tgid, "/etc/ufw/user.rules")], &host(processes));
    let [finding] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(finding.kind, FindingKind::ConfigEdited);
    finding.clone()
}

const INIT: (u32, &[&str]) = (1, &["/usr/lib/systemd/systemd"]);
const LOGIN: (u32, &[&str]) = (10, &["/usr/sbin/sshd"]);
const SHELL: (u32, &[&str]) = (20, &["/usr/bin/bash"]);

#[test]
fn an_edit_by_hand_is_low_and_names_file_and_writer() {
    let finding = finding_by(&[INIT, LOGIN, SHELL, (30, &["/usr/bin/sed"])]);
    assert_eq!(finding.severity, Severity::Low);
    assert_eq!(finding.risk_score, 20);
    assert_eq!(finding.reasons, [Reason::InteractiveLogin]);
    let evidence = EditEvidence {
        time: at(5),
        process: Some(ProcessKey {
            tgid: 30,
            start_ns: 30,
        }),
        exe: Some(b"/usr/bin/sed".as_slice().into()),
        path: b"/etc/ufw/user.rules".to_vec(),
        what: EditKind::Written,
    };
    assert_eq!((finding.edited, finding.edits), (1, vec![evidence]));
    assert_eq!((finding.asked, finding.made), (0, 0));
    let lineage = finding.lineage.iter();
    let lineage: Vec<u32> = lineage.map(|ancestor| ancestor.process.tgid).collect();
    assert_eq!(lineage, [30, 20, 10, 1]);
}

#[test]
fn an_edit_out_of_a_web_server_is_high() {
    let finding = finding_by(&[
        INIT,
        (10, &["/usr/sbin/nginx"]),
        (20, &["/usr/bin/dash"]),
        (30, &["/usr/bin/tee"]),
    ]);
    assert_eq!(finding.severity, Severity::High);
    assert_eq!(finding.origin.kind, OriginKind::NetworkService);
}

#[test]
fn an_edit_by_nobody_known_is_told_as_such() {
    let tree = host(&[INIT]);
    for tgid in [None, Some(99)] {
        let found = findings_of(&[edit(tgid, "/etc/nftables.conf")], &tree);
        assert_eq!(found[0].reasons, [Reason::ActorUnknown]);
        assert_eq!(found[0].severity, Severity::Medium);
        assert_eq!(found[0].origin, Origin::unknown());
        assert_eq!(found[0].edits[0].process, None);
    }
}

#[test]
fn a_package_manager_and_the_firewalls_own_tools_are_quiet() {
    let cases: [(&[&str], Reason); 3] = [
        (&["/usr/bin/dpkg"], Reason::PackageManager),
        (
            &["/usr/bin/python3.13", "/usr/sbin/ufw", "allow", "22"],
            Reason::KnownManager,
        ),
        (
            &["/usr/bin/dash", "/usr/sbin/netfilter-persistent", "save"],
            Reason::KnownManager,
        ),
    ];
    for (arguments, reason) in cases {
        let finding = finding_by(&[INIT, LOGIN, SHELL, (30, arguments)]);
        assert_eq!(
            finding.severity,
            Severity::Informational,
            "{arguments:?}: {:?}",
            finding.reasons
        );
        assert!(finding.reasons.contains(&reason), "{arguments:?}");
    }
}

#[test]
fn a_manager_in_its_unit_is_quiet() {
    let firewalld: &[&str] = &["/usr/bin/python3.13", "/usr/sbin/firewalld", "--nofork"];
    let finding = finding_by(&[INIT, (30, firewalld)]);
    assert_eq!(finding.reasons, [Reason::KnownManager]);
    assert_eq!(finding.severity, Severity::Informational);
}

/// `PYTHONPATH=/tmp/x ufw allow 22`.
#[test]
fn a_firewalls_tool_with_code_of_others_is_told() {
    let ufw: &[&str] = &["/usr/bin/python3.13", "/usr/sbin/ufw", "allow", "22"];
    let mut tree = host(&[INIT, LOGIN, SHELL, (30, ufw)]);
    let Event::Exec(mut exec) = script_exec(30, ufw[0], ufw[1]) else {
        panic!("an exec");
    };
    let mut provenance = Provenance::clone(exec.provenance.as_ref().unwrap());
    provenance.loads_foreign_code = Some(true);
    exec.provenance = Some(Arc::new(provenance));
    tree.handle_event(&Event::Exec(exec));
    let found = findings_of(&[edit(Some(30), "/etc/ufw/user.rules")], &tree);
    assert_eq!(
        found[0].reasons,
        [Reason::InteractiveLogin, Reason::ManagerForeignCode]
    );
    assert!(found[0].severity >= Severity::Medium);
}

#[test]
fn a_tools_name_elsewhere_or_as_an_argument_does_not_quieten() {
    let cases: [&[&str]; 3] = [
        &["/tmp/ufw"],
        &["/usr/bin/tee", "/usr/sbin/ufw"],
        &["/usr/bin/python3.13", "/home/x/ufw"],
    ];
    for arguments in cases {
        let finding = finding_by(&[INIT, LOGIN, SHELL, (30, arguments)]);
        assert!(
            !finding.reasons.contains(&Reason::KnownManager),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_tool_does_not_quieten_what_it_was_run_for() {
    let finding = finding_by(&[
        INIT,
        LOGIN,
        (20, &["/usr/bin/dash", "/usr/sbin/netfilter-persistent"]),
        (30, &["/usr/bin/tee"]),
    ]);
    assert_eq!(finding.reasons, [Reason::InteractiveLogin]);
}

#[test]
fn many_edits_are_one_finding_with_a_bounded_list() {
    let tree = host(&[INIT, LOGIN, SHELL]);
    let mut tamper = Tamper::new(TamperLimits::default(), Vec::new());
    for number in 0..100 {
        let path = format!("/etc/firewalld/zones/{number}.xml");
        tamper.handle_edit(&edit(Some(20), &path), &tree);
    }
    tamper.flush();
    let last = std::iter::from_fn(|| tamper.next_finding()).last().unwrap();
    assert_eq!((last.revision, last.edited), (1, 100));
    assert_eq!(last.edits.len(), 32);
    assert_eq!(last.edits_omitted(), 68);
    assert_eq!(last.edits[0].path, b"/etc/firewalld/zones/0.xml");
}

#[test]
fn the_host_of_an_edit_is_the_one_that_any_exec_named() {
    let tree = host(&[INIT, LOGIN, SHELL]);
    let mut tamper = Tamper::new(TamperLimits::default(), Vec::new());
    let mut exec = sample::exec(&[b"true"]);
    exec.dest = Some(Arc::from("gateway"));
    tamper.handle_exec(&exec, &tree);
    tamper.handle_edit(&edit(Some(20), "/etc/sysctl.conf"), &tree);
    let finding = tamper.next_finding().unwrap();
    assert_eq!(finding.dest.as_deref(), Some("gateway"));
}
