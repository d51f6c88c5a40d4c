//! What the project wants the agent to cost at most, beside what was measured. It decides nothing: a
//! machine that others use misses goals as well.

use serde::Serialize;

use super::observer::Observer;
use super::pairing::{Comparison, Observed};
use super::report::Report;
use super::workload::Workload;

/// Of the throughput of the cheapest exec there is: what may be lost, and what is aimed at.
const LOST_PERCENT_MAX: f64 = 4.0;
const LOST_PERCENT_AIM: f64 = 2.0;

/// Of the kernel programs, for an exec with its fork and its exit.
const PROGRAMS_NS_MAX: f64 = 3_500.0;

/// Of the agent's own processor time for an exec.
const OWN_CPU_NS_MAX: f64 = 1_000.0;

const SEEN_P99_US_MAX: f64 = 1_000.0;
const ON_DISK_P99_US_MAX: f64 = 10_000.0;
const ANONYMOUS_KIB_MAX: u64 = 4 * 1024;
const ARMED_MS_MAX: f64 = 150.0;

/// One goal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) limit: String,
    pub(crate) measured: String,
    pub(crate) verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Met,
    Missed,
    NotMeasured,
}

impl Verdict {
    fn of(is_met: bool) -> Self {
        if is_met { Self::Met } else { Self::Missed }
    }

    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "**missed**",
            Self::NotMeasured => "**not measured**",
        }
    }
}

impl Goal {
    fn new(what: impl Into<String>, limit: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            limit: limit.into(),
            measured: "-".to_owned(),
            verdict: Verdict::NotMeasured,
        }
    }

    /// `None` leaves it unmeasured.
    fn judge(self, measured: Option<(String, bool)>) -> Self {
        match measured {
            Some((measured, is_met)) => Self {
                measured,
                verdict: Verdict::of(is_met),
                ..self
            },
            None => self,
        }
    }
}

/// All goals, in the order of the report.
pub(crate) fn goals(report: &Report) -> Vec<Goal> {
    let mut goals = Vec::new();
    for comparison in &report.comparisons {
        match comparison.workload {
            Workload::OneWorker | Workload::AllProcessors => {
                goals.extend([cheapest_exec(comparison), own_cpu(comparison)]);
            }
            Workload::Script | Workload::Configure => goals.push(real_execs(comparison)),
            Workload::SystemCalls => goals.push(system_calls(comparison)),
        }
    }
    goals.extend([
        programs(report),
        seen(report),
        on_disk(report),
        anonymous(report),
        armed(report),
        loss(report),
    ]);
    goals
}

fn cheapest_exec(comparison: &Comparison) -> Goal {
    let goal = Goal::new(
        format!("throughput lost, {}", comparison.name),
        format!("{LOST_PERCENT_MAX} %, aim {LOST_PERCENT_AIM} %"),
    );
    let ratio = with(comparison).and_then(|it| it.throughput_ratio);
    goal.judge(ratio.map(|ratio| {
        let lost = (1.0 - ratio.median) * 100.0;
        let aim = if lost <= LOST_PERCENT_AIM { "" } else { "not " };
        (
            format!("{lost:.1} %, aim {aim}reached"),
            lost <= LOST_PERCENT_MAX,
        )
    }))
}

/// What the control, which compares nothing with nothing, has shown as well is noise.
fn real_execs(comparison: &Comparison) -> Goal {
    let goal = Goal::new(
        format!("throughput, {}", comparison.name),
        "within the control's spread",
    );
    let ratio = |observed: &Observed| observed.throughput_ratio;
    let control = comparison.of(Observer::Nobody).and_then(ratio);
    let with = with(comparison).and_then(ratio);
    goal.judge(with.zip(control).map(|(with, control)| {
        let (min, max) = (control.min, control.max);
        (
            format!("{:.3}, control {min:.3} to {max:.3}", with.median),
            with.median >= min,
        )
    }))
}

/// By processor time, for that is what a tax takes, and nobody else's work is in it.
fn system_calls(comparison: &Comparison) -> Goal {
    let goal = Goal::new(
        "added to every other system call",
        "within the control's spread",
    );
    let added = |observed: &Observed| observed.added_cpu_ns_per_step;
    let control = comparison.of(Observer::Nobody).and_then(added);
    let with = with(comparison).and_then(added);
    goal.judge(with.zip(control).map(|(with, control)| {
        let (min, max) = (control.min, control.max);
        (
            format!("{:.1} ns, control {min:.1} to {max:.1} ns", with.median),
            with.median <= max,
        )
    }))
}

fn with(comparison: &Comparison) -> Option<&Observed> {
    comparison.of(Observer::Wallwatch)
}

fn own_cpu(comparison: &Comparison) -> Goal {
    let goal = Goal::new(
        format!("the agent's own CPU, {}", comparison.name),
        format!("under {OWN_CPU_NS_MAX:.0} ns an exec"),
    );
    let own = with(comparison).and_then(|it| it.own_cpu_ns_per_step);
    goal.judge(own.map(|it| below(it.median, OWN_CPU_NS_MAX, "ns")))
}

fn programs(report: &Report) -> Goal {
    let goal = Goal::new(
        "kernel programs, an exec with its fork and its exit",
        format!("{PROGRAMS_NS_MAX:.0} ns"),
    );
    let programs = report.kernel_programs.as_ref().ok();
    goal.judge(programs.and_then(|it| {
        let ns = it.ns_per_exec?.median;
        Some((format!("{ns:.0} ns"), ns <= PROGRAMS_NS_MAX))
    }))
}

fn seen(report: &Report) -> Goal {
    let goal = Goal::new(
        "urgent exec seen, p99",
        format!("under {SEEN_P99_US_MAX:.0} µs"),
    );
    let seen = report.latency.exec_to_seen_us;
    goal.judge(seen.map(|it| below(it.p99, SEEN_P99_US_MAX, "µs")))
}

fn on_disk(report: &Report) -> Goal {
    let goal = Goal::new(
        "its alert on disk, p99",
        format!("under {ON_DISK_P99_US_MAX:.0} µs"),
    );
    let disk = report.latency.exec_to_disk_us;
    goal.judge(disk.map(|it| below(it.p99, ON_DISK_P99_US_MAX, "µs")))
}

fn below(value: f64, limit: f64, unit: &str) -> (String, bool) {
    (format!("{value:.0} {unit}"), value < limit)
}

fn anonymous(report: &Report) -> Goal {
    let run = &report.long_run;
    let goal = Goal::new(
        format!("RssAnon, at the most, over {} execs", run.execs),
        format!("under {ANONYMOUS_KIB_MAX} KiB"),
    );
    let most = run.at_most;
    goal.judge(Some((
        format!(
            "{} KiB, VmRSS {} KiB",
            most.anonymous_kib, most.resident_kib
        ),
        most.anonymous_kib < ANONYMOUS_KIB_MAX,
    )))
}

fn armed(report: &Report) -> Goal {
    let goal = Goal::new(
        format!("armed, {} processes", report.start_up.processes),
        format!("under {ARMED_MS_MAX:.0} ms"),
    );
    goal.judge(report.start_up.armed_ms.map(|it| {
        (
            format!("{:.0} ms, worst {:.0} ms", it.median, it.max),
            it.max < ARMED_MS_MAX,
        )
    }))
}

fn loss(report: &Report) -> Goal {
    let (totals, stops) = report.totals();
    Goal::new("execs lost at the machine's full rate", "none").judge(Some((
        format!(
            "{} of {}, {stops} runs of the agent",
            totals.lost(),
            totals.seen
        ),
        totals.lost() == 0,
    )))
}
