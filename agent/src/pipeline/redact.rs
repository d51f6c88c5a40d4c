//! Secrets in command lines: masked before an event leaves the pipeline, when everything has been judged.
//!
//! A byte of a secret becomes `*`, so that lengths, offsets and what was cut stay true; the event counts the places.
//! A secret of which an excerpt shows only a part, without the word before it, is not recognised.

use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder};
use thiserror::Error;

use super::alert::{Alert, Ancestor, ClauseMatch, Evidence, Excerpt};
use super::firewall::finding::Finding;
use super::watch::Gap;

/// Of one compiled pattern.
const PATTERN_BYTES_MAX: usize = 1 << 20;

const MASK: u8 = b'*';

/// Why a pattern cannot be used.
#[derive(Debug, Error)]
#[error("{pattern:?}: {reason}")]
pub struct PatternError {
    pattern: String,
    reason: regex::Error,
}

/// Patterns of what must not be shown. Each masks its groups, or all that it matches where it has none.
#[derive(Clone, Debug, Default)]
pub struct Redaction {
    patterns: Vec<Regex>,
}

impl Redaction {
    pub fn compile(patterns: &[String]) -> Result<Self, PatternError> {
        let compile = |pattern: &String| {
            let built = RegexBuilder::new(pattern)
                .size_limit(PATTERN_BYTES_MAX)
                // Command lines are bytes: one that is no UTF-8 must not end a match.
                .unicode(false)
                .build();
            built.map_err(|reason| PatternError {
                pattern: pattern.clone(),
                reason,
            })
        };
        let patterns = patterns.iter().map(compile).collect::<Result<_, _>>()?;
        Ok(Self { patterns })
    }

    pub(super) fn alert(&self, alert: &mut Alert) {
        let places = self.excerpts(&mut alert.processes_exec)
            + self.evidence(&mut alert.execs)
            + self.clauses(&mut alert.matched)
            + self.ancestors(&mut alert.ancestry)
            + self.ancestors(&mut alert.origin);
        alert.redacted = places;
    }

    pub(super) fn finding(&self, finding: &mut Finding) {
        finding.redacted = self.evidence(&mut finding.execs) + self.ancestors(&mut finding.lineage);
    }

    /// The lineages that a gap names.
    pub fn gap(&self, gap: &mut Gap) {
        for lineage in &mut gap.lineages {
            self.ancestors(&mut lineage.ancestry);
        }
    }

    fn excerpts(&self, excerpts: &mut [Excerpt]) -> u64 {
        excerpts
            .iter_mut()
            .map(|excerpt| self.excerpt(excerpt))
            .sum()
    }

    fn evidence(&self, execs: &mut [Evidence]) -> u64 {
        let texts = execs.iter_mut().map(|exec| &mut exec.process_text);
        texts.map(|text| self.excerpt(text)).sum()
    }

    fn clauses(&self, clauses: &mut [ClauseMatch]) -> u64 {
        let found = clauses.iter_mut().map(|clause| &mut clause.found);
        found.map(|bytes| self.mask(bytes)).sum()
    }

    fn ancestors(&self, ancestors: &mut [Ancestor]) -> u64 {
        let lines = ancestors
            .iter_mut()
            .map(|ancestor| &mut ancestor.command_line);
        lines.map(|line| self.mask(line)).sum()
    }

    fn excerpt(&self, excerpt: &mut Excerpt) -> u64 {
        let parts = excerpt.parts.iter_mut();
        let places = parts.map(|part| self.mask(&mut part.bytes)).sum();
        if places > 0 {
            // With the rest known, a short secret can be found by trying.
            excerpt.sha256 = None;
        }
        places
    }

    /// How many places were masked.
    pub fn mask(&self, text: &mut [u8]) -> u64 {
        let mut places = 0;
        for pattern in &self.patterns {
            let secrets = secrets(pattern, text);
            places += secrets.len() as u64;
            for secret in secrets {
                text[secret].fill(MASK);
            }
        }
        places
    }
}

/// Where a pattern finds something that is not masked yet.
fn secrets(pattern: &Regex, text: &[u8]) -> Vec<Range<usize>> {
    let mut secrets = Vec::new();
    for captures in pattern.captures_iter(text) {
        let first = usize::from(captures.len() > 1);
        let groups = captures.iter().skip(first).flatten();
        secrets.extend(groups.map(|group| group.range()));
    }
    let is_shown = |secret: &Range<usize>| text[secret.clone()].iter().any(|&byte| byte != MASK);
    secrets.retain(is_shown);
    secrets
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::alert::ExcerptPart;

    fn redaction(patterns: &[&str]) -> Redaction {
        let patterns: Vec<String> = patterns.iter().map(|&it| it.to_owned()).collect();
        Redaction::compile(&patterns).unwrap()
    }

    fn masked(patterns: &[&str], text: &str) -> (String, u64) {
        let mut bytes = text.as_bytes().to_vec();
        let places = redaction(patterns).mask(&mut bytes);
        (String::from_utf8(bytes).unwrap(), places)
    }

    #[test]
    fn groups_are_masked_and_everything_where_there_is_none() {
        let told = |text: &str, places| (text.to_owned(), places);
        assert_eq!(
            masked(&["--token[= ](\\S+)"], "x --token=abc --token def y"),
            told("x --token=*** --token *** y", 2)
        );
        assert_eq!(
            masked(&["AKIA[A-Z0-9]+"], "k AKIA12 z"),
            told("k ****** z", 1)
        );
        assert_eq!(masked(&["(a)(b)?"], "ab a"), told("** *", 3));
        assert_eq!(masked(&[], "token=abc"), told("token=abc", 0));
        // What two patterns find is one place.
        assert_eq!(
            masked(&["p=(\\w+)", "(?:p=)(.*)"], "p=abc"),
            told("p=***", 1)
        );
    }

    #[test]
    fn a_masked_excerpt_keeps_its_lengths_and_loses_its_hash() {
        let part = |offset, bytes: &[u8]| ExcerptPart {
            offset,
            bytes: bytes.to_vec(),
        };
        let excerpt = |second: &[u8]| Excerpt {
            parts: vec![part(0, b"curl -u"), part(90, second)],
            bytes_full: 200,
            sha256: Some([7; 32]),
        };
        let redaction = redaction(&["token=(\\S+)"]);
        let mut secret = excerpt(b"x token=abc y");
        assert_eq!(redaction.excerpt(&mut secret), 1);
        let expected = excerpt(b"x token=*** y");
        assert_eq!(
            secret,
            Excerpt {
                sha256: None,
                ..expected
            }
        );
        let mut plain = excerpt(b"nothing");
        assert_eq!(redaction.excerpt(&mut plain), 0);
        assert_eq!(plain, excerpt(b"nothing"));
    }

    #[test]
    fn a_pattern_that_is_none_or_too_large_is_named() {
        for pattern in ["(", "(?:a{1000}){1000}"] {
            let error = Redaction::compile(&[pattern.to_owned()]).unwrap_err();
            assert!(error.to_string().starts_with(&format!("{pattern:?}: ")));
        }
    }

    proptest! {
        #[test]
        fn masking_changes_no_length_and_masks_nothing_twice(
            mut text in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let redaction = redaction(&["a(.)", "[\\x80-\\xff]+", "x*"]);
            let bytes = text.len();
            redaction.mask(&mut text);
            prop_assert_eq!(text.len(), bytes);
            let before = text.clone();
            redaction.mask(&mut text);
            prop_assert_eq!(text, before);
        }
    }
}
