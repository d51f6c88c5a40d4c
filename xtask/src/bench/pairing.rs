//! Bursts with the agent, each between two without it.

use serde::Serialize;

use super::agent::{Agent, Memory, Totals};
use super::burst::Burst;
use super::machine::Gate;
use super::spread::Spread;
use super::workload::{Bench, Workload};

/// What one workload came to.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) workload: Workload,
    pub(crate) name: String,
    pub(crate) with_agent: Effect,
    /// The same with nothing in the place of the agent.
    pub(crate) control: Effect,
    /// Execs a second without the agent, and with it.
    pub(crate) execs_per_s_without: Option<Spread>,
    pub(crate) execs_per_s_with: Option<Spread>,
    pub(crate) agent_cpu_ns_per_exec: Option<Spread>,
    pub(crate) anonymous_kib: Option<Spread>,
    pub(crate) resident_kib: Option<Spread>,
    /// Of all the agent's runs.
    pub(crate) totals: Totals,
}

/// What the burst in the middle has beyond the mean of its neighbours.
#[derive(Debug, Serialize)]
pub(crate) struct Effect {
    pub(crate) throughput_ratio: Option<Spread>,
    pub(crate) added_wall_ns_per_exec: Option<Spread>,
    pub(crate) added_cpu_ns_per_exec: Option<Spread>,
    pub(crate) rounds: u32,
    /// Thrown away: others used the machine.
    pub(crate) rounds_disturbed: u32,
}

/// Compares every workload, in as many rounds. What comes first changes from round to round.
pub(crate) fn compare(
    bench: &Bench,
    rounds: u32,
    gate: &mut Gate,
) -> anyhow::Result<Vec<Comparison>> {
    let mut tallies = Workload::ALL.map(Tally::new);
    for round in 0..rounds as usize {
        eprintln!("round {} of {rounds}", round + 1);
        for tally in &mut tallies {
            if round % 2 == 0 {
                tally.measure_with_agent(bench, gate)?;
                tally.measure_control(bench, gate)?;
            } else {
                tally.measure_control(bench, gate)?;
                tally.measure_with_agent(bench, gate)?;
            }
        }
        tallies.rotate_left(1);
    }
    tallies.sort_by_key(|tally| Workload::ALL.iter().position(|it| *it == tally.workload));
    Ok(tallies.into_iter().map(Tally::finish).collect())
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
        self.middle.execs_per_s / f64::midpoint(self.before.execs_per_s, self.after.execs_per_s)
    }

    fn added(&self, what: impl Fn(&Burst) -> f64) -> f64 {
        what(&self.middle) - f64::midpoint(what(&self.before), what(&self.after))
    }
}

/// The measurements of one workload so far.
struct Tally {
    workload: Workload,
    with_agent: Rounds,
    control: Rounds,
    memory: Vec<Memory>,
    totals: Totals,
}

#[derive(Default)]
struct Rounds {
    triples: Vec<Triple>,
    disturbed: u32,
}

impl Tally {
    fn new(workload: Workload) -> Self {
        Self {
            workload,
            with_agent: Rounds::default(),
            control: Rounds::default(),
            memory: Vec::new(),
            totals: Totals::default(),
        }
    }

    fn measure_with_agent(&mut self, bench: &Bench, gate: &mut Gate) -> anyhow::Result<()> {
        let before = Burst::undisturbed(bench, self.workload, None, gate)?;
        let agent = Agent::start(bench)?;
        let middle = Burst::undisturbed(bench, self.workload, Some(&agent), gate)?;
        self.memory.push(agent.memory()?);
        self.totals.add(agent.stop()?);
        let after = Burst::undisturbed(bench, self.workload, None, gate)?;
        self.with_agent.push(before, middle, after);
        Ok(())
    }

    fn measure_control(&mut self, bench: &Bench, gate: &mut Gate) -> anyhow::Result<()> {
        let mut burst = || Burst::undisturbed(bench, self.workload, None, gate);
        let (before, middle, after) = (burst()?, burst()?, burst()?);
        self.control.push(before, middle, after);
        Ok(())
    }

    fn finish(self) -> Comparison {
        let Self {
            workload,
            with_agent,
            control,
            memory,
            totals,
        } = self;
        let bare = [&with_agent, &control].map(Rounds::bare);
        let with = || with_agent.triples.iter().map(|triple| triple.middle);
        Comparison {
            workload,
            name: workload.describe(),
            execs_per_s_without: Spread::of(bare.into_iter().flatten().map(|it| it.execs_per_s)),
            execs_per_s_with: Spread::of(with().map(|burst| burst.execs_per_s)),
            agent_cpu_ns_per_exec: Spread::of(with().map(|burst| burst.agent_cpu_ns_per_exec)),
            anonymous_kib: Spread::of(memory.iter().map(|it| it.anonymous_kib as f64)),
            resident_kib: Spread::of(memory.iter().map(|it| it.resident_kib as f64)),
            totals,
            with_agent: with_agent.effect(),
            control: control.effect(),
        }
    }
}

impl Rounds {
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

    fn effect(&self) -> Effect {
        let triples = || self.triples.iter();
        Effect {
            throughput_ratio: Spread::of(triples().map(Triple::throughput_ratio)),
            added_wall_ns_per_exec: Spread::of(
                triples().map(|triple| triple.added(|burst| burst.wall_ns_per_exec)),
            ),
            added_cpu_ns_per_exec: Spread::of(
                triples().map(|triple| triple.added(|burst| burst.cpu_ns_per_exec)),
            ),
            rounds: self.triples.len() as u32,
            rounds_disturbed: self.disturbed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burst(execs_per_s: f64) -> Burst {
        Burst {
            execs: 100,
            execs_per_s,
            wall_ns_per_exec: 1e9 / execs_per_s,
            cpu_ns_per_exec: 0.5e9 / execs_per_s,
            agent_cpu_ns_per_exec: 10.0,
            others: 0.0,
        }
    }

    #[test]
    fn the_middle_is_compared_with_the_mean_of_its_neighbours() {
        let mut rounds = Rounds::default();
        rounds.push(
            Some(burst(1_000.0)),
            Some(burst(800.0)),
            Some(burst(1_000.0)),
        );
        let effect = rounds.effect();
        assert_eq!(effect.throughput_ratio.unwrap().median, 0.8);
        assert_eq!(effect.added_wall_ns_per_exec.unwrap().median, 250_000.0);
        assert_eq!(effect.added_cpu_ns_per_exec.unwrap().median, 125_000.0);
        assert_eq!((effect.rounds, effect.rounds_disturbed), (1, 0));
        assert_eq!(rounds.bare().len(), 2);
    }

    #[test]
    fn a_round_that_was_disturbed_does_not_count() {
        let mut rounds = Rounds::default();
        rounds.push(Some(burst(1.0)), None, Some(burst(1.0)));
        let effect = rounds.effect();
        assert_eq!(effect.throughput_ratio, None);
        assert_eq!((effect.rounds, effect.rounds_disturbed), (0, 1));
    }
}
