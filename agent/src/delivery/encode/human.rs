//! An alert as a person reads it in a terminal.

mod explained;

pub use explained::explained;

use std::fmt::{self, Write};

use crate::pipeline::alert::{Alert, AlertState, Ancestor, Blindness, Evidence, Excerpt};
use crate::pipeline::exec::{ExePath, Unknown, basename};
use crate::pipeline::firewall::edit::EditEvidence;
use crate::pipeline::firewall::finding::Finding;
use crate::pipeline::firewall::origin::Origin;
use crate::pipeline::repeats::Summary;
use crate::pipeline::watch::{ChangeGap, Gap};

use super::change::ChangeText;
use super::text::{Text, is_active};
use super::{AlertContext, Moment, state_word};

const COMMANDS_MAX: usize = 4;
const COMMAND_BYTES_MAX: usize = 160;
const ANCESTORS_MAX: usize = 8;
const CLAUSES_MAX: usize = 8;
const FOUND_BYTES_MAX: usize = 48;
const FIELD_BYTES_MAX: usize = 256;
const PORTS_MAX: usize = 32;
const TECHNIQUES_MAX: usize = 16;
const ID_BYTES_MAX: usize = 24;

/// About twenty lines: who, from where, what, which ports, when, out of which processes, why the
/// rule held. Nothing in it acts on the terminal.
pub fn human(alert: &Alert, context: &AlertContext) -> String {
    let mut page = Page::default();
    let rule = &alert.rule;
    page.heading(&format!(
        "{} ({}, risk {}, {})",
        field(rule.name.as_bytes()),
        rule.severity.as_str(),
        rule.risk_score,
        techniques(&rule.mitre_technique_id),
    ));
    page.line("who", &who(alert));
    page.line("from", &from(alert));
    page.line("what", &what(alert));
    for process in alert.processes_exec.iter().take(COMMANDS_MAX) {
        page.more(&format!("  {}", command(process)));
    }
    page.rest(alert.processes_exec.len(), COMMANDS_MAX);
    page.line("ports", &ports(alert));
    page.line("when", &when(alert));
    page.line("lineage", &lineage(&alert.ancestry));
    if !alert.origin.is_empty() {
        page.line("begun by", &lineage(&alert.origin));
    }
    page.line("why", "each clause of the rule held:");
    for clause in alert.matched.iter().take(CLAUSES_MAX) {
        let found = Text::whole(&clause.found).within(FOUND_BYTES_MAX);
        let place = clause
            .offset
            .map_or_else(String::new, |offset| format!(" at byte {offset}"));
        page.more(&format!(
            "  {}  `{found}`{place}",
            field(clause.clause.as_bytes())
        ));
    }
    page.rest(alert.matched.len(), CLAUSES_MAX);
    page.line("unseen", &unseen(&alert.blindness));
    page.line("alert", &identity(alert, context));
    page.text
}

/// What was done to the firewall, by whom, from where, and why it weighs what it weighs.
pub fn finding(finding: &Finding) -> String {
    let mut page = Page::default();
    page.heading(&format!(
        "{} ({}, risk {}, {})",
        finding.kind.title(),
        finding.severity.as_str(),
        finding.risk_score,
        finding.kind.mitre_technique_id().join(", "),
    ));
    let user = finding.user.as_deref().unwrap_or("unknown");
    let dest = finding.dest.as_deref().unwrap_or("unknown");
    page.line("who", &passive(&format!("{user} on {dest}")));
    page.line("from", &begun_at(&finding.origin));
    page.line("what", &done(finding));
    for change in finding.changes.iter().take(COMMANDS_MAX) {
        let text = ChangeText(&change.change).to_string();
        page.more(&format!("  {}", passive(&text)));
    }
    page.rest(finding.changes.len(), COMMANDS_MAX);
    for edit in finding.edits.iter().take(COMMANDS_MAX) {
        page.more(&format!("  {}", edited(edit)));
    }
    page.rest(finding.edits.len(), COMMANDS_MAX);
    for exec in finding.execs.iter().take(COMMANDS_MAX) {
        page.line("command", &command(&exec.process_text).to_string());
    }
    page.line("lineage", &lineage(&finding.lineage));
    let reasons: Vec<&str> = finding
        .reasons
        .iter()
        .map(|reason| reason.as_str())
        .collect();
    page.line("why", &reasons.join(", "));
    page.line(
        "finding",
        &format!(
            "{} {} revision {}, {}",
            finding.kind.as_str(),
            finding.id,
            finding.revision,
            state_word(finding.state)
        ),
    );
    page.text
}

fn done(finding: &Finding) -> String {
    let mut text = format!("{} asked for, {} made", finding.asked, finding.made);
    if finding.edited > 0 {
        text.push_str(&format!(", {}", counted(finding.edited, "edit")));
    }
    text
}

fn edited(edit: &EditEvidence) -> String {
    let mut text = format!("{} {}", edit.what.as_str(), field(&edit.path));
    if let (Some(exe), Some(process)) = (&edit.exe, edit.process) {
        text.push_str(&format!(" by {} ({})", field(exe), process.tgid));
    }
    text
}

fn begun_at(origin: &Origin) -> String {
    let Origin {
        kind,
        process,
        exe,
        script,
        claimed_script,
        unit,
        doubts: _,
    } = origin;
    let running = running(script.as_deref(), claimed_script.as_deref());
    let exe = exe.as_ref().map_or_else(String::new, |exe| {
        format!(": {}{running} ({})", field(exe), process.tgid)
    });
    let unit = unit
        .as_ref()
        .map_or_else(String::new, |unit| format!(", {}", field(unit.as_bytes())));
    format!("{}{exe}{unit}", kind.as_str())
}

/// What was not told one by one, by whom and when.
pub fn summary(summary: &Summary) -> String {
    let mut page = Page::default();
    page.put(format_args!(
        "MORE OF THE SAME: {} more, {}",
        summary.withheld, summary.title
    ));
    let (first, last) = (Moment(summary.first_seen), Moment(summary.last_seen));
    page.line("when", &format!("{first} to {last}"));
    if let Some(culprit) = &summary.culprit {
        page.line("who", &field(culprit).to_string());
    }
    page.text
}

/// What was lost, when, why, whose, and what could be brought back.
pub fn gap(gap: &Gap) -> String {
    let mut page = Page::default();
    page.put(format_args!(
        "GAP: {} lost",
        counted(gap.losses.total(), "exec")
    ));
    page.line(
        "when",
        &format!("{} to {}", Moment(gap.from), Moment(gap.to)),
    );
    let causes: Vec<String> = gap
        .losses
        .causes()
        .map(|(cause, execs)| format!("{execs} {}", cause.as_str()))
        .collect();
    page.line("why", &causes.join(", "));
    for lost in &gap.lineages {
        let path = match &lost.cgroup {
            Some(cgroup) => field(&cgroup.path).to_string(),
            None => format!("cgroup {}", lost.cgroup_id),
        };
        page.line(
            "whose",
            &format!("{} of {path}, uid {}", lost.execs, lost.uid),
        );
        page.more(&format!("  {}", lineage(&lost.ancestry)));
    }
    if let Some(repair) = gap.repair {
        page.line(
            "repair",
            &format!(
                "{} of processes that still run",
                counted(repair.execs, "exec")
            ),
        );
    }
    page.text
}

/// When changes of nf_tables were not heard.
pub fn change_gap(gap: &ChangeGap) -> String {
    let mut page = Page::default();
    page.put(format_args!("GAP: changes of nf_tables lost"));
    page.line(
        "when",
        &format!("{} to {}", Moment(gap.from), Moment(gap.to)),
    );
    page.line("why", "netfilter-overrun");
    page.text
}

/// Any text as a part of a line for a person: nothing in it acts on the terminal or ends the line.
pub fn passive(text: &str) -> String {
    Passive(text).to_string()
}

/// The same, with at most `bytes_max` bytes of it shown.
pub fn passive_within(text: &str, bytes_max: usize) -> String {
    passive(&Text::whole(text.as_bytes()).within(bytes_max).to_string())
}

fn techniques(ids: &[String]) -> String {
    let shown = ids.iter().take(TECHNIQUES_MAX).map(|id| short(id));
    shown.collect::<Vec<_>>().join(", ")
}

fn who(alert: &Alert) -> String {
    let user = field(alert.key.user.as_bytes());
    let dest = field(alert.key.dest.as_bytes());
    let Some(exec) = alert.execs.first() else {
        return format!("{user} on {dest}");
    };
    let mut ids = match exec.uid {
        Some(uid) => format!("uid {uid}"),
        None => "uid unknown".to_owned(),
    };
    if let Some(euid) = exec.euid.filter(|&euid| exec.uid != Some(euid)) {
        ids.push_str(&format!(", effective uid {euid}"));
    }
    if let Some(login_uid) = exec.login_uid.filter(|&it| exec.uid != Some(it)) {
        ids.push_str(&format!(", logged in as uid {login_uid}"));
    }
    format!("{user} ({ids}) on {dest}{}", place(exec))
}

/// The container and the unit, where there is one.
fn place(exec: &Evidence) -> String {
    let Some(cgroup) = &exec.cgroup else {
        return String::new();
    };
    let mut place = String::new();
    if let Some(container) = &cgroup.container {
        let (runtime, id) = (container.runtime.as_str(), field(container.id.as_bytes()));
        place.push_str(&format!(", in {runtime} container {id}"));
    }
    if let Some(unit) = &cgroup.unit {
        place.push_str(&format!(", in {}", field(unit.as_bytes())));
    }
    place
}

fn from(alert: &Alert) -> String {
    let path = match alert.parent_unknown {
        None => field(&alert.key.parent_process_path).to_string(),
        Some(why) => unknown_path(why),
    };
    let gone = match (alert.parent_deleted, alert.parent_memfd) {
        (_, true) => " (in memory only)",
        (true, false) => " (removed since it was started)",
        (false, false) => "",
    };
    let running = alert.ancestry.first().map_or_else(String::new, |parent| {
        running(parent.script.as_deref(), parent.claimed_script.as_deref())
    });
    format!("{path}{running}{gone}, pid {}", alert.key.parent_process_id)
}

/// Which script an interpreter runs, or claims to run.
fn running(script: Option<&[u8]>, claimed: Option<&[u8]>) -> String {
    match (script, claimed) {
        (Some(script), _) => format!(" running {}", field(script)),
        (None, Some(claimed)) => format!(" told to run {}", field(claimed)),
        (None, None) => String::new(),
    }
}

fn what(alert: &Alert) -> String {
    let runs = counted(alert.count, "run");
    let path = field(&alert.key.process_path);
    let listed = alert.processes_exec.len() as u64;
    let commands = match alert.blindness.processes_exec_omitted {
        0 => counted(listed, "command line"),
        omitted => {
            let all = listed.saturating_add(omitted);
            format!("{listed} of up to {}", counted(all, "command line"))
        }
    };
    format!("{runs} of {path}, {commands}:")
}

fn ports(alert: &Alert) -> String {
    let shown: Vec<String> = alert
        .ports
        .iter()
        .take(PORTS_MAX)
        .map(|port| short(port))
        .collect();
    let more = if alert.ports.len() > PORTS_MAX {
        " …"
    } else {
        ""
    };
    format!("{}{more} ({} distinct)", shown.join(" "), alert.port_count)
}

fn when(alert: &Alert) -> String {
    let nanoseconds = alert
        .last_seen
        .wall_ns
        .saturating_sub(alert.first_seen.wall_ns);
    format!(
        "{} to {} ({}.{:03} s)",
        Moment(alert.first_seen),
        Moment(alert.last_seen),
        nanoseconds / 1_000_000_000,
        nanoseconds / 1_000_000 % 1000,
    )
}

/// The nearest first.
fn lineage(ancestry: &[Ancestor]) -> String {
    if ancestry.is_empty() {
        return "unknown".to_owned();
    }
    let mut steps: Vec<String> = ancestry.iter().take(ANCESTORS_MAX).map(ancestor).collect();
    if ancestry.len() > ANCESTORS_MAX {
        steps.push("…".to_owned());
    }
    steps.join(" < ")
}

fn ancestor(ancestor: &Ancestor) -> String {
    let name = match &ancestor.exe {
        ExePath::Known(path) => field(basename(path)).to_string(),
        ExePath::Unknown(_) => "?".to_owned(),
    };
    let ended = if ancestor.ended { ", ended" } else { "" };
    format!("{name} ({}{ended})", ancestor.process.tgid)
}

fn unseen(blindness: &Blindness) -> String {
    let Blindness {
        truncated,
        faults,
        lost,
        execs_omitted,
        processes_exec_omitted: _,
        guids_omitted,
    } = *blindness;
    let parts: Vec<String> = [
        (truncated, "command lines cut"),
        (faults, "command lines not read at the exec"),
        (lost, "execs of the host lost"),
        (execs_omitted, "execs counted but not listed"),
        (guids_omitted, "guids and their pids not listed"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    if parts.is_empty() {
        "nothing".to_owned()
    } else {
        parts.join(", ")
    }
}

fn identity(alert: &Alert, context: &AlertContext) -> String {
    let state = match alert.state {
        AlertState::Open => "open, may still grow",
        AlertState::Closed => state_word(alert.state),
    };
    format!(
        "{} revision {} ({state}), wallwatch {}",
        alert.id, alert.revision, context.agent_version
    )
}

fn unknown_path(why: Unknown) -> String {
    format!("unknown ({})", why.as_str())
}

fn command(process: &Excerpt) -> Text<'_> {
    Text::excerpt(process).within(COMMAND_BYTES_MAX)
}

fn field(bytes: &[u8]) -> Text<'_> {
    Text::whole(bytes).within(FIELD_BYTES_MAX)
}

/// A port or another id.
fn short(id: &str) -> String {
    Text::whole(id.as_bytes()).within(ID_BYTES_MAX).to_string()
}

fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// Lines with a label before the first of a kind.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn heading(&mut self, text: &str) {
        self.put(format_args!("ALERT: {}", Passive(text)));
    }

    fn line(&mut self, label: &str, text: &str) {
        self.put(format_args!("  {label:<8} {}", Passive(text)));
    }

    fn more(&mut self, text: &str) {
        self.line("", text);
    }

    fn rest(&mut self, count: usize, shown_max: usize) {
        if count > shown_max {
            self.more(&format!("  and {} more", count - shown_max));
        }
    }

    fn put(&mut self, line: fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("a String takes everything");
    }
}

/// A text with what would act on a terminal made visible.
struct Passive<'a>(&'a str);

impl fmt::Display for Passive<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            if !is_active(char) {
                out.write_char(char)?;
            } else if char.is_ascii() {
                write!(out, "\\x{:02x}", u32::from(char))?;
            } else {
                write!(out, "\\u{{{:04x}}}", u32::from(char))?;
            }
        }
        Ok(())
    }
}
