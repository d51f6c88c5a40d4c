//! Who started whom, by process and start time. Everything here is bounded; what is dropped before its
//! time is counted.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::alert::Ancestor;
use super::exec::{Argv, Event, ExePath, Exec, Exit, Fork, ProcessKey, Running, Time, Unknown};

/// How much the tree may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeLimits {
    /// Processes, living and ended.
    pub processes_max: usize,
    /// Ended processes without descendants that are remembered, so that an alert about them still
    /// finds its lineage.
    pub ended_max: usize,
    /// Bytes of a command line that are kept for a lineage.
    pub command_line_bytes_max: usize,
    /// Steps of a lineage.
    pub depth_max: usize,
}

impl Default for TreeLimits {
    fn default() -> Self {
        Self {
            processes_max: 131_072,
            ended_max: 8_192,
            command_line_bytes_max: 256,
            depth_max: 32,
        }
    }
}

/// A tick of `/proc/PID/stat`, in which start times are rounded down (`USER_HZ` is 100,
/// `include/asm-generic/param.h`).
const TICK_NS: u64 = 10_000_000;

#[derive(Debug)]
struct Process {
    start_ns: u64,
    /// Who created it: the caller of `fork` where that was seen, the parent otherwise.
    creator: Option<ProcessKey>,
    exe: ExePath,
    command_line: Arc<[u8]>,
    command_line_bytes_full: u64,
    exec_time: Option<Time>,
    /// Processes in the tree that name this one as their creator.
    children: u32,
    ended: bool,
}

/// The processes of the host, with the dead whose descendants live.
#[derive(Debug)]
pub struct ProcessTree {
    limits: TreeLimits,
    /// By thread group; more than one when a number was used again.
    processes: HashMap<u32, Vec<Process>>,
    count: usize,
    /// Ended processes without descendants, oldest first. An entry may be stale.
    ended: VecDeque<ProcessKey>,
    evicted: u64,
}

impl ProcessTree {
    pub fn new(limits: TreeLimits) -> Self {
        Self {
            limits,
            processes: HashMap::new(),
            count: 0,
            ended: VecDeque::new(),
            evicted: 0,
        }
    }

    pub fn handle_event(&mut self, event: &Event) {
        match event {
            Event::Exec(exec) => self.handle_exec(exec),
            Event::Fork(fork) => self.handle_fork(*fork),
            Event::Exit(exit) => self.handle_exit(*exit),
            Event::Running(running) => self.handle_running(running),
        }
    }

    /// Processes held, living and ended.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Processes dropped for lack of room although something still pointed to them.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// From `process` itself up to the oldest ancestor known.
    pub fn lineage(&self, process: ProcessKey) -> Vec<Ancestor> {
        let mut lineage = Vec::new();
        let mut next = Some(process);
        while let Some(key) = next
            && lineage.len() < self.limits.depth_max
            && let Some(found) = self.find(key)
        {
            lineage.push(Ancestor {
                process: ProcessKey {
                    tgid: key.tgid,
                    start_ns: found.start_ns,
                },
                exe: found.exe.clone(),
                command_line: found.command_line.to_vec(),
                command_line_bytes_full: found.command_line_bytes_full,
                exec_time: found.exec_time,
                ended: found.ended,
            });
            next = found.creator;
        }
        lineage
    }

    fn handle_exec(&mut self, exec: &Exec) {
        let command_line = self.cut(&exec.argv);
        if self.find(exec.parent).is_none() && exec.parent.tgid != 0 {
            let argv = exec.parent_argv.as_ref();
            let parent = Process {
                start_ns: exec.parent.start_ns,
                creator: None,
                exe: exec.parent_exe.clone(),
                command_line: argv.map_or_else(|| Arc::from([]), |argv| self.cut(argv)),
                command_line_bytes_full: argv.map_or(0, |argv| argv.bytes_full),
                exec_time: None,
                children: 0,
                ended: false,
            };
            self.insert(exec.parent.tgid, parent);
        }
        if self.find(exec.process).is_none() {
            self.insert_child(exec.process, Some(exec.parent));
        }
        if let Some(process) = self.find_mut(exec.process) {
            process.exe = exec.exe.clone();
            process.command_line = command_line;
            process.command_line_bytes_full = exec.argv.bytes_full;
            process.exec_time = Some(exec.time);
            // The order of records is that of time only within a few milliseconds.
            process.start_ns = process.start_ns.max(exec.process.start_ns);
        }
    }

    fn handle_fork(&mut self, fork: Fork) {
        if self.find(fork.process).is_some() {
            return;
        }
        self.insert_child(fork.process, Some(fork.creator));
        let Some(creator) = self.find(fork.creator) else {
            return;
        };
        let (exe, command_line) = (creator.exe.clone(), creator.command_line.clone());
        let bytes_full = creator.command_line_bytes_full;
        if let Some(child) = self.find_mut(fork.process) {
            child.exe = exe;
            child.command_line = command_line;
            child.command_line_bytes_full = bytes_full;
        }
    }

    fn handle_exit(&mut self, exit: Exit) {
        let Some(process) = self.find_mut(exit.process) else {
            return;
        };
        if process.ended {
            return;
        }
        process.ended = true;
        let key = ProcessKey {
            tgid: exit.process.tgid,
            start_ns: process.start_ns,
        };
        if process.children == 0 {
            self.remember_ended(key);
        }
    }

    fn handle_running(&mut self, running: &Running) {
        if self.find(running.process).is_some() {
            return;
        }
        let creator = self
            .processes
            .get(&running.parent_tgid)
            .and_then(|generations| generations.last())
            .map(|parent| ProcessKey {
                tgid: running.parent_tgid,
                start_ns: parent.start_ns,
            });
        self.insert_child(running.process, creator);
        let command_line = self.cut(&running.argv);
        if let Some(process) = self.find_mut(running.process) {
            process.exe = running.exe.clone();
            process.command_line = command_line;
            process.command_line_bytes_full = running.argv.bytes_full;
        }
    }

    fn insert_child(&mut self, child: ProcessKey, creator: Option<ProcessKey>) {
        if let Some(creator) = creator.and_then(|key| self.find_mut(key)) {
            creator.children += 1;
        }
        let process = Process {
            start_ns: child.start_ns,
            creator,
            exe: ExePath::Unknown(Unknown::NotRecorded),
            command_line: Arc::from([]),
            command_line_bytes_full: 0,
            exec_time: None,
            children: 0,
            ended: false,
        };
        self.insert(child.tgid, process);
    }

    fn insert(&mut self, tgid: u32, process: Process) {
        if self.count >= self.limits.processes_max {
            self.make_room();
        }
        if self.count >= self.limits.processes_max {
            self.evicted += 1;
            return;
        }
        self.processes.entry(tgid).or_default().push(process);
        self.count += 1;
    }

    /// Forgets ended processes first; living ones stay, and what does not fit is refused.
    fn make_room(&mut self) {
        while self.count >= self.limits.processes_max
            && let Some(key) = self.ended.pop_front()
        {
            self.forget(key);
        }
    }

    fn remember_ended(&mut self, key: ProcessKey) {
        self.ended.push_back(key);
        while self.ended.len() > self.limits.ended_max
            && let Some(oldest) = self.ended.pop_front()
        {
            self.forget(oldest);
        }
    }

    /// Drops an ended process without descendants, and then its creator if that was waiting for this.
    fn forget(&mut self, key: ProcessKey) {
        let mut next = Some(key);
        while let Some(key) = next.take() {
            let Some(generations) = self.processes.get_mut(&key.tgid) else {
                return;
            };
            let forgettable = |process: &Process| {
                process.start_ns == key.start_ns && process.ended && process.children == 0
            };
            let Some(index) = generations.iter().position(forgettable) else {
                return;
            };
            let gone = generations.swap_remove(index);
            if generations.is_empty() {
                self.processes.remove(&key.tgid);
            }
            self.count -= 1;
            if let Some(creator_key) = gone.creator
                && let Some(creator) = self.find_mut(creator_key)
            {
                creator.children = creator.children.saturating_sub(1);
                if creator.ended && creator.children == 0 {
                    next = Some(ProcessKey {
                        tgid: creator_key.tgid,
                        start_ns: creator.start_ns,
                    });
                }
            }
        }
    }

    fn find(&self, key: ProcessKey) -> Option<&Process> {
        let generations = self.processes.get(&key.tgid)?;
        Some(&generations[generation(generations, key)?])
    }

    fn find_mut(&mut self, key: ProcessKey) -> Option<&mut Process> {
        let generations = self.processes.get_mut(&key.tgid)?;
        let index = generation(generations, key)?;
        Some(&mut generations[index])
    }

    fn cut(&self, argv: &Argv) -> Arc<[u8]> {
        if argv.bytes.len() <= self.limits.command_line_bytes_max {
            return argv.bytes.clone();
        }
        argv.bytes[..self.limits.command_line_bytes_max].into()
    }
}

/// The process of that start; failing that, the youngest whose start falls into the same tick, for a
/// process read from `/proc` has its start rounded down. A start of 0 is not known, and the youngest
/// is meant.
fn generation(generations: &[Process], key: ProcessKey) -> Option<usize> {
    if key.start_ns == 0 {
        return generations.len().checked_sub(1);
    }
    let exact = generations
        .iter()
        .position(|process| process.start_ns == key.start_ns);
    exact.or_else(|| {
        generations.iter().rposition(|process| {
            let rounded =
                process.start_ns.is_multiple_of(TICK_NS) || key.start_ns.is_multiple_of(TICK_NS);
            rounded && process.start_ns / TICK_NS == key.start_ns / TICK_NS
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tgid: u32, start_ns: u64) -> ProcessKey {
        ProcessKey { tgid, start_ns }
    }

    fn fork(tree: &mut ProcessTree, creator: ProcessKey, process: ProcessKey) {
        let time = Time::default();
        tree.handle_event(&Event::Fork(Fork {
            time,
            process,
            creator,
        }));
    }

    fn exit(tree: &mut ProcessTree, process: ProcessKey) {
        let time = Time::default();
        tree.handle_event(&Event::Exit(Exit { time, process }));
    }

    fn running(tree: &mut ProcessTree, process: ProcessKey, parent_tgid: u32, exe: &str) {
        tree.handle_event(&Event::Running(Box::new(Running {
            process,
            parent_tgid,
            uid: 0,
            exe: ExePath::Known(exe.as_bytes().into()),
            argv: Argv::from_arguments([exe.as_bytes()]),
        })));
    }

    fn lineage(tree: &ProcessTree, process: ProcessKey) -> Vec<u32> {
        tree.lineage(process)
            .iter()
            .map(|step| step.process.tgid)
            .collect()
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
        assert_eq!(
            steps[1].exe,
            ExePath::Known(b"/tmp/malware".as_slice().into())
        );
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
    fn the_tree_stays_within_its_bounds_and_counts_what_it_refused() {
        let limits = TreeLimits {
            processes_max: 100,
            ended_max: 10,
            ..TreeLimits::default()
        };
        let mut tree = ProcessTree::new(limits);
        running(&mut tree, key(1, 0), 0, "/sbin/init");
        for pid in 2..1000 {
            fork(&mut tree, key(1, 0), key(pid, u64::from(pid)));
            exit(&mut tree, key(pid, u64::from(pid)));
        }
        assert_eq!(tree.len(), 11);
        assert_eq!(tree.evicted(), 0);
        for pid in 2000..2200 {
            fork(&mut tree, key(1, 0), key(pid, u64::from(pid)));
        }
        assert_eq!(tree.len(), 100);
        assert_eq!(tree.evicted(), 101);
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
        assert_eq!(tree.len(), 0);
    }
}
