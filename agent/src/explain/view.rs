//! A value of the log, whatever its shape: what is not as it should be is not there.

use jiff::Timestamp;
use serde_json::Value;

use crate::delivery::encode::human::passive_within;

/// Bytes of one field that are shown or kept.
const FIELD_BYTES_MAX: usize = 256;

#[derive(Clone, Copy, Debug)]
pub struct View<'a>(Option<&'a Value>);

impl<'a> View<'a> {
    pub fn of(value: &'a Value) -> Self {
        Self(Some(value))
    }

    pub fn at(self, key: &str) -> Self {
        Self(self.0.and_then(|value| value.get(key)))
    }

    pub fn text(self) -> Option<&'a str> {
        self.0?.as_str()
    }

    /// A text as a part of a line for a person, shortened if need be.
    pub fn shown(self) -> Option<String> {
        Some(field(self.text()?))
    }

    pub fn shown_or(self, otherwise: &str) -> String {
        self.shown().unwrap_or_else(|| otherwise.to_owned())
    }

    /// A number, or the text of one.
    pub fn number(self) -> Option<u64> {
        match self.text() {
            Some(text) => text.parse().ok(),
            None => self.0?.as_u64(),
        }
    }

    pub fn count(self) -> u64 {
        self.number().unwrap_or(0)
    }

    pub fn holds(self) -> bool {
        self.0.and_then(Value::as_bool).unwrap_or(false)
    }

    /// RFC 3339.
    pub fn time(self) -> Option<Timestamp> {
        self.text()?.parse().ok()
    }

    pub fn list(self) -> impl ExactSizeIterator<Item = View<'a>> + DoubleEndedIterator + Clone {
        let items = self.0.and_then(Value::as_array);
        items.map_or(&[][..], Vec::as_slice).iter().map(View::of)
    }

    /// The entries of an object that are numbers above 0.
    pub fn counts(self) -> impl Iterator<Item = (&'a str, u64)> {
        let entries = self.0.and_then(Value::as_object).into_iter().flatten();
        entries
            .map(|(key, value)| (key.as_str(), View::of(value).count()))
            .filter(|(_, count)| *count > 0)
    }
}

/// Any text as a part of a line for a person, shortened if need be.
pub fn field(text: &str) -> String {
    passive_within(text, FIELD_BYTES_MAX)
}

/// A time for a person; [`Timestamp::MIN`] stands for one that the log does not tell.
pub fn moment(time: Timestamp) -> String {
    if time == Timestamp::MIN {
        return "unknown".to_owned();
    }
    time.to_string()
}

/// `1 exec`, `2 execs`.
pub fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
