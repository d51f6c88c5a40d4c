//! One finding of the tamper layer: what was done to the firewall, by whom, from where, with what.

use std::collections::BTreeMap;

use serde::Serialize;
use uuid::Uuid;

use crate::pipeline::firewall::edit::EditEvidence;
use crate::pipeline::firewall::finding::{ChangeEvidence, Finding};
use crate::pipeline::firewall::origin::Origin;

use super::budget::Budget;
use super::change::{ChangeText, backend_word, family_word, operation_word};
use super::exec::{ExecLine, exec_line};
use super::text::Text;
use super::{
    AgentLine, AlertContext, AncestorLine, HostLine, Moment, Shown, agent_line, ancestor_line,
    ends, first, host_line, is_zero, known, left_out, path, state_word,
};

/// As [`SCHEMA`](super::SCHEMA) is that of an alert.
const SCHEMA: &str = "wallwatch.finding/1";

#[derive(Serialize)]
pub(super) struct FindingLine<'a> {
    schema: &'static str,
    id: Shown<Uuid>,
    revision: u32,
    kind: &'static str,
    state: &'static str,
    finding: &'static str,
    title: &'static str,
    severity: &'static str,
    risk_score: u8,
    reasons: Vec<&'static str>,
    mitre_technique_id: &'static [&'static str],
    first_seen: Moment,
    last_seen: Moment,
    dest: Option<Text<'a>>,
    user: Option<Text<'a>>,
    origin: OriginLine<'a>,
    changes_asked: u64,
    changes_made: u64,
    changes: Vec<ChangeLine>,
    changes_omitted: u64,
    edits: Vec<EditLine<'a>>,
    edits_omitted: u64,
    execs: Vec<ExecLine<'a>>,
    execs_omitted: u64,
    lineage: Vec<AncestorLine<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    redacted: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
    host: HostLine<'a>,
    agent: AgentLine<'a>,
}

#[derive(Serialize)]
struct OriginLine<'a> {
    kind: &'static str,
    pid: u32,
    start_ns: u64,
    executable: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_script: Option<Text<'a>>,
    unit: Option<Text<'a>>,
}

#[derive(Serialize)]
struct ChangeLine {
    time: Moment,
    witness: &'static str,
    pid: Option<u32>,
    nsid: Option<i32>,
    backend: &'static str,
    family: Option<&'static str>,
    operation: &'static str,
    /// The whole change in words.
    text: String,
}

#[derive(Serialize)]
struct EditLine<'a> {
    time: Moment,
    pid: Option<u32>,
    executable: Option<Text<'a>>,
    what: &'static str,
    path: Text<'a>,
}

impl<'a> FindingLine<'a> {
    pub(super) fn of(finding: &'a Finding, context: &'a AlertContext, budget: Budget) -> Self {
        let Finding {
            id,
            revision,
            state,
            kind,
            severity,
            risk_score,
            reasons,
            first_seen,
            last_seen,
            dest,
            user,
            origin,
            asked,
            made,
            changes,
            edited: _,
            edits,
            execs,
            execs_omitted,
            lineage,
            redacted,
        } = finding;
        Self {
            schema: SCHEMA,
            id: Shown(*id),
            revision: *revision,
            kind: "finding",
            state: state_word(*state),
            finding: kind.as_str(),
            title: kind.title(),
            severity: severity.as_str(),
            risk_score: *risk_score,
            reasons: reasons.iter().map(|reason| reason.as_str()).collect(),
            mitre_technique_id: kind.mitre_technique_id(),
            first_seen: Moment(*first_seen),
            last_seen: Moment(*last_seen),
            // No exec has named it when the first finding is of a comparison.
            dest: known(dest.as_deref().or(Some(&context.host.name)), budget),
            user: known(user.as_deref(), budget),
            origin: origin_line(origin, budget),
            changes_asked: *asked,
            changes_made: *made,
            changes: first(changes, budget.items)
                .map(|change| change_line(change, budget))
                .collect(),
            changes_omitted: finding.changes_omitted() + left_out(changes, budget.items) as u64,
            edits: first(edits, budget.items)
                .map(|edit| edit_line(edit, budget))
                .collect(),
            edits_omitted: finding.edits_omitted() + left_out(edits, budget.items) as u64,
            execs: ends(execs, budget.items)
                .map(|exec| exec_line(exec, budget))
                .collect(),
            execs_omitted: execs_omitted + left_out(execs, budget.items) as u64,
            lineage: first(lineage, budget.items)
                .map(|ancestor| ancestor_line(ancestor, budget))
                .collect(),
            redacted: *redacted,
            labels: &context.labels,
            host: host_line(&context.host, budget),
            agent: agent_line(context, budget),
        }
    }
}

fn origin_line(origin: &Origin, budget: Budget) -> OriginLine<'_> {
    let Origin {
        kind,
        process,
        exe,
        script,
        claimed_script,
        unit,
        doubts: _,
    } = origin;
    OriginLine {
        kind: kind.as_str(),
        pid: process.tgid,
        start_ns: process.start_ns,
        executable: path(exe.as_deref(), budget),
        script: path(script.as_deref(), budget),
        claimed_script: path(claimed_script.as_deref(), budget),
        unit: known(unit.as_deref(), budget),
    }
}

fn change_line(evidence: &ChangeEvidence, budget: Budget) -> ChangeLine {
    let ChangeEvidence {
        time,
        witness,
        process,
        nsid,
        change,
    } = evidence;
    let text = ChangeText(change).to_string();
    let shown = Text::whole(text.as_bytes()).within(budget.text_bytes);
    ChangeLine {
        time: Moment(*time),
        witness: witness.as_str(),
        pid: process.map(|process| process.tgid),
        nsid: *nsid,
        backend: backend_word(change.backend),
        family: change.family.map(family_word),
        operation: operation_word(&change.operation),
        text: shown.to_string(),
    }
}

fn edit_line(edit: &EditEvidence, budget: Budget) -> EditLine<'_> {
    let EditEvidence {
        time,
        process,
        exe,
        path,
        what,
    } = edit;
    EditLine {
        time: Moment(*time),
        pid: process.map(|process| process.tgid),
        executable: exe
            .as_ref()
            .map(|exe| Text::whole(exe).within(budget.field_bytes)),
        what: what.as_str(),
        path: Text::whole(path).within(budget.field_bytes),
    }
}

#[cfg(test)]
mod tests;
