//! What the sensor missed: what the line itself counts, and gaps and heartbeats of the same log around it.

use super::log::{Books, Log, Summary};
use super::view::{View, counted, moment};

/// Lists of a line that were cut.
const LISTS_MAX: usize = 32;
const GAPS_MAX: usize = 8;

pub fn missed(line: View<'_>, summary: &Summary, log: &Log) -> Vec<String> {
    let mut lines = Vec::new();
    let sensor = [
        ("truncated", "command lines cut"),
        ("faults", "command lines not read at the exec"),
        ("lost", "execs of the host lost"),
        ("execs_omitted", "execs counted but not listed"),
        (
            "processes_exec_omitted",
            "command lines not listed, at most",
        ),
        ("guids_omitted", "guids and their pids not listed"),
    ];
    let counters = sensor
        .into_iter()
        .map(|(key, label)| (line.at("sensor").at(key).count(), label))
        .chain([
            (
                line.at("changes_omitted").count(),
                "changes counted but not listed",
            ),
            (
                line.at("edits_omitted").count(),
                "edits counted but not listed",
            ),
            (
                line.at("execs_omitted").count(),
                "execs counted but not listed",
            ),
        ]);
    lines.extend(
        counters
            .filter(|(count, _)| *count > 0)
            .map(|(count, label)| format!("{count} {label}")),
    );
    let cut: Vec<String> = line
        .at("cut")
        .counts()
        .filter(|(key, _)| *key != "text_bytes_max")
        .map(|(key, count)| format!("{count} of {key}"))
        .take(LISTS_MAX)
        .collect();
    if !cut.is_empty() {
        lines.push(format!(
            "left out to keep the line short: {}",
            cut.join(", ")
        ));
    }
    let unread = line.at("execs").list().filter(|exec| {
        exec.at("argv_bytes_lost").count() > 0 || exec.at("argv_source").text() == Some("unread")
    });
    let n_unread = unread.count();
    if n_unread > 0 {
        lines.push(format!(
            "the command line of {} is not whole",
            counted(n_unread as u64, "listed exec")
        ));
    }
    let n_unknown = line
        .at("execs")
        .list()
        .chain(line.at("lineage").list())
        .chain(line.at("parent").at("ancestry").list())
        .filter(|process| process.at("executable").text().is_none())
        .count();
    if n_unknown > 0 {
        lines.push(format!("executables that are not known: {n_unknown}"));
    }
    lines.extend(gaps(summary, log));
    lines.extend(books(summary, log));
    if log.let_go() > 0 {
        lines.push(format!(
            "the log is long: {} of it found no room, and what was near may be missing",
            counted(log.let_go(), "event")
        ));
    }
    if lines.is_empty() {
        lines.push("nothing that the log tells of".to_owned());
    }
    lines
}

fn gaps(summary: &Summary, log: &Log) -> Vec<String> {
    let mut gaps = log.gaps(&summary.host, summary.first, summary.last);
    let mut lines: Vec<String> = gaps
        .by_ref()
        .take(GAPS_MAX)
        .map(|gap| {
            let mut causes: Vec<String> = gap
                .causes
                .iter()
                .map(|(cause, execs)| format!("{execs} {cause}"))
                .collect();
            if gap.overruns > 0 {
                causes.push(counted(gap.overruns, "overrun"));
            }
            format!(
                "gap {} to {}: {}, {} ({})",
                moment(gap.from),
                moment(gap.to),
                gap.why,
                counted(gap.execs_lost, "exec"),
                causes.join(", ")
            )
        })
        .collect();
    let n_more = gaps.count();
    if n_more > 0 {
        lines.push(format!("and {n_more} more gaps"));
    }
    lines
}

/// What the heartbeats around it say was dropped between them.
fn books(summary: &Summary, log: &Log) -> Vec<String> {
    let Some((before, after)) = log.books(&summary.host, summary.first, summary.last) else {
        return Vec::new();
    };
    let dropped: Vec<String> = [
        (|books: &Books| books.execs_lost) as fn(&Books) -> u64,
        |books| books.lines_lost,
        |books| books.groups_evicted,
        |books| books.tamper_groups_dropped,
        |books| books.netfilter_omitted,
        |books| books.netfilter_malformed,
    ]
    .into_iter()
    .zip([
        "execs lost",
        "lines of the log lost",
        "groups of the rule given up",
        "findings closed for lack of room",
        "changes of nf_tables without room",
        "messages of nf_tables not understood",
    ])
    .map(|(count, label)| {
        let before = before.as_ref().map_or(0, count);
        (count(&after).saturating_sub(before), label)
    })
    .filter(|(count, _)| *count > 0)
    .map(|(count, label)| format!("{count} {label}"))
    .collect();
    if dropped.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "between the heartbeats around it: {}",
        dropped.join(", ")
    )]
}
