//! What is shipped for SIEMs speaks of fields that there are: each file is read as its SIEM would read it, as far as
//! that can be done without one.

#[path = "siem/fields.rs"]
mod fields;
#[path = "siem/splunk.rs"]
mod splunk;
#[path = "siem/xml.rs"]
mod xml;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use fields::is_field;

fn siem(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("packaging/siem")
        .join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(siem(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The golden events of the format `ecs`.
fn ecs_events() -> Vec<Value> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/formats/ecs.json");
    let golden = fs::read_to_string(golden).unwrap();
    let events = serde_json::Deserializer::from_str(&golden).into_iter();
    events.collect::<Result<_, _>>().unwrap()
}

/// The paths of all values that are neither an object nor null, joined by dots; lists do not count in them.
fn leaves(path: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                leaves(&format!("{path}.{name}"), value, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| leaves(path, value, found)),
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            found.insert(path.trim_start_matches('.').to_owned());
        }
    }
}

/// Whether `path` is like `pattern`, in which `*` stands for anything.
fn is_like(path: &str, pattern: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return path == pattern;
    };
    let Some(path) = path.strip_prefix(head) else {
        return false;
    };
    (0..=path.len())
        .filter(|at| path.is_char_boundary(*at))
        .any(|at| is_like(&path[at..], rest))
}

#[test]
fn elastic_has_a_mapping_for_each_field() {
    let template: Value = serde_json::from_str(&read("elastic/index-template.json")).unwrap();
    let mappings = &template["template"]["mappings"];
    let is_mapped = |path: &str| {
        let pointer = path.replace('.', "/properties/");
        let mapping = mappings.pointer(&format!("/properties/{pointer}"));
        mapping.is_some_and(|mapping| mapping["type"].is_string())
    };
    let templates = mappings["dynamic_templates"].as_array().unwrap();
    let patterns: Vec<&str> = templates
        .iter()
        .flat_map(|template| template.as_object().unwrap().values())
        .map(|template| template["path_match"].as_str().unwrap())
        .collect();
    let mut found = BTreeSet::new();
    for event in ecs_events() {
        leaves("", &event, &mut found);
    }
    assert!(found.len() > 80, "{found:?}");
    for path in found {
        let is_known = is_mapped(&path) || patterns.iter().any(|pattern| is_like(&path, pattern));
        assert!(is_known, "{path}");
    }
    assert!(!is_mapped("process.colour") && !is_like("host.colour", "wallwatch.*"));
}

#[test]
fn a_sigma_rule_asks_for_fields_that_there_are() {
    let rule = read("sigma/wallwatch_firewall_tampering.yml");
    let detection = rule.split_once("\ndetection:\n").unwrap().1;
    let asked: Vec<&str> = detection
        .lines()
        .take_while(|line| line.starts_with(' '))
        .filter_map(|line| line.strip_prefix("    ")?.strip_suffix(':'))
        .filter(|line| !line.starts_with(' '))
        .collect();
    assert_eq!(asked, ["kind", "severity"]);
    assert!(asked.into_iter().all(is_field));
}
