//! `wallwatch baseline`: what the alert log holds again and again, as filters that an operator may accept.
//!
//! Nothing is learned and nothing is written: a proposal lacks its owner and its reason, without which the
//! configuration refuses it. What looks like an attack is never proposed, however often it comes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;

use jiff::Timestamp;
use thiserror::Error;
use uuid::Uuid;

use crate::alert_log::{self, NoEvent};
use crate::exit_code::ExitCode;
use crate::explain::filter::{Proposal, filter};
use crate::explain::view::{View, counted, field, moment};

/// Findings that are kept while a log is read; those that began first give way, and are counted.
const FINDINGS_MAX: usize = 16_384;

/// Reasons of a finding that speak of an attack.
const SUSPICIOUS: &[&str] = &[
    "memfd-executable",
    "deleted-executable",
    "writable-origin",
    "network-service",
    "actor-unknown",
    "manager-file",
    "manager-foreign-code",
    "manager-unit",
    "manager-child",
];
/// Findings that are no work of anybody's, but a pretence or blindness.
const NEVER: &[&str] = &[
    "tool-disguised",
    "kernel-thread-disguise",
    "change-without-tool",
    "changed-while-blind",
    "siem-blocked",
];

#[derive(Debug, Error)]
pub enum LineError {
    #[error(transparent)]
    NoEvent(#[from] NoEvent),
    #[error("expected an id that is a UUID")]
    Id,
}

/// What is kept of one finding: its latest revision, in short.
#[derive(Clone, Debug)]
struct Kept {
    revision: u64,
    first: Timestamp,
    last: Timestamp,
    severity: String,
    risk: u64,
    what: Result<Proposal, String>,
    /// Why it is not proposed.
    suspicious: Option<String>,
}

/// The findings of a log.
#[derive(Debug, Default)]
pub struct Baseline {
    findings: BTreeMap<Uuid, Kept>,
    by_age: BTreeSet<(Timestamp, Uuid)>,
    given_up: u64,
}

/// What `files` propose, and the status that says how reading them went. Findings that are alike count once each;
/// fewer than `count_min` of a kind are no habit.
pub fn baseline(files: &[PathBuf], count_min: u64) -> anyhow::Result<(String, ExitCode)> {
    let mut baseline = Baseline::default();
    let code = alert_log::read(files, |line| baseline.take(line))?;
    if code == ExitCode::NoInput {
        return Ok((String::new(), code));
    }
    Ok((baseline.page(count_min), code))
}

impl Baseline {
    pub fn take(&mut self, line: &[u8]) -> Result<(), LineError> {
        let value = alert_log::event(line)?;
        let line = View::of(&value);
        if !matches!(line.at("kind").text(), Some("alert" | "finding")) {
            return Ok(());
        }
        let id = line.at("id").text().and_then(|id| id.parse().ok());
        let id: Uuid = id.ok_or(LineError::Id)?;
        let kept = Kept::of(line);
        if let Some(known) = self.findings.get(&id) {
            if known.revision > kept.revision {
                return Ok(());
            }
            self.by_age.remove(&(known.first, id));
        }
        self.by_age.insert((kept.first, id));
        self.findings.insert(id, kept);
        if self.findings.len() > FINDINGS_MAX
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.findings.remove(&oldest);
            self.given_up += 1;
        }
        Ok(())
    }

    /// TOML: proposals, and in comments what is not proposed, and why.
    pub fn page(&self, count_min: u64) -> String {
        let mut habits: BTreeMap<Vec<(&str, String)>, Vec<&Kept>> = BTreeMap::new();
        let mut unnamed: BTreeMap<&str, u64> = BTreeMap::new();
        for kept in self.findings.values() {
            match &kept.what {
                Ok(proposal) => habits
                    .entry(proposal.fields.clone())
                    .or_default()
                    .push(kept),
                Err(why) => *unnamed.entry(why).or_default() += 1,
            }
        }
        let mut habits: Vec<_> = habits.into_iter().collect();
        habits.sort_by_key(|(_, kept)| std::cmp::Reverse(kept.len()));
        let mut page = String::new();
        let mut left = String::new();
        let (mut proposed, mut rare) = (0_u64, 0_u64);
        for (fields, kept) in &habits {
            let count = kept.len() as u64;
            let suspicious = kept.iter().find_map(|kept| kept.suspicious.as_deref());
            match suspicious {
                Some(why) => push(&mut left, &format!("# {}: {why}", shown(fields, kept))),
                None if count < count_min => rare += count,
                None => {
                    proposed += 1;
                    push(&mut page, &proposal(fields, kept, proposed));
                }
            }
        }
        let mut head = format!(
            "# Proposed from {}. Fill in owner and reason of those that you accept, and leave the others out.\n",
            counted(self.findings.len() as u64, "finding")
        );
        if proposed == 0 {
            push(&mut head, "# Nothing comes often enough to be proposed.");
        }
        if rare > 0 {
            let text = format!("# Too rare to be a habit (fewer than {count_min} alike): {rare}");
            push(&mut left, &text);
        }
        for (why, count) in unnamed {
            push(
                &mut left,
                &format!("# {}: {why}", counted(count, "finding")),
            );
        }
        if self.given_up > 0 {
            let text = format!(
                "# Not looked at, for want of room: the first {}",
                self.given_up
            );
            push(&mut left, &text);
        }
        if !left.is_empty() {
            left.insert_str(0, "\n# Not proposed:\n");
        }
        head + &page + &left
    }
}

impl Kept {
    fn of(line: View<'_>) -> Self {
        let first = line.at("first_seen").time().unwrap_or(Timestamp::MIN);
        Self {
            revision: line.at("revision").count(),
            first,
            last: line.at("last_seen").time().unwrap_or(first),
            severity: line.at("severity").shown_or("unknown"),
            risk: line.at("risk_score").count(),
            what: filter(line),
            suspicious: suspicious(line),
        }
    }
}

/// Why a finding is never proposed, if it is not.
fn suspicious(line: View<'_>) -> Option<String> {
    let kind = line.at("finding").text().unwrap_or_default();
    if NEVER.contains(&kind) {
        return Some("such a finding is never a habit".to_owned());
    }
    let mut reasons = line.at("reasons").list().filter_map(View::text);
    if let Some(reason) = reasons.find(|reason| SUSPICIOUS.contains(reason)) {
        return Some(format!("it bears {reason}"));
    }
    let parent = line.at("parent");
    if parent.at("memfd").holds() || parent.at("deleted").holds() {
        return Some("the parent's executable is in no directory any more".to_owned());
    }
    None
}

/// One proposal, with what it was made from.
fn proposal(fields: &[(&str, String)], kept: &[&Kept], number: u64) -> String {
    let latest = kept.iter().max_by_key(|kept| kept.last);
    let Some(Ok(proposal)) = latest.map(|kept| &kept.what) else {
        return String::new();
    };
    // Two may differ in what their names do not tell.
    let proposal = Proposal {
        name: format!("{}-{number}", proposal.name),
        ..proposal.clone()
    };
    let mut text = format!("\n# {}\n", shown(fields, kept));
    for line in proposal.lines() {
        push(&mut text, &line);
    }
    text
}

/// How often, when, and how bad it was.
fn shown(fields: &[(&str, String)], kept: &[&Kept]) -> String {
    let first = kept.iter().map(|kept| kept.first).min();
    let last = kept.iter().map(|kept| kept.last).max();
    let worst = kept.iter().max_by_key(|kept| kept.risk);
    let values = fields.iter().map(|(_, value)| field(value));
    let values: Vec<String> = values.collect();
    format!(
        "{}, {} from {} to {}, at most {}",
        values.join(", "),
        counted(kept.len() as u64, "finding"),
        moment(first.unwrap_or(Timestamp::MIN)),
        moment(last.unwrap_or(Timestamp::MIN)),
        worst.map_or("unknown", |kept| &kept.severity),
    )
}

fn push(text: &mut String, line: &str) {
    writeln!(text, "{}", line.trim_end()).expect("a string takes every write");
}

#[cfg(test)]
mod tests;
