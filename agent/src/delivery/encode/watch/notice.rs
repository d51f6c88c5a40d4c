//! An event about the agent itself.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::delivery::encode::budget::Budget;
use crate::delivery::encode::text::Text;
use crate::delivery::encode::{
    AgentLine, AlertContext, HostLine, Moment, agent_line, host_line, is_zero,
};
use crate::pipeline::alert::Severity;
use crate::pipeline::exec::Time;
use crate::pipeline::watch::{Notice, NoticeKind};

/// As [`SCHEMA`](crate::delivery::encode) is that of an alert.
const SCHEMA: &str = "wallwatch.self/1";

#[derive(Serialize)]
pub(in crate::delivery::encode) struct NoticeLine<'a> {
    schema: &'static str,
    kind: &'static str,
    event: &'static str,
    severity: &'static str,
    time: Moment,
    /// What happened, in a sentence.
    text: String,
    sink: Text<'a>,
    /// True of a test, and absent otherwise.
    #[serde(skip_serializing_if = "is_zero")]
    test: bool,
    /// Null where no alerts are meant.
    first_seq: Option<u64>,
    last_seq: Option<u64>,
    records: Option<u64>,
    why: Option<Text<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
    host: HostLine<'a>,
    agent: AgentLine<'a>,
}

impl<'a> NoticeLine<'a> {
    pub(in crate::delivery::encode) fn of(
        notice: &'a Notice,
        time: Time,
        context: &'a AlertContext,
        budget: Budget,
    ) -> Self {
        let Notice { sink, kind } = notice;
        let (range, why) = match kind {
            NoticeKind::SinkHeld { why } => (None, Some(why)),
            NoticeKind::SinkResumed | NoticeKind::Test => (None, None),
            NoticeKind::AlertsDropped {
                first_seq,
                last_seq,
                records,
            } => (Some((*first_seq, *last_seq, *records)), None),
            NoticeKind::DeadLetters {
                first_seq,
                last_seq,
                records,
                why,
            } => (Some((*first_seq, *last_seq, *records)), Some(why)),
        };
        let field = |text: &'a str| Text::whole(text.as_bytes()).within(budget.field_bytes);
        Self {
            schema: SCHEMA,
            kind: "self",
            event: kind.as_str(),
            severity: severity(kind).as_str(),
            time: Moment(time),
            text: sentence(sink, kind),
            sink: field(sink),
            test: matches!(kind, NoticeKind::Test),
            first_seq: range.map(|(first, _, _)| first),
            last_seq: range.map(|(_, last, _)| last),
            records: range.map(|(_, _, records)| records),
            why: why.map(|why| field(why)),
            labels: &context.labels,
            host: host_line(&context.host, budget),
            agent: agent_line(context, budget),
        }
    }
}

fn severity(kind: &NoticeKind) -> Severity {
    match kind {
        NoticeKind::AlertsDropped { .. } => Severity::High,
        NoticeKind::SinkHeld { .. } | NoticeKind::DeadLetters { .. } => Severity::Medium,
        NoticeKind::SinkResumed | NoticeKind::Test => Severity::Informational,
    }
}

fn sentence(sink: &str, kind: &NoticeKind) -> String {
    match kind {
        NoticeKind::SinkHeld { .. } => {
            format!("sink {sink} gets nothing until somebody changes something")
        }
        NoticeKind::SinkResumed => format!("sink {sink} gets alerts again"),
        NoticeKind::Test => format!("a test of sink {sink}: nothing happened"),
        NoticeKind::AlertsDropped { records, .. } => {
            format!(
                "{records} alerts that sink {sink} did not have were dropped: the store's bounds"
            )
        }
        NoticeKind::DeadLetters { records, .. } => {
            format!(
                "{records} alerts were refused by sink {sink} for good, and are kept on the host"
            )
        }
    }
}
