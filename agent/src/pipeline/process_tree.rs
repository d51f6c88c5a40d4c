//! Who started whom, by process and start time. Everything here is bounded; what is dropped before its
//! time, or not taken in, is counted.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use foldhash::fast::RandomState;

pub mod memory;

use super::alert::Ancestor;
use super::exec::{
    Argv, Event, ExePath, Exec, Exit, FileId, Fork, ProcessKey, Running, Time, Unknown,
};
use super::interpreter::claimed_script;
use super::provenance::Program;

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
            ended_max: 4_096,
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

/// The host's first process, which never ends.
const FIRST_TGID: u32 = 1;

#[derive(Debug)]
struct Process {
    start_ns: u64,
    /// Who created it: the caller of `fork` where that was seen, the parent otherwise.
    creator: Option<ProcessKey>,
    image: Arc<Image>,
    exec_time: Option<Time>,
    /// Processes in the tree that name this one as their creator.
    children: u32,
    ended: bool,
    /// Remembered from an earlier run of the agent, and not seen in this one.
    recalled: bool,
}

/// What a process runs; a fork shares it.
#[derive(Clone, Debug)]
struct Image {
    exe: ExePath,
    /// The file, when the exec itself was seen.
    file: Option<FileId>,
    script: Option<Arc<[u8]>>,
    /// Of the command line, where the kernel told none.
    claimed_script: Option<Arc<[u8]>>,
    command_line: Arc<[u8]>,
    command_line_bytes_full: u64,
    program: Program,
}

impl Image {
    fn unknown() -> Self {
        Self {
            exe: ExePath::Unknown(Unknown::NotRecorded),
            file: None,
            script: None,
            claimed_script: None,
            command_line: Arc::from([]),
            command_line_bytes_full: 0,
            program: Program::default(),
        }
    }

    fn bytes(&self) -> usize {
        let scripts = [&self.script, &self.claimed_script].into_iter().flatten();
        let scripts: usize = scripts.map(|script| script.len()).sum();
        self.exe.known().map_or(0, <[u8]>::len) + scripts + self.command_line.len()
    }
}

/// The processes of the host, with the dead whose descendants live.
#[derive(Debug)]
pub struct ProcessTree {
    limits: TreeLimits,
    /// By thread group, the youngest last; more than one when a number was used again.
    processes: HashMap<u32, Vec<Process>, RandomState>,
    count: usize,
    /// Of all images, each counted as often as it is referred to.
    bytes: usize,
    /// Ended processes without descendants, oldest first. An entry may be stale.
    ended: VecDeque<ProcessKey>,
    /// Ended processes with descendants, likewise.
    ancestors: VecDeque<ProcessKey>,
    counters: TreeCounters,
    /// Events so far.
    events: u64,
}

impl ProcessTree {
    pub fn new(limits: TreeLimits) -> Self {
        Self {
            limits,
            processes: HashMap::default(),
            count: 0,
            bytes: 0,
            ended: VecDeque::new(),
            ancestors: VecDeque::new(),
            counters: TreeCounters::default(),
            events: 0,
        }
    }

    pub fn handle_event(&mut self, event: &Event) {
        self.events += 1;
        match event {
            Event::Exec(exec) => self.handle_exec(exec),
            Event::Fork(fork) => self.handle_fork(*fork),
            Event::Exit(exit) => self.handle_exit(*exit),
            Event::Running(running) => self.handle_running(running),
            Event::FailedExec(_) | Event::XtablesReplace(_) => {}
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

    /// Events so far: as long as there is none, the tree is as it was.
    pub fn events(&self) -> u64 {
        self.events
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
                script: image.script.clone(),
                claimed_script: image.claimed_script.clone(),
                program: image.program.clone(),
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

    /// Who had that number at that moment: the youngest of those that had started by then.
    pub fn at(&self, tgid: u32, time: Time) -> Option<ProcessKey> {
        let generations = self.processes.get(&tgid)?.iter().rev();
        let mut started = generations.filter(|process| process.start_ns <= time.boot_ns);
        let start_ns = started.next()?.start_ns;
        Some(ProcessKey { tgid, start_ns })
    }

    /// Whether the process is known, and known to have ended.
    pub fn has_ended(&self, process: ProcessKey) -> bool {
        self.find(process).is_some_and(|found| found.ended)
    }

    /// What the process runs, or ran last.
    pub fn exe(&self, process: ProcessKey) -> Option<&ExePath> {
        Some(&self.find(process)?.image.exe)
    }

    /// Whether the process is not in the tree.
    pub fn is_new(&self, process: ProcessKey) -> bool {
        self.find(process).is_none()
    }

    /// Whether a running process runs another file than the tree knows: its exec was not seen. One that the
    /// tree does not have, and that runs what its parent runs, is a fork without an exec.
    pub fn lacks_exec_of(&self, running: &Exec) -> bool {
        let Some(file) = running.exe_file else {
            return false;
        };
        match self.find(running.process) {
            Some(process) => process.image.file.is_some_and(|known| known != file),
            None => running.parent_file != Some(file),
        }
    }

    /// Ends the processes that lived before `listed` and are not among the `living`; how many those were. None,
    /// when the host's first process is not among them: then the list is not of the whole host, as for an agent
    /// in a pid namespace of its own.
    pub fn end_all_but(&mut self, living: &HashSet<ProcessKey>, listed: Time) -> u64 {
        let first = self.youngest(FIRST_TGID);
        if first.is_none_or(|first| !living.contains(&first)) {
            return 0;
        }
        let is_over = |tgid: u32, process: &Process| {
            let key = ProcessKey {
                tgid,
                start_ns: process.start_ns,
            };
            let began_before = process.start_ns < listed.boot_ns.saturating_sub(TICK_NS);
            (!process.ended && process.start_ns != 0 && began_before && !living.contains(&key))
                .then_some(key)
        };
        #[expect(clippy::disallowed_methods, reason = "the order is of no account")]
        let over: Vec<ProcessKey> = self
            .processes
            .iter()
            .flat_map(|(&tgid, generations)| {
                generations
                    .iter()
                    .filter_map(move |process| is_over(tgid, process))
            })
            .collect();
        for &process in &over {
            self.handle_exit(Exit {
                time: listed,
                process,
            });
        }
        over.len() as u64
    }

    fn handle_exec(&mut self, exec: &Exec) {
        if self.find(exec.parent).is_none() && exec.parent.tgid != 0 {
            let argv = exec.parent_argv.as_ref();
            let program = Program::default();
            let image = self.image(&exec.parent_exe, None, None, argv, program);
            self.insert(exec.parent, None, image, None);
        }
        let image = self.image(
            &exec.exe,
            exec.exe_file,
            exec.script(),
            Some(&exec.argv),
            Program::from(exec),
        );
        match self.find(exec.process) {
            None => self.insert(exec.process, Some(exec.parent), image, Some(exec.time)),
            Some(process) => {
                if process.creator.is_none() {
                    self.adopt(exec.process, exec.parent);
                }
                self.replace_image(exec.process, image, Some(exec.time));
            }
        }
    }

    fn handle_fork(&mut self, fork: Fork) {
        if self.find(fork.process).is_some() {
            return;
        }
        let creator = self.find(fork.creator);
        let image = match creator {
            Some(creator) => Arc::clone(&creator.image),
            None => Arc::new(Image::unknown()),
        };
        let image = self.afford(image);
        self.insert(fork.process, Some(fork.creator), image, None);
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
        let creator = self.youngest_seen(running.parent_tgid);
        if self.find(running.process).is_some() {
            self.confirm(running);
            if let Some(creator) = creator {
                self.adopt(running.process, creator);
            }
            return;
        }
        let image = self.image_of_running(running);
        self.insert(running.process, creator, image, None);
    }

    /// Takes a process in, if there is room. Its number cannot belong to a living process any more: if the
    /// end of one was not seen, it is over all the same.
    fn insert(
        &mut self,
        key: ProcessKey,
        creator: Option<ProcessKey>,
        image: Arc<Image>,
        exec_time: Option<Time>,
    ) {
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
        self.processes
            .entry(key.tgid)
            .or_insert_with(one)
            .push(Process {
                start_ns: key.start_ns,
                creator,
                image,
                exec_time,
                children: 0,
                ended: false,
                recalled: false,
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

    fn replace_image(&mut self, key: ProcessKey, image: Arc<Image>, exec_time: Option<Time>) {
        let bytes = image.bytes();
        let Some(process) = self.find_mut(key) else {
            return;
        };
        process.exec_time = exec_time;
        let gone = std::mem::replace(&mut process.image, image);
        self.bytes = self.bytes + bytes - gone.bytes();
    }

    fn image(
        &mut self,
        exe: &ExePath,
        file: Option<FileId>,
        script: Option<&[u8]>,
        argv: Option<&Argv>,
        program: Program,
    ) -> Arc<Image> {
        let claimed = argv.filter(|_| script.is_none());
        let claimed = claimed.and_then(|argv| claimed_script(exe, argv));
        let image = Image {
            exe: exe.clone(),
            file,
            script: script.map(Arc::from),
            claimed_script: claimed.map(Arc::from),
            command_line: argv.map_or_else(|| Arc::from([]), |argv| self.cut(argv)),
            command_line_bytes_full: argv.map_or(0, joined_bytes),
            program,
        };
        self.afford(Arc::new(image))
    }

    fn image_of_running(&mut self, running: &Running) -> Arc<Image> {
        let Running {
            exe,
            file,
            script,
            argv,
            program,
            ..
        } = running;
        self.image(exe, *file, script.as_deref(), Some(argv), program.clone())
    }

    /// The image as far as there is room for it.
    fn afford(&mut self, image: Arc<Image>) -> Arc<Image> {
        if self.bytes + image.bytes() <= self.limits.bytes_max {
            return image;
        }
        self.counters.texts_dropped += 1;
        Arc::new(Image {
            file: image.file,
            command_line_bytes_full: image.command_line_bytes_full,
            program: image.program.clone(),
            ..Image::unknown()
        })
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

/// Room for one generation. A vector would begin with four, and hardly any number is used twice.
fn one() -> Vec<Process> {
    Vec::with_capacity(1)
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
mod tests;
