//! Elastic Common Schema 9.4.0 (<https://www.elastic.co/docs/reference/ecs>).
//!
//! What ECS has a field for goes there, everything else under `wallwatch`, with its native name: ECS leaves an object
//! of one's own to everybody.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::attack::{Technique, technique};
use super::process::{Process, execs};
use super::shorten::{SHORTENED, is_bare};
use super::tree::Tree;
use super::{action, compact, sentence, texts, untold};
use crate::config::EventKind;
use crate::delivery::event::Event;
use crate::pipeline::alert::Severity;

const VERSION: &str = "9.4.0";

/// What has a field of ECS, and is not said again under `wallwatch`.
const TOLD: &[&str] = &[
    "agent",
    "dest",
    "first_seen",
    "from",
    "host",
    "id",
    "labels",
    "last_seen",
    "mitre_technique_id",
    "risk_score",
    "rule",
    "seq",
    "severity",
    "text",
    "time",
    "title",
    "to",
    "user",
];

pub(super) fn encode(event: &Event<'_>) -> Vec<u8> {
    let mut ecs = Tree::default();
    ecs.put("@timestamp", iso(event.time_ns()));
    ecs.put("ecs.version", VERSION);
    put_event(&mut ecs, event);
    put_host(&mut ecs, event);
    put_rule(&mut ecs, event);
    put_threat(&mut ecs, event);
    put_process(&mut ecs, event);
    put_related(&mut ecs, event);
    ecs.put("labels", labels(event));
    ecs.put("wallwatch", untold(event, TOLD));
    compact(&Value::from(ecs))
}

/// The fields of ECS have no place for what an event is but these words, which are fixed.
struct Category {
    kind: &'static str,
    category: &'static [&'static str],
}

/// Each of these categories allows the type `info`, which is the only one given.
fn category(kind: EventKind) -> Category {
    match kind {
        EventKind::Alert => Category {
            kind: "alert",
            category: &["intrusion_detection", "process"],
        },
        EventKind::Finding => Category {
            kind: "alert",
            category: &["intrusion_detection", "configuration"],
        },
        EventKind::Summary => Category {
            kind: "alert",
            category: &["intrusion_detection"],
        },
        EventKind::Heartbeat => Category {
            kind: "metric",
            category: &["host"],
        },
        EventKind::Gap | EventKind::Own => Category {
            kind: "event",
            category: &["host"],
        },
    }
}

fn put_event(ecs: &mut Tree, event: &Event<'_>) {
    let Category { kind, category } = category(event.kind());
    let start = ["/first_seen", "/from"];
    let start = start.into_iter().find_map(|pointer| event.time(pointer));
    ecs.put("event.id", event.id());
    ecs.put("event.sequence", event.seq());
    ecs.put("event.kind", kind);
    ecs.put("event.category", category);
    ecs.put("event.type", json!(["info"]));
    ecs.put("event.module", "wallwatch");
    ecs.put(
        "event.dataset",
        format!("wallwatch.{}", event.kind().as_str()),
    );
    ecs.put("event.severity", severity(event.severity()));
    if is_bare(event) {
        return;
    }
    ecs.put("event.action", action(event));
    ecs.put("event.reason", reason(event));
    ecs.put("event.risk_score", event.value()["risk_score"].as_u64());
    if let Some(start) = start {
        ecs.put("event.start", iso(start));
        ecs.put("event.end", iso(event.time_ns()));
        ecs.put("event.duration", event.time_ns().saturating_sub(start));
    }
    ecs.put("message", sentence(event));
    ecs.put("tags", tags(event));
}

/// What an analyst must know before anything else.
fn tags(event: &Event<'_>) -> Vec<&'static str> {
    let fields = [("test", "test"), (SHORTENED, "shortened")];
    let there = fields
        .into_iter()
        .filter(|(field, _)| event.value().get(field).is_some());
    there.map(|(_, tag)| tag).collect()
}

/// Elastic's own rules count so; ECS leaves the scale open.
fn severity(severity: Severity) -> u64 {
    match severity {
        Severity::Informational => 0,
        Severity::Low => 21,
        Severity::Medium => 47,
        Severity::High => 73,
        Severity::Critical => 99,
    }
}

/// Why: the clauses of a rule that held, what a finding weighs, what a receiver said, or what a gap is of.
fn reason(event: &Event<'_>) -> Option<String> {
    let matched = event.value()["matched"].as_array().into_iter().flatten();
    let clauses = matched.filter_map(|clause| clause["clause"].as_str());
    let reasons: Vec<&str> = clauses
        .chain(texts(event, "/reasons"))
        .chain(event.text("/why"))
        .collect();
    (!reasons.is_empty()).then(|| reasons.join(", "))
}

fn put_host(ecs: &mut Tree, event: &Event<'_>) {
    if is_bare(event) {
        return;
    }
    ecs.put("host.name", event.host());
    ecs.put("host.hostname", event.host());
    ecs.put("host.id", event.text("/host/id"));
    ecs.put("host.boot.id", event.text("/host/boot_id"));
    ecs.put("host.os.full", event.text("/host/os"));
    ecs.put("host.os.kernel", event.text("/host/kernel"));
    ecs.put("host.os.type", "linux");
    let version = event.text("/agent/version");
    ecs.put("agent.type", "wallwatch");
    ecs.put("agent.version", version);
    ecs.put("observer.vendor", "wallwatch");
    ecs.put("observer.product", "wallwatch");
    ecs.put("observer.type", "sensor");
    ecs.put("observer.version", version);
}

/// What found it: a rule, or one of the ways in which a firewall is tampered with.
fn put_rule(ecs: &mut Tree, event: &Event<'_>) {
    let version = event.value().pointer("/rule/version");
    let version = version.and_then(Value::as_u64);
    ecs.put("rule.id", event.text("/rule/id").or(event.text("/finding")));
    ecs.put(
        "rule.name",
        event.text("/rule/name").or(finding_title(event)),
    );
    ecs.put("rule.version", version.map(|version| version.to_string()));
}

fn finding_title<'a>(event: &'a Event<'_>) -> Option<&'a str> {
    event.text("/finding").and(event.text("/title"))
}

fn put_threat(ecs: &mut Tree, event: &Event<'_>) {
    let ids: Vec<&str> = texts(event, "/mitre_technique_id").collect();
    let techniques: Vec<Technique<'_>> = ids.into_iter().map(technique).collect();
    if techniques.is_empty() {
        return;
    }
    let tactics = || techniques.iter().filter_map(|technique| technique.tactic);
    let subs = || techniques.iter().filter_map(|technique| technique.sub);
    ecs.put("threat.framework", "MITRE ATT&CK");
    ecs.put(
        "threat.tactic.id",
        distinct(tactics().filter_map(|tactic| tactic.id)),
    );
    ecs.put(
        "threat.tactic.name",
        distinct(tactics().map(|tactic| tactic.name)),
    );
    let ids = techniques.iter().map(|technique| technique.id);
    let names = techniques.iter().filter_map(|technique| technique.name);
    ecs.put("threat.technique.id", distinct(ids));
    ecs.put("threat.technique.name", distinct(names));
    ecs.put(
        "threat.technique.subtechnique.id",
        distinct(subs().map(|(id, _)| id)),
    );
    ecs.put(
        "threat.technique.subtechnique.name",
        distinct(subs().filter_map(|(_, name)| name)),
    );
}

/// The last exec, and who ran it.
fn put_process(ecs: &mut Tree, event: &Event<'_>) {
    let exec = execs(event).last().unwrap_or(&Value::Null);
    let Process {
        pid,
        executable,
        command_line,
    } = Process::last(event);
    ecs.put("process.pid", pid);
    ecs.put("process.entity_id", exec["guid"].as_str());
    ecs.put("process.executable", executable);
    ecs.put("process.name", Process::last(event).name());
    ecs.put("process.command_line", command_line);
    ecs.put("process.hash.sha256", exec["file"]["sha256"].as_str());
    ecs.put("process.user.id", id(&exec["euid"]));
    ecs.put("process.real_user.id", id(&exec["uid"]));
    if let Some(parent) = Process::parent_of(event, exec) {
        ecs.put("process.parent.pid", parent.pid);
        ecs.put("process.parent.executable", parent.executable);
        ecs.put("process.parent.name", parent.name());
        ecs.put("process.parent.command_line", parent.command_line);
    }
    let container = &exec["cgroup"]["container"];
    ecs.put("container.id", container["id"].as_str());
    ecs.put("container.runtime", container["runtime"].as_str());
    ecs.put("user.name", event.text("/user"));
    ecs.put("user.id", id(&exec["uid"]));
    ecs.put("file.path", event.text("/edits/0/path"));
}

/// ECS has ids of users as texts.
fn id(value: &Value) -> Option<String> {
    value.as_u64().map(|id| id.to_string())
}

fn put_related(ecs: &mut Tree, event: &Event<'_>) {
    let hashes = execs(event)
        .iter()
        .filter_map(|exec| exec["file"]["sha256"].as_str());
    ecs.put("related.hash", distinct(hashes));
    ecs.put("related.user", distinct(event.text("/user").into_iter()));
    let hosts = [event.text("/host/name"), event.text("/dest")];
    ecs.put("related.hosts", distinct(hosts.into_iter().flatten()));
}

/// Without those that were there before, in their order.
fn distinct<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut distinct = Vec::new();
    for text in texts {
        if !distinct.contains(&text) {
            distinct.push(text);
        }
    }
    distinct
}

/// The operator's own. ECS wants no dot in a key of `labels`: it would be read as an object.
fn labels(event: &Event<'_>) -> Map<String, Value> {
    let labels = event.value()["labels"].as_object().into_iter().flatten();
    labels
        .map(|(name, value)| (name.replace('.', "_"), value.clone()))
        .collect()
}

/// RFC 3339, in UTC, with nanoseconds.
fn iso(ns: u64) -> String {
    let time = Timestamp::from_nanosecond(i128::from(ns))
        .expect("64 bits of nanoseconds end in the year 2554");
    format!("{time:.9}")
}
