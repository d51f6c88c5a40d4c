//! The events about the watch itself: a gap in what was seen, and the sign of life.

mod notice;
mod store;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::pipeline::firewall::tamper::TamperCounters;
use crate::pipeline::loss::{LossCause, Losses};
use crate::pipeline::watch::{
    ChangeGap, Gap, Heartbeat, LostLineage, NetfilterBooks, Repair, XtablesBooks,
};

use super::budget::Budget;
use super::exec::{CgroupLine, cgroup_line};
use super::text::Text;
use super::{
    AgentLine, AlertContext, AncestorLine, HostLine, Moment, agent_line, ancestor_line, first,
    host_line, is_zero, left_out,
};

pub(super) use notice::NoticeLine;
use store::{StoreLine, store_line};

/// As [`SCHEMA`](super::SCHEMA) is that of an alert.
const GAP_SCHEMA: &str = "wallwatch.gap/1";
const HEARTBEAT_SCHEMA: &str = "wallwatch.heartbeat/1";

#[derive(Serialize)]
pub(super) struct GapLine<'a> {
    schema: &'static str,
    kind: &'static str,
    number: u64,
    severity: &'static str,
    from: Moment,
    to: Moment,
    /// What is missing: `execs-lost`, or `netfilter-overrun`.
    why: &'static str,
    execs_lost: u64,
    causes: CauseLines,
    lineage_lost: u64,
    lineages: Vec<LineageLine<'a>>,
    lineages_omitted: u64,
    repair: Option<RepairLine>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
    host: HostLine<'a>,
    agent: AgentLine<'a>,
}

/// Execs by cause, those causes only that there were.
#[derive(Serialize)]
struct CauseLines {
    #[serde(rename = "ring-full", skip_serializing_if = "is_zero")]
    ring_full: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pressure: u64,
    #[serde(skip_serializing_if = "is_zero")]
    share: u64,
    #[serde(rename = "no-scratch", skip_serializing_if = "is_zero")]
    no_scratch: u64,
    #[serde(skip_serializing_if = "is_zero")]
    skipped: u64,
    #[serde(skip_serializing_if = "is_zero")]
    undecoded: u64,
    #[serde(skip_serializing_if = "is_zero")]
    unexplained: u64,
}

impl CauseLines {
    fn of(losses: &Losses) -> Self {
        Self {
            ring_full: losses.get(LossCause::RingFull),
            pressure: losses.get(LossCause::Pressure),
            share: losses.get(LossCause::Share),
            no_scratch: losses.get(LossCause::NoScratch),
            skipped: losses.get(LossCause::Skipped),
            undecoded: losses.get(LossCause::Undecoded),
            unexplained: losses.get(LossCause::Unexplained),
        }
    }
}

#[derive(Serialize)]
struct LineageLine<'a> {
    execs_lost: u64,
    cgroup: CgroupLine<'a>,
    session_id: Option<u32>,
    last: Moment,
    uid: u32,
    pid: u32,
    start_ns: u64,
    parent_pid: u32,
    parent_start_ns: u64,
    ancestry: Vec<AncestorLine<'a>>,
}

#[derive(Serialize)]
struct RepairLine {
    processes: u64,
    execs_recovered: u64,
    execs_omitted: u64,
    ended: u64,
}

impl<'a> GapLine<'a> {
    pub(super) fn of(gap: &'a Gap, context: &'a AlertContext, budget: Budget) -> Self {
        let Gap {
            number,
            from,
            to,
            losses,
            lineage_lost,
            lineages,
            lineages_omitted,
            repair,
        } = gap;
        Self {
            schema: GAP_SCHEMA,
            kind: "gap",
            number: *number,
            severity: "high",
            from: Moment(*from),
            to: Moment(*to),
            why: "execs-lost",
            execs_lost: losses.total(),
            causes: CauseLines::of(losses),
            lineage_lost: *lineage_lost,
            lineages: first(lineages, budget.items)
                .map(|lineage| lineage_line(lineage, budget))
                .collect(),
            lineages_omitted: lineages_omitted + left_out(lineages, budget.items) as u64,
            repair: repair.map(repair_line),
            labels: &context.labels,
            host: host_line(&context.host, budget),
            agent: agent_line(context, budget),
        }
    }
}

/// A gap in what was heard of nf_tables: of the same kind as [`GapLine`], with the fields that have a meaning.
#[derive(Serialize)]
pub(super) struct ChangeGapLine<'a> {
    schema: &'static str,
    kind: &'static str,
    number: u64,
    severity: &'static str,
    from: Moment,
    to: Moment,
    why: &'static str,
    overruns: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
    host: HostLine<'a>,
    agent: AgentLine<'a>,
}

impl<'a> ChangeGapLine<'a> {
    pub(super) fn of(gap: &ChangeGap, context: &'a AlertContext, budget: Budget) -> Self {
        let ChangeGap {
            number,
            from,
            to,
            overruns,
        } = gap;
        Self {
            schema: GAP_SCHEMA,
            kind: "gap",
            number: *number,
            severity: "high",
            from: Moment(*from),
            to: Moment(*to),
            why: "netfilter-overrun",
            overruns: *overruns,
            labels: &context.labels,
            host: host_line(&context.host, budget),
            agent: agent_line(context, budget),
        }
    }
}

fn lineage_line(lineage: &LostLineage, budget: Budget) -> LineageLine<'_> {
    let LostLineage {
        execs,
        cgroup_id,
        cgroup,
        session_id,
        last,
        uid,
        process,
        parent,
        ancestry,
    } = lineage;
    LineageLine {
        execs_lost: *execs,
        cgroup: cgroup_line(*cgroup_id, cgroup.as_deref(), budget),
        session_id: *session_id,
        last: Moment(*last),
        uid: *uid,
        pid: process.tgid,
        start_ns: process.start_ns,
        parent_pid: parent.tgid,
        parent_start_ns: parent.start_ns,
        ancestry: first(ancestry, budget.items)
            .map(|ancestor| ancestor_line(ancestor, budget))
            .collect(),
    }
}

fn repair_line(repair: Repair) -> RepairLine {
    let Repair {
        processes,
        execs,
        execs_omitted,
        ended,
    } = repair;
    RepairLine {
        processes,
        execs_recovered: execs,
        execs_omitted,
        ended,
    }
}

#[derive(Serialize)]
pub(super) struct HeartbeatLine<'a> {
    schema: &'static str,
    kind: &'static str,
    number: u64,
    state: &'static str,
    severity: &'static str,
    time: Moment,
    since: Moment,
    interval_s: Option<u64>,
    sensor: BooksLine<'a>,
    alerts: u64,
    gaps: u64,
    lines_lost: u64,
    store: StoreLine<'a>,
    groups_evicted: u64,
    /// Null when changes of the firewall are not judged.
    tamper: Option<TamperLine>,
    /// Lines of alerts and findings that only summaries count.
    repeats_withheld: u64,
    /// Filters that withheld lines.
    filters: Vec<FilterLine<'a>>,
    /// Null when nf_tables is not heard.
    netfilter: Option<NetfilterLine>,
    /// Null when the tables of x_tables are not read.
    xtables: Option<XtablesLine>,
    processes: u64,
    processes_dropped: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
    host: HostLine<'a>,
    agent: AgentLine<'a>,
}

#[derive(Serialize)]
struct BooksLine<'a> {
    sight: &'a str,
    execs_seen: u64,
    execs_received: u64,
    execs_lost: u64,
    causes: CauseLines,
    forks_seen: u64,
    exits_seen: u64,
    lineage_lost: u64,
    argv_broken: u64,
    paths_unknown: u64,
    parent_paths_unknown: u64,
    /// Null when they are not watched.
    failed_execs: Option<u64>,
    failed_execs_lost: Option<u64>,
}

#[derive(Serialize)]
struct TamperLine {
    commands: u64,
    queries: u64,
    rejected: u64,
    transactions: u64,
    edits: u64,
    groups_dropped: u64,
    hashes_refused: u64,
}

fn tamper_line(counters: TamperCounters) -> TamperLine {
    let TamperCounters {
        commands,
        queries,
        rejected,
        transactions,
        edits,
        groups_dropped,
        hashes_refused,
    } = counters;
    TamperLine {
        commands,
        queries,
        rejected,
        transactions,
        edits,
        groups_dropped,
        hashes_refused,
    }
}

#[derive(Serialize)]
struct NetfilterLine {
    datagrams: u64,
    refused: u64,
    overruns: u64,
    transactions: u64,
    malformed: u64,
    omitted: u64,
    namespaces_forgotten: u64,
}

fn netfilter_line(books: NetfilterBooks) -> NetfilterLine {
    let NetfilterBooks {
        datagrams,
        refused,
        overruns,
        transactions,
        malformed,
        omitted,
        namespaces_forgotten,
    } = books;
    NetfilterLine {
        datagrams,
        refused,
        overruns,
        transactions,
        malformed,
        omitted,
        namespaces_forgotten,
    }
}

#[derive(Serialize)]
struct XtablesLine {
    looks: u64,
    failed: u64,
    changed: u64,
    tables: u64,
    unreadable: u64,
    notices_refused: u64,
}

fn xtables_line(books: XtablesBooks) -> XtablesLine {
    let XtablesBooks {
        looks,
        failed,
        changed,
        tables,
        unreadable,
        notices_refused,
    } = books;
    XtablesLine {
        looks,
        failed,
        changed,
        tables,
        unreadable,
        notices_refused,
    }
}

impl<'a> HeartbeatLine<'a> {
    pub(super) fn of(heartbeat: &'a Heartbeat, context: &'a AlertContext, budget: Budget) -> Self {
        let Heartbeat {
            number,
            state,
            time,
            since,
            interval_s,
            sight,
            execs_seen,
            execs_received,
            losses,
            forks_seen,
            exits_seen,
            lineage_lost,
            argv_broken,
            paths_unknown,
            parent_paths_unknown,
            failed_execs,
            processes,
            processes_dropped,
            groups_evicted,
            tamper,
            suppressed,
            repeats_withheld,
            netfilter,
            xtables,
            gaps,
            alerts,
            lines_lost,
            store,
        } = heartbeat;
        Self {
            schema: HEARTBEAT_SCHEMA,
            kind: "heartbeat",
            number: *number,
            state: state.as_str(),
            severity: "informational",
            time: Moment(*time),
            since: Moment(*since),
            interval_s: *interval_s,
            sensor: BooksLine {
                sight,
                execs_seen: *execs_seen,
                execs_received: *execs_received,
                execs_lost: losses.total(),
                causes: CauseLines::of(losses),
                forks_seen: *forks_seen,
                exits_seen: *exits_seen,
                lineage_lost: *lineage_lost,
                argv_broken: *argv_broken,
                paths_unknown: *paths_unknown,
                parent_paths_unknown: *parent_paths_unknown,
                failed_execs: failed_execs.map(|counts| counts.seen),
                failed_execs_lost: failed_execs.map(|counts| counts.lost),
            },
            alerts: *alerts,
            gaps: *gaps,
            lines_lost: *lines_lost,
            store: store_line(store, budget),
            groups_evicted: *groups_evicted,
            tamper: tamper.map(tamper_line),
            repeats_withheld: *repeats_withheld,
            filters: filter_lines(suppressed, budget),
            netfilter: netfilter.map(netfilter_line),
            xtables: xtables.map(xtables_line),
            processes: *processes,
            processes_dropped: *processes_dropped,
            labels: &context.labels,
            host: host_line(&context.host, budget),
            agent: agent_line(context, budget),
        }
    }
}

#[derive(Serialize)]
struct FilterLine<'a> {
    name: Text<'a>,
    /// Of alerts and findings, since the watch began.
    lines_withheld: u64,
}

fn filter_lines(suppressed: &BTreeMap<String, u64>, budget: Budget) -> Vec<FilterLine<'_>> {
    let withholding = suppressed.iter().filter(|(_, lines)| **lines > 0);
    withholding
        .take(budget.items)
        .map(|(name, lines)| FilterLine {
            name: Text::whole(name.as_bytes()).within(budget.field_bytes),
            lines_withheld: *lines,
        })
        .collect()
}

#[cfg(test)]
mod tests;
