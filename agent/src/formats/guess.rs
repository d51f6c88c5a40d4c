//! Whose log it is, told from its first lines.

use std::collections::BTreeMap;

use memchr::memmem;
use serde::de::IgnoredAny;

use super::Format;

/// Lines that may say nothing before the format is taken for wallwatch's own.
const LINES_MAX: usize = 1000;

/// Bytes of such lines.
const BYTES_MAX: usize = 1 << 20;

/// Keeps the lines that say nothing, until one does.
#[derive(Default)]
pub struct Guess {
    held: Vec<Vec<u8>>,
    held_bytes: usize,
}

impl Guess {
    /// The format, once `line` says it. Then, and when too many lines said nothing (`Err`), the lines are to be
    /// taken out.
    pub fn handle_line(&mut self, line: &[u8]) -> Option<Result<Format, Undecided>> {
        self.held_bytes += line.len();
        self.held.push(line.to_vec());
        match format_of(line) {
            Some(format) => Some(Ok(format)),
            None if self.held.len() >= LINES_MAX || self.held_bytes >= BYTES_MAX => {
                Some(Err(Undecided))
            }
            None => None,
        }
    }

    /// Whether there is a line that is not blank.
    pub fn says_anything(&self) -> bool {
        self.held.iter().any(|line| !line.trim_ascii().is_empty())
    }

    /// The lines seen so far.
    pub fn take_lines(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.held)
    }
}

/// No line says what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecided;

/// The format of which this can be a line, when it can be of one only.
fn format_of(line: &[u8]) -> Option<Format> {
    let has = |needle: &str| memmem::find(line, needle.as_bytes()).is_some();
    let object = memchr::memchr(b'{', line).and_then(|at| keys(&line[at..]));
    if let Some(keys) = object {
        let has_key = |key: &str| keys.contains_key(key);
        let begins = |prefix: &str| keys.keys().any(|key| key.starts_with(prefix));
        if has_key("ID") && keys.keys().any(|key| is_record_type(key)) {
            return Some(Format::Laurel);
        }
        if has_key("@timestamp") || has_key("_source") || begins("process.") || has_key("process") {
            return Some(Format::Ecs);
        }
        return (has_key("time") || has_key("kind")).then_some(Format::Wallwatch);
    }
    if has("<Event>") || has("<Event ") || has("<Events") {
        return Some(Format::Sysmon);
    }
    // The kernel's own log has `type=1400 audit(…)`, beside anything else.
    (has("type=") && has("msg=audit(")).then_some(Format::Auditd)
}

/// LAUREL names its members as the audit daemon names its records.
fn is_record_type(key: &str) -> bool {
    key.len() > 2
        && key
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The keys of a JSON object.
fn keys(text: &[u8]) -> Option<BTreeMap<String, IgnoredAny>> {
    serde_json::from_slice(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_is_known_by_a_line() {
        for (line, expect) in [
            ("", None),
            ("Nov 24 02:40:43 gateway kernel: {braces}", None),
            (r#"{"later": 1}"#, None),
            (r#"{"time": true}"#, Some(Format::Wallwatch)),
            (r#"{"kind": "failed_exec"}"#, Some(Format::Wallwatch)),
            ("<Events>", Some(Format::Sysmon)),
            (
                "Nov 24 02:40:43 gateway sysmon: <Event><System>",
                Some(Format::Sysmon),
            ),
            (
                "Nov 24 gateway kernel: audit: type=1400 audit(1.0:1): apparmor=\"DENIED\"",
                None,
            ),
            (
                "node=a type=CWD msg=audit(1.0:1): cwd=\"/\"",
                Some(Format::Auditd),
            ),
            (r#"{"ID":"1.0:1","CWD":{"cwd":"/"}}"#, Some(Format::Laurel)),
            (
                r#"laurel: {"ID":"1.0:1","SYSCALL":{}}"#,
                Some(Format::Laurel),
            ),
            (
                r#"{"@timestamp":"2026-11-24T02:40:43Z"}"#,
                Some(Format::Ecs),
            ),
            (r#"{"_index":"x","_source":{}}"#, Some(Format::Ecs)),
            (r#"{"process.pid":1}"#, Some(Format::Ecs)),
        ] {
            assert_eq!(format_of(line.as_bytes()), expect, "{line}");
        }
    }

    #[test]
    fn lines_that_say_nothing_are_held_within_bounds() {
        let mut guess = Guess::default();
        assert_eq!(guess.handle_line(b"\n"), None);
        assert_eq!(guess.handle_line(b"<Event>\n"), Some(Ok(Format::Sysmon)));
        assert_eq!(guess.take_lines(), [b"\n".to_vec(), b"<Event>\n".to_vec()]);
        let n = (1..).find(|_| guess.handle_line(b"x").is_some());
        assert_eq!(n, Some(LINES_MAX));
        assert_eq!(
            guess.handle_line(&vec![b'x'; BYTES_MAX]),
            Some(Err(Undecided))
        );
    }
}
