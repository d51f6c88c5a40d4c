//! One finding or alert as a page of text. Nothing in it acts on a terminal, whatever the log says.

use jiff::Timestamp;

use super::filter;
use super::log::{Books, Log, Summary};
use super::near::{InForce, near};
use super::tree::tree;
use super::view::{View, counted};
use crate::delivery::encode::human::{passive, passive_within};
use crate::pipeline::firewall::finding::{FindingKind, Reason};
use crate::pipeline::firewall::severity::weigh;

const CHANGES_MAX: usize = 32;
const COMMANDS_MAX: usize = 32;
const COMMAND_BYTES_MAX: usize = 400;
const CLAUSES_MAX: usize = 32;
const REASONS_MAX: usize = 32;
const GAPS_MAX: usize = 8;
const PORTS_MAX: usize = 64;

/// The page of the finding `line`, which `summary` is of.
pub fn page(line: View<'_>, summary: &Summary, log: &Log, in_force: &InForce<'_>) -> String {
    let is_finding = line.at("finding").text().is_some();
    let mut page = Page(String::new());
    page.section(&title(line), head(line, summary));
    page.section("process tree", tree(line));
    if is_finding {
        page.section("what changed", changes(line));
        page.section("why it weighs what it weighs", weights(line, summary));
    } else {
        page.section("what ran", runs(line));
        page.section("which clauses matched", clauses(line));
        page.section("why it weighs what it weighs", fixed_weight(summary));
    }
    page.section("what was near", near(line, summary, log, in_force));
    page.section("what the sensor missed", missed(line, summary, log));
    page.section("a filter that would silence it", filter::filter(line));
    page.0
}

/// The findings of which the wanted one may be.
pub fn candidates(summaries: &[&Summary]) -> String {
    let mut page = Page(String::new());
    let shown = summaries.iter().map(|summary| {
        format!(
            "{}  {} ({}, risk {})  {}",
            summary.id, summary.what, summary.severity, summary.risk_score, summary.first
        )
    });
    page.section("more than one finding begins so:", shown);
    page.0
}

/// Sections of lines, each line made harmless.
struct Page(String);

impl Page {
    fn section(&mut self, heading: &str, lines: impl IntoIterator<Item = String>) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0.push_str(&passive(heading));
        self.0.push('\n');
        for line in lines {
            self.0.push_str(&format!("  {}\n", passive(&line)));
        }
    }
}

fn title(line: View<'_>) -> String {
    match (line.at("finding").shown(), line.at("title").shown()) {
        (Some(finding), Some(title)) => format!("{finding}: {title}"),
        (Some(finding), None) => finding,
        (None, _) => format!("alert: {}", super::log::what(line)),
    }
}

fn head(line: View<'_>, summary: &Summary) -> Vec<String> {
    let techniques: Vec<String> = line
        .at("mitre_technique_id")
        .list()
        .filter_map(View::shown)
        .take(REASONS_MAX)
        .collect();
    let state = match line.at("state").shown_or("unknown").as_str() {
        "open" => "open, may still grow".to_owned(),
        state => state.to_owned(),
    };
    let mut lines = vec![
        format!(
            "severity {}, risk {}, {}",
            summary.severity,
            summary.risk_score,
            techniques.join(", ")
        ),
        format!(
            "id       {} revision {} ({state})",
            summary.id,
            line.at("revision").count()
        ),
        format!("when     {} to {}", time(summary.first), time(summary.last)),
        format!("who      {}", who(line)),
    ];
    lines.extend(place(line).map(|place| format!("where    {place}")));
    lines
}

/// Without a time the log says nothing of it.
fn time(time: Timestamp) -> String {
    if time == Timestamp::MIN {
        return "unknown".to_owned();
    }
    time.to_string()
}

fn who(line: View<'_>) -> String {
    let mut text = format!(
        "{} on {}",
        line.at("user").shown_or("unknown"),
        line.at("dest").shown_or("unknown")
    );
    let Some(exec) = line.at("execs").list().next() else {
        return text;
    };
    let numbers = [
        ("uid", "uid"),
        ("euid", "effective uid"),
        ("login_uid", "logged in as uid"),
        ("session_id", "session"),
    ];
    for (key, label) in numbers {
        if let Some(number) = exec.at(key).number() {
            text.push_str(&format!(", {label} {number}"));
        }
    }
    if exec.at("login_uid").number().is_none() {
        text.push_str(", no login");
    }
    if let Some(tty) = exec.at("tty").shown() {
        text.push_str(&format!(", terminal {tty}"));
    }
    text
}

/// Unit, container and cgroup, where there is one.
fn place(line: View<'_>) -> Option<String> {
    let cgroup = line.at("execs").list().next().map(|exec| exec.at("cgroup"));
    let mut parts = Vec::new();
    let unit = line.at("origin").at("unit").shown();
    let unit = unit.or_else(|| cgroup?.at("unit").shown());
    parts.extend(unit.map(|unit| format!("unit {unit}")));
    if let Some(cgroup) = cgroup {
        let container = cgroup.at("container");
        parts.extend(container.at("id").shown().map(|id| {
            format!(
                "{} container {id}",
                container.at("runtime").shown_or("unknown")
            )
        }));
        parts.extend(
            cgroup
                .at("path")
                .shown()
                .map(|path| format!("cgroup {path}")),
        );
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn changes(line: View<'_>) -> Vec<String> {
    let edits = line.at("edits").list();
    let n_edits = edits.len() as u64 + line.at("edits_omitted").count();
    let mut lines = vec![format!(
        "{} asked for, {} made, {}",
        counted(line.at("changes_asked").count(), "change"),
        line.at("changes_made").count(),
        counted(n_edits, "edit")
    )];
    let all = line.at("changes").list();
    let n_more = all.len().saturating_sub(CHANGES_MAX) as u64 + line.at("changes_omitted").count();
    lines.extend(all.take(CHANGES_MAX).map(change));
    if n_more > 0 {
        lines.push(format!("and {n_more} more changes"));
    }
    let n_more = n_edits.saturating_sub(CHANGES_MAX as u64);
    lines.extend(edits.take(CHANGES_MAX).map(edit));
    if n_more > 0 {
        lines.push(format!("and {n_more} more edits"));
    }
    lines
}

fn change(change: View<'_>) -> String {
    let how = match change.at("witness").text() {
        Some("command") => "asked by command".to_owned(),
        Some("netlink") => "made, says the kernel".to_owned(),
        Some("setsockopt") => "told to the kernel by setsockopt".to_owned(),
        _ => format!("witness {}", change.at("witness").shown_or("unknown")),
    };
    let whose = by(change);
    let namespace = change.at("nsid").number();
    let namespace =
        namespace.map_or_else(String::new, |nsid| format!(" in network namespace {nsid}"));
    let text = change.at("text").text().unwrap_or("unknown");
    format!(
        "{}  {how}{whose}{namespace}: {}",
        change.at("time").shown_or("unknown"),
        passive_within(text, COMMAND_BYTES_MAX)
    )
}

fn edit(edit: View<'_>) -> String {
    let exe = edit.at("executable").shown();
    let exe = exe.map_or_else(String::new, |exe| format!(" {exe}"));
    format!(
        "{}  {} {}{}{exe}",
        edit.at("time").shown_or("unknown"),
        edit.at("what").shown_or("edited"),
        edit.at("path").shown_or("unknown"),
        by(edit)
    )
}

fn by(view: View<'_>) -> String {
    match view.at("pid").number() {
        Some(pid) => format!(" by {pid}"),
        None => " by nobody known".to_owned(),
    }
}

fn runs(line: View<'_>) -> Vec<String> {
    let ports: Vec<String> = line
        .at("ports")
        .list()
        .filter_map(View::shown)
        .take(PORTS_MAX)
        .collect();
    let mut lines = vec![
        format!(
            "{} of {}",
            counted(line.at("count").count(), "run"),
            line.at("process_path").shown_or("unknown")
        ),
        format!("ports {}", ports.join(" ")),
    ];
    let all = line.at("processes_exec").list();
    let n_more = all.len().saturating_sub(COMMANDS_MAX);
    let commands = all.filter_map(View::text).take(COMMANDS_MAX);
    lines.extend(commands.map(|command| passive_within(command, COMMAND_BYTES_MAX)));
    if n_more > 0 {
        lines.push(format!("and {n_more} more command lines"));
    }
    lines
}

fn clauses(line: View<'_>) -> Vec<String> {
    let matched = line.at("matched").list();
    let lines = matched.take(CLAUSES_MAX).map(|matched| {
        let place = match matched.at("offset").number() {
            Some(offset) => format!(" at byte {offset}"),
            None => String::new(),
        };
        let clause = matched.at("clause").shown_or("unknown");
        format!("{clause}  `{}`{place}", matched.at("found").shown_or(""))
    });
    lines.collect()
}

fn fixed_weight(summary: &Summary) -> Vec<String> {
    vec![format!(
        "the rule's file says so: {}, risk {}",
        summary.severity, summary.risk_score
    )]
}

/// What the kind weighs, and what each reason adds.
fn weights(line: View<'_>, summary: &Summary) -> Vec<String> {
    let name = line.at("finding").shown_or("unknown");
    let kind = FindingKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == name);
    let Some(kind) = kind else {
        return vec![format!("{name} is not known to this version")];
    };
    let mut lines = vec![format!("{:>4}  {name}", kind.base_risk())];
    let mut known = Vec::new();
    for told in line.at("reasons").list().take(REASONS_MAX) {
        let told = told.shown_or("unknown");
        match Reason::ALL
            .into_iter()
            .find(|reason| reason.as_str() == told)
        {
            Some(reason) => {
                lines.push(format!("{:>+4}  {told}", reason.weight()));
                known.push(reason);
            }
            None => lines.push(format!("   ?  {told}")),
        }
    }
    let (risk, severity) = weigh(kind, &known.into_iter().collect());
    lines.push(format!("{risk:>4}  of 100: {}", severity.as_str()));
    if u64::from(risk) != summary.risk_score {
        lines.push(format!(
            "the log says {}: it was written by a version that weighs otherwise",
            summary.risk_score
        ));
    }
    lines
}

fn missed(line: View<'_>, summary: &Summary, log: &Log) -> Vec<String> {
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
        .take(REASONS_MAX)
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
            "of {n_unread} listed execs the command line is not whole"
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
        lines.push(format!(
            "of {n_unknown} processes the executable is not known"
        ));
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
                time(gap.from),
                time(gap.to),
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
