//! Open Cybersecurity Schema Framework 1.5.0 (<https://schema.ocsf.io/1.5.0/>), with the profile `host`.
//!
//! Alerts, findings and summaries are Detection Findings (2004), for each stands for more than one exec. A heartbeat
//! is none: it says that an application runs, so it is an Application Lifecycle (6002), started, stopped, or other. A
//! gap, and what the agent says of itself, are Application Errors (6008). The base event (0) would fit each of them
//! and tell a reader nothing.
//!
//! What OCSF has no attribute for stands in `unmapped`, with its native name.

mod evidence;

use serde_json::{Value, json};

use super::attack::technique;
use super::shorten::is_bare;
use super::tree::Tree;
use super::{action, compact, sentence, texts, untold};
use crate::config::EventKind;
use crate::delivery::event::Event;
use crate::pipeline::alert::Severity;

use evidence::{actor, evidences};

const VERSION: &str = "1.5.0";

/// What has an attribute of OCSF, and is not said again in `unmapped`.
const TOLD: &[&str] = &[
    "agent",
    "count",
    "dest",
    "first_seen",
    "from",
    "host",
    "id",
    "ids",
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
    let mut ocsf = Tree::default();
    put_class(&mut ocsf, event);
    put_metadata(&mut ocsf, event);
    ocsf.put("severity_id", severity_id(event.severity()));
    ocsf.put("time", ms(event.time_ns()));
    if is_bare(event) {
        ocsf.put(
            "unmapped",
            untold(event, &[TOLD, &["kind", "schema", "state"]].concat()),
        );
    } else {
        ocsf.put("unmapped", untold(event, TOLD));
        put_times(&mut ocsf, event);
        ocsf.put("message", sentence(event));
        ocsf.put("device", device(event));
        ocsf.put("actor", actor(event));
    }
    match event.kind() {
        EventKind::Alert | EventKind::Finding | EventKind::Summary => put_finding(&mut ocsf, event),
        EventKind::Heartbeat => {
            ocsf.put("app.name", "wallwatch");
            ocsf.put("app.version", event.text("/agent/version"));
        }
        EventKind::Gap | EventKind::Own => {}
    }
    compact(&Value::from(ocsf))
}

/// A class of events, and what an event of it does.
struct Class {
    category_uid: u64,
    class_uid: u64,
    activity_id: u64,
}

/// The activity that has no number in its class, and is told by its name.
const OTHER: u64 = 99;

fn class(event: &Event<'_>) -> Class {
    match event.kind() {
        EventKind::Alert | EventKind::Finding | EventKind::Summary => Class {
            category_uid: 2,
            class_uid: 2004,
            // Create, and Update.
            activity_id: if event.revision() == 0 { 1 } else { 2 },
        },
        EventKind::Heartbeat => Class {
            category_uid: 6,
            class_uid: 6002,
            activity_id: match event.text("/state") {
                Some("armed") => 3,
                Some("stopping") => 4,
                Some(_) | None => OTHER,
            },
        },
        EventKind::Gap => Class {
            category_uid: 6,
            class_uid: 6008,
            // General Error.
            activity_id: 1,
        },
        EventKind::Own => Class {
            category_uid: 6,
            class_uid: 6008,
            activity_id: OTHER,
        },
    }
}

fn put_class(ocsf: &mut Tree, event: &Event<'_>) {
    let Class {
        category_uid,
        class_uid,
        activity_id,
    } = class(event);
    ocsf.put("category_uid", category_uid);
    ocsf.put("class_uid", class_uid);
    ocsf.put("activity_id", activity_id);
    ocsf.put("type_uid", class_uid * 100 + activity_id);
    if activity_id == OTHER {
        let name = action(event).unwrap_or(event.kind().as_str());
        ocsf.put("activity_name", name);
    }
}

fn put_metadata(ocsf: &mut Tree, event: &Event<'_>) {
    ocsf.put("metadata.version", VERSION);
    ocsf.put("metadata.product.name", "wallwatch");
    ocsf.put("metadata.profiles", json!(["host"]));
    ocsf.put("metadata.uid", event.id());
    ocsf.put("metadata.sequence", event.seq());
    if is_bare(event) {
        return;
    }
    ocsf.put("metadata.product.vendor_name", "wallwatch");
    ocsf.put("metadata.product.version", event.text("/agent/version"));
    ocsf.put("metadata.log_name", event.text("/schema"));
    ocsf.put("metadata.event_code", action(event));
    ocsf.put("metadata.tags", tags(event));
}

/// The operator's labels.
fn tags(event: &Event<'_>) -> Vec<Value> {
    let labels = event.value()["labels"].as_object().into_iter().flatten();
    let labels = labels.filter_map(|(name, value)| Some((name, value.as_str()?)));
    labels
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect()
}

fn severity_id(severity: Severity) -> u64 {
    match severity {
        Severity::Informational => 1,
        Severity::Low => 2,
        Severity::Medium => 3,
        Severity::High => 4,
        Severity::Critical => 5,
    }
}

fn put_times(ocsf: &mut Tree, event: &Event<'_>) {
    let count = ["/count", "/withheld", "/execs_lost"];
    let mut count = count
        .into_iter()
        .filter_map(|pointer| event.value().pointer(pointer)?.as_u64());
    ocsf.put("count", count.next());
    if let Some(start) = start(event) {
        ocsf.put("start_time", ms(start));
        ocsf.put("end_time", ms(event.time_ns()));
    }
}

/// When it began, where it lasted: nanoseconds since 1970, UTC.
fn start(event: &Event<'_>) -> Option<u64> {
    let start = ["/first_seen", "/from"];
    start.into_iter().find_map(|pointer| event.time(pointer))
}

/// OCSF has times in milliseconds since 1970, UTC.
fn ms(ns: u64) -> u64 {
    ns / 1_000_000
}

/// Whether a host is a server or a desktop is not known (`type_id` 0).
fn device(event: &Event<'_>) -> Tree {
    let mut device = Tree::default();
    device.put("type_id", 0);
    device.put("hostname", or_unknown(event.host()));
    device.put("uid", event.text("/host/id"));
    device.put("boot_uid", event.text("/host/boot_id"));
    let os = event.text("/host/os").unwrap_or_default();
    device.put("os.name", if os.is_empty() { "Linux" } else { os });
    device.put("os.type_id", 200);
    device.put("os.kernel_release", event.text("/host/kernel"));
    device
}

/// For what OCSF requires.
fn or_unknown(text: &str) -> &str {
    if text.is_empty() { "unknown" } else { text }
}

fn put_finding(ocsf: &mut Tree, event: &Event<'_>) {
    ocsf.put("finding_info.uid", event.id());
    ocsf.put("finding_info.title", event.title());
    if is_bare(event) {
        return;
    }
    ocsf.put("is_alert", true);
    // New.
    ocsf.put("status_id", 1);
    ocsf.put("risk_score", event.value()["risk_score"].as_u64());
    ocsf.put("finding_info.types", json!([event.rule()]));
    ocsf.put("finding_info.analytic", analytic(event));
    ocsf.put("finding_info.attacks", attacks(event));
    ocsf.put("finding_info.first_seen_time", start(event).map(ms));
    ocsf.put("finding_info.last_seen_time", ms(event.time_ns()));
    ocsf.put("finding_info.modified_time", ms(event.time_ns()));
    let related: Vec<Value> = texts(event, "/ids").map(|id| json!({"uid": id})).collect();
    ocsf.put("finding_info.related_events", related);
    ocsf.put("evidences", evidences(event));
}

/// What found it; a rule (`type_id` 1), whether the operator's or one of the tamper layer.
fn analytic(event: &Event<'_>) -> Tree {
    let version = event.value().pointer("/rule/version");
    let version = version.and_then(Value::as_u64);
    let mut analytic = Tree::default();
    analytic.put("type_id", 1);
    analytic.put("uid", event.text("/rule/id").or(event.text("/finding")));
    let name = event.text("/rule/name").unwrap_or(event.title());
    analytic.put("name", or_unknown(name));
    analytic.put("version", version.map(|version| version.to_string()));
    analytic
}

fn attacks(event: &Event<'_>) -> Vec<Value> {
    texts(event, "/mitre_technique_id")
        .filter(|id| !id.is_empty())
        .map(attack)
        .collect()
}

fn attack(id: &str) -> Value {
    let technique = technique(id);
    let mut attack = Tree::default();
    attack.put("technique.uid", technique.id);
    attack.put("technique.name", technique.name);
    if let Some((id, name)) = technique.sub {
        attack.put("sub_technique.uid", id);
        attack.put("sub_technique.name", name);
    }
    if let Some(tactic) = technique.tactic {
        attack.put("version", tactic.version);
        attack.put("tactic.uid", tactic.id);
        attack.put("tactic.name", tactic.name);
    }
    attack.into()
}

#[cfg(test)]
mod tests;
