//! What `check` says of filters beside errors.

use crate::pipeline::filter::{Field, FilterSpec};
use crate::pipeline::firewall::severity::WRITABLE;

/// Programs that anybody runs: to name one of them names nobody.
const ANYBODY: &[&str] = &[
    "sh",
    "bash",
    "dash",
    "zsh",
    "ksh",
    "ash",
    "busybox",
    "env",
    "sudo",
    "su",
    "python",
    "perl",
    "ruby",
    "node",
    "php",
    "iptables",
    "ip6tables",
    "xtables-nft-multi",
    "xtables-legacy-multi",
    "nft",
    "ipset",
    "ufw",
    "firewall-cmd",
    "systemctl",
    "systemd",
    "init",
];

/// Why a filter may withhold more than was meant; empty when nothing speaks against it.
pub(in crate::config) fn of(filter: &FilterSpec, wall_ns: u64) -> Vec<String> {
    let mut doubts = Vec::new();
    if filter.has_expired(wall_ns) {
        doubts.push("it has expired and withholds nothing any more".to_owned());
    }
    let narrowing = filter.fields.iter().filter(|(field, patterns)| {
        field.narrows() && patterns.iter().all(|pattern| is_narrow(*field, pattern))
    });
    if narrowing.count() == 0 {
        doubts.push(
            "it is broad: no field says who did it, or what exactly; name an executable that only its \
             owner can write, a unit, a command or a change"
                .to_owned(),
        );
    }
    for (field, patterns) in &filter.fields {
        let is_path = matches!(
            field,
            Field::ProcessPath
                | Field::ParentProcessPath
                | Field::Lineage
                | Field::OriginExecutable
        );
        let mut writable = patterns
            .iter()
            .filter(|pattern| WRITABLE.iter().any(|folder| pattern.starts_with(folder)));
        if let Some(pattern) = writable.next().filter(|_| is_path) {
            let field = field.as_str();
            doubts.push(format!(
                "`{field}` has {pattern:?}, where anybody may put a program"
            ));
        }
    }
    doubts
}

/// Whether a pattern says more than "anything" and "anybody's tool".
fn is_narrow(field: Field, pattern: &str) -> bool {
    let literal: String = pattern
        .chars()
        .filter(|char| char.is_alphanumeric() || *char == '_')
        .collect();
    if literal.len() < 3 || ANYBODY.contains(&&*literal) {
        return false;
    }
    let is_program = matches!(
        field,
        Field::ProcessName
            | Field::ProcessPath
            | Field::ParentProcessName
            | Field::ParentProcessPath
            | Field::Lineage
            | Field::OriginExecutable
    );
    let name = pattern.rsplit('/').next().unwrap_or(pattern);
    let name = name.trim_end_matches(|char: char| char.is_ascii_digit() || ".*".contains(char));
    !is_program || (!name.is_empty() && !ANYBODY.contains(&name))
}
