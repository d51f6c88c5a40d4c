//! In whose words an event is told: pure functions from an event to bytes.

mod attack;
mod cef;
mod ecs;
mod native;
mod ocsf;
mod process;
mod sentence;
mod shorten;
mod tree;

use serde_json::{Map, Value};

use super::encode::json::passive_line;
use super::event::Event;
use crate::config::Format;

pub use sentence::sentence;
pub use shorten::BYTES_MIN;

/// `event` in the words of `format`, in at most `bytes_max` bytes; without LF and any other character that acts on a
/// terminal or a parser of lines. What was cut to fit is marked, as each format can: command lines and lists give way
/// first, the id, the revision and the number never. A bound below [`BYTES_MIN`] counts as that.
pub fn translate(event: &Event<'_>, format: Format, bytes_max: usize) -> Vec<u8> {
    let encode = match format {
        Format::Native => native::encode,
        Format::Ecs => ecs::encode,
        Format::Ocsf => ocsf::encode,
        Format::Cef => cef::encode,
    };
    shorten::within(event, bytes_max, encode)
}

/// Compact JSON without LF, in which no character is active.
fn compact(value: &impl serde::Serialize) -> Vec<u8> {
    let mut line = passive_line(value).expect("JSON values have texts as keys");
    line.pop();
    line
}

/// The fields of an event that `told` does not name, under their native names.
fn untold(event: &Event<'_>, told: &[&str]) -> Map<String, Value> {
    let fields = event.value().as_object().into_iter().flatten();
    fields
        .filter(|(name, _)| !told.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The texts of a list, or nothing where there is none.
fn texts<'a>(event: &'a Event<'_>, pointer: &str) -> impl Iterator<Item = &'a str> {
    let list = event.value().pointer(pointer).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

/// What an event tells apart from others of its kind: a finding's word, what happened to the agent, what is missing.
fn action<'a>(event: &'a Event<'_>) -> Option<&'a str> {
    let words = ["/finding", "/event", "/why"];
    words.into_iter().find_map(|pointer| event.text(pointer))
}

#[cfg(test)]
mod tests;
