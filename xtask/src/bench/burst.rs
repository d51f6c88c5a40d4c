//! One burst of execs, or of system calls.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, bail};

use super::machine::{Busy, Gate};
use super::observer::Watch;
use super::worker::{READY, Work};
use super::workload::{Bench, Workload};
use crate::time;

/// Long enough for some thousand execs, short enough for the machine not to change meanwhile. A
/// workload that takes longer for one run runs once.
pub(crate) const DURATION: Duration = Duration::from_millis(400);

/// A disturbed burst is tried again, that often altogether.
pub(crate) const TRIES_MAX: u32 = 6;

/// The agent drains its ring every ten milliseconds; after that it has caught up.
const CATCH_UP: Duration = Duration::from_millis(150);

/// Whoever uses more of a processor than a fiftieth is still catching up, within reason.
const CAUGHT_UP: f64 = 0.02;
const CATCH_UP_MAX: Duration = Duration::from_secs(10);

/// What a burst took. A step is an exec, or a call where the workload makes only those.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Burst {
    pub(crate) steps: u64,
    pub(crate) steps_per_s: f64,
    /// From one step of a worker to its next.
    pub(crate) wall_ns_per_step: f64,
    /// Of the workers and all that they started.
    pub(crate) cpu_ns_per_step: f64,
    /// Of the observer's own processes, until they had caught up; 0 without any.
    pub(crate) observer_cpu_ns_per_step: f64,
    /// Processors that somebody else used meanwhile.
    pub(crate) others: f64,
}

impl Burst {
    /// A burst that nobody disturbed. `None` when there was none among a few, which happens only
    /// when patience has run out or others come and go.
    pub(crate) fn undisturbed(
        bench: &Bench,
        workload: Workload,
        watch: &Watch,
        gate: &mut Gate,
    ) -> anyhow::Result<Option<Self>> {
        for _ in 0..TRIES_MAX {
            gate.wait()?;
            let burst = Self::measure(bench, workload, watch, DURATION)?;
            if gate.is_quiet(burst.others) {
                return Ok(Some(burst));
            }
            if gate.has_lost_patience() {
                break;
            }
        }
        Ok(None)
    }

    /// A burst of that length, whoever else uses the machine.
    pub(crate) fn measure(
        bench: &Bench,
        workload: Workload,
        watch: &Watch,
        duration: Duration,
    ) -> anyhow::Result<Self> {
        let workers = (0..workload.workers())
            .map(|number| Worker::start(bench, workload, duration, number))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let observer_before_ns = watch.cpu_ns()?;
        let busy_before = Busy::now()?;
        let released: Vec<_> = workers.into_iter().map(Worker::release).collect();
        let works = released
            .into_iter()
            .map(Released::join)
            .collect::<anyhow::Result<Vec<_>>>()?;
        let busy_s = Busy::now()?.seconds_since(busy_before);
        let observer_meanwhile_ns = watch.cpu_ns()? - observer_before_ns;
        catch_up(watch)?;
        let observer_ns = watch.cpu_ns()? - observer_before_ns;
        Self::of(
            &works,
            bench.steps_per_run(workload),
            observer_ns,
            busy_s - observer_meanwhile_ns as f64 / 1e9,
        )
        .context("a worker did nothing at all")
    }

    /// `busy_s` is the processor time that all but the observer used.
    fn of(works: &[Work], steps_per_run: u64, observer_ns: u64, busy_s: f64) -> Option<Self> {
        let steps: u64 = works.iter().map(|work| work.runs * steps_per_run).sum();
        let cpu_ns: u64 = works.iter().map(|work| work.cpu_ns).sum();
        let longest_s = works.iter().map(|work| work.wall_ns).max()? as f64 / 1e9;
        if works.iter().any(|work| work.runs == 0) {
            return None;
        }
        let per_run_ns = works
            .iter()
            .map(|work| work.wall_ns as f64 / work.runs as f64);
        let per_run_ns = per_run_ns.sum::<f64>() / works.len() as f64;
        Some(Self {
            steps,
            steps_per_s: steps as f64 / longest_s,
            wall_ns_per_step: per_run_ns / steps_per_run as f64,
            cpu_ns_per_step: cpu_ns as f64 / steps as f64,
            observer_cpu_ns_per_step: observer_ns as f64 / steps as f64,
            others: (busy_s - cpu_ns as f64 / 1e9) / longest_s,
        })
    }
}

/// Waits until the observer has taken in what the burst left, so that the burst that follows does not
/// pay for it.
fn catch_up(watch: &Watch) -> anyhow::Result<()> {
    if !watch.has_process() {
        return Ok(());
    }
    let begin = time::now();
    loop {
        let before_ns = watch.cpu_ns()?;
        sleep(CATCH_UP);
        let used_ns = watch.cpu_ns()? - before_ns;
        let is_idle = used_ns as f64 <= CAUGHT_UP * CATCH_UP.as_nanos() as f64;
        if is_idle || time::now() - begin > CATCH_UP_MAX {
            return Ok(());
        }
    }
}

/// A worker that waits for the sign to begin.
struct Worker {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

/// A worker at work.
struct Released(Worker);

impl Worker {
    fn start(
        bench: &Bench,
        workload: Workload,
        duration: Duration,
        number: usize,
    ) -> anyhow::Result<Self> {
        let myself = std::env::current_exe().context("find this program")?;
        let mut command = Command::new(myself);
        command.arg("bench-worker");
        if workload.stays_on_processors() {
            command.args(["--processor", &number.to_string()]);
        }
        if workload == Workload::SystemCalls {
            command.arg("--system-calls");
        }
        let milliseconds = duration.as_millis().to_string();
        let mut child = command
            .args(["--milliseconds", &milliseconds, "--"])
            .args(bench.command(workload))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start a worker")?;
        let stdout = child.stdout.take().context("open the worker's output")?;
        let mut worker = Self {
            child,
            stdout: BufReader::new(stdout),
        };
        let mut line = String::new();
        worker
            .stdout
            .read_line(&mut line)
            .context("wait for a worker")?;
        if line.trim_end() != READY {
            bail!("a worker did not start");
        }
        Ok(worker)
    }

    /// The sign is the end of its input.
    fn release(mut self) -> Released {
        drop(self.child.stdin.take());
        Released(self)
    }
}

impl Released {
    fn join(self) -> anyhow::Result<Work> {
        let Worker {
            mut child,
            mut stdout,
        } = self.0;
        let mut said = String::new();
        stdout
            .read_to_string(&mut said)
            .context("read what a worker says")?;
        let status = child.wait().context("wait for a worker")?;
        if !status.success() {
            bail!("a worker ended with {status}");
        }
        serde_json::from_str(&said).with_context(|| format!("read a worker's result: {said}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(runs: u64, wall_ms: u64, cpu_ms: u64) -> Work {
        Work {
            runs,
            wall_ns: wall_ms * 1_000_000,
            cpu_ns: cpu_ms * 1_000_000,
        }
    }

    #[test]
    fn workers_side_by_side_add_their_steps_and_share_their_time() {
        let burst = Burst::of(&[work(100, 400, 300), work(300, 500, 400)], 1, 4_000, 0.75).unwrap();
        assert_eq!(burst.steps, 400);
        assert_eq!(burst.steps_per_s, 800.0);
        // 4 ms and 1.67 ms
        assert_eq!(burst.wall_ns_per_step.round(), 2_833_333.0);
        assert_eq!(burst.cpu_ns_per_step, 1_750_000.0);
        assert_eq!(burst.observer_cpu_ns_per_step, 10.0);
        assert!((burst.others - 0.1).abs() < 1e-9);
    }

    #[test]
    fn a_run_may_be_several_steps() {
        let burst = Burst::of(&[work(10, 100, 50)], 11, 0, 0.05).unwrap();
        assert_eq!(burst.steps, 110);
        assert_eq!(burst.wall_ns_per_step.round(), 909_091.0);
    }

    #[test]
    fn a_worker_that_did_nothing_makes_no_burst() {
        assert_eq!(Burst::of(&[work(0, 400, 1)], 1, 0, 0.0), None);
        assert_eq!(Burst::of(&[], 1, 0, 0.0), None);
    }
}
