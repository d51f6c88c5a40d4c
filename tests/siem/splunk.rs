//! The add-on of Splunk.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::fields::is_field;
use super::read;

type Stanzas = BTreeMap<String, BTreeMap<String, String>>;

/// A file of settings, as `Splunk Enterprise Admin Manual`, "About configuration files", has it. Panics where a line
/// is none of those, and where a stanza or a setting stands twice.
fn conf(name: &str) -> Stanzas {
    let mut stanzas = Stanzas::new();
    let mut stanza = None;
    for line in read(&format!("splunk/TA_wallwatch/default/{name}")).lines() {
        assert_eq!(line, line.trim_end(), "{name}: {line}");
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(title) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            assert!(stanzas.insert(title.to_owned(), BTreeMap::new()).is_none());
            stanza = Some(title.to_owned());
            continue;
        }
        let (key, value) = line
            .split_once(" = ")
            .unwrap_or_else(|| panic!("{name}: {line}"));
        let settings = stanzas.get_mut(stanza.as_ref().unwrap()).unwrap();
        let old = settings.insert(key.to_owned(), value.to_owned());
        assert_eq!(old, None, "{name}: {key}");
    }
    stanzas
}

/// What the events have under a name of its own, once these settings have been applied.
fn names(props: &BTreeMap<String, String>) -> BTreeSet<String> {
    let alias = Regex::new(r#" AS (\w+)"#).unwrap();
    let mut names = BTreeSet::new();
    for (key, value) in props {
        if let Some(name) = key.strip_prefix("EVAL-") {
            names.insert(name.to_owned());
        }
        if key.starts_with("FIELDALIAS-") {
            names.extend(alias.captures_iter(value).map(|found| found[1].to_owned()));
        }
    }
    names
}

#[test]
fn each_alias_and_each_expression_is_of_fields_that_there_are() {
    let props = &conf("props.conf")["wallwatch:alert"];
    let aliased = Regex::new(r#""([^"]+)" AS \w+"#).unwrap();
    let field = Regex::new(r"'([^']+)'").unwrap();
    let text = Regex::new(r#""[^"]*""#).unwrap();
    let word = Regex::new(r"[A-Za-z_]\w*\(?").unwrap();
    let mut fields = 0;
    for (key, value) in props {
        let of = if key.starts_with("FIELDALIAS-") {
            &aliased
        } else {
            &field
        };
        if !key.starts_with("FIELDALIAS-") && !key.starts_with("EVAL-") {
            continue;
        }
        for found in of.captures_iter(value) {
            assert!(is_field(&found[1]), "{key}: {}", &found[1]);
            fields += 1;
        }
        if key.starts_with("EVAL-") {
            // A bare word would be a field too; all fields stand in quotes here, so that none is missed.
            let rest = text.replace_all(value, "");
            let rest = field.replace_all(&rest, "");
            for word in word.find_iter(&rest) {
                let word = word.as_str();
                assert!(word.ends_with('(') || word == "OR", "{key}: {word}");
            }
        }
    }
    assert!(fields > 20, "{fields}");
}

#[test]
fn the_data_models_get_their_fields() {
    let names = names(&conf("props.conf")["wallwatch:alert"]);
    let alerts = [
        "app",
        "dest",
        "description",
        "id",
        "mitre_technique_id",
        "severity",
        "signature",
        "signature_id",
        "type",
        "user",
        "vendor_product",
    ];
    let processes = [
        "parent_process",
        "parent_process_id",
        "parent_process_name",
        "parent_process_path",
        "process",
        "process_exec",
        "process_guid",
        "process_id",
        "process_name",
        "process_path",
        "user_id",
    ];
    for field in alerts.into_iter().chain(processes) {
        assert!(names.contains(field) || is_field(field), "{field}");
    }
}

#[test]
fn a_line_is_never_cut_and_its_own_time_is_found_first() {
    let props = &conf("props.conf")["wallwatch:alert"];
    assert_eq!((&*props["TRUNCATE"], &*props["KV_MODE"]), ("0", "json"));
    let prefix = Regex::new(&props["TIME_PREFIX"]).unwrap();
    let logs = concat!(
        include_str!("../data/explain.log.jsonl"),
        include_str!("../data/cyclops_blink.sliding.alerts.jsonl"),
    );
    for line in logs.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        let own = ["last_seen", "time", "to"]
            .into_iter()
            .find_map(|field| event[field].as_str());
        let found = &line[prefix.find(line).unwrap().end()..];
        assert!(found.starts_with(own.unwrap()), "{line}");
        let lookahead: usize = props["MAX_TIMESTAMP_LOOKAHEAD"].parse().unwrap();
        assert!(own.unwrap().len() <= lookahead);
    }
}

#[test]
fn event_types_and_tags_and_searches_know_each_other() {
    let event_types = conf("eventtypes.conf");
    let asked = Regex::new(r"([\w.{}]+)=").unwrap();
    for (name, settings) in &event_types {
        for found in asked.captures_iter(&settings["search"]) {
            assert!(
                &found[1] == "sourcetype" || is_field(&found[1]),
                "{name}: {}",
                &found[1]
            );
        }
    }
    for (tagged, tags) in conf("tags.conf") {
        let name = tagged.strip_prefix("eventtype=").unwrap();
        assert!(event_types.contains_key(name), "{name}");
        assert!(tags.values().all(|state| state == "enabled"));
    }
    let searches = conf("savedsearches.conf");
    assert!(
        searches["wallwatch - alerts, each once"]["search"]
            .contains("| sort 0 - revision | dedup id")
    );
    let event_type = Regex::new(r"eventtype=(\w+)").unwrap();
    let dashboard = read("splunk/TA_wallwatch/default/data/ui/views/wallwatch.xml");
    let texts = searches.values().map(|search| &search["search"]);
    for text in texts.chain([&dashboard]) {
        assert!(text.contains(r#"sourcetype="wallwatch:alert""#), "{text}");
        for found in event_type.captures_iter(text) {
            assert!(event_types.contains_key(&found[1]), "{}", &found[1]);
        }
    }
}

#[test]
fn a_search_shows_fields_that_there_are() {
    let names = names(&conf("props.conf")["wallwatch:alert"]);
    let table = Regex::new(r"\| table ([\w, ]+)").unwrap();
    let own = ["before", "missing", "_time"];
    let dashboard = read("splunk/TA_wallwatch/default/data/ui/views/wallwatch.xml");
    let searches = conf("savedsearches.conf");
    let texts = searches.values().map(|search| &search["search"]);
    let mut shown = 0;
    for text in texts.chain([&dashboard]) {
        for found in table.captures_iter(text) {
            for field in found[1].split(',').map(str::trim) {
                let is_there = names.contains(field) || is_field(field) || own.contains(&field);
                assert!(is_there, "{field}");
                shown += 1;
            }
        }
    }
    assert!(shown > 20, "{shown}");
}
