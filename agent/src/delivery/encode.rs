//! The serializable twin of [`Alert`]: names, order and types of an alert's fields as a reader gets
//! them.

mod budget;
mod change;
mod exec;
mod finding;
pub mod human;
pub mod json;
mod summary;
mod text;
mod watch;

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::pipeline::alert::{
    Alert, AlertState, Ancestor, Blindness, ClauseMatch, Excerpt, WindowMode,
};
use crate::pipeline::exec::{ExePath, Time, Unknown};
use crate::pipeline::firewall::change::FirewallChange;
use crate::pipeline::firewall::finding::Finding;
use crate::pipeline::repeats::Summary;
use crate::pipeline::watch::{ChangeGap, Gap, Heartbeat, Notice};

use budget::Budget;
use exec::{ExecLine, exec_line};
use finding::FindingLine;
use summary::SummaryLine;
use text::Text;
pub use text::is_active;
use watch::{ChangeGapLine, GapLine, HeartbeatLine, NoticeLine};

/// Rises when a field changes its meaning or goes; a new field leaves it alone.
///
/// At the top level `seq` and `epoch` are the store's: it puts them behind the schema when it takes an alert
/// ([`json::stamped`]). No alert may bring them along.
const SCHEMA: &str = "wallwatch.alert/1";

/// Who an alert is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A program: one JSON object a line.
    JsonLines,
    /// A person at a terminal.
    Human,
}

/// Bytes of the host as text: what is not UTF-8 is shown as `\xNN`.
pub fn text(bytes: &[u8]) -> String {
    Text::whole(bytes).to_string()
}

/// The same with at most `bytes_max` of the bytes, and a mark where others were; never half a character.
pub fn text_within(bytes: &[u8], bytes_max: usize) -> String {
    Text::whole(bytes).within(bytes_max).to_string()
}

/// An alert in that shape. For a person a blank line follows, so that alerts stand apart.
pub fn shaped(alert: &Alert, context: &AlertContext, shape: Shape) -> Vec<u8> {
    match shape {
        Shape::JsonLines => json::json_line(alert, context),
        Shape::Human => (human::human(alert, context) + "\n").into_bytes(),
    }
}

/// A finding in that shape.
pub fn shaped_finding(finding: &Finding, context: &AlertContext, shape: Shape) -> Vec<u8> {
    match shape {
        Shape::JsonLines => json::line(|budget| FindingLine::of(finding, context, budget)),
        Shape::Human => (human::finding(finding) + "\n").into_bytes(),
    }
}

/// A summary in that shape.
pub fn shaped_summary(summary: &Summary, context: &AlertContext, shape: Shape) -> Vec<u8> {
    match shape {
        Shape::JsonLines => json::line(|budget| SummaryLine::of(summary, context, budget)),
        Shape::Human => (human::summary(summary) + "\n").into_bytes(),
    }
}

/// A gap in that shape.
pub fn shaped_gap(gap: &Gap, context: &AlertContext, shape: Shape) -> Vec<u8> {
    match shape {
        Shape::JsonLines => json::line(|budget| GapLine::of(gap, context, budget)),
        Shape::Human => (human::gap(gap) + "\n").into_bytes(),
    }
}

/// A gap in what was heard of nf_tables, in that shape.
pub fn shaped_change_gap(gap: &ChangeGap, context: &AlertContext, shape: Shape) -> Vec<u8> {
    match shape {
        Shape::JsonLines => json::line(|budget| ChangeGapLine::of(gap, context, budget)),
        Shape::Human => (human::change_gap(gap) + "\n").into_bytes(),
    }
}

/// A change as findings tell it, in words.
pub fn change_text(change: &FirewallChange) -> String {
    change::ChangeText(change).to_string()
}

/// A heartbeat as one JSON line. A person at a terminal sees that the agent lives.
pub fn heartbeat_line(heartbeat: &Heartbeat, context: &AlertContext) -> Vec<u8> {
    json::line(|budget| HeartbeatLine::of(heartbeat, context, budget))
}

/// A notice as one JSON line. A person at a terminal reads it in the agent's own log.
pub fn notice_line(notice: &Notice, time: Time, context: &AlertContext) -> Vec<u8> {
    json::line(|budget| NoticeLine::of(notice, time, context, budget))
}

/// What an alert tells beside the finding: on which host and by which agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertContext {
    pub host: HostIdentity,
    pub agent_version: String,
    /// What the operator has every event say, by name.
    pub labels: BTreeMap<String, String>,
}

/// The host as alerts name it; `None` where it is unknown, as in a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostIdentity {
    pub name: String,
    /// `machine-id(5)`.
    pub id: Option<String>,
    pub boot_id: Option<Uuid>,
    /// Name and version of the system.
    pub os: Option<String>,
    /// Release of the kernel.
    pub kernel: Option<String>,
}

/// One alert within one budget. The order here is the order of the fields.
#[derive(Serialize)]
struct AlertLine<'a> {
    schema: &'static str,
    id: Shown<Uuid>,
    revision: u32,
    kind: &'static str,
    state: &'static str,
    rule: RuleLine<'a>,
    severity: &'static str,
    risk_score: u8,
    mitre_technique_id: Vec<Text<'a>>,
    first_seen: Moment,
    last_seen: Moment,
    process_name: Text<'a>,
    parent_process_name: Text<'a>,
    parent_process_id: Shown<u32>,
    dest: Text<'a>,
    user: Text<'a>,
    parent_process_path: Text<'a>,
    process_path: Text<'a>,
    processes_exec: Vec<Text<'a>>,
    ports: Vec<Text<'a>>,
    guids: Vec<Shown<Uuid>>,
    pids: Vec<Shown<u32>>,
    port_count: u64,
    count: u64,
    window: WindowLine,
    #[serde(skip_serializing_if = "is_zero")]
    redacted: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
    host: HostLine<'a>,
    agent: AgentLine<'a>,
    execs: Vec<ExecLine<'a>>,
    parent: ParentLine<'a>,
    matched: Vec<ClauseLine<'a>>,
    sensor: SensorLine,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<CutLine>,
}

#[derive(Serialize)]
struct RuleLine<'a> {
    id: Text<'a>,
    name: Text<'a>,
    version: u32,
}

#[derive(Serialize)]
struct WindowLine {
    mode: &'static str,
    span_seconds: u64,
}

#[derive(Serialize)]
struct HostLine<'a> {
    name: Text<'a>,
    id: Option<Text<'a>>,
    boot_id: Option<Shown<Uuid>>,
    os: Option<Text<'a>>,
    kernel: Option<Text<'a>>,
}

#[derive(Serialize)]
struct AgentLine<'a> {
    name: &'static str,
    version: Text<'a>,
}

#[derive(Serialize)]
struct ParentLine<'a> {
    pid: u32,
    start_ns: u64,
    executable: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable_unknown: Option<&'static str>,
    deleted: bool,
    memfd: bool,
    ancestry: Vec<AncestorLine<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    origin: Vec<AncestorLine<'a>>,
}

#[derive(Serialize)]
struct AncestorLine<'a> {
    pid: u32,
    start_ns: u64,
    executable: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable_unknown: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_script: Option<Text<'a>>,
    command_line: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_line_cut: Option<TextCut<'a>>,
    exec_time: Option<Moment>,
    ended: bool,
}

#[derive(Serialize)]
struct ClauseLine<'a> {
    clause: Text<'a>,
    offset: Option<u64>,
    found: Text<'a>,
}

#[derive(Serialize)]
struct SensorLine {
    truncated: u64,
    faults: u64,
    lost: u64,
    execs_omitted: u64,
    processes_exec_omitted: u64,
    guids_omitted: u64,
}

/// What a text was before it was cut, and which pieces of it are shown.
#[derive(Serialize)]
struct TextCut<'a> {
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Hash<'a>>,
    /// Offset and length of each piece.
    shown: Vec<[u64; 2]>,
}

/// What was left out so that the line fits: how many entries of each list, and the length to which
/// texts were shortened.
#[derive(Serialize)]
struct CutLine {
    text_bytes_max: usize,
    #[serde(skip_serializing_if = "is_zero")]
    mitre_technique_id: usize,
    #[serde(skip_serializing_if = "is_zero")]
    processes_exec: usize,
    #[serde(skip_serializing_if = "is_zero")]
    ports: usize,
    #[serde(skip_serializing_if = "is_zero")]
    guids: usize,
    #[serde(skip_serializing_if = "is_zero")]
    pids: usize,
    #[serde(skip_serializing_if = "is_zero")]
    execs: usize,
    #[serde(skip_serializing_if = "is_zero")]
    ancestry: usize,
    #[serde(skip_serializing_if = "is_zero")]
    origin: usize,
    #[serde(skip_serializing_if = "is_zero")]
    matched: usize,
}

impl<'a> AlertLine<'a> {
    fn of(alert: &'a Alert, context: &'a AlertContext, budget: Budget) -> Self {
        let Alert {
            id,
            revision,
            state,
            rule,
            window_mode,
            window_span_s,
            first_seen,
            last_seen,
            key,
            processes_exec,
            ports,
            guids,
            pids,
            port_count,
            count,
            execs,
            matched,
            parent: _,
            parent_unknown: _,
            parent_deleted: _,
            parent_memfd: _,
            ancestry: _,
            origin: _,
            blindness,
            redacted,
        } = alert;
        let field = |bytes: &'a [u8]| Text::whole(bytes).within(budget.field_bytes);
        Self {
            schema: SCHEMA,
            id: Shown(*id),
            revision: *revision,
            kind: "alert",
            state: state_word(*state),
            rule: RuleLine {
                id: field(rule.id.as_bytes()),
                name: field(rule.name.as_bytes()),
                version: rule.version,
            },
            severity: rule.severity.as_str(),
            risk_score: rule.risk_score,
            mitre_technique_id: first(&rule.mitre_technique_id, budget.ids)
                .map(|technique| field(technique.as_bytes()))
                .collect(),
            first_seen: Moment(*first_seen),
            last_seen: Moment(*last_seen),
            process_name: field(&key.process_name),
            parent_process_name: field(&key.parent_process_name),
            parent_process_id: Shown(key.parent_process_id),
            dest: field(key.dest.as_bytes()),
            user: field(key.user.as_bytes()),
            parent_process_path: field(&key.parent_process_path),
            process_path: field(&key.process_path),
            processes_exec: first(processes_exec, budget.items)
                .map(|process| Text::excerpt(process).within(budget.text_bytes))
                .collect(),
            ports: first(ports, budget.ids)
                .map(|port| field(port.as_bytes()))
                .collect(),
            guids: first(guids, budget.ids).copied().map(Shown).collect(),
            pids: first(pids, budget.ids).copied().map(Shown).collect(),
            port_count: *port_count,
            count: *count,
            window: WindowLine {
                mode: WindowMode::as_str(*window_mode),
                span_seconds: *window_span_s,
            },
            redacted: *redacted,
            labels: &context.labels,
            host: host_line(&context.host, budget),
            agent: agent_line(context, budget),
            execs: ends(execs, budget.items)
                .map(|exec| exec_line(exec, budget))
                .collect(),
            parent: parent_line(alert, budget),
            matched: first(matched, budget.items)
                .map(|clause| clause_line(clause, budget))
                .collect(),
            sensor: sensor_line(blindness),
            cut: cut_line(alert, budget),
        }
    }
}

fn host_line(host: &HostIdentity, budget: Budget) -> HostLine<'_> {
    let HostIdentity {
        name,
        id,
        boot_id,
        os,
        kernel,
    } = host;
    HostLine {
        name: Text::whole(name.as_bytes()).within(budget.field_bytes),
        id: known(id.as_deref(), budget),
        boot_id: boot_id.map(Shown),
        os: known(os.as_deref(), budget),
        kernel: known(kernel.as_deref(), budget),
    }
}

fn agent_line(context: &AlertContext, budget: Budget) -> AgentLine<'_> {
    AgentLine {
        name: "wallwatch",
        version: Text::whole(context.agent_version.as_bytes()).within(budget.field_bytes),
    }
}

fn path(path: Option<&[u8]>, budget: Budget) -> Option<Text<'_>> {
    Some(Text::whole(path?).within(budget.field_bytes))
}

fn known(text: Option<&str>, budget: Budget) -> Option<Text<'_>> {
    Some(Text::whole(text?.as_bytes()).within(budget.field_bytes))
}

fn parent_line(alert: &Alert, budget: Budget) -> ParentLine<'_> {
    let path = Text::whole(&alert.key.parent_process_path).within(budget.field_bytes);
    ParentLine {
        pid: alert.parent.tgid,
        start_ns: alert.parent.start_ns,
        executable: alert.parent_unknown.is_none().then_some(path),
        executable_unknown: alert.parent_unknown.map(Unknown::as_str),
        deleted: alert.parent_deleted,
        memfd: alert.parent_memfd,
        ancestry: first(&alert.ancestry, budget.items)
            .map(|ancestor| ancestor_line(ancestor, budget))
            .collect(),
        origin: first(&alert.origin, budget.items)
            .map(|ancestor| ancestor_line(ancestor, budget))
            .collect(),
    }
}

fn ancestor_line(ancestor: &Ancestor, budget: Budget) -> AncestorLine<'_> {
    let Ancestor {
        process,
        exe,
        script,
        claimed_script,
        program: _,
        command_line,
        command_line_bytes_full,
        exec_time,
        ended,
    } = ancestor;
    let command_line = Text::head(command_line, *command_line_bytes_full).within(budget.text_bytes);
    AncestorLine {
        pid: process.tgid,
        start_ns: process.start_ns,
        executable: executable(exe, budget),
        executable_unknown: executable_unknown(exe),
        script: path(script.as_deref(), budget),
        claimed_script: path(claimed_script.as_deref(), budget),
        command_line_cut: text_cut(&command_line, None),
        command_line,
        exec_time: exec_time.map(Moment),
        ended: *ended,
    }
}

fn clause_line(clause: &ClauseMatch, budget: Budget) -> ClauseLine<'_> {
    let ClauseMatch {
        clause,
        offset,
        found,
    } = clause;
    ClauseLine {
        clause: Text::whole(clause.as_bytes()).within(budget.field_bytes),
        offset: *offset,
        found: Text::whole(found).within(budget.field_bytes),
    }
}

fn sensor_line(blindness: &Blindness) -> SensorLine {
    let Blindness {
        truncated,
        faults,
        lost,
        execs_omitted,
        processes_exec_omitted,
        guids_omitted,
    } = *blindness;
    SensorLine {
        truncated,
        faults,
        lost,
        execs_omitted,
        processes_exec_omitted,
        guids_omitted,
    }
}

/// `None` when everything is in the line.
fn cut_line(alert: &Alert, budget: Budget) -> Option<CutLine> {
    if budget == Budget::UNLIMITED {
        return None;
    }
    Some(CutLine {
        text_bytes_max: budget.text_bytes,
        mitre_technique_id: left_out(&alert.rule.mitre_technique_id, budget.ids),
        processes_exec: left_out(&alert.processes_exec, budget.items),
        ports: left_out(&alert.ports, budget.ids),
        guids: left_out(&alert.guids, budget.ids),
        pids: left_out(&alert.pids, budget.ids),
        execs: left_out(&alert.execs, budget.items),
        ancestry: left_out(&alert.ancestry, budget.items),
        origin: left_out(&alert.origin, budget.items),
        matched: left_out(&alert.matched, budget.items),
    })
}

fn text_cut<'a>(text: &Text<'_>, sha256: Option<Hash<'a>>) -> Option<TextCut<'a>> {
    text.is_cut().then(|| TextCut {
        bytes: text.bytes_full(),
        sha256,
        shown: text.shown(),
    })
}

fn executable(exe: &ExePath, budget: Budget) -> Option<Text<'_>> {
    Some(Text::whole(exe.known()?).within(budget.field_bytes))
}

fn executable_unknown(exe: &ExePath) -> Option<&'static str> {
    match exe {
        ExePath::Known(_) => None,
        ExePath::Unknown(why) => Some(why.as_str()),
    }
}

fn state_word(state: AlertState) -> &'static str {
    match state {
        AlertState::Open => "open",
        AlertState::Closed => "closed",
    }
}

/// The first `count` of a list.
fn first<T>(list: &[T], count: usize) -> impl Iterator<Item = &T> {
    list.iter().take(count)
}

/// The first and the last of a list, `count` in all.
fn ends<T>(list: &[T], count: usize) -> impl Iterator<Item = &T> {
    let left_out = left_out(list, count);
    let head = count.min(list.len()).div_ceil(2);
    let (head, rest) = list.split_at(if left_out == 0 { list.len() } else { head });
    head.iter().chain(rest.iter().skip(left_out))
}

fn left_out<T>(list: &[T], count: usize) -> usize {
    list.len().saturating_sub(count)
}

fn is_zero<T: Default + PartialEq>(count: &T) -> bool {
    *count == T::default()
}

/// A value as the text it is shown as.
struct Shown<T>(T);

impl<T: fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A time as RFC 3339 has it, in UTC, always with nine decimals, so that lines sort.
struct Moment(Time);

impl fmt::Display for Moment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timestamp = Timestamp::from_nanosecond(i128::from(self.0.wall_ns))
            .expect("64 bits of nanoseconds end in the year 2554");
        write!(out, "{timestamp:.9}")
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The SHA-256 of a whole text, reckoned only when it is written.
enum Hash<'a> {
    Known(&'a [u8; 32]),
    Of(&'a [u8]),
}

impl<'a> Hash<'a> {
    fn of(excerpt: &'a Excerpt) -> Option<Self> {
        if let Some(sha256) = &excerpt.sha256 {
            return Some(Self::Known(sha256));
        }
        excerpt.whole().map(Self::Of)
    }
}

impl Serialize for Hash<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sha256 = match self {
            Self::Known(sha256) => **sha256,
            Self::Of(bytes) => Sha256::digest(bytes).into(),
        };
        let hexadecimal: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&hexadecimal)
    }
}

#[cfg(test)]
pub(super) mod schema;
#[cfg(test)]
mod tests;
