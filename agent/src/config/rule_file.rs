//! A rule's file: the SPL of one analytic as data. Where a key is missing, wrong or unknown, the
//! file is refused, for half a rule is worse than none.

use std::path::Path;
use std::sync::Arc;

use crate::pipeline::alert::{RuleIdentity, Severity, WindowMode};
use crate::pipeline::detect::rule::{RuleSpec, WindowSpec};

use super::origin::Origin;
use super::overrides::{Overrides, globs};
use super::problem::{Problem, Problems};
use super::section::{Document, Section, Texts};
use super::sources::Source;

const IPTABLES_FILE: &str = "linux_iptables_firewall_modification.toml (built in)";
const IPTABLES: &str = include_str!("../../rules/linux_iptables_firewall_modification.toml");

const RULE_ID_BYTES_MAX: usize = 64;
const RULE_NAME_BYTES_MAX: usize = 128;
const PORT_PREFIX_BYTES_MAX: usize = 256;
const TECHNIQUES_MAX: usize = 16;
const RISK_SCORE_MAX: u64 = 100;

/// The rule that is part of the program.
pub fn built_in() -> Result<RuleSpec, Problems> {
    let read = read_built_in().map_err(Problems::of);
    read.map(|(spec, _)| spec)
}

/// The rule in the file at `path`.
pub fn load(path: &Path) -> Result<RuleSpec, Problems> {
    let read = read(path).map_err(Problems::of);
    read.map(|(spec, _)| spec)
}

pub(super) fn read_built_in() -> Result<(RuleSpec, Origin), Vec<Problem>> {
    parse(Path::new(IPTABLES_FILE).into(), IPTABLES)
}

/// The rule in the file at `path` and the place of its clauses, or what is wrong with it.
pub(super) fn read(path: &Path) -> Result<(RuleSpec, Origin), Vec<Problem>> {
    let Source { file, text } = Source::read(path).map_err(|problem| vec![problem])?;
    parse(file, &text)
}

/// The rule that `text` is and the place of its clauses, if nothing is wrong with it.
pub(super) fn parse(file: Arc<Path>, text: &str) -> Result<(RuleSpec, Origin), Vec<Problem>> {
    let document = Document::parse(file, text);
    let rule = read_rule(document.root());
    let mut problems = document.into_problems();
    if let Some((spec, process, overrides)) = rule {
        match overrides.apply(spec, &process) {
            Ok(spec) if problems.is_empty() => return Ok((spec, process)),
            Ok(_) => {}
            Err(more) => problems.extend(more),
        }
    }
    Err(problems)
}

/// What only the rule's own file says, with the place of the clauses, and the keys that the
/// configuration may set too.
fn read_rule(mut section: Section<'_>) -> Option<(RuleSpec, Origin, Overrides)> {
    let identity = read_identity(&mut section);
    section.require("process", "a list of globs");
    let process = section.texts("process", &globs(1));
    let prefixed = "the text before the port, 1 to 256 bytes";
    section.require("port_prefix", prefixed);
    let port_prefix = section.text("port_prefix", prefixed, |prefix| {
        (1..=PORT_PREFIX_BYTES_MAX).contains(&prefix.len())
    });
    section.require("ports", "a list of ports");
    section.require("port_count_min", "a whole number");
    section.require("window", "a window");
    section.require("window_span_s", "a whole number");
    let overrides = Overrides::read(&mut section);
    section.finish();

    // These are put in their places by `Overrides::apply`, whose check wants them read.
    overrides.ports.as_ref()?;
    overrides.port_count_min.as_ref()?;
    overrides.window.as_ref()?;
    overrides.window_span_s.as_ref()?;
    let process = process?;
    let spec = RuleSpec {
        identity: identity?,
        process: process.value,
        not_parent_process_path: Vec::new(),
        port_prefix: port_prefix?.value,
        ports: Vec::new(),
        port_count_min: 0,
        window: WindowSpec {
            mode: WindowMode::Sliding,
            span_s: 0,
            offset_s: 0,
        },
        filters: Vec::new(),
    };
    Some((spec, process.origin, overrides))
}

fn read_identity(section: &mut Section<'_>) -> Option<RuleIdentity> {
    let identified = "1 to 64 ASCII letters, digits, `-`, `_`, `.`";
    section.require("id", identified);
    let id = section.text("id", identified, is_rule_id);

    let named = "1 to 128 bytes without control characters";
    section.require("name", named);
    let name = section.text("name", named, |name| {
        (1..=RULE_NAME_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control)
    });

    section.require("version", "a whole number");
    let version = section.integer("version", 1..=u64::from(u32::MAX));

    section.require("severity", "a severity");
    let severity = section.choice(
        "severity",
        &Severity::ALL.map(|severity| (severity.as_str(), severity)),
    );

    section.require("risk_score", "a whole number");
    let risk_score = section.integer("risk_score", 0..=RISK_SCORE_MAX);

    section.require("mitre_technique_id", "a list of ATT&CK technique ids");
    let techniques = section.texts(
        "mitre_technique_id",
        &Texts {
            count: 0..=TECHNIQUES_MAX,
            each: "an ATT&CK technique id like \"T1686\" or \"T1562.004\"",
            fits: is_technique_id,
        },
    );

    Some(RuleIdentity {
        id: id?.value,
        name: name?.value,
        version: version?.value,
        severity: severity?.value,
        risk_score: risk_score?.value,
        mitre_technique_id: techniques?.value,
    })
}

fn is_rule_id(id: &str) -> bool {
    (1..=RULE_ID_BYTES_MAX).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// `^T\d{4}(\.\d{3})?$`
fn is_technique_id(id: &str) -> bool {
    let digits = |text: &str, count: usize| {
        text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let Some(number) = id.strip_prefix('T') else {
        return false;
    };
    match number.split_once('.') {
        Some((technique, sub)) => digits(technique, 4) && digits(sub, 3),
        None => digits(number, 4),
    }
}
