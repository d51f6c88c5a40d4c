//! What was near: how far the rule's threshold was, and what else the log has around it.

use std::ops::Range;

use jiff::{SignedDuration, Timestamp};

use super::log::{Log, Summary};
use super::view::{View, counted};
use crate::pipeline::detect::Rule;
use crate::pipeline::detect::rule::RuleSpec;

/// Others that are shown.
const OTHERS_MAX: usize = 10;
/// Command lines of a finding to which the rule is held.
const COMMANDS_MAX: usize = 32;

/// The rule in force, as far as nearness goes.
pub struct InForce<'a> {
    pub spec: &'a RuleSpec,
    pub rule: &'a Rule,
}

pub fn near(line: View<'_>, summary: &Summary, log: &Log, in_force: &InForce<'_>) -> Vec<String> {
    let mut lines = if line.at("finding").text().is_some() {
        rule_on_commands(line, in_force)
    } else {
        threshold(line, in_force)
    };
    lines.extend(around(line, summary, log, in_force));
    lines
}

/// An alert of the rule: its ports, and how many are enough.
fn threshold(line: View<'_>, in_force: &InForce<'_>) -> Vec<String> {
    let InForce { spec, .. } = in_force;
    let n = line.at("port_count").count();
    if line.at("rule").at("id").text() != Some(&spec.identity.id) {
        return vec![format!(
            "{}; how many are enough is not known: the rule is not the one in force",
            counted(n, "port")
        )];
    }
    let seen: Vec<&str> = line.at("ports").list().filter_map(View::text).collect();
    let unseen: Vec<&str> = spec
        .ports
        .iter()
        .map(String::as_str)
        .filter(|port| !seen.contains(port))
        .collect();
    let not_seen = match unseen.is_empty() {
        true => "all of the rule's ports".to_owned(),
        false => format!("not seen: {}", unseen.join(" ")),
    };
    vec![format!(
        "{}, {} are enough; {not_seen}",
        counted(n, "port"),
        spec.port_count_min
    )]
}

/// A finding: how much of the rule its command lines would have met.
fn rule_on_commands(line: View<'_>, in_force: &InForce<'_>) -> Vec<String> {
    let InForce { spec, rule } = in_force;
    let commands: Vec<&str> = line
        .at("execs")
        .list()
        .filter_map(|exec| exec.at("command_line").text())
        .take(COMMANDS_MAX)
        .collect();
    let verdicts = commands
        .iter()
        .map(|command| rule.clauses().verdicts(command.as_bytes()));
    let Some(nearest) = verdicts.min_by_key(|clauses| n_failing(clauses)) else {
        return vec!["no command line to which the rule could be held".to_owned()];
    };
    let mut ports: Vec<String> = commands
        .iter()
        .filter_map(|command| rule.extractor().extract(command.as_bytes()))
        .map(|extracted| extracted.port.to_string())
        .collect();
    ports.sort_unstable();
    ports.dedup();
    let first_failing = nearest.iter().find(|(_, at)| at.is_none());
    let clauses = format!(
        "{} of {} clauses over process hold",
        nearest.len() - n_failing(&nearest),
        nearest.len()
    );
    let failing = first_failing.map_or_else(String::new, |(clause, _)| format!(", {clause} fails"));
    let mut lines = vec![format!(
        "{} on its nearest command line: {clauses}{failing}",
        spec.identity.name
    )];
    lines.push(format!(
        "{} of {} ports{}",
        ports.len(),
        spec.port_count_min,
        if ports.is_empty() {
            String::new()
        } else {
            format!(": {}", ports.join(" "))
        }
    ));
    lines
}

fn n_failing(clauses: &[(String, Option<Range<usize>>)]) -> usize {
    clauses.iter().filter(|(_, at)| at.is_none()).count()
}

/// What else was found on that host within one window of it, those first that share a parent or an origin.
fn around(line: View<'_>, summary: &Summary, log: &Log, in_force: &InForce<'_>) -> Vec<String> {
    let span = line.at("window").at("span_seconds").number();
    let span = span.unwrap_or(in_force.spec.window.span_s);
    let (from, to) = widened(summary, span);
    let mut shown = Vec::new();
    let (mut related, mut strangers) = (0, 0);
    for other in log.others(summary, from, to) {
        let Some(common) = summary.common(other) else {
            strangers += 1;
            continue;
        };
        related += 1;
        if shown.len() < OTHERS_MAX {
            shown.push(format!(
                "{}  {} ({}, risk {})  {}  by process {}",
                other.first, other.what, other.severity, other.risk_score, other.id, common.pid
            ));
        }
    }
    let mut lines = vec![format!(
        "{} of the same parent or origin within {span} s, {} of others on {}",
        counted(related, "finding"),
        strangers,
        summary.host.name
    )];
    if related > shown.len() as u64 {
        shown.push(format!("and {} more", related - shown.len() as u64));
    }
    lines.extend(shown.into_iter().map(|line| format!("  {line}")));
    lines
}

fn widened(summary: &Summary, span_s: u64) -> (Timestamp, Timestamp) {
    let span = SignedDuration::from_secs(i64::try_from(span_s).unwrap_or(i64::MAX));
    let from = summary.first.checked_sub(span).unwrap_or(Timestamp::MIN);
    let to = summary.last.checked_add(span).unwrap_or(Timestamp::MAX);
    (from, to)
}
