//! An alert as one line of JSON.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;
use uuid::Uuid;

use crate::pipeline::alert::Alert;

use super::budget::Budget;
use super::text::is_active;
use super::{AlertContext, AlertLine};

/// Of one line, its LF included. Most receivers take no longer one.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// What [`stamped`] adds to a line at most: the names of two fields, a UUID and a number of 20 digits.
const STAMP_BYTES_MAX: usize = 80;

/// `line` with the epoch and the number that the store gave it, behind its schema. A line without a schema in front is
/// no event, and stays as it is.
pub fn stamped(line: &[u8], epoch: Uuid, seq: u64) -> Vec<u8> {
    let schema_end = || {
        let rest = line.strip_prefix(SCHEMA_KEY)?;
        let quote = rest.iter().position(|&byte| byte == b'"')?;
        Some(SCHEMA_KEY.len() + quote + 1)
    };
    let Some(at) = schema_end() else {
        return line.to_vec();
    };
    let (schema, rest) = line.split_at(at);
    let stamp = format!(r#","epoch":"{epoch}","seq":{seq}"#);
    [schema, stamp.as_bytes(), rest].concat()
}

/// How every event begins.
const SCHEMA_KEY: &[u8] = br#"{"schema":""#;

/// `alert` as JSON and LF. What does not fit is left out, and the line says what that was.
pub fn json_line(alert: &Alert, context: &AlertContext) -> Vec<u8> {
    line(|budget| AlertLine::of(alert, context, budget))
}

/// What `make` gives, within the largest budget that fits, as JSON and LF.
pub(super) fn line<L: Serialize>(make: impl Fn(Budget) -> L) -> Vec<u8> {
    Budget::ladder()
        .find_map(|budget| encode(&make(budget)))
        .expect("without texts and lists every line fits")
}

/// Any value as one line of JSON and LF, as harmless to look at as an alert. Fails where the value
/// itself cannot be serialized.
pub fn passive_line(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut bytes, Passive))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// `None` when it is too long.
fn encode(line: &impl Serialize) -> Option<Vec<u8>> {
    let mut bounded = BoundedLine { bytes: Vec::new() };
    line.serialize(&mut Serializer::with_formatter(&mut bounded, Passive))
        .ok()?;
    bounded.write_all(b"\n").ok()?;
    Some(bounded.bytes)
}

/// Refuses what would make the line too long, so that a hopeless try ends early.
struct BoundedLine {
    bytes: Vec<u8>,
}

impl Write for BoundedLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > LINE_BYTES_MAX - STAMP_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Compact JSON in which no character acts on a terminal or ends a line. JSON itself wants only
/// C0 controls escaped.
struct Passive;

impl Formatter for Passive {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, char)) = rest.char_indices().find(|(_, char)| is_active(*char)) {
            writer.write_all(&rest.as_bytes()[..at])?;
            for unit in char.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &rest[at + char.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epoch_and_number_stand_behind_the_schema() {
        let epoch = Uuid::from_u128(7);
        let line = stamped(
            br#"{"schema":"wallwatch.alert/1","id":"x"}"#,
            epoch,
            u64::MAX,
        );
        let line = String::from_utf8(line).unwrap();
        assert_eq!(
            line,
            r#"{"schema":"wallwatch.alert/1","epoch":"00000000-0000-0000-0000-000000000007","seq":18446744073709551615,"id":"x"}"#
        );
        let plain = br#"{"schema":"wallwatch.alert/1","id":"x"}"#.len();
        assert!(line.len() - plain <= STAMP_BYTES_MAX);
        for other in [&b"text"[..], br#"{"schema":"#, br#"{"schema":"open"#, b""] {
            assert_eq!(stamped(other, epoch, 1), other);
        }
    }
}
