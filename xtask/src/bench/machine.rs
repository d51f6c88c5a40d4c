//! What the whole machine does meanwhile: whether a burst had it to itself.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use crate::time;

/// Processors that others may use during a burst. The kernel's own threads, which tidy up after
/// processes that have ended, count as others.
pub(crate) const OTHERS_MAX: f64 = 0.25;

/// How long the machine is watched for whether it is quiet.
const GLANCE: Duration = Duration::from_millis(150);

/// Processor time since boot, in seconds, that somebody used or that another machine took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Busy(f64);

impl Busy {
    pub(crate) fn now() -> anyhow::Result<Self> {
        let text = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
        // SAFETY: the call has no preconditions.
        let ticks_per_s = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
        parse(&text, ticks_per_s as f64).context("find the processors' times in /proc/stat")
    }

    pub(crate) fn seconds_since(self, before: Self) -> f64 {
        self.0 - before.0
    }
}

/// The first line is `cpu user nice system idle iowait irq softirq steal guest guest_nice`; guests are
/// contained in user and nice.
fn parse(stat: &str, ticks_per_s: f64) -> Option<Busy> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let &[user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = ticks.as_slice() else {
        return None;
    };
    let busy = user + nice + system + irq + softirq + steal;
    Some(Busy(busy as f64 / ticks_per_s))
}

/// Lets a burst begin when others leave the machine alone, and bounds the time spent waiting for that.
pub(crate) struct Gate {
    others_max: f64,
    patience: Duration,
    waited: Duration,
}

impl Gate {
    pub(crate) fn new(others_max: f64, patience_s: u64) -> Self {
        Self {
            others_max,
            patience: Duration::from_secs(patience_s),
            waited: Duration::ZERO,
        }
    }

    /// Returns when the machine is quiet, or patience is at its end.
    pub(crate) fn wait(&mut self) -> anyhow::Result<()> {
        loop {
            let (before, begin) = (Busy::now()?, time::now());
            sleep(GLANCE);
            let used_s = Busy::now()?.seconds_since(before);
            let glanced = time::now() - begin;
            if self.is_quiet(used_s / glanced.as_secs_f64()) || self.has_lost_patience() {
                return Ok(());
            }
            self.waited += glanced;
        }
    }

    /// Whether that many processors in use by others are few enough.
    pub(crate) fn is_quiet(&self, others: f64) -> bool {
        others <= self.others_max
    }

    pub(crate) fn has_lost_patience(&self) -> bool {
        self.waited >= self.patience
    }

    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }
}

/// On what was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) kernel: String,
    pub(crate) processor: String,
    pub(crate) processors: usize,
}

pub(crate) fn describe() -> Machine {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown", |(_, name)| name.trim());
    Machine {
        kernel: kernel.trim().to_owned(),
        processor: processor.to_owned(),
        processors: processors(),
    }
}

/// Processors that this process may use.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_all_but_idle_and_waiting_and_a_guest_counts_once() {
        let stat = "cpu  100 10 50 9000 700 3 7 30 60 0\ncpu0 1 2 3 4\n";
        assert_eq!(parse(stat, 100.0), Some(Busy(2.0)));
    }

    #[test]
    fn what_is_no_stat_is_refused() {
        assert_eq!(parse("", 100.0), None);
        assert_eq!(parse("cpu 1 2 3\n", 100.0), None);
        assert_eq!(parse("intr 1 2 3 4 5 6 7 8\n", 100.0), None);
    }

    #[test]
    fn patience_ends() {
        let mut gate = Gate::new(-1.0, 0);
        gate.wait().unwrap();
        assert!(gate.has_lost_patience());
        assert!(!gate.is_quiet(0.0));
    }
}
