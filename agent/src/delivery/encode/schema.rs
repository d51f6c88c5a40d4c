//! Tests that events are what `agent/packaging/schema/wallwatch.event.schema.json` says they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::config::EventKind;
use crate::pipeline::firewall::finding::{FindingKind, Reason};

pub(in crate::delivery) static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let text = include_str!("../../../packaging/schema/wallwatch.event.schema.json");
    serde_json::from_str(text).unwrap()
});

/// By kind: what one of them has against an event is easier to read than that none of them fits.
static VALIDATORS: LazyLock<BTreeMap<&'static str, Validator>> = LazyLock::new(|| {
    let of_kind = |kind: EventKind| {
        let kind = kind.as_str();
        let schema = json!({"$ref": format!("#/$defs/{kind}"), "$defs": SCHEMA["$defs"]});
        (kind, jsonschema::validator_for(&schema).unwrap())
    };
    EventKind::ALL.map(of_kind).into()
});

/// What the schema of its kind has against an event.
pub(in crate::delivery) fn faults(event: &Value) -> Vec<String> {
    let kind = event["kind"].as_str().unwrap_or_default();
    let Some(validator) = VALIDATORS.get(kind) else {
        return vec![format!("`{kind}` is no kind")];
    };
    let faults = validator.iter_errors(event);
    faults
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect()
}

/// Fails when the schema has anything against an event.
pub(in crate::delivery) fn assert_valid(event: &Value) {
    assert_eq!(faults(event), Vec::<String>::new(), "{event:#}");
}

/// Fields that the schema has at the top level of that kind.
pub(in crate::delivery) fn fields(kind: EventKind) -> Vec<&'static str> {
    let properties = &SCHEMA["$defs"][kind.as_str()]["properties"];
    let properties = properties.as_object().unwrap();
    properties.keys().map(String::as_str).collect()
}

const LOGS: [&str; 7] = [
    include_str!("../../../../tests/data/cyclops_blink.sliding.alerts.jsonl"),
    include_str!("../../../../tests/data/cyclops_blink.tumbling.alerts.jsonl"),
    include_str!("../../../../tests/data/drip_over_the_edge.sliding.alerts.jsonl"),
    include_str!("../../../../tests/data/drip_over_the_edge.tumbling.alerts.jsonl"),
    include_str!("../../../../tests/data/hosting_panel.sliding.alerts.jsonl"),
    include_str!("../../../../tests/data/hosting_panel.tumbling.alerts.jsonl"),
    include_str!("../../../../tests/data/explain.log.jsonl"),
];

fn golden() -> impl Iterator<Item = Value> {
    let lines = LOGS.into_iter().flat_map(str::lines);
    lines.map(|line| serde_json::from_str(line).unwrap())
}

#[test]
fn every_golden_line_is_valid() {
    let whole = jsonschema::validator_for(&SCHEMA).unwrap();
    for event in golden() {
        assert_valid(&event);
        assert!(whole.is_valid(&event), "{event:#}");
    }
}

#[test]
fn a_field_that_the_schema_does_not_have_is_found() {
    let whole = jsonschema::validator_for(&SCHEMA).unwrap();
    for mut event in golden() {
        event["colour"] = "red".into();
        assert_eq!(faults(&event).len(), 1, "{event:#}");
        assert!(!whole.is_valid(&event));
    }
}

#[test]
fn a_field_that_is_missing_or_of_another_type_is_found() {
    let event = golden().find(|event| event["kind"] == "alert").unwrap();
    for field in [
        "id",
        "seq",
        "port_count",
        "execs",
        "host",
        "labels",
        "redacted",
    ] {
        let mut other = event.clone();
        other[field] = json!({"x": 1});
        assert!(!faults(&other).is_empty(), "{field}");
    }
    for field in ["schema", "id", "revision", "execs", "host", "sensor"] {
        let mut other = event.clone();
        other.as_object_mut().unwrap().remove(field);
        assert!(!faults(&other).is_empty(), "{field}");
    }
}

#[test]
fn every_field_is_described() {
    for kind in EventKind::ALL {
        for field in fields(kind) {
            let property = &SCHEMA["$defs"][kind.as_str()]["properties"][field];
            let name = property["$ref"].as_str().unwrap_or_default();
            let name = name.trim_start_matches("#/$defs/");
            let described = [property, &SCHEMA["$defs"][name]];
            let described = described.map(|schema| schema["description"].is_string());
            assert!(described.contains(&true), "{kind:?} {field}");
        }
    }
}

#[test]
fn every_field_is_explained_to_people() {
    let page = include_str!("../../../docs/alerts.md");
    let mut names = BTreeSet::new();
    for schema in SCHEMA["$defs"].as_object().unwrap().values() {
        property_names("", schema, &mut names);
    }
    assert!(names.len() > 200, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("| `{name}` |")), "{name}");
    }
}

/// As the page has them: those within an object behind it, of a list's entries behind `[]`.
fn property_names(prefix: &str, schema: &Value, names: &mut BTreeSet<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let name = format!("{prefix}{name}");
        property_names(&format!("{name}."), property, names);
        property_names(&format!("{name}[]."), &property["items"], names);
        names.insert(name);
    }
}

#[test]
fn the_words_of_findings_and_reasons_are_those_of_the_schema() {
    let finding = &SCHEMA["$defs"]["finding"]["properties"];
    let kinds = FindingKind::ALL.map(FindingKind::as_str);
    assert_eq!(finding["finding"]["examples"], json!(kinds));
    let reasons = Reason::ALL.map(Reason::as_str);
    assert_eq!(finding["reasons"]["items"]["examples"], json!(reasons));
}
