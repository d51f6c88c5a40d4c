//! What the records of one event share: `1795488043.803:17`.

use std::str::FromStr;

/// When an event was, and its number since the boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::formats) struct Stamp {
    /// Nanoseconds since 1970 UTC, whole milliseconds.
    pub(in crate::formats) time_ns: u64,
    pub(in crate::formats) serial: u64,
}

/// A text is no stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::formats) struct NoStamp;

impl FromStr for Stamp {
    type Err = NoStamp;

    fn from_str(text: &str) -> Result<Self, NoStamp> {
        let parse = || {
            let (time, serial) = text.split_once(':')?;
            let (seconds, milliseconds) = time.split_once('.')?;
            let seconds: u64 = seconds.parse().ok()?;
            let milliseconds: u64 = milliseconds.parse().ok().filter(|it| *it < 1000)?;
            let time_ns = seconds
                .checked_mul(1_000_000_000)?
                .checked_add(milliseconds * 1_000_000)?;
            let serial = serial.parse().ok()?;
            Some(Self { time_ns, serial })
        };
        parse().ok_or(NoStamp)
    }
}
