//! The filter that would silence a finding, as the operator would write it.

use jiff::{SignedDuration, Timestamp};

use super::view::View;
use crate::delivery::encode::is_active;

/// How long a filter is proposed to hold: a quarter of a year, and then somebody looks again.
const HOLDS: SignedDuration = SignedDuration::from_hours(90 * 24);
const NAME_BYTES_MAX: usize = 64;
/// As the configuration takes it.
const TEXT_BYTES_MAX: usize = 4096;

/// A filter as it could be written. It lacks who answers for it, and why: that is the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub name: String,
    /// The last day on which it holds; `None` when the log has no time.
    pub expires: Option<String>,
    /// `rule`, and what tells whose work it was.
    pub fields: Vec<(&'static str, String)>,
    /// The lineage leads to nothing that is known.
    pub origin_is_unknown: bool,
}

impl Proposal {
    /// TOML for the configuration.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            "[[filters]]".to_owned(),
            format!("name = {}", quoted(&self.name)),
            "owner = \"\"    # who answers for it".to_owned(),
            "reason = \"\"   # why this is no attack".to_owned(),
            match &self.expires {
                Some(day) => format!("expires = {day}"),
                None => "expires =    # a date".to_owned(),
            },
        ];
        let fields = self.fields.iter();
        lines.extend(fields.map(|(key, value)| format!("{key} = [{}]", quoted(value))));
        if self.origin_is_unknown {
            lines.push(
                "# the origin is not known: this silences all that begin with that executable"
                    .to_owned(),
            );
        }
        if self.fields.iter().any(|(_, value)| value.contains('*')) {
            lines.push("# a * in a value stands for anything, here too".to_owned());
        }
        lines
    }
}

/// The filter, or why there is none. What the log shows only in part, or as bytes that are no text, cannot
/// stand in a pattern: then nothing is proposed rather than a filter that is wider than it looks.
pub fn filter(line: View<'_>) -> Result<Proposal, String> {
    let named = [line.at("finding"), line.at("rule").at("name")];
    let Some(rule) = named.into_iter().find_map(View::text) else {
        return Err("the log does not say what was found".to_owned());
    };
    let origin = line.at("origin");
    let is_tool_itself = line.at("execs").list().any(|exec| {
        exec.at("pid").number().is_some() && exec.at("pid").number() == origin.at("pid").number()
    });
    if is_tool_itself {
        return Err(
            "the lineage leads to nothing but the tool itself, which anybody may have run"
                .to_owned(),
        );
    }
    let container = of_all_execs(line, |exec| {
        exec.at("cgroup").at("container").at("id").text()
    });
    let user = line.at("user").text().filter(|user| *user != "unknown");
    let keys = [
        (
            "parent_process_path",
            line.at("parent").at("executable").text(),
        ),
        (
            "origin_executable",
            line.at("origin").at("executable").text(),
        ),
        ("unit", unit(line)),
        ("container", container),
        ("user", user),
    ];
    let known = keys.into_iter();
    let known: Vec<(&str, &str)> = known
        .filter_map(|(key, value)| Some((key, value?)))
        .collect();
    if !known.iter().any(|(key, _)| *key != "user") {
        return Err(
            "neither executable nor unit nor container is known, and a filter without them would silence \
             others as well"
                .to_owned(),
        );
    }
    if let Some((key, _)) = known.iter().find(|(_, value)| !is_exact(value)) {
        return Err(format!(
            "the log has {key} not letter by letter, and a pattern for it would silence others as well"
        ));
    }
    let name = name(rule, &known);
    let fields = std::iter::once(("rule", rule)).chain(known);
    Ok(Proposal {
        name,
        expires: expiry(line),
        fields: fields.map(|(key, value)| (key, value.to_owned())).collect(),
        origin_is_unknown: line.at("origin").at("kind").text() == Some("unknown"),
    })
}

fn unit(line: View<'_>) -> Option<&str> {
    let of_origin = line.at("origin").at("unit").text();
    of_origin.or_else(|| of_all_execs(line, |exec| exec.at("cgroup").at("unit").text()))
}

/// The value that every exec has.
fn of_all_execs<'a>(
    line: View<'a>,
    value: impl Fn(View<'a>) -> Option<&'a str>,
) -> Option<&'a str> {
    let mut values = line.at("execs").list().map(value);
    let first = values.next()??;
    values.all(|other| other == Some(first)).then_some(first)
}

/// Whether a text of the log is what the host had: not shortened, and without a byte that is shown as `\xNN`.
fn is_exact(text: &str) -> bool {
    text.len() <= TEXT_BYTES_MAX && !text.contains("[…") && !text.contains("\\x")
}

fn expiry(line: View<'_>) -> Option<String> {
    let seen: Timestamp = line.at("last_seen").time()?;
    let end = seen.checked_add(HOLDS).ok()?;
    Some(end.strftime("%Y-%m-%d").to_string())
}

/// `accept-opened-panel`.
fn name(rule: &str, known: &[(&str, &str)]) -> String {
    let whose = known.first().map_or("", |(_, value)| value);
    let whose = whose.rsplit('/').next().unwrap_or(whose);
    let words = format!("{rule}-{whose}").to_lowercase();
    let mut name = String::new();
    for char in words.chars() {
        if char.is_ascii_alphanumeric() {
            name.push(char);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    name.truncate(NAME_BYTES_MAX);
    name.trim_end_matches('-').to_owned()
}

/// A basic string of TOML 1.0 in which no character acts on a terminal.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            _ if is_active(char) => quoted.push_str(&format!("\\U{:08x}", u32::from(char))),
            _ => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}
