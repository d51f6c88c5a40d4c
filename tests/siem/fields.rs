//! The fields of native events, as their JSON Schema has them.

use std::sync::LazyLock;

use serde_json::Value;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let text = include_str!("../../agent/packaging/schema/wallwatch.event.schema.json");
    serde_json::from_str(text).unwrap()
});

const KINDS: [&str; 6] = ["alert", "finding", "summary", "gap", "heartbeat", "self"];

/// Whether an event of some kind has a field there: names joined by dots, a list followed by `{}` as in Splunk.
pub(super) fn is_field(path: &str) -> bool {
    KINDS.iter().any(|kind| has(&SCHEMA["$defs"][kind], path))
}

fn has(schema: &Value, path: &str) -> bool {
    if let Some(name) = schema["$ref"].as_str() {
        return has(&SCHEMA["$defs"][name.trim_start_matches("#/$defs/")], path);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        return choices.iter().any(|schema| has(schema, path));
    }
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    let property = &schema["properties"][name.trim_end_matches("{}")];
    let is_list = name.ends_with("{}");
    if property.is_null() || is_list != (property["type"] == "array") {
        return false;
    }
    rest.is_empty()
        || has(
            if is_list {
                &property["items"]
            } else {
                property
            },
            rest,
        )
}

#[test]
fn fields_are_found_through_references_and_lists() {
    for path in [
        "kind",
        "rule.name",
        "ports{}",
        "execs{}.cgroup.unit",
        "origin.unit",
    ] {
        assert!(is_field(path), "{path}");
    }
    for path in [
        "colour",
        "ports",
        "kind{}",
        "execs{}.colour",
        "execs.pid",
        "kind.name",
    ] {
        assert!(!is_field(path), "{path}");
    }
}
