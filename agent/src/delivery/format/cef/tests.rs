use std::collections::BTreeMap;

use expect_test::expect;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::Format;
use crate::delivery::format::tests::{Sample, any_text, stored};
use crate::delivery::format::translate;
use crate::delivery::sink::Record;

/// A message as a receiver takes it apart.
#[derive(Debug)]
pub(in crate::delivery::format) struct Message {
    header: Vec<String>,
    extension: BTreeMap<String, String>,
}

/// Follows the format's text and knows nothing of how messages are written here. Panics on what is no message.
pub(in crate::delivery::format) fn parsed(message: &str) -> Message {
    let mut rest = message.strip_prefix("CEF:0|").unwrap();
    let mut header = Vec::new();
    while header.len() < 6 {
        let end = unescaped(rest, '|').unwrap();
        header.push(unescape(&rest[..end]));
        rest = &rest[end + 1..];
    }
    let mut extension = BTreeMap::new();
    while !rest.is_empty() {
        let end_of_key = unescaped(rest, '=').unwrap();
        let (key, value) = (&rest[..end_of_key], &rest[end_of_key + 1..]);
        assert!(
            key.chars().all(|char| char.is_ascii_alphanumeric()),
            "{key}"
        );
        // A value goes up to the space before the next key.
        let end = match unescaped(value, '=') {
            Some(next) => value[..next].rfind(' ').unwrap(),
            None => value.len(),
        };
        let old = extension.insert(key.to_owned(), unescape(&value[..end]));
        assert_eq!(old, None, "{key} stands there twice");
        rest = value.get(end + 1..).unwrap_or_default();
    }
    Message { header, extension }
}

/// Where `char` stands without a backslash that escapes it.
fn unescaped(text: &str, char: char) -> Option<usize> {
    let mut is_escaped = false;
    for (at, other) in text.char_indices() {
        if other == char && !is_escaped {
            return Some(at);
        }
        is_escaped = other == '\\' && !is_escaped;
    }
    None
}

fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        plain.push(match char {
            '\\' => match chars.next().unwrap() {
                'n' => '\n',
                'r' => '\r',
                other => {
                    assert!("\\|=".contains(other), "{text}");
                    other
                }
            },
            char => char,
        });
    }
    plain
}

/// The id, the revision and the number of the event.
pub(in crate::delivery::format) fn identity(message: &[u8]) -> (String, u64, u64) {
    let message = parsed(std::str::from_utf8(message).unwrap());
    let value = |key: &str| message.extension.get(key).cloned().unwrap_or_default();
    (
        value("externalId"),
        value("cn1").parse().unwrap(),
        value("cn2").parse().unwrap(),
    )
}

fn told(event: &Value) -> Message {
    let Sample { seq, json } = stored(event, 3);
    let record = Record { seq, json };
    let event = Event::parse(&record).unwrap();
    let message = translate(&event, Format::Cef, 1 << 20);
    parsed(std::str::from_utf8(&message).unwrap())
}

/// As a receiver has it that shows active characters.
fn shown(text: &str) -> String {
    let lines = text.split_inclusive(['\n', '\r']);
    lines
        .map(|line| match line.chars().last() {
            Some(end @ ('\n' | '\r')) => passive(&line[..line.len() - 1]) + &end.to_string(),
            Some(_) | None => passive(line),
        })
        .collect()
}

#[test]
fn what_ends_a_field_or_a_value_is_escaped() {
    let header = header_field("a|b\\c=d\ne\u{202e}f");
    expect![[r"a\|b\\c=d\\x0ae\\u{202e}f"]].assert_eq(&header);
    let value = extension_value("a|b\\c=d\ne\rf\u{1b}[2J");
    expect![[r"a|b\\c\=d\ne\rf\\x1b[2J"]].assert_eq(&value);
}

#[test]
fn a_long_value_is_cut_between_characters_and_its_key_is_named() {
    let event =
        json!({"kind": "alert", "schema": "s", "processes_exec": ["ä".repeat(5000)], "agent": {}});
    let message = told(&event);
    let value = &message.extension["cs1"];
    assert!(value.chars().count() <= CUSTOM_CHARS_MAX);
    assert!(
        value.starts_with("ää") && value.ends_with("ä […2064 bytes…]"),
        "{value}"
    );
    assert_eq!(message.extension["wallwatchTruncated"], "cs1");
    assert_eq!(cut("äöü", 3), ("äöü".to_owned(), false));
}

#[test]
fn severities_are_within_the_scale_and_rise() {
    let severities = Severity::ALL.map(severity);
    assert!(severities.is_sorted() && severities.iter().all(|severity| *severity <= 10));
}

proptest! {
    #[test]
    fn a_receiver_gets_the_values_that_were_sent(
        title in any_text(),
        user in any_text(),
        command_line in any_text(),
        version in any_text(),
    ) {
        let event = json!({
            "schema": "wallwatch.alert/1", "kind": "alert", "title": title, "user": user,
            "processes_exec": [command_line], "agent": {"version": version},
        });
        let message = told(&event);
        let value = |key: &str| message.extension.get(key).cloned().unwrap_or_default();
        let cut = |text: &str, chars_max| cut(text, chars_max).0;
        prop_assert_eq!(&message.header[2], &passive(&cut(&version, HEADER_CHARS_MAX)));
        prop_assert_eq!(&message.header[4], &passive(&cut(&title, HEADER_CHARS_MAX)));
        prop_assert_eq!(value("suser"), shown(&cut(&user, TEXT_CHARS_MAX)));
        prop_assert_eq!(value("cs1"), shown(&cut(&command_line, CUSTOM_CHARS_MAX)));
    }
}
