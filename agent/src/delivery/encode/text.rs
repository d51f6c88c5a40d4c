//! Bytes from anywhere as text that anyone may look at.
//!
//! Valid UTF-8 stays what it is, each byte outside of it is shown as `\xNN`, and what was left out
//! of a cut text as ` […N bytes…] `.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::pipeline::alert::Excerpt;

/// A text, or what is to be shown of it.
#[derive(Clone, Debug)]
pub(super) struct Text<'a> {
    /// In ascending order.
    pieces: Vec<Piece<'a>>,
    bytes_full: u64,
}

#[derive(Clone, Copy, Debug)]
struct Piece<'a> {
    offset: u64,
    bytes: &'a [u8],
}

impl<'a> Text<'a> {
    pub(super) fn whole(bytes: &'a [u8]) -> Self {
        Self::head(bytes, bytes.len() as u64)
    }

    /// The first bytes of a text that has `bytes_full`.
    pub(super) fn head(bytes: &'a [u8], bytes_full: u64) -> Self {
        Self {
            pieces: vec![Piece { offset: 0, bytes }],
            bytes_full,
        }
    }

    pub(super) fn excerpt(excerpt: &'a Excerpt) -> Self {
        let parts = excerpt.parts.iter();
        Self {
            pieces: parts
                .map(|part| Piece {
                    offset: part.offset,
                    bytes: &part.bytes,
                })
                .collect(),
            bytes_full: excerpt.bytes_full,
        }
    }

    /// The same text with at most `bytes_max` of its bytes. The text before a gap keeps its
    /// beginning, one without gaps its end too, and what was picked out of the middle its middle.
    pub(super) fn within(mut self, bytes_max: usize) -> Self {
        let shown: usize = self.pieces.iter().map(|piece| piece.bytes.len()).sum();
        if shown <= bytes_max {
            return self;
        }
        if let [piece] = self.pieces[..] {
            let head = bytes_max - bytes_max / 3;
            let tail = piece.bytes.len() - bytes_max / 3;
            self.pieces = vec![piece.part(0, head), piece.part(tail, piece.bytes.len())];
        } else {
            let shares = fair_shares(&self.pieces, bytes_max);
            for (piece, share) in self.pieces.iter_mut().zip(shares) {
                let spare = piece.bytes.len() - share;
                let start = if piece.offset == 0 { 0 } else { spare / 2 };
                *piece = piece.part(start, start + share);
            }
        }
        self.pieces.retain(|piece| !piece.bytes.is_empty());
        self
    }

    pub(super) fn bytes_full(&self) -> u64 {
        self.bytes_full
    }

    pub(super) fn is_cut(&self) -> bool {
        self.shown_bytes() < self.bytes_full
    }

    /// Offset and length of each piece.
    pub(super) fn shown(&self) -> Vec<[u64; 2]> {
        self.pieces
            .iter()
            .map(|piece| [piece.offset, piece.bytes.len() as u64])
            .collect()
    }

    fn shown_bytes(&self) -> u64 {
        self.pieces
            .iter()
            .map(|piece| piece.bytes.len() as u64)
            .sum()
    }
}

impl<'a> Piece<'a> {
    /// From `start` to `end`, moved inwards so that no character is torn.
    fn part(self, start: usize, end: usize) -> Self {
        let is_inside = |at: usize| {
            self.bytes
                .get(at)
                .is_some_and(|byte| (0x80..0xc0).contains(byte))
        };
        // A character has at most three such bytes; more of them are no text anyway.
        let inside_max = 3;
        let end = (end.saturating_sub(inside_max).max(start)..=end)
            .rev()
            .find(|&at| !is_inside(at))
            .unwrap_or(end);
        let start = (start..=(start + inside_max).min(end))
            .find(|&at| start == 0 || !is_inside(at))
            .unwrap_or(start);
        Self {
            offset: self.offset.saturating_add(start as u64),
            bytes: &self.bytes[start..end],
        }
    }
}

/// `bytes_max` shared out: a short piece takes what it needs, long ones take the same of the rest.
fn fair_shares(pieces: &[Piece<'_>], bytes_max: usize) -> Vec<usize> {
    let mut shortest_first: Vec<usize> = (0..pieces.len()).collect();
    shortest_first.sort_by_key(|&index| pieces[index].bytes.len());
    let mut shares = vec![0; pieces.len()];
    let mut rest = bytes_max;
    for (done, &index) in shortest_first.iter().enumerate() {
        let share = pieces[index].bytes.len().min(rest / (pieces.len() - done));
        shares[index] = share;
        rest -= share;
    }
    shares
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut end = 0;
        for piece in &self.pieces {
            gap(out, piece.offset.saturating_sub(end))?;
            for chunk in piece.bytes.utf8_chunks() {
                out.write_str(chunk.valid())?;
                for byte in chunk.invalid() {
                    write!(out, "\\x{byte:02x}")?;
                }
            }
            end = piece.offset.saturating_add(piece.bytes.len() as u64);
        }
        gap(out, self.bytes_full.saturating_sub(end))
    }
}

fn gap(out: &mut fmt::Formatter<'_>, bytes: u64) -> fmt::Result {
    match bytes {
        0 => Ok(()),
        1 => out.write_str(" […1 byte…] "),
        bytes => write!(out, " […{bytes} bytes…] "),
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Whether a character acts on a terminal, breaks a line or cannot be seen: controls, the separators
/// of lines and paragraphs, and all to which Unicode gives no shape of their own
/// (`Default_Ignorable_Code_Point`), marks of direction and the byte order mark among them. Two texts
/// that differ must not look alike for one of these.
pub fn is_active(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{2028}'
                | '\u{2029}'
                | '\u{00ad}'
                | '\u{034f}'
                | '\u{061c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                // Those of annotations, in the last three places, are not seen either.
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::alert::ExcerptPart;

    fn check(text: Text<'_>, expected: &str) {
        assert_eq!(text.to_string(), expected);
    }

    #[test]
    fn utf8_is_kept_and_every_other_byte_is_shown_in_hexadecimal() {
        check(Text::whole("größe €".as_bytes()), "größe €");
        check(
            Text::whole(b"a\xff\xc3\xe2\x82b\x00"),
            "a\\xff\\xc3\\xe2\\x82b\0",
        );
        check(Text::whole(b""), "");
    }

    #[test]
    fn a_short_text_is_whole_and_a_long_one_keeps_both_ends() {
        check(Text::whole(b"abcdef").within(6), "abcdef");
        check(Text::whole(b"0123456789").within(6), "0123 […4 bytes…] 89");
        check(Text::whole(b"0123456789").within(0), " […10 bytes…] ");
        check(Text::head(b"0123", 5), "0123 […1 byte…] ");
    }

    #[test]
    fn a_cut_does_not_tear_a_character() {
        check(Text::whole("€€€€".as_bytes()).within(8), "€€ […6 bytes…] ");
        check(
            Text::whole("ääääää".as_bytes()).within(9),
            "äää […4 bytes…] ä",
        );
    }

    #[test]
    fn an_excerpt_shows_its_gaps_and_shares_what_room_there_is() {
        let excerpt = Excerpt {
            parts: [(0, "head of it"), (50, "match"), (90, "0123456789")]
                .map(|(offset, text)| ExcerptPart {
                    offset,
                    bytes: text.into(),
                })
                .into(),
            bytes_full: 120,
            sha256: Some([0; 32]),
        };
        check(
            Text::excerpt(&excerpt),
            "head of it […40 bytes…] match […35 bytes…] 0123456789 […20 bytes…] ",
        );
        let cut = Text::excerpt(&excerpt).within(15);
        assert_eq!(cut.shown(), [[0, 5], [50, 5], [92, 5]]);
        check(
            cut,
            "head  […45 bytes…] match […37 bytes…] 23456 […23 bytes…] ",
        );
    }

    #[test]
    fn what_cannot_be_seen_is_active_and_what_can_is_not() {
        let invisible = [
            0x00ad..=0x00ad,
            0x034f..=0x034f,
            0x115f..=0x1160,
            0x180e..=0x180e,
            0x200b..=0x200f,
            0x2028..=0x202e,
            0x2060..=0x2064,
            0x3164..=0x3164,
            0xfeff..=0xfeff,
            0xffa0..=0xffa0,
            0xe0000..=0xe007f,
        ];
        for code in invisible.into_iter().flatten() {
            let char = char::from_u32(code).unwrap();
            assert!(is_active(char), "{char:?}");
        }
        assert!(!" aé€漢ก ั개한🙂\u{fffc}\u{fffd}".contains(is_active));
    }

    proptest! {
        #[test]
        fn a_cut_text_is_within_its_bounds_and_made_of_the_text(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            bytes_max in 0usize..250,
        ) {
            let cut = Text::whole(&bytes).within(bytes_max);
            let mut end = 0;
            for piece in &cut.pieces {
                let offset = usize::try_from(piece.offset).unwrap();
                prop_assert!(offset >= end);
                end = offset + piece.bytes.len();
                prop_assert_eq!(&bytes[offset..end], piece.bytes);
            }
            prop_assert!(cut.shown_bytes() <= bytes_max as u64);
            prop_assert_eq!(cut.is_cut(), bytes.len() > bytes_max);
        }
    }
}
