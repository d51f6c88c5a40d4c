//! What was not told one by one.

use std::collections::BTreeMap;

use serde::Serialize;
use uuid::Uuid;

use super::budget::Budget;
use super::text::Text;
use super::{
    AgentLine, AlertContext, HostLine, Moment, Shown, agent_line, first, host_line, state_word,
};
use crate::pipeline::repeats::Summary;

/// As [`SCHEMA`](super::SCHEMA) is that of an alert.
const SCHEMA: &str = "wallwatch.summary/1";

#[derive(Serialize)]
pub(super) struct SummaryLine<'a> {
    schema: &'static str,
    id: Shown<Uuid>,
    revision: u32,
    kind: &'static str,
    state: &'static str,
    /// One of both: the rule of the alerts, the word of the findings.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<RuleName<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finding: Option<&'a str>,
    title: String,
    severity: &'static str,
    first_seen: Moment,
    last_seen: Moment,
    /// Alerts and findings, each counted once.
    withheld: u64,
    /// Their lines, updates included.
    lines_withheld: u64,
    ids: Vec<Shown<Uuid>>,
    dest: Text<'a>,
    /// Null: of several.
    origin_executable: Option<Text<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
    host: HostLine<'a>,
    agent: AgentLine<'a>,
}

#[derive(Serialize)]
struct RuleName<'a> {
    name: &'a str,
}

impl<'a> SummaryLine<'a> {
    pub(super) fn of(summary: &'a Summary, context: &'a AlertContext, budget: Budget) -> Self {
        let Summary {
            id,
            revision,
            state,
            what,
            is_finding,
            title,
            severity,
            dest,
            culprit,
            first_seen,
            last_seen,
            withheld,
            lines,
            ids,
        } = summary;
        Self {
            schema: SCHEMA,
            id: Shown(*id),
            revision: *revision,
            kind: "summary",
            state: state_word(*state),
            rule: (!is_finding).then_some(RuleName { name: what }),
            finding: is_finding.then_some(&**what),
            title: format!("{withheld} more: {title}"),
            severity: severity.as_str(),
            first_seen: Moment(*first_seen),
            last_seen: Moment(*last_seen),
            withheld: *withheld,
            lines_withheld: *lines,
            ids: first(ids, budget.ids).copied().map(Shown).collect(),
            dest: Text::whole(dest.as_bytes()).within(budget.field_bytes),
            origin_executable: culprit
                .as_deref()
                .map(|culprit| Text::whole(culprit).within(budget.field_bytes)),
            labels: &context.labels,
            host: host_line(&context.host, budget),
            agent: agent_line(context, budget),
        }
    }
}
