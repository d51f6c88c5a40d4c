//! Texts of an event outside of JSON.

use crate::delivery::encode::is_active;

/// `text` without characters that act on a terminal or a parser of lines: they are written as in JSON, `\u001b`.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for char in text.chars() {
        if is_active(char) {
            for unit in char.encode_utf16(&mut [0; 2]) {
                plain.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            plain.push(char);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_written_as_in_json() {
        assert_eq!(plain("a\u{1b}[2J\n\u{202e}é"), r"a\u001b[2J\u000a\u202eé");
        assert_eq!(plain("\u{e0001}"), r"\udb40\udc01");
    }
}
