mod filters;
mod hashes;
mod tables;

use super::*;
use crate::pipeline::alert::{AlertState, Severity};
use crate::pipeline::exec::{Argv, Event, Running, sample};
use crate::pipeline::firewall::change::{Family, Policy, Rule, Target};
use crate::pipeline::process_tree::TreeLimits;
use crate::pipeline::provenance::Program;
use crate::pipeline::provenance::sample::packaged;

const S: u64 = 1_000_000_000;

pub(super) fn at(s: u64) -> Time {
    Time {
        boot_ns: s * S,
        wall_ns: s * S,
    }
}

pub(super) fn key(tgid: u32) -> ProcessKey {
    ProcessKey {
        tgid,
        start_ns: u64::from(tgid) * 10_000_000,
    }
}

/// A host with one process of each of these, each started by the one before it.
fn host(executables: &[(u32, &str)]) -> ProcessTree {
    let mut tree = ProcessTree::new(TreeLimits::default());
    let mut parent_tgid = 0;
    for &(tgid, exe) in executables {
        tree.handle_event(&Event::Running(Box::new(Running {
            process: key(tgid),
            parent_tgid,
            exe: ExePath::Known(exe.as_bytes().into()),
            file: None,
            script: None,
            program: Program::default(),
            argv: Argv::from_arguments([exe.as_bytes()]),
        })));
        parent_tgid = tgid;
    }
    tree
}

/// A host with a program of a package as process 40, which the first process has started.
fn service(exe: &str, cgroup: &str) -> ProcessTree {
    let mut tree = host(&[(1, "/usr/lib/systemd/systemd")]);
    tree.handle_event(&Event::Running(Box::new(Running {
        process: key(40),
        parent_tgid: 1,
        exe: ExePath::Known(exe.as_bytes().into()),
        file: None,
        script: None,
        program: packaged(cgroup),
        argv: Argv::from_arguments([exe.as_bytes()]),
    })));
    tree
}

fn accept(port: u16) -> FirewallChange {
    use crate::pipeline::firewall::change::{Negatable, Ports, Position};
    FirewallChange {
        backend: Backend::Nftables,
        family: Some(Family::Ipv4),
        table: Some(b"filter".to_vec()),
        chain: Some(b"INPUT".to_vec()),
        operation: Operation::AddRule {
            rule: Box::new(Rule {
                destination_ports: Some(Negatable {
                    value: Ports::Ranges(vec![port..=port]),
                    negated: false,
                }),
                target: Some(Target::Accept),
                ..Rule::default()
            }),
            position: Position::Last,
        },
    }
}

fn policy() -> FirewallChange {
    FirewallChange {
        operation: Operation::SetPolicy(Policy::Accept),
        ..accept(0)
    }
}

fn made(tgid: u32, time: Time, changes: Vec<FirewallChange>) -> Made {
    Made {
        time,
        tgids: vec![tgid],
        nsid: None,
        changes,
        witness: Witness::Netlink,
        omitted: 0,
        stopping_sets: BTreeSet::new(),
        while_blind: false,
    }
}

pub(super) fn tamper() -> Tamper {
    Tamper::new(TamperLimits::default(), Vec::new())
}

pub(super) fn findings(tamper: &mut Tamper) -> Vec<Finding> {
    std::iter::from_fn(|| tamper.next_finding()).collect()
}

fn kinds(tamper: &mut Tamper) -> Vec<FindingKind> {
    let findings = findings(tamper);
    findings.iter().map(|finding| finding.kind).collect()
}

const BY_HAND: &[(u32, &str)] = &[
    (1, "/usr/lib/systemd/systemd"),
    (10, "/usr/sbin/sshd"),
    (20, "/usr/sbin/sshd"),
    (30, "/usr/bin/bash"),
    (40, "/usr/sbin/nft"),
];

#[test]
fn an_opening_by_hand_is_low_and_one_out_of_a_web_server_is_high() {
    let mut tamper = tamper();
    tamper.handle_made(&made(40, at(5), vec![accept(636)]), &host(BY_HAND));
    let found = findings(&mut tamper);
    let [finding] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(finding.kind, FindingKind::AcceptOpened);
    assert_eq!(finding.severity, Severity::Low);
    assert_eq!(finding.reasons, [Reason::InteractiveLogin]);
    assert_eq!((finding.asked, finding.made), (0, 1));
    let lineage: Vec<u32> = finding
        .lineage
        .iter()
        .map(|ancestor| ancestor.process.tgid)
        .collect();
    assert_eq!(lineage, [40, 30, 20, 10, 1]);

    let web = host(&[
        (1, "/usr/lib/systemd/systemd"),
        (10, "/usr/sbin/nginx"),
        (30, "/usr/bin/dash"),
        (40, "/usr/sbin/nft"),
    ]);
    tamper.handle_made(&made(40, at(6), vec![accept(636)]), &web);
    let found = findings(&mut tamper);
    assert_eq!(found[0].severity, Severity::High);
    assert_eq!(found[0].reasons, [Reason::NetworkService]);
}

#[test]
fn a_program_that_is_no_tool_is_told_beside_what_it_did() {
    let mut tamper = tamper();
    let tree = host(&[(1, "/sbin/init"), (40, "/tmp/.x")]);
    tamper.handle_made(&made(40, at(5), vec![accept(636)]), &tree);
    assert_eq!(
        kinds(&mut tamper),
        [FindingKind::AcceptOpened, FindingKind::ChangeWithoutTool]
    );
    let tree = host(&[(1, "/sbin/init"), (41, "/dev/shm/nft")]);
    tamper.handle_made(&made(41, at(5), vec![accept(636)]), &tree);
    assert_eq!(
        kinds(&mut tamper),
        [FindingKind::AcceptOpened, FindingKind::ToolDisguised]
    );
}

#[test]
fn a_manager_is_quiet_and_a_manager_by_the_operators_word_too() {
    for (exe, managers) in [
        ("/usr/bin/dockerd", Vec::new()),
        ("/opt/fw/fwd", vec![b"/opt/fw/fwd".as_slice().into()]),
    ] {
        let mut tamper = Tamper::new(TamperLimits::default(), managers);
        let tree = service(exe, "/system.slice/docker.service");
        tamper.handle_made(&made(40, at(5), vec![accept(80)]), &tree);
        let found = findings(&mut tamper);
        let [finding] = &found[..] else {
            panic!("{exe}: {found:?}");
        };
        assert_eq!(finding.severity, Severity::Informational);
        assert_eq!(finding.reasons, [Reason::KnownManager]);
    }
}

#[test]
fn who_only_looks_like_a_manager_is_told_with_what_gives_it_away() {
    let mut tamper = tamper();
    let tree = service("/usr/bin/dockerd", "/system.slice/update.service");
    tamper.handle_made(&made(40, at(5), vec![accept(80)]), &tree);
    let found = findings(&mut tamper);
    assert_eq!(
        found.iter().map(|finding| finding.kind).collect::<Vec<_>>(),
        [FindingKind::AcceptOpened, FindingKind::ChangeWithoutTool]
    );
    for finding in found {
        assert_eq!(finding.reasons, [Reason::ManagerUnit]);
        assert_eq!(finding.origin.unit.as_deref(), Some("update.service"));
        assert!(finding.severity >= Severity::Medium);
    }
}

#[test]
fn the_end_of_a_namespace_is_nobodys_deed() {
    let mut tamper = tamper();
    let mut tree = ProcessTree::new(TreeLimits::default());
    for (tgid, parent_tgid) in [(2, 0), (7, 2), (8, 0)] {
        tree.handle_event(&Event::Running(Box::new(Running {
            process: key(tgid),
            parent_tgid,
            exe: ExePath::Unknown(Unknown::Absent),
            file: None,
            script: None,
            program: Program::default(),
            argv: Argv::from_arguments([]),
        })));
    }
    let gone = FirewallChange {
        operation: Operation::DeleteTable,
        ..accept(0)
    };
    tamper.handle_made(&made(7, at(5), vec![gone.clone()]), &tree);
    assert_eq!(kinds(&mut tamper), []);
    // One that only seems to have no executable.
    tamper.handle_made(&made(8, at(5), vec![gone]), &tree);
    assert_eq!(
        kinds(&mut tamper),
        [FindingKind::RulesetFlushed, FindingKind::ChangeWithoutTool]
    );
}

#[test]
fn a_burst_is_one_finding_that_grows() {
    let mut tamper = tamper();
    let tree = host(BY_HAND);
    for n in 0..100 {
        tamper.handle_made(&made(40, at(5), vec![accept(n)]), &tree);
    }
    let first = findings(&mut tamper);
    assert_eq!(first.len(), 1);
    assert_eq!(tamper.poll_timeout(at(5)), Some(Duration::from_secs(2)));
    tamper.handle_timeout(at(6));
    assert_eq!(findings(&mut tamper), []);
    tamper.handle_timeout(at(7));
    let grown = findings(&mut tamper);
    let [finding] = &grown[..] else {
        panic!("{grown:?}");
    };
    assert_eq!((finding.id, finding.revision), (first[0].id, 1));
    assert_eq!(finding.made, 100);
    assert_eq!(finding.changes.len(), 32);
    assert_eq!(finding.changes[0].change, accept(0));
    assert_eq!(finding.changes[31].change, accept(99));
    assert_eq!(finding.changes_omitted(), 68);
    assert_eq!(finding.state, AlertState::Open);

    tamper.handle_timeout(at(5 + 300));
    let last = findings(&mut tamper);
    assert_eq!((last[0].revision, last[0].state), (2, AlertState::Closed));
    assert_eq!(tamper.poll_timeout(at(400)), None);
}

#[test]
fn what_the_same_origin_does_in_another_way_is_another_finding() {
    let mut tamper = tamper();
    let tree = host(BY_HAND);
    tamper.handle_made(&made(40, at(5), vec![accept(1), policy()]), &tree);
    let found = findings(&mut tamper);
    assert_eq!(found.len(), 2);
    assert_eq!(found[1].kind, FindingKind::PolicyOpened);
    assert!(found[1].reasons.contains(&Reason::Unrestricted));
}

#[test]
fn nobody_known_is_told_as_such() {
    let mut tamper = tamper();
    let tree = host(&[(1, "/sbin/init")]);
    tamper.handle_made(&made(99, at(5), vec![accept(1)]), &tree);
    let found = findings(&mut tamper);
    assert_eq!(found[0].reasons, [Reason::ActorUnknown]);
    assert_eq!(found[0].origin, Origin::unknown());
    let who_is_gone_is_not_better_off = FindingKind::ChangeWithoutTool;
    assert_eq!(found[1].kind, who_is_gone_is_not_better_off);
}

#[test]
fn findings_beyond_the_bound_close_the_quietest() {
    let limits = TamperLimits {
        groups_max: 2,
        ..TamperLimits::default()
    };
    let mut tamper = Tamper::new(limits, Vec::new());
    for tgid in 40..43 {
        let tree = host(&[(1, "/sbin/init"), (tgid, "/usr/sbin/nft")]);
        let time = at(u64::from(tgid));
        tamper.handle_made(&made(tgid, time, vec![accept(1)]), &tree);
    }
    let found = findings(&mut tamper);
    let closed: Vec<u32> = found
        .iter()
        .filter(|finding| finding.state == AlertState::Closed)
        .map(|finding| finding.origin.process.tgid)
        .collect();
    assert_eq!(closed, [40]);
    assert_eq!(tamper.counters().groups_dropped, 1);
}

#[test]
fn an_id_is_the_same_in_every_replay() {
    let id = || {
        let mut tamper = tamper();
        tamper.handle_made(&made(40, at(5), vec![accept(1)]), &host(BY_HAND));
        findings(&mut tamper)[0].id
    };
    assert_eq!(id(), id());
}

#[test]
fn a_process_that_looks_like_a_kernel_thread_is_told() {
    let mut tamper = tamper();
    let tree = host(BY_HAND);
    let mut exec = sample::exec(&[b"[kworker/0:1]"]);
    exec.exe = ExePath::Known(b"/tmp/.x".as_slice().into());
    tamper.handle_exec(&exec, &tree);
    assert_eq!(kinds(&mut tamper), [FindingKind::KernelThreadDisguise]);
    let exec = sample::exec(&[b"[", b"-f", b"x", b"]"]);
    tamper.handle_exec(&exec, &tree);
    assert_eq!(kinds(&mut tamper), []);
}

#[test]
fn a_flood_does_not_hide_what_opened_while_nobody_looked() {
    let drop_removed = FirewallChange {
        operation: Operation::DeleteRule(Which::Index(1)),
        ..accept(0)
    };
    let mut changes = vec![drop_removed; 1000];
    changes.extend([accept(636), policy()]);
    let mut tamper = tamper();
    let made = Made {
        tgids: Vec::new(),
        omitted: 0,
        stopping_sets: BTreeSet::new(),
        while_blind: true,
        ..made(0, at(5), changes)
    };
    tamper.handle_made(&made, &host(BY_HAND));
    tamper.flush();
    let finding = findings(&mut tamper).pop().unwrap();
    assert_eq!(finding.kind, FindingKind::ChangedWhileBlind);
    assert_eq!(finding.made, 1002);
    let shown = finding.changes.iter().map(|shown| shown.change.clone());
    let shown: Vec<_> = shown.take(2).collect();
    assert_eq!(shown, [policy(), accept(636)]);
}

#[test]
fn a_ban_opens_nothing_and_the_end_of_a_ban_does() {
    let elements = |operation| FirewallChange {
        operation,
        ..accept(0)
    };
    let add = elements(Operation::AddElements {
        set: b"banned".to_vec(),
        elements: vec![Default::default()],
    });
    let delete = elements(Operation::DeleteElements {
        set: b"banned".to_vec(),
        elements: vec![Default::default()],
    });
    let tree = host(BY_HAND);
    let judge = |change: &FirewallChange, stopping: bool| {
        let mut tamper = tamper();
        let mut made = made(40, at(5), vec![change.clone()]);
        if stopping {
            made.stopping_sets.extend(change.set_name());
        }
        tamper.handle_made(&made, &tree);
        kinds(&mut tamper)
    };
    assert_eq!(judge(&add, true), []);
    assert_eq!(judge(&delete, true), [FindingKind::SetOpened]);
    assert_eq!(judge(&add, false), [FindingKind::SetOpened]);
    assert_eq!(judge(&delete, false), []);
}

#[test]
fn what_nobody_looked_at_in_a_flood_is_told() {
    let mut tamper = tamper();
    let mut made = made(40, at(5), vec![policy()]);
    made.omitted = 7;
    tamper.handle_made(&made, &host(BY_HAND));
    assert_eq!(
        kinds(&mut tamper),
        [FindingKind::PolicyOpened, FindingKind::ChangedWhileBlind]
    );
}
