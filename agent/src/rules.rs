//! What `wallwatch rules` shows: each rule in force, clause by clause, as the SPL it stands for.

use std::fmt::Write;

use jiff::Timestamp;

use crate::config::{RuleSettings, Settings};
use crate::delivery::encode::human::passive;
use crate::pipeline::alert::WindowMode;
use crate::pipeline::filter::FilterSpec;
use crate::pipeline::firewall::finding::FindingKind;

/// `wall_ns` says which filters have expired.
pub fn describe(settings: &Settings, wall_ns: u64) -> String {
    let parity = &settings.rules.linux_iptables_firewall_modification;
    let of_all = settings.filters.iter().map(|filter| &filter.value);
    let mut text = rule(parity);
    text += &filters(parity.spec.filters.iter().chain(of_all.clone()), wall_ns);
    if settings.tamper.enabled {
        for kind in FindingKind::ALL {
            let techniques = kind.mitre_technique_id().join(", ");
            writeln!(
                text,
                "{:<12} {}: {} ({techniques})",
                "finding",
                kind.as_str(),
                kind.title()
            )
            .expect("a string takes every write");
        }
        text += &filters(of_all, wall_ns);
    }
    text
}

fn rule(settings: &RuleSettings) -> String {
    let spec = &settings.spec;
    let identity = &spec.identity;
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        writeln!(text, "{key:<12} {value}").expect("a string takes every write");
    };
    line(
        "rule",
        &format!("{} (version {})", identity.name, identity.version),
    );
    line("id", &identity.id);
    line(
        "from",
        &settings
            .file
            .as_ref()
            .map_or_else(|| "built in".to_owned(), |file| file.display().to_string()),
    );
    line(
        "severity",
        &format!(
            "{}, risk score {}",
            identity.severity.as_str(),
            identity.risk_score
        ),
    );
    line("att&ck", &identity.mitre_technique_id.join(", "));
    for glob in &spec.process {
        line("where", &format!("process=\"{glob}\""));
    }
    if !spec.not_parent_process_path.is_empty() {
        let globs = spec.not_parent_process_path.join("\", \"");
        line(
            "where",
            &format!("NOT parent_process_path IN (\"{globs}\")"),
        );
    }
    line(
        "rex",
        &format!("\"{}(?<port>{})\"", spec.port_prefix, spec.ports.join("|")),
    );
    line("where", &format!("port_count >= {}", spec.port_count_min));
    line(
        "window",
        &match spec.window.mode {
            WindowMode::Sliding => format!("sliding, {} s", spec.window.span_s),
            WindowMode::Tumbling => format!(
                "tumbling, {} s, beginning {} s after a multiple of that",
                spec.window.span_s, spec.window.offset_s
            ),
        },
    );
    text
}

/// Filters with who answers for them, and whether they still hold at `wall_ns`.
fn filters<'a>(filters: impl Iterator<Item = &'a FilterSpec>, wall_ns: u64) -> String {
    let mut text = String::new();
    for filter in filters {
        let fields = filter.fields.iter().map(|(field, patterns)| {
            let patterns = patterns.join("\", \"");
            format!("{} IN (\"{patterns}\")", field.as_str())
        });
        let fields: Vec<_> = fields.collect();
        let mut line = format!("{}: {}", filter.name, fields.join(" AND "));
        for (word, value) in [("owner", &filter.owner), ("reason", &filter.reason)] {
            if let Some(value) = value {
                write!(line, "; {word}: {value}").expect("a string takes every write");
            }
        }
        if let Some(expires_ns) = filter.expires_ns {
            let word = if filter.has_expired(wall_ns) {
                "EXPIRED, withholds nothing since"
            } else {
                "expires"
            };
            write!(line, "; {word} {}", moment(expires_ns)).expect("a string takes every write");
        }
        writeln!(text, "{:<12} {}", "filter", passive(&line)).expect("a string takes every write");
    }
    text
}

/// A moment to the second, as RFC 3339 has it.
fn moment(wall_ns: u64) -> String {
    Timestamp::from_nanosecond(i128::from(wall_ns))
        .map_or_else(|_| "never".to_owned(), |moment| format!("{moment:.0}"))
}
