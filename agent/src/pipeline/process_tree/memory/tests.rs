use proptest::prelude::*;

use super::*;
use crate::pipeline::exec::{Argv, Event, sample};
use crate::pipeline::process_tree::TreeLimits;
use crate::pipeline::process_tree::tests::{exit, fork, key};

/// A process of that number; the start falls into no other's tick.
fn process(tgid: u32) -> ProcessKey {
    key(tgid, u64::from(tgid) * 10 * TICK_NS + 1234)
}

fn file(inode: u64) -> FileId {
    FileId { inode, device: 1 }
}

fn exec(tree: &mut ProcessTree, process: ProcessKey, parent: ProcessKey, exe: &str, inode: u64) {
    let mut exec = sample::exec(&[exe.as_bytes(), b"-x"]);
    exec.process = process;
    exec.parent = parent;
    exec.time = Time {
        boot_ns: process.start_ns + 5,
        wall_ns: process.start_ns + 1_000_000,
    };
    exec.exe = ExePath::Known(exe.as_bytes().into());
    exec.exe_file = Some(file(inode));
    exec.filename = exe.as_bytes().into();
    // Some are scripts.
    exec.interp = inode.is_multiple_of(2).then(|| b"/bin/sh"[..].into());
    tree.handle_event(&Event::Exec(Box::new(exec)));
}

/// The process as `/proc` shows it: its start rounded down, its parent perhaps another than its creator.
fn running(process: ProcessKey, parent_tgid: u32, exe: ExePath, inode: Option<u64>) -> Event {
    Event::Running(Box::new(Running {
        process: key(process.tgid, process.start_ns / TICK_NS * TICK_NS),
        parent_tgid,
        exe,
        file: inode.map(file),
        script: None,
        program: Program::default(),
        argv: Argv::from_arguments([&b"as-it-says-now"[..]]),
    }))
}

fn with_argv(event: Event, argv: Argv) -> Event {
    let Event::Running(running) = event else {
        return event;
    };
    Event::Running(Box::new(Running { argv, ..*running }))
}

fn known(exe: &str) -> ExePath {
    ExePath::Known(exe.as_bytes().into())
}

fn recalled(tree: &ProcessTree, limits: TreeLimits) -> ProcessTree {
    let mut next = ProcessTree::new(limits);
    next.recall(tree.remembered());
    next
}

fn tgids(tree: &ProcessTree, process: ProcessKey) -> Vec<u32> {
    let steps = tree.lineage(process);
    steps.iter().map(|step| step.process.tgid).collect()
}

/// 1 runs 50, which runs /tmp/malware and forks 60, which forks 61; 50 and 60 end.
fn double_fork() -> ProcessTree {
    let mut tree = ProcessTree::new(TreeLimits::default());
    fork(&mut tree, process(1), process(50));
    exec(&mut tree, process(50), process(1), "/tmp/malware", 7);
    fork(&mut tree, process(50), process(60));
    fork(&mut tree, process(60), process(61));
    exit(&mut tree, process(60));
    exit(&mut tree, process(50));
    tree
}

#[test]
fn a_double_fork_leads_to_its_origin_after_a_restart() {
    let before = double_fork();
    let mut tree = recalled(&before, TreeLimits::default());
    let init = running(process(1), 0, known("/sbin/init"), Some(1));
    tree.handle_event(&init);
    tree.handle_event(&running(process(61), 1, known("/tmp/malware"), Some(7)));
    tree.end_recall();
    let steps = tree.lineage(process(61));
    assert_eq!(tgids(&tree, process(61)), [61, 60, 50, 1]);
    let ended: Vec<bool> = steps.iter().map(|step| step.ended).collect();
    assert_eq!(ended, [false, true, true, false]);
    assert_eq!(steps[2].exe, known("/tmp/malware"));
    assert_eq!(steps[2].command_line, b"/tmp/malware -x");
    assert_eq!(steps[2].exec_time, before.lineage(process(50))[0].exec_time);
    assert_eq!(steps[3].exe, known("/sbin/init"), "found, not remembered");
    // And it is let go of with its last descendant.
    exit(&mut tree, process(61));
    tree.handle_event(&init);
    assert_eq!(tree.counters().processes_dropped, 0);
}

#[test]
fn what_ended_meanwhile_is_kept_for_its_descendants_only() {
    let mut before = ProcessTree::new(TreeLimits::default());
    for (creator, child) in [(1, 2), (2, 3), (1, 8), (8, 9)] {
        exec(&mut before, process(child), process(creator), "/bin/x", 5);
    }
    exit(&mut before, process(2));
    let mut tree = recalled(&before, TreeLimits::default());
    tree.handle_event(&running(process(1), 0, known("/sbin/init"), None));
    tree.handle_event(&running(process(9), 1, known("/bin/x"), None));
    tree.end_recall();
    assert_eq!(tgids(&tree, process(9)), [9, 8, 1]);
    assert!(tree.lineage(process(8))[0].ended);
    // 3 had ended, and 2 was kept for it alone.
    assert_eq!(tree.len(), 3);
    assert!(tree.lineage(process(2)).is_empty());
    assert_eq!(tree.remembered().len(), 3);
}

#[test]
fn an_exec_that_nobody_saw_is_not_taken_for_the_one_before() {
    let cases = [
        // The path, the inode, whether what was remembered still holds.
        (known("/tmp/malware"), Some(7), true),
        (known("/tmp/malware"), None, true),
        (known("/tmp/malware"), Some(8), false),
        (known("/usr/bin/true"), Some(7), false),
        (known("/usr/bin/true"), None, false),
        (ExePath::Unknown(Unknown::Fault), None, true),
        (ExePath::Unknown(Unknown::Absent), None, true),
    ];
    for (exe, inode, holds) in cases {
        let mut before = ProcessTree::new(TreeLimits::default());
        exec(&mut before, process(50), process(1), "/tmp/malware", 7);
        let mut tree = recalled(&before, TreeLimits::default());
        tree.handle_event(&running(process(50), 1, exe.clone(), inode));
        tree.end_recall();
        let step = &tree.lineage(process(50))[0];
        assert_eq!(step.exec_time.is_some(), holds, "{exe:?} {inode:?}");
        let (expected, line) = if holds {
            (known("/tmp/malware"), &b"/tmp/malware -x"[..])
        } else {
            (exe.clone(), &b"as-it-says-now"[..])
        };
        assert_eq!((&step.exe, &*step.command_line), (&expected, line));
        // A parent whose file is known to be another one is a pretender; one whose file is not known is not.
        let mut child = sample::exec(&[b"sh"]);
        child.process = process(51);
        child.parent = process(50);
        child.parent_file = Some(file(99));
        let is_certain = inode.is_some();
        assert_eq!(tree.parent_is_replaced(&child), is_certain, "{exe:?}");
    }
}

#[test]
fn a_reused_number_does_not_lead_to_who_had_it_before() {
    let before = double_fork();
    let mut tree = recalled(&before, TreeLimits::default());
    // 60 is another process now, younger than its child 61 here.
    tree.handle_event(&running(process(61), 60, known("/tmp/malware"), Some(7)));
    let other = key(60, process(900).start_ns);
    tree.handle_event(&running(other, 1, known("/bin/other"), None));
    tree.handle_event(&running(process(70), 60, known("/bin/new"), None));
    tree.end_recall();
    assert_eq!(tgids(&tree, process(61)), [61, 60, 50, 1]);
    assert_eq!(tree.lineage(process(61))[1].process, process(60));
    assert_eq!(tree.lineage(process(70))[1].process.tgid, 60);
    assert!(tree.lineage(process(70))[1].process.start_ns > process(61).start_ns);
}

#[test]
fn a_zombie_stays_ended() {
    let mut tree = recalled(&double_fork(), TreeLimits::default());
    let absent = ExePath::Unknown(Unknown::Absent);
    tree.handle_event(&running(process(61), 60, known("/tmp/malware"), Some(7)));
    tree.handle_event(&running(process(60), 1, absent, None));
    tree.end_recall();
    assert!(tree.lineage(process(60))[0].ended);
    assert_eq!(tgids(&tree, process(61)), [61, 60, 50, 1]);
}

#[test]
fn memory_stays_within_the_bounds_of_the_tree() {
    let limits = TreeLimits {
        processes_max: 50,
        ancestors_max: 5,
        bytes_max: 500,
        command_line_bytes_max: 4,
        ..TreeLimits::default()
    };
    let mut before = ProcessTree::new(TreeLimits::default());
    for tgid in 2..100 {
        exec(
            &mut before,
            process(tgid),
            process(tgid - 1),
            "/bin/some",
            5,
        );
        exit(&mut before, process(tgid - 1));
    }
    let mut tree = recalled(&before, limits);
    assert!(tree.len() <= 50, "{}", tree.len());
    assert!(tree.bytes <= 500);
    assert!(tree.counters().processes_dropped > 0);
    assert!(tree.counters().texts_dropped > 0);
    tree.end_recall();
    assert!(tree.len() <= 6, "{}", tree.len());
    assert!(tree.ancestors.len() <= 5);
}

#[test]
fn a_file_that_lies_does_no_harm() {
    let one = |process, creator| Remembered {
        process,
        creator: Some(creator),
        exe: known("/bin/x"),
        file: None,
        script: None,
        claimed_script: None,
        command_line: Arc::from(vec![b'a'; 10_000]),
        command_line_bytes_full: 1,
        exec_time: None,
        cgroup: None,
        ended: true,
    };
    let mut tree = ProcessTree::new(TreeLimits::default());
    tree.recall([
        one(process(1), process(2)),
        one(process(2), process(1)),
        one(process(3), process(3)),
        one(process(3), process(2)),
        one(key(4, 0), key(4, 0)),
        one(key(5, u64::MAX), key(6, u64::MAX)),
        one(key(6, u64::MAX), key(5, u64::MAX)),
    ]);
    tree.lineage(key(6, u64::MAX));
    let step = &tree.lineage(process(3))[0];
    assert_eq!(step.command_line.len(), 256);
    assert_eq!(step.command_line_bytes_full, 10_000);
    tree.end_recall();
    // Two that claim to have created each other hold each other, until room is needed.
    assert!(tree.len() <= 2, "{}", tree.len());
}

fn by_age(tree: &ProcessTree) -> Vec<Remembered> {
    let mut remembered = tree.remembered();
    remembered.sort_by_key(Remembered::age);
    remembered
}

/// A creator that the tree has dropped is not known to the next one.
fn without_lost_creator(tree: &ProcessTree) -> impl Fn(Remembered) -> Remembered {
    |one| Remembered {
        creator: one.creator.filter(|&creator| tree.find(creator).is_some()),
        ..one
    }
}

#[derive(Clone, Debug)]
enum Step {
    Fork(usize),
    Exec(usize, u8),
    Exit(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<usize>().prop_map(Step::Fork),
        2 => any::<(usize, u8)>().prop_map(|(at, exe)| Step::Exec(at, exe)),
        3 => any::<usize>().prop_map(Step::Exit),
    ]
}

proptest! {
    #[test]
    fn lineages_are_the_same_after_a_restart(steps in proptest::collection::vec(step(), 0..200)) {
        let limits = TreeLimits { processes_max: 60, ended_max: 5, ancestors_max: 20, ..TreeLimits::default() };
        let mut tree = ProcessTree::new(limits);
        exec(&mut tree, process(1), key(0, 0), "/sbin/init", 1);
        let mut living = vec![process(1)];
        let mut next = 2;
        for step in steps {
            match step {
                Step::Fork(at) if !living.is_empty() => {
                    fork(&mut tree, living[at % living.len()], process(next));
                    living.push(process(next));
                    next += 1;
                }
                Step::Exec(at, exe) if !living.is_empty() => {
                    let at = living[at % living.len()];
                    exec(&mut tree, at, process(1), &format!("/bin/{exe}"), exe.into());
                }
                Step::Exit(at) if !living.is_empty() => exit(&mut tree, living.swap_remove(at % living.len())),
                Step::Fork(_) | Step::Exec(..) | Step::Exit(_) => {}
            }
        }
        let mut next = recalled(&tree, limits);
        for one in by_age(&tree).into_iter().filter(|one| !one.ended) {
            let silent = Argv::from_arguments([]);
            let inode = one.file.map(|file| file.inode);
            next.handle_event(&with_argv(running(one.process, 0, one.exe, inode), silent));
        }
        next.end_recall();
        prop_assert_eq!(next.counters().processes_dropped, 0);
        for one in tree.remembered() {
            prop_assert_eq!(next.lineage(one.process), tree.lineage(one.process));
        }
        let before: Vec<_> = by_age(&tree).into_iter().map(without_lost_creator(&tree)).collect();
        prop_assert_eq!(by_age(&next), before);
    }
}
