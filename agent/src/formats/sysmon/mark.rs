//! Where events begin and end in a text.

use std::ops::Range;

use memchr::{memchr, memmem};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Start,
    End,
}

const CDATA: &[u8] = b"<![CDATA[";
const CDATA_END: &[u8] = b"]]>";
const END: &[u8] = b"</Event>";

/// The next mark at or behind `at`, and its place. What stands in a CDATA section is no mark; `in_cdata` says whether
/// the text begins in one, and then whether it ends in one. Outside of events (`None`) there are no sections.
pub(super) fn next_mark(
    text: &[u8],
    mut at: usize,
    mut in_cdata: Option<&mut bool>,
) -> Option<(Mark, Range<usize>)> {
    loop {
        if let Some(in_cdata) = in_cdata.as_deref_mut()
            && *in_cdata
        {
            at += memmem::find(&text[at..], CDATA_END)? + CDATA_END.len();
            *in_cdata = false;
        }
        at += memchr(b'<', &text[at..])?;
        let rest = &text[at..];
        if rest.starts_with(END) {
            return Some((Mark::End, at..at + END.len()));
        }
        if is_start(rest) {
            return Some((Mark::Start, at..at + 1));
        }
        if let Some(in_cdata) = in_cdata.as_deref_mut()
            && rest.starts_with(CDATA)
        {
            *in_cdata = true;
        }
        at += 1;
    }
}

/// Whether it begins with the tag `Event`, and not with that of `EventID` or another.
fn is_start(text: &[u8]) -> bool {
    let after = text.strip_prefix(b"<Event");
    let next = after.and_then(|after| after.first());
    next.is_some_and(|&byte| byte == b'>' || byte.is_ascii_whitespace())
}
