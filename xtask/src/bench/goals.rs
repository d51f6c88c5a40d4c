//! What the project wants the agent to cost at most, beside what was measured. It decides nothing: a
//! machine that others use misses goals as well.

use serde::Serialize;

use super::observer::Observer;
use super::pairing::{Comparison, Observed};
use super::report::Report;
use super::spread::Spread;
use super::workload::Workload;

/// Of the throughput of the cheapest exec there is: what may be lost, and what is aimed at.
const LOST_PERCENT_MAX: f64 = 4.0;
const LOST_PERCENT_AIM: f64 = 2.0;

/// The former, as the ratio of throughputs.
pub(crate) const THROUGHPUT_GOAL: f64 = 1.0 - LOST_PERCENT_MAX / 100.0;

/// How far the control's median may be from none lost, so that throughputs can be judged at all.
const STRAY_PERCENT_MAX: f64 = 2.0;

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
    /// The control strays too far for a verdict.
    Undecided,
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
            Self::Undecided => "**undecided**: the control strays",
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

    /// No verdict when the control has lost, or won, that many per cent by doing nothing.
    fn unless_stray(self, control_lost_percent: Option<f64>) -> Self {
        match control_lost_percent {
            Some(lost) if lost.abs() > STRAY_PERCENT_MAX => Self {
                verdict: Verdict::Undecided,
                ..self
            },
            Some(_) | None => self,
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
    let lost = ratio(comparison, Observer::Wallwatch).map(lost_percent);
    let control = ratio(comparison, Observer::Nobody).map(lost_percent);
    let measured = lost.zip(control).map(|(lost, control)| {
        let aim = if lost <= LOST_PERCENT_AIM { "" } else { "not " };
        (
            format!("{lost:.1} %, aim {aim}reached; control {control:.1} %"),
            lost <= LOST_PERCENT_MAX,
        )
    });
    goal.judge(measured).unless_stray(control)
}

/// What the control, which compares nothing with nothing, has shown as well is noise.
fn real_execs(comparison: &Comparison) -> Goal {
    let goal = Goal::new(
        format!("throughput, {}", comparison.name),
        "within the control's spread",
    );
    let with = ratio(comparison, Observer::Wallwatch);
    let control = ratio(comparison, Observer::Nobody);
    let measured = with.zip(control).map(|(with, control)| {
        let (min, max) = (control.min, control.max);
        (
            format!("{:.3}; control {min:.3} to {max:.3}", with.median),
            with.median >= min,
        )
    });
    goal.judge(measured).unless_stray(control.map(lost_percent))
}

fn ratio(comparison: &Comparison, observer: Observer) -> Option<Spread> {
    comparison.of(observer)?.throughput_ratio
}

fn lost_percent(ratio: Spread) -> f64 {
    (1.0 - ratio.median) * 100.0
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
            format!("{:.1} ns; control {min:.1} to {max:.1} ns", with.median),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(observer: Observer, ratios: [f64; 3], added_cpu_ns: [f64; 3]) -> Observed {
        Observed {
            observer,
            throughput_ratio: Spread::of(ratios),
            added_wall_ns_per_step: None,
            added_cpu_ns_per_step: Spread::of(added_cpu_ns),
            own_cpu_ns_per_step: None,
            anonymous_kib: None,
            resident_kib: None,
            rounds: 3,
            rounds_disturbed: 0,
            totals: None,
            stops: 0,
            lost: 0,
            refusal: None,
        }
    }

    /// The control's median is 1 and 0 ns.
    fn comparison(workload: Workload, ratio: f64, added_cpu_ns: f64) -> Comparison {
        let control = observed(Observer::Nobody, [0.99, 1.0, 1.01], [-1.0, 0.0, 1.0]);
        let with = observed(Observer::Wallwatch, [ratio; 3], [added_cpu_ns; 3]);
        Comparison {
            workload,
            name: workload.describe(),
            bare_steps_per_s: None,
            observed: vec![control, with],
        }
    }

    fn check(goal: &Goal, measured: &str, verdict: Verdict) {
        assert_eq!((goal.measured.as_str(), goal.verdict), (measured, verdict));
    }

    #[test]
    fn the_cheapest_exec_has_a_limit_and_an_aim() {
        let goal = |ratio| cheapest_exec(&comparison(Workload::OneWorker, ratio, 0.0));
        check(
            &goal(0.985),
            "1.5 %, aim reached; control 0.0 %",
            Verdict::Met,
        );
        check(
            &goal(0.965),
            "3.5 %, aim not reached; control 0.0 %",
            Verdict::Met,
        );
        check(
            &goal(0.95),
            "5.0 %, aim not reached; control 0.0 %",
            Verdict::Missed,
        );
    }

    #[test]
    fn what_the_control_shows_as_well_is_noise() {
        let goal = |ratio| real_execs(&comparison(Workload::Script, ratio, 0.0));
        check(&goal(0.992), "0.992; control 0.990 to 1.010", Verdict::Met);
        check(
            &goal(0.98),
            "0.980; control 0.990 to 1.010",
            Verdict::Missed,
        );
        let goal = |ns| system_calls(&comparison(Workload::SystemCalls, 1.0, ns));
        check(&goal(0.5), "0.5 ns; control -1.0 to 1.0 ns", Verdict::Met);
        check(
            &goal(48.0),
            "48.0 ns; control -1.0 to 1.0 ns",
            Verdict::Missed,
        );
    }

    #[test]
    fn nothing_is_decided_where_nothing_costs_something() {
        let mut comparison = comparison(Workload::OneWorker, 1.2, 0.0);
        comparison.observed[0].throughput_ratio = Spread::of([0.74]);
        assert_eq!(cheapest_exec(&comparison).verdict, Verdict::Undecided);
        comparison.observed[0].throughput_ratio = Spread::of([1.5]);
        assert_eq!(real_execs(&comparison).verdict, Verdict::Undecided);
    }

    #[test]
    fn a_goal_without_a_measurement_is_not_met() {
        let mut comparison = comparison(Workload::OneWorker, 1.0, 0.0);
        check(&own_cpu(&comparison), "-", Verdict::NotMeasured);
        comparison.observed.clear();
        check(&cheapest_exec(&comparison), "-", Verdict::NotMeasured);
    }
}
