//! The keys of a rule that an operator may set: in the rule's own file, or over it in the
//! configuration.

use crate::pipeline::alert::WindowMode;
use crate::pipeline::detect::rule::{PatternPlace, RuleSpec};
use crate::pipeline::detect::{Rule, RuleError};
use crate::pipeline::filter::FilterSpec;

use super::filters::{Answer, read_filters, same_name};
use super::origin::{Origin, Written};
use super::problem::{Fault, Problem};
use super::section::{Section, Texts};

pub(super) const PORTS_MAX: usize = 1024;
pub(super) const GLOBS_MAX: usize = 256;
const GLOB_BYTES_MAX: usize = 4096;
const PORT_BYTES_MAX: usize = 64;
const SPAN_S_MAX: u64 = 86_400;

/// What was written; `None` where nothing was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    pub not_parent_process_path: Option<Written<Vec<String>>>,
    pub ports: Option<Written<Vec<String>>>,
    pub port_count_min: Option<Written<u64>>,
    pub window: Option<Written<WindowMode>>,
    pub window_span_s: Option<Written<u64>>,
    pub window_offset_s: Option<Written<u64>>,
    pub filter: Option<Written<Vec<Written<FilterSpec>>>>,
}

impl Overrides {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            not_parent_process_path: section.texts("not_parent_process_path", &globs(0)),
            ports: section.texts(
                "ports",
                &Texts {
                    count: 1..=PORTS_MAX,
                    each: "a port of 1 to 64 bytes",
                    fits: |port| (1..=PORT_BYTES_MAX).contains(&port.len()),
                },
            ),
            port_count_min: section.integer("port_count_min", 1..=PORTS_MAX as u64),
            window: section.choice(
                "window",
                &[
                    (WindowMode::Sliding.as_str(), WindowMode::Sliding),
                    (WindowMode::Tumbling.as_str(), WindowMode::Tumbling),
                ],
            ),
            window_span_s: section.integer("window_span_s", 1..=SPAN_S_MAX),
            window_offset_s: section.integer("window_offset_s", 0..=SPAN_S_MAX - 1),
            filter: read_filters(section, "filter", Answer::Optional),
        }
    }

    /// Puts what was written over `spec`, whose clauses stand at `process`. Filters are added to
    /// those of the rule, everything else takes the place of what the rule says.
    pub(super) fn apply(self, spec: RuleSpec, process: &Origin) -> Result<RuleSpec, Vec<Problem>> {
        let mut problems = self.clash_with(&spec);
        let spec = self.put_over(spec);
        // What the pipeline would refuse when the agent starts.
        if let Err(error) = Rule::compile(spec.clone()) {
            // What was not written here was refused where it was, unless it is the clauses.
            let place = self.place_of(&error).unwrap_or(process);
            problems.push(Problem::of_key(place, Fault::Rule(error)));
        }
        if problems.is_empty() {
            Ok(spec)
        } else {
            Err(problems)
        }
    }

    fn put_over(&self, mut spec: RuleSpec) -> RuleSpec {
        let Self {
            not_parent_process_path,
            ports,
            port_count_min,
            window,
            window_span_s,
            window_offset_s,
            filter,
        } = self;
        put(&mut spec.not_parent_process_path, not_parent_process_path);
        put(&mut spec.ports, ports);
        put(&mut spec.port_count_min, port_count_min);
        put(&mut spec.window.mode, window);
        put(&mut spec.window.span_s, window_span_s);
        put(&mut spec.window.offset_s, window_offset_s);
        let filters = filter.iter().flat_map(|filters| &filters.value);
        spec.filters
            .extend(filters.map(|filter| filter.value.clone()));
        // Only an offset that stood in the rule can be too long and right, and windows that begin an
        // offset after a multiple of the span are the same for any multiple of the span more.
        spec.window.offset_s %= spec.window.span_s;
        spec
    }

    /// Where the key was written that is to blame. Of two that do not go together it is the one that
    /// was written here.
    fn place_of(&self, error: &RuleError) -> Option<&Origin> {
        let Self {
            not_parent_process_path,
            ports,
            port_count_min,
            window: _,
            window_span_s,
            window_offset_s: _,
            filter,
        } = self;
        let ports = ports.as_ref().map(|ports| &ports.origin);
        let filter = filter.as_ref().map(|filter| &filter.origin);
        match error {
            RuleError::NoProcessClause => None,
            RuleError::EmptyPort => ports,
            RuleError::PortCountMin { .. } => {
                let count_min = port_count_min.as_ref().map(|count_min| &count_min.origin);
                count_min.or(ports)
            }
            RuleError::EmptySpan => window_span_s.as_ref().map(|span_s| &span_s.origin),
            RuleError::Filter(_) => filter,
            RuleError::Pattern { place, .. } => match place {
                PatternPlace::Process => None,
                PatternPlace::NotParentProcessPath => {
                    not_parent_process_path.as_ref().map(|globs| &globs.origin)
                }
                PatternPlace::Ports => ports,
            },
        }
    }

    /// What fits by itself but not with the rest, and would be no fault to a rule.
    fn clash_with(&self, spec: &RuleSpec) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut unfit = |origin: &Origin, expected: String, found: String| {
            problems.push(Problem::of_key(origin, Fault::Unfit { expected, found }));
        };

        let written_span_s = self.window_span_s.as_ref().map(|span_s| span_s.value);
        let span_s = written_span_s.unwrap_or(spec.window.span_s);
        if let Some(offset) = &self.window_offset_s
            && offset.value >= span_s
        {
            unfit(
                &offset.origin,
                format!("less than {span_s}, the window's span"),
                offset.value.to_string(),
            );
        }

        for added in self.filter.iter().flat_map(|filters| &filters.value) {
            let name = &added.value.name;
            if spec.filters.iter().any(|filter| filter.name == *name) {
                problems.push(Problem::of_key(&added.origin, same_name(name)));
            }
        }
        problems
    }
}

/// A list of globs, at least `count_min` of them.
pub(super) fn globs(count_min: usize) -> Texts {
    Texts {
        count: count_min..=GLOBS_MAX,
        each: "a glob of 1 to 4096 bytes",
        fits: |glob| (1..=GLOB_BYTES_MAX).contains(&glob.len()),
    }
}

fn put<T: Clone>(place: &mut T, written: &Option<Written<T>>) {
    if let Some(written) = written {
        place.clone_from(&written.value);
    }
}

/// Whether a terminal can show it as it is.
pub(super) fn has_no_control(text: &str) -> bool {
    !text.contains(char::is_control)
}
