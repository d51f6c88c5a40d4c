use std::collections::BTreeMap;
use std::sync::LazyLock;

use jsonschema::Validator;
use proptest::prelude::*;

use super::*;
use crate::config::Format;
use crate::delivery::format::shorten::BYTES_MIN;
use crate::delivery::format::tests::{Sample, any_text, hostile, samples, with_event};
use crate::delivery::format::translate;

/// The schemas of the classes that are written, by their `class_uid`.
static VALIDATORS: LazyLock<BTreeMap<u64, Validator>> = LazyLock::new(|| {
    [
        (
            2004,
            include_str!("../../../../../tests/data/ocsf/detection_finding.schema.json"),
        ),
        (
            6002,
            include_str!("../../../../../tests/data/ocsf/application_lifecycle.schema.json"),
        ),
        (
            6008,
            include_str!("../../../../../tests/data/ocsf/application_error.schema.json"),
        ),
    ]
    .map(|(class_uid, schema)| {
        let schema = serde_json::from_str(schema).unwrap();
        (class_uid, jsonschema::validator_for(&schema).unwrap())
    })
    .into()
});

/// What the schema of its class has against an event as it is told.
fn faults(sample: &Sample, bytes_max: usize) -> Vec<String> {
    let told = with_event(sample, |event| translate(event, Format::Ocsf, bytes_max));
    let told: Value = serde_json::from_slice(&told).unwrap();
    let validator = &VALIDATORS[&told["class_uid"].as_u64().unwrap()];
    let faults = validator.iter_errors(&told);
    faults
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect()
}

#[test]
fn each_kind_of_event_is_valid_in_any_room() {
    for sample in samples() {
        for bytes_max in (BYTES_MIN..16_000).step_by(487) {
            let none: [&str; 0] = [];
            assert_eq!(faults(&sample, bytes_max), none);
        }
    }
}

#[test]
fn every_golden_line_is_valid() {
    let logs = [
        include_str!("../../../../../tests/data/cyclops_blink.sliding.alerts.jsonl"),
        include_str!("../../../../../tests/data/hosting_panel.tumbling.alerts.jsonl"),
        include_str!("../../../../../tests/data/drip_over_the_edge.tumbling.alerts.jsonl"),
        include_str!("../../../../../tests/data/explain.log.jsonl"),
    ];
    for line in logs.into_iter().flat_map(str::lines) {
        let json = line.as_bytes().to_vec();
        let none: [&str; 0] = [];
        assert_eq!(faults(&Sample { seq: 1, json }, 1 << 20), none, "{line}");
    }
}

#[test]
fn an_event_of_empty_texts_is_valid() {
    for sample in samples() {
        let sample = hostile(&sample, &["schema", "epoch", "id"], &[String::new()]);
        let none: [&str; 0] = [];
        assert_eq!(faults(&sample, 1 << 20), none);
    }
}

#[test]
fn a_validator_finds_what_is_wrong() {
    let validator = &VALIDATORS[&2004];
    assert!(!validator.is_valid(&json!({"class_uid": 2004})));
}

#[test]
fn states_and_revisions_are_activities() {
    let sample = |json: &str| Sample {
        seq: 1,
        json: json.as_bytes().to_vec(),
    };
    for (json, type_uid) in [
        (r#"{"kind":"heartbeat","state":"armed"}"#, 600_203),
        (r#"{"kind":"heartbeat","state":"watching"}"#, 600_299),
        (r#"{"kind":"heartbeat","state":"stopping"}"#, 600_204),
        (r#"{"kind":"alert","revision":0}"#, 200_401),
        (r#"{"kind":"alert","revision":1}"#, 200_402),
        (r#"{"kind":"gap"}"#, 600_801),
        (r#"{"kind":"self"}"#, 600_899),
    ] {
        let told = with_event(&sample(json), encode);
        let told: Value = serde_json::from_slice(&told).unwrap();
        assert_eq!(told["type_uid"], type_uid, "{json}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_text_of_an_event_makes_it_invalid(
        index in 0..samples().len(),
        bytes_max in BYTES_MIN..40_000,
        texts in proptest::collection::vec(any_text(), 1..8),
    ) {
        let sample = hostile(&samples()[index], &["schema", "epoch", "id"], &texts);
        let none: Vec<String> = Vec::new();
        prop_assert_eq!(faults(&sample, bytes_max), none);
    }
}
