//! Who started whom, by process and start time. Everything here is bounded; what is dropped before its
//! time, or not taken in, is counted.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::alert::Ancestor;
use super::exec::{
    Argv, Event, ExePath, Exec, Exit, FileId, Fork, ProcessKey, Running, Time, Unknown,
};

/// How much the tree may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeLimits {
    /// Processes, living and ended.
    pub processes_max: usize,
    /// Ended processes without descendants that are remembered, so that an alert about them still
    /// finds its lineage.
    pub ended_max: usize,
    /// Ended processes that are remembered for their descendants' sake.
    pub ancestors_max: usize,
    /// Bytes of paths and command lines. Beyond it new ones are not kept; the links are.
    pub bytes_max: usize,
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
            ancestors_max: 32_768,
            bytes_max: 32 << 20,
            command_line_bytes_max: 256,
            depth_max: 32,
        }
    }
}

/// What the tree could not hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeCounters {
    /// Processes not taken in, and ancestors dropped while descendants live.
    pub processes_dropped: u64,
    /// Paths and command lines not kept.
    pub texts_dropped: u64,
}

/// A tick of `/proc/PID/stat`, in which start times are rounded down (`USER_HZ` is 100,
/// `include/asm-generic/param.h`).
pub const TICK_NS: u64 = 10_000_000;

#[derive(Debug)]
struct Process {
    start_ns: u64,
    /// Who created it: the caller of `fork` where that was seen, the parent otherwise.
    creator: Option<ProcessKey>,
    image: Image,
    exec_time: Option<Time>,
    /// Processes in the tree that name this one as their creator.
    children: u32,
    ended: bool,
}

/// What a process runs; a fork shares it.
#[derive(Clone, Debug)]
struct Image {
    exe: ExePath,
    /// The file, when the exec itself was seen.
    file: Option<FileId>,
    command_line: Arc<[u8]>,
    command_line_bytes_full: u64,
}

impl Image {
    fn unknown() -> Self {
        Self {
            exe: ExePath::Unknown(Unknown::NotRecorded),
            file: None,
            command_line: Arc::from([]),
            command_line_bytes_full: 0,
        }
    }

    fn bytes(&self) -> usize {
        self.exe.known().map_or(0, <[u8]>::len) + self.command_line.len()
    }
}

/// The processes of the host, with the dead whose descendants live.
#[derive(Debug)]
pub struct ProcessTree {
    limits: TreeLimits,
    /// By thread group, the youngest last; more than one when a number was used again.
    processes: HashMap<u32, Vec<Process>>,
    count: usize,
    /// Of all images, each counted as often as it is referred to.
    bytes: usize,
    /// Ended processes without descendants, oldest first. An entry may be stale.
    ended: VecDeque<ProcessKey>,
    /// Ended processes with descendants, likewise.
    ancestors: VecDeque<ProcessKey>,
    counters: TreeCounters,
}

impl ProcessTree {
    pub fn new(limits: TreeLimits) -> Self {
        Self {
            limits,
            processes: HashMap::new(),
            count: 0,
            bytes: 0,
            ended: VecDeque::new(),
            ancestors: VecDeque::new(),
            counters: TreeCounters::default(),
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

    pub fn counters(&self) -> TreeCounters {
        self.counters
    }

    /// From `process` itself up to the oldest ancestor known.
    pub fn lineage(&self, process: ProcessKey) -> Vec<Ancestor> {
        let mut lineage = Vec::new();
        let mut next = Some(process);
        while let Some(key) = next
            && lineage.len() < self.limits.depth_max
            && let Some(found) = self.find(key)
        {
            let image = &found.image;
            lineage.push(Ancestor {
                process: ProcessKey {
                    tgid: key.tgid,
                    start_ns: found.start_ns,
                },
                exe: image.exe.clone(),
                command_line: image.command_line.to_vec(),
                command_line_bytes_full: image.command_line_bytes_full,
                exec_time: found.exec_time,
                ended: found.ended,
            });
            next = found.creator;
        }
        lineage
    }

    /// Whether the parent's executable is not the one of the parent's own exec. Without an exec in between
    /// only `PR_SET_MM_EXE_FILE` does that (`prctl(2)`), and then its path is whatever it wants to be.
    pub fn parent_is_replaced(&self, exec: &Exec) -> bool {
        let Some(parent) = self.find(exec.parent) else {
            return false;
        };
        match (parent.image.file, exec.parent_file) {
            (Some(started), Some(now)) => started != now,
            _ => false,
        }
    }

    fn handle_exec(&mut self, exec: &Exec) {
        if self.find(exec.parent).is_none() && exec.parent.tgid != 0 {
            let argv = exec.parent_argv.as_ref();
            let image = self.image(&exec.parent_exe, None, argv);
            self.insert(exec.parent, None, image);
        }
        let image = self.image(&exec.exe, exec.exe_file, Some(&exec.argv));
        if self.find(exec.process).is_none() {
            self.insert(exec.process, Some(exec.parent), image);
        } else {
            self.adopt(exec.process, exec.parent);
            self.replace_image(exec.process, image);
        }
        if let Some(process) = self.find_mut(exec.process) {
            process.exec_time = Some(exec.time);
        }
    }

    fn handle_fork(&mut self, fork: Fork) {
        if self.find(fork.process).is_some() {
            return;
        }
        let creator = self.find(fork.creator);
        let image = creator.map_or_else(Image::unknown, |creator| creator.image.clone());
        let image = self.afford(image);
        self.insert(fork.process, Some(fork.creator), image);
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
        let is_ancestor = process.children > 0;
        self.remember(key, is_ancestor);
    }

    fn handle_running(&mut self, running: &Running) {
        let creator = self.youngest(running.parent_tgid);
        if self.find(running.process).is_some() {
            if let Some(creator) = creator {
                self.adopt(running.process, creator);
            }
            return;
        }
        let image = self.image(&running.exe, None, Some(&running.argv));
        self.insert(running.process, creator, image);
    }

    /// Takes a process in, if there is room. Its number cannot belong to a living process any more: if the
    /// end of one was not seen, it is over all the same.
    fn insert(&mut self, key: ProcessKey, creator: Option<ProcessKey>, image: Image) {
        if let Some(older) = self.youngest(key.tgid) {
            self.handle_exit(Exit {
                time: Time::default(),
                process: older,
            });
        }
        if self.count >= self.limits.processes_max {
            self.make_room();
        }
        if self.count >= self.limits.processes_max {
            self.counters.processes_dropped += 1;
            return;
        }
        if let Some(creator) = creator.and_then(|creator| self.find_mut(creator)) {
            creator.children += 1;
        }
        self.bytes += image.bytes();
        self.count += 1;
        self.processes.entry(key.tgid).or_default().push(Process {
            start_ns: key.start_ns,
            creator,
            image,
            exec_time: None,
            children: 0,
            ended: false,
        });
    }

    /// Gives a process its creator where none was known.
    fn adopt(&mut self, child: ProcessKey, creator: ProcessKey) {
        let is_orphan = self
            .find(child)
            .is_some_and(|child| child.creator.is_none());
        if !is_orphan || child.tgid == creator.tgid || self.find(creator).is_none() {
            return;
        }
        if let Some(child) = self.find_mut(child) {
            child.creator = Some(creator);
        }
        if let Some(creator) = self.find_mut(creator) {
            creator.children += 1;
        }
    }

    fn replace_image(&mut self, key: ProcessKey, image: Image) {
        let bytes = image.bytes();
        let Some(process) = self.find_mut(key) else {
            return;
        };
        let gone = std::mem::replace(&mut process.image, image);
        self.bytes = self.bytes + bytes - gone.bytes();
    }

    fn image(&mut self, exe: &ExePath, file: Option<FileId>, argv: Option<&Argv>) -> Image {
        let image = Image {
            exe: exe.clone(),
            file,
            command_line: argv.map_or_else(|| Arc::from([]), |argv| self.cut(argv)),
            command_line_bytes_full: argv.map_or(0, joined_bytes),
        };
        self.afford(image)
    }

    /// The image as far as there is room for it.
    fn afford(&mut self, image: Image) -> Image {
        if self.bytes + image.bytes() <= self.limits.bytes_max {
            return image;
        }
        self.counters.texts_dropped += 1;
        Image {
            file: image.file,
            command_line_bytes_full: image.command_line_bytes_full,
            ..Image::unknown()
        }
    }

    /// The command line, joined by spaces and cut.
    fn cut(&self, argv: &Argv) -> Arc<[u8]> {
        let whole = argv.bytes.strip_suffix(&[0]).unwrap_or(&argv.bytes);
        let kept = &whole[..whole.len().min(self.limits.command_line_bytes_max)];
        kept.iter()
            .map(|&byte| if byte == 0 { b' ' } else { byte })
            .collect()
    }

    /// Forgets ended processes, those without descendants first; the living stay.
    fn make_room(&mut self) {
        while self.count >= self.limits.processes_max
            && let Some(key) = self.ended.pop_front()
        {
            self.forget(key);
        }
        while self.count >= self.limits.processes_max
            && let Some(key) = self.ancestors.pop_front()
        {
            self.cut_off(key);
        }
    }

    fn remember(&mut self, ended: ProcessKey, is_ancestor: bool) {
        if is_ancestor {
            self.ancestors.push_back(ended);
        } else {
            self.ended.push_back(ended);
        }
        while self.ended.len() > self.limits.ended_max
            && let Some(oldest) = self.ended.pop_front()
        {
            self.forget(oldest);
        }
        while self.ancestors.len() > self.limits.ancestors_max
            && let Some(oldest) = self.ancestors.pop_front()
        {
            self.cut_off(oldest);
        }
    }

    /// Drops an ended process without descendants, and then its creator if that was waiting for this.
    fn forget(&mut self, key: ProcessKey) {
        let mut next = Some(key);
        while let Some(key) = next.take() {
            next = self.remove(key, |process| process.ended && process.children == 0);
        }
    }

    /// Drops an ended process although it has descendants, whose lineage stops there from now on.
    fn cut_off(&mut self, key: ProcessKey) {
        let has_descendants = self.find(key).is_some_and(|process| process.children > 0);
        self.counters.processes_dropped += u64::from(has_descendants);
        if let Some(creator) = self.remove(key, |process| process.ended) {
            self.forget(creator);
        }
    }

    /// Removes a process that `fits`; gives its creator if nothing holds that any more.
    fn remove(&mut self, key: ProcessKey, fits: impl Fn(&Process) -> bool) -> Option<ProcessKey> {
        let generations = self.processes.get_mut(&key.tgid)?;
        let exact = |process: &Process| process.start_ns == key.start_ns && fits(process);
        let index = generations.iter().position(exact)?;
        let gone = generations.remove(index);
        if generations.is_empty() {
            self.processes.remove(&key.tgid);
        }
        self.count -= 1;
        self.bytes -= gone.image.bytes();
        let creator_key = gone.creator?;
        let creator = self.find_mut(creator_key)?;
        creator.children = creator.children.saturating_sub(1);
        let start_ns = creator.start_ns;
        (creator.ended && creator.children == 0).then_some(ProcessKey {
            tgid: creator_key.tgid,
            start_ns,
        })
    }

    fn youngest(&self, tgid: u32) -> Option<ProcessKey> {
        let start_ns = self.processes.get(&tgid)?.last()?.start_ns;
        Some(ProcessKey { tgid, start_ns })
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
}

/// Bytes of the whole command line when it is joined by spaces: without the NUL at its end.
fn joined_bytes(argv: &Argv) -> u64 {
    let ends_with_nul = argv.truncated() || argv.bytes.ends_with(&[0]);
    argv.bytes_full - u64::from(ends_with_nul)
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
    use crate::pipeline::exec::sample;

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
            exe: ExePath::Known(exe.as_bytes().into()),
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
}
