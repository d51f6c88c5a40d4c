//! A process that is measured: what it uses, and its end.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;

use crate::time;

/// Memory of a process, in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    /// Its own.
    pub(crate) anonymous_kib: u64,
    /// With its program file and its rings; the agent maps each of these twice.
    pub(crate) resident_kib: u64,
}

/// A child that does not outlive this value, nor this program.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        end_with_me(command);
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        Ok(Self(child))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> anyhow::Result<bool> {
        let status = self.0.try_wait().context("look at a process")?;
        Ok(status.is_some())
    }

    /// Asks it to end, with a signal, and waits for that no longer than `wait_max`.
    pub(crate) fn stop(&mut self, signal: i32, wait_max: Duration) -> anyhow::Result<ExitStatus> {
        self.signal(signal)?;
        let begin = time::now();
        loop {
            if let Some(status) = self.0.try_wait().context("wait for a process")? {
                return Ok(status);
            }
            if time::now() - begin > wait_max {
                bail!("process {} does not stop", self.pid());
            }
            sleep(Duration::from_millis(5));
        }
    }

    fn signal(&self, signal: i32) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid()).context("a process id")?;
        // SAFETY: the call has no preconditions; the process has not been waited for, so that the
        // number is still its own.
        if unsafe { libc::kill(pid, signal) } != 0 {
            return Err(io::Error::last_os_error()).context("signal a process");
        }
        Ok(())
    }
}

/// Whatever went wrong, it does not outlive the measurement.
impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already when it was stopped in order.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Also when this program is killed, the child ends.
fn end_with_me(command: &mut Command) {
    let die = || {
        // SAFETY: the call has no preconditions, and may be made between fork and exec.
        match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: the closure calls the kernel and nothing else; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(die) };
}

/// Processor time of all threads of these processes, in nanoseconds.
pub(crate) fn cpu_ns(pids: &[u32]) -> anyhow::Result<u64> {
    let mut sum = 0;
    for pid in pids {
        let tasks = format!("/proc/{pid}/task");
        for task in fs::read_dir(&tasks).with_context(|| format!("list {tasks}"))? {
            let path = task.context("list threads")?.path();
            // A thread may end meanwhile.
            let schedstat = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
            sum += first_number(&schedstat).unwrap_or(0);
        }
    }
    Ok(sum)
}

pub(crate) fn memory(pid: u32) -> anyhow::Result<Memory> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    parse_memory(&status).with_context(|| format!("find the memory in {path}"))
}

/// Processes that live now.
pub(crate) fn count() -> anyhow::Result<usize> {
    Ok(pids()?.len())
}

/// The first process of that name, which may be a thread of the kernel.
pub(crate) fn named(name: &str) -> anyhow::Result<Option<u32>> {
    let is_named = |pid: &u32| {
        // It may end meanwhile.
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    Ok(pids()?.into_iter().find(is_named))
}

fn pids() -> anyhow::Result<Vec<u32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc").context("list /proc")? {
        let name = entry.context("list /proc")?.file_name();
        pids.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(pids)
}

/// Of `/proc/PID/status`.
fn parse_memory(status: &str) -> Option<Memory> {
    let kib = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        first_number(line.split_once(':')?.1)
    };
    Some(Memory {
        anonymous_kib: kib("RssAnon:")?,
        resident_kib: kib("VmRSS:")?,
    })
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_status() {
        let status = "Name:\twallwatch\nVmRSS:\t   21000 kB\nRssAnon:\t    3500 kB\n";
        let expected = Memory {
            anonymous_kib: 3500,
            resident_kib: 21000,
        };
        assert_eq!(parse_memory(status), Some(expected));
        assert_eq!(parse_memory("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn a_schedstat_begins_with_the_time_on_a_processor() {
        assert_eq!(first_number("123456 789 10\n"), Some(123_456));
    }

    #[test]
    fn a_process_is_asked_to_end() {
        let mut process = Process::start(Command::new("sleep").arg("60")).unwrap();
        assert!(!process.has_ended().unwrap());
        assert!(count().unwrap() >= 2);
        let status = process
            .stop(libc::SIGTERM, Duration::from_secs(10))
            .unwrap();
        assert!(!status.success());
    }

    #[test]
    fn the_time_of_this_process_grows() {
        let me = std::process::id();
        assert!(cpu_ns(&[me]).unwrap() > 0);
        assert!(memory(me).unwrap().resident_kib > 0);
    }
}
