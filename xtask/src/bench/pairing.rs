//! Bursts with an observer, each between two without any.

use serde::Serialize;

use super::agent::Totals;
use super::auditd::Janitor;
use super::burst::Burst;
use super::machine::Gate;
use super::observer::{LastWords, Observer, Watch};
use super::process::Memory;
use super::spread::Spread;
use super::workload::{Bench, Workload};

/// What one workload came to. A step is an exec, or a call where the workload makes only those.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) workload: Workload,
    pub(crate) name: String,
    /// Bursts without any observer.
    pub(crate) bare_steps_per_s: Option<Spread>,
    /// In the order in which they were asked for.
    pub(crate) observed: Vec<Observed>,
}

/// What one observer makes of a workload, beyond the mean of the bursts before and after.
#[derive(Debug, Serialize)]
pub(crate) struct Observed {
    pub(crate) observer: Observer,
    pub(crate) throughput_ratio: Option<Spread>,
    pub(crate) added_wall_ns_per_step: Option<Spread>,
    pub(crate) added_cpu_ns_per_step: Option<Spread>,
    /// Of its own processes; `None` when it has none.
    pub(crate) own_cpu_ns_per_step: Option<Spread>,
    pub(crate) anonymous_kib: Option<Spread>,
    pub(crate) resident_kib: Option<Spread>,
    pub(crate) rounds: u32,
    /// Thrown away: others used the machine.
    pub(crate) rounds_disturbed: u32,
    /// Of wallwatch, over all its bursts.
    pub(crate) totals: Option<Totals>,
    /// How often wallwatch said its totals.
    pub(crate) stops: u32,
    /// Events that another observer says it has lost.
    pub(crate) lost: u64,
    /// Why a peer was not measured, or no more.
    pub(crate) refusal: Option<String>,
}

impl Comparison {
    pub(crate) fn of(&self, observer: Observer) -> Option<&Observed> {
        self.observed.iter().find(|it| it.observer == observer)
    }
}

/// Compares every workload with every observer, in as many rounds. What comes first changes from round to
/// round.
pub(crate) fn compare(
    bench: &Bench,
    observers: &[Observer],
    rounds: u32,
    gate: &mut Gate,
) -> anyhow::Result<Vec<Comparison>> {
    let uses_audit = observers.contains(&Observer::Auditd);
    let _janitor = uses_audit.then(Janitor::start).flatten();
    let mut tallies = Workload::ALL.map(|workload| Tally::new(workload, observers));
    for round in 0..rounds as usize {
        eprintln!("round {} of {rounds}", round + 1);
        for tally in &mut tallies {
            eprintln!("  {}", tally.workload.describe());
            for rounds in &mut tally.observed {
                rounds.measure(bench, tally.workload, gate)?;
            }
            tally.observed.rotate_left(1);
        }
        tallies.rotate_left(1);
    }
    tallies.sort_by_key(|tally| Workload::ALL.iter().position(|it| *it == tally.workload));
    let comparisons = tallies.into_iter().map(|tally| tally.finish(observers));
    Ok(comparisons.collect())
}

/// Three bursts, one after the other.
#[derive(Clone, Copy, Debug)]
struct Triple {
    before: Burst,
    middle: Burst,
    after: Burst,
}

impl Triple {
    fn throughput_ratio(&self) -> f64 {
        self.middle.steps_per_s / f64::midpoint(self.before.steps_per_s, self.after.steps_per_s)
    }

    fn added(&self, what: impl Fn(&Burst) -> f64) -> f64 {
        what(&self.middle) - f64::midpoint(what(&self.before), what(&self.after))
    }
}

/// The measurements of one workload so far.
struct Tally {
    workload: Workload,
    observed: Vec<Rounds>,
}

impl Tally {
    fn new(workload: Workload, observers: &[Observer]) -> Self {
        Self {
            workload,
            observed: observers.iter().copied().map(Rounds::new).collect(),
        }
    }

    fn finish(mut self, observers: &[Observer]) -> Comparison {
        let place = |rounds: &Rounds| observers.iter().position(|it| *it == rounds.observer);
        self.observed.sort_by_key(place);
        let bare = self.observed.iter().flat_map(Rounds::bare);
        Comparison {
            workload: self.workload,
            name: self.workload.describe(),
            bare_steps_per_s: Spread::of(bare.map(|burst| burst.steps_per_s)),
            observed: self.observed.iter().map(Rounds::finish).collect(),
        }
    }
}

/// The measurements of one observer so far.
struct Rounds {
    observer: Observer,
    triples: Vec<Triple>,
    disturbed: u32,
    memory: Vec<Memory>,
    totals: Option<Totals>,
    stops: u32,
    lost: u64,
    refusal: Option<String>,
}

impl Rounds {
    fn new(observer: Observer) -> Self {
        Self {
            observer,
            triples: Vec::new(),
            disturbed: 0,
            memory: Vec::new(),
            totals: None,
            stops: 0,
            lost: 0,
            refusal: None,
        }
    }

    /// One round. A peer that fails is not asked again, and the reason is kept.
    fn measure(
        &mut self,
        bench: &Bench,
        workload: Workload,
        gate: &mut Gate,
    ) -> anyhow::Result<()> {
        if self.refusal.is_some() {
            return Ok(());
        }
        let before = Burst::undisturbed(bench, workload, &Watch::Nobody, gate)?;
        let middle = match self.watched(bench, workload, gate) {
            Ok(burst) => burst,
            Err(error) if self.observer.is_peer() => {
                eprintln!("NOT MEASURED: {}: {error:#}", self.observer.name());
                self.refusal = Some(format!("{error:#}"));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let after = Burst::undisturbed(bench, workload, &Watch::Nobody, gate)?;
        self.push(before, middle, after);
        Ok(())
    }

    fn watched(
        &mut self,
        bench: &Bench,
        workload: Workload,
        gate: &mut Gate,
    ) -> anyhow::Result<Option<Burst>> {
        let watch = self.observer.start(bench)?;
        let burst = Burst::undisturbed(bench, workload, &watch, gate)?;
        self.memory.extend(watch.memory()?);
        match watch.stop()? {
            LastWords::None => {}
            LastWords::Wallwatch(totals) => {
                self.totals.get_or_insert_default().add(totals);
                self.stops += 1;
            }
            LastWords::Lost(lost) => self.lost += lost,
        }
        Ok(burst)
    }

    fn push(&mut self, before: Option<Burst>, middle: Option<Burst>, after: Option<Burst>) {
        if let (Some(before), Some(middle), Some(after)) = (before, middle, after) {
            self.triples.push(Triple {
                before,
                middle,
                after,
            });
        } else {
            self.disturbed += 1;
        }
    }

    /// The bursts on either side.
    fn bare(&self) -> Vec<Burst> {
        self.triples
            .iter()
            .flat_map(|triple| [triple.before, triple.after])
            .collect()
    }

    fn finish(&self) -> Observed {
        let triples = || self.triples.iter();
        let added = |what: fn(&Burst) -> f64| Spread::of(triples().map(|it| it.added(what)));
        let has_process = !self.memory.is_empty();
        let own_cpu = triples().map(|it| it.middle.observer_cpu_ns_per_step);
        Observed {
            observer: self.observer,
            throughput_ratio: Spread::of(triples().map(Triple::throughput_ratio)),
            added_wall_ns_per_step: added(|burst| burst.wall_ns_per_step),
            added_cpu_ns_per_step: added(|burst| burst.cpu_ns_per_step),
            own_cpu_ns_per_step: Spread::of(own_cpu).filter(|_| has_process),
            anonymous_kib: Spread::of(self.memory.iter().map(|it| it.anonymous_kib as f64)),
            resident_kib: Spread::of(self.memory.iter().map(|it| it.resident_kib as f64)),
            rounds: self.triples.len() as u32,
            rounds_disturbed: self.disturbed,
            totals: self.totals,
            stops: self.stops,
            lost: self.lost,
            refusal: self.refusal.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burst(steps_per_s: f64) -> Burst {
        Burst {
            steps: 100,
            steps_per_s,
            wall_ns_per_step: 1e9 / steps_per_s,
            cpu_ns_per_step: 0.5e9 / steps_per_s,
            observer_cpu_ns_per_step: 10.0,
            others: 0.0,
        }
    }

    #[test]
    fn the_middle_is_compared_with_the_mean_of_its_neighbours() {
        let mut rounds = Rounds::new(Observer::Nobody);
        rounds.push(
            Some(burst(1_000.0)),
            Some(burst(800.0)),
            Some(burst(1_000.0)),
        );
        let observed = rounds.finish();
        assert_eq!(observed.throughput_ratio.unwrap().median, 0.8);
        assert_eq!(observed.added_wall_ns_per_step.unwrap().median, 250_000.0);
        assert_eq!(observed.added_cpu_ns_per_step.unwrap().median, 125_000.0);
        assert_eq!((observed.rounds, observed.rounds_disturbed), (1, 0));
        // It has no process, so that its time is not 10 but none.
        assert_eq!(observed.own_cpu_ns_per_step, None);
        assert_eq!(rounds.bare().len(), 2);
    }

    #[test]
    fn a_round_that_was_disturbed_does_not_count() {
        let mut rounds = Rounds::new(Observer::Nobody);
        rounds.push(Some(burst(1.0)), None, Some(burst(1.0)));
        let observed = rounds.finish();
        assert_eq!(observed.throughput_ratio, None);
        assert_eq!((observed.rounds, observed.rounds_disturbed), (0, 1));
    }

    #[test]
    fn observers_are_told_in_the_order_in_which_they_were_asked_for() {
        let observers = [
            Observer::Nobody,
            Observer::EmptyProgram,
            Observer::Wallwatch,
        ];
        let mut tally = Tally::new(Workload::Script, &observers);
        tally.observed.rotate_left(2);
        let comparison = tally.finish(&observers);
        let told: Vec<Observer> = comparison.observed.iter().map(|it| it.observer).collect();
        assert_eq!(told, observers);
    }
}
