//! A rule: what its file says ([`RuleSpec`]) and what runs ([`Rule`]).

use std::collections::BTreeSet;
use std::sync::Arc;

use thiserror::Error;

use super::clause::Clauses;
use super::extract::Extractor;
use super::glob::Glob;
use super::window::Window;
use crate::pipeline::alert::{RuleIdentity, WindowMode};
use crate::pipeline::filter::{FilterError, FilterSpec, Filters};

/// What the rule's file says, already checked for types and bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSpec {
    pub identity: RuleIdentity,
    /// Globs over `process`; all must hold.
    pub process: Vec<String>,
    /// Globs over `parent_process_path`. A parent that fits one of them is excluded: its execs do not
    /// count. One whose path is unknown is never excluded.
    pub not_parent_process_path: Vec<String>,
    /// `rex`: the literal text before the port.
    pub port_prefix: String,
    /// `rex`: the ports, in the order in which they are tried.
    pub ports: Vec<String>,
    /// `where port_count >= N`.
    pub port_count_min: u64,
    pub window: WindowSpec,
    pub filters: Vec<FilterSpec>,
}

/// Which execs count together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSpec {
    pub mode: WindowMode,
    /// Length in seconds, 1 to 86,400.
    pub span_s: u64,
    /// Tumbling only: where a window begins, in seconds after a multiple of the span (UTC). The
    /// scheduled search has spans of an hour that begin at minute 50.
    pub offset_s: u64,
}

/// A rule that runs: a [`RuleSpec`] with its patterns compiled.
#[derive(Clone, Debug)]
pub struct Rule {
    identity: Arc<RuleIdentity>,
    clauses: Clauses,
    extractor: Extractor,
    port_count_min: usize,
    window_spec: WindowSpec,
    filters: Filters,
}

impl Rule {
    pub fn compile(spec: RuleSpec) -> Result<Self, RuleError> {
        refuse_what_cannot_work(&spec)?;
        let RuleSpec {
            identity,
            process,
            not_parent_process_path,
            port_prefix,
            ports,
            port_count_min,
            window,
            filters,
        } = spec;
        let parents = PatternPlace::NotParentProcessPath;
        Ok(Self {
            identity: Arc::new(identity),
            clauses: Clauses::new(
                globs(&process, PatternPlace::Process)?,
                globs(&not_parent_process_path, parents)?,
            ),
            extractor: Extractor::compile(&port_prefix, &ports)
                .map_err(|error| PatternPlace::Ports.refused(error))?,
            port_count_min: usize::try_from(port_count_min).unwrap_or(usize::MAX),
            window_spec: window,
            filters: Filters::compile(&filters)?,
        })
    }

    pub fn identity(&self) -> &Arc<RuleIdentity> {
        &self.identity
    }

    pub fn clauses(&self) -> &Clauses {
        &self.clauses
    }

    pub fn extractor(&self) -> &Extractor {
        &self.extractor
    }

    pub fn port_count_min(&self) -> usize {
        self.port_count_min
    }

    pub fn window_spec(&self) -> WindowSpec {
        self.window_spec
    }

    pub fn window(&self) -> Window {
        Window::new(self.window_spec)
    }

    pub fn filters(&self) -> &Filters {
        &self.filters
    }
}

/// Why a rule cannot run.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum RuleError {
    /// Without a clause over `process` every exec of the host would count.
    #[error("there is no pattern for process")]
    NoProcessClause,
    #[error("a port is empty")]
    EmptyPort,
    /// The threshold is 0, or more than the ports there are.
    #[error(
        "port_count_min is {port_count_min} and must be from 1 to the number of distinct ports, \
         {ports}"
    )]
    PortCountMin { port_count_min: u64, ports: usize },
    #[error("the span of the window is 0")]
    EmptySpan,
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error("a pattern for {} is refused: {reason}", place.as_str())]
    Pattern {
        place: PatternPlace,
        reason: regex::Error,
    },
}

/// Which part of a rule a pattern stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternPlace {
    Process,
    NotParentProcessPath,
    Ports,
}

impl PatternPlace {
    /// Its name in a rule's file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::NotParentProcessPath => "not_parent_process_path",
            Self::Ports => "ports",
        }
    }

    fn refused(self, reason: regex::Error) -> RuleError {
        RuleError::Pattern {
            place: self,
            reason,
        }
    }
}

fn refuse_what_cannot_work(spec: &RuleSpec) -> Result<(), RuleError> {
    let ports = BTreeSet::from_iter(&spec.ports).len();
    if spec.process.is_empty() {
        return Err(RuleError::NoProcessClause);
    }
    if spec.ports.iter().any(String::is_empty) {
        return Err(RuleError::EmptyPort);
    }
    if spec.port_count_min == 0 || spec.port_count_min > ports as u64 {
        return Err(RuleError::PortCountMin {
            port_count_min: spec.port_count_min,
            ports,
        });
    }
    if spec.window.span_s == 0 {
        return Err(RuleError::EmptySpan);
    }
    Ok(())
}

fn globs(patterns: &[String], place: PatternPlace) -> Result<Vec<Glob>, RuleError> {
    let globs = patterns.iter().map(|pattern| Glob::compile(pattern));
    let globs = globs.collect::<Result<_, _>>();
    globs.map_err(|error| place.refused(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::detect::tests::analytic;
    use crate::pipeline::filter::Field;

    fn check(change: impl FnOnce(&mut RuleSpec), expected: &str) {
        let mut spec = analytic();
        change(&mut spec);
        let error = Rule::compile(spec).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    fn filter(fields: Vec<(Field, Vec<String>)>) -> FilterSpec {
        FilterSpec {
            name: "panel".to_owned(),
            owner: None,
            reason: None,
            expires_ns: None,
            fields,
        }
    }

    #[test]
    fn a_rule_that_cannot_work_is_refused() {
        check(
            |spec| spec.process.clear(),
            "there is no pattern for process",
        );
        check(|spec| spec.ports.push(String::new()), "a port is empty");
        check(|spec| spec.window.span_s = 0, "the span of the window is 0");
    }

    #[test]
    fn a_pattern_that_is_too_long_is_refused_by_the_name_of_its_place() {
        let long = || "a".repeat(1_000_000);
        let refused = |place| {
            format!(
                "a pattern for {place} is refused: Compiled regex exceeds size limit of 10485760 bytes."
            )
        };
        check(|spec| spec.process.push(long()), &refused("process"));
        check(
            |spec| spec.not_parent_process_path.push(long()),
            &refused("not_parent_process_path"),
        );
        check(|spec| spec.ports.push(long()), &refused("ports"));
        let filter = filter(vec![(Field::User, vec![long()])]);
        let expected = refused("user").replacen('a', "filter \"panel\": a", 1);
        check(|spec| spec.filters.push(filter), &expected);
    }

    #[test]
    fn a_threshold_beyond_the_distinct_ports_is_refused() {
        let bounds = "and must be from 1 to the number of distinct ports";
        check(
            |spec| spec.port_count_min = 0,
            &format!("port_count_min is 0 {bounds}, 6"),
        );
        check(
            |spec| {
                spec.ports.push("636".to_owned());
                spec.port_count_min = 7;
            },
            &format!("port_count_min is 7 {bounds}, 6"),
        );
    }

    #[test]
    fn a_filter_that_withholds_everything_or_nothing_is_refused() {
        check(
            |spec| spec.filters.push(filter(Vec::new())),
            r#"filter "panel" names no column"#,
        );
        check(
            |spec| spec.filters.push(filter(vec![(Field::User, Vec::new())])),
            r#"filter "panel" has no pattern for user"#,
        );
    }
}
