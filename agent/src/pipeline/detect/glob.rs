//! Splunk's `field="*wild*"`.

use std::ops::Range;

use regex::bytes::Regex;

/// A pattern over a whole value: `*` stands for any run of bytes, line feeds and none among them;
/// every other byte stands for itself, ASCII letters without regard to case.
///
/// Bytes, not characters, because a command line need not be UTF-8.
#[derive(Clone, Debug)]
pub struct Glob {
    pattern: String,
    regex: Regex,
}

impl Glob {
    /// Fails only where the pattern is too long for the regex engine's bound on memory.
    pub fn compile(pattern: &str) -> Result<Self, regex::Error> {
        Ok(Self {
            pattern: pattern.to_owned(),
            regex: Regex::new(&translate(pattern))?,
        })
    }

    /// As it was written.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    pub fn is_match(&self, value: &[u8]) -> bool {
        self.regex.is_match(value)
    }

    /// Where the first literal of the pattern begins and its last one ends.
    pub fn find(&self, value: &[u8]) -> Option<Range<usize>> {
        self.regex.find(value).map(|found| found.range())
    }
}

/// A `*` at either end becomes a missing anchor, so that a match is no wider than the literals.
fn translate(pattern: &str) -> String {
    let literals: Vec<String> = pattern
        .split('*')
        .filter(|literal| !literal.is_empty())
        .map(regex::escape)
        .collect();
    let start = if pattern.starts_with('*') { "" } else { r"\A" };
    let end = if pattern.ends_with('*') { "" } else { r"\z" };
    format!("(?is-u){start}{}{end}", literals.join(".*?"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pattern: &str, value: &[u8], expected: Option<Range<usize>>) {
        let glob = Glob::compile(pattern).unwrap();
        assert_eq!(glob.find(value), expected, "{pattern:?} in {value:?}");
        assert_eq!(glob.is_match(value), expected.is_some());
    }

    #[test]
    fn a_pattern_covers_the_whole_value() {
        check("abc", b"abc", Some(0..3));
        check("abc", b"abcd", None);
        check("abc", b"xabc", None);
        check("/bin/*", b"/bin/sh", Some(0..5));
        check("/bin/*", b"/usr/bin/sh", None);
        check("*.sh", b"a.sh.sh", Some(4..7));
        check("", b"", Some(0..0));
        check("", b"a", None);
        check("a\n", b"a", None);
        check("a", b"a\n", None);
    }

    #[test]
    fn a_star_is_any_run_of_bytes_line_feeds_too() {
        check("*b*", b"a\nb\nc", Some(2..3));
        check("a*c", b"a\n\xff\0c", Some(0..5));
        check("a*c", b"ac", Some(0..2));
        check("a**c", b"abc", Some(0..3));
        check("*", b"", Some(0..0));
        check("*", b"\xff", Some(0..0));
        check("**", b"anything", Some(0..0));
    }

    #[test]
    fn ascii_letters_match_without_regard_to_case_and_others_only_themselves() {
        check("*IpTables *", b"/sbin/IPTABLES -L", Some(6..15));
        check("*é*", "É".as_bytes(), None);
        check("*É*", "aÉ".as_bytes(), Some(1..3));
        // Unicode folds K and the Kelvin sign, s and the long s; ASCII does not.
        check("*k*", "\u{212a}".as_bytes(), None);
        check("*s*", "\u{17f}".as_bytes(), None);
    }

    #[test]
    fn everything_but_the_star_is_literal() {
        check(
            r"*.^$|?+()[]{}\d-&~# *",
            br"x.^$|?+()[]{}\d-&~# y",
            Some(1..20),
        );
        check("*a.c*", b"abc", None);
        check(r"*\**", br"\", Some(0..1));
        check("*a b*", b"a\tb", None);
    }

    #[test]
    fn the_range_spans_the_literals() {
        check("*a*b*", b"__a__b__b", Some(2..6));
        check("*--dport*ACCEPT*", b"--dport 636 -j ACCEPT x", Some(0..21));
    }

    /// Tries every length for every star.
    fn naive(pattern: &[u8], value: &[u8]) -> bool {
        match pattern.split_first() {
            None => value.is_empty(),
            Some((b'*', rest)) => (0..=value.len()).any(|skip| naive(rest, &value[skip..])),
            Some((byte, rest)) => value
                .split_first()
                .is_some_and(|(head, tail)| head.eq_ignore_ascii_case(byte) && naive(rest, tail)),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn a_glob_agrees_with_the_naive_matcher(
            pattern in "[ab*. \u{e9}\\\\]{0,7}",
            value in proptest::collection::vec(
                prop_oneof![
                    Just(b'a'), Just(b'A'), Just(b'b'), Just(b'.'), Just(b' '), Just(b'\n'),
                    Just(b'\\'), Just(0xc3), Just(0xa9), Just(0x89),
                ],
                0..10,
            ),
        ) {
            let glob = Glob::compile(&pattern).unwrap();
            prop_assert_eq!(glob.is_match(&value), naive(pattern.as_bytes(), &value));
            if let Some(range) = glob.find(&value) {
                // What was found is itself an instance of the pattern without its outer stars.
                let inner = pattern.trim_matches('*');
                prop_assert!(naive(inner.as_bytes(), &value[range]));
            }
        }
    }
}
