//! What `wallwatch rules` shows: each rule in force, clause by clause, as the SPL it stands for.

use std::fmt::Write;

use crate::config::{RuleSettings, Settings};
use crate::pipeline::alert::WindowMode;

pub fn describe(settings: &Settings) -> String {
    rule(&settings.rules.linux_iptables_firewall_modification)
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
    for filter in &spec.filters {
        let columns: Vec<_> = filter
            .columns
            .iter()
            .map(|(column, globs)| format!("{} IN (\"{}\")", column.as_str(), globs.join("\", \"")))
            .collect();
        line(
            "filter",
            &format!("{}: {}", filter.name, columns.join(" AND ")),
        );
    }
    text
}
