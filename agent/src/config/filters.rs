//! Filters as an operator writes them: those of one rule (`filter`), and those of everything that is found
//! (`filters`), for which somebody must answer.

pub(super) mod doubts;

use std::collections::BTreeSet;

use jiff::civil::{Date, Time};
use jiff::tz::Offset;
use toml::de::DeValue;
use toml::value::Datetime;

use crate::pipeline::filter::{Field, FilterSpec, Filters};

use super::origin::Written;
use super::overrides::{globs, has_no_control};
use super::problem::Fault;
use super::section::Section;

pub(super) const FILTERS_MAX: usize = 256;
const NAME_BYTES_MAX: usize = 128;
const TEXT_BYTES_MAX: usize = 1024;

/// Whether each filter needs an owner, a reason and a day on which it ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Wanted,
    Optional,
}

/// The filters of the list `key`.
pub(super) fn read_filters(
    section: &mut Section<'_>,
    key: &'static str,
    answer: Answer,
) -> Option<Written<Vec<Written<FilterSpec>>>> {
    let sections = section.sections(key, FILTERS_MAX)?;
    let mut names = BTreeSet::new();
    let mut filters: Vec<Written<FilterSpec>> = Vec::new();
    for filter_section in sections.value {
        let Some(filter) = read_filter(filter_section, answer) else {
            continue;
        };
        let name = &filter.value.name;
        if !names.insert(name.clone()) {
            section.report(&filter.origin, same_name(name));
        }
        // One without a field has been reported, and makes no rule to be judged further.
        if filter.value.fields.is_empty() {
            continue;
        }
        match Filters::compile(std::slice::from_ref(&filter.value)) {
            Ok(_) => filters.push(filter),
            Err(error) => section.report(&filter.origin, Fault::Filter(error)),
        }
    }
    Some(Written {
        value: filters,
        origin: sections.origin,
    })
}

pub(super) fn same_name(name: &str) -> Fault {
    Fault::Unfit {
        expected: "a name that no other filter has".to_owned(),
        found: format!("{name:?}"),
    }
}

fn read_filter(mut section: Section<'_>, answer: Answer) -> Option<Written<FilterSpec>> {
    let named = "a name of 1 to 128 bytes without control characters";
    section.require("name", named);
    let name = section.text("name", named, |name| {
        (1..=NAME_BYTES_MAX).contains(&name.len()) && has_no_control(name)
    });
    let told = "a text of 1 to 1024 bytes without control characters";
    let dated = "a day, as 2027-02-28, or \"never\"";
    if answer == Answer::Wanted {
        section.require("owner", told);
        section.require("reason", told);
        section.require("expires", dated);
    }
    let [owner, reason] = ["owner", "reason"].map(|key| {
        section.text(key, told, |text| {
            (1..=TEXT_BYTES_MAX).contains(&text.len()) && has_no_control(text)
        })
    });
    let expires = section.read("expires", dated, |value| match value {
        DeValue::String(text) => (text.as_ref() == "never").then_some(None),
        DeValue::Datetime(day) => end_of_day(day).map(Some),
        DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => None,
    });
    let mut fields = Vec::new();
    for field in Field::ALL {
        if let Some(patterns) = section.texts(field.as_str(), &globs(1)) {
            fields.push((field, patterns.value));
        }
    }
    // Without a field it would fit everything, and take every alert away.
    if !section.has_any(Field::ALL.map(Field::as_str)) {
        section.report(
            &section.origin(),
            Fault::Unfit {
                expected: "at least one column beside the name".to_owned(),
                found: "none".to_owned(),
            },
        );
    }
    section.finish();
    let Written {
        value: name,
        origin,
    } = name?;
    let value = FilterSpec {
        name,
        owner: owner.map(|owner| owner.value),
        reason: reason.map(|reason| reason.value),
        expires_ns: expires.and_then(|expires| expires.value),
        fields,
    };
    Some(Written { value, origin })
}

/// The first nanosecond after that day, UTC; `None` when a time is written too.
fn end_of_day(day: &Datetime) -> Option<u64> {
    let Datetime {
        date: Some(date),
        time: None,
        offset: None,
    } = day
    else {
        return None;
    };
    let [month, day] = [date.month, date.day].map(i8::try_from);
    let date = Date::new(i16::try_from(date.year).ok()?, month.ok()?, day.ok()?).ok()?;
    let end = date.tomorrow().ok()?.to_datetime(Time::midnight());
    let end = Offset::UTC.to_timestamp(end).ok()?;
    u64::try_from(end.as_nanosecond()).ok()
}
