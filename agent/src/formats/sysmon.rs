//! Sysmon for Linux: events in XML, of which those with id 1 are execs.
//!
//! An event goes from `<Event>` to `</Event>`, on one line (behind whatever header syslog or journald puts there) or
//! over several. Sysmon writes the command line as one text, its arguments joined by spaces, and names no thread, no
//! login and no terminal. `LogonId` is the real uid and `TerminalSessionId` the audit session
//! (`m_AuthenticationId` and `m_SessionId` in the kernel programs of SysmonForLinux).

mod event;
mod mark;

use super::{Item, Malformed};
use mark::{Mark, next_mark};

/// Puts events together.
pub(super) struct Sysmon {
    event_bytes_max: usize,
    /// The event that has begun and not ended.
    open: Option<Open>,
}

#[derive(Default)]
struct Open {
    line: u64,
    /// What earlier lines had of it.
    text: Vec<u8>,
    in_cdata: bool,
}

impl Sysmon {
    pub(super) fn new(event_bytes_max: usize) -> Self {
        Self {
            event_bytes_max,
            open: None,
        }
    }

    pub(super) fn handle_line(&mut self, line: &[u8], number: u64, items: &mut Vec<Item>) {
        let mut says_something = self.open.is_some();
        let mut begin = 0;
        let mut at = 0;
        loop {
            let in_cdata = self.open.as_mut().map(|open| &mut open.in_cdata);
            let Some((mark, place)) = next_mark(line, at, in_cdata) else {
                break;
            };
            at = place.end;
            match mark {
                Mark::Start => {
                    self.cut(items);
                    begin = place.start;
                    self.open = Some(Open {
                        line: number,
                        ..Open::default()
                    });
                    says_something = true;
                }
                Mark::End => {
                    if let Some(open) = self.open.take() {
                        items.push(self.finish(open, &line[begin..at]));
                    }
                }
            }
        }
        if self.open.is_some() {
            self.keep(&line[begin..], items);
        } else if !says_something && !is_frame(line) {
            items.push(Item::PassedOver);
        }
    }

    pub(super) fn handle_end(&mut self, items: &mut Vec<Item>) {
        self.cut(items);
    }

    /// The event that is open will not end.
    fn cut(&mut self, items: &mut Vec<Item>) {
        if let Some(open) = self.open.take() {
            let why = "an event that is cut: expected </Event>".to_owned();
            items.push(malformed(open.line, why));
        }
    }

    fn keep(&mut self, part: &[u8], items: &mut Vec<Item>) {
        let Some(open) = &mut self.open else {
            return;
        };
        open.text.extend_from_slice(part);
        open.text.push(b'\n');
        if open.text.len() > self.event_bytes_max {
            let why = too_long(self.event_bytes_max);
            items.push(malformed(open.line, why));
            self.open = None;
        }
    }

    fn finish(&self, mut open: Open, part: &[u8]) -> Item {
        let text = if open.text.is_empty() {
            part
        } else {
            open.text.extend_from_slice(part);
            &open.text
        };
        if text.len() > self.event_bytes_max {
            return malformed(open.line, too_long(self.event_bytes_max));
        }
        match event::read(text) {
            Ok(Some(exec)) => Item::Exec(Box::new(exec)),
            Ok(None) => Item::PassedOver,
            Err(why) => malformed(open.line, why),
        }
    }
}

fn malformed(line: u64, why: String) -> Item {
    Item::Malformed(Malformed { line, why })
}

fn too_long(bytes_max: usize) -> String {
    format!("an event longer than {bytes_max} bytes")
}

/// What may stand around events without being anything.
fn is_frame(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let frames: [&[u8]; 4] = [b"<?xml", b"<Events", b"</Events", b"</Event>"];
    line.is_empty() || frames.iter().any(|frame| line.starts_with(frame))
}
