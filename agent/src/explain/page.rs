//! One finding or alert as a page of text. Nothing in it acts on a terminal, whatever the log says.

use std::collections::BTreeSet;

use super::filter;
use super::log::{Log, Summary};
use super::missed::missed;
use super::near::{InForce, near};
use super::tree::{self, tree};
use super::view::{View, counted, moment};
use crate::delivery::encode::human::{passive, passive_within};
use crate::pipeline::firewall::finding::{FindingKind, Reason};
use crate::pipeline::firewall::severity::weigh;

const CHANGES_MAX: usize = 32;
const COMMANDS_MAX: usize = 32;
const COMMAND_BYTES_MAX: usize = 400;
const CLAUSES_MAX: usize = 32;
const REASONS_MAX: usize = 32;
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
    let silencing = filter::filter(line).map(|proposal| proposal.lines());
    let silencing = silencing.unwrap_or_else(|why| vec![format!("none: {why}")]);
    page.section("a filter that would silence it", silencing);
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
        format!(
            "when     {} to {}",
            moment(summary.first),
            moment(summary.last)
        ),
        format!("who      {}", who(line)),
    ];
    lines.extend(place(line).map(|place| format!("where    {place}")));
    lines
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
    let uid = exec.at("uid").number();
    for (key, label) in numbers {
        let number = exec.at(key).number();
        let says_something = key == "uid" || key == "session_id" || number != uid;
        if let Some(number) = number.filter(|_| says_something) {
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
        Some("command") => "asked for by command".to_owned(),
        Some("netlink") => "made, says the kernel".to_owned(),
        Some("setsockopt") => "asked for by setsockopt".to_owned(),
        Some("table") => "made, says the table".to_owned(),
        _ => format!("witness {}", change.at("witness").shown_or("unknown")),
    };
    let whose = by(change);
    let namespace = change.at("nsid").number();
    let namespace =
        namespace.map_or_else(String::new, |nsid| format!(", network namespace {nsid}"));
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
        Some(pid) => format!(", process {pid}"),
        None => ", by a process that is not known".to_owned(),
    }
}

/// The ports, and those command lines that do not stand in the tree.
fn runs(line: View<'_>) -> Vec<String> {
    let ports: Vec<String> = line
        .at("ports")
        .list()
        .filter_map(View::shown)
        .take(PORTS_MAX)
        .collect();
    let all = line.at("processes_exec").list();
    let mut lines = vec![
        format!(
            "{} of {}, {}",
            counted(line.at("count").count(), "run"),
            line.at("process_path").shown_or("unknown"),
            counted(all.len() as u64, "command line"),
        ),
        format!("ports {}", ports.join(" ")),
    ];
    let drawn: BTreeSet<&str> = line
        .at("execs")
        .list()
        .take(tree::EXECS_MAX)
        .filter_map(|exec| exec.at("command_line").text())
        .collect();
    let mut others = all
        .filter_map(View::text)
        .filter(|command| !drawn.contains(command));
    let shown = others.by_ref().take(COMMANDS_MAX);
    lines.extend(shown.map(|command| passive_within(command, COMMAND_BYTES_MAX)));
    let n_more = others.count();
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
