//! Why a command line is refused, in our words.

/// Bytes of an argument that a reason repeats: one can have 128 KiB.
const SHOWN_BYTES_MAX: usize = 64;

/// An argument as a reason names it: its beginning, without what would act on a terminal.
pub(super) fn shown(text: &[u8]) -> String {
    let head = &text[..text.len().min(SHOWN_BYTES_MAX)];
    let cut = if head.len() < text.len() { "…" } else { "" };
    let head = String::from_utf8_lossy(head);
    format!("{}{cut}", head.escape_debug())
}
