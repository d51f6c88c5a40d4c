use super::*;
use crate::pipeline::exec::sample;

pub(super) fn key(tgid: u32, start_ns: u64) -> ProcessKey {
    ProcessKey { tgid, start_ns }
}

pub(super) fn fork(tree: &mut ProcessTree, creator: ProcessKey, process: ProcessKey) {
    let time = Time::default();
    tree.handle_event(&Event::Fork(Fork {
        time,
        process,
        creator,
    }));
}

pub(super) fn exit(tree: &mut ProcessTree, process: ProcessKey) {
    let time = Time::default();
    tree.handle_event(&Event::Exit(Exit { time, process }));
}

fn running(tree: &mut ProcessTree, process: ProcessKey, parent_tgid: u32, exe: &str) {
    tree.handle_event(&Event::Running(Box::new(Running {
        process,
        parent_tgid,
        exe: ExePath::Known(exe.as_bytes().into()),
        file: None,
        script: None,
        program: Program::default(),
        argv: Argv::from_arguments([exe.as_bytes(), b"-x"]),
    })));
}

fn exec(process: ProcessKey, parent: ProcessKey, inode: u64, parent_inode: u64) -> Exec {
    let file = |inode| Some(FileId { inode, device: 1 });
    let mut exec = sample::exec(&[b"a", b"b"]);
    exec.process = process;
    exec.parent = parent;
    exec.exe_file = file(inode);
    exec.parent_file = file(parent_inode);
    exec
}

fn lineage(tree: &ProcessTree, process: ProcessKey) -> Vec<u32> {
    let steps = tree.lineage(process);
    steps.iter().map(|step| step.process.tgid).collect()
}

fn small() -> TreeLimits {
    TreeLimits {
        processes_max: 100,
        ended_max: 10,
        ancestors_max: 20,
        ..TreeLimits::default()
    }
}

#[test]
fn a_double_fork_still_leads_to_its_origin() {
    let mut tree = ProcessTree::new(TreeLimits::default());
    running(&mut tree, key(1, 10_000_000), 0, "/sbin/init");
    running(&mut tree, key(50, 500_000_000), 1, "/tmp/malware");
    fork(&mut tree, key(50, 500_000_123), key(60, 7));
    fork(&mut tree, key(60, 7), key(61, 8));
    exit(&mut tree, key(60, 7));
    exit(&mut tree, key(50, 500_000_123));
    assert_eq!(lineage(&tree, key(61, 8)), [61, 60, 50, 1]);
    let steps = tree.lineage(key(61, 8));
    let malware = b"/tmp/malware".as_slice();
    assert_eq!(steps[1].exe, ExePath::Known(malware.into()));
    assert_eq!(steps[1].command_line, b"/tmp/malware -x");
    assert_eq!(steps[1].command_line_bytes_full, 15, "nothing was cut");
    assert!(steps[1].ended && !steps[0].ended);
}

#[test]
fn a_reused_pid_never_mixes_two_processes() {
    let mut tree = ProcessTree::new(TreeLimits::default());
    fork(&mut tree, key(1, 1), key(9, 100_000_001));
    exit(&mut tree, key(9, 100_000_001));
    fork(&mut tree, key(2, 2), key(9, 100_000_002));
    assert_eq!(tree.lineage(key(9, 100_000_001)).len(), 1);
    assert!(tree.lineage(key(9, 100_000_001))[0].ended);
    assert!(!tree.lineage(key(9, 100_000_002))[0].ended);
    assert!(tree.lineage(key(9, 100_000_003)).is_empty());
}

#[test]
fn a_reused_pid_ends_a_process_whose_end_was_lost() {
    let mut tree = ProcessTree::new(small());
    for start in 1..1000 {
        fork(&mut tree, key(1, 0), key(9, start));
    }
    assert!(tree.len() <= 12, "{}", tree.len());
    assert_eq!(tree.counters().processes_dropped, 0);
}

#[test]
fn a_parent_that_is_found_later_or_has_a_higher_number_is_linked() {
    let mut tree = ProcessTree::new(TreeLimits::default());
    running(&mut tree, key(40, 30_000_000), 900, "/bin/child");
    running(&mut tree, key(900, 20_000_000), 0, "/sbin/parent");
    tree.handle_event(&Event::Exec(Box::new(exec(
        key(40, 30_000_000),
        key(900, 20_000_000),
        1,
        2,
    ))));
    assert_eq!(lineage(&tree, key(40, 30_000_000)), [40, 900]);
}

#[test]
fn the_tree_stays_within_its_bounds_and_counts_what_it_refused() {
    let mut tree = ProcessTree::new(small());
    running(&mut tree, key(1, 0), 0, "/sbin/init");
    for pid in 2..1000 {
        fork(&mut tree, key(1, 0), key(pid, u64::from(pid)));
        exit(&mut tree, key(pid, u64::from(pid)));
    }
    assert_eq!((tree.len(), tree.counters().processes_dropped), (11, 0));
    for pid in 2000..2200 {
        fork(&mut tree, key(1, 0), key(pid, u64::from(pid)));
    }
    assert_eq!((tree.len(), tree.counters().processes_dropped), (100, 101));
    for pid in 2000..2200 {
        exit(&mut tree, key(pid, u64::from(pid)));
    }
    assert_eq!(tree.len(), 11);
}

#[test]
fn a_chain_of_the_dead_does_not_blind_the_tree() {
    let mut tree = ProcessTree::new(small());
    for pid in 1..5000 {
        fork(&mut tree, key(pid - 1, 1), key(pid, 1));
        exit(&mut tree, key(pid - 1, 1));
    }
    assert!(tree.len() <= 100, "{}", tree.len());
    assert!(tree.counters().processes_dropped > 0);
    assert_eq!(lineage(&tree, key(4999, 1))[..3], [4999, 4998, 4997]);
    exit(&mut tree, key(4999, 1));
    fork(&mut tree, key(1, 7), key(7000, 1));
    assert_eq!(lineage(&tree, key(7000, 1)), [7000]);
}

#[test]
fn a_chain_of_the_dead_is_dropped_with_its_last_descendant() {
    let limits = TreeLimits {
        ended_max: 0,
        ..TreeLimits::default()
    };
    let mut tree = ProcessTree::new(limits);
    for pid in 1..20 {
        fork(&mut tree, key(pid - 1, 0), key(pid, 0));
    }
    for pid in 1..19 {
        exit(&mut tree, key(pid, 0));
    }
    assert_eq!(tree.len(), 19);
    exit(&mut tree, key(19, 0));
    assert_eq!((tree.len(), tree.bytes), (0, 0));
}

#[test]
fn long_texts_are_not_kept_beyond_the_bound_and_that_is_counted() {
    let limits = TreeLimits {
        bytes_max: 1000,
        ..TreeLimits::default()
    };
    let mut tree = ProcessTree::new(limits);
    let long = "/x".repeat(150);
    for pid in 1..20 {
        running(&mut tree, key(pid, 10_000_000), 0, &long);
    }
    assert!(tree.bytes <= 1000);
    assert_eq!((tree.len(), tree.counters().texts_dropped), (19, 18));
}

#[test]
fn a_parent_that_claims_another_executable_is_noticed() {
    let (malware, child) = (key(5, 50), key(6, 60));
    let mut tree = ProcessTree::new(TreeLimits::default());
    tree.handle_event(&Event::Exec(Box::new(exec(malware, key(1, 1), 77, 1))));
    assert!(!tree.parent_is_replaced(&exec(child, malware, 9, 77)));
    assert!(tree.parent_is_replaced(&exec(child, malware, 9, 78)));
    // A fork of it runs the same file.
    fork(&mut tree, malware, child);
    assert!(tree.parent_is_replaced(&exec(key(7, 70), child, 9, 78)));
    let mut unknown = exec(key(7, 70), child, 9, 78);
    unknown.parent_file = None;
    assert!(!tree.parent_is_replaced(&unknown));
}

#[test]
fn what_is_not_listed_any_more_has_ended_if_the_listing_is_of_the_whole_host() {
    let listed = Time {
        boot_ns: 1_000_000_000,
        wall_ns: 0,
    };
    let tree = || {
        let mut tree = ProcessTree::new(TreeLimits::default());
        running(&mut tree, key(1, 10_000_000), 0, "/sbin/init");
        for process in [
            key(50, 500_000_123),
            key(60, 600_000_123),
            key(70, 999_000_000),
        ] {
            fork(&mut tree, key(1, 10_000_000), process);
        }
        tree
    };
    let mut whole = tree();
    let living = HashSet::from([key(1, 10_000_000), key(50, 500_000_123)]);
    // The youngest began while the list was made.
    assert_eq!(whole.end_all_but(&living, listed), 1);
    assert!(whole.lineage(key(60, 600_000_123))[0].ended);
    assert!(!whole.lineage(key(50, 500_000_123))[0].ended);
    assert!(!whole.lineage(key(70, 999_000_000))[0].ended);

    let mut part = tree();
    let living = HashSet::from([key(50, 500_000_123)]);
    assert_eq!(part.end_all_but(&living, listed), 0);
    assert_eq!(part.end_all_but(&HashSet::new(), listed), 0);
    assert!(!part.lineage(key(60, 600_000_123))[0].ended);
}

#[test]
fn an_interpreter_has_the_script_of_the_kernel_or_else_of_its_command_line() {
    let mut tree = ProcessTree::new(TreeLimits::default());
    let bash = ExePath::Known(b"/usr/bin/bash".as_slice().into());
    let mut exec = sample::exec(&[b"bash", b"/opt/x.sh"]);
    (exec.process, exec.parent, exec.exe) = (key(50, 5), key(1, 1), bash.clone());
    tree.handle_event(&Event::Exec(Box::new(exec.clone())));
    fork(&mut tree, key(50, 5), key(51, 6));
    // The kernel puts the script of a `#!` line among the arguments, too.
    exec.process = key(60, 7);
    (exec.filename, exec.interp) = (b"./x.sh"[..].into(), Some(b"/bin/bash"[..].into()));
    tree.handle_event(&Event::Exec(Box::new(exec)));
    tree.handle_event(&Event::Running(Box::new(Running {
        process: key(70, 80_000_000),
        parent_tgid: 1,
        exe: bash,
        file: None,
        script: None,
        argv: Argv::from_arguments([b"bash".as_slice(), b"-e", b"y.sh"]),
        program: Program::default(),
    })));
    let scripts = |tgid, start_ns| {
        let step = tree.lineage(key(tgid, start_ns)).remove(0);
        let text =
            |path: Option<Arc<[u8]>>| path.map(|path| String::from_utf8_lossy(&path).into_owned());
        (text(step.script), text(step.claimed_script))
    };
    let claimed = |path: &str| (None, Some(path.to_owned()));
    assert_eq!(scripts(50, 5), claimed("/opt/x.sh"));
    assert_eq!(scripts(51, 6), claimed("/opt/x.sh"), "a fork runs on");
    assert_eq!(scripts(60, 7), (Some("./x.sh".to_owned()), None));
    assert_eq!(scripts(70, 80_000_000), claimed("y.sh"));
}
