mod sample;

use expect_test::{ExpectFile, expect_file};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::delivery::encode::is_active;
use crate::delivery::encode::schema::assert_valid;
pub(super) use sample::{hostile, samples, with_event};

pub(super) use sample::{Sample, any_text, stored};

/// Events as they are told with so much room that nothing is left out.
const ROOM: usize = 1 << 20;

fn golden(format: Format, bytes_max: usize, expected: ExpectFile) {
    let mut page = String::new();
    for sample in samples() {
        let told = with_event(&sample, |event| translate(event, format, bytes_max));
        if format.is_json() {
            let told: Value = serde_json::from_slice(&told).unwrap();
            page.push_str(&serde_json::to_string_pretty(&told).unwrap());
        } else {
            page.push_str(std::str::from_utf8(&told).unwrap());
        }
        page.push('\n');
    }
    expected.assert_eq(&page);
}

#[test]
fn each_kind_of_event_as_ecs() {
    golden(
        Format::Ecs,
        ROOM,
        expect_file!["../../../../tests/data/formats/ecs.json"],
    );
}

#[test]
fn each_kind_of_event_as_ocsf() {
    golden(
        Format::Ocsf,
        ROOM,
        expect_file!["../../../../tests/data/formats/ocsf.json"],
    );
}

#[test]
fn each_kind_of_event_as_cef() {
    golden(
        Format::Cef,
        ROOM,
        expect_file!["../../../../tests/data/formats/cef.txt"],
    );
}

#[test]
fn each_kind_of_event_in_little_room() {
    golden(
        Format::Native,
        1024,
        expect_file!["../../../../tests/data/formats/native.1024.json"],
    );
}

#[test]
fn what_fits_is_told_as_it_is_stored() {
    for sample in samples() {
        let told = with_event(&sample, |event| {
            translate(event, Format::Native, sample.json.len())
        });
        assert_eq!(told, sample.json);
    }
}

#[test]
fn a_shortened_event_begins_as_every_event_does() {
    for sample in samples() {
        let told = with_event(&sample, |event| {
            translate(event, Format::Native, sample.json.len() - 1)
        });
        let head = |json: &[u8]| String::from_utf8_lossy(&json[..80]).into_owned();
        assert_eq!(head(&told), head(&sample.json));
    }
}

/// Where each format has the id, the revision and the number of an event.
fn identity(format: Format, told: &[u8]) -> (String, u64, u64) {
    let places = match format {
        Format::Native => ["/id", "/revision", "/seq"],
        Format::Ecs => ["/event/id", "/wallwatch/revision", "/event/sequence"],
        Format::Ocsf => ["/metadata/uid", "/unmapped/revision", "/metadata/sequence"],
        Format::Cef => return cef::tests::identity(told),
    };
    let told: Value = serde_json::from_slice(told).unwrap();
    let [id, revision, seq] = places.map(|pointer| told.pointer(pointer).cloned());
    let number = |value: Option<Value>| value.and_then(|value| value.as_u64());
    (
        id.and_then(|id| Some(id.as_str()?.to_owned()))
            .unwrap_or_default(),
        number(revision).unwrap_or(0),
        number(seq).unwrap(),
    )
}

fn any_format() -> impl Strategy<Value = Format> {
    proptest::sample::select(Format::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_bound_is_kept_and_says_which_event_it_was(
        format in any_format(),
        index in 0..samples().len(),
        bytes_max in BYTES_MIN..12_000,
        texts in proptest::collection::vec(any_text(), 1..8),
    ) {
        let sample = hostile(&samples()[index], &["schema", "epoch", "id"], &texts);
        let (told, id) = with_event(&sample, |event| {
            (translate(event, format, bytes_max), event.id())
        });
        prop_assert!(told.len() <= bytes_max, "{} of {bytes_max}", told.len());
        let own = sample.value()["id"].as_str().unwrap_or_default().to_owned();
        let expected = match format {
            Format::Native | Format::Cef => own,
            Format::Ecs | Format::Ocsf => id,
        };
        let revision = sample.value()["revision"].as_u64().unwrap_or(0);
        prop_assert_eq!(
            identity(format, &told),
            (expected, revision, sample.seq)
        );
    }

    #[test]
    fn nothing_that_acts_gets_out_whatever_is_in_the_event(
        format in any_format(),
        index in 0..samples().len(),
        bytes_max in BYTES_MIN..40_000,
        texts in proptest::collection::vec(any_text(), 1..8),
    ) {
        let sample = hostile(&samples()[index], &[], &texts);
        let told = with_event(&sample, |event| translate(event, format, bytes_max));
        prop_assert!(told.len() <= bytes_max, "{} of {bytes_max}", told.len());
        let told = std::str::from_utf8(&told).unwrap();
        prop_assert!(!told.contains(is_active), "{told}");
        if format.is_json() {
            prop_assert!(serde_json::from_str::<Value>(told).unwrap().is_object());
        } else {
            cef::tests::parsed(told);
        }
    }
}

#[test]
fn a_shortened_event_is_of_the_schema() {
    for sample in samples() {
        for bytes_max in (BYTES_MIN..10_000).step_by(379) {
            let told = with_event(&sample, |event| translate(event, Format::Native, bytes_max));
            assert_valid(&serde_json::from_slice(&told).unwrap());
        }
    }
}

#[test]
fn what_was_stored_by_somebody_else_is_made_harmless_too() {
    let mut sample = samples().remove(0);
    let json = String::from_utf8(sample.json).unwrap();
    sample.json = json.replacen("root", "ro\u{202e}ot\u{7f}", 1).into_bytes();
    let told = with_event(&sample, |event| translate(event, Format::Native, ROOM));
    let told = String::from_utf8(told).unwrap();
    assert!(told.contains(r"ro\u202eot\u007f"), "{told}");
    assert_eq!(
        serde_json::from_str::<Value>(&told).unwrap(),
        sample.value()
    );
}

#[test]
fn the_hugest_event_is_told_in_the_smallest_room() {
    let sample = samples().remove(0);
    let mut value = sample.value();
    value["processes_exec"] = vec!["\u{1}\"\\".repeat(3000); 7].into();
    let sample = stored(&value, u64::MAX);
    for format in Format::ALL {
        for bytes_max in [0, BYTES_MIN] {
            let told = with_event(&sample, |event| translate(event, format, bytes_max));
            assert!(told.len() <= BYTES_MIN, "{format:?}: {}", told.len());
            assert_eq!(identity(format, &told).2, u64::MAX);
        }
    }
}
