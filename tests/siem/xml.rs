//! The rules of Wazuh, and every other file of XML.

use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use regex::Regex;

use super::fields::is_field;
use super::read;

/// An element: its name, its attributes, and the text right in it.
#[derive(Debug, Default)]
struct Element {
    name: String,
    attributes: BTreeMap<String, String>,
    text: String,
}

impl Element {
    fn of(start: &BytesStart<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let attributes = start.attributes().map(|attribute| {
            let attribute = attribute.unwrap();
            (text(attribute.key.as_ref()), text(&attribute.value))
        });
        Self {
            name: text(start.name().as_ref()),
            attributes: attributes.collect(),
            text: String::new(),
        }
    }
}

/// All elements in the order of their ends. Panics on what is not well-formed.
fn elements(path: &str) -> Vec<Element> {
    let xml = read(path);
    let mut reader = Reader::from_str(&xml);
    let mut open: Vec<Element> = Vec::new();
    let mut done = Vec::new();
    loop {
        let event = reader.read_event();
        let event = event.unwrap_or_else(|error| panic!("{path}: {error}"));
        if let Event::Start(start) = &event {
            open.push(Element::of(start));
        } else if let Event::Empty(start) = &event {
            done.push(Element::of(start));
        } else if let Event::End(_) = &event {
            done.push(open.pop().unwrap());
        } else if let (Event::Text(text), Some(element)) = (&event, open.last_mut()) {
            element.text.push_str(&text.decode().unwrap());
        } else if let Event::Eof = &event {
            break;
        }
    }
    assert!(open.is_empty(), "{path}");
    done
}

#[test]
fn every_file_of_xml_is_well_formed() {
    for path in [
        "splunk/TA_wallwatch/default/data/ui/views/wallwatch.xml",
        "splunk/TA_wallwatch/default/data/ui/nav/default.xml",
        "wazuh/localfile.xml",
        "wazuh/wallwatch_rules.xml",
    ] {
        assert!(elements(path).len() > 2, "{path}");
    }
}

#[test]
fn rules_of_wazuh_are_of_fields_that_there_are() {
    let elements = elements("wazuh/wallwatch_rules.xml");
    let shown = Regex::new(r"\$\(([\w.]+)\)").unwrap();
    for element in &elements {
        if element.name == "field" {
            assert!(is_field(&element.attributes["name"]), "{element:?}");
            Regex::new(&element.text).unwrap();
        }
        for found in shown.captures_iter(&element.text) {
            assert!(is_field(&found[1]), "{element:?}");
        }
    }
}

#[test]
fn rules_of_wazuh_have_numbers_of_their_own_and_levels_by_severity() {
    let elements = elements("wazuh/wallwatch_rules.xml");
    let mut levels: BTreeMap<u32, u8> = BTreeMap::new();
    let mut by_severity: BTreeMap<String, u8> = BTreeMap::new();
    let mut severity = None;
    for element in &elements {
        match element.name.as_str() {
            "if_sid" => assert!(levels.contains_key(&element.text.parse().unwrap())),
            "field" if element.attributes["name"] == "severity" => {
                severity = Some(element.text.clone());
            }
            "rule" => {
                let id: u32 = element.attributes["id"].parse().unwrap();
                let level: u8 = element.attributes["level"].parse().unwrap();
                // Those of one's own: `Wazuh documentation`, "Custom rules".
                assert!((100_000..=120_000).contains(&id) && level <= 15);
                assert_eq!(levels.insert(id, level), None, "{id}");
                if let Some(severity) = severity.take() {
                    let old = by_severity.insert(severity, level);
                    assert!(old.is_none_or(|old| old == level), "{id}");
                }
            }
            _ => {}
        }
    }
    let expected = [
        ("critical", 15),
        ("high", 12),
        ("informational", 3),
        ("low", 5),
        ("medium", 8),
    ];
    let expected = expected.map(|(severity, level)| (format!("^{severity}$"), level));
    assert_eq!(by_severity, expected.into());
}
