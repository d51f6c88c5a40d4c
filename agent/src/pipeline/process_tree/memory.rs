//! What the tree hands to the next run of the agent, and takes in from the last one.
//!
//! The order is: [`recall`](ProcessTree::recall) what is remembered, then handle every process that runs,
//! then [`end_recall`](ProcessTree::end_recall). A remembered process that is found running keeps what
//! only its exec and its fork could tell; one that is not found has ended meanwhile, and stays as long as
//! it has descendants.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Image, Process, ProcessTree, TICK_NS, one};
use crate::pipeline::cgroup::Cgroup;
use crate::pipeline::exec::{ExePath, FileId, ProcessKey, Running, Time, Unknown};
use crate::pipeline::provenance::Program;

/// A process as the tree knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    pub process: ProcessKey,
    /// Who created it, when the tree knows that.
    pub creator: Option<ProcessKey>,
    pub exe: ExePath,
    /// The file, when the exec itself was seen.
    pub file: Option<FileId>,
    /// What is run by an interpreter.
    pub script: Option<Arc<[u8]>>,
    /// What the command line names as that, where the kernel told none.
    pub claimed_script: Option<Arc<[u8]>>,
    /// Joined by spaces; its beginning, when [`command_line_bytes_full`](Self::command_line_bytes_full) is
    /// more.
    pub command_line: Arc<[u8]>,
    pub command_line_bytes_full: u64,
    pub exec_time: Option<Time>,
    /// Where it ran, if it has ended: of the living the host tells.
    pub cgroup: Option<Arc<Cgroup>>,
    pub ended: bool,
}

impl Remembered {
    /// What to sort by so that the oldest comes first: who creates is older than who is created.
    pub fn age(&self) -> (u64, u32) {
        order(self.process)
    }
}

impl ProcessTree {
    /// What is worth remembering, in no order: the living, and the ended from whom one of them descends.
    /// Texts are shared, not copied.
    pub fn remembered(&self) -> Vec<Remembered> {
        let mut ended = HashSet::new();
        let mut remembered = Vec::with_capacity(self.count);
        for (&tgid, generations) in &self.processes {
            let living = generations.iter().filter(|process| !process.ended);
            for process in living {
                remembered.push(process.remembered(tgid));
                // Those who live are met in their own right.
                let mut next = process.creator;
                while let Some(creator) = next
                    && let Some(found) = self.find(creator)
                    && found.ended
                    && ended.insert((creator.tgid, found.start_ns))
                {
                    remembered.push(found.remembered(creator.tgid));
                    next = found.creator;
                }
            }
        }
        remembered
    }

    /// Takes in what an earlier run remembered, in any order, as far as there is room; what finds none is
    /// counted. A process that the tree has already is left as it is.
    pub fn recall(&mut self, remembered: impl IntoIterator<Item = Remembered>) {
        let mut remembered: Vec<Remembered> = remembered.into_iter().collect();
        remembered.sort_by_key(Remembered::age);
        let mut links = Vec::new();
        let mut ended = Vec::new();
        for one in remembered {
            if self.find(one.process).is_some() {
                continue;
            }
            if self.count >= self.limits.processes_max {
                self.counters.processes_dropped += 1;
                continue;
            }
            links.extend(one.creator.map(|creator| (one.process, creator)));
            ended.extend(one.ended.then_some(one.process));
            self.take_in(one);
        }
        for (child, creator) in links {
            // Nobody is older than who created it, whatever a file says.
            if creator.start_ns / TICK_NS <= child.start_ns / TICK_NS {
                self.adopt(child, creator);
            }
        }
        for key in ended {
            self.remember(key, true);
        }
    }

    /// Every process that runs has been handled: what was remembered and is not among them has ended.
    pub fn end_recall(&mut self) {
        let mut gone = Vec::new();
        // In no order; sorted below.
        for (&tgid, generations) in &mut self.processes {
            for process in generations.iter_mut().filter(|process| process.recalled) {
                let was_ended = std::mem::replace(&mut process.ended, true);
                process.recalled = false;
                let start_ns = process.start_ns;
                gone.push((ProcessKey { tgid, start_ns }, was_ended));
            }
        }
        gone.sort_unstable_by_key(|&(key, _)| order(key));
        // The youngest first: who has no descendants is dropped, and with it who waited for that.
        for &(key, _) in gone.iter().rev() {
            self.forget(key);
        }
        for (key, was_ended) in gone {
            if !was_ended && self.find(key).is_some() {
                self.remember(key, true);
            }
        }
    }

    /// A remembered process is found running. It keeps its creator, and what it was started as unless it
    /// runs something else now. One that had ended is a zombie, and stays ended.
    pub(super) fn confirm(&mut self, running: &Running) {
        let found = self.find(running.process);
        let Some(found) = found.filter(|process| process.recalled && !process.ended) else {
            return;
        };
        let is_same = found.image.is_still(running);
        if !is_same {
            let image = self.image_of_running(running);
            self.replace_image(running.process, image, None);
        }
        let Some(process) = self.find_mut(running.process) else {
            return;
        };
        process.recalled = false;
        // Where nothing says that it is this file still, no verdict may hang on it.
        let image = Arc::make_mut(&mut process.image);
        image.file = running.file;
        image.program = running.program.clone();
    }

    /// The youngest process of a number, if it is known to run.
    pub(super) fn youngest_seen(&self, tgid: u32) -> Option<ProcessKey> {
        let youngest = self.processes.get(&tgid)?.last()?;
        let start_ns = youngest.start_ns;
        (!youngest.recalled).then_some(ProcessKey { tgid, start_ns })
    }

    fn take_in(&mut self, remembered: Remembered) {
        let Remembered {
            process,
            creator: _,
            exe,
            file,
            script,
            claimed_script,
            command_line,
            command_line_bytes_full,
            exec_time,
            cgroup,
            ended,
        } = remembered;
        let kept = command_line.len().min(self.limits.command_line_bytes_max);
        let image = self.afford(Arc::new(Image {
            exe,
            file,
            script,
            claimed_script,
            command_line_bytes_full: command_line_bytes_full.max(command_line.len() as u64),
            command_line: command_line[..kept].into(),
            program: Program {
                cgroup,
                ..Program::default()
            },
        }));
        self.bytes += image.bytes();
        self.count += 1;
        let generations = self.processes.entry(process.tgid).or_insert_with(one);
        // A number is used again only when its process has ended.
        for older in generations.iter_mut() {
            older.ended = true;
        }
        generations.push(Process {
            start_ns: process.start_ns,
            creator: None,
            image,
            exec_time,
            children: 0,
            ended,
            recalled: true,
        });
    }
}

impl Process {
    fn remembered(&self, tgid: u32) -> Remembered {
        let Self {
            start_ns,
            creator,
            image,
            exec_time,
            children: _,
            ended,
            recalled: _,
        } = self;
        Remembered {
            process: ProcessKey {
                tgid,
                start_ns: *start_ns,
            },
            creator: *creator,
            exe: image.exe.clone(),
            file: image.file,
            script: image.script.clone(),
            claimed_script: image.claimed_script.clone(),
            command_line: Arc::clone(&image.command_line),
            command_line_bytes_full: image.command_line_bytes_full,
            exec_time: *exec_time,
            cgroup: image.program.cgroup.clone().filter(|_| *ended),
            ended: *ended,
        }
    }
}

impl Image {
    /// Whether nothing says that the process has been through an exec since. A zombie has no executable any
    /// more, and one that cannot be read says nothing.
    fn is_still(&self, running: &Running) -> bool {
        let ExePath::Known(_) = &running.exe else {
            return self.exe != ExePath::Unknown(Unknown::NotRecorded);
        };
        let is_other_file = match (self.file, running.file) {
            (Some(before), Some(now)) => before != now,
            _ => false,
        };
        self.exe == running.exe && !is_other_file
    }
}

/// By age: who creates is older than who is created.
fn order(key: ProcessKey) -> (u64, u32) {
    (key.start_ns, key.tgid)
}

#[cfg(test)]
mod tests;
