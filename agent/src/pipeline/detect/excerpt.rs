//! Long texts, shortened without hiding what matched.

use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::pipeline::alert::{Excerpt, ExcerptPart};

/// Texts up to this many bytes are shown whole: what a shell command of a person or a program has,
/// with room to spare.
pub const WHOLE_BYTES_MAX: usize = 4096;

/// Bytes shown of the beginning of a longer text.
const HEAD_BYTES: usize = 512;

/// Bytes shown on either side of what matched in a longer text.
const AROUND_BYTES: usize = 128;

/// What is shown of `text`, in which a rule found `matches`.
pub fn excerpt(text: &[u8], matches: &[Range<usize>]) -> Excerpt {
    let bytes_full = text.len() as u64;
    if text.len() <= WHOLE_BYTES_MAX {
        return Excerpt {
            parts: vec![part(text, 0..text.len())],
            bytes_full,
            sha256: None,
        };
    }
    let shown = shown(text.len(), matches).into_iter();
    Excerpt {
        parts: shown.map(|range| part(text, range)).collect(),
        bytes_full,
        sha256: Some(Sha256::digest(text).into()),
    }
}

fn part(text: &[u8], range: Range<usize>) -> ExcerptPart {
    ExcerptPart {
        offset: range.start as u64,
        bytes: text[range].to_vec(),
    }
}

/// The head and the surroundings of each match, ascending, joined where they meet.
fn shown(length: usize, matches: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut wanted: Vec<Range<usize>> = matches.iter().flat_map(ends).collect();
    wanted.push(0..HEAD_BYTES);
    wanted.sort_by_key(|range| range.start);

    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in wanted {
        let end = range.end.min(length);
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(end),
            _ => joined.push(range.start..end),
        }
    }
    joined
}

/// The surroundings of a match's two ends. They are one piece unless a star inside the pattern let
/// the match grow long; then what lies between is left out.
fn ends(range: &Range<usize>) -> [Range<usize>; 2] {
    let around = |at: usize| at.saturating_sub(AROUND_BYTES)..at.saturating_add(AROUND_BYTES);
    [around(range.start), around(range.end)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `matches` and `expected` are pairs of begin and end.
    fn check(length: usize, matches: &[(usize, usize)], expected: &[(usize, usize)]) {
        let text: Vec<u8> = (0..length).map(|index| index as u8).collect();
        let matches: Vec<Range<usize>> = matches.iter().map(|&(begin, end)| begin..end).collect();
        let shown: Vec<(usize, usize)> = excerpt(&text, &matches)
            .parts
            .iter()
            .map(|part| {
                let begin = part.offset as usize;
                (begin, begin + part.bytes.len())
            })
            .collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_short_text_is_shown_whole() {
        check(0, &[], &[(0, 0)]);
        check(10, &[(2, 3)], &[(0, 10)]);
        check(4096, &[(4000, 4010)], &[(0, 4096)]);
        assert_eq!(excerpt(&[b'a'; 4096], &[]).sha256, None);
    }

    #[test]
    fn a_long_text_is_its_head_and_what_surrounds_each_match() {
        check(4097, &[], &[(0, 512)]);
        check(
            9000,
            &[(5000, 5010), (2000, 2005)],
            &[(0, 512), (1872, 2133), (4872, 5138)],
        );
    }

    #[test]
    fn pieces_that_meet_are_one() {
        check(9000, &[(600, 610)], &[(0, 738)]);
        check(9000, &[(640, 650)], &[(0, 778)]);
        check(9000, &[(641, 650)], &[(0, 512), (513, 778)]);
        check(
            9000,
            &[(3000, 3010), (3100, 3110)],
            &[(0, 512), (2872, 3238)],
        );
        check(9000, &[(8990, 9000)], &[(0, 512), (8862, 9000)]);
    }

    #[test]
    fn the_middle_of_a_long_match_is_left_out() {
        check(
            9000,
            &[(2000, 8000)],
            &[(0, 512), (1872, 2128), (7872, 8128)],
        );
    }

    #[test]
    fn a_shortened_text_tells_its_length_and_hash() {
        let shortened = excerpt(&[b'a'; 5000], &[]);
        assert_eq!(shortened.bytes_full, 5000);
        let hash: [u8; 32] = Sha256::digest([b'a'; 5000]).into();
        assert_eq!(shortened.sha256, Some(hash));
    }

    proptest! {
        #[test]
        fn pieces_ascend_do_not_touch_and_hold_every_short_match(
            length in 4097_usize..12_000,
            matches in proptest::collection::vec((0_usize..12_000, 0_usize..64), 0..8),
        ) {
            let text: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
            let matches: Vec<Range<usize>> = matches
                .into_iter()
                .map(|(start, bytes)| start.min(length)..(start + bytes).min(length))
                .collect();
            let parts = excerpt(&text, &matches).parts;
            let end = |part: &ExcerptPart| part.offset as usize + part.bytes.len();
            for pair in parts.windows(2) {
                prop_assert!(end(&pair[0]) < pair[1].offset as usize);
            }
            for part in &parts {
                prop_assert_eq!(&text[part.offset as usize..end(part)], &part.bytes[..]);
            }
            for found in matches {
                let held = |part: &ExcerptPart| {
                    part.offset as usize <= found.start && found.end <= end(part)
                };
                prop_assert!(parts.iter().any(held));
            }
        }
    }
}
